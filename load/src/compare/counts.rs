//! Counts the latencies of one second: a histogram without its empty bins.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Latencies of one second, in nanoseconds, ascending, each with its number of occurrences.
///
/// ```
/// use trunkline_load::compare::Counts;
///
/// let counts = Counts::of([(20, 1), (10, 2), (20, 1)]);
/// assert_eq!(counts.bins(), [(10, 2), (20, 2)]);
/// assert_eq!(counts.total(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    bins: Vec<(u64, u64)>,
}

impl Counts {
    /// Counts latencies that are given as pairs of nanoseconds and count, in any order.
    pub fn of(values: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut bins = BTreeMap::<u64, u64>::new();
        for (nanos, count) in values.into_iter().filter(|bin| bin.1 > 0) {
            let sum = bins.entry(nanos).or_default();
            *sum = sum.saturating_add(count);
        }
        Self {
            bins: bins.into_iter().collect(),
        }
    }

    /// Counts the values of a histogram of nanoseconds.
    pub fn of_histogram(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        let bins = recorded.map(|step| (step.value_iterated_to(), step.count_at_value()));
        Self {
            bins: bins.collect(),
        }
    }

    /// Adds up several counts.
    pub fn merged<'a>(many: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(many.into_iter().flat_map(|counts| counts.bins.clone()))
    }

    /// Returns the latencies in nanoseconds, ascending, each with its number of occurrences.
    pub fn bins(&self) -> &[(u64, u64)] {
        &self.bins
    }

    /// Returns the number of latencies.
    pub fn total(&self) -> u64 {
        let counts = self.bins.iter().map(|bin| bin.1);
        counts.fold(0, u64::saturating_add)
    }

    /// Returns for each share the smallest latency, in nanoseconds, that at least this share of all latencies does not
    /// exceed; 0 if there are none.
    ///
    /// ```
    /// use trunkline_load::compare::Counts;
    /// assert_eq!(Counts::of([(10, 99), (50, 1)]).quantiles(&[0.99, 1.0]), [10, 50]);
    /// ```
    pub fn quantiles(&self, shares: &[f64]) -> Vec<u64> {
        let mut sum = 0_u64;
        let sums = self.bins.iter().map(|bin| {
            sum = sum.saturating_add(bin.1);
            sum as f64
        });
        let sums: Vec<f64> = sums.collect();
        let quantile = |share: &f64| {
            let wanted = (share * sum as f64 - 1e-9).ceil().max(1.0);
            let index = sums.partition_point(|sum| *sum < wanted);
            let bin = self.bins.get(index).or(self.bins.last());
            bin.map_or(0, |bin| bin.0)
        };
        shares.iter().map(quantile).collect()
    }
}
