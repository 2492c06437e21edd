//! Latencies of submissions, and their mean by operations.

use hdrhistogram::Histogram;

/// Longest latency that is distinguished, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Returns an empty histogram with two digits, up to an hour in microseconds. Larger values count as an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_US, 2)
        .unwrap_or_else(|_| unreachable!("both constants are in the range of the library"))
}

/// Latencies in microseconds.
///
/// Quantiles are of submissions. The mean by operations weighs a submission by its operations.
///
/// ```
/// use trunkline_actors::decisions::Latencies;
///
/// let mut latencies = Latencies::default();
/// latencies.record(1_000, 1); // a submission of one operation
/// latencies.record(9_000, 1); // and one of three
/// latencies.weigh(4, 1_000 + 3 * 9_000);
/// assert_eq!(latencies.count(), 2);
/// assert_eq!(latencies.operation_mean_us(), 7_000);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies {
    submissions: Histogram<u64>,
    operations: u64,
    operations_sum_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            submissions: histogram(),
            operations: 0,
            operations_sum_us: 0,
        }
    }
}

impl Latencies {
    /// Adds `count` submissions of the same latency.
    pub fn record(&mut self, latency_us: u64, count: u64) {
        self.submissions.saturating_record_n(latency_us, count);
    }

    /// Adds operations and the sum of their latencies to the mean by operations.
    pub fn weigh(&mut self, operations: u64, sum_us: u64) {
        self.operations = self.operations.saturating_add(operations);
        self.operations_sum_us = self.operations_sum_us.saturating_add(sum_us);
    }

    /// Adds all values of another one.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so this cannot fail.
        let _ = self.submissions.add(&other.submissions);
        self.weigh(other.operations, other.operations_sum_us);
    }

    /// Removes all values, and keeps the memory.
    pub fn clear(&mut self) {
        self.submissions.reset();
        (self.operations, self.operations_sum_us) = (0, 0);
    }

    /// Returns the histogram of submissions.
    pub fn submissions(&self) -> &Histogram<u64> {
        &self.submissions
    }

    /// Returns the number of submissions.
    pub fn count(&self) -> u64 {
        self.submissions.len()
    }

    /// Returns the mean over submissions in microseconds, or 0 if there are none.
    pub fn mean_us(&self) -> u64 {
        self.submissions.mean() as u64
    }

    /// Returns the mean over operations in microseconds. If no operations were weighed, submissions have equal weight.
    pub fn operation_mean_us(&self) -> u64 {
        let mean_us = self.operations_sum_us.checked_div(self.operations);
        mean_us.unwrap_or_else(|| self.mean_us())
    }

    /// Returns the latency in microseconds that a share of the submissions (0 to 1) did not exceed, or 0 if there are
    /// none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let highest = self.submissions.value_at_quantile(share);
        self.submissions.median_equivalent(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_known_to_two_digits() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.quantile_us(0.99), latencies.mean_us()), (0, 0));
        latencies.record(1_000, 1);
        latencies.record(2_000, 98);
        latencies.record(50_000, 1);
        assert!((1_980..=2_020).contains(&latencies.quantile_us(0.99)));

        let mut of_two_windows = latencies.clone();
        of_two_windows.merge(&latencies);
        assert_eq!(of_two_windows.count(), 200);
        of_two_windows.clear();
        assert_eq!(of_two_windows, Latencies::default());
    }

    #[test]
    fn extreme_numbers_saturate() {
        let mut latencies = Latencies::default();
        for _ in 0..3 {
            latencies.record(u64::MAX, u64::MAX / 2);
            latencies.weigh(u64::MAX, u64::MAX);
        }
        let copy = latencies.clone();
        latencies.merge(&copy);
        assert!(latencies.quantile_us(0.5) >= LONGEST_US / 101 * 100);
        assert!(latencies.quantile_us(f64::NAN) > 0);
    }
}
