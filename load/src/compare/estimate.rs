//! One figure of one side, and how sure it is: a circular block bootstrap over the seconds of its runs (Politis &
//! Romano 1992). Sums over blocks come from running sums, so a draw costs one addition a block, not one a second.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::blocks::Memory;
use super::counts::Counts;

/// A figure, with its variance on the logarithmic scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Estimate {
    /// Over all runs of the side.
    pub(super) value: f64,
    /// Of each run alone.
    pub(super) of_runs: Vec<f64>,
    /// Variance of its logarithm.
    pub(super) log_variance: f64,
    /// Degrees of freedom of that variance.
    pub(super) degrees: f64,
    /// Length of the blocks that were drawn.
    pub(super) block_seconds: usize,
}

/// Stretches of seconds, drawn anew for each resample: a run, the second it begins with, its length.
struct Draw {
    blocks: Vec<(usize, usize, usize)>,
}

impl Draw {
    /// As many seconds of each run as it has.
    fn again(&mut self, lengths: &[usize], block_seconds: usize, random: &mut SmallRng) {
        self.blocks.clear();
        for (run, &seconds) in lengths.iter().enumerate() {
            let mut missing = seconds;
            while missing > 0 {
                let length = block_seconds.clamp(1, missing);
                self.blocks
                    .push((run, random.random_range(0..seconds), length));
                missing -= length;
            }
        }
    }
}

/// Sums up to each second of each run.
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

    /// The sum over what was drawn; a block that reaches past its run goes on at the run's beginning.
    fn over(&self, draw: &Draw) -> f64 {
        let sum = |&(run, begin, length): &(usize, usize, usize)| {
            let Some(sums) = self.0.get(run) else {
                return 0.0;
            };
            let at = |second: usize| sums.get(second).copied().unwrap_or(0.0);
            let seconds = sums.len() - 1;
            let end = begin + length;
            if end <= seconds {
                return at(end) - at(begin);
            }
            at(seconds) - at(begin) + at(end - seconds)
        };
        draw.blocks.iter().map(sum).sum()
    }

    /// The sum over everything.
    fn total(&self) -> f64 {
        self.0.iter().filter_map(|sums| sums.last()).sum()
    }
}

/// The mean of a series a run, such as operations in each second.
pub(super) fn mean(runs: &[Vec<f64>], resamples: usize, seed: u64) -> Estimate {
    let lengths: Vec<usize> = runs.iter().map(Vec::len).collect();
    let seconds = lengths.iter().sum::<usize>().max(1) as f64;
    let sums = RunningSums::of(runs.iter().map(Vec::as_slice));
    let mean_of = |run: &Vec<f64>| run.iter().sum::<f64>() / run.len().max(1) as f64;
    let memory = Memory::of(runs);
    let statistic = |draw: &Draw| sums.over(draw) / seconds;
    let variance = log_variance(&lengths, memory.block_seconds, resamples, seed, statistic);
    Estimate {
        value: sums.total() / seconds,
        of_runs: runs.iter().map(mean_of).collect(),
        log_variance: variance * memory.variance_factor,
        degrees: memory.degrees,
        block_seconds: memory.block_seconds,
    }
}

/// Values nearer to each other than this are not told apart.
const STEP_MIN: f64 = 1.0005;

/// Latencies of one kind of operation, for all quantiles that are asked of them.
pub(super) struct Latencies<'a> {
    runs: Vec<&'a [Counts]>,
    values: Vec<u64>,
    /// For each value how many latencies up to it each second has, summed up to each second.
    at_most: Vec<RunningSums>,
    total: f64,
}

impl<'a> Latencies<'a> {
    /// Second by second of each run.
    pub(super) fn of(runs: Vec<&'a [Counts]>) -> Self {
        let all = runs.iter().flat_map(|run| run.iter());
        let values = apart(Counts::merged(all).bins());
        let mut unread: Vec<Vec<&[(u64, u64)]>> = runs
            .iter()
            .map(|run| run.iter().map(Counts::bins).collect())
            .collect();
        let mut counts: Vec<Vec<f64>> = runs.iter().map(|run| vec![0.0; run.len()]).collect();
        let at_most: Vec<RunningSums> = values
            .iter()
            .map(|value| {
                for (unread, counts) in unread.iter_mut().zip(&mut counts) {
                    take_up_to(*value, unread, counts);
                }
                RunningSums::of(counts.iter().map(Vec::as_slice))
            })
            .collect();
        let total = at_most.last().map_or(0.0, RunningSums::total);
        Self {
            runs,
            values,
            at_most,
            total,
        }
    }

    /// How many there are.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// Seconds of the run with the fewest in which there is any.
    pub(super) fn seconds_min(&self) -> usize {
        let seconds = self.runs.iter().map(|run| {
            let filled = run.iter().filter(|counts| !counts.bins().is_empty());
            filled.count()
        });
        seconds.min().unwrap_or(0)
    }

    /// A quantile, nanoseconds.
    pub(super) fn quantile(&self, share: f64, resamples: usize, seed: u64) -> Estimate {
        let value = self.interpolated(share, RunningSums::total);
        let memory = Memory::of(&self.influence(share, value));
        let lengths: Vec<usize> = self.runs.iter().map(|run| run.len()).collect();
        let statistic = |draw: &Draw| self.interpolated(share, |sums| sums.over(draw));
        let variance = log_variance(&lengths, memory.block_seconds, resamples, seed, statistic);
        let of_run =
            |run: &&'a [Counts]| Self::of(vec![*run]).interpolated(share, RunningSums::total);
        let of_runs = match self.runs.as_slice() {
            [_] => vec![value],
            runs => runs.iter().map(of_run).collect(),
        };
        Estimate {
            value,
            of_runs,
            log_variance: variance * memory.variance_factor + RESOLUTION_VARIANCE,
            degrees: memory.degrees,
            block_seconds: memory.block_seconds,
        }
    }

    /// A quantile of the latencies that `count` counts, between neighbouring values by the straight line: steps
    /// of the histogram would hide small variations.
    fn interpolated(&self, share: f64, count: impl Fn(&RunningSums) -> f64) -> f64 {
        let wanted = self.at_most.last().map_or(0.0, &count) * share;
        let place = self.at_most.partition_point(|sums| count(sums) < wanted);
        let at = |place: usize| self.values.get(place).map_or(0.0, |value| *value as f64);
        let Some(before) = place.checked_sub(1) else {
            return at(0);
        };
        let reached = |place: usize| self.at_most.get(place).map_or(0.0, &count);
        let step = reached(place) - reached(before);
        if step <= 0.0 {
            return at(before);
        }
        at(before) + (at(place) - at(before)) * (wanted - reached(before)) / step
    }

    /// What each second adds to the deviation of a quantile, but for a factor: the latencies above it, less those
    /// that were to be expected. Its correlations are those that matter to the quantile.
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

/// Values of which each stands for those before it that are nearly as large: enough for quantiles with a straight
/// line between them, and few also for long runs.
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

/// Histograms have three digits: nothing finer than that is a difference.
const RESOLUTION_VARIANCE: f64 = 1e-6 / 12.0;

/// Variance of a statistic's logarithm over resamples.
fn log_variance(
    lengths: &[usize],
    block_seconds: usize,
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&Draw) -> f64,
) -> f64 {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut draw = Draw { blocks: Vec::new() };
    let logarithms: Vec<f64> = (0..resamples)
        .map(|_| {
            draw.again(lengths, block_seconds, &mut random);
            statistic(&draw).max(f64::MIN_POSITIVE).ln()
        })
        .collect();
    let count = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / count.max(1.0);
    let squares = logarithms.iter().map(|value| (value - mean).powi(2));
    squares.sum::<f64>() / (count - 1.0).max(1.0)
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
    fn a_block_goes_on_at_the_beginning_of_its_run() {
        let sums = RunningSums::of([[1.0, 2.0, 4.0].as_slice()].into_iter());
        let drawn = |begin, length| {
            let blocks = vec![(0, begin, length)];
            sums.over(&Draw { blocks })
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
