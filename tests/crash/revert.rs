//! A revert is atomic: after a power loss at any call of the disk or the leaf store, the state is that before the
//! revert or the old one, and acknowledged data is kept.

use std::collections::BTreeMap;

use trunkline::{Batch, Config, Engine, Outcome, RevertError, RevertOptions, Snapshot};

use crate::faults::{Machine, calls_fail, power_is_lost_at_any_call};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Commits versions that change and remove keys, with checkpoints among them.
fn commit(engine: &Engine, versions: std::ops::Range<u64>) {
    for version in versions {
        let mut batch = Batch::new();
        for key in 0..20 {
            let name = format!("{}", (version * 7 + key) % 40);
            match key % 5 {
                0 => batch.delete(name),
                _ => batch.put(name, format!("{version:0100}")),
            };
        }
        let receipt = engine.submit_blocking(batch).unwrap();
        receipt.durable_blocking().unwrap();
    }
}

fn state(snapshot: &Snapshot) -> Map {
    let pairs = snapshot.iter().map(Result::unwrap);
    pairs
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Reverts after setting a fault. Returns whether the revert was acknowledged.
fn revert(seed: u64, set_fault: &dyn Fn(&Machine)) -> bool {
    let machine = Machine::new(seed);
    let engine = machine.open();
    commit(&engine, 1..5);
    let old = engine.snapshot();
    let (old_version, old_id, old_state) = (old.version(), old.commit_id(), state(&old));
    commit(&engine, 5..9);
    let before = engine.snapshot();
    let (before_version, before_state) = (before.version(), state(&before));
    assert_ne!(old_state, before_state);
    drop(before);
    set_fault(&machine);
    let reverted = engine.revert_to_blocking(old_version).and_then(|receipt| {
        Ok(receipt
            .durable_blocking()
            .map_err(trunkline::SubmitError::from)?)
    });
    if let Err(error) = &reverted {
        assert!(
            matches!(error, RevertError::Submit(_) | RevertError::Read(_)),
            "{error:?}"
        );
    }
    drop(old);
    drop(engine);
    machine.disk.crash(seed);
    machine.disk.clear_faults();
    machine.leaves.crash(seed);

    let engine = machine.open();
    let snapshot = engine.snapshot();
    let found = state(&snapshot);
    match snapshot.version() - before_version {
        0 => {
            assert!(reverted.is_err(), "an acknowledged revert is lost");
            assert_eq!(found, before_state);
        }
        1 => {
            assert_eq!(found, old_state);
            let sequence = snapshot.record().last_sequence;
            let outcomes = engine
                .feed(snapshot.version())
                .next()
                .unwrap()
                .unwrap()
                .outcomes;
            let outcome = trunkline::core::outcome::decode_outcomes(&outcomes)
                .unwrap()
                .0;
            assert_eq!(outcome[0].sequence, sequence);
            let commit_id = old_id;
            assert_eq!(outcome[0].outcome, Outcome::Reverted { commit_id });
        }
        more => panic!("{more} versions more"),
    }
    commit(&engine, 9..11);
    engine.shutdown_blocking().unwrap();
    reverted.is_ok()
}

#[test]
fn a_loss_of_power_at_any_call_leaves_the_state_before_the_revert_or_the_old_one() {
    power_is_lost_at_any_call(revert);
}

#[test]
fn an_error_of_the_disk_or_of_the_leaf_store_does_so_too() {
    calls_fail(revert);
}

fn in_directory(directory: &std::path::Path) -> Config {
    let mut config = Config::in_directory(directory);
    config.log.segment_bytes_max = 4096;
    config
}

#[test]
fn versions_of_the_log_are_kept_from_the_one_that_is_named_on_and_can_be_reverted_to() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_directory(directory.path());
    let engine = Engine::open_blocking(config.clone()).unwrap();
    commit(&engine, 1..9);
    let states: Vec<Map> = (0..9)
        .map(|version| engine.snapshot_at(version).map(|old| state(&old)))
        .collect::<Result<_, _>>()
        .unwrap();
    engine.shutdown_blocking().unwrap();

    for from in [0, 3, 8] {
        let builder = Engine::builder(config.clone()).keep_from(from);
        let engine = builder.open_blocking().unwrap();
        assert_eq!(engine.oldest_version(), from);
        for version in from..9 {
            let old = engine.snapshot_at(version).unwrap();
            assert_eq!(state(&old), states[version as usize]);
            assert_eq!(old.root().state_digest, old.record().state_digest);
            let proof = old.prove(["3"], trunkline::TopKind::Kzg).unwrap();
            let trusted = trunkline::core::proof::Expected::Root(old.root());
            assert!(trunkline::core::proof::verify(&proof, &trusted).is_ok());
        }
        engine.shutdown_blocking().unwrap();
    }
    let builder = Engine::builder(config.clone()).keep_from(3);
    let engine = builder.open_blocking().unwrap();
    let options = RevertOptions {
        metadata: "back".into(),
        ..RevertOptions::default()
    };
    let receipt = engine.revert_to_with_blocking(3, options).unwrap();
    assert_eq!(receipt.durable_blocking().unwrap().version, 9);
    engine.shutdown_blocking().unwrap();
    let engine = Engine::open_blocking(config.clone()).unwrap();
    assert_eq!(state(&engine.snapshot()), states[3]);
    engine.shutdown_blocking().unwrap();
    let error = Engine::builder(config).keep_from(10).open_blocking();
    assert!(matches!(
        error,
        Err(trunkline::OpenError::VersionNotKept {
            version: 10,
            oldest: 0,
            newest: 9
        })
    ));
}
