//! Reverts: a new version with the state of an older one, as the only submission of its version, under traffic,
//! followed and proven.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline::core::batch::revert_digest;
use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::outcome::{SubmissionOutcome, encode_outcomes};
use trunkline::core::store::effect::decode_effects;
use trunkline::{
    ApplyError, BatchError, Engine, EngineFailure, IdempotencyKey, OpenError, Outcome, ReplayError,
    RevertError, RevertOptions, SnapshotError, SubmitError,
};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::{Rig, checkpoint, put, puts, submit, until, without_hanging};

fn keyed(key: &str) -> RevertOptions {
    RevertOptions {
        idempotency_key: IdempotencyKey::new(key.as_bytes()).unwrap(),
        ..RevertOptions::default()
    }
}

fn reverted(engine: &Engine, version: u64) -> trunkline::Durable {
    let receipt = engine.revert_to_blocking(version).unwrap();
    receipt.durable_blocking().unwrap()
}

#[test]
fn a_revert_is_a_new_version_with_the_old_state_whose_effects_are_the_difference() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let old = submit(&engine, puts([("a", "1"), ("b", "1"), ("c", "1")])).1;
        let mut batch = puts([("a", "2"), ("d", "2"), ("c", "2")]);
        batch.delete("b");
        submit(&engine, batch);
        // The old state again: it has no part of the difference.
        put(&engine, "c", "1");
        let receipt = engine.revert_to_blocking(old.version).unwrap();
        let durable = receipt.durable_blocking().unwrap();
        let commit_id = old.commit_id;
        assert_eq!(durable.version, 4);
        assert_eq!(durable.state_digest, old.state_digest);
        assert_eq!(durable.outcome, Outcome::Reverted { commit_id });
        let snapshot = engine.snapshot();
        let value = |key: &str| snapshot.get(key.as_bytes()).unwrap();
        assert_eq!(value("a"), Some("1".into()));
        assert_eq!(value("b"), Some("1".into()));
        assert_eq!(value("d"), None);
        let entry = engine.feed(4).next().unwrap().unwrap();
        let effects = decode_effects(&engine.params(), &entry.effects).unwrap();
        let mut keys: Vec<&[u8]> = effects.iter().map(|effect| effect.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [b"a", b"b", b"d"]);
        let evidence = receipt.evidence_blocking().unwrap();
        let verified = evidence.verify(&receipt.provisional_root(), &durable.commit_id);
        let verified = verified.unwrap();
        assert_eq!(verified.outcome, Outcome::Reverted { commit_id });
        assert_eq!(verified.submission, revert_digest(&commit_id, b""));
        assert_eq!(engine.metrics().reverts, 1);
        engine.shutdown_blocking().unwrap();
        let reopened = rig.open();
        assert_eq!(reopened.snapshot().commit_id(), durable.commit_id);
        assert_eq!(reopened.get(b"a").unwrap(), Some("1".into()));
    });
}

#[test]
fn a_revert_to_the_empty_tree_and_one_that_changes_nothing_are_versions_too() {
    without_hanging(|| {
        let engine = Rig::new().open();
        put(&engine, "a", "1");
        let empty = reverted(&engine, 0);
        assert_eq!((empty.version, empty.state_digest), (2, [0; 32]));
        assert_eq!(engine.get(b"a").unwrap(), None);
        let same = reverted(&engine, 2);
        assert_eq!((same.version, same.state_digest), (3, [0; 32]));
        let back = reverted(&engine, 1);
        assert_eq!(back.version, 4);
        assert_eq!(engine.get(b"a").unwrap(), Some("1".into()));
    });
}

#[test]
fn values_of_the_old_version_are_found_behind_a_checkpoint_and_where_leaves_were_evicted() {
    for budget_bytes in [0, 1] {
        without_hanging(move || {
            let rig = Rig::with(|config| {
                config.checkpoint.bytes_max = 4096;
                config.memory.budget_bytes = budget_bytes;
            });
            let engine = rig.open();
            let old = submit(&engine, puts((0..50).map(|key| (format!("{key}"), "old")))).1;
            let kept = engine.snapshot_at(old.version).unwrap();
            checkpoint(&engine);
            submit(&engine, puts((25..75).map(|key| (format!("{key}"), "new"))));
            checkpoint(&engine);
            let durable = reverted(&engine, old.version);
            assert_eq!(durable.state_digest, old.state_digest);
            checkpoint(&engine);
            for key in 0..75 {
                let value = engine.get(format!("{key}").as_bytes()).unwrap();
                assert_eq!(value.as_deref(), (key < 50).then_some(&b"old"[..]));
            }
            drop(kept);
        });
    }
}

#[test]
fn a_version_that_is_not_kept_or_not_there_yet_is_refused() {
    without_hanging(|| {
        let engine = Rig::with(|config| config.versions.retain_versions = 2).open();
        for value in ["1", "2", "3"] {
            put(&engine, "a", value);
        }
        let refused = |version| match engine.revert_to_blocking(version) {
            Err(RevertError::Version(error)) => error,
            other => panic!("{other:?}"),
        };
        let expired = SnapshotError::Expired {
            version: 1,
            oldest: 2,
        };
        assert_eq!(refused(1).to_string(), expired.to_string());
        let not_yet = SnapshotError::NotYet {
            version: 4,
            newest: 3,
        };
        assert_eq!(refused(4).to_string(), not_yet.to_string());
        assert_eq!(engine.snapshot().version(), 3);
        assert_eq!(reverted(&engine, 2).version, 4);
    });
}

#[test]
fn a_revert_above_what_may_be_in_flight_is_refused_and_changes_nothing() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 10;
            config.submit.in_flight_operations_max = 20;
        });
        let engine = rig.open();
        for batch in 0..3 {
            submit(
                &engine,
                puts((0..10).map(|key| (format!("{batch}/{key}"), "1"))),
            );
        }
        let error = engine.revert_to_blocking(0).unwrap_err();
        assert!(
            matches!(
                error,
                RevertError::TooLarge {
                    version: 0,
                    operations_max: 20,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("submit.in_flight_operations_max")
        );
        // More than one batch may have.
        assert_eq!(reverted(&engine, 1).version, 4);
        let mut config = (*engine.config()).clone();
        config.submit.in_flight_operations_max = 40;
        engine.reload(config).unwrap();
        reverted(&engine, 3);
        assert_eq!(reverted(&engine, 0).state_digest, [0; 32]);
    });
}

#[test]
fn metadata_of_a_revert_is_in_its_record_and_not_too_long() {
    without_hanging(|| {
        let engine = Rig::new().open();
        put(&engine, "a", "1");
        let options = |bytes: usize| RevertOptions {
            metadata: vec![7; bytes].into(),
            ..RevertOptions::default()
        };
        let error = engine.revert_to_with_blocking(0, options(257)).unwrap_err();
        assert!(matches!(
            error,
            RevertError::Submit(SubmitError::Batch(BatchError::MetadataTooLong {
                bytes: 257
            }))
        ));
        let receipt = engine.revert_to_with_blocking(0, options(256)).unwrap();
        receipt.durable_blocking().unwrap();
        assert_eq!(engine.snapshot().record().metadata, [7; 256]);
    });
}

#[test]
fn a_repeated_revert_has_the_receipt_of_the_first_even_if_its_version_is_gone() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.versions.retain_versions = 2);
        let engine = rig.open();
        put(&engine, "a", "1");
        put(&engine, "a", "2");
        let first = engine.revert_to_with_blocking(1, keyed("undo")).unwrap();
        let durable = first.durable_blocking().unwrap();
        put(&engine, "a", "3");
        let repeat = engine.revert_to_with_blocking(1, keyed("undo")).unwrap();
        assert!(repeat.is_repeat() && !first.is_repeat());
        assert_eq!(repeat.sequence(), first.sequence());
        assert_eq!(
            repeat.durable_blocking().unwrap().commit_id,
            durable.commit_id
        );
        assert_eq!(engine.get(b"a").unwrap(), Some("3".into()));
        let error = engine
            .revert_to_with_blocking(4, keyed("undo"))
            .unwrap_err();
        let sequence = first.sequence();
        assert!(
            matches!(error, RevertError::Submit(SubmitError::IdempotencyKeyReused { sequence: s }) if s == sequence)
        );
        engine.shutdown_blocking().unwrap();
        let reopened = rig.open();
        let repeat = reopened.revert_to_with_blocking(1, keyed("undo")).unwrap();
        assert!(repeat.is_repeat());
    });
}

#[test]
fn reverts_under_traffic_succeed_and_are_alone_in_their_versions() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 10;
            config.submit.in_flight_operations_max = 50;
        });
        let engine = rig.open();
        let old = put(&engine, "kept", "1");
        let kept = engine.snapshot_at(old.version).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (engine, done) = (engine.clone(), done.clone());
                std::thread::spawn(move || {
                    let mut round = 0;
                    while !done.load(Ordering::SeqCst) {
                        let key = format!("{writer}/{}", round % 10);
                        engine.put_blocking(key, round.to_string()).unwrap();
                        round += 1;
                    }
                })
            })
            .collect();
        for round in 0..10 {
            // Both forms of the call.
            let receipt = match round % 2 {
                0 => engine.revert_to_blocking(old.version).unwrap(),
                _ => pollster::block_on(engine.revert_to(old.version)).unwrap(),
            };
            let durable = receipt.durable_blocking().unwrap();
            assert_eq!(durable.state_digest, old.state_digest);
            let snapshot = engine.snapshot_at(durable.version).unwrap();
            let record = snapshot.record();
            assert_eq!(record.first_sequence, record.last_sequence);
            assert_eq!(snapshot.key_count(), 1);
        }
        done.store(true, Ordering::SeqCst);
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        drop(kept);
    });
}

#[test]
fn readers_do_not_wait_for_a_revert_and_writers_do() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        rig.disk.syncs.close();
        let waiting = engine.put_blocking("a", "2").unwrap();
        let reverting = {
            let engine = engine.clone();
            std::thread::spawn(move || engine.revert_to_blocking(1).unwrap())
        };
        until(|| {
            engine
                .try_submit(puts([("b", "1")]))
                .is_err_and(|error| error.retry_can_help())
        });
        assert_eq!(engine.get(b"a").unwrap(), Some("2".into()));
        assert_eq!(engine.get_durable(b"a").unwrap(), Some("1".into()));
        rig.disk.syncs.open();
        let receipt = reverting.join().unwrap();
        assert!(receipt.sequence() > waiting.sequence());
        receipt.durable_blocking().unwrap();
        assert_eq!(engine.get(b"a").unwrap(), Some("1".into()));
    });
}

#[test]
fn a_revert_on_an_engine_that_was_shut_down_fails() {
    without_hanging(|| {
        let engine = Rig::new().open();
        put(&engine, "a", "1");
        engine.shutdown_blocking().unwrap();
        let error = engine.revert_to_blocking(0).unwrap_err();
        assert!(matches!(
            error,
            RevertError::Submit(SubmitError::Engine(EngineFailure::Closed))
        ));
    });
}

fn key() -> SecretKey {
    SecretKey::generate([7; 32])
}

#[test]
fn a_replica_follows_a_revert_and_refuses_one_that_is_none() {
    without_hanging(|| {
        let (here, there, lied) = (Rig::new(), Rig::new(), Rig::new());
        let primary = here.open();
        put(&primary, "a", "1");
        put(&primary, "a", "2");
        let reverted = reverted(&primary, 1);
        let replica = |rig: &Rig| {
            let builder = rig.builder().params(&primary.params());
            builder.open_replica_blocking(vec![key().public()]).unwrap()
        };
        let (honest, misled) = (replica(&there), replica(&lied));
        for entry in primary.feed(1).take(3) {
            let entry = entry.unwrap();
            let frame = Frame::sign(entry.clone(), &key());
            honest.apply_blocking(frame).unwrap();
            let mut entry = entry;
            if entry.record.version == 3 {
                // The record claims a revert to version 2, which has another state.
                let outcome = SubmissionOutcome::decode(&entry.outcomes).unwrap();
                let commit_id = misled.last_taken().commit_id;
                let outcome = SubmissionOutcome {
                    outcome: Outcome::Reverted { commit_id },
                    ..outcome
                };
                let (outcomes, digest) = encode_outcomes(&[outcome]);
                (entry.outcomes, entry.record.outcomes_digest) = (outcomes.into(), digest);
                let error = misled.apply_blocking(Frame::sign(entry, &key()));
                let error = error.unwrap_err();
                assert!(matches!(error, ApplyError::Reverted(_)), "{error}");
                break;
            }
            misled.apply_blocking(Frame::sign(entry, &key())).unwrap();
        }
        honest.wait_for_blocking(3, HANGS_AFTER).unwrap();
        assert_eq!(honest.snapshot().commit_id(), reverted.commit_id);
        assert_eq!(honest.get(b"a").unwrap(), Some("1".into()));
        honest.shutdown_blocking().unwrap();
        misled.shutdown_blocking().unwrap();
    });
}

#[test]
fn a_log_in_which_a_revert_has_another_state_than_it_says_is_refused() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let params = engine.params();
        put(&engine, "a", "1");
        let second = put(&engine, "a", "2");
        reverted(&engine, 1);
        engine.shutdown_blocking().unwrap();
        let other = rig.with_other_log(&params, |entries| {
            let entry = entries.last_mut().unwrap();
            let outcome = SubmissionOutcome::decode(&entry.outcomes).unwrap();
            let (outcomes, digest) = encode_outcomes(&[SubmissionOutcome {
                outcome: Outcome::Reverted {
                    commit_id: second.commit_id,
                },
                ..outcome
            }]);
            (entry.outcomes, entry.record.outcomes_digest) = (outcomes.into(), digest);
        });
        let error = other.builder().open_blocking().unwrap_err();
        let OpenError::Log(error) = error else {
            panic!("{error}")
        };
        let is_it = matches!(
            &*error,
            trunkline::core::store::log::OpenLogError::Visitor(ReplayError::Reverted(_))
        );
        assert!(is_it, "{error}");
    });
}
