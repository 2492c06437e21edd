//! Pairs of runs, and how often a difference between them is found: over all pairs, and over draws of half of them.
//!
//! Pure; its tests are in `tests/load`. Not here: how the runs are made (`slowdown`), and the test
//! itself (`crate::compare`).

use std::fmt::{self, Display, Formatter};

use crate::compare::{
    CompareError, Comparison, Metric, MetricComparison, Observed, PAIRS_MIN, Settings, Verdict,
    compare,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::figures::Share;

/// Draws of half of the pairs.
pub const DRAWS: usize = 24;

/// Runs of two sides, each beside the one of the same place of the other side.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub before: Vec<Observed>,
    pub after: Vec<Observed>,
}

impl Pairs {
    /// Compares all of them, and then so many draws of half of them, of as many as it takes at least. The same seed
    /// gives the same draws.
    pub fn compared(&self, seed: u64) -> Result<Compared, CompareError> {
        let pairs = self.before.len();
        let drawn = pairs.div_ceil(2).max(PAIRS_MIN).min(pairs);
        let mut random = SmallRng::seed_from_u64(seed);
        let draw = |_| {
            let places = rand::seq::index::sample(&mut random, pairs, drawn);
            self.at(&places.into_vec()).all_compared()
        };
        Ok(Compared {
            all: self.all_compared()?,
            draws: (0..DRAWS).map(draw).collect::<Result<_, _>>()?,
            pairs,
            drawn,
        })
    }

    fn at(&self, places: &[usize]) -> Self {
        let of = |side: &[Observed]| {
            let runs = places.iter().filter_map(|place| side.get(*place).cloned());
            runs.collect()
        };
        Self {
            before: of(&self.before),
            after: of(&self.after),
        }
    }

    fn all_compared(&self) -> Result<Comparison, CompareError> {
        let settings = Settings {
            paired: true,
            ..Settings::default()
        };
        compare(&self.before, &self.after, &settings)
    }
}

/// What pairs came to.
#[derive(Clone, Debug)]
pub struct Compared {
    all: Comparison,
    draws: Vec<Comparison>,
    pairs: usize,
    drawn: usize,
}

impl Compared {
    /// Whether any figure of all pairs has such a verdict.
    fn is_any(&self, is_meant: impl Fn(Verdict) -> bool) -> bool {
        has(&self.all, is_meant)
    }

    /// Draws in which any figure has such a verdict.
    fn draws_with(&self, is_meant: impl Fn(Verdict) -> bool) -> Share {
        self.draws_that(|draw| has(draw, &is_meant))
    }

    /// Draws in which one figure has.
    fn draws_of(&self, metric: Metric, is_meant: impl Fn(Verdict) -> bool) -> Share {
        self.draws_that(|draw| {
            let mut metrics = draw.metrics.iter();
            metrics.any(|one| one.metric == metric && is_meant(one.verdict))
        })
    }

    fn draws_that(&self, are_meant: impl Fn(&Comparison) -> bool) -> Share {
        let meant = self.draws.iter().filter(|draw| are_meant(draw));
        Share {
            part: meant.count(),
            of: self.draws.len(),
        }
    }
}

fn has(comparison: &Comparison, is_meant: impl Fn(Verdict) -> bool) -> bool {
    let mut metrics = comparison.metrics.iter();
    metrics.any(|one| is_meant(one.verdict))
}

fn is_slower(verdict: Verdict) -> bool {
    verdict == Verdict::Slower
}

fn is_different(verdict: Verdict) -> bool {
    verdict != Verdict::NoDifference
}

/// Pairs of which one run was slowed down, and pairs of equal ones. As text it is a table, and a line for each.
#[derive(Clone, Debug)]
pub struct Found {
    pub slowed: Compared,
    pub equal: Compared,
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
                slowed.draws_of(metric, is_slower),
                change(&equal.all, metric),
                equal.draws_of(metric, is_different),
            )?;
        }
        writeln!(
            f,
            "\n- **{}**: a slowdown over all {pairs} pairs; any figure slower in {} draws of {drawn} of them",
            if slowed.is_any(is_slower) {
                "found"
            } else {
                "not found"
            },
            slowed.draws_with(is_slower)
        )?;
        writeln!(
            f,
            "- **{}** over all {pairs} equal pairs; any figure different in {} draws of {drawn} of them",
            if equal.is_any(is_different) {
                "a difference"
            } else {
                "no difference"
            },
            equal.draws_with(is_different)
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
