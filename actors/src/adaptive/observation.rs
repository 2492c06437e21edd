//! What one window, or several small ones together, say about the pipeline. Not here: what follows from it.

use crate::decisions::{Latencies, Window};

/// Share of groups that the cap closed beyond which it holds work back, per mille.
pub(super) const FULL_PER_MILLE: u64 = 500;
/// In-flight operations of more than this share of their limit mean that callers wait at the door.
const DOOR_SHARE: f64 = 0.7;
/// With fewer groups, a rate says more about when a window ended than about the pipeline.
const GROUPS_MIN: u64 = 2;
/// Windows that are put together for the sake of that, at most.
const WINDOWS_MAX: u32 = 8;

/// Windows under one setting, judged together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Observation {
    /// Operations made durable, a second.
    pub(super) rate: f64,
    /// 99th percentile of what was sealed under the cap of now, microseconds.
    pub(super) p99_us: f64,
    /// Its mean by submissions, as the percentile is, microseconds.
    pub(super) mean_us: f64,
    /// Whether the cap of operations closed half of the groups or more, so that a larger one would be felt.
    pub(super) full: bool,
    /// Whether that cap or the one of bytes did.
    pub(super) closed: bool,
    /// Whether callers wait at the door.
    pub(super) at_the_door: bool,
    /// Operations in flight, on average.
    pub(super) inside: f64,
    /// Whether half of the latency, or more, is waiting to be sealed.
    pub(super) waits: bool,
    /// Operations of a middling group.
    pub(super) group_operations: f64,
    /// Operations of a large group.
    pub(super) group_largest: f64,
}

/// `part` of `whole`, of a thousand: 0 of nothing.
pub(super) fn per_mille(part: u64, whole: u64) -> u64 {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    u64::try_from(thousandths.min(1000)).unwrap_or(1000)
}

/// `count` in `length_us`, a second.
pub(super) fn per_second(count: u64, length_us: u64) -> f64 {
    count as f64 * 1e6 / length_us.max(1) as f64
}

/// Time that the busiest stage worked, of a thousand.
pub(super) fn busiest_per_mille(window: &Window) -> u64 {
    let busiest = window.stages.iter().map(|stage| stage.busy_us).max();
    per_mille(busiest.unwrap_or(0), window.length_us)
}

/// Windows that have too few samples, or groups, alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    latencies: Latencies,
    durable: u64,
    length_us: u64,
    groups: u64,
    groups_full: u64,
    groups_closed: u64,
    windows: u32,
}

/// Groups that were closed by a cap, of operations or of bytes. Those that their share of what was inside closed are
/// none of them: in a closed loop that is how it always is.
fn groups_closed(window: &Window) -> u64 {
    window.groups_full.saturating_add(window.groups_full_bytes)
}

/// The same of a thousand.
pub(super) fn closed_per_mille(window: &Window) -> u64 {
    per_mille(groups_closed(window), window.groups)
}

impl Observation {
    /// Whether more would be done if more could. A busy stage says nothing: groups that are self-clocked get
    /// smaller until fixed costs keep a stage busy, at any load.
    pub(super) fn saturated(&self) -> bool {
        self.closed || self.at_the_door
    }
}

impl Gathered {
    pub(super) fn clear(&mut self) {
        self.latencies.clear();
        (self.durable, self.length_us, self.windows) = (0, 0, 0);
        (self.groups, self.groups_full, self.groups_closed) = (0, 0, 0);
    }

    /// Adds a window; an observation once there are enough samples, which begins anew.
    pub(super) fn add(
        &mut self,
        window: &Window,
        latencies: &Latencies,
        samples_min: u64,
    ) -> Option<Observation> {
        self.latencies.merge(latencies);
        self.durable = self.durable.saturating_add(window.operations_durable);
        self.length_us = self.length_us.saturating_add(window.length_us);
        self.groups = self.groups.saturating_add(window.groups);
        self.groups_full = self.groups_full.saturating_add(window.groups_full);
        self.groups_closed = self.groups_closed.saturating_add(groups_closed(window));
        self.windows = self.windows.saturating_add(1);
        let too_few_groups = self.groups < GROUPS_MIN && self.windows < WINDOWS_MAX;
        if self.latencies.count() < samples_min || too_few_groups {
            return None;
        }
        let observation = self.observation(window);
        self.clear();
        Some(observation)
    }

    fn observation(&self, window: &Window) -> Observation {
        let rate = per_second(self.durable, self.length_us);
        let mean_us = self.latencies.mean_us() as f64;
        // Little's law: operations in flight are their rate times their mean latency, not that of submissions.
        let inside = rate * self.latencies.operation_mean_us() as f64 / 1e6;
        Observation {
            rate,
            p99_us: self.latencies.quantile_us(0.99) as f64,
            mean_us,
            full: per_mille(self.groups_full, self.groups) >= FULL_PER_MILLE,
            closed: per_mille(self.groups_closed, self.groups) >= FULL_PER_MILLE,
            at_the_door: inside >= DOOR_SHARE * window.in_flight_operations_max as f64,
            inside,
            waits: window.seal_wait_us.p50 >= window.durable_us.p50 / 2,
            group_operations: window.group_operations.p50 as f64,
            group_largest: window.group_operations.p99 as f64,
        }
    }
}

/// The mean of what is neither least nor greatest, if there are more than three; 0 of nothing.
pub(super) fn typical(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let inner = match sorted.as_slice() {
        [_, inner @ .., _] if inner.len() > 1 => inner,
        all => all,
    };
    inner.iter().sum::<f64>() / inner.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typical_leaves_extremes_out() {
        assert_eq!(typical([]), 0.0);
        assert_eq!(typical([3.0]), 3.0);
        assert_eq!(typical([9.0, 1.0, 2.0]), 4.0);
        assert_eq!(typical([9.0, 1.0, 1000.0, 3.0]), 6.0);
    }

    #[test]
    fn small_windows_are_put_together() {
        let mut gathered = Gathered::default();
        let mut latencies = Latencies::default();
        latencies.record_many(1_000, 60);
        let window = Window {
            length_us: 500_000,
            groups: 1,
            operations_durable: 60,
            ..Window::default()
        };
        assert_eq!(gathered.add(&window, &latencies, 100), None);
        let together = gathered.add(&window, &latencies, 100).unwrap();
        assert_eq!(together.rate, 120.0);
        assert_eq!(gathered.add(&window, &latencies, 100), None);
    }

    #[test]
    fn windows_without_groups_are_put_together() {
        let mut gathered = Gathered::default();
        let mut latencies = Latencies::default();
        latencies.record_many(1_000, 100);
        let window = |groups| Window {
            length_us: 500_000,
            operations_durable: 100,
            groups,
            ..Window::default()
        };
        assert_eq!(gathered.add(&window(0), &latencies, 100), None);
        assert_eq!(gathered.add(&window(1), &latencies, 100), None);
        assert!(gathered.add(&window(1), &latencies, 100).is_some());
        for _ in 1..WINDOWS_MAX {
            assert_eq!(gathered.add(&window(0), &latencies, 100), None);
        }
        assert!(gathered.add(&window(0), &latencies, 100).is_some());
    }

    #[test]
    fn what_is_in_flight_counts_operations_and_not_submissions() {
        let mut latencies = Latencies::default();
        // Many callers with one operation each, 2 ms; beside them a loader whose batches of 10,000 take 100 ms.
        latencies.record_many(2_000, 1_000);
        latencies.record_many(100_000, 10);
        latencies.weigh(1_000, 1_000 * 2_000);
        latencies.weigh(100_000, 100_000 * 100_000);
        let window = Window {
            length_us: 500_000,
            groups: 20,
            operations_durable: 101_000,
            in_flight_operations_max: 20_000,
            ..Window::default()
        };
        let seen = Gathered::default().add(&window, &latencies, 100).unwrap();
        assert!((19_900.0..20_100.0).contains(&seen.inside), "{seen:?}");
        assert!(seen.at_the_door);
        // A percentile is of submissions still, and so is the mean beside it.
        assert!(seen.p99_us < 2_100.0 && seen.mean_us < 3_000.0, "{seen:?}");
    }

    #[test]
    fn groups_that_bytes_close_saturate_and_ask_for_no_larger_cap() {
        let mut latencies = Latencies::default();
        latencies.record_many(1_000, 100);
        let window = Window {
            length_us: 500_000,
            operations_durable: 100,
            in_flight_operations_max: 1_000_000,
            groups: 10,
            groups_full: 1,
            groups_full_bytes: 5,
            ..Window::default()
        };
        let seen = Gathered::default().add(&window, &latencies, 100).unwrap();
        assert!(seen.saturated() && !seen.full);
        assert_eq!(closed_per_mille(&window), 600);
    }

    #[test]
    fn shares_of_extreme_numbers_are_shares() {
        assert_eq!(per_mille(u64::MAX, 0), 1000);
        assert_eq!(per_mille(u64::MAX, u64::MAX), 1000);
        assert_eq!(per_mille(1, u64::MAX), 0);
    }
}
