//! Whether two sides of runs differ: throughput, and quantiles of each kind's latency, with the autocorrelation of
//! seconds taken into account and all comparisons corrected for being many. Pure, and the same for the same seed.
//!
//! What is left after that within a side is what its seconds show. A machine that is slower today than yesterday
//! shows in no second: run both sides in turns, several times each, and hand over all runs, as pairs if the machine
//! drifts.

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

/// Pairs of runs that it takes to compare pairs.
pub const PAIRS_MIN: usize = 3;

/// Latencies that must lie above a quantile for it to be compared.
pub const TAIL_MIN: f64 = 100.0;

/// What is compared of one run.
///
/// ```
/// use trunkline_load::compare::Observed;
/// let observed = Observed { achieved: vec![1_000.0; 60], latency: Default::default() };
/// assert_eq!(observed.achieved.len(), 60);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Operations that ended in each second.
    pub achieved: Vec<f64>,
    /// Latencies from the intended start, second by second.
    pub latency: BTreeMap<OperationKind, Vec<Counts>>,
}

/// How to compare.
///
/// ```
/// assert_eq!(trunkline_load::compare::Settings::default().family_error, 0.05);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Seed of the resampling.
    pub seed: u64,
    /// Resamples for each figure of each side.
    pub resamples: usize,
    /// Probability that anything at all is called different if nothing is.
    pub family_error: f64,
    /// Relative change below which two sides are the same: the layout of memory alone, other at each start, is good
    /// for that much (Mytkowicz et al. 2009).
    pub negligible: f64,
    /// Each run of one side was made next to the one of the same place of the other side: what both suffered alike, a
    /// machine that gets slower, is no difference. It takes as many runs of both sides, three at least.
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
    /// Operations a second.
    Throughput,
    /// A quantile of a kind's latency from its intended start.
    Latency {
        /// Which operations.
        kind: OperationKind,
        /// Which quantile.
        quantile: Quantile,
    },
}

/// A quantile that is compared.
///
/// ```
/// assert_eq!(trunkline_load::compare::Quantile::P99.share(), 0.99);
/// ```
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

    /// The share of latencies that it is not below.
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
    /// Which.
    pub metric: Metric,
    /// Operations a second or microseconds, before.
    pub before: f64,
    /// The same, after.
    pub after: f64,
    /// Relative change: 0.1 for a tenth more.
    pub change: f64,
    /// Relative changes between which the true one lies, at the confidence that the verdict was made with. If both
    /// lie beyond the negligible change on one side, the sides differ.
    pub interval: (f64, f64),
    /// Probability of a change at least like this if there was none beyond the negligible one, not corrected.
    pub p_value: f64,
    /// Error that the correction left to this comparison.
    pub error_allowed: f64,
    /// Seconds of a block, before and after.
    pub block_seconds: (usize, usize),
    /// What it comes to.
    pub verdict: Verdict,
}

/// A figure that was left out, and why.
///
/// ```
/// use trunkline_load::compare::{LeftOut, Metric, WhyLeftOut};
/// let left_out = LeftOut { metric: Metric::Throughput, why: WhyLeftOut::OneSide };
/// assert_eq!(left_out.to_string(), "throughput: only one side has it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// Which.
    pub metric: Metric,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a figure was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// Only one side has such operations.
    OneSide,
    /// Too few seconds with such operations.
    Seconds(usize),
    /// Too few operations beyond the quantile.
    Tail(u64),
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let metric = self.metric;
        match self.why {
            WhyLeftOut::OneSide => write!(formatter, "{metric}: only one side has it"),
            WhyLeftOut::Seconds(seconds) => write!(
                formatter,
                "{metric}: {seconds} seconds of a run have any, at least {SECONDS_MIN} are needed"
            ),
            WhyLeftOut::Tail(operations) => write!(
                formatter,
                "{metric}: {operations} operations are beyond it, at least {TAIL_MIN} are needed"
            ),
        }
    }
}

/// How two sides compare.
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
    /// All figures that both sides have enough of.
    pub metrics: Vec<MetricComparison>,
    /// The others.
    pub left_out: Vec<LeftOut>,
}

impl Comparison {
    /// Figures that are certainly worse, and by this share or more.
    pub fn worse_by(&self, share: f64) -> impl Iterator<Item = &MetricComparison> {
        self.metrics
            .iter()
            .filter(move |metric| metric.verdict == Verdict::Slower && metric.change.abs() >= share)
    }
}

/// Why two sides cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side without a run.
    #[error("a side has no run; name at least one run for each")]
    NoRun,
    /// A run that is too short.
    #[error(
        "a run has {seconds} whole seconds, but at least {SECONDS_MIN} are needed to tell noise from change; run for a minute or more"
    )]
    Seconds {
        /// That it has.
        seconds: usize,
    },
    /// Runs that make no pairs.
    #[error(
        "the sides have {before} and {after} runs; pairs need as many of both sides, {PAIRS_MIN} at least"
    )]
    Pairs {
        /// Runs before.
        before: usize,
        /// Runs after.
        after: usize,
    },
    /// Nothing was done.
    #[error("no operation ended in the runs of a side; there is nothing to compare")]
    Idle,
}

/// Compares two sides of one run or more.
///
/// Each figure's uncertainty is that of a circular block bootstrap over seconds, its block length chosen from the
/// data (Politis & White 2004, Patton et al. 2009), corrected for what short blocks of an autoregression leave out
/// (Andrews & Monahan 1992); or that between runs, where there are several on both sides and they differ by more
/// ([`Settings::paired`]: that between pairs of them).
/// Student's t turns it into a probability, and Holm's procedure (1979) keeps the error of all of them together.
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
    for side in [before, after] {
        check(side)?;
    }
    let (runs_before, runs_after) = (before.len(), after.len());
    if settings.paired && (runs_before != runs_after || runs_before < PAIRS_MIN) {
        return Err(CompareError::Pairs {
            before: runs_before,
            after: runs_after,
        });
    }
    let mut pairs = vec![throughput(before, after, settings)];
    let mut left_out = Vec::new();
    let kinds: BTreeSet<OperationKind> = [before, after]
        .into_iter()
        .flatten()
        .flat_map(|run| run.latency.keys().copied())
        .collect();
    for kind in kinds {
        latency(kind, before, after, settings, &mut pairs, &mut left_out);
    }
    Ok(Comparison {
        metrics: verdict::of(&pairs, settings),
        left_out,
    })
}

/// A figure of both sides, not judged yet.
struct Pair {
    metric: Metric,
    before: Estimate,
    after: Estimate,
}

fn check(side: &[Observed]) -> Result<(), CompareError> {
    let seconds = side.iter().map(|run| run.achieved.len()).min();
    let seconds = seconds.ok_or(CompareError::NoRun)?;
    if seconds < SECONDS_MIN {
        return Err(CompareError::Seconds { seconds });
    }
    let achieved: f64 = side.iter().flat_map(|run| &run.achieved).sum();
    if achieved <= 0.0 {
        return Err(CompareError::Idle);
    }
    Ok(())
}

fn throughput(before: &[Observed], after: &[Observed], settings: &Settings) -> Pair {
    let estimate = |side: &[Observed], number: u64| {
        let runs: Vec<Vec<f64>> = side.iter().map(|run| run.achieved.clone()).collect();
        estimate::mean(
            &runs,
            settings.resamples,
            settings.seed.wrapping_add(number),
        )
    };
    Pair {
        metric: Metric::Throughput,
        before: estimate(before, 1),
        after: estimate(after, 2),
    }
}

fn latency(
    kind: OperationKind,
    before: &[Observed],
    after: &[Observed],
    settings: &Settings,
    pairs: &mut Vec<Pair>,
    left_out: &mut Vec<LeftOut>,
) {
    let of = |side| latencies(side, kind);
    let (before, after) = (of(before), of(after));
    for quantile in Quantile::ALL {
        let metric = Metric::Latency { kind, quantile };
        if let Some(why) = why_left_out(quantile, &before, &after) {
            left_out.push(LeftOut { metric, why });
            continue;
        }
        let seed = settings.seed.wrapping_add(pairs.len() as u64 * 2);
        let estimate = |side: &Latencies<'_>, number| {
            let seed = seed.wrapping_add(number);
            side.quantile(quantile.share(), settings.resamples, seed)
        };
        pairs.push(Pair {
            metric,
            before: estimate(&before, 1),
            after: estimate(&after, 2),
        });
    }
}

fn latencies(side: &[Observed], kind: OperationKind) -> Latencies<'_> {
    let of_run = side.iter().map(|run| {
        let seconds = run.latency.get(&kind);
        seconds.map_or(&[][..], Vec::as_slice)
    });
    Latencies::of(of_run.collect())
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
