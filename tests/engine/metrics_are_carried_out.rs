//! The facade of `metrics` gets what the engine measures, labelled with the engine's name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::support::{Rig, puts, submit, without_hanging};

/// Counts recordings of histograms, sums counters, keeps the last value of gauges.
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

/// By name and labels.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<BTreeMap<String, Arc<Seen>>>>);

impl Everything {
    fn seen(&self, key: &Key) -> Arc<Seen> {
        let labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    fn of_engine(&self, engine: &str) -> BTreeMap<String, u64> {
        let label = format!("engine={engine}");
        let seen = self.0.lock().unwrap();
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
fn labelled_with_the_name_of_the_engine() {
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
            ("trunkline_tree_bytes", inside.tree_bytes),
            ("trunkline_cells_evicted_total", 0),
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
        assert_eq!(
            everything.of_engine("the other")["trunkline_submissions_total"],
            1
        );
    });
}
