//! All samples of a call, and what is said of them together.

use serde::{Deserialize, Serialize};

use crate::catalog::{Measure, Part, RUNGS, Rung};
use crate::figures::{Comparison, Figures};
use crate::machine::Machine;

/// What a call found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// On what.
    pub(crate) machine: Machine,
    /// Keys put before time was taken.
    pub(crate) keys: u64,
    /// Puts while time was taken, where nothing made them fewer.
    pub(crate) operations: u64,
    /// Keys that the naive baseline started with.
    pub(crate) naive_keys: u64,
    /// Every pair, in the order in which they were measured.
    pub(crate) samples: Vec<Sample>,
    /// What gave no factor: which, and why.
    pub(crate) failed: Vec<String>,
}

/// One rung measured once with and once without.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// Which, by name.
    pub(crate) rung: String,
    /// The round, from 0.
    pub(crate) round: u32,
    /// What was found.
    pub(crate) found: Found,
}

/// Both sides.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Found {
    /// Two runs.
    Runs {
        /// With the optimisation.
        with: Box<Figures>,
        /// Without it.
        without: Box<Figures>,
    },
    /// A comparison within one process.
    Comparison(Comparison),
}

impl Found {
    /// What is compared, with and without.
    pub(crate) fn sides(&self, measure: Measure) -> (f64, f64) {
        match self {
            Self::Runs { with, without } => (measure.of(with), measure.of(without)),
            Self::Comparison(comparison) => (comparison.with, comparison.without),
        }
    }

    /// How many times better it is with the optimisation.
    pub(crate) fn factor(&self, measure: Measure) -> f64 {
        let (with, without) = self.sides(measure);
        match self {
            Self::Runs { .. } => measure.factor(with, without),
            Self::Comparison(_) => without / with,
        }
    }

    /// How many times less thread time a put takes with the optimisation.
    pub(crate) fn cpu_factor(&self) -> Option<f64> {
        match self {
            Self::Runs { with, without } if with.cpu_us_per_update > 0.0 => {
                Some(without.cpu_us_per_update / with.cpu_us_per_update)
            }
            Self::Runs { .. } | Self::Comparison(_) => None,
        }
    }

    /// Of what the sides are.
    pub(crate) fn unit(&self, measure: Measure) -> &str {
        match self {
            Self::Runs { .. } => measure.unit(),
            Self::Comparison(comparison) => &comparison.unit,
        }
    }
}

impl Report {
    /// For a part of the work on a put: what the whole would lose, or gain, reckoned from the thread time
    /// that a put takes of the engine as it comes in the same call.
    pub(crate) fn reckoned(&self, rung: &Rung) -> Option<f64> {
        let Part::OfPut(_) = rung.part else {
            return None;
        };
        let as_it_comes = RUNGS
            .iter()
            .filter(|rung| rung.shows_the_engine_as_it_comes());
        let runs = as_it_comes.flat_map(|rung| self.found(rung));
        let cpu_us = runs.filter_map(|found| match found {
            Found::Runs { with, .. } => Some(with.cpu_us_per_update),
            Found::Comparison(_) => None,
        });
        let put_ns = Spread::of(cpu_us)?.median * 1e3;
        let factors = self.found(rung).filter_map(|found| match found {
            Found::Runs { .. } => None,
            Found::Comparison(it) if rung.in_engine => {
                Some((put_ns - it.with + it.without) / put_ns)
            }
            Found::Comparison(it) => Some(put_ns / (put_ns - it.without + it.with)),
        });
        Some(Spread::of(factors)?.median)
    }

    /// What was found of a rung, by round.
    pub(crate) fn found(&self, rung: &Rung) -> impl Iterator<Item = &Found> + Clone {
        let name = rung.name;
        let of_rung = self.samples.iter().filter(move |it| it.rung == name);
        of_rung.map(|sample| &sample.found)
    }
}

/// Least, middle and greatest of several figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The least.
    pub(crate) min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of figures; `None` if there are none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self {
            min: *sorted.first()?,
            median: (lower + upper) / 2.0,
            max: *sorted.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |figures: &[f64]| Spread::of(figures.iter().copied());
        let median = |figures: &[f64]| of(figures).expect("figures").median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_factor_above_one_is_a_gain_whatever_is_measured() {
        let run = |updates_per_second, open_ms| {
            Box::new(Figures {
                updates_per_second,
                open_ms,
                ..Figures::default()
            })
        };
        let found = Found::Runs {
            with: run(300.0, 10.0),
            without: run(100.0, 40.0),
        };
        assert_eq!(found.factor(Measure::Updates), 3.0);
        assert_eq!(found.factor(Measure::Open), 4.0);
        let comparison = Found::Comparison(Comparison {
            unit: "ns".to_owned(),
            with: 20.0,
            without: 10.0,
            remark: String::new(),
        });
        assert_eq!(comparison.factor(Measure::Updates), 0.5);
    }
}
