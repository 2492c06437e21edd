use trunkline::config::DurabilityMode;
use trunkline::{Requirement, Stage, TopKind};

use crate::support::{Rig, puts, submit, without_hanging};

#[test]
fn in_a_snapshot() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.engine.name = "counted".to_owned();
            config.checkpoint.bytes_max = 4096;
            // No checkpoint runs any more when the last one is due.
            config.checkpoint.unflushed_bytes_max = 4096;
        });
        let engine = rig.open();
        for round in 0..20_u32 {
            submit(
                &engine,
                puts((0..5).map(|key| (format!("{round} {key}"), "v"))),
            );
        }
        let mut refused = puts([("a", "1")]);
        refused.require("0 0", Requirement::Absent);
        submit(&engine, refused);
        engine.drain_blocking().unwrap();
        let before = engine.metrics();
        assert_eq!(before.engine, "counted");
        for (stage, figures) in Stage::ALL.iter().zip(&before.stages) {
            assert_eq!(figures.name, stage.name());
            assert_eq!(
                (figures.service_us.count, figures.queue_wait_us.count),
                (21, 21)
            );
            let service = figures.service_us;
            assert!(service.p50 <= service.p95 && service.p95 <= service.p99);
            assert!(service.p99 <= service.max);
        }
        for state in [
            before.accepted_us,
            before.hashed_us,
            before.root_ready_us,
            before.durable_us,
        ] {
            assert_eq!(state.count, 21);
        }
        assert_eq!(
            (before.submissions, before.refused, before.evicted),
            (21, 1, 0)
        );
        let groups = before.group_operations;
        assert_eq!((groups.count, groups.p50, groups.max), (21, 5, 5));
        assert_eq!(before.versions_per_sync.count, 21);
        assert_eq!((before.keys, before.groups_in_flight), (100, 0));
        assert!(before.log_bytes > 0 && before.resident_bytes > 0);

        engine.get(b"0 0").unwrap();
        engine.get(b"absent").unwrap();
        engine.snapshot().get(b"absent").unwrap();
        let after = engine.metrics();
        let reads = |m: &trunkline::MetricsSnapshot| m.memory_hits + m.store_reads;
        assert_eq!(reads(&after) - reads(&before), 1);
        assert_eq!(after.absent_reads - before.absent_reads, 2);

        // Looking for a key is a read as well, and so is asking for a value's hash.
        let before = after;
        assert!(engine.contains(b"0 0").unwrap());
        assert!(!engine.contains(b"absent").unwrap());
        let snapshot = engine.snapshot();
        assert!(snapshot.value_hash(b"0 0").unwrap().is_some());
        assert_eq!(snapshot.value_hash(b"absent").unwrap(), None);
        drop(snapshot);
        let after = engine.metrics();
        assert_eq!(after.memory_hits - before.memory_hits, 2);
        assert_eq!(after.absent_reads - before.absent_reads, 2);

        submit(&engine, puts([("large", "x".repeat(5000))]));
        engine.shutdown_blocking().unwrap();
        let last = engine.metrics();
        assert!(last.checkpoints >= 1);
        assert_eq!((last.unflushed_bytes, last.keys), (0, 101));
        assert!(!last.failed, "it was shut down in order");
    });
}

#[test]
fn what_was_not_synced_is_not_counted_as_synced() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.durability.mode = DurabilityMode::Os);
        let engine = rig.open();
        for round in 0..5_u32 {
            submit(&engine, puts([(round.to_le_bytes(), "v")]));
        }
        assert_eq!(engine.metrics().versions_per_sync.count, 0);
        engine.drain_blocking().unwrap();
        let per_sync = engine.metrics().versions_per_sync;
        assert_eq!((per_sync.count, per_sync.max), (1, 5));
        assert_eq!(engine.metrics().keys, 5);
    });
}

#[test]
fn keys_are_known_at_once_after_reopening() {
    without_hanging(|| {
        let rig = Rig::new();
        submit(&rig.open(), puts([("a", "1"), ("b", "1")]));
        let metrics = rig.open().metrics();
        assert_eq!((metrics.keys, metrics.submissions), (2, 0));
    });
}

#[test]
fn an_opening_is_made_once_a_slot_and_version() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        submit(&engine, puts([("a", "1")]));
        engine.drain_blocking().unwrap();
        let openings = || {
            let metrics = engine.metrics();
            (
                metrics.openings_computed,
                metrics.openings_moved,
                metrics.openings_reused,
            )
        };
        let snapshot = engine.snapshot();
        let first = snapshot.prove(["a"], TopKind::Kzg).unwrap();
        assert_eq!(openings(), (1, 0, 0));
        let again = engine.snapshot().prove(["a"], TopKind::Kzg).unwrap();
        assert_eq!((openings(), again), ((1, 0, 1), first));
        snapshot.prove(["a"], TopKind::Hash).unwrap();
        assert_eq!(openings(), (1, 0, 1));

        submit(&engine, puts([("a", "2")]));
        engine.drain_blocking().unwrap();
        engine.snapshot().prove(["a"], TopKind::Kzg).unwrap();
        assert_eq!(openings(), (1, 1, 1));
    });
}
