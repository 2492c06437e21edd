//! What the engine measures of itself: HDR histograms, read as a snapshot and carried out by the
//! `metrics` facade, each labelled with the engine's name.
//!
//! A histogram is locked for one addition by the one thread that records into it. Not here: what is
//! decided from the figures.

pub mod interval;
mod labels;
mod series;
pub mod timeline;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use metrics::{Gauge, counter, gauge, histogram};
use serde::{Deserialize, Serialize};

use trunkline_core::tree::TreeMemory;

use crate::decisions::{Change, Reason, Work};
use crate::failure::Stage;
use crate::message::GroupTag;
use crate::metrics::interval::{Interval, micros};
use crate::metrics::timeline::{Span, Timeline};

use labels::{because, changed};
use series::{Amounts, Counted, Level, Timed};

/// A state of a submission whose latency is measured: `accepted` from the call that submitted it, the others from
/// acceptance.
#[derive(Clone, Copy, Debug)]
pub enum State {
    Accepted,
    Hashed,
    RootReady,
    Durable,
}

impl State {
    const ALL: [Self; 4] = [Self::Accepted, Self::Hashed, Self::RootReady, Self::Durable];

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Hashed => "hashed",
            Self::RootReady => "root_ready",
            Self::Durable => "durable",
        }
    }
}

/// How a proof came by the opening of a slot.
#[derive(Clone, Copy, Debug)]
pub enum OpeningUse {
    Computed,
    Moved,
    Kept,
}

/// What is in force of all that decisions and reloading move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub group_operations_max: u64,
    pub in_flight_operations_max: u64,
    pub tree_parallelism: u64,
    pub hash_parallelism: u64,
    pub proof_parallelism: u64,
    pub value_cache_bytes_max: u64,
    pub tree_bytes_max: u64,
}

/// Count and quantiles of a distribution: microseconds for durations, else what the field counts.
///
/// ```
/// assert_eq!(trunkline::Quantiles::default().count, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quantiles {
    /// Values recorded.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest value.
    pub max: u64,
}

impl Quantiles {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

/// One stage's figures.
///
/// ```
/// let stage = trunkline::StageMetrics::default();
/// assert_eq!(stage.service_us.count, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageMetrics {
    /// Name of the stage.
    pub name: &'static str,
    /// From being sent by the stage before to being taken up, microseconds.
    pub queue_wait_us: Quantiles,
    /// From being taken up to being forwarded, microseconds.
    pub service_us: Quantiles,
}

/// The engine's figures at one moment, since it was opened.
///
/// ```
/// let metrics = trunkline::MetricsSnapshot::default();
/// assert_eq!(metrics.keys, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// The engine's name.
    pub engine: String,
    /// The five stages, in flow order.
    pub stages: [StageMetrics; 5],
    /// From the call of submit to its return, microseconds: credit, hashing and ordering.
    pub accepted_us: Quantiles,
    /// From acceptance to a version with digests, microseconds.
    pub hashed_us: Quantiles,
    /// From acceptance to a KZG root that covers the submission, microseconds.
    pub root_ready_us: Quantiles,
    /// From acceptance to durability, microseconds.
    pub durable_us: Quantiles,
    /// Operations of a group.
    pub group_operations: Quantiles,
    /// Versions that one sync made durable. What is handed to the system alone (durability modes `interval` and `os`)
    /// is not counted before it is synced.
    pub versions_per_sync: Quantiles,
    /// Groups sealed and not yet durable.
    pub groups_in_flight: u64,
    /// Submissions accepted.
    pub submissions: u64,
    /// Their operations.
    pub operations: u64,
    /// Operations accepted and not yet sealed.
    pub operations_waiting: u64,
    /// Operations after which a group is sealed, as it was configured or moved.
    pub group_operations_max: u64,
    /// Operations that may be accepted and not yet durable, as it was configured or moved.
    pub in_flight_operations_max: u64,
    /// Shards that applying a group is cut into, as it was configured or moved.
    pub tree_parallelism: u64,
    /// Shards that hashing a version is cut into, as it was configured or moved.
    pub hash_parallelism: u64,
    /// Shards that proofs and reads of many keys are cut into, as it was configured or moved.
    pub proof_parallelism: u64,
    /// Bytes that the cache of values may take, as it was configured or moved.
    pub value_cache_bytes_max: u64,
    /// Bytes that the tree may take, as it was configured or moved; 0 if it has no bound.
    pub tree_bytes_max: u64,
    /// Whether the engine has failed, other than by being shut down: it answers no more and has to be opened again.
    pub failed: bool,
    /// Decisions of the controllers, and what was reloaded or refused. Outside they are counted apart, by what they
    /// changed and why (`trunkline_decisions_total` with the labels `change` and `reason`).
    pub decisions: u64,
    /// Decisions that are in memory alone, because their file could not be written.
    pub decisions_unwritten: u64,
    /// Configurations that were reloaded.
    pub reloads: u64,
    /// Configurations that were refused while the engine ran: it kept the one before.
    pub reloads_refused: u64,
    /// Submissions that the tree refused.
    pub refused: u64,
    /// Keys that newer keys on their paths replaced (policy `overwrite`).
    pub evicted: u64,
    /// Keys present at the last durable version.
    pub keys: u64,
    /// Bytes of effects and frames handed to the log.
    pub log_bytes: u64,
    /// Bytes of values in memory that no checkpoint covers yet.
    pub unflushed_bytes: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
    /// Time that commits held back so that checkpoints keep up, microseconds.
    pub held_back_us: u64,
    /// Reads that found their value in memory.
    pub memory_hits: u64,
    /// Reads that found their value in the value cache.
    pub cache_hits: u64,
    /// Reads of a single value that did not find it there and went to the leaf store.
    pub cache_misses: u64,
    /// Reads that went to the leaf store.
    pub store_reads: u64,
    /// Reads of keys that the tree knows to be absent.
    pub absent_reads: u64,
    /// Keys that were proven, present or absent.
    pub keys_proven: u64,
    /// Reads that went to the leaf store for a value that left the cache not long ago: one larger by an eighth
    /// would have had it.
    pub cache_near_misses: u64,
    /// Openings of a slot that proofs had to compute.
    pub openings_computed: u64,
    /// Openings of a slot that proofs moved from an earlier version, by what changed since.
    pub openings_moved: u64,
    /// Openings of a slot that proofs found made at their version.
    pub openings_reused: u64,
    /// Openings of more than one slot together, computed for one proof each.
    pub aggregates_computed: u64,
    /// Times that the KZG tables were built because no sound file of them was found.
    pub kzg_tables_built: u64,
    /// What the tree takes in memory for its present, bytes.
    pub tree_bytes: u64,
    /// Leaves of the tree that are in memory.
    pub tree_leaves: u64,
    /// Cells of a few leaves each that left memory.
    pub cells_evicted: u64,
    /// Cells that were read from the leaf store again.
    pub cells_restored: u64,
    /// Resident memory of the whole process, bytes; 0 where the system does not tell.
    pub resident_bytes: u64,
}

/// Everything that one engine measures.
pub struct Metrics {
    engine: String,
    opened_at: Instant,
    pub interval: Interval,
    pub timeline: Timeline,
    queue_wait: [Timed; 5],
    service: [Timed; 5],
    states: [Timed; 4],
    group_operations: Amounts,
    versions_per_sync: Amounts,
    groups_in_flight: Level,
    keys: Level,
    unflushed_bytes: Level,
    tree_bytes: Level,
    tree_leaves: Level,
    resident_bytes: Gauge,
    operations_waiting: Level,
    group_operations_max: Level,
    in_flight_operations_max: Level,
    tree_parallelism: Level,
    hash_parallelism: Level,
    proof_parallelism: Level,
    value_cache_bytes_max: Level,
    tree_bytes_max: Level,
    failed: Level,
    submissions: Counted,
    operations: Counted,
    decisions: AtomicU64,
    decisions_unwritten: Counted,
    reloads: Counted,
    reloads_refused: Counted,
    keys_proven: Counted,
    cache_near_misses: Counted,
    refused: Counted,
    evicted: Counted,
    log_bytes: Counted,
    checkpoints: Counted,
    held_back_us: Counted,
    memory_hits: Counted,
    cache_hits: Counted,
    cache_misses: Counted,
    store_reads: Counted,
    absent_reads: Counted,
    openings_computed: Counted,
    openings_moved: Counted,
    openings_reused: Counted,
    aggregates_computed: Counted,
    kzg_tables_built: Counted,
    cells_evicted: Counted,
    cells_restored: Counted,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Metrics")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl Metrics {
    pub fn new(engine: &str) -> Self {
        let label = || engine.to_owned();
        let staged = |name: &'static str| {
            Stage::ALL.map(|stage| {
                Timed::new(histogram!(name, "engine" => label(), "stage" => stage.name()))
            })
        };
        let amounts = |name: &'static str| Amounts::new(histogram!(name, "engine" => label()));
        let count = |name: &'static str| Counted::new(counter!(name, "engine" => label()));
        let level = |name: &'static str| Level::new(gauge!(name, "engine" => label()));
        let shards = |work: Work| {
            let exported = gauge!("trunkline_shards", "engine" => label(), "work" => work.name());
            Level::new(exported)
        };
        Self {
            engine: label(),
            opened_at: Instant::now(),
            interval: Interval::default(),
            timeline: Timeline::default(),
            queue_wait: staged("trunkline_stage_queue_wait_seconds"),
            service: staged("trunkline_stage_service_seconds"),
            states: State::ALL.map(|state| {
                Timed::new(histogram!(
                    "trunkline_submission_seconds", "engine" => label(), "state" => state.name()
                ))
            }),
            group_operations: amounts("trunkline_group_operations"),
            versions_per_sync: amounts("trunkline_versions_per_sync"),
            groups_in_flight: level("trunkline_groups_in_flight"),
            keys: level("trunkline_keys"),
            unflushed_bytes: level("trunkline_unflushed_bytes"),
            tree_bytes: level("trunkline_tree_bytes"),
            tree_leaves: level("trunkline_tree_leaves"),
            resident_bytes: gauge!("trunkline_resident_bytes", "engine" => label()),
            operations_waiting: level("trunkline_operations_waiting"),
            group_operations_max: level("trunkline_group_operations_max"),
            in_flight_operations_max: level("trunkline_in_flight_operations_max"),
            tree_parallelism: shards(Work::Tree),
            hash_parallelism: shards(Work::Hash),
            proof_parallelism: shards(Work::Proof),
            value_cache_bytes_max: level("trunkline_value_cache_bytes_max"),
            tree_bytes_max: level("trunkline_tree_bytes_max"),
            failed: level("trunkline_failed"),
            submissions: count("trunkline_submissions_total"),
            operations: count("trunkline_operations_total"),
            decisions: AtomicU64::new(0),
            decisions_unwritten: count("trunkline_decisions_unwritten_total"),
            reloads: count("trunkline_reloads_total"),
            reloads_refused: count("trunkline_reloads_refused_total"),
            keys_proven: count("trunkline_keys_proven_total"),
            cache_near_misses: count("trunkline_cache_near_misses_total"),
            refused: count("trunkline_refused_total"),
            evicted: count("trunkline_evicted_total"),
            log_bytes: count("trunkline_log_bytes_total"),
            checkpoints: count("trunkline_checkpoints_total"),
            held_back_us: count("trunkline_held_back_microseconds_total"),
            memory_hits: count("trunkline_memory_hits_total"),
            cache_hits: count("trunkline_cache_hits_total"),
            cache_misses: count("trunkline_cache_misses_total"),
            store_reads: count("trunkline_store_reads_total"),
            absent_reads: count("trunkline_absent_reads_total"),
            openings_computed: count("trunkline_openings_computed_total"),
            openings_moved: count("trunkline_openings_moved_total"),
            openings_reused: count("trunkline_openings_reused_total"),
            aggregates_computed: count("trunkline_aggregates_computed_total"),
            kzg_tables_built: count("trunkline_kzg_tables_built_total"),
            cells_evicted: count("trunkline_cells_evicted_total"),
            cells_restored: count("trunkline_cells_restored_total"),
        }
    }

    pub fn stage_served(&self, stage: Stage, queue_wait: Duration, service: Duration) {
        self.queue_wait[stage as usize].record(queue_wait);
        self.service[stage as usize].record(service);
        self.interval.served(stage, queue_wait, service);
    }

    /// Microseconds since the engine was opened.
    pub fn uptime_us(&self) -> u64 {
        micros(self.opened_at.elapsed())
    }

    /// A stage is done with a group that it took up then.
    pub fn span(&self, stage: Stage, tag: &GroupTag, begun_us: u64) {
        self.timeline.push(Span {
            stage,
            version: tag.version,
            begun_us,
            ended_us: self.uptime_us(),
            operations: tag.operations,
        });
    }

    pub fn state_reached(&self, state: State, since: Instant) {
        self.states[state as usize].record(since.elapsed());
    }

    pub fn submission_accepted(&self, since: Instant, operations: usize) {
        self.submissions.add(1);
        self.operations.add(operations as u64);
        self.state_reached(State::Accepted, since);
    }

    pub fn operations_waiting(&self, operations: usize) {
        self.operations_waiting.set(operations as u64);
    }

    pub fn group_sealed(&self, tag: &GroupTag) {
        self.group_operations.record(tag.operations as usize);
        self.interval.sealed(tag);
    }

    /// What is in force from now on.
    pub fn bounds(&self, bounds: &Bounds) {
        let levels = [
            (&self.group_operations_max, bounds.group_operations_max),
            (
                &self.in_flight_operations_max,
                bounds.in_flight_operations_max,
            ),
            (&self.tree_parallelism, bounds.tree_parallelism),
            (&self.hash_parallelism, bounds.hash_parallelism),
            (&self.proof_parallelism, bounds.proof_parallelism),
            (&self.value_cache_bytes_max, bounds.value_cache_bytes_max),
            (&self.tree_bytes_max, bounds.tree_bytes_max),
        ];
        for (level, value) in levels {
            level.set(value);
        }
    }

    /// The engine has failed, for good.
    pub fn failed(&self) {
        self.failed.set(1);
    }

    pub fn decision_unwritten(&self) {
        self.decisions_unwritten.add(1);
    }

    /// Decisions are rare: their counter is looked up by its labels each time.
    pub fn decided(&self, change: &Change, reason: Reason) {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        counter!(
            "trunkline_decisions_total", "engine" => self.engine.clone(),
            "change" => changed(change), "reason" => because(reason)
        )
        .increment(1);
    }

    pub fn reloaded(&self) {
        self.reloads.add(1);
    }

    pub fn reload_refused(&self) {
        self.reloads_refused.add(1);
    }

    pub fn keys_proven(&self, keys: usize) {
        self.keys_proven.add(keys as u64);
    }

    pub fn cache_near_miss(&self) {
        self.cache_near_misses.add(1);
    }

    pub fn group_applied(&self, refused: u64, evicted: u64) {
        self.refused.add(refused);
        self.evicted.add(evicted);
    }

    pub fn tree(&self, memory: TreeMemory, evicted: u64, restored: u64) {
        self.tree_bytes.set(memory.bytes);
        self.tree_leaves.set(memory.leaves);
        self.cells_evicted.add(evicted);
        self.cells_restored.add(restored);
    }

    pub fn group_began(&self) {
        self.groups_in_flight.raise();
    }

    pub fn group_ended(&self) {
        self.groups_in_flight.lower();
    }

    pub fn versions_synced(&self, versions: u64) {
        self.versions_per_sync.record(versions as usize);
    }

    pub fn keys(&self, keys: u64) {
        self.keys.set(keys);
    }

    pub fn log_appended(&self, bytes: usize) {
        self.log_bytes.add(bytes as u64);
    }

    pub fn unflushed(&self, bytes: usize) {
        self.unflushed_bytes.set(bytes as u64);
    }

    pub fn checkpoint_finished(&self) {
        self.checkpoints.add(1);
    }

    pub fn held_back(&self, pause: Duration) {
        self.held_back_us.add(micros(pause));
    }

    pub fn memory_hit(&self) {
        self.memory_hits.add(1);
    }

    pub fn cache_hit(&self) {
        self.cache_hits.add(1);
    }

    pub fn cache_miss(&self) {
        self.cache_misses.add(1);
    }

    pub fn store_read(&self) {
        self.store_reads.add(1);
    }

    pub fn absent_read(&self) {
        self.absent_reads.add(1);
    }

    pub fn opening_used(&self, used: OpeningUse) {
        let counted = match used {
            OpeningUse::Computed => &self.openings_computed,
            OpeningUse::Moved => &self.openings_moved,
            OpeningUse::Kept => &self.openings_reused,
        };
        counted.add(1);
    }

    pub fn aggregate_computed(&self) {
        self.aggregates_computed.add(1);
    }

    pub fn kzg_tables_built(&self) {
        self.kzg_tables_built.add(1);
    }

    pub fn snapshot(&self) -> MetricsSnapshot {
        let resident_bytes = memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem);
        self.resident_bytes.set(resident_bytes as f64);
        let [accepted_us, hashed_us, root_ready_us, durable_us] =
            State::ALL.map(|state| self.states[state as usize].quantiles());
        MetricsSnapshot {
            engine: self.engine.clone(),
            stages: Stage::ALL.map(|stage| StageMetrics {
                name: stage.name(),
                queue_wait_us: self.queue_wait[stage as usize].quantiles(),
                service_us: self.service[stage as usize].quantiles(),
            }),
            accepted_us,
            hashed_us,
            root_ready_us,
            durable_us,
            group_operations: self.group_operations.quantiles(),
            versions_per_sync: self.versions_per_sync.quantiles(),
            groups_in_flight: self.groups_in_flight.get(),
            submissions: self.submissions.get(),
            operations: self.operations.get(),
            operations_waiting: self.operations_waiting.get(),
            group_operations_max: self.group_operations_max.get(),
            in_flight_operations_max: self.in_flight_operations_max.get(),
            tree_parallelism: self.tree_parallelism.get(),
            hash_parallelism: self.hash_parallelism.get(),
            proof_parallelism: self.proof_parallelism.get(),
            value_cache_bytes_max: self.value_cache_bytes_max.get(),
            tree_bytes_max: self.tree_bytes_max.get(),
            failed: self.failed.get() > 0,
            decisions: self.decisions.load(Ordering::Relaxed),
            decisions_unwritten: self.decisions_unwritten.get(),
            reloads: self.reloads.get(),
            reloads_refused: self.reloads_refused.get(),
            keys_proven: self.keys_proven.get(),
            cache_near_misses: self.cache_near_misses.get(),
            refused: self.refused.get(),
            evicted: self.evicted.get(),
            keys: self.keys.get(),
            log_bytes: self.log_bytes.get(),
            unflushed_bytes: self.unflushed_bytes.get(),
            checkpoints: self.checkpoints.get(),
            held_back_us: self.held_back_us.get(),
            memory_hits: self.memory_hits.get(),
            cache_hits: self.cache_hits.get(),
            cache_misses: self.cache_misses.get(),
            store_reads: self.store_reads.get(),
            absent_reads: self.absent_reads.get(),
            openings_computed: self.openings_computed.get(),
            openings_moved: self.openings_moved.get(),
            openings_reused: self.openings_reused.get(),
            aggregates_computed: self.aggregates_computed.get(),
            kzg_tables_built: self.kzg_tables_built.get(),
            tree_bytes: self.tree_bytes.get(),
            tree_leaves: self.tree_leaves.get(),
            cells_evicted: self.cells_evicted.get(),
            cells_restored: self.cells_restored.get(),
            resident_bytes: resident_bytes as u64,
        }
    }
}
