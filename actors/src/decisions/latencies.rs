//! Latencies of many operations in a fixed number of buckets: cheap to record, to merge and to ask for a quantile.
//!
//! Buckets grow with the value: 64 to each doubling, so that a value is known to 1.6 % and the middle that is
//! answered is at most 0.8 % off (the layout of HdrHistogram, Tene 2012, with a fixed range). Beside it a mean by
//! weight, for submissions of different sizes. Not here: locks; whoever records keeps one for each thread or brings a
//! lock.

/// Buckets to each doubling of the value.
const STEPS: u64 = 64;
const STEPS_BITS: u32 = STEPS.trailing_zeros();
/// Values of more bits than this count as the greatest.
const VALUE_BITS: u32 = 32;
const BUCKETS: usize = ((VALUE_BITS - STEPS_BITS + 1) as usize) * STEPS as usize;

/// Latencies in microseconds, up to 71 minutes; longer ones count as that.
///
/// ```
/// use trunkline_actors::decisions::Latencies;
/// let mut latencies = Latencies::default();
/// latencies.record(1_000);
/// latencies.record_many(2_000, 98);
/// latencies.record(50_000);
/// assert_eq!(latencies.count(), 100);
/// let p99_us = latencies.quantile_us(0.99);
/// assert!((1_984..=2_016).contains(&p99_us));
///
/// let mut of_two_windows = latencies.clone();
/// of_two_windows.merge(&latencies);
/// assert_eq!(of_two_windows.count(), 200);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Latencies {
    buckets: Box<[u32]>,
    count: u64,
    sum_us: u64,
    /// Operations of what was recorded, and the sum of their latencies.
    operations: u64,
    operations_sum_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            count: 0,
            sum_us: 0,
            operations: 0,
            operations_sum_us: 0,
        }
    }
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Latencies")
            .field("count", &self.count)
            .field("p50_us", &self.quantile_us(0.5))
            .field("p99_us", &self.quantile_us(0.99))
            .finish()
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS) - 1);
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS_BITS + 1);
    // The leading bit of a shifted value is one bucket row, so rows follow each other without a gap.
    (u64::from(doublings) * STEPS + (value >> doublings)) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doublings = (bucket / STEPS).saturating_sub(1);
    let lowest = (bucket - doublings * STEPS) << doublings;
    lowest + ((1 << doublings) >> 1)
}

impl Latencies {
    /// Adds one operation.
    pub fn record(&mut self, latency_us: u64) {
        self.record_many(latency_us, 1);
    }

    /// Adds operations of the same latency, such as those of one submission.
    pub fn record_many(&mut self, latency_us: u64, operations: u32) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(latency_us)) {
            *bucket = bucket.saturating_add(operations);
        }
        self.count = self.count.saturating_add(u64::from(operations));
        let sum = latency_us.saturating_mul(u64::from(operations));
        self.sum_us = self.sum_us.saturating_add(sum);
    }

    /// Adds operations whose latencies come to so much together, to [`Self::operation_mean_us`] alone: quantiles are of
    /// what is recorded one by one, such as submissions.
    ///
    /// ```
    /// let mut latencies = trunkline_actors::decisions::Latencies::default();
    /// latencies.record(1_000); // a submission of one operation
    /// latencies.record(9_000); // and one of three
    /// latencies.weigh(4, 1_000 + 3 * 9_000);
    /// assert_eq!((latencies.mean_us(), latencies.operation_mean_us()), (5_000, 7_000));
    /// ```
    pub fn weigh(&mut self, operations: u64, sum_us: u64) {
        self.operations = self.operations.saturating_add(operations);
        self.operations_sum_us = self.operations_sum_us.saturating_add(sum_us);
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.weigh(other.operations, other.operations_sum_us);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum_us) = (0, 0);
        (self.operations, self.operations_sum_us) = (0, 0);
    }

    /// Operations recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, microseconds; 0 if there is none.
    pub fn mean_us(&self) -> u64 {
        self.sum_us.checked_div(self.count).unwrap_or(0)
    }

    /// The mean by operations, microseconds: each weighs what it has of them. If none were weighed, all weigh the same.
    pub fn operation_mean_us(&self) -> u64 {
        let mean_us = self.operations_sum_us.checked_div(self.operations);
        mean_us.unwrap_or_else(|| self.mean_us())
    }

    /// The latency that this share of the operations (0 to 1) did not exceed, microseconds; 0 if there is none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let total: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let rank = ((total as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return middle_of(bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_answer_within_their_resolution() {
        let mut last = 0;
        for value in (0..200_000_u64).chain((200_000..1 << 32).step_by(7_654_321)) {
            let bucket = bucket_of(value);
            assert!(bucket >= last && bucket < BUCKETS);
            last = bucket;
            let off = middle_of(bucket).abs_diff(value) as f64;
            assert!(off <= value as f64 * 0.008, "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_of_nothing_is_zero() {
        assert_eq!(Latencies::default().quantile_us(0.99), 0);
        assert_eq!(Latencies::default().mean_us(), 0);
    }

    #[test]
    fn extreme_numbers_saturate() {
        let mut latencies = Latencies::default();
        for _ in 0..3 {
            latencies.record_many(u64::MAX, u32::MAX);
        }
        assert!(latencies.quantile_us(0.5) > 1 << 31);
        let copy = latencies.clone();
        latencies.merge(&copy);
        assert!(latencies.quantile_us(f64::NAN) > 0);
    }
}
