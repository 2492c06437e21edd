//! Engines that are opened on the directory of an earlier one.

use trunkline::config::KzgMode;
use trunkline::core::batch::{BatchLimits, provisional_root, provisional_start};
use trunkline::core::hash::Digest;
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;
use trunkline::{Batch, Config, Engine, SnapshotError};

use crate::support::{Rig, log_only, put, puts, submit, without_hanging};

#[test]
fn the_last_durable_version_is_there_with_its_root() {
    without_hanging(|| {
        for mode in [KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand] {
            let rig = Rig::with(|config| config.kzg.mode = mode);
            let engine = rig.open();
            for round in 0..20 {
                put(&engine, &format!("{round}"), "v");
            }
            let (before, record) = (engine.snapshot().root(), engine.snapshot().record().clone());
            engine.shutdown_blocking().unwrap();
            for _ in 0..2 {
                let engine = rig.open();
                assert_eq!(engine.recovery().survey.torn_bytes, 0);
                assert_eq!(engine.snapshot().version(), 20);
                assert_eq!(engine.snapshot_at(20).unwrap().root(), before);
                assert_eq!(*engine.snapshot().record(), record);
                assert_eq!(engine.get(b"7").unwrap(), Some("v".into()));
                let error = engine.snapshot_at(19).unwrap_err();
                assert!(matches!(
                    error,
                    SnapshotError::Expired {
                        version: 19,
                        oldest: 20
                    }
                ));
                engine.shutdown_blocking().unwrap();
            }
        }
    });
}

#[test]
fn the_chain_of_commits_continues() {
    without_hanging(|| {
        let rig = Rig::new();
        let mut parent = None;
        for version in 1..=4 {
            let engine = rig.open();
            let durable = put(&engine, "key", &format!("{version}"));
            assert_eq!(durable.version, version);
            let snapshot = engine.snapshot();
            assert_eq!(
                snapshot.record().parent,
                parent.unwrap_or(snapshot.record().parent)
            );
            parent = Some(durable.commit_id);
            engine.shutdown_blocking().unwrap();
        }
    });
}

#[test]
fn a_directory_can_be_opened_again_while_old_handles_and_snapshots_live() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path());
        config.workers.threads = 1;
        config.checkpoint.bytes_max = 4096;
        let mut held = Vec::new();
        for round in 0..3_u64 {
            let engine = Engine::open_blocking(config.clone()).unwrap();
            submit(&engine, puts([(round.to_le_bytes(), "x".repeat(5000))]));
            assert_eq!(engine.snapshot().key_count(), round + 1);
            held.push((engine.snapshot(), engine.clone()));
            engine.shutdown_blocking().unwrap();
        }
    });
}

/// A tree without a leaf store can be reopened with one, but not the other way round.
#[test]
fn a_tree_can_be_reopened_with_another_store_if_that_loses_nothing() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let log = log_only(directory.path());
        let engine = Engine::open_blocking(log.clone()).unwrap();
        submit(
            &engine,
            puts((0..100_u32).map(|key| (key.to_le_bytes(), "x".repeat(100)))),
        );
        let root = engine.snapshot().root();
        engine.shutdown_blocking().unwrap();

        let mut fjall = Config::in_directory(directory.path());
        fjall.checkpoint.bytes_max = 4096;
        let engine = Engine::open_blocking(fjall.clone()).unwrap();
        assert_eq!(engine.snapshot().root(), root);
        let (_, durable) = submit(&engine, puts([("more", "x".repeat(5000))]));
        engine.shutdown_blocking().unwrap();
        assert_eq!(engine.metrics().checkpoints, 1);

        let refused = Engine::open_blocking(log).unwrap_err();
        assert!(
            matches!(refused, trunkline::OpenError::OtherStore { version: 2 }),
            "{refused:?}"
        );
        let engine = Engine::open_blocking(fjall).unwrap();
        assert_eq!(engine.snapshot().commit_id(), durable.commit_id);
    });
}

fn digest(params: &TreeParams, batch: &Batch) -> Digest {
    let prepared = batch.clone().prepare(params, &BatchLimits::default(), None);
    prepared.unwrap().digest
}

/// A caller that knows the last commit and the epoch computes every provisional root itself.
#[test]
fn a_caller_can_compute_provisional_roots_which_start_over_at_every_opening() {
    without_hanging(|| {
        let rig = Rig::new();
        let mut commit_id = [0; 32];
        let mut epochs = Vec::new();
        for opening in 0..3 {
            let engine = rig.open();
            let params = engine.params();
            if opening == 0 {
                commit_id = CommitRecord::genesis(params.tree_id()).commit_id();
            }
            let epoch = engine.recovery().open_epoch;
            let mut expected = provisional_start(&commit_id, epoch);
            for round in 0..4 {
                let mut batch = puts([("key", format!("{opening} {round}"))]);
                if round == 2 {
                    batch.metadata("note");
                }
                expected = provisional_root(&expected, &digest(&params, &batch));
                let (receipt, durable) = submit(&engine, batch);
                assert_eq!(receipt.provisional_root(), expected);
                commit_id = durable.commit_id;
                assert_eq!(engine.snapshot().record().open_epoch, epoch);
            }
            epochs.push(epoch);
            engine.shutdown_blocking().unwrap();
        }
        assert!(
            epochs.is_sorted_by(|before, after| before < after),
            "{epochs:?}"
        );
    });
}

#[test]
fn sequence_numbers_continue() {
    without_hanging(|| {
        let rig = Rig::new();
        for opening in 0..3_u64 {
            let engine = rig.open();
            for round in 0..3 {
                let receipt = engine.put_blocking("key", format!("{round}")).unwrap();
                assert_eq!(receipt.sequence(), opening * 4 + round + 1);
            }
            let (receipt, _) = submit(&engine, puts([("key", "last")]));
            assert_eq!(receipt.sequence(), opening * 4 + 4);
            engine.shutdown_blocking().unwrap();
        }
        let engine = rig.open();
        put(&engine, "key", "value");
        assert_eq!(engine.snapshot().record().last_sequence, 13);
    });
}
