//! How often each latency was seen in one second: a histogram without its empty places.

use hdrhistogram::Histogram;

/// Latencies of one second, nanoseconds, ascending, with how often each was seen.
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
    /// From nanoseconds and counts in any order.
    pub fn of(values: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut bins: Vec<(u64, u64)> = values.into_iter().filter(|bin| bin.1 > 0).collect();
        bins.sort_unstable();
        bins.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        Self { bins }
    }

    /// What a histogram of nanoseconds holds.
    pub fn of_histogram(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        let bins = recorded.map(|step| (step.value_iterated_to(), step.count_at_value()));
        Self {
            bins: bins.collect(),
        }
    }

    /// All of them together.
    pub fn merged<'a>(many: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(
            many.into_iter()
                .flat_map(|counts| counts.bins.iter().copied()),
        )
    }

    /// Nanoseconds, ascending, and how often each was seen.
    pub fn bins(&self) -> &[(u64, u64)] {
        &self.bins
    }

    /// How many latencies there are.
    pub fn total(&self) -> u64 {
        let counts = self.bins.iter().map(|bin| bin.1);
        counts.fold(0, u64::saturating_add)
    }

    /// The smallest latency, nanoseconds, that at least this share of all does not exceed; 0 if there are none.
    ///
    /// ```
    /// use trunkline_load::compare::Counts;
    /// assert_eq!(Counts::of([(10, 99), (50, 1)]).quantile(0.99), 10);
    /// assert_eq!(Counts::of([(10, 99), (50, 1)]).quantile(1.0), 50);
    /// ```
    pub fn quantile(&self, share: f64) -> u64 {
        self.quantiles(&[share]).first().copied().unwrap_or(0)
    }

    /// The same for several shares, ascending, in one pass.
    pub fn quantiles(&self, shares: &[f64]) -> Vec<u64> {
        let total = self.total() as f64;
        let mut bins = self.bins.iter().copied();
        let mut bin = bins.next().unwrap_or_default();
        let mut seen = bin.1 as f64;
        let quantile = |share: &f64| {
            let wanted = (share * total - 1e-9).ceil().max(1.0);
            while seen < wanted {
                let Some(next) = bins.next() else {
                    break;
                };
                bin = next;
                seen += bin.1 as f64;
            }
            bin.0
        };
        shares.iter().map(quantile).collect()
    }
}
