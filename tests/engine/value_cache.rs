//! The cache of values that were read from the leaf store.

use trunkline::{Engine, MetricsSnapshot};

use crate::support::{Rig, put, puts, submit, until, without_hanging};

/// Returns an engine whose leaf store has the value "first" of "key", and the metrics at that point.
fn checkpointed(value_bytes_max: u64) -> (Engine, MetricsSnapshot) {
    let rig = Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.cache.value_bytes_max = value_bytes_max;
    });
    let engine = rig.open();
    let filler = "x".repeat(5000);
    submit(&engine, puts([("key", "first"), ("filler", &filler)]));
    until(|| engine.metrics().checkpoints >= 1);
    let before = engine.metrics();
    (engine, before)
}

#[test]
fn a_value_read_from_the_store_is_cached_for_the_next_read() {
    without_hanging(|| {
        let (engine, before) = checkpointed(1 << 20);
        for _ in 0..5 {
            assert_eq!(engine.get(b"key").unwrap(), Some("first".into()));
            assert_eq!(engine.get_durable(b"key").unwrap(), Some("first".into()));
        }
        let after = engine.metrics();
        assert_eq!(after.store_reads - before.store_reads, 1);
        assert_eq!(after.cache_misses - before.cache_misses, 1);
        assert_eq!(after.cache_hits - before.cache_hits, 9);
    });
}

#[test]
fn a_cached_value_never_hides_a_later_one() {
    without_hanging(|| {
        let (engine, _) = checkpointed(1 << 20);
        let snapshot = engine.snapshot();
        assert_eq!(engine.get(b"key").unwrap(), Some("first".into()));
        for round in 0..20 {
            let value = format!("{round} {}", "x".repeat(1000));
            put(&engine, "key", &value);
            assert_eq!(engine.get(b"key").unwrap(), Some(value.into()));
            assert_eq!(snapshot.get(b"key").unwrap(), Some("first".into()));
        }
        engine.delete_blocking("key").unwrap();
        assert_eq!(engine.get(b"key").unwrap(), None);
        assert_eq!(snapshot.get(b"key").unwrap(), Some("first".into()));
    });
}

#[test]
fn nothing_is_cached_without_room() {
    without_hanging(|| {
        let (engine, before) = checkpointed(0);
        for _ in 0..5 {
            assert_eq!(engine.get(b"key").unwrap(), Some("first".into()));
        }
        let after = engine.metrics();
        assert_eq!(after.store_reads - before.store_reads, 5);
        assert_eq!(after.cache_hits, 0);
    });
}
