//! What one window, or several small ones together, say about the pipeline. Not here: what follows from it.

use super::{Latencies, Window};

/// Stages that are busy for more of a window than this count as saturated, per mille.
const BUSY_PER_MILLE: u64 = 900;
/// In-flight operations of more than this share of their limit mean that callers wait at the door.
const DOOR_SHARE: f64 = 0.8;

/// Windows under one setting, judged together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Observation {
    /// Operations made durable, a second.
    pub(super) rate: f64,
    /// 99th percentile of what was sealed under the cap of now, microseconds.
    pub(super) p99_us: f64,
    /// Its mean, microseconds.
    pub(super) mean_us: f64,
    /// Groups that the cap closed, of a thousand.
    pub(super) full_per_mille: u64,
    /// Whether something in the pipeline, or the door, has no room.
    pub(super) saturated: bool,
    /// Whether half of the latency, or more, is waiting to be sealed.
    pub(super) waits: bool,
    /// Operations of a middling group.
    pub(super) group_operations: f64,
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

/// Windows that have too few samples alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    latencies: Latencies,
    durable: u64,
    length_us: u64,
    groups: u64,
    groups_full: u64,
}

impl Gathered {
    pub(super) fn clear(&mut self) {
        self.latencies.clear();
        (self.durable, self.length_us) = (0, 0);
        (self.groups, self.groups_full) = (0, 0);
    }

    /// Adds a window; an observation once there are enough samples, which begins anew.
    pub(super) fn add(
        &mut self,
        window: &Window,
        latencies: &Latencies,
        samples_min: u64,
        groups_in_flight_max: u64,
    ) -> Option<Observation> {
        self.latencies.merge(latencies);
        self.durable = self.durable.saturating_add(window.operations_durable);
        self.length_us = self.length_us.saturating_add(window.length_us);
        self.groups = self.groups.saturating_add(window.groups);
        self.groups_full = self.groups_full.saturating_add(window.groups_full);
        if self.latencies.count() < samples_min {
            return None;
        }
        let observation = self.observation(window, groups_in_flight_max);
        self.clear();
        Some(observation)
    }

    fn observation(&self, window: &Window, groups_in_flight_max: u64) -> Observation {
        let rate = per_second(self.durable, self.length_us);
        let mean_us = self.latencies.mean_us() as f64;
        let crowded =
            window.groups_in_flight >= groups_in_flight_max && window.operations_waiting > 0;
        // Little's law: operations in flight are the rate times the mean latency.
        let at_the_door = rate * mean_us / 1e6 >= DOOR_SHARE * window.in_flight_operations_max as f64;
        Observation {
            rate,
            p99_us: self.latencies.quantile_us(0.99) as f64,
            mean_us,
            full_per_mille: per_mille(self.groups_full, self.groups),
            saturated: busiest_per_mille(window) >= BUSY_PER_MILLE || crowded || at_the_door,
            waits: window.seal_wait_us.p50 >= window.durable_us.p50 / 2,
            group_operations: window.group_operations.p50 as f64,
        }
    }
}

/// The median; 0 of nothing.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|at| sorted.get(at));
    lower.map_or(upper, |lower| (lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0]), 3.0);
        assert_eq!(median([9.0, 1.0]), 5.0);
        assert_eq!(median([9.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn small_windows_are_put_together() {
        let mut gathered = Gathered::default();
        let mut latencies = Latencies::default();
        latencies.record_many(1_000, 60);
        let window = Window {
            length_us: 500_000,
            operations_durable: 60,
            ..Window::default()
        };
        assert_eq!(gathered.add(&window, &latencies, 100, 4), None);
        let together = gathered.add(&window, &latencies, 100, 4).unwrap();
        assert_eq!(together.rate, 120.0);
        assert_eq!(gathered.add(&window, &latencies, 100, 4), None);
    }

    #[test]
    fn shares_of_extreme_numbers_are_shares() {
        assert_eq!(per_mille(u64::MAX, 0), 1000);
        assert_eq!(per_mille(u64::MAX, u64::MAX), 1000);
        assert_eq!(per_mille(1, u64::MAX), 0);
    }
}
