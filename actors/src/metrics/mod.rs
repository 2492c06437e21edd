//! The engine's measurements of itself: read as a snapshot, and exported through the `metrics` facade with the engine's
//! name as a label.
//!
//! [`TABLE`] declares every metric once. The functions of [`Metrics`] record events. Recording is an atomic addition,
//! or one short lock for a histogram.

pub mod group;
pub mod interval;
pub mod memory;
mod metric;
mod process;
mod series;
mod table;
pub mod timeline;

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use trunkline_core::tree::TreeMemory;

use crate::decisions::{Change, Reason};
use crate::failure::Stage;
use crate::metrics::group::GroupTag;
use crate::metrics::timeline::Span;
use crate::runtime::clock::{self, micros};

pub use metric::{Kind, Metric, Unit};
use series::Counter;
use table::Row;
pub use table::{Metrics, MetricsSnapshot, StageMetrics, TABLE};

/// A state of a submission whose latency is measured: `Accepted` from the call that submitted it, the others from
/// acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The engine accepted the submission.
    Accepted,
    /// A version with digests contains it.
    Hashed,
    /// A KZG root covers it.
    RootReady,
    /// It is durable.
    Durable,
}

impl State {
    /// The number of states.
    pub const COUNT: usize = 4;
}

/// The way in which a proof obtained the opening of a slot.
#[derive(Clone, Copy, Debug)]
pub enum OpeningUse {
    /// It computed the opening.
    Computed,
    /// It derived the opening from that of an earlier version.
    Moved,
    /// An earlier proof at the same version had computed it.
    Kept,
}

/// The limits in force that decisions and reloads change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The operations after which a group is sealed.
    pub group_operations_max: u64,
    /// The operations that may be accepted and not yet durable.
    pub in_flight_operations_max: u64,
    /// The shards for applying a group.
    pub tree_parallelism: u64,
    /// The shards for hashing a version.
    pub hash_parallelism: u64,
    /// The shards for proofs and reads of many keys.
    pub proof_parallelism: u64,
    /// The bytes that the value cache may take.
    pub value_cache_bytes_max: u64,
    /// The bytes that the tree may take; 0 if it has no bound.
    pub tree_bytes_max: u64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({:?})", self.engine)
    }
}

impl Metrics {
    /// Returns the microseconds since the engine was opened.
    pub fn uptime_us(&self) -> u64 {
        micros(clock::now() - self.opened_at)
    }

    /// Records that a stage took up a message and forwarded it.
    pub fn stage_served(&self, stage: Stage, queue_wait: Duration, service: Duration) {
        self.queue_wait_us[stage as usize].record_durations([queue_wait].into_iter());
        self.service_us[stage as usize].record_durations([service].into_iter());
        self.interval.served(stage, queue_wait, service);
    }

    /// Records that a stage finished a group that it took up at `begun_us`.
    pub fn span(&self, stage: Stage, tag: &GroupTag, begun_us: u64) {
        self.timeline.push(Span {
            stage,
            version: tag.version,
            begun_us,
            ended_us: self.uptime_us(),
            operations: tag.operations,
            bytes: tag.bytes,
        });
    }

    /// Records that submissions reached a state, each since its time.
    pub fn states_reached(&self, state: State, since: &[Instant]) {
        let latency = match state {
            State::Accepted => &self.accepted_us,
            State::Hashed => &self.hashed_us,
            State::RootReady => &self.root_ready_us,
            State::Durable => &self.durable_us,
        };
        let now = clock::now();
        latency.record_durations(since.iter().map(|since| now - *since));
    }

    /// Records that a submission was accepted; `since` is the time of the call.
    pub fn submission_accepted(&self, since: Instant, operations: usize) {
        self.submissions.record(1);
        self.operations.record(operations as u64);
        self.states_reached(State::Accepted, &[since]);
    }

    /// Records that a group was sealed.
    pub fn group_sealed(&self, tag: &GroupTag) {
        self.group_operations.record(tag.operations);
        self.interval.sealed(tag);
    }

    /// Records that a group entered the pipeline.
    pub fn group_began(&self) {
        self.groups_in_flight.shift(1);
    }

    /// Records that a group left the pipeline.
    pub fn group_ended(&self) {
        self.groups_in_flight.shift(-1);
    }

    /// Records the outcomes of the submissions of a group.
    pub fn group_applied(&self, refused: u64, displaced: u64) {
        self.refused.record(refused);
        self.displaced.record(displaced);
    }

    /// Records the memory of the tree, and the pages that it evicted and restored since the last call.
    pub fn tree(&self, memory: TreeMemory, evicted: u64, restored: u64) {
        self.tree_bytes.record(memory.bytes);
        self.tree_leaves.record(memory.leaves);
        self.pages_evicted.record(evicted);
        self.pages_restored.record(restored);
    }

    /// Records that a commit was held back.
    pub fn held_back(&self, pause: Duration) {
        self.held_back_us.record_durations([pause].into_iter());
    }

    /// Records that a proof used the opening of a slot.
    pub fn opening_used(&self, used: OpeningUse) {
        let openings = match used {
            OpeningUse::Computed => &self.openings_computed,
            OpeningUse::Moved => &self.openings_moved,
            OpeningUse::Kept => &self.openings_reused,
        };
        openings.record(1);
    }

    /// Sets the limits in force.
    pub fn bounds(&self, bounds: &Bounds) {
        self.group_operations_max
            .record(bounds.group_operations_max);
        self.in_flight_operations_max
            .record(bounds.in_flight_operations_max);
        self.tree_parallelism.record(bounds.tree_parallelism);
        self.hash_parallelism.record(bounds.hash_parallelism);
        self.proof_parallelism.record(bounds.proof_parallelism);
        self.value_cache_bytes_max
            .record(bounds.value_cache_bytes_max);
        self.tree_bytes_max.record(bounds.tree_bytes_max);
    }

    /// Counts a decision. Decisions are rare: the exported counter is looked up by its labels each time.
    pub fn decided(&self, change: &Change, reason: Reason) {
        self.decisions.record(1);
        let labels = [&*change_label(change), &*serialized_name(&reason)];
        Counter::new(Row::decisions.metric(), &self.engine, &labels).record(1);
    }
}

fn change_label(change: &Change) -> String {
    match change {
        Change::Parallelism { work, .. } => format!("{}_parallelism", work.name()),
        change => serialized_name(change),
    }
}

/// Returns the name of a change or a reason in files of decisions.
fn serialized_name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let name = value.get("what").unwrap_or(&value).as_str();
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decisions::Work;

    #[test]
    fn a_decision_is_labelled_as_files_name_it() {
        let (work, from, to) = (Work::Tree, 1, 2);
        let changes = [
            (
                Change::GroupOperationsMax { from, to },
                "group_operations_max",
            ),
            (
                Change::InFlightOperationsMax { from, to },
                "in_flight_operations_max",
            ),
            (Change::Parallelism { work, from, to }, "tree_parallelism"),
            (Change::ValueCacheBytes { from, to }, "value_cache_bytes"),
            (Change::HotPrefixes { prefixes: vec![7] }, "hot_prefixes"),
        ];
        for (change, label) in changes {
            assert_eq!(change_label(&change), label);
        }
        assert_eq!(
            serialized_name(&Reason::TooManyInFlight),
            "too_many_in_flight"
        );
    }

    #[test]
    fn the_table_has_every_series_once_and_says_what_it_is() {
        let mut seen = BTreeSet::new();
        for metric in TABLE {
            assert!(seen.insert((metric.name, metric.labels)), "{metric:?}");
            assert!(metric.help.ends_with('.'), "{metric:?}");
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == Kind::Counter, "{metric:?}");
            let is_seconds = metric.name.ends_with("_seconds");
            assert_eq!(is_seconds, metric.unit == Unit::Seconds, "{metric:?}");
        }
    }
}
