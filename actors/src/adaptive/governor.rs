//! Asks all controllers after each window.

use serde::{Deserialize, Serialize};

use super::span::{busiest_per_mille, closed_per_mille, per_second};
use super::{BatchSize, Caches, ControlSettings, HotPrefixes, Limits, ProofShards, ShardReport};
use crate::decisions::{Change, Latencies, Move, Reason, Seen, Window};

/// A change, its reason and the measurements behind it: a decision without number and time.
///
/// ```
/// use trunkline_actors::adaptive::Proposal;
/// use trunkline_actors::decisions::{Change, Reason, Seen};
/// let change = Change::InFlightOperationsMax { from: 1_000_000, to: 90_000 };
/// let proposal = Proposal { change, reason: Reason::TooManyInFlight, seen: Seen::default() };
/// assert_eq!(proposal.reason, Reason::TooManyInFlight);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The change.
    pub change: Change,
    /// The reason.
    pub reason: Reason,
    /// The figures of the window, and other measurements of the controller.
    pub seen: Seen,
}

/// Decides after each window. Its proposals must be in force, or refused, before the next window begins. Windows state
/// the settings in force; a setting that something else changed is taken as a new start.
///
/// ```
/// use trunkline_actors::adaptive::{ControlSettings, Governor, Limits};
/// use trunkline_actors::decisions::{Change, Latencies, Window};
/// use trunkline::Quantiles;
///
/// let mut governor = Governor::new(&ControlSettings::default(), &Limits::default());
/// // Groups are full, work waits, and 20 ms are far below 100.
/// let mut latencies = Latencies::default();
/// latencies.record(20_000, 1_000);
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
    proof_shards: ProofShards,
    shard_report: ShardReport,
    caches: Caches,
    hot_prefixes: HotPrefixes,
}

impl Governor {
    /// Returns controllers that have seen no window yet.
    pub fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            settings: settings.clone(),
            batch_size: BatchSize::new(settings, limits),
            proof_shards: ProofShards::new(settings, limits),
            shard_report: ShardReport::new(settings),
            caches: Caches::new(settings, limits),
            hot_prefixes: HotPrefixes::new(settings.hot_prefixes_max),
        }
    }

    /// Takes other settings. Group size, shards and caches start again, and a trial of shards is undone. Hot prefixes
    /// stay, since the last list is still in force.
    pub fn reconfigure(&mut self, settings: &ControlSettings, limits: &Limits) {
        let old = std::mem::replace(self, Self::new(settings, limits));
        self.proof_shards = ProofShards::new(settings, limits).after(&old.proof_shards);
        if old.settings.hot_prefixes_max == settings.hot_prefixes_max {
            self.hot_prefixes = old.hot_prefixes;
        }
    }

    /// Counts sampled operations of the window by the first 14 bits of their paths.
    pub fn touch(&mut self, prefixes: impl IntoIterator<Item = u16>) {
        self.hot_prefixes.touch(prefixes);
    }

    /// Returns the changes after this window. `latencies` are from acceptance to durability, of submissions that became
    /// durable in it and were sealed under the cap in force at its end.
    pub fn decide(&mut self, window: &Window, latencies: &Latencies) -> Vec<Proposal> {
        let mut moves = Vec::new();
        if self.settings.batch_size {
            moves = self.batch_size.decide(window, latencies);
        }
        moves.extend(self.shard_report.decide(window));
        moves.extend(self.proof_shards.decide(window));
        moves.extend(self.caches.decide(window));
        moves.extend(self.hot_prefixes.decide());
        let seen = self.seen(window, latencies);
        let propose = |wanted: Move| Proposal {
            change: wanted.change,
            reason: wanted.reason,
            seen: Seen {
                evidence: wanted.evidence,
                ..seen
            },
        };
        moves.into_iter().map(propose).collect()
    }

    fn seen(&self, window: &Window, latencies: &Latencies) -> Seen {
        Seen {
            durable_p99_us: latencies.quantile_us(0.99),
            target_p99_us: self.settings.target_p99_ms.saturating_mul(1000),
            samples: latencies.count(),
            operations_per_second: per_second(window.operations_durable, window.length_us) as u64,
            full_per_mille: closed_per_mille(window),
            busiest_per_mille: busiest_per_mille(window),
            evidence: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::{Evidence, Work};

    fn settings() -> ControlSettings {
        ControlSettings {
            batch_size: false,
            ..ControlSettings::default()
        }
    }

    /// Returns a window in which the cap closed groups, with writes only.
    fn full(limits: &Limits) -> Window {
        Window {
            length_us: 500_000,
            group_operations_max: 1_000,
            in_flight_operations_max: limits.in_flight_operations_max,
            tree_parallelism: 1,
            hash_parallelism: 1,
            proof_parallelism: 1,
            operations_accepted: 100_000,
            operations_durable: 100_000,
            groups: 100,
            groups_full: 100,
            ..Window::default()
        }
    }

    #[test]
    fn other_settings_tell_nothing_a_second_time() {
        let limits = Limits::default();
        let mut governor = Governor::new(&settings(), &limits);
        let told = |governor: &mut Governor, windows: u32| -> Vec<Change> {
            let window = |_| {
                governor.touch(std::iter::repeat_n(7, 1_000));
                governor.decide(&full(&limits), &Latencies::default())
            };
            (0..windows)
                .flat_map(window)
                .map(|proposal| proposal.change)
                .collect()
        };
        let first = [Change::HotPrefixes { prefixes: vec![7] }];
        assert_eq!(told(&mut governor, 10), first);
        let other = ControlSettings {
            target_p99_ms: 7,
            ..settings()
        };
        governor.reconfigure(&other, &limits);
        assert_eq!(told(&mut governor, 10), []);
    }

    #[test]
    fn shards_of_proofs_are_tried_while_nothing_is_committed() {
        let limits = Limits {
            read_threads: 8,
            ..Limits::default()
        };
        let mut governor = Governor::new(&ControlSettings::default(), &limits);
        let window = Window {
            length_us: 500_000,
            tree_parallelism: 1,
            hash_parallelism: 1,
            proof_parallelism: 2,
            proofs: 100_000,
            ..Window::default()
        };
        let first = (0..40)
            .flat_map(|_| governor.decide(&window, &Latencies::default()))
            .find(|proposal| matches!(proposal.change, Change::Parallelism { .. }));
        let work = Work::Proof;
        let (from, to) = (2, 4);
        assert_eq!(
            first.unwrap().change,
            Change::Parallelism { work, from, to }
        );
    }

    #[test]
    fn a_decision_shows_what_its_controller_judged_by() {
        let limits = Limits::default();
        let mut governor = Governor::new(&settings(), &limits);
        let decided = (0..10).flat_map(|_| {
            governor.touch(std::iter::repeat_n(7, 1_000));
            governor.decide(&full(&limits), &Latencies::default())
        });
        let decided: Vec<Proposal> = decided.collect();
        let evidence = |wanted: fn(&Change) -> bool| {
            let found = decided.iter().find(|proposal| wanted(&proposal.change));
            found.unwrap().seen.evidence.unwrap()
        };
        let hot = evidence(|change| matches!(change, Change::HotPrefixes { .. }));
        assert!(matches!(hot, Evidence::Touched { samples, listed } if samples == listed));
    }
}
