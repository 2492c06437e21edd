//! The metrics of the engine: as a snapshot, and through the `metrics` facade.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use parking_lot::Mutex;
use trunkline::config::DurabilityMode;
use trunkline::metrics::TABLE;
use trunkline::{Requirement, Stage, TopKind};

use crate::support::{Rig, puts, submit, without_hanging};

#[test]
fn a_snapshot_adds_up() {
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
            (before.submissions, before.refused, before.displaced),
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

/// Counts records of histograms, sums counters, keeps the last value of gauges.
#[derive(Default)]
struct Seen(AtomicU64);

impl CounterFn for Seen {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

impl GaugeFn for Seen {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::SeqCst);
    }
}

impl HistogramFn for Seen {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// All metrics, by name and labels.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<BTreeMap<String, Arc<Seen>>>>);

impl Everything {
    fn seen(&self, key: &Key) -> Arc<Seen> {
        let labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        self.0.lock().entry(name).or_default().clone()
    }

    fn of_engine(&self, engine: &str) -> BTreeMap<String, u64> {
        let label = format!("engine={engine}");
        let seen = self.0.lock();
        let own = seen.iter().filter(|(name, _)| name.contains(&label));
        own.map(|(name, seen)| {
            (
                name.replace(&label, "").trim().replace("  ", " "),
                seen.0.load(Ordering::SeqCst),
            )
        })
        .collect()
    }
}

impl Recorder for Everything {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.seen(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.seen(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.seen(key))
    }
}

#[test]
fn the_facade_gets_what_is_in_the_table_with_the_name_of_the_engine() {
    without_hanging(|| {
        let everything = Everything::default();
        metrics::set_global_recorder(everything.clone()).unwrap();
        let rig = |name: &str| {
            let mut rig = Rig::new();
            rig.config.engine.name = name.to_owned();
            let workers = &mut rig.config.workers;
            (
                workers.tree_parallelism,
                workers.hash_parallelism,
                workers.proof_parallelism,
            ) = (2, 3, 4);
            rig
        };
        let (one, other) = (rig("one of them"), rig("the other").open());
        let (mut config, one) = (one.config.clone(), one.open());
        config.workers.hash_parallelism = 5;
        config.cache.value_bytes_max = 1 << 20;
        one.reload(config.clone()).unwrap();
        config.engine.name = "a third".to_owned();
        one.reload(config).unwrap_err();
        for round in 0..10 {
            submit(&one, puts([(format!("{round}"), "v")]));
        }
        submit(&other, puts([("a", "v")]));
        one.get(b"absent").unwrap();
        let inside = one.metrics();
        one.drain_blocking().unwrap();
        other.drain_blocking().unwrap();
        let outside = everything.of_engine("one of them");
        let expected = [
            ("trunkline_submissions_total", 10),
            ("trunkline_keys", 10),
            ("trunkline_absent_reads_total", 1),
            ("trunkline_log_bytes_total", inside.log_bytes),
            ("trunkline_groups_in_flight", 0),
            ("trunkline_failed", 0),
            ("trunkline_tree_leaves", 10),
            ("trunkline_memory_bytes owner=tree", inside.tree_bytes),
            ("trunkline_pages_evicted_total", 0),
            ("trunkline_submission_seconds state=accepted", 10),
            ("trunkline_submission_seconds state=hashed", 10),
            ("trunkline_submission_seconds state=root_ready", 10),
            ("trunkline_submission_seconds state=durable", 10),
            ("trunkline_stage_service_seconds stage=ingest", 10),
            ("trunkline_stage_service_seconds stage=tree", 10),
            ("trunkline_stage_queue_wait_seconds stage=persist", 10),
            ("trunkline_group_operations", 10),
            ("trunkline_versions_per_sync", 10),
            ("trunkline_group_operations_max", 20_000),
            ("trunkline_in_flight_operations_max", 1_000_000),
            ("trunkline_shards work=tree", 2),
            ("trunkline_shards work=hash", 5),
            ("trunkline_shards work=proof", 4),
            ("trunkline_value_cache_bytes_max", 1 << 20),
            ("trunkline_tree_bytes_max", 0),
            (
                "trunkline_decisions_total change=setting reason=reloaded",
                2,
            ),
            (
                "trunkline_decisions_total change=reload_refused reason=reloaded",
                1,
            ),
        ];
        for (name, value) in expected {
            assert_eq!(outside.get(name), Some(&value), "{name} in {outside:#?}");
        }
        assert!(outside["trunkline_resident_bytes"] > 0);
        for series in outside.keys() {
            let name = series.split(' ').next().unwrap_or_default();
            assert!(TABLE.iter().any(|metric| metric.name == name), "{series}");
        }
        assert_eq!(
            everything.of_engine("the other")["trunkline_submissions_total"],
            1
        );
    });
}
