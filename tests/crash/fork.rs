//! A commit of a fork is atomic: after a loss of power at any call of the disk or the leaf store, the state is that
//! before the commit or that of the fork, and acknowledged data is kept. Uncommitted forks leave nothing.

use std::collections::BTreeMap;

use trunkline::core::hash::Digest;
use trunkline::{Batch, Engine, Fork, ForkCommitError, ForkError, Snapshot};

use crate::faults::{Machine, calls_fail, power_is_lost_at_any_call};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Changes and removes keys.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for key in 0..20 {
        let name = format!("{}", (number * 7 + key) % 40);
        match key % 5 {
            0 => batch.delete(name),
            _ => batch.put(name, format!("{number:0100}")),
        };
    }
    batch
}

fn commit(engine: &Engine, versions: std::ops::Range<u64>) {
    for version in versions {
        let receipt = engine.submit_blocking(batch(version)).unwrap();
        receipt.durable_blocking().unwrap();
    }
}

fn state(snapshot: &Snapshot) -> Map {
    let pairs = snapshot.iter().map(Result::unwrap);
    pairs
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Changes a fork, and commits it if its digest could be computed. Returns the digest, and whether the commit was
/// acknowledged.
fn change(mut fork: Fork) -> Result<(Digest, bool), ForkError> {
    fork.apply(batch(20))?;
    let other = fork.fork()?;
    fork.apply(batch(21))?;
    let state_digest = fork.state_digest()?;
    let committed = fork.commit_blocking().and_then(|receipt| {
        let durable = receipt.durable_blocking();
        Ok(durable.map_err(trunkline::SubmitError::from)?)
    });
    drop(other);
    if let Err(error) = &committed {
        let is_expected = matches!(error, ForkCommitError::Submit(_) | ForkCommitError::Read(_));
        assert!(is_expected, "{error:?}");
    }
    Ok((state_digest, committed.is_ok()))
}

/// Commits a fork after a fault was set. Returns whether it was acknowledged.
fn fork(seed: u64, set_fault: &dyn Fn(&Machine)) -> bool {
    let machine = Machine::new(seed);
    let engine = machine.open();
    commit(&engine, 1..9);
    let before = engine.snapshot();
    let (before_version, before_state) = (before.version(), state(&before));
    drop(before);
    let fork = engine.fork().unwrap();
    set_fault(&machine);
    let changed = change(fork);
    drop(engine);
    machine.disk.crash(seed);
    machine.disk.clear_faults();
    machine.leaves.crash(seed);

    let engine = machine.open();
    let snapshot = engine.snapshot();
    let is_acknowledged = matches!(changed, Ok((_, true)));
    match snapshot.version() - before_version {
        0 => {
            assert!(!is_acknowledged, "an acknowledged commit is lost");
            assert_eq!(state(&snapshot), before_state);
        }
        1 => {
            let (state_digest, _) = changed.unwrap();
            assert_eq!(snapshot.record().state_digest, state_digest);
            let mut expected = before_state;
            for number in [20, 21] {
                for key in 0..20 {
                    let name = format!("{}", (number * 7 + key) % 40).into_bytes();
                    match key % 5 {
                        0 => expected.remove(&name),
                        _ => expected.insert(name, format!("{number:0100}").into_bytes()),
                    };
                }
            }
            assert_eq!(state(&snapshot), expected);
        }
        more => panic!("{more} versions more"),
    }
    commit(&engine, 9..11);
    engine.shutdown_blocking().unwrap();
    is_acknowledged
}

#[test]
fn a_loss_of_power_at_any_call_leaves_the_state_before_the_commit_or_that_of_the_fork() {
    power_is_lost_at_any_call(fork);
}

#[test]
fn an_error_of_the_disk_or_of_the_leaf_store_does_so_too() {
    calls_fail(fork);
}
