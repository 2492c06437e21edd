//! Turns windows into observations: the effect of the setting in force, from one window or from several short ones
//! together.
//!
//! Windows of a stall are left out, and so are those in which the effect of a change is not complete yet.

use std::collections::VecDeque;

use super::span::{Span, typical};
use super::stall::{Flow, Stall};
use super::{ControlSettings, Limits};
use crate::decisions::{Evidence, Latencies, Window};

/// The share of their limit above which operations in flight mean that callers wait for admission.
const HELD_SHARE: f64 = 0.7;
/// The number of groups below which a rate depends more on when a window ended than on the pipeline.
const GROUPS_MIN: u64 = 2;
/// Most windows that are combined to have that many groups.
const WINDOWS_MAX: u32 = 8;
/// Number of observations that are kept.
const RECENT_MAX: usize = 8;
/// Most windows that are left out after a stall or a change.
const SKIP_MAX: u32 = 8;

/// Windows under one setting, judged together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Observation {
    /// Rate, latency and operations in flight.
    pub(super) level: Level,
    /// True if the cap of operations closed half of the groups, so that a larger cap would have an effect.
    pub(super) is_full: bool,
    /// True if that cap or the cap of bytes closed half of the groups.
    pub(super) is_closed: bool,
    /// True if callers wait for admission.
    pub(super) is_held: bool,
    /// True if half of the latency is waiting to be sealed.
    pub(super) waits: bool,
    /// Median number of operations of a group.
    pub(super) group_operations: f64,
    /// Number of operations of a large group.
    pub(super) group_largest: f64,
}

impl Observation {
    /// Returns whether more work would be done if more were allowed. A busy stage does not show that: self-clocked
    /// groups get smaller until their fixed costs keep a stage busy, at any load.
    pub(super) fn is_saturated(&self) -> bool {
        self.is_closed || self.is_held
    }
}

/// Figures of one observation, or typical ones of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Level {
    /// Durable operations per second.
    pub(super) rate: f64,
    /// 99th percentile of the latency of submissions sealed under the cap in force, in microseconds.
    pub(super) p99_us: f64,
    /// Ratio of the mean of the same latencies to their 99th percentile.
    pub(super) evenness: f64,
    /// Mean number of operations in flight.
    pub(super) inside: f64,
}

impl Level {
    /// Returns the typical figures of several levels.
    pub(super) fn of(levels: &[Self]) -> Self {
        let figure = |figure: fn(&Self) -> f64| typical(levels.iter().map(figure));
        Self {
            rate: figure(|level| level.rate),
            p99_us: figure(|level| level.p99_us),
            evenness: figure(|level| level.evenness),
            inside: figure(|level| level.inside),
        }
    }

    /// Returns it as the evidence of a decision.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::InFlight {
            operations: self.inside as u64,
            rate: self.rate as u64,
            p99_us: self.p99_us as u64,
        }
    }
}

/// Combines windows until there is enough to judge, and keeps the last observations.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    samples_min: u64,
    groups_max: u64,
    target_us: f64,
    stall: Stall,
    span: Span,
    latencies: Latencies,
    recent: VecDeque<Observation>,
    /// Number of windows that are still to be left out; only those in which work moves count.
    skip: u32,
    /// Number of windows that the waiting operations will take, as of the last window's end, and the target.
    backlog: u32,
}

impl Observer {
    pub(super) fn new(settings: &ControlSettings, limits: &Limits) -> Self {
        Self {
            samples_min: settings.samples_min.max(1),
            groups_max: limits.groups_in_flight_max,
            target_us: settings.target_us(),
            stall: Stall::default(),
            span: Span::default(),
            latencies: Latencies::default(),
            recent: VecDeque::new(),
            skip: 0,
            backlog: 0,
        }
    }

    /// Adds a window. Returns an observation once there is enough to judge.
    pub(super) fn add(&mut self, window: &Window, latencies: &Latencies) -> Option<Observation> {
        let flow = self.stall.add(window, self.groups_max);
        let backlog_us = window.operations_waiting as f64 * 1e6 / self.stall.usual_rate().max(1.0);
        let windows = (backlog_us + self.target_us) / window.length_us.max(1) as f64;
        self.backlog = (windows.ceil() as u32).clamp(1, SKIP_MAX);
        match flow {
            Flow::Moving => {}
            Flow::Stalled => {
                self.skip = self.skip.max(self.backlog);
                self.forget_span();
                return None;
            }
            Flow::Slower => self.restart(0),
        }
        if self.skip > 0 {
            self.skip -= u32::from(window.operations_durable > 0);
            return None;
        }
        self.span.add(window);
        self.latencies.merge(latencies);
        let too_few_groups = self.span.groups < GROUPS_MIN && self.span.windows < WINDOWS_MAX;
        if self.latencies.count() < self.samples_min || too_few_groups {
            return None;
        }
        let seen = self.observation(window);
        self.forget_span();
        self.recent.truncate(RECENT_MAX - 1);
        self.recent.push_front(seen);
        Some(seen)
    }

    fn observation(&self, window: &Window) -> Observation {
        let (rate, p99_us) = (self.span.rate(), self.latencies.quantile_us(0.99) as f64);
        // Little's law: operations in flight are their rate times their mean latency, which is not that of submissions.
        let inside = rate * self.latencies.operation_mean_us() as f64 / 1e6;
        Observation {
            level: Level {
                rate,
                p99_us,
                evenness: self.latencies.mean_us() as f64 / p99_us.max(1.0),
                inside,
            },
            is_full: self.span.is_full(),
            is_closed: self.span.is_closed(),
            is_held: inside >= HELD_SHARE * window.in_flight_operations_max as f64,
            waits: window.seal_wait_us.p50 >= window.durable_us.p50 / 2,
            group_operations: window.group_operations.p50 as f64,
            group_largest: window.group_operations.p99 as f64,
        }
    }

    fn forget_span(&mut self) {
        self.span = Span::default();
        self.latencies.clear();
    }

    /// Discards all observations, since another setting is in force, and leaves out the next `skip` windows.
    pub(super) fn restart(&mut self, skip: u32) {
        self.forget_span();
        self.recent.clear();
        self.skip = skip;
    }

    /// Returns the number of windows until the waiting operations are done.
    pub(super) fn backlog(&self) -> u32 {
        self.backlog
    }

    /// Returns the typical figures of the last `count` observations.
    pub(super) fn level(&self, count: usize) -> Level {
        let last = self.recent.iter().take(count);
        Level::of(&last.map(|seen| seen.level).collect::<Vec<_>>())
    }

    /// Returns whether the last two observations were at the limit of the pipeline.
    pub(super) fn is_saturated(&self) -> bool {
        self.recent.len() >= 2 && self.recent.iter().take(2).all(Observation::is_saturated)
    }

    /// Returns whether the latency was above its target twice recently. Once is chance.
    pub(super) fn is_over(&self) -> bool {
        let over = |seen: &&Observation| seen.level.p99_us > self.target_us;
        self.recent.iter().filter(over).count() >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observer() -> Observer {
        let settings = ControlSettings::default();
        Observer::new(&settings, &Limits::default())
    }

    #[test]
    fn small_windows_are_put_together() {
        let mut observer = observer();
        let mut latencies = Latencies::default();
        latencies.record(1_000, 60);
        let window = Window {
            length_us: 500_000,
            groups: 1,
            operations_durable: 60,
            ..Window::default()
        };
        assert_eq!(observer.add(&window, &latencies), None);
        let together = observer.add(&window, &latencies).unwrap();
        assert_eq!(together.level.rate, 120.0);
        assert_eq!(observer.add(&window, &latencies), None);
    }

    #[test]
    fn windows_without_groups_are_put_together() {
        let mut observer = observer();
        let mut latencies = Latencies::default();
        latencies.record(1_000, 100);
        let window = |groups| Window {
            length_us: 500_000,
            operations_durable: 100,
            groups,
            ..Window::default()
        };
        assert_eq!(observer.add(&window(0), &latencies), None);
        assert_eq!(observer.add(&window(1), &latencies), None);
        assert!(observer.add(&window(1), &latencies).is_some());
        for _ in 1..WINDOWS_MAX {
            assert_eq!(observer.add(&window(0), &latencies), None);
        }
        assert!(observer.add(&window(0), &latencies).is_some());
    }

    #[test]
    fn what_is_in_flight_counts_operations_and_not_submissions() {
        let mut latencies = Latencies::default();
        // Many callers with one operation each take 2 ms, and a loader's batches of 10,000 take 100 ms.
        latencies.record(2_000, 1_000);
        latencies.record(100_000, 10);
        latencies.weigh(1_000, 1_000 * 2_000);
        latencies.weigh(100_000, 100_000 * 100_000);
        let window = Window {
            length_us: 500_000,
            groups: 20,
            operations_durable: 101_000,
            in_flight_operations_max: 20_000,
            ..Window::default()
        };
        let seen = observer().add(&window, &latencies).unwrap();
        assert!(
            (19_900.0..20_100.0).contains(&seen.level.inside),
            "{seen:?}"
        );
        assert!(seen.is_held);
        // The percentile is that of submissions, and so is the mean with which it is compared.
        let (p99_us, evenness) = (seen.level.p99_us, seen.level.evenness);
        assert!(p99_us < 2_100.0 && p99_us * evenness < 3_000.0, "{seen:?}");
    }

    #[test]
    fn groups_that_bytes_close_saturate_and_ask_for_no_larger_cap() {
        let mut latencies = Latencies::default();
        latencies.record(1_000, 100);
        let window = Window {
            length_us: 500_000,
            operations_durable: 100,
            in_flight_operations_max: 1_000_000,
            groups: 10,
            groups_full: 1,
            groups_full_bytes: 5,
            ..Window::default()
        };
        let seen = observer().add(&window, &latencies).unwrap();
        assert!(seen.is_saturated() && !seen.is_full);
        assert_eq!(super::super::span::closed_per_mille(&window), 600);
    }
}
