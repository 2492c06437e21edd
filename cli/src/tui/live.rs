//! The content of the live view, as plain data.

use std::time::Duration;

use trunkline::decisions::{Decision, Window};
use trunkline_load::{Latency, Progress};

/// Most seconds of rates.
const SECONDS_MAX: usize = 240;
/// Most decisions.
const DECISIONS_MAX: usize = 30;

/// A load at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Live {
    /// Stage of the load, such as `fill` or `run`.
    pub(crate) stage: String,
    /// Time since the stage began.
    pub(crate) elapsed: Duration,
    /// Planned time of the stage, if known.
    pub(crate) planned: Option<Duration>,
    /// Operations that ended in the stage.
    pub(crate) operations: u64,
    /// Planned operations of the stage, if known.
    pub(crate) planned_operations: Option<u64>,
    /// Whether the run is warming up and nothing is measured yet.
    pub(crate) is_warm_up: bool,
    /// Operations that ended in each of the last seconds, the newest last.
    pub(crate) rates: Vec<u64>,
    /// Operations of the last second: due, ended, and dropped.
    pub(crate) offered: u64,
    pub(crate) achieved: u64,
    pub(crate) dropped: u64,
    /// Latencies of the last second by kind of operation.
    pub(crate) latencies: Vec<(&'static str, Latency)>,
    /// The engine's last window, if the target is an engine.
    pub(crate) window: Option<Window>,
    /// The last decisions, the newest last.
    pub(crate) decisions: Vec<Decision>,
}

impl Live {
    /// Returns the content for the progress of a load.
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
