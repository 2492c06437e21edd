//! One trial: a plan on a new engine with certain settings, in a directory that goes away; and what came out, in
//! the few figures that settings are compared by. Not here: which settings, and which is better (`sweep`, `tune`).

use std::path::Path;

use serde::Serialize;
use trunkline::Config;
use trunkline::config::Layers;
use trunkline::load::{Latency, Load, Plan, Totals};

use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::single::open_engine;

/// A setting and a value that is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Choice {
    /// Section and key.
    pub(crate) key: String,
    /// As it is typed.
    pub(crate) value: String,
}

/// What came out of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Operations a second that were to be started; those that ended in a closed loop.
    pub(crate) offered_per_second: f64,
    /// Operations a second that ended while others were due.
    pub(crate) achieved_per_second: f64,
    /// Latency of writes until they are durable, or of reads if there are no writes: median, microseconds.
    pub(crate) p50_us: f64,
    /// Its 99th percentile.
    pub(crate) p99_us: f64,
}

impl Figures {
    /// Whether nearly all of what was offered was done in the time in which it was offered.
    pub(crate) fn keeps_up(&self) -> bool {
        self.achieved_per_second >= 0.97 * self.offered_per_second
    }
}

/// Opens an engine with settings over those of the user, runs the plan on it, and clears up. What a reader of the
/// figures must know goes to standard error. Nothing if the user had enough.
pub(crate) fn run(
    plan: &Plan,
    layers: &Layers,
    choices: &[Choice],
    parent: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<Option<Figures>, CommandError> {
    let mut place = tempfile::Builder::new();
    let place = match parent {
        Some(parent) => place.prefix("trunkline-trial-").tempdir_in(parent),
        None => place.prefix("trunkline-trial-").tempdir(),
    };
    let place = place.map_err(CommandError::Temporary)?;
    let mut config = configuration(layers, choices)?;
    config.engine.directory = place.path().to_owned();
    let engine = open_engine(config)?;
    let outcome = Load::new(plan, &engine)?.stop(interrupt.flag()).run();
    let closed = engine.shutdown_blocking();
    drop(engine);
    let outcome = outcome?;
    closed?;
    if outcome.is_interrupted {
        return Ok(None);
    }
    for warning in &outcome.run.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(Some(figures(&outcome.run.totals)))
}

/// The order of a round, of so many trials: there and back, and each time there it begins with another one. So none
/// always comes first, or always behind the same one.
pub(crate) fn order(count: usize, round: u8) -> Vec<usize> {
    let before = usize::from(round.saturating_sub(1));
    let (times, is_back) = (before / 2, before % 2 == 1);
    let there = (0..count).map(|place| (place + times) % count);
    match is_back {
        false => there.collect(),
        true => there.rev().collect(),
    }
}

/// What a trial runs with: the user's settings, those that are tried over them, and nothing that moves by itself.
pub(crate) fn configuration(layers: &Layers, choices: &[Choice]) -> Result<Config, CommandError> {
    let mut layers = layers.clone();
    for fixed in ["control.mode=fixed", "control.workers=fixed"] {
        layers = layers.set(fixed)?;
    }
    for Choice { key, value } in choices {
        layers = layers.set(&format!("{key}={value}"))?;
    }
    Ok(layers.build()?)
}

/// The kind that most operations are of, writes before reads.
fn figures(totals: &Totals) -> Figures {
    let kinds = totals.operations.iter();
    let most = kinds.max_by_key(|(kind, total)| (kind.is_write(), total.achieved));
    let latency = most.map_or(Latency::default(), |(_, total)| total.latency);
    Figures {
        offered_per_second: totals.offered_per_second(),
        achieved_per_second: totals.achieved_per_second(),
        p50_us: latency.p50_us,
        p99_us: latency.p99_us,
    }
}

/// The middle of some figures, each taken by itself.
pub(crate) fn median(figures: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| middle(figures.iter().map(field).collect());
    Figures {
        offered_per_second: of(|figures| figures.offered_per_second),
        achieved_per_second: of(|figures| figures.achieved_per_second),
        p50_us: of(|figures| figures.p50_us),
        p99_us: of(|figures| figures.p99_us),
    }
}

/// The median, the upper one of two; 0 of nothing.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use trunkline::load::{OperationKind, OperationTotal};

    use super::*;

    #[test]
    fn no_trial_always_comes_first_or_behind_the_same_one() {
        let rounds = |count| (1..=4).map(move |round| order(count, round));
        let three = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]];
        assert!(rounds(3).eq(three.map(Vec::from)));
        assert!(rounds(2).eq([[0, 1], [1, 0], [1, 0], [0, 1]].map(Vec::from)));
        assert!(rounds(1).eq([[0]; 4].map(Vec::from)));
        assert!(rounds(0).all(|order| order.is_empty()));
    }

    fn total(achieved: u64, p99_us: f64) -> OperationTotal {
        OperationTotal {
            achieved,
            latency: Latency {
                p99_us,
                ..Latency::default()
            },
            ..OperationTotal::default()
        }
    }

    #[test]
    fn the_latency_is_that_of_writes_if_there_are_any() {
        let mut totals = Totals {
            scheduled_us: 2_000_000,
            offered: 300,
            achieved: 200,
            ended_in_schedule: 200,
            ..Totals::default()
        };
        totals
            .operations
            .insert(OperationKind::Read, total(190, 3.0));
        assert_eq!(figures(&totals).p99_us, 3.0);
        totals
            .operations
            .insert(OperationKind::Update, total(10, 70.0));
        let figures = figures(&totals);
        assert_eq!((figures.p99_us, figures.achieved_per_second), (70.0, 100.0));
        assert!(!figures.keeps_up());
    }

    #[test]
    fn what_ends_only_after_the_schedule_was_not_kept_up_with() {
        let totals = |ended_in_schedule| Totals {
            scheduled_us: 10_000_000,
            elapsed_us: 11_000_000,
            offered: 10_000,
            achieved: 10_000,
            ended_in_schedule,
            ..Totals::default()
        };
        assert!(!figures(&totals(9_000)).keeps_up());
        assert!(figures(&totals(9_990)).keeps_up());
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let of = |achieved_per_second, p99_us| Figures {
            achieved_per_second,
            p99_us,
            ..Figures::default()
        };
        let figures = median(&[of(1.0, 30.0), of(3.0, 10.0), of(2.0, 20.0)]);
        assert_eq!((figures.achieved_per_second, figures.p99_us), (2.0, 20.0));
    }
}
