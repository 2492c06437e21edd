//! Runs a trial: a plan on a new engine with given settings, in a temporary directory. Returns the few figures by which
//! settings are compared. `sweep` and `tune` choose and judge the settings.

use std::fmt;
use std::path::Path;

use serde::{Serialize, Serializer};
use trunkline::Config;
use trunkline::config::Layers;
use trunkline_load::{Latency, Load, Mode, Plan, Totals, Warning};

use crate::Exit;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output;
use crate::single::open_engine;
use crate::temporary::Temporary;

/// Lowest rate that a plan may have, in operations per second.
pub(crate) const RATE_MIN: f64 = 0.01;

/// A setting with a value to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Choice {
    /// Section and key of the setting.
    pub(crate) key: String,
    /// Value as typed.
    pub(crate) value: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Returns settings in the form in which they are typed, separated by spaces.
pub(crate) fn name(choices: &[Choice]) -> String {
    let typed: Vec<String> = choices.iter().map(Choice::to_string).collect();
    typed.join(" ")
}

/// A reason why trials ended before all were done.
#[derive(Debug)]
pub(crate) enum Stop {
    Interrupted,
    Failed(CommandError),
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

/// Returns the exit code for the way in which the trials ended.
pub(crate) fn exit(ended: Result<(), Stop>) -> Result<Exit, CommandError> {
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(Stop::Interrupted) => Ok(Exit::Interrupted),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Figures of a trial, or medians of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Operations per second that were due; in a closed loop those that ended.
    pub(crate) offered_per_second: f64,
    /// Operations per second that ended while others were due.
    pub(crate) achieved_per_second: f64,
    /// Median latency of writes until they are durable, or of reads if there are no writes, in microseconds.
    pub(crate) p50_us: f64,
    /// The 99th percentile of the same latency, in microseconds.
    pub(crate) p99_us: f64,
    /// Warnings of the run, or of all runs if these are medians, each once.
    #[serde(serialize_with = "texts")]
    pub(crate) warnings: Vec<Warning>,
}

impl Figures {
    /// Returns whether the figures measure the engine alone. They do not if the load generator could not keep up or
    /// operations failed.
    pub(crate) fn are_the_engines(&self) -> bool {
        // Dropped operations are caused by the engine.
        let is_dropped = |warning| matches!(warning, &Warning::Dropped { .. });
        self.warnings.iter().all(is_dropped)
    }

    /// Returns whether nearly all offered operations ended in time.
    pub(crate) fn keeps_up(&self) -> bool {
        self.achieved_per_second >= 0.97 * self.offered_per_second
    }
}

/// Writes warnings as texts.
fn texts<S: Serializer>(warnings: &[Warning], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(warnings.iter().map(Warning::to_string))
}

/// Opens an engine with the user's settings and the choices over them, runs the plan on it, and removes its directory.
/// Prints warnings to standard error. Returns nothing if the user interrupted the run.
pub(crate) fn run(
    plan: &Plan,
    layers: &Layers,
    choices: &[Choice],
    parent: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<Option<Figures>, CommandError> {
    let place = Temporary::new(parent)?;
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
        output::tell(format!("warning: {warning}"));
    }
    Ok(Some(Figures {
        warnings: outcome.run.warnings,
        ..figures(&outcome.run.totals)
    }))
}

/// Returns the order of the trials of a round, forward in odd rounds and back in even ones. The first trial changes
/// every second round, so that no trial is always first or always follows the same one.
pub(crate) fn order(count: usize, round: u8) -> Vec<usize> {
    let mut both = there_and_back(count, round.div_ceil(2));
    let back = both.split_off(count);
    if round.is_multiple_of(2) { back } else { both }
}

/// Returns the order of a round that goes forward and back, so that a steady drift affects all trials equally. The
/// first trial changes every round.
pub(crate) fn there_and_back(count: usize, round: u8) -> Vec<usize> {
    let times = usize::from(round.saturating_sub(1));
    let there = (0..count).map(|place| (place + times) % count);
    there.clone().chain(there.rev()).collect()
}

/// Returns the settings of a trial: the user's, overridden by the choices, with controllers switched off.
pub(crate) fn configuration(layers: &Layers, choices: &[Choice]) -> Result<Config, CommandError> {
    let mut layers = layers.clone();
    for fixed in ["control.mode=fixed", "control.workers=fixed"] {
        layers = layers.set(fixed)?;
    }
    for choice in choices {
        layers = layers.set(&choice.to_string())?;
    }
    Ok(layers.build()?)
}

/// Returns the plan with the number of readers of an open loop, whatever its mode.
pub(crate) fn with_open_readers(plan: &Plan) -> Plan {
    let mut open = plan.clone();
    open.mode = Mode::Open;
    Plan {
        readers: Some(open.readers()),
        ..plan.clone()
    }
}

/// Returns the figures of a run. Latencies are those of the most frequent kind of writes, or of reads if there are none.
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

/// Returns the median of each figure, and all warnings.
pub(crate) fn median(figures: &[Figures]) -> Figures {
    let of = |field: fn(&Figures) -> f64| middle(figures.iter().map(field).collect());
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in figures.iter().flat_map(|figures| &figures.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    Figures {
        offered_per_second: of(|figures| figures.offered_per_second),
        achieved_per_second: of(|figures| figures.achieved_per_second),
        p50_us: of(|figures| figures.p50_us),
        p99_us: of(|figures| figures.p99_us),
        warnings,
    }
}

/// Returns the median of values: the mean of the two middle ones of an even number, 0 if there are none.
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
    use trunkline_load::{OperationFigures, OperationKind};

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

    fn total(achieved: u64, p99_us: f64) -> OperationFigures {
        OperationFigures {
            achieved,
            latency: Latency {
                p99_us,
                ..Latency::default()
            },
            ..OperationFigures::default()
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
        let warned = |warning| Figures {
            warnings: vec![warning],
            ..Figures::default()
        };
        let dropped = warned(Warning::Dropped {
            percent: 3.0,
            in_flight_max: 5,
            readers_busy: false,
            load_busy: false,
        });
        let late = warned(Warning::GeneratorLate {
            p99_us: 9e3,
            max_us: 1e4,
        });
        assert!(Figures::default().are_the_engines() && dropped.are_the_engines());
        let all = [dropped, Figures::default(), late.clone(), late];
        let median = median(&all);
        assert_eq!(median.warnings.len(), 2);
        assert!(!median.are_the_engines());
    }
}
