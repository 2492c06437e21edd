//! Forks: roots, reads and proofs before anything is durable, and forks that become versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::params::CollisionPolicy;
use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::core::store::effect::decode_effects;
use trunkline::{
    Batch, BatchError, CommitOptions, Engine, EngineFailure, Fork, ForkCommitError, ForkError,
    IdempotencyKey, Outcome, ReadError, Refusal, Requirement, SnapshotError, SubmitError, TopKind,
};
use trunkline_testkit::keys::path_collisions;
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::{Rig, checkpoint, put, puts, submit, until, without_hanging};

fn keyed(key: &str) -> CommitOptions {
    CommitOptions {
        idempotency_key: IdempotencyKey::new(key.as_bytes()).unwrap(),
        ..CommitOptions::default()
    }
}

fn applied(fork: &mut Fork, batch: Batch) {
    assert!(fork.apply(batch).unwrap().is_applied());
}

fn committed(fork: Fork) -> trunkline::Durable {
    fork.commit_blocking().unwrap().durable_blocking().unwrap()
}

fn deletes(keys: &[&str]) -> Batch {
    let mut batch = Batch::new();
    keys.iter().for_each(|key| {
        batch.delete(key);
    });
    batch
}

#[test]
fn a_fork_has_the_roots_reads_and_proofs_of_the_version_that_it_becomes() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        submit(&engine, puts([("a", "1"), ("b", "1"), ("c", "1")]));
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("a", "2"), ("d", "2"), ("e", "2")]));
        applied(&mut fork, deletes(&["b", "e"]));
        // Back to the former value: no change of the version.
        applied(&mut fork, puts([("c", "2")]));
        applied(&mut fork, puts([("c", "1")]));
        let (state_digest, kzg_root) = (fork.state_digest().unwrap(), fork.kzg_root().unwrap());
        assert_eq!((fork.version(), fork.key_count()), (1, 3));
        let keys = ["a", "b", "c", "d", "e"];
        let values = fork.multi_get(&keys).unwrap();
        let expected = [Some("2"), None, Some("1"), Some("2"), None];
        let expected = expected.map(|value| value.map(bytes::Bytes::from));
        assert_eq!(values, expected);
        assert_eq!(fork.get(b"a").unwrap(), expected[0]);

        // Nobody else sees the changes.
        assert_eq!(engine.get(b"a").unwrap(), Some("1".into()));
        assert_eq!(engine.snapshot().get(b"d").unwrap(), None);

        let tree_id = engine.params().tree_id();
        let by_digest = Expected::StateDigest {
            tree_id,
            state_digest,
        };
        let by_kzg = Expected::KzgRoot { tree_id, kzg_root };
        for (top, expected) in [(TopKind::Hash, by_digest), (TopKind::Kzg, by_kzg)] {
            for some in [&keys[..1], &keys] {
                let proof = fork.prove(some, top).unwrap();
                let verified = verify(&proof, &expected).unwrap();
                assert_eq!(verified.claim(b"a"), Some(&Claim::Present(b"2".to_vec())));
            }
            let proof = fork.prove(keys, top).unwrap();
            let verified = verify(&proof, &expected).unwrap();
            assert_eq!(verified.claim(b"b"), Some(&Claim::Absent));
            assert_eq!(verified.claim(b"c"), Some(&Claim::Present(b"1".to_vec())));
        }
        let proofs = [TopKind::Hash, TopKind::Kzg].map(|top| fork.prove(keys, top).unwrap());

        let receipt = fork.commit_blocking().unwrap();
        let durable = receipt.durable_blocking().unwrap();
        assert_eq!((durable.version, durable.state_digest), (2, state_digest));
        assert_eq!(durable.outcome, Outcome::Applied { displaced: 0 });
        let snapshot = engine.snapshot();
        assert_eq!((snapshot.kzg_root(), snapshot.key_count()), (kzg_root, 3));
        assert_eq!(snapshot.multi_get(&keys).unwrap(), values);
        // Proofs of the fork are valid for the version, whose own proofs differ only in the record.
        for (proof, top) in proofs.into_iter().zip([TopKind::Hash, TopKind::Kzg]) {
            let mut later = snapshot.prove(keys, top).unwrap();
            later.versions[0].record = None;
            assert_eq!(proof, later);
            assert!(verify(&proof, &Expected::Root(snapshot.root())).is_ok());
            assert!(verify(&proof, &Expected::CommitId(snapshot.commit_id())).is_err());
        }
        assert!(
            verify(
                &snapshot.prove(keys, TopKind::Kzg).unwrap(),
                &Expected::Root(snapshot.root())
            )
            .is_ok()
        );
        let entry = engine.feed(2).next().unwrap().unwrap();
        let params = engine.params();
        let effects = decode_effects(&params, &entry.effects).unwrap();
        let mut names: Vec<&[u8]> = effects.iter().map(|effect| effect.key).collect();
        names.sort_unstable();
        assert_eq!(names, [b"a", b"b", b"d"]);

        // Its submission is that of the changes as one batch.
        let mut batch = puts([("a", "2"), ("d", "2")]);
        batch.delete("b");
        let same = batch.prepare(&params, &Default::default(), None).unwrap();
        let evidence = receipt.evidence_blocking().unwrap();
        let verified = evidence.verify(&receipt.provisional_root(), &durable.commit_id);
        assert_eq!(verified.unwrap().submission, same.digest);
        assert_eq!(engine.metrics().fork_commits, 1);
        drop(snapshot);
        engine.shutdown_blocking().unwrap();
        let reopened = rig.open();
        assert_eq!(reopened.snapshot().commit_id(), durable.commit_id);
        assert_eq!(reopened.get(b"d").unwrap(), Some("2".into()));
    });
}

#[test]
fn a_dropped_fork_leaves_nothing_and_one_without_changes_is_a_version() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let before = put(&engine, "a", "1");
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("b", "1")]));
        let other = fork.fork().unwrap();
        let figures = engine.metrics();
        assert_eq!(figures.forks, 2);
        assert!(figures.fork_bytes >= fork.bytes() + other.bytes());
        drop((fork, other));
        let figures = engine.metrics();
        assert_eq!((figures.forks, figures.fork_bytes), (0, 0));
        assert_eq!(engine.snapshot().version(), 1);

        let mut empty = engine.fork().unwrap();
        assert_eq!(empty.state_digest().unwrap(), before.state_digest);
        let durable = committed(empty);
        assert_eq!(
            (durable.version, durable.state_digest),
            (2, before.state_digest)
        );
        assert_eq!(engine.metrics().forks, 0);
    });
}

#[test]
fn forks_of_forks_are_independent_and_one_of_them_becomes_a_version() {
    without_hanging(|| {
        let engine = Rig::new().open();
        put(&engine, "a", "1");
        let mut trunk = engine.fork().unwrap();
        applied(&mut trunk, puts([("b", "1")]));
        let mut forks: Vec<Fork> = (0..3).map(|_| trunk.fork().unwrap()).collect();
        for (value, fork) in forks.iter_mut().enumerate() {
            applied(fork, puts([("c", value.to_string())]));
        }
        let mut deeper = forks[1].fork().unwrap();
        applied(&mut deeper, deletes(&["a", "b"]));
        for (value, fork) in forks.iter_mut().enumerate() {
            assert_eq!(fork.get(b"c").unwrap(), Some(value.to_string().into()));
            assert_eq!(fork.get(b"b").unwrap(), Some("1".into()));
        }
        assert_eq!(trunk.get(b"c").unwrap(), None);
        assert_eq!(deeper.key_count(), 1);
        let digests: std::collections::BTreeSet<_> = forks
            .iter_mut()
            .chain([&mut trunk, &mut deeper])
            .map(|fork| fork.state_digest().unwrap())
            .collect();
        assert_eq!(digests.len(), 5);
        let expected = deeper.state_digest().unwrap();
        assert_eq!(committed(deeper).state_digest, expected);
        assert_eq!(engine.snapshot().iter().count(), 1);
        for fork in forks {
            let error = fork.commit_blocking().unwrap_err();
            let is_it = matches!(
                error,
                ForkCommitError::Submit(SubmitError::Overtaken {
                    sequence: 1,
                    last: 2
                })
            );
            assert!(is_it, "{error}");
        }
        assert_eq!(engine.snapshot().version(), 2);
    });
}

#[test]
fn a_fork_is_overtaken_by_any_submission_that_was_accepted_also_if_it_is_not_durable_or_was_refused()
 {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        let fork = engine.fork().unwrap();
        let mut refused = Batch::new();
        refused.require("a", Requirement::Absent);
        let (_, durable) = submit(&engine, refused);
        assert!(!durable.outcome.is_applied());
        assert!(fork.commit_blocking().is_err());

        let fork = engine.fork().unwrap();
        rig.disk.syncs.close();
        let waiting = engine.put_blocking("a", "2").unwrap();
        // It does not wait to be notified.
        let error = fork.commit_blocking().unwrap_err();
        assert!(error.to_string().contains("begin again"), "{error}");
        // A fork of the last durable version does not contain accepted changes either.
        let fork = engine.fork().unwrap();
        assert_eq!(fork.get(b"a").unwrap(), Some("1".into()));
        assert!(pollster::block_on(fork.commit()).is_err());
        rig.disk.syncs.open();
        waiting.durable_blocking().unwrap();
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("a", "3")]));
        let receipt = pollster::block_on(fork.commit()).unwrap();
        receipt.durable_blocking().unwrap();
        assert_eq!(engine.get(b"a").unwrap(), Some("3".into()));
    });
}

#[test]
fn of_forks_that_are_committed_at_the_same_time_one_becomes_a_version() {
    without_hanging(|| {
        let engine = Rig::new().open();
        for round in 1..=20_u64 {
            let forks: Vec<Fork> = (0..4)
                .map(|number| {
                    let mut fork = engine.fork().unwrap();
                    applied(&mut fork, puts([("round", format!("{round}/{number}"))]));
                    fork
                })
                .collect();
            let threads = forks.into_iter().map(|fork| {
                std::thread::spawn(move || match fork.commit_blocking() {
                    Ok(receipt) => Some(receipt.durable_blocking().unwrap()),
                    Err(ForkCommitError::Submit(SubmitError::Overtaken { .. })) => None,
                    Err(error) => panic!("{error}"),
                })
            });
            let threads: Vec<_> = threads.collect();
            let ended = threads.into_iter().map(|thread| thread.join().unwrap());
            let durable: Vec<_> = ended.flatten().collect();
            assert_eq!(durable.len(), 1);
            let record = engine.snapshot().record().clone();
            assert_eq!((record.version, record.last_sequence), (round, round));
        }
    });
}

#[test]
fn a_batch_has_the_outcome_in_a_fork_that_it_has_when_it_is_submitted() {
    use CollisionPolicy::{Bucket, Overwrite, Reject};
    for policy in [Bucket, Overwrite, Reject] {
        without_hanging(move || {
            let rig = Rig::with(|config| {
                config.tree.collision = policy;
            });
            let engine = rig.open();
            let params = engine.params();
            let colliding: Vec<Vec<u8>> = path_collisions().into_iter().flatten().collect();
            let mut rng = StdRng::seed_from_u64(7);
            let mut outcomes = Vec::new();
            for _ in 0..12 {
                let mut fork = engine.fork().unwrap();
                let batches: Vec<Batch> = (0..4).map(|_| any_batch(&mut rng, &colliding)).collect();
                let mut expected = BTreeMap::new();
                for batch in &batches {
                    let outcome = fork.apply(batch.clone()).unwrap();
                    let (_, durable) = submit(&engine, batch.clone());
                    assert_eq!(outcome, durable.outcome, "{policy:?}");
                    outcomes.push(outcome);
                    assert_eq!(fork.state_digest().unwrap(), durable.state_digest);
                }
                for (key, value) in engine.snapshot().iter().map(Result::unwrap) {
                    assert_eq!(fork.get(&key).unwrap().as_ref(), Some(&value));
                    expected.insert(key, value);
                }
                assert_eq!(fork.key_count(), expected.len() as u64);
                // The same changes, as one version on top of the last.
                let old = fork.version();
                engine
                    .revert_to_blocking(old)
                    .unwrap()
                    .durable_blocking()
                    .unwrap();
                let mut again = engine.fork().unwrap();
                for batch in batches {
                    again.apply(batch).unwrap();
                }
                let digest = again.state_digest().unwrap();
                assert_eq!(digest, fork.state_digest().unwrap());
                assert_eq!(committed(again).state_digest, digest);
                let found = engine.snapshot();
                let found: BTreeMap<_, _> = found.iter().map(Result::unwrap).collect();
                assert_eq!(found, expected);
            }
            let refused = |outcome: &&Outcome| !outcome.is_applied();
            assert!(outcomes.iter().filter(refused).count() > 2);
            let displaced =
                |outcome: &Outcome| matches!(outcome, Outcome::Applied { displaced: 1.. });
            let path_taken =
                |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::PathTaken { .. }));
            assert_eq!(outcomes.iter().any(displaced), policy == Overwrite);
            assert_eq!(outcomes.iter().any(path_taken), policy == Reject);
            assert_eq!(engine.params(), params);
        });
    }
}

/// Puts, deletes and requirements of few keys, some of which share paths.
fn any_batch(rng: &mut StdRng, colliding: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..rng.random_range(1..6) {
        let key = match rng.random_bool(0.5) {
            true => colliding[rng.random_range(0..colliding.len().min(6))].clone(),
            false => vec![rng.random_range(0..8)],
        };
        match rng.random_range(0..8) {
            0..2 => batch.delete(key),
            2 => batch.require(key, Requirement::Absent),
            _ => batch.put(key, [rng.random_range(0..3)]),
        };
    }
    batch
}

#[test]
fn cold_leaves_are_read_for_forks_and_their_commits() {
    for budget_bytes in [0, 1] {
        without_hanging(move || {
            let rig = Rig::with(|config| {
                config.checkpoint.bytes_max = 4096;
                config.memory.budget_bytes = budget_bytes;
            });
            let engine = rig.open();
            let key = |key: u32| format!("{key}");
            submit(&engine, puts((0..3_000).map(|number| (key(number), "old"))));
            checkpoint(&engine);
            // Eviction follows commits.
            for round in 0..20 {
                put(&engine, "other", &round.to_string());
                checkpoint(&engine);
            }
            let evicted = engine.metrics().pages_evicted;
            assert_eq!(evicted > 0, budget_bytes > 0);
            let mut fork = engine.fork().unwrap();
            applied(
                &mut fork,
                puts((0..200).map(|number| (key(number * 20), "new"))),
            );
            let names: Vec<String> = (0..100).map(|number| key(number * 30 + 10)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            applied(&mut fork, deletes(&names));
            let expected = |number: u32| match number % 20 {
                _ if number % 30 == 10 => None,
                0 => Some("new"),
                _ => Some("old"),
            };
            for number in (0..3_000).step_by(7) {
                let value = fork.get(key(number).as_bytes()).unwrap();
                assert_eq!(value.as_deref(), expected(number).map(str::as_bytes));
            }
            let state_digest = fork.state_digest().unwrap();
            let tree_id = engine.params().tree_id();
            for number in (0..3_000).step_by(97) {
                let proof = fork.prove([key(number)], TopKind::Hash).unwrap();
                let trusted = Expected::StateDigest {
                    tree_id,
                    state_digest,
                };
                let verified = verify(&proof, &trusted).unwrap();
                let claim = match expected(number) {
                    Some(value) => Claim::Present(value.into()),
                    None => Claim::Absent,
                };
                assert_eq!(verified.claim(key(number).as_bytes()), Some(&claim));
            }
            assert_eq!(committed(fork).state_digest, state_digest);
            checkpoint(&engine);
            for number in (0..3_000).step_by(3) {
                let value = engine.get(key(number).as_bytes()).unwrap();
                assert_eq!(value.as_deref(), expected(number).map(str::as_bytes));
            }
            let last = engine.snapshot().record().clone();
            engine.shutdown_blocking().unwrap();
            assert_eq!(*rig.open().snapshot().record(), last);
        });
    }
}

#[test]
fn a_fork_of_an_older_version_tells_what_would_have_been_and_is_overtaken() {
    without_hanging(|| {
        let engine = Rig::new().open();
        for value in ["1", "2", "3"] {
            put(&engine, "a", value);
        }
        let digest = put(&engine, "b", "1").state_digest;
        let mut fork = engine.fork_at(1).unwrap();
        assert_eq!(fork.get(b"a").unwrap(), Some("1".into()));
        applied(&mut fork, puts([("a", "3"), ("b", "1")]));
        assert_eq!(fork.state_digest().unwrap(), digest);
        assert!(fork.commit_blocking().is_err());
        let error = engine.fork_at(5).unwrap_err();
        let is_it = matches!(
            error,
            ForkError::Version(SnapshotError::NotYet {
                version: 5,
                newest: 4
            })
        );
        assert!(is_it && error.retry_can_help());
    });
}

#[test]
fn a_fork_holds_its_version_until_that_is_too_far_behind() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.versions.retain_versions = 1;
            config.versions.snapshot_versions_behind_max = 5;
        });
        let engine = rig.open();
        put(&engine, "a", "1");
        let mut fork = engine.fork().unwrap();
        for value in 0..5 {
            put(&engine, "a", &value.to_string());
            applied(&mut fork, puts([("b", value.to_string())]));
            assert_eq!(fork.get(b"a").unwrap(), Some("1".into()));
            fork.state_digest().unwrap();
        }
        assert!(engine.fork_at(1).is_ok());
        put(&engine, "a", "too late");
        let expired = |error| matches!(error, ReadError::Expired { version: 1, .. });
        assert!(expired(fork.get(b"a").unwrap_err()));
        applied_expired(&mut fork);
        let error = engine.fork_at(1).unwrap_err();
        assert!(matches!(
            error,
            ForkError::Version(SnapshotError::Expired { version: 1, .. })
        ));
    });
}

fn applied_expired(fork: &mut Fork) {
    let before = fork.bytes();
    let error = fork.apply(puts([("c", "1")])).unwrap_err();
    assert!(
        matches!(error, ForkError::Read(ReadError::Expired { .. })),
        "{error}"
    );
    assert!(!error.retry_can_help());
    assert!(fork.bytes() < before + 10_000);
}

#[test]
fn forks_take_no_more_memory_than_they_may() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.versions.fork_bytes_max = 1 << 20);
        let engine = rig.open();
        let mut fork = engine.fork().unwrap();
        let mut number = 0;
        let error = loop {
            let keys = (0..20).map(|key| format!("{number}/{key}"));
            match fork.apply(puts(keys.map(|key| (key, [7; 1000])))) {
                Ok(outcome) => assert!(outcome.is_applied()),
                Err(error) => break error,
            }
            number += 1;
        };
        assert!(number > 15, "{number}");
        let ForkError::Full(full) = &error else {
            panic!("{error}")
        };
        assert!(error.retry_can_help() && full.bytes_max == 1 << 20);
        assert!(error.to_string().contains("versions.fork_bytes_max"));
        assert!(engine.metrics().fork_bytes <= 1 << 20);
        // The fork is unchanged, and there is no room for another.
        assert_eq!(fork.key_count(), 20 * number);
        assert!(matches!(fork.fork(), Err(ForkError::Full(_))));
        let mut config = (*engine.config()).clone();
        config.versions.fork_bytes_max = 4 << 20;
        engine.reload(config.clone()).unwrap();
        assert!(fork.fork().is_ok());
        let state_digest = fork.state_digest().unwrap();
        assert_eq!(committed(fork).state_digest, state_digest);
        config.versions.fork_bytes_max = 0;
        engine.reload(config).unwrap();
        assert!(matches!(engine.fork(), Err(ForkError::Full(_))));
    });
}

#[test]
fn a_fork_above_what_may_be_in_flight_is_not_committed() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 10;
            config.submit.in_flight_operations_max = 20;
        });
        let engine = rig.open();
        let mut fork = engine.fork().unwrap();
        let some = |batch: u32| puts((0..10).map(move |key| (format!("{batch}/{key}"), "1")));
        applied(&mut fork, some(0));
        applied(&mut fork, some(1));
        let fits = fork.fork().unwrap();
        applied(&mut fork, some(2));
        let error = fork.commit_blocking().unwrap_err();
        assert!(matches!(
            error,
            ForkCommitError::TooLarge {
                operations_max: 20,
                ..
            }
        ));
        assert!(
            error
                .to_string()
                .contains("submit.in_flight_operations_max")
        );
        let mut too_many = engine.fork().unwrap();
        let error = too_many.apply(puts((0..11).map(|key| (format!("{key}"), "1"))));
        assert!(matches!(
            error,
            Err(ForkError::Batch(BatchError::TooManyOperations { .. }))
        ));
        assert_eq!(committed(fits).version, 1);
    });
}

#[test]
fn a_commit_has_metadata_and_an_idempotency_key() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("a", "2")]));
        let options = CommitOptions {
            metadata: vec![7; 257].into(),
            ..CommitOptions::default()
        };
        let error = fork
            .fork()
            .unwrap()
            .commit_with_blocking(options)
            .unwrap_err();
        let ForkCommitError::Submit(SubmitError::Batch(error)) = error else {
            panic!("{error}")
        };
        assert_eq!(error, BatchError::MetadataTooLong { bytes: 257 });
        let options = CommitOptions {
            metadata: "block 7".into(),
            ..keyed("block 7")
        };
        let repeat = fork.fork().unwrap();
        let first = fork.commit_with_blocking(options.clone()).unwrap();
        let durable = first.durable_blocking().unwrap();
        assert_eq!(engine.snapshot().record().metadata, b"block 7");
        let mut other = repeat.fork().unwrap();
        let repeat = repeat.commit_with_blocking(options.clone()).unwrap();
        assert!(repeat.is_repeat() && !first.is_repeat());
        assert_eq!(
            repeat.durable_blocking().unwrap().commit_id,
            durable.commit_id
        );
        assert_eq!(engine.metrics().fork_commits, 1);
        applied(&mut other, puts([("b", "2")]));
        let error = other.commit_with_blocking(options).unwrap_err();
        let is_it = matches!(
            error,
            ForkCommitError::Submit(SubmitError::IdempotencyKeyReused { sequence: 2 })
        );
        assert!(is_it, "{error}");
        assert_eq!(engine.snapshot().version(), 2);
    });
}

#[test]
fn a_commit_is_alone_in_its_version_and_submissions_follow_it() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("a", "2")]));
        rig.disk.syncs.close();
        let receipt = fork.commit_blocking().unwrap();
        assert_eq!(engine.get(b"a").unwrap(), Some("2".into()));
        let later: Vec<_> = (0..5)
            .map(|key| engine.put_blocking(key.to_string(), "1").unwrap())
            .collect();
        rig.disk.syncs.open();
        let durable = receipt.durable_blocking().unwrap();
        for receipt in later {
            receipt.durable_blocking().unwrap();
        }
        let record = engine
            .snapshot_at(durable.version)
            .unwrap()
            .record()
            .clone();
        assert_eq!((record.first_sequence, record.last_sequence), (2, 2));
        until(|| engine.metrics().groups_in_flight == 0);
    });
}

#[test]
fn forks_of_an_engine_that_was_shut_down_fail() {
    without_hanging(|| {
        let engine = Rig::new().open();
        put(&engine, "a", "1");
        let mut fork = engine.fork().unwrap();
        applied(&mut fork, puts([("b", "1")]));
        engine.shutdown_blocking().unwrap();
        assert!(matches!(
            fork.apply(puts([("c", "1")])),
            Err(ForkError::Engine(EngineFailure::Closed))
        ));
        let error = fork.commit_blocking().unwrap_err();
        assert!(matches!(
            error,
            ForkCommitError::Submit(SubmitError::Engine(EngineFailure::Closed))
        ));
        assert!(engine.fork().is_err());
    });
}

#[test]
fn a_replica_follows_versions_that_were_forks() {
    without_hanging(|| {
        let (here, there) = (Rig::new(), Rig::new());
        let primary = here.open();
        let key = SecretKey::generate([7; 32]);
        for value in ["1", "2", "3"] {
            let mut fork = primary.fork().unwrap();
            applied(&mut fork, puts([("a", value), (value, "1")]));
            fork.kzg_root().unwrap();
            committed(fork);
        }
        let builder = there.builder().params(&primary.params());
        let replica = builder.open_replica_blocking(vec![key.public()]).unwrap();
        for entry in primary.feed(1).take(3) {
            replica
                .apply_blocking(Frame::sign(entry.unwrap(), &key))
                .unwrap();
        }
        replica.wait_for_blocking(3, HANGS_AFTER).unwrap();
        let (one, other) = (primary.snapshot().root(), replica.snapshot().root());
        assert_eq!(one, other);
        replica.shutdown_blocking().unwrap();
    });
}

#[test]
fn forks_of_archived_versions_are_refused_and_committed_forks_are_archived() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = trunkline::Config::in_directory(directory.path());
        config.versions.archive = true;
        config.versions.retain_versions = 1;
        let engine = Engine::open_blocking(config).unwrap();
        for value in ["1", "2", "3"] {
            let mut fork = engine.fork().unwrap();
            applied(&mut fork, puts([("a", value)]));
            committed(fork);
        }
        let old = engine.snapshot_at(1).unwrap();
        assert_eq!(old.get(b"a").unwrap(), Some("1".into()));
        let proof = old.prove(["a"], TopKind::Hash).unwrap();
        assert!(verify(&proof, &Expected::CommitId(old.commit_id())).is_ok());
        let error = engine.fork_at(1).unwrap_err();
        assert!(matches!(
            error,
            ForkError::Version(SnapshotError::Expired { .. })
        ));
        drop(old);
        engine.shutdown_blocking().unwrap();
    });
}

#[test]
fn forks_are_changed_and_proven_by_many_threads_while_versions_are_committed() {
    without_hanging(|| {
        let engine = Arc::new(Rig::with(|config| config.versions.retain_versions = 64).open());
        submit(&engine, puts((0..500).map(|key| (format!("{key}"), "0"))));
        let tree_id = engine.params().tree_id();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let engine = engine.clone();
                scope.spawn(move || {
                    for round in 0..10 {
                        let mut fork = engine.fork().unwrap();
                        let key = format!("{}", (thread * 100 + round) % 500);
                        let value = format!("{thread}/{round}");
                        applied(&mut fork, puts([(&key, &value)]));
                        let state_digest = fork.state_digest().unwrap();
                        let proof = fork.prove([&key], TopKind::Hash).unwrap();
                        let trusted = Expected::StateDigest {
                            tree_id,
                            state_digest,
                        };
                        let verified = verify(&proof, &trusted).unwrap();
                        let claim = Claim::Present(value.into_bytes());
                        assert_eq!(verified.claim(key.as_bytes()), Some(&claim));
                        let _ = fork
                            .commit_blocking()
                            .map(|receipt| receipt.durable_blocking());
                    }
                });
            }
        });
        assert!(engine.snapshot().version() >= 10);
    });
}
