//! Outcomes of submissions: refusals, requirements, collisions.

use trunkline::core::hash;
use trunkline::core::outcome::{IdempotencyKey, SubmissionOutcome, encode_outcomes};
use trunkline::core::params::{CollisionPolicy, TreeParams};
use trunkline::{Batch, Engine, Outcome, Refusal, Requirement};
use trunkline_testkit::path_collisions;

use crate::support::{Rig, puts, submit, without_hanging};

#[test]
fn a_refused_submission_does_not_affect_others_of_its_group() {
    without_hanging(|| {
        // Submissions linger until a drain, so they are one group.
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        engine.put_blocking("a", "0").unwrap();
        engine.drain_blocking().unwrap();
        let before = engine.put_blocking("b", "1").unwrap();
        let mut refused = puts([("b", "2"), ("c", "2")]);
        refused.require("a", Requirement::Absent);
        let refused = engine.submit_blocking(refused).unwrap();
        // The requirement refers to a write of an earlier submission of the same version.
        let mut after = puts([("d", "3")]);
        after.require("b", Requirement::value(b"1"));
        let after = engine.submit_blocking(after).unwrap();
        engine.drain_blocking().unwrap();

        let states = [before, refused.clone(), after].map(|r| r.durable_blocking().unwrap());
        assert_eq!(states.map(|durable| durable.version), [2; 3]);
        let key_hash = hash::hash(b"a");
        assert_eq!(states[0].outcome, Outcome::Applied { displaced: 0 });
        assert_eq!(
            states[1].outcome,
            Outcome::Refused(Refusal::RequirementFailed { key_hash })
        );
        assert_eq!(states[2].outcome, Outcome::Applied { displaced: 0 });
        assert_eq!(
            refused.hashed_blocking().unwrap().outcome,
            states[1].outcome
        );
        let keys = ["a", "b", "c", "d"];
        let found = engine.multi_get(&keys).unwrap();
        let expected = [Some("0"), Some("1"), None, Some("3")];
        assert_eq!(found, expected.map(|value| value.map(Into::into)));
        let record = engine.snapshot().record().clone();
        assert_eq!((record.first_sequence, record.last_sequence), (2, 4));
        assert_eq!(engine.metrics().refused, 1);
    });
}

#[test]
fn a_version_of_refused_submissions_alone_repeats_the_state() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let (_, before) = submit(&engine, puts([("a", "1")]));
        let mut batch = puts([("a", "2")]);
        batch.require("a", Requirement::value(b"0"));
        let (_, after) = submit(&engine, batch);
        assert_eq!(after.version, before.version + 1);
        assert_eq!(after.state_digest, before.state_digest);
        assert_ne!(after.commit_id, before.commit_id);
        assert_eq!(after.kzg_root, before.kzg_root);
    });
}

#[test]
fn reject_refuses_the_second_key_of_a_path() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.tree.collision = CollisionPolicy::Reject);
        let engine = rig.open();
        let [old, new] = path_collisions().remove(0);
        submit(&engine, puts([(&old, "1")]));
        let (_, refused) = submit(&engine, puts([(new.as_slice(), "2"), (b"other", "2")]));
        let Outcome::Refused(Refusal::PathTaken { key_hash }) = refused.outcome else {
            panic!("{refused:?}");
        };
        assert_eq!(key_hash, TreeParams::default().key_hash(&new));
        assert_eq!(engine.get(&new).unwrap(), None);
        assert_eq!(engine.get(b"other").unwrap(), None);
        assert_eq!(engine.get(&old).unwrap().as_deref(), Some(&b"1"[..]));
    });
}

#[test]
fn overwrite_counts_the_keys_that_were_displaced() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.tree.collision = CollisionPolicy::Overwrite);
        let engine = rig.open();
        let pairs = path_collisions();
        submit(&engine, puts(pairs.iter().map(|[old, _]| (old, "1"))));
        let (_, durable) = submit(&engine, puts(pairs.iter().map(|[_, new]| (new, "2"))));
        let displaced = u32::try_from(pairs.len()).unwrap();
        assert_eq!(durable.outcome, Outcome::Applied { displaced });
        assert_eq!(engine.metrics().displaced, pairs.len() as u64);
        for [old, new] in &pairs {
            assert_eq!(engine.get(old).unwrap(), None);
            assert_eq!(engine.get(new).unwrap().as_deref(), Some(&b"2"[..]));
        }
        engine.shutdown_blocking().unwrap();
        let engine = rig.open();
        assert_eq!(engine.snapshot().iter().count(), pairs.len());
    });
}

const CALLERS: u64 = 4;
const INCREMENTS: u64 = 50;

/// Increments a counter with a compare-and-set. Returns whether it took effect.
fn increment(engine: &Engine, key: &str) -> bool {
    let found = engine.get(key.as_bytes()).unwrap();
    let (count, requirement) = match &found {
        None => (0, Requirement::Absent),
        Some(value) => (
            u64::from_le_bytes(value[..].try_into().unwrap()),
            Requirement::value(value),
        ),
    };
    let mut batch = Batch::new();
    batch.require(key, requirement);
    batch.put(key, (count + 1).to_le_bytes());
    let receipt = engine.submit_blocking(batch).unwrap();
    receipt.hashed_blocking().unwrap().outcome.is_applied()
}

#[test]
fn counters_of_many_concurrent_callers_lose_no_update() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let engine = engine.clone();
                std::thread::spawn(move || {
                    for round in 0..INCREMENTS {
                        let key = format!("counter {}", (caller + round) % 2);
                        while !increment(&engine, &key) {}
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        engine.shutdown_blocking().unwrap();
        let engine = rig.open();
        let sum: u64 = engine
            .snapshot()
            .iter()
            .map(|pair| u64::from_le_bytes(pair.unwrap().1[..].try_into().unwrap()))
            .sum();
        assert_eq!(sum, CALLERS * INCREMENTS);
    });
}

/// Writes of a batch with requirements become visible only once they have taken effect.
#[test]
fn writes_that_may_still_be_refused_are_not_visible() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        engine.put_blocking("a", "1").unwrap();
        engine.drain_blocking().unwrap();
        let mut batch = Batch::new();
        batch.require("a", Requirement::value(b"1")).put("a", "2");
        let receipt = engine.submit_blocking(batch).unwrap();
        assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        engine.drain_blocking().unwrap();
        assert!(receipt.hashed_blocking().unwrap().outcome.is_applied());
        assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    });
}

/// A replay applies the effects of a revert, which are resolved, and does not need the version that it names.
#[test]
fn a_revert_with_an_idempotency_key_is_replayed_and_shown_by_evidence() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let (params, first) = (engine.params(), submit(&engine, puts([("a", "1")])).1);
        submit(&engine, puts([("a", "2")]));
        let (last, _) = submit(&engine, puts([("a", "1")]));
        engine.shutdown_blocking().unwrap();
        let revert = Outcome::Reverted {
            commit_id: first.commit_id,
        };
        let other = rig.with_other_log(&params, |entries| {
            let entry = entries.last_mut().unwrap();
            let outcome = SubmissionOutcome::decode(&entry.outcomes).unwrap();
            let (outcomes, digest) = encode_outcomes(&[SubmissionOutcome {
                outcome: revert,
                idempotency_key: IdempotencyKey::new(&[0x6b; 64]).unwrap(),
                ..outcome
            }]);
            (entry.outcomes, entry.record.outcomes_digest) = (outcomes.into(), digest);
        });

        let engine = other.open();
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.get(b"a").unwrap(), Some("1".into()));
        let evidence = engine.evidence(last.sequence()).unwrap();
        let verified = evidence.verify(&last.provisional_root(), &snapshot.commit_id());
        let verified = verified.unwrap();
        assert_eq!(verified.outcome, revert);
        assert_eq!(verified.idempotency_key.bytes(), [0x6b; 64]);
        engine.shutdown_blocking().unwrap();
    });
}
