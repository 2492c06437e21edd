//! Idempotency keys: a repeated submission is applied once, and the repeat gets the result of the first one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;
use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::outcome::decode_outcomes;
use trunkline::{
    Batch, Durability, Durable, Engine, IdempotencyKey, Outcome, Receipt, Replica, Requirement,
    SubmitError,
};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::{Rig, put, puts, submit, until, without_hanging};

fn with_key(mut batch: Batch, key: &str) -> Batch {
    batch.idempotency_key(IdempotencyKey::new(key.as_bytes()).unwrap());
    batch
}

/// Returns a batch of one put, with a key.
fn keyed(key: &str, value: &str) -> Batch {
    with_key(puts([(format!("of {key}"), value)]), key)
}

fn is_repeat(engine: &Engine, batch: Batch) -> bool {
    engine.submit_blocking(batch).unwrap().is_repeat()
}

/// Makes a checkpoint, if the configuration starts one every 4 KiB. The value is new, also after a restart.
fn checkpoint(engine: &Engine) {
    let before = engine.metrics().checkpoints;
    let last = engine.snapshot().record().last_sequence;
    put(engine, "filler", &format!("{last:06000}"));
    until(|| engine.metrics().checkpoints > before);
}

/// Returns the sequence number of the submission that used a key first.
fn reused(engine: &Engine, batch: Batch) -> u64 {
    match engine.submit_blocking(batch) {
        Err(SubmitError::IdempotencyKeyReused { sequence }) => sequence,
        other => panic!("{other:?}"),
    }
}

/// Checks that a repeat gets the result of the first submission, and changes nothing.
fn check_repeat(engine: &Engine, batch: Batch, first: &Receipt, told: &Durable) {
    let before = engine.metrics();
    let receipt = engine.submit_blocking(batch).unwrap();
    assert!(receipt.is_repeat());
    assert_eq!(receipt.sequence(), first.sequence());
    assert_eq!(receipt.provisional_root(), first.provisional_root());
    let durable = receipt.durable_blocking().unwrap();
    // A root may have been computed since, or discarded with its version.
    if let (Some(then), Some(now)) = (told.kzg_root, durable.kzg_root) {
        assert_eq!(then, now);
    }
    let kzg_root = told.kzg_root;
    let told_now = Durable {
        kzg_root,
        ..durable
    };
    assert_eq!(told_now, *told);
    let hashed = receipt.hashed_blocking().unwrap();
    assert_eq!(
        (hashed.version, hashed.outcome),
        (told.version, told.outcome)
    );
    assert!(receipt.root_ready_blocking().unwrap().version >= told.version);
    let after = engine.metrics();
    assert_eq!(after.repeats, before.repeats + 1);
    assert_eq!(after.submissions, before.submissions);
}

#[test]
fn a_repeat_of_a_submission_in_flight_shares_its_fate() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let first = engine.submit_blocking(keyed("a", "1")).unwrap();
        let second = engine.submit_blocking(keyed("a", "1")).unwrap();
        assert!(!first.is_repeat() && second.is_repeat());
        assert_eq!(second.sequence(), first.sequence());
        assert_eq!(second.provisional_root(), first.provisional_root());
        assert_eq!(
            second.hashed_blocking().unwrap(),
            first.hashed_blocking().unwrap()
        );
        // Nobody needs to hold the first receipt.
        drop((first, second));
        let third = engine.submit_blocking(keyed("a", "1")).unwrap();
        assert_eq!(reused(&engine, keyed("a", "2")), third.sequence());
        rig.disk.syncs.open();
        let durable = third.durable_blocking().unwrap();
        assert_eq!((third.sequence(), durable.version), (1, 1));
        assert_eq!(put(&engine, "next", "x").version, 2);
        let metrics = engine.metrics();
        assert_eq!((metrics.submissions, metrics.repeats), (2, 2));
        assert_eq!(
            (metrics.idempotency_keys, metrics.idempotency_keys_reused),
            (1, 1)
        );
        assert_eq!(engine.get(b"of a").unwrap().as_deref(), Some(&b"1"[..]));
    });
}

#[test]
fn a_repeat_of_a_durable_submission_is_told_what_it_was_told() {
    for mode in [KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand] {
        let mut rig = Rig::with(|config| config.checkpoint.bytes_max = 4096);
        rig.config.kzg.mode = mode;
        let engine = rig.open();
        put(&engine, "before", "x");
        let (first, told) = submit(&engine, keyed("a", "1"));
        check_repeat(&engine, keyed("a", "1"), &first, &told);
        put(&engine, "of a", "2");
        check_repeat(&engine, keyed("a", "1"), &first, &told);
        assert_eq!(engine.get(b"of a").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(reused(&engine, keyed("a", "2")), first.sequence());
        // First from the log, then from the file that a checkpoint wrote.
        for _ in 0..2 {
            engine.shutdown_blocking().unwrap();
            let engine = rig.open();
            check_repeat(&engine, keyed("a", "1"), &first, &told);
            assert_eq!(reused(&engine, keyed("a", "2")), first.sequence());
            checkpoint(&engine);
            checkpoint(&engine);
            check_repeat(&engine, keyed("a", "1"), &first, &told);
            engine.shutdown_blocking().unwrap();
        }
    }
}

#[test]
fn a_refused_submission_is_refused_again_whatever_holds_now() {
    let rig = Rig::new();
    let engine = rig.open();
    put(&engine, "alice", "10");
    let mut create = keyed("a", "1");
    create.require("alice", Requirement::Absent);
    let (first, told) = submit(&engine, create.clone());
    assert!(matches!(told.outcome, Outcome::Refused(_)));
    engine.delete_blocking("alice").unwrap();
    check_repeat(&engine, create, &first, &told);
    assert_eq!(engine.get(b"of a").unwrap(), None);
}

#[test]
fn of_submissions_at_the_same_time_exactly_one_is_applied() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        for round in 0..20 {
            let (key, barrier) = (format!("{round}"), Arc::new(Barrier::new(6)));
            let threads = (0..6).map(|caller| {
                let (engine, key, barrier) = (engine.clone(), key.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    // Two callers use the key with other content.
                    engine.submit_blocking(keyed(&key, &format!("{}", caller % 3 % 2)))
                })
            });
            let threads: Vec<_> = threads.collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            let (accepted, refused): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
            let accepted: Vec<_> = accepted.into_iter().map(Result::unwrap).collect();
            let sequence = accepted[0].sequence();
            assert!(
                accepted
                    .iter()
                    .all(|receipt| receipt.sequence() == sequence)
            );
            let firsts = accepted.iter().filter(|receipt| !receipt.is_repeat());
            assert_eq!(firsts.count(), 1);
            assert!(matches!(refused.len(), 2 | 4));
            for error in refused {
                let Err(SubmitError::IdempotencyKeyReused { sequence: first }) = error else {
                    panic!("{error:?}");
                };
                assert_eq!(first, sequence);
            }
        }
        assert_eq!(engine.metrics().submissions, 20);
        engine.drain_blocking().unwrap();
        assert_eq!(engine.snapshot().record().last_sequence, 20);
    });
}

#[test]
fn a_batch_without_a_key_or_with_an_empty_one_is_applied_again() {
    let rig = Rig::new();
    let engine = rig.open();
    for _ in 0..2 {
        assert!(!is_repeat(&engine, puts([("a", "1")])));
        assert!(!is_repeat(&engine, with_key(puts([("a", "1")]), "")));
    }
    engine.drain_blocking().unwrap();
    assert_eq!(engine.metrics().idempotency_keys, 0);
    assert_eq!(engine.snapshot().record().last_sequence, 4);
}

#[test]
fn the_key_is_part_of_the_outcome_that_the_record_names() {
    let engine = Rig::new().open();
    let (_, durable) = submit(&engine, keyed("payment 17", "1"));
    let entry = engine.feed(durable.version).next().unwrap().unwrap();
    let record = &entry.record;
    let (outcomes, digest) = decode_outcomes(&entry.outcomes).unwrap();
    assert_eq!(outcomes[0].idempotency_key.bytes(), b"payment 17");
    assert_eq!(digest, record.outcomes_digest);
}

#[test]
fn the_oldest_key_is_forgotten_and_none_that_is_in_flight() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.submit.idempotency_keys_max = 2);
        let engine = rig.open();
        rig.disk.syncs.close();
        for key in ["a", "b", "c"] {
            assert!(!is_repeat(&engine, keyed(key, "1")));
        }
        for key in ["a", "b", "c"] {
            assert!(is_repeat(&engine, keyed(key, "1")));
        }
        rig.disk.syncs.open();
        engine.drain_blocking().unwrap();
        assert_eq!(engine.metrics().idempotency_keys, 2);
        engine.shutdown_blocking().unwrap();

        let engine = rig.open();
        assert!(is_repeat(&engine, keyed("b", "1")));
        assert!(is_repeat(&engine, keyed("c", "1")));
        assert!(!is_repeat(&engine, keyed("a", "1")));
        engine.drain_blocking().unwrap();
        assert!(!is_repeat(&engine, keyed("b", "1")));
    });
}

#[test]
fn a_submission_that_was_lost_is_applied_when_it_is_repeated() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.fail(Some(ErrorKind::StorageFull));
        let lost = engine.submit_blocking(keyed("a", "1")).unwrap();
        assert!(lost.durable_blocking().is_err());
        until(|| engine.failure().is_some());
        let refused = engine.submit_blocking(keyed("a", "1")).unwrap_err();
        assert!(matches!(refused, SubmitError::Engine(_)));
        drop(engine);
        rig.disk.syncs.fail(None);
        rig.disk.memory.crash(0);
        let engine = rig.open();
        let last = engine.snapshot().record().last_sequence;
        let (receipt, _) = submit(&engine, keyed("a", "1"));
        // The system may have kept it anyway.
        assert_eq!(receipt.is_repeat(), last == 1);
        assert_eq!(engine.snapshot().record().last_sequence, 1);
    });
}

#[test]
fn a_repeat_says_how_durable_the_first_one_is_now() {
    let rig = Rig::with(|config| config.durability.mode = DurabilityMode::Os);
    let engine = rig.open();
    submit(&engine, keyed("a", "1"));
    let durability = || submit(&engine, keyed("a", "1")).1.durability;
    assert_eq!(durability(), Durability::Os);
    engine.drain_blocking().unwrap();
    assert_eq!(durability(), Durability::Sync);
}

fn secret() -> SecretKey {
    SecretKey::generate([7; 32])
}

fn open_replica(rig: &Rig, primary: &Engine) -> Replica {
    let builder = rig.builder().params(&primary.params());
    builder
        .open_replica_blocking(vec![secret().public()])
        .unwrap()
}

/// Applies the primary's new versions.
fn catch_up(replica: &Replica, primary: &Engine) {
    primary.drain_blocking().unwrap();
    let (from, to) = (replica.last_taken().version + 1, primary.synced_version());
    for entry in primary.feed(from).take((to + 1 - from) as usize) {
        let frame = Frame::sign(entry.unwrap(), &secret());
        replica.apply_blocking(frame).unwrap();
    }
    replica.wait_for_blocking(to, HANGS_AFTER).unwrap();
}

#[test]
fn a_promoted_replica_answers_as_the_primary_would_have() {
    let small = |config: &mut trunkline::Config| {
        config.submit.idempotency_keys_max = 3;
        config.checkpoint.bytes_max = 4096;
    };
    let (here, there) = (Rig::with(small), Rig::with(small));
    let primary = here.open();
    let replica = open_replica(&there, &primary);
    let mut firsts = Vec::new();
    for key in ["a", "b", "c", "d"] {
        firsts.push(submit(&primary, keyed(key, "1")));
        put(&primary, "between", &"x".repeat(3000));
        catch_up(&replica, &primary);
    }
    let (of_primary, keys) = primary.snapshot_with_keys();
    let (of_replica, keys_there) = replica.snapshot_with_keys();
    assert_eq!(of_primary.commit_id(), of_replica.commit_id());
    assert_eq!((keys.len(), &keys), (3, &keys_there));
    drop(of_replica);

    let promoted = replica.promote_blocking(0).unwrap();
    for (key, (first, told)) in ["b", "c", "d"].iter().zip(&firsts[1..]) {
        check_repeat(&promoted, keyed(key, "1"), first, told);
        assert_eq!(reused(&promoted, keyed(key, "2")), first.sequence());
    }
    assert!(!is_repeat(&promoted, keyed("a", "1")));
}

/// An action of a caller.
#[derive(Clone, Debug)]
enum Step {
    Submit(u8, u8),
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u8..7, 0_u8..3).prop_map(|(key, value)| Step::Submit(key, value)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn keys_are_remembered_as_a_naive_model_does(
        keys_max in 1_usize..6,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let rig = Rig::with(|config| {
            config.submit.idempotency_keys_max = keys_max;
            config.checkpoint.bytes_max = 4096;
        });
        let mut engine = rig.open();
        // Oldest first: key, value, sequence number.
        let mut known: Vec<(u8, u8, u64)> = Vec::new();
        let mut values = BTreeMap::new();
        for step in steps {
            let (key, value) = match step {
                Step::Submit(key, value) => (key, value),
                Step::Checkpoint => {
                    checkpoint(&engine);
                    continue;
                }
                Step::Reopen => {
                    engine.shutdown_blocking().unwrap();
                    engine = rig.open();
                    continue;
                }
            };
            let submitted = engine.submit_blocking(keyed(&format!("{key}"), &format!("{value}")));
            match known.iter().find(|known| known.0 == key) {
                Some(first) if first.1 == value => {
                    let receipt = submitted.unwrap();
                    prop_assert!(receipt.is_repeat());
                    prop_assert_eq!(receipt.sequence(), first.2);
                }
                Some(first) => match submitted {
                    Err(SubmitError::IdempotencyKeyReused { sequence }) => {
                        prop_assert_eq!(sequence, first.2);
                    }
                    other => panic!("{other:?}"),
                },
                None => {
                    let receipt = submitted.unwrap();
                    prop_assert!(!receipt.is_repeat());
                    // Only durable submissions are forgotten.
                    receipt.durable_blocking().unwrap();
                    known.push((key, value, receipt.sequence()));
                    if known.len() > keys_max {
                        known.remove(0);
                    }
                    values.insert(key, value);
                }
            }
        }
        for (key, value) in values {
            let found = engine.get(format!("of {key}").as_bytes()).unwrap();
            let expected = format!("{value}").into_bytes();
            prop_assert_eq!(found.as_deref(), Some(&expected[..]));
        }
    }
}
