//! One trial: a plan on a new engine with certain settings, in a directory that goes away; and what came out, in
//! the few figures that settings are compared by. Not here: which settings, and which is better (`sweep`, `tune`).

use std::path::Path;

use serde::Serialize;
use trunkline::Config;
use trunkline::config::Layers;
use trunkline_load::{Latency, Load, Mode, Plan, Totals};

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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Operations a second that were to be started; those that ended in a closed loop.
    pub(crate) offered_per_second: f64,
    /// Operations a second that ended while others were due.
    pub(crate) achieved_per_second: f64,
    /// Latency of writes until they are durable, or of reads if there are no writes: median, microseconds.
    pub(crate) p50_us: f64,
    /// Its 99th percentile.
    pub(crate) p99_us: f64,
    /// What a reader of the figures must know: each once, of all trials if these are medians.
    pub(crate) warnings: Vec<String>,
}

impl Figures {
    /// Whether nothing is to be known of them but that operations were dropped, which is the engine's doing: a load
    /// generator that could not keep up, or operations that failed, make them figures of something else.
    pub(crate) fn are_the_engines(&self) -> bool {
        self.warnings
            .iter()
            .all(|warning| warning.contains("were dropped"))
    }

    /// Whether nearly all of what was offered was done in the time in which it was offered.
    pub(crate) fn keeps_up(&self) -> bool {
        self.achieved_per_second >= 0.97 * self.offered_per_second
    }
}

/// Opens an engine with settings over those of the user, runs the plan on it, and clears up. What a reader of the
/// figures must know goes to standard error at once, and with them. Nothing if the user had enough.
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
    Ok(Some(Figures {
        warnings: outcome.run.warnings,
        ..figures(&outcome.run.totals)
    }))
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

/// Readers that a plan has in an open loop.
pub(crate) fn readers_at_a_rate(plan: &Plan) -> usize {
    let open = Plan {
        mode: Mode::Open,
        ..plan.clone()
    };
    open.readers()
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
        warnings: Vec::new(),
    }
}

/// The order of a round there and back: whatever gets steadily slower or faster meanwhile is as much of each.
pub(crate) fn there_and_back(count: usize, round: u8) -> Vec<usize> {
    let times = usize::from(round.saturating_sub(1));
    let there = (0..count).map(|place| (place + times) % count);
    there.clone().chain(there.rev()).collect()
}

/// The middle of some figures, each taken by itself, and what is to be known of any.
pub(crate) fn median(figures: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| middle(figures.iter().map(field).collect());
    Figures {
        offered_per_second: of(|figures| figures.offered_per_second),
        achieved_per_second: of(|figures| figures.achieved_per_second),
        p50_us: of(|figures| figures.p50_us),
        p99_us: of(|figures| figures.p99_us),
        warnings: warnings(figures),
    }
}

fn warnings(figures: &[Figures]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for warning in figures.iter().flat_map(|figures| &figures.warnings) {
        if !all.contains(warning) {
            all.push(warning.clone());
        }
    }
    all
}

/// The median, of an even number the mean of both in the middle; 0 of nothing.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.get(values.len().saturating_sub(1) / 2);
    match (lower, upper) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use trunkline_load::{OperationKind, OperationTotal};

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

    #[test]
    fn there_and_back_the_mean_place_of_each_is_the_same() {
        assert_eq!(there_and_back(3, 1), [0, 1, 2, 2, 1, 0]);
        assert_eq!(there_and_back(3, 2), [1, 2, 0, 0, 2, 1]);
        assert!(there_and_back(0, 1).is_empty());
        for round in 1..=7 {
            let order = there_and_back(5, round);
            for wanted in 0..5 {
                let places = order.iter().enumerate();
                let places = places.filter(|(_, place)| **place == wanted);
                assert_eq!(places.map(|(at, _)| at).sum::<usize>(), 9);
            }
        }
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
        let figures = median(&[of(1.0, 30.0), of(3.0, 10.0)]);
        assert_eq!((figures.achieved_per_second, figures.p99_us), (2.0, 20.0));
    }

    #[test]
    fn warnings_of_any_trial_stay_with_the_median() {
        let warned = |warning: &str| Figures {
            warnings: vec![warning.to_owned()],
            ..Figures::default()
        };
        let dropped = warned("3.0 % of the operations were dropped, 5 being under way");
        let late = warned("the generator could not keep up");
        assert!(Figures::default().are_the_engines() && dropped.are_the_engines());
        let all = [dropped, Figures::default(), late.clone(), late];
        let median = median(&all);
        assert_eq!(median.warnings.len(), 2);
        assert!(!median.are_the_engines());
    }
}
