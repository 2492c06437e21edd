//! Leaves that are only in the leaf store.

use trunkline::core::batch::Requirement;
use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::core::store::leaves::{Leaf, LeafChange, LeafStore};
use trunkline::core::tree::LeavesDiffer;
use trunkline::{EngineFailure, ReadError, Stage, TopKind};

use crate::support::{Rig, checkpoint, put, puts, submit, without_hanging};

/// Returns a rig in which each put of a large value starts a checkpoint, and the budget has no room for the leaves it
/// covers.
fn rig() -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.versions.retain_versions = 1;
        config.memory.budget_bytes = 1;
    })
}

#[test]
fn values_proofs_and_walks_show_cold_leaves() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let keys: Vec<String> = (0..300).map(|key| format!("key {key}")).collect();
        let held = {
            submit(&engine, puts(keys.iter().map(|key| (key, "first"))));
            engine.snapshot()
        };
        checkpoint(&engine);
        submit(&engine, puts(keys[..100].iter().map(|key| (key, "second"))));
        drop(held);
        checkpoint(&engine);
        checkpoint(&engine);
        let metrics = engine.metrics();
        assert!(
            metrics.pages_evicted > 100 && metrics.pages_restored > 10,
            "{metrics:?}"
        );
        assert!(
            metrics.tree_leaves < 20 && metrics.keys == 302,
            "{metrics:?}"
        );

        let value = |place: usize| if place < 100 { "second" } else { "first" };
        let snapshot = engine.snapshot();
        for (place, key) in keys.iter().enumerate() {
            let expected = Some(value(place).into());
            assert_eq!(engine.get(key.as_bytes()).unwrap(), expected);
            assert_eq!(snapshot.get(key.as_bytes()).unwrap(), expected);
            let hash = snapshot.value_hash(key.as_bytes()).unwrap();
            assert_eq!(
                hash,
                Some(trunkline::core::hash::hash(value(place).as_bytes()))
            );
            assert!(engine.contains(key.as_bytes()).unwrap());
        }
        assert!(!engine.contains(b"absent").unwrap());
        assert_eq!(snapshot.get(b"absent").unwrap(), None);
        assert_eq!(snapshot.value_hash(b"absent").unwrap(), None);
        assert_eq!(snapshot.iter().map(Result::unwrap).count(), 302);
        let asked = keys[90..110].iter().map(String::as_str).chain(["absent"]);
        let proof = snapshot.prove(asked, TopKind::Hash).unwrap();
        let verified = verify(&proof, &Expected::Root(snapshot.root())).unwrap();
        assert_eq!(
            verified.claim(b"key 99"),
            Some(&Claim::Present(b"second".into()))
        );
        assert_eq!(verified.claim(b"absent"), Some(&Claim::Absent));
        assert_eq!(engine.metrics().pages_restored, metrics.pages_restored);
    });
}

#[test]
fn a_value_that_came_back_and_was_replaced_is_not_shown_again() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        for round in 0..6 {
            let value = format!("{round}");
            let mut batch = puts([("key", &value)]);
            if round > 0 {
                let before = format!("{}", round - 1);
                batch.require("key", Requirement::value(before.as_bytes()));
            }
            submit(&engine, batch);
            for _ in 0..2 {
                checkpoint(&engine);
                assert_eq!(engine.get(b"key").unwrap(), Some(value.clone().into()));
                assert_eq!(
                    engine.get_durable(b"key").unwrap(),
                    Some(value.clone().into())
                );
            }
            // The leaves are back in memory, unchanged.
            submit(&engine, puts([("key", &value)]));
            assert_eq!(engine.get(b"key").unwrap(), Some(value.into()));
        }
        assert!(engine.metrics().pages_restored >= 6);
        assert!(engine.metrics().cache_hits > 0);
    });
}

#[test]
fn a_held_snapshot_sees_its_own_values() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let keys: Vec<String> = (0..40).map(|key| format!("key {key}")).collect();
        let mut held = Vec::new();
        for round in 0..12 {
            let value = format!("{round}");
            let some = keys.iter().skip(round % 3).step_by(3);
            let mut batch = puts(some.map(|key| (key, &value)));
            batch.delete(format!("key {}", (round * 7) % 40));
            submit(&engine, batch);
            let snapshot = engine.snapshot();
            let seen: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
            held.push((snapshot, seen));
            if round % 2 == 1 {
                checkpoint(&engine);
            }
            if held.len() > 5 {
                held.remove(0);
            }
            for (snapshot, seen) in &held {
                let now: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
                assert_eq!(now, *seen);
                for (key, value) in seen {
                    assert_eq!(snapshot.get(key).unwrap().as_ref(), Some(value));
                }
                let proof = snapshot.prove(&keys, TopKind::Hash).unwrap();
                verify(&proof, &Expected::Root(snapshot.root())).unwrap();
            }
        }
        held.clear();
        checkpoint(&engine);
        checkpoint(&engine);
        assert!(engine.metrics().pages_evicted > 30);
    });
}

#[test]
fn another_value_in_the_store_fails_the_engine_before_it_enters_the_tree() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        put(&engine, "key", "sound");
        checkpoint(&engine);
        let durable = engine.snapshot();
        let leaf = Leaf {
            key: "key".into(),
            value: "forged".into(),
        };
        let forged = LeafChange {
            key_hash: engine.params().key_hash(b"key"),
            leaf: Some(leaf.borrowed()),
        };
        rig.leaves.ingest(&mut [forged].into_iter()).unwrap();
        // From the next checkpoint on the engine looks into the store as it is now.
        checkpoint(&engine);
        drop(durable);
        let proof = engine.snapshot().prove(["key"], TopKind::Hash);
        assert!(proof.unwrap_err().to_string().ends_with("from a copy"));

        let receipt = engine.put_blocking("key", "new").unwrap();
        let Err(EngineFailure::Stage { stage, source }) = receipt.durable_blocking() else {
            panic!("the engine works on");
        };
        let source: &(dyn std::error::Error + 'static) = &*source;
        assert_eq!(stage, Stage::Tree);
        assert!(source.is::<LeavesDiffer>(), "{source}");
        assert!(engine.failure().is_some());
        assert!(engine.put_blocking("other", "1").is_err());
    });
}

#[test]
fn opening_takes_no_more_memory_than_the_budget() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let keys: Vec<String> = (0..300).map(|key| format!("key {key}")).collect();
        submit(&engine, puts(keys.iter().map(|key| (key, "v"))));
        checkpoint(&engine);
        let root = engine.snapshot().root();
        engine.shutdown_blocking().unwrap();

        let engine = rig.open();
        assert_eq!(engine.snapshot().root(), root);
        let metrics = engine.metrics();
        assert!(
            metrics.tree_leaves < 20 && metrics.keys == 302,
            "{metrics:?}"
        );
        assert_eq!(engine.get(b"key 7").unwrap(), Some("v".into()));
    });
}

#[test]
fn a_damaged_store_is_told_apart_from_one_that_may_answer_later() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 4096;
            config.versions.retain_versions = 1;
        });
        let engine = rig.open();
        put(&engine, "key", "value");
        checkpoint(&engine);
        let gone = LeafChange {
            key_hash: engine.params().key_hash(b"key"),
            leaf: None,
        };
        rig.leaves.ingest(&mut [gone].into_iter()).unwrap();
        // From the next checkpoint on the engine looks into the store as it is now.
        checkpoint(&engine);
        for read in [
            engine.get(b"key"),
            engine.get_durable(b"key"),
            engine.multi_get(&["key"]).map(|mut found| found.remove(0)),
        ] {
            let error = read.unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
            assert!(!error.retry_can_help());
            assert!(error.to_string().ends_with("from a copy"), "{error}");
        }
        let walked: Result<Vec<_>, _> = engine.snapshot().iter().collect();
        assert!(matches!(walked, Err(ReadError::Damaged(_))));
        assert!(engine.get(b"after").unwrap().is_some());
    });
}
