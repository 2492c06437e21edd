//! Estimates a figure of one side with its uncertainty, by a circular block bootstrap over the seconds of its runs
//! (Politis & Romano 1992). Sums over blocks come from running sums, so a draw costs one addition per block, not one
//! per second.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use statrs::statistics::Statistics;

use super::blocks::Memory;
use super::counts::Counts;

/// A figure, with its variance on the logarithmic scale.
#[derive(Debug)]
pub(super) struct Estimate {
    /// Value over all runs of the side.
    pub(super) value: f64,
    /// Value of each run alone.
    pub(super) of_runs: Vec<f64>,
    /// Variance of its logarithm.
    pub(super) log_variance: f64,
    /// Degrees of freedom of that variance.
    pub(super) degrees: f64,
    /// Length of the blocks that were drawn.
    pub(super) block_seconds: usize,
}

/// A block of seconds of a run.
struct Block {
    run: usize,
    begin: usize,
    length: usize,
}

/// Draws from each run as many seconds as it has.
fn drawn(lengths: &[usize], block_seconds: usize, random: &mut SmallRng) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (run, &seconds) in lengths.iter().enumerate() {
        let mut missing = seconds;
        while missing > 0 {
            let length = block_seconds.clamp(1, missing);
            let begin = random.random_range(0..seconds);
            blocks.push(Block { run, begin, length });
            missing -= length;
        }
    }
    blocks
}

/// Running sums over the seconds of each run.
struct RunningSums(Vec<Vec<f64>>);

impl RunningSums {
    fn of<'a>(runs: impl Iterator<Item = &'a [f64]>) -> Self {
        let sums = runs.map(|run| {
            let mut sum = 0.0;
            let following = run.iter().map(|value| {
                sum += value;
                sum
            });
            std::iter::once(0.0).chain(following).collect()
        });
        Self(sums.collect())
    }

    /// Returns the sum over blocks. A block that extends past the end of its run continues at the run's beginning.
    fn over(&self, blocks: &[Block]) -> f64 {
        let sum = |block: &Block| {
            let sums = &self.0[block.run];
            let (end, seconds) = (block.begin + block.length, sums.len() - 1);
            let wrapped = sums[end.saturating_sub(seconds)];
            sums[end.min(seconds)] - sums[block.begin] + wrapped
        };
        blocks.iter().map(sum).sum()
    }

    /// Returns the sum over all seconds.
    fn total(&self) -> f64 {
        self.0.iter().filter_map(|sums| sums.last()).sum()
    }
}

/// Estimates the mean of a figure, such as operations per second, from one series per run.
pub(super) fn mean(runs: &[Vec<f64>], resamples: usize, seed: u64) -> Estimate {
    let lengths: Vec<usize> = runs.iter().map(Vec::len).collect();
    let seconds = lengths.iter().sum::<usize>().max(1) as f64;
    let sums = RunningSums::of(runs.iter().map(Vec::as_slice));
    let memory = Memory::of(runs);
    let statistic = |blocks: &[Block]| sums.over(blocks) / seconds;
    Estimate {
        value: sums.total() / seconds,
        of_runs: runs.iter().map(|run| run.mean()).collect(),
        log_variance: log_variance(&lengths, &memory, resamples, seed, statistic),
        degrees: memory.degrees,
        block_seconds: memory.block_seconds,
    }
}

/// Ratio of values below which they are treated as equal.
const STEP_MIN: f64 = 1.0005;

/// Latencies of one kind of operation, from which quantiles are estimated.
pub(super) struct Latencies<'a> {
    runs: Vec<&'a [Counts]>,
    values: Vec<u64>,
    /// For each value, the running sums over the seconds of the number of latencies up to it.
    at_most: Vec<RunningSums>,
    total: f64,
}

impl<'a> Latencies<'a> {
    /// Takes the latencies of each second of each run.
    pub(super) fn of(runs: Vec<&'a [Counts]>) -> Self {
        let all = runs.iter().flat_map(|run| run.iter());
        let values = apart(Counts::merged(all).bins());
        let bins = runs.iter().map(|run| run.iter().map(Counts::bins));
        let mut unread: Vec<Vec<&[(u64, u64)]>> = bins.map(Iterator::collect).collect();
        let mut counts: Vec<Vec<f64>> = runs.iter().map(|run| vec![0.0; run.len()]).collect();
        let at_most = values.iter().map(|value| {
            for (unread, counts) in unread.iter_mut().zip(&mut counts) {
                take_up_to(*value, unread, counts);
            }
            RunningSums::of(counts.iter().map(Vec::as_slice))
        });
        let at_most: Vec<RunningSums> = at_most.collect();
        let total = at_most.last().map_or(0.0, RunningSums::total);
        Self {
            runs,
            values,
            at_most,
            total,
        }
    }

    /// Returns the number of latencies.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// Returns the number of seconds with any latency, in the run with the fewest.
    pub(super) fn seconds_min(&self) -> usize {
        let seconds = self.runs.iter().map(|run| {
            let filled = run.iter().filter(|counts| !counts.bins().is_empty());
            filled.count()
        });
        seconds.min().unwrap_or(0)
    }

    /// Estimates a quantile, in nanoseconds.
    pub(super) fn quantile(&self, share: f64, resamples: usize, seed: u64) -> Estimate {
        let value = self.interpolated(share, RunningSums::total);
        let memory = Memory::of(&self.influence(share, value));
        let lengths: Vec<usize> = self.runs.iter().map(|run| run.len()).collect();
        let statistic = |blocks: &[Block]| self.interpolated(share, |sums| sums.over(blocks));
        let variance = log_variance(&lengths, &memory, resamples, seed, statistic);
        let of_run =
            |run: &&'a [Counts]| Self::of(vec![*run]).interpolated(share, RunningSums::total);
        let of_runs = match self.runs.as_slice() {
            [_] => vec![value],
            runs => runs.iter().map(of_run).collect(),
        };
        Estimate {
            value,
            of_runs,
            log_variance: variance + RESOLUTION_VARIANCE,
            degrees: memory.degrees,
            block_seconds: memory.block_seconds,
        }
    }

    /// Returns a quantile of the latencies that `count` counts. It is interpolated linearly between neighbouring
    /// values, because steps of the histogram would hide small variations.
    fn interpolated(&self, share: f64, count: impl Fn(&RunningSums) -> f64) -> f64 {
        let wanted = self.at_most.last().map_or(0.0, &count) * share;
        let index = self.at_most.partition_point(|sums| count(sums) < wanted);
        let at = |index: usize| self.values.get(index).map_or(0.0, |value| *value as f64);
        let reached = |index: usize| self.at_most.get(index).map_or(0.0, &count);
        let Some(before) = index.checked_sub(1) else {
            return at(0);
        };
        match reached(index) - reached(before) {
            step if step <= 0.0 => at(before),
            step => at(before) + (at(index) - at(before)) * (wanted - reached(before)) / step,
        }
    }

    /// Returns the contribution of each second to the deviation of a quantile, up to a factor: the number of latencies
    /// above it, less the expected number. The correlations of these contributions are those that matter to the
    /// quantile.
    fn influence(&self, share: f64, quantile: f64) -> Vec<Vec<f64>> {
        let of_second = |counts: &Counts| {
            let above = counts.bins().iter().filter(|bin| bin.0 as f64 > quantile);
            let above: f64 = above.map(|bin| bin.1 as f64).sum();
            above - (1.0 - share) * counts.total() as f64
        };
        let of_run = |run: &&[Counts]| run.iter().map(of_second).collect();
        self.runs.iter().map(of_run).collect()
    }
}

/// Returns values each of which stands for the nearly equal ones before it. They suffice for interpolated quantiles,
/// and are few even for long runs.
fn apart(bins: &[(u64, u64)]) -> Vec<u64> {
    let near = bins.chunk_by(|before, next| before.0 as f64 * STEP_MIN >= next.0 as f64);
    let last = near.flat_map(|near| near.last());
    last.map(|bin| bin.0).collect()
}

/// Adds the bins up to a value to the counts of their seconds.
fn take_up_to(value: u64, unread: &mut [&[(u64, u64)]], counts: &mut [f64]) {
    for (bins, count) in unread.iter_mut().zip(counts) {
        while let [(first, times), rest @ ..] = *bins {
            if *first > value {
                break;
            }
            *count += *times as f64;
            *bins = rest;
        }
    }
}

/// Variance that remains due to the three digits of histograms. Nothing finer is a difference.
const RESOLUTION_VARIANCE: f64 = 1e-6 / 12.0;

/// Returns the variance of a statistic's logarithm over resamples.
fn log_variance(
    lengths: &[usize],
    memory: &Memory,
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[Block]) -> f64,
) -> f64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let logarithms = (0..resamples).map(|_| {
        let blocks = drawn(lengths, memory.block_seconds, &mut random);
        statistic(&blocks).max(f64::MIN_POSITIVE).ln()
    });
    logarithms.variance() * memory.variance_factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_as_sure_as_theory_says() {
        let run: Vec<f64> = (0..400)
            .map(|second| [90.0, 110.0, 110.0, 90.0][second % 4])
            .collect();
        let estimate = mean(&[run], 2_000, 1);
        assert_eq!(estimate.value, 100.0);
        assert!(estimate.log_variance.sqrt() < 0.006, "{estimate:?}");
    }

    #[test]
    fn a_block_continues_at_the_beginning_of_its_run() {
        let sums = RunningSums::of([[1.0, 2.0, 4.0].as_slice()].into_iter());
        let drawn = |begin, length| {
            sums.over(&[Block {
                run: 0,
                begin,
                length,
            }])
        };
        assert_eq!((drawn(0, 3), drawn(1, 1), drawn(2, 2)), (7.0, 2.0, 5.0));
    }

    #[test]
    fn a_quantile_lies_between_the_values_around_it() {
        let seconds = vec![Counts::of([(100, 50), (200, 50)]); 30];
        let latencies = Latencies::of(vec![&seconds]);
        assert_eq!(latencies.quantile(0.5, 100, 1).value, 100.0);
        assert_eq!(latencies.quantile(0.75, 100, 1).value, 150.0);
        assert_eq!(latencies.total(), 3_000.0);
    }

    #[test]
    fn seconds_that_do_not_differ_leave_only_the_resolution() {
        let seconds = vec![Counts::of([(1_000, 10), (1_200, 10)]); 30];
        let estimate = Latencies::of(vec![&seconds]).quantile(0.9, 200, 1);
        assert!(estimate.log_variance < 2e-7, "{estimate:?}");
        assert!(estimate.log_variance > 1e-8, "{estimate:?}");
    }
}
