//! `sweep`: a workload under every combination of some settings, each first in a closed loop, which finds what it
//! can do, and then in open loops at shares of that: the curve of latency over throughput, and its knee.
//!
//! `grid` makes the combinations, `knee` reads the curves; both are pure. Rounds go through all combinations by
//! turns, so that a machine that gets slower meanwhile is slower for all of them.

mod grid;
mod knee;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use trunkline_load::{Mode, Plan};

use crate::arguments::{PlanArguments, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::load::plan;
use crate::output::{self, grouped, micros};
use crate::table::Table;
use crate::trial::{self, Choice, Figures, median};
use crate::{Exit, configuration};

pub(crate) use grid::{Varied, parse_varied};

use grid::{Combination, combinations};
use knee::{knee, within_target};

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// A setting and the values to try, such as group.operations_max=5000,20000; may be repeated. Without it the
    /// cap of a group and the groups in flight.
    #[arg(long, value_name = "SECTION.KEY=VALUE,…", value_parser = parse_varied)]
    vary: Vec<Varied>,
    /// Rates of the open loops, percent of what the closed loop did. A rate of one's own (--rate, --rate-share) and
    /// --closed are refused, and that of a plan is not taken: to compare settings at one rate there is tune --rate.
    #[arg(long, value_delimiter = ',', default_value = "30,50,70,80,90", value_parser = clap::value_parser!(u8).range(1..=100))]
    shares: Vec<u8>,
    /// Times that every combination is run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// 99th percentile of the latency that must not be exceeded, milliseconds; without it the knee alone is found.
    #[arg(long, value_name = "MILLISECONDS")]
    target_p99_ms: Option<f64>,
    /// Directory under which each trial gets one of its own, which is removed again: on the disk that matters.
    /// Without it the system's for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// What came out for one combination: medians over the rounds.
#[derive(Clone, Debug, Serialize)]
struct Curve {
    settings: Vec<Choice>,
    closed: Figures,
    /// At each share of the closed loop's rate, ascending.
    open: Vec<Figures>,
    /// Place in `open` of the knee.
    knee: Option<usize>,
    /// Place in `open` of the highest rate within the target.
    within_target: Option<usize>,
}

pub(crate) fn run(arguments: &SweepArguments) -> Result<Exit, CommandError> {
    check_rates(&arguments.plan)?;
    let plan = plan::of(&arguments.plan)?;
    let layers = configuration::layers(&arguments.settings)?;
    let varied = match arguments.vary.is_empty() {
        true => grid::default(),
        false => arguments.vary.clone(),
    };
    let combinations = combinations(&varied)?;
    for combination in &combinations {
        // Not after an hour.
        trial::configuration(&layers, &combination.0)?;
    }
    let interrupt = Interrupt::listen()?;
    let mut shares = arguments.shares.clone();
    shares.sort_unstable();

    let mut rounds: Vec<Vec<Measured>> = vec![Vec::new(); combinations.len()];
    let mut ended = Ended::Whole;
    'rounds: for round in 1..=arguments.rounds {
        for place in trial::order(combinations.len(), round) {
            let combination = &combinations[place];
            eprintln!(
                "round {round} of {}: {}",
                arguments.rounds,
                combination.name()
            );
            let measure = |plan: &Plan| {
                trial::run(
                    plan,
                    &layers,
                    &combination.0,
                    arguments.dir.as_deref(),
                    &interrupt,
                )
            };
            let (measured, how) = measured(&plan, &shares, measure);
            rounds[place].extend(measured);
            ended = how;
            if !matches!(ended, Ended::Whole) {
                break 'rounds;
            }
        }
    }
    let target_us = arguments.target_p99_ms.map(|target| target * 1e3);
    // What was measured before an interruption or a failure is shown.
    let curves = combinations.into_iter().zip(&rounds);
    let curves: Vec<Curve> = curves
        .filter(|(_, rounds)| !rounds.is_empty())
        .map(|(combination, rounds)| curve(combination, rounds, target_us))
        .collect();
    match arguments.json {
        true => output::print_json(&curves)?,
        false => output::print(text(&curves, &shares, target_us))?,
    }
    match ended {
        Ended::Whole => Ok(Exit::Done),
        Ended::Interrupted => Ok(Exit::Interrupted),
        Ended::Failed(error) => Err(error),
    }
}

/// How measuring ended.
#[derive(Debug)]
enum Ended {
    Whole,
    Interrupted,
    /// A trial failed.
    Failed(CommandError),
}

/// Rates are the sweep's own: one that is typed would not be what is measured.
fn check_rates(plan: &PlanArguments) -> Result<(), CommandError> {
    let typed = [
        ("--rate", plan.rate.is_some()),
        ("--rate-share", plan.rate_share.is_some()),
        ("--closed", plan.closed),
    ];
    match typed.iter().find(|(_, is_typed)| *is_typed) {
        Some((flag, _)) => Err(CommandError::SweptRate(flag)),
        None => Ok(()),
    }
}

/// One round of one combination: the closed loop, and an open one at each share; fewer if it was cut off.
#[derive(Clone, Debug)]
struct Measured {
    closed: Figures,
    open: Vec<Figures>,
}

fn measured(
    plan: &Plan,
    shares: &[u8],
    mut measure: impl FnMut(&Plan) -> Result<Option<Figures>, CommandError>,
) -> (Option<Measured>, Ended) {
    // As many readers for each, or the rates would be those of others.
    let plan = &Plan {
        readers: Some(trial::readers_at_a_rate(plan)),
        ..plan.clone()
    };
    let closed = Plan {
        mode: Mode::Closed,
        ..plan.clone()
    };
    let closed = match measure(&closed) {
        Ok(Some(closed)) => closed,
        Ok(None) => return (None, Ended::Interrupted),
        Err(error) => return (None, Ended::Failed(error)),
    };
    let per_second = closed.achieved_per_second;
    let mut measured = Measured {
        closed,
        open: Vec::new(),
    };
    for share in shares {
        let rate = per_second * f64::from(*share) / 100.0;
        let at_rate = Plan {
            mode: Mode::Open,
            rate: Some(rate.max(0.01)),
            ..plan.clone()
        };
        match measure(&at_rate) {
            Ok(Some(figures)) => measured.open.push(figures),
            Ok(None) => return (Some(measured), Ended::Interrupted),
            Err(error) => return (Some(measured), Ended::Failed(error)),
        }
    }
    (Some(measured), Ended::Whole)
}

fn curve(combination: Combination, rounds: &[Measured], target_us: Option<f64>) -> Curve {
    let closed: Vec<Figures> = rounds.iter().map(|round| round.closed.clone()).collect();
    let places = rounds.iter().map(|round| round.open.len()).max();
    let at = |place: usize| {
        rounds
            .iter()
            .filter_map(move |round| round.open.get(place).cloned())
    };
    let open: Vec<Figures> = (0..places.unwrap_or(0))
        .map(|place| median(&at(place).collect::<Vec<_>>()))
        .collect();
    Curve {
        settings: combination.0,
        closed: median(&closed),
        knee: knee(&open),
        within_target: target_us.and_then(|target| within_target(&open, target)),
        open,
    }
}

fn text(curves: &[Curve], shares: &[u8], target_us: Option<f64>) -> String {
    let mut table = Table::new([
        "settings",
        "loop",
        "offered/s",
        "achieved/s",
        "p50",
        "p99",
        "",
    ]);
    let mut warnings = String::new();
    for curve in curves {
        let settings = name(&curve.settings);
        warnings += &warned(&settings, "closed", &curve.closed);
        let marks = mark(&curve.closed).into_iter().collect();
        table.row(row(settings.clone(), "closed", &curve.closed, marks));
        for (place, (figures, share)) in curve.open.iter().zip(shares).enumerate() {
            let mut marks = Vec::new();
            if curve.knee == Some(place) {
                marks.push("knee");
            }
            if curve.within_target == Some(place) {
                marks.push("highest within the target");
            }
            marks.extend(mark(figures));
            let share = format!("{share} %");
            warnings += &warned(&settings, &share, figures);
            table.row(row(String::new(), &share, figures, marks));
        }
    }
    format!("{table}\n{}{warnings}", verdict(curves, target_us))
}

/// What stands behind a row whose figures are not to be taken as they are.
fn mark(figures: &Figures) -> Option<&'static str> {
    match (figures.warnings.is_empty(), figures.are_the_engines()) {
        (true, _) => None,
        (false, true) => Some("operations dropped"),
        (false, false) => Some("not the engine's alone"),
    }
}

fn warned(settings: &str, at: &str, figures: &Figures) -> String {
    let lines = figures.warnings.iter();
    let lines = lines.map(|warning| format!("warning: {settings}, {at}: {warning}\n"));
    lines.collect()
}

fn row(settings: String, at: &str, figures: &Figures, marks: Vec<&str>) -> Vec<String> {
    vec![
        settings,
        at.to_owned(),
        grouped(figures.offered_per_second as u64),
        grouped(figures.achieved_per_second as u64),
        micros(figures.p50_us as u64),
        micros(figures.p99_us as u64),
        marks.join(", "),
    ]
}

fn verdict(curves: &[Curve], target_us: Option<f64>) -> String {
    let rate = |curve: &&Curve, place: Option<usize>| {
        place
            .and_then(|place| curve.open.get(place))
            .map_or(0.0, |at| at.achieved_per_second)
    };
    let best = |place: fn(&Curve) -> Option<usize>| {
        let found = curves.iter().filter(|curve| place(curve).is_some());
        found.max_by(|a, b| rate(a, place(a)).total_cmp(&rate(b, place(b))))
    };
    let say = |what: &str, place: fn(&Curve) -> Option<usize>| match best(place) {
        Some(curve) => {
            let per_second = grouped(rate(&curve, place(curve)) as u64);
            format!(
                "{what}: {} ({per_second} operations/s)\n",
                name(&curve.settings)
            )
        }
        None => format!("{what}: none\n"),
    };
    let mut text = say("the knee furthest out", |curve| curve.knee);
    if target_us.is_some() {
        text += &say("most within the target", |curve| curve.within_target);
    }
    text
}

/// Settings as they would be typed.
pub(crate) fn name(choices: &[Choice]) -> String {
    let typed = choices
        .iter()
        .map(|Choice { key, value }| format!("{key}={value}"));
    typed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(achieved_per_second: f64) -> Figures {
        Figures {
            achieved_per_second,
            offered_per_second: achieved_per_second,
            ..Figures::default()
        }
    }

    fn combination() -> Combination {
        let vary = parse_varied("group.linger_ms=1").unwrap();
        combinations(&[vary]).unwrap().remove(0)
    }

    #[test]
    fn points_before_a_failure_are_kept() {
        let mut left = 3;
        let (measured, ended) = measured(&Plan::default(), &[30, 50, 70], |plan| {
            left -= 1;
            match left {
                0 => Err(CommandError::VariedTwice("a disk".to_owned())),
                _ => Ok(Some(figures(plan.rate.unwrap_or(100.0)))),
            }
        });
        assert!(matches!(ended, Ended::Failed(_)));
        let measured = measured.unwrap();
        assert_eq!(measured.open, [figures(30.0)]);
        let whole = Measured {
            closed: figures(100.0),
            open: vec![figures(30.0), figures(50.0)],
        };
        let curve = curve(combination(), &[measured, whole], None);
        assert_eq!(curve.open, [figures(30.0), figures(50.0)]);
    }

    #[test]
    fn all_points_have_as_many_readers() {
        let mut readers = Vec::new();
        let (_, ended) = measured(&Plan::default(), &[30, 50], |plan| {
            readers.push(plan.readers());
            Ok(Some(figures(100.0)))
        });
        assert!(matches!(ended, Ended::Whole));
        assert_eq!(readers, [1; 3]);
    }

    #[test]
    fn figures_of_a_load_generator_that_could_not_keep_up_are_marked() {
        let warned = |warning: &str| Figures {
            warnings: vec![warning.to_owned()],
            ..figures(50.0)
        };
        let measured = Measured {
            closed: warned("a thread that reads was busy"),
            open: vec![
                figures(30.0),
                warned("1.0 % of the operations were dropped"),
            ],
        };
        let curves = [curve(combination(), &[measured], None)];
        let text = text(&curves, &[30, 50], None);
        let ends = |row: &str, end: &str| {
            let line = text.lines().find(|line| line.contains(row)).unwrap();
            assert!(line.ends_with(end), "{text}");
        };
        ends("  closed", "not the engine's alone");
        ends("  50 %", "operations dropped");
        let says = "warning: group.linger_ms=1, closed: a thread that reads was busy\n";
        assert!(
            text.ends_with("were dropped\n") && text.contains(says),
            "{text}"
        );
        let json = serde_json::to_value(&curves).unwrap();
        assert_eq!(
            json[0]["closed"]["warnings"][0],
            "a thread that reads was busy"
        );
    }
}
