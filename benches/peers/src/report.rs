//! All runs of a call, and figures over all of them.

use serde::{Deserialize, Serialize};

use crate::arguments::Workload;
use crate::figures::Figures;
use crate::job::{Job, Line};
use crate::machine::Machine;
use crate::plot::{Curve, Point};

/// The results of a call.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// The machine.
    pub(crate) machine: Machine,
    /// The versions of the other engines.
    pub(crate) versions: Vec<String>,
    /// The workload.
    pub(crate) workload: Workload,
    /// The compared lines, in the order of each round.
    pub(crate) lines: Vec<Line>,
    /// All runs, in the order in which they ran.
    pub(crate) runs: Vec<Run>,
    /// The runs without figures, each with the reason.
    pub(crate) failed: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    /// The round of the run, from 0.
    pub(crate) round: u32,
    /// The job of the run.
    pub(crate) job: Job,
    /// The rate of the closed loop before it, if it was an open one.
    pub(crate) closed_loop_updates_per_second: Option<f64>,
    /// The figures of the run.
    pub(crate) figures: Figures,
}

impl Report {
    /// Returns the runs of a line, by round.
    pub(crate) fn runs_of(&self, line: Line) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.job.line == line)
    }

    /// Returns the median of a figure over the runs of a line.
    pub(crate) fn median(&self, line: Line, figure: impl Fn(&Run) -> f64) -> f64 {
        Spread::of(self.runs_of(line).map(figure)).median
    }

    /// Returns throughput and latency of each engine, a point for each number of submissions in flight.
    pub(crate) fn curves(&self) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for &line in &self.lines {
            let name = line.engine.name();
            if self.runs_of(line).next().is_none() {
                continue;
            }
            let point = Point {
                in_flight: line.in_flight,
                updates_per_second: self.median(line, |run| run.figures.updates_per_second),
                p50_ms: self.median(line, |run| run.figures.durable.p50_ms),
            };
            match curves.iter_mut().find(|curve| curve.name == name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve {
                    name,
                    points: vec![point],
                }),
            }
        }
        curves
    }

    /// Returns the ratio of a line's rate to another's, round by round.
    pub(crate) fn ratio(&self, line: Line, base: Line) -> Option<Spread> {
        let rate = |run: &Run| run.figures.updates_per_second;
        let bases: Vec<&Run> = self.runs_of(base).collect();
        let ratios = self.runs_of(line).filter_map(|run| {
            let same_round = bases.iter().find(|base| base.round == run.round)?;
            Some(rate(run) / rate(same_round))
        });
        let ratios: Vec<f64> = ratios.collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios.into_iter()))
    }
}

/// The least, the middle and the greatest of several figures.
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
    /// Returns the spread of figures; all 0 if there are none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let middle = sorted.len() / 2;
        Self {
            min: at(0),
            median: if sorted.len() % 2 == 1 {
                at(middle)
            } else {
                (at(middle.saturating_sub(1)) + at(middle)) / 2.0
            },
            max: at(sorted.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).max, 4.0);
        assert_eq!(of(&[]).median, 0.0);
    }
}
