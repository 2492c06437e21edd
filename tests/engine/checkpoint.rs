//! Reads before, during and after checkpoints.

use std::sync::Arc;

use trunkline::core::proof::{Expected, verify};
use trunkline::{Engine, TopKind};
use trunkline_testkit::random::Random;

use crate::support::{Rig, put, puts, submit, without_hanging};

/// Returns a rig in which commits wait for checkpoints that fall behind, so that the number of checkpoints does not
/// depend on their speed.
fn rig(retain_versions: u64) -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.checkpoint.unflushed_bytes_max = 4 * 4096;
        config.versions.retain_versions = retain_versions;
    })
}

fn wait_for_checkpoints(engine: &Engine, count: u64) {
    crate::support::until(|| engine.metrics().checkpoints >= count);
}

#[test]
fn a_snapshot_that_was_read_before_a_checkpoint_reads_the_same_after_it() {
    without_hanging(|| {
        let rig = rig(1);
        let engine = rig.open();
        rig.leaves.ingestions.close();
        let value = "v".repeat(5000);
        let durable = put(&engine, "key", &value);
        rig.leaves.ingestions.wait_for_a_waiter();
        let snapshot = engine.snapshot_at(durable.version).unwrap();
        let read = || snapshot.get(b"key").unwrap().unwrap();
        assert_eq!(read(), value.as_bytes());
        rig.leaves.ingestions.open();
        wait_for_checkpoints(&engine, 1);
        // The next version makes the engine evict values that no version needs.
        put(&engine, "other", "1");
        engine.drain_blocking().unwrap();
        assert_eq!(read(), value.as_bytes());
        let proof = snapshot.prove(["key"], TopKind::Hash).unwrap();
        verify(&proof, &Expected::Root(snapshot.root())).unwrap();
    });
}

#[test]
fn values_stay_what_they_were_through_many_checkpoints() {
    without_hanging(|| {
        let rig = rig(4);
        let engine = rig.open();
        let held: Vec<_> = (0..60_u32)
            .map(|round| {
                let value = |key: u32| format!("{key} in round {round} {}", "x".repeat(200));
                let mut batch = puts((0..8).map(|key| (format!("key {key}"), value(key))));
                batch.delete(format!("key {}", round % 8));
                submit(&engine, batch);
                (round, engine.snapshot())
            })
            .collect();
        assert!(engine.metrics().checkpoints > 3, "too few checkpoints");
        for (round, snapshot) in &held {
            for key in 0..8_u32 {
                let found = snapshot.get(format!("key {key}").as_bytes()).unwrap();
                let expected = (key != round % 8)
                    .then(|| format!("{key} in round {round} {}", "x".repeat(200)).into());
                assert_eq!(found, expected);
            }
            let keys = (0..8).map(|key| format!("key {key}"));
            let proof = snapshot.prove(keys, TopKind::Hash).unwrap();
            verify(&proof, &Expected::Root(snapshot.root())).unwrap();
        }
    });
}

/// A reader sees values that were durable before it read, while checkpoints move values to the store.
#[test]
fn readers_during_checkpoints_see_no_older_value_than_what_was_durable_before() {
    without_hanging(|| {
        let rig = rig(1);
        let engine = rig.open();
        let written = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let reader = std::thread::spawn({
            let (engine, written) = (engine.clone(), written.clone());
            move || {
                let mut random = Random(7);
                loop {
                    let durable = written.load(std::sync::atomic::Ordering::SeqCst);
                    if durable == u64::MAX {
                        return;
                    }
                    let key = random.below(4);
                    let present = engine.get(&key.to_le_bytes()).unwrap();
                    let durably = engine.get_durable(&key.to_le_bytes()).unwrap();
                    for found in [present, durably].into_iter().flatten() {
                        let round = u64::from_le_bytes(*found.first_chunk().unwrap());
                        assert!(round >= durable, "{round} after {durable} was durable");
                    }
                }
            }
        });
        for round in 1..=600_u64 {
            let mut value = vec![0; 2000];
            value[..8].copy_from_slice(&round.to_le_bytes());
            submit(
                &engine,
                puts((0..4_u64).map(|key| (key.to_le_bytes(), &value))),
            );
            written.store(round, std::sync::atomic::Ordering::SeqCst);
        }
        written.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
        reader.join().unwrap();
        assert!(engine.metrics().checkpoints > 10);
    });
}

/// A version without changes takes memory and log space too, which a checkpoint frees.
#[test]
fn versions_that_change_nothing_lead_to_checkpoints_too() {
    without_hanging(|| {
        let mut rig = rig(1);
        rig.config.checkpoint.unflushed_bytes_max = 4096;
        let engine = rig.open();
        for _ in 0..200 {
            put(&engine, "key", "the same");
        }
        assert!(engine.metrics().checkpoints > 0);
        assert!(engine.metrics().unflushed_bytes < 8192);
        assert_eq!(engine.get(b"key").unwrap(), Some("the same".into()));
    });
}
