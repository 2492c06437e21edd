//! Compares pairs of runs, and counts how often a difference is found: over all pairs, and over draws of half of them.

use std::fmt::{self, Display, Formatter};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::figures::Share;
use trunkline_load::compare::{
    CompareError, Comparison, Metric, MetricComparison, Observed, PAIRS_MIN, Settings, Verdict,
    compare,
};

/// Draws of half of the pairs.
pub(crate) const DRAWS: usize = 24;

/// Runs of two sides, in pairs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    pub(crate) before: Vec<Observed>,
    pub(crate) after: Vec<Observed>,
}

impl Pairs {
    /// Compares all pairs, and then [`DRAWS`] draws of half of them, but never of fewer than [`PAIRS_MIN`]. The same
    /// seed gives the same draws.
    pub(crate) fn compared(&self, seed: u64) -> Result<Compared, CompareError> {
        let pairs = self.before.len();
        let drawn = pairs.div_ceil(2).max(PAIRS_MIN).min(pairs);
        let mut random = SmallRng::seed_from_u64(seed);
        let draw = |_| {
            let indices = rand::seq::index::sample(&mut random, pairs, drawn).into_vec();
            let drawn = |side: &[Observed]| {
                let runs = indices.iter().map(|index| side[*index].clone());
                runs.collect::<Vec<_>>()
            };
            compared(&drawn(&self.before), &drawn(&self.after))
        };
        Ok(Compared {
            all: compared(&self.before, &self.after)?,
            draws: (0..DRAWS).map(draw).collect::<Result<_, _>>()?,
            pairs,
            drawn,
        })
    }
}

fn compared(before: &[Observed], after: &[Observed]) -> Result<Comparison, CompareError> {
    let settings = Settings {
        paired: true,
        ..Settings::default()
    };
    compare(before, after, &settings)
}

/// Comparisons of pairs.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    all: Comparison,
    draws: Vec<Comparison>,
    pairs: usize,
    drawn: usize,
}

impl Compared {
    /// Returns the draws in which a figure, or any figure, has such a verdict.
    fn draws(&self, metric: Option<Metric>, is_such: fn(Verdict) -> bool) -> Share {
        let draws = self.draws.iter();
        Share {
            part: draws.filter(|draw| has(draw, metric, is_such)).count(),
            of: self.draws.len(),
        }
    }
}

/// Returns whether a figure, or any figure, has such a verdict.
fn has(comparison: &Comparison, metric: Option<Metric>, is_such: fn(Verdict) -> bool) -> bool {
    let is_meant = |one: &MetricComparison| metric.is_none_or(|metric| metric == one.metric);
    let mut metrics = comparison.metrics.iter();
    metrics.any(|one| is_meant(one) && is_such(one.verdict))
}

fn is_slower(verdict: Verdict) -> bool {
    verdict == Verdict::Slower
}

fn is_different(verdict: Verdict) -> bool {
    verdict != Verdict::NoDifference
}

/// Pairs of which one run was slowed down, and pairs of equal runs. Its text is a table, and a line for each.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) slowed: Compared,
    pub(crate) equal: Compared,
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { slowed, equal } = self;
        let (pairs, drawn) = (slowed.pairs, slowed.drawn);
        writeln!(
            f,
            "| figure | one of each pair slowed, {pairs} pairs | slower in draws of {drawn} | both as they are, {pairs} \
             pairs | different in draws of {drawn} |\n| --- | --- | --- | --- | --- |"
        )?;
        for metric in slowed.all.metrics.iter().map(|one| one.metric) {
            writeln!(
                f,
                "| {metric} | {} | {} | {} | {} |",
                change(&slowed.all, metric),
                slowed.draws(Some(metric), is_slower),
                change(&equal.all, metric),
                equal.draws(Some(metric), is_different),
            )?;
        }
        writeln!(
            f,
            "\n- **{}**: a slowdown over all {pairs} pairs; any figure slower in {} draws of {drawn} of them",
            if has(&slowed.all, None, is_slower) {
                "found"
            } else {
                "not found"
            },
            slowed.draws(None, is_slower)
        )?;
        writeln!(
            f,
            "- **{}** over all {pairs} equal pairs; any figure different in {} draws of {drawn} of them",
            if has(&equal.all, None, is_different) {
                "a difference"
            } else {
                "no difference"
            },
            equal.draws(None, is_different)
        )
    }
}

fn change(comparison: &Comparison, metric: Metric) -> String {
    let mut metrics = comparison.metrics.iter();
    let found = metrics.find(|one| one.metric == metric);
    let shown = |one: &MetricComparison| {
        let (low, high) = (one.interval.0 * 100.0, one.interval.1 * 100.0);
        let change = one.change * 100.0;
        format!("{change:+.1} % ({low:+.1} to {high:+.1}): {}", one.verdict)
    };
    found.map_or("–".to_owned(), shown)
}
