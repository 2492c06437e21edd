//! All controllers together: what is asked first, and who holds still while another one moves. Not here: how any
//! of them decides, and who numbers, times and carries out what they say.

use serde::{Deserialize, Serialize};

use super::observation::{busiest_per_mille, per_mille, per_second};
use super::{
    BatchSize, Caches, Change, ControlSettings, HotPrefixes, Latencies, Limits, Phases, Reason,
    Seen, Window, Workers,
};

/// What should be changed, why, and what it was seen from: a decision without number and time.
///
/// ```
/// use trunkline::control::{Change, Proposal, Reason, Seen};
/// let change = Change::InFlightOperationsMax { from: 1_000_000, to: 90_000 };
/// let proposal = Proposal { change, reason: Reason::Saturated, seen: Seen::default() };
/// assert_eq!(proposal.reason, Reason::Saturated);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// What to change.
    pub change: Change,
    /// Why.
    pub reason: Reason,
    /// The figures of the window.
    pub seen: Seen,
}

/// Decides after each window. What it proposes must be in force, or be refused, before the next window begins:
/// windows say what is in force, and a setting that somebody else moved is taken as a new start.
///
/// ```
/// use trunkline::control::{Change, ControlSettings, Governor, Latencies, Limits, Window};
/// use trunkline::Quantiles;
///
/// let mut governor = Governor::new(&ControlSettings::default(), &Limits::default());
/// // Groups are full, work waits, and 20 ms are far below 100.
/// let mut latencies = Latencies::default();
/// latencies.record_many(20_000, 1_000);
/// let window = Window {
///     length_us: 500_000,
///     group_operations_max: 1_000,
///     in_flight_operations_max: 1_000_000,
///     operations_accepted: 250_000,
///     operations_durable: 250_000,
///     groups: 250,
///     groups_full: 250,
///     group_operations: Quantiles { p50: 1_000, p99: 1_000, ..Quantiles::default() },
///     ..Window::default()
/// };
/// assert!(governor.decide(&window, &latencies).is_empty()); // one window is chance
/// let proposals = governor.decide(&window, &latencies);
/// assert_eq!(proposals[0].change, Change::GroupOperationsMax { from: 1_000, to: 2_000 });
/// ```
#[derive(Clone, Debug)]
pub struct Governor {
    settings: ControlSettings,
    batch_size: BatchSize,
    workers: Workers,
    caches: Caches,
    hot_prefixes: HotPrefixes,
    phases: Phases,
}

impl Governor {
    /// Controllers that know nothing yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            settings: settings.clone(),
            batch_size: BatchSize::new(settings, limits),
            workers: Workers::new(settings, limits),
            caches: Caches::new(settings, limits),
            hot_prefixes: HotPrefixes::new(settings.hot_prefixes_max),
            phases: Phases::default(),
        }
    }

    /// Counts sampled operations of the window by the first 14 bits of their paths.
    pub fn touch(&mut self, prefixes: impl IntoIterator<Item = u16>) {
        self.hot_prefixes.touch(prefixes);
    }

    /// What to change after this window. `latencies`: from acceptance to durability, of submissions that became
    /// durable in it and were sealed under the cap that is in force at its end.
    pub fn decide(&mut self, window: &Window, latencies: &Latencies) -> Vec<Proposal> {
        let mut moves = Vec::new();
        if self.settings.batch_size {
            moves = self.batch_size.decide(window, latencies);
        }
        let steady = moves.is_empty() && self.batch_size.is_settled();
        moves.extend(self.workers.decide(window, steady));
        moves.extend(self.caches.decide(window));
        moves.extend(self.hot_prefixes.decide());
        moves.extend(self.phases.decide(window));
        let seen = self.seen(window, latencies);
        let propose = |(change, reason): (Change, Reason)| Proposal {
            change,
            reason,
            seen,
        };
        moves.into_iter().map(propose).collect()
    }

    fn seen(&self, window: &Window, latencies: &Latencies) -> Seen {
        Seen {
            durable_p99_us: latencies.quantile_us(0.99),
            target_p99_us: self.settings.target_p99_ms.saturating_mul(1000),
            samples: latencies.count(),
            operations_per_second: per_second(window.operations_durable, window.length_us) as u64,
            full_per_mille: per_mille(window.groups_full, window.groups),
            busiest_per_mille: busiest_per_mille(window),
        }
    }
}
