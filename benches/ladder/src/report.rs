//! All samples of one invocation, and the figures that follow from them.

use serde::{Deserialize, Serialize};

use crate::catalog::{Measure, Part, RUNGS, Rung};
use crate::figures::{Comparison, Figures};
use crate::machine::Machine;

/// The result of one invocation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// The machine that the samples were measured on.
    pub(crate) machine: Machine,
    /// The number of keys that were put before the measurement.
    pub(crate) keys: u64,
    /// The number of measured puts, unless the work of an optimisation limits it.
    pub(crate) operations: u64,
    /// The number of keys that the naive baseline started with.
    pub(crate) naive_keys: u64,
    /// Every pair, in the order in which they were measured.
    pub(crate) samples: Vec<Sample>,
    /// The optimisations for which no factor could be measured, with the reason.
    pub(crate) failed: Vec<String>,
}

/// One optimisation, measured once with and once without.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// The name of the optimisation.
    pub(crate) rung: String,
    /// The round, from 0.
    pub(crate) round: u32,
    /// The result.
    pub(crate) found: Found,
}

/// The results of both sides.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Found {
    /// Two runs.
    Runs {
        /// The run with the optimisation.
        with: Box<Figures>,
        /// The run without it.
        without: Box<Figures>,
    },
    /// A comparison within one process.
    Comparison(Comparison),
}

impl Found {
    /// Returns the compared figures, with and without the optimisation.
    pub(crate) fn sides(&self, measure: Measure) -> (f64, f64) {
        match self {
            Self::Runs { with, without } => (measure.of(with), measure.of(without)),
            Self::Comparison(comparison) => (comparison.with, comparison.without),
        }
    }

    /// Returns the factor by which the figure is better with the optimisation.
    pub(crate) fn factor(&self, measure: Measure) -> f64 {
        let (with, without) = self.sides(measure);
        match self {
            Self::Runs { .. } => measure.factor(with, without),
            Self::Comparison(_) => without / with,
        }
    }

    /// Returns the factor by which the processor time of a put is lower with the optimisation.
    pub(crate) fn cpu_factor(&self) -> Option<f64> {
        match self {
            Self::Runs { with, without } if with.cpu_us_per_update > 0.0 => {
                Some(without.cpu_us_per_update / with.cpu_us_per_update)
            }
            Self::Runs { .. } | Self::Comparison(_) => None,
        }
    }

    /// Returns the unit of the compared figures.
    pub(crate) fn unit(&self, measure: Measure) -> &str {
        match self {
            Self::Runs { .. } => measure.unit(),
            Self::Comparison(comparison) => &comparison.unit,
        }
    }
}

impl Report {
    /// Returns the effect on the whole, for a part of the work on a put. It is calculated from the processor time per
    /// put of the engine with its defaults, as measured in the same invocation.
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

    /// Returns the results of an optimisation, by round.
    pub(crate) fn found(&self, rung: &Rung) -> impl Iterator<Item = &Found> + Clone {
        let name = rung.name;
        let of_rung = self.samples.iter().filter(move |it| it.rung == name);
        of_rung.map(|sample| &sample.found)
    }
}

/// The minimum, median and maximum of several figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The minimum.
    pub(crate) min: f64,
    /// The median, or the mean of the two middle figures.
    pub(crate) median: f64,
    /// The maximum.
    pub(crate) max: f64,
}

impl Spread {
    /// Returns the spread of figures, or `None` if there are none.
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
