//! What the live view shows, as plain data: whoever drives the load fills it.

use std::time::Duration;

use trunkline::control::{Decision, Window};
use trunkline::load::compare::kind_name;
use trunkline::load::{Latency, Second};

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
    /// Takes over what was measured up to now: whole seconds, windows and decisions.
    pub(crate) fn measure(
        &mut self,
        seconds: &[Second],
        windows: &[Window],
        decisions: &[Decision],
    ) {
        let last = seconds.len().saturating_sub(SECONDS_MAX);
        self.rates = seconds
            .iter()
            .skip(last)
            .map(|second| second.achieved)
            .collect();
        let second = seconds.last().cloned().unwrap_or_default();
        self.offered = second.offered;
        self.achieved = second.achieved;
        self.dropped = second.dropped;
        let kinds = second.operations.iter();
        self.latencies = kinds
            .map(|(kind, of_kind)| (kind_name(*kind), of_kind.latency))
            .collect();
        self.window = windows.last().copied();
        let last = decisions.len().saturating_sub(DECISIONS_MAX);
        self.decisions = decisions.iter().skip(last).cloned().collect();
    }
}
