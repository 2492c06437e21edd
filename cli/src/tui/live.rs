//! What the live view shows, as plain data: whoever drives the load fills it.

use std::time::Duration;

use trunkline::decisions::{Decision, Window};
use trunkline_load::{Latency, Progress};

/// Seconds that the rates go back.
const SECONDS_MAX: usize = 240;
/// Decisions that are kept for the view.
const DECISIONS_MAX: usize = 30;

/// A load at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Live {
    /// What the load does now, such as `fill` or `run`.
    pub(crate) stage: String,
    /// Since that began.
    pub(crate) elapsed: Duration,
    /// How long it takes, if that is known.
    pub(crate) planned: Option<Duration>,
    /// Operations that ended in it.
    pub(crate) operations: u64,
    /// How many it has, if that is known.
    pub(crate) planned_operations: Option<u64>,
    /// Whether nothing is counted yet.
    pub(crate) is_warm_up: bool,
    /// Operations that ended in each of the last seconds, the newest last.
    pub(crate) rates: Vec<u64>,
    /// Operations of the last second: meant to start, ended, not started.
    pub(crate) offered: u64,
    pub(crate) achieved: u64,
    pub(crate) dropped: u64,
    /// Latencies of the last second by kind of operation.
    pub(crate) latencies: Vec<(&'static str, Latency)>,
    /// The engine's last window; none if the target is no engine.
    pub(crate) window: Option<Window>,
    /// The last decisions, the newest last.
    pub(crate) decisions: Vec<Decision>,
}

impl Live {
    /// What the driver of a load tells.
    pub(crate) fn of(progress: &Progress<'_>) -> Self {
        let second = progress.seconds.last().cloned().unwrap_or_default();
        let kinds = second.operations.iter();
        Self {
            stage: progress.stage.to_string(),
            elapsed: progress.elapsed,
            planned: progress.planned,
            operations: progress.operations,
            planned_operations: progress.planned_operations,
            is_warm_up: progress.is_warm_up,
            rates: last(progress.seconds, SECONDS_MAX)
                .map(|second| second.achieved)
                .collect(),
            offered: second.offered,
            achieved: second.achieved,
            dropped: second.dropped,
            latencies: kinds
                .map(|(kind, of_kind)| (kind.name(), of_kind.latency))
                .collect(),
            window: progress.windows.last().copied(),
            decisions: last(progress.decisions, DECISIONS_MAX).cloned().collect(),
        }
    }
}

fn last<T>(all: &[T], count: usize) -> impl Iterator<Item = &T> {
    all.iter().skip(all.len().saturating_sub(count))
}
