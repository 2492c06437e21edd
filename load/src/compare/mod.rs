//! Compares two sides of runs: throughput, and latency quantiles by kind of operation. The comparison takes the
//! autocorrelation of seconds into account and corrects for the number of figures. It is pure: the same seed gives the
//! same result.
//!
//! The seconds of a run do not show that a machine is slower today than it was yesterday. So run both sides in turns,
//! several times each, and compare all runs, as pairs if the machine drifts.

mod blocks;
mod counts;
mod estimate;
mod recorded;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use counts::Counts;
pub use recorded::{RecordError, Recorded};
pub use verdict::Verdict;

use super::OperationKind;
use estimate::{Estimate, Latencies};

/// Seconds that a run needs to be compared.
pub const SECONDS_MIN: usize = 20;

/// Fewest pairs of runs that can be compared.
pub const PAIRS_MIN: usize = 3;

/// Fewest latencies above a quantile for it to be compared.
pub const TAIL_MIN: f64 = 100.0;

/// The figures of one run that are compared.
///
/// See [`compare`] for an example, and [`Recorded::observed`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Operations that ended in each second.
    pub achieved: Vec<f64>,
    /// Latencies from the intended start, in each second.
    pub latency: BTreeMap<OperationKind, Vec<Counts>>,
}

/// The settings of a comparison.
///
/// See [`compare`] for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Seed of the resampling.
    pub seed: u64,
    /// Resamples for each figure of each side.
    pub resamples: usize,
    /// Probability that any figure is called different although none is.
    pub family_error: f64,
    /// Relative change below which two sides count as the same. The memory layout alone, which differs at each start,
    /// causes changes of this size (Mytkowicz et al. 2009).
    pub negligible: f64,
    /// True if the runs are pairs: the first runs of both sides were made in succession, and so on. An effect on both
    /// runs of a pair, such as a machine that gets slower, then counts as no difference. Both sides need the same
    /// number of runs, at least three.
    pub paired: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            resamples: 2_000,
            family_error: 0.05,
            negligible: 0.01,
            paired: false,
        }
    }
}

/// A figure that is compared.
///
/// ```
/// use trunkline_load::{OperationKind, compare::{Metric, Quantile}};
/// let metric = Metric::Latency { kind: OperationKind::MultiGet, quantile: Quantile::P999 };
/// assert_eq!(metric.to_string(), "multi_get p99.9");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Operations per second.
    Throughput,
    /// A quantile of a kind's latency from its intended start.
    Latency {
        /// Kind of the operations.
        kind: OperationKind,
        /// The quantile.
        quantile: Quantile,
    },
}

/// A quantile that is compared.
///
/// See [`Metric`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantile {
    /// The median.
    P50,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
}

impl Quantile {
    const ALL: [Self; 3] = [Self::P50, Self::P99, Self::P999];

    /// Returns the share of the latencies that do not exceed the quantile.
    pub fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Latency { kind, quantile } = self else {
            return formatter.write_str("throughput");
        };
        let quantile = match quantile {
            Quantile::P50 => "p50",
            Quantile::P99 => "p99",
            Quantile::P999 => "p99.9",
        };
        write!(formatter, "{} {quantile}", kind.name())
    }
}

/// One figure of both sides.
///
/// ```
/// # use trunkline_load::compare::{Observed, Settings, compare};
/// # let side = |rate: f64| [Observed { achieved: vec![rate; 30], latency: Default::default() }];
/// let comparison = compare(&side(1_000.0), &side(900.0), &Settings::default())?;
/// assert!((comparison.metrics[0].change + 0.1).abs() < 1e-9); // a tenth less
/// # Ok::<(), trunkline_load::compare::CompareError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MetricComparison {
    /// The figure.
    pub metric: Metric,
    /// Its value before: operations per second, or microseconds.
    pub before: f64,
    /// Its value after.
    pub after: f64,
    /// Relative change: 0.1 is an increase by a tenth.
    pub change: f64,
    /// Interval that contains the true relative change, at the confidence of the verdict. If both ends are beyond the
    /// negligible change on the same side, the sides differ.
    pub interval: (f64, f64),
    /// Probability of at least this change if the true one were negligible, without correction.
    pub p_value: f64,
    /// Error that the correction allows for this comparison.
    pub error_allowed: f64,
    /// Length of a block before and after, in seconds.
    pub block_seconds: (usize, usize),
    /// The result.
    pub verdict: Verdict,
}

/// A figure that was left out, with the reason.
///
/// ```
/// use trunkline_load::compare::{LeftOut, Metric, WhyLeftOut};
/// let left_out = LeftOut { metric: Metric::Throughput, why: WhyLeftOut::OneSide };
/// assert_eq!(left_out.to_string(), "throughput: only one side has it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{metric}: {why}")]
pub struct LeftOut {
    /// The figure.
    pub metric: Metric,
    /// The reason.
    pub why: WhyLeftOut,
}

/// A reason for not comparing a figure.
///
/// See [`LeftOut`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// Only one side has such operations.
    #[error("only one side has it")]
    OneSide,
    /// A run has too few seconds with such operations.
    #[error("only {0} seconds of a run have such operations; at least {SECONDS_MIN} are needed")]
    Seconds(usize),
    /// Too few operations are beyond the quantile.
    #[error("only {0} operations are beyond it; at least {TAIL_MIN} are needed")]
    Tail(u64),
}

/// The comparison of two sides.
///
/// ```
/// # use trunkline_load::compare::{Observed, Settings, compare};
/// # let side = |rate: f64| [Observed { achieved: vec![rate; 30], latency: Default::default() }];
/// let comparison = compare(&side(1_000.0), &side(900.0), &Settings::default())?;
/// assert_eq!(comparison.worse_by(0.05).count(), 1);
/// assert_eq!(comparison.worse_by(0.20).count(), 0);
/// # Ok::<(), trunkline_load::compare::CompareError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// The figures that could be compared.
    pub metrics: Vec<MetricComparison>,
    /// The figures that could not be compared.
    pub left_out: Vec<LeftOut>,
}

impl Comparison {
    /// Returns the figures that are worse by this share or more.
    pub fn worse_by(&self, share: f64) -> impl Iterator<Item = &MetricComparison> {
        let metrics = self.metrics.iter();
        metrics
            .filter(move |metric| metric.verdict == Verdict::Slower && metric.change.abs() >= share)
    }
}

/// An error of comparing two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side has no run.
    #[error("a side has no run; name at least one run for each")]
    NoRun,
    /// A run is too short.
    #[error(
        "a run has {seconds} whole seconds, but at least {SECONDS_MIN} are needed to tell noise from change; run for a minute or more"
    )]
    Seconds {
        /// Whole seconds of the run.
        seconds: usize,
    },
    /// The runs cannot be paired.
    #[error(
        "the sides have {before} and {after} runs; pairs need the same number on both sides, at least {PAIRS_MIN}"
    )]
    Pairs {
        /// Number of runs before.
        before: usize,
        /// Number of runs after.
        after: usize,
    },
    /// No operation ended in the runs of a side.
    #[error("no operation ended in the runs of a side; there is nothing to compare")]
    Idle,
}

/// Compares two sides of one run or more.
///
/// The uncertainty of each figure comes from a circular block bootstrap over seconds. Its block length is chosen from
/// the data (Politis & White 2004, Patton et al. 2009), and its variance is corrected for what short blocks of an
/// autoregression leave out (Andrews & Monahan 1992). If both sides have several runs that differ by more, the
/// uncertainty is that between runs, or between pairs of runs ([`Settings::paired`]). Student's t turns it into a
/// probability, and Holm's procedure (1979) bounds the common error of all figures.
///
/// ```
/// use trunkline_load::compare::{Observed, Settings, Verdict, compare};
///
/// let steady = |rate: f64| {
///     let achieved = (0..60).map(|second| rate + f64::from(second % 7)).collect();
///     [Observed { achieved, latency: Default::default() }]
/// };
/// let comparison = compare(&steady(1_000.0), &steady(800.0), &Settings::default())?;
/// assert_eq!(comparison.metrics[0].verdict, Verdict::Slower);
/// let comparison = compare(&steady(1_000.0), &steady(1_000.0), &Settings::default())?;
/// assert_eq!(comparison.metrics[0].verdict, Verdict::NoDifference);
/// # Ok::<(), trunkline_load::compare::CompareError>(())
/// ```
pub fn compare(
    before: &[Observed],
    after: &[Observed],
    settings: &Settings,
) -> Result<Comparison, CompareError> {
    check(before)?;
    check(after)?;
    let (runs_before, runs_after) = (before.len(), after.len());
    if settings.paired && (runs_before != runs_after || runs_before < PAIRS_MIN) {
        return Err(CompareError::Pairs {
            before: runs_before,
            after: runs_after,
        });
    }
    let mut pairs = vec![Pair::of(
        Metric::Throughput,
        [before, after],
        settings.seed,
        |side, seed| {
            let runs: Vec<Vec<f64>> = side.iter().map(|run| run.achieved.clone()).collect();
            estimate::mean(&runs, settings.resamples, seed)
        },
    )];
    let mut left_out = Vec::new();
    let runs = before.iter().chain(after);
    let kinds: BTreeSet<_> = runs.flat_map(|run| run.latency.keys()).collect();
    for kind in kinds {
        let (before, after) = (latencies(before, *kind), latencies(after, *kind));
        for quantile in Quantile::ALL {
            let kind = *kind;
            let metric = Metric::Latency { kind, quantile };
            match why_left_out(quantile, &before, &after) {
                Some(why) => left_out.push(LeftOut { metric, why }),
                None => pairs.push(Pair::of(
                    metric,
                    [&before, &after],
                    settings.seed.wrapping_add(pairs.len() as u64 * 2),
                    |side, seed| side.quantile(quantile.share(), settings.resamples, seed),
                )),
            }
        }
    }
    Ok(Comparison {
        metrics: verdict::of(&pairs, settings),
        left_out,
    })
}

/// A figure of both sides that has no verdict yet.
struct Pair {
    metric: Metric,
    before: Estimate,
    after: Estimate,
}

impl Pair {
    /// Estimates a figure of both sides, with a seed for each.
    fn of<T>(
        metric: Metric,
        [before, after]: [T; 2],
        seed: u64,
        estimate: impl Fn(T, u64) -> Estimate,
    ) -> Self {
        Self {
            metric,
            before: estimate(before, seed.wrapping_add(1)),
            after: estimate(after, seed.wrapping_add(2)),
        }
    }
}

fn check(side: &[Observed]) -> Result<(), CompareError> {
    let seconds = side.iter().map(|run| run.achieved.len());
    let seconds = seconds.min().ok_or(CompareError::NoRun)?;
    if seconds < SECONDS_MIN {
        return Err(CompareError::Seconds { seconds });
    }
    let achieved: f64 = side.iter().flat_map(|run| &run.achieved).sum();
    if achieved <= 0.0 {
        return Err(CompareError::Idle);
    }
    Ok(())
}

fn latencies(side: &[Observed], kind: OperationKind) -> Latencies<'_> {
    let runs = side.iter().map(|run| run.latency.get(&kind));
    Latencies::of(runs.map(|run| run.map_or(&[][..], Vec::as_slice)).collect())
}

fn why_left_out(
    quantile: Quantile,
    before: &Latencies<'_>,
    after: &Latencies<'_>,
) -> Option<WhyLeftOut> {
    let total = before.total().min(after.total());
    if total == 0.0 {
        return Some(WhyLeftOut::OneSide);
    }
    let seconds = before.seconds_min().min(after.seconds_min());
    if seconds < SECONDS_MIN {
        return Some(WhyLeftOut::Seconds(seconds));
    }
    let tail = total * (1.0 - quantile.share());
    (tail + 1e-6 < TAIL_MIN).then_some(WhyLeftOut::Tail(tail as u64))
}
