//! Settings and limits of the controllers.

use serde::{Deserialize, Serialize};

/// The target, and the enabled controllers. Values out of range are moved into it.
///
/// ```
/// use trunkline_actors::adaptive::ControlSettings;
/// let settings = ControlSettings { target_p99_ms: 50, workers: false, ..ControlSettings::default() };
/// assert_eq!(settings.samples_min, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// Target of the 99th percentile of the latency from acceptance to durability, in milliseconds.
    pub target_p99_ms: u64,
    /// Number of latencies that a percentile needs. Windows with fewer are combined.
    pub samples_min: u64,
    /// True if the cap on a group's operations adapts to measurements.
    pub batch_size: bool,
    /// True if the limit on operations in flight adapts to measurements.
    pub admission: bool,
    /// True if shards adapt: those of proofs to measurements, those of groups to the work in flight.
    pub workers: bool,
    /// True if the value cache and the tree share their memory by measurements.
    pub caches: bool,
    /// Most parts of the key space that are reported as hot: 0 (none) to 32.
    pub hot_prefixes_max: usize,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            target_p99_ms: 100,
            samples_min: 100,
            batch_size: true,
            admission: true,
            workers: true,
            caches: true,
            hot_prefixes_max: 16,
        }
    }
}

impl ControlSettings {
    /// Returns the target in microseconds.
    pub(super) fn target_us(&self) -> f64 {
        self.target_p99_ms.max(1) as f64 * 1e3
    }
}

/// Limits that every decision stays within.
///
/// ```
/// let limits = trunkline_actors::adaptive::Limits::default();
/// assert!(limits.group_operations_min < limits.group_operations_max);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Least operations of a group.
    pub group_operations_min: u64,
    /// Most operations of a group.
    pub group_operations_max: u64,
    /// Lowest limit on operations in flight. (A larger batch is admitted alone.)
    pub in_flight_operations_min: u64,
    /// Highest limit on operations in flight: the configured one.
    pub in_flight_operations_max: u64,
    /// Most groups between ingest and durable at the same time.
    pub groups_in_flight_max: u64,
    /// Threads of the pool for proofs and reads of many keys, which have at most this many shards, and never more than
    /// 128.
    pub read_threads: u64,
    /// Number of bytes that the cache of values keeps in any case.
    pub value_cache_bytes_min: u64,
    /// Number of bytes that the tree keeps in any case.
    pub tree_bytes_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group_operations_min: 64,
            group_operations_max: 1_000_000,
            in_flight_operations_min: 200_000,
            in_flight_operations_max: 1_000_000,
            groups_in_flight_max: 4,
            read_threads: 1,
            value_cache_bytes_min: 1 << 20,
            tree_bytes_min: 1 << 20,
        }
    }
}

impl Limits {
    /// Returns the operations of a group nearest to `wanted` within the limits.
    pub(super) fn cap(&self, wanted: f64) -> u64 {
        between(wanted, self.group_operations_min, self.group_operations_max)
    }

    /// Returns the operations in flight nearest to `wanted` within the limits.
    pub(super) fn in_flight(&self, wanted: f64) -> u64 {
        let (low, high) = (self.in_flight_operations_min, self.in_flight_operations_max);
        between(wanted, low, high)
    }
}

/// Returns `wanted` as a whole number of at least 1 between the two. The upper one applies if they are out of order.
pub(super) fn between(wanted: f64, low: u64, high: u64) -> u64 {
    let wanted = if wanted.is_nan() { 0 } else { wanted as u64 };
    wanted.max(low).min(high).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wanted_stays_between() {
        for (wanted, low, high, found) in [
            (f64::NAN, 2, 5, 2),
            (f64::INFINITY, 2, 5, 5),
            (-1.0, 2, 5, 2),
            (3.9, 2, 5, 3),
            (9.0, 7, 5, 5),
            (0.0, 0, 0, 1),
        ] {
            assert_eq!(between(wanted, low, high), found);
        }
    }
}
