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
use trunkline::load::{Mode, Plan};

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
    /// Rates of the open loops, percent of what the closed loop did.
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
    let mut exit = Exit::Done;
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
            match measured(&plan, &shares, measure)? {
                Some(measured) => rounds[place].push(measured),
                None => {
                    exit = Exit::Interrupted;
                    break 'rounds;
                }
            }
        }
    }
    let target_us = arguments.target_p99_ms.map(|target| target * 1e3);
    // What was measured before an interruption is shown.
    let curves = combinations.into_iter().zip(&rounds);
    let curves: Vec<Curve> = curves
        .filter(|(_, rounds)| !rounds.is_empty())
        .map(|(combination, rounds)| curve(combination, rounds, target_us))
        .collect();
    match arguments.json {
        true => output::print_json(&curves)?,
        false => output::print(text(&curves, &shares, target_us))?,
    }
    Ok(exit)
}

/// One round of one combination: the closed loop, and an open one at each share.
#[derive(Clone, Debug)]
struct Measured {
    closed: Figures,
    open: Vec<Figures>,
}

fn measured(
    plan: &Plan,
    shares: &[u8],
    measure: impl Fn(&Plan) -> Result<Option<Figures>, CommandError>,
) -> Result<Option<Measured>, CommandError> {
    let closed = Plan {
        mode: Mode::Closed,
        ..plan.clone()
    };
    let Some(closed) = measure(&closed)? else {
        return Ok(None);
    };
    let mut open = Vec::new();
    for share in shares {
        let rate = closed.achieved_per_second * f64::from(*share) / 100.0;
        let at_rate = Plan {
            mode: Mode::Open,
            rate: Some(rate.max(0.01)),
            ..plan.clone()
        };
        match measure(&at_rate)? {
            Some(figures) => open.push(figures),
            None => return Ok(None),
        }
    }
    Ok(Some(Measured { closed, open }))
}

fn curve(combination: Combination, rounds: &[Measured], target_us: Option<f64>) -> Curve {
    let closed: Vec<Figures> = rounds.iter().map(|round| round.closed).collect();
    let places = rounds.first().map_or(0, |round| round.open.len());
    let at = |place: usize| {
        rounds
            .iter()
            .filter_map(move |round| round.open.get(place).copied())
    };
    let open: Vec<Figures> = (0..places)
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
    for curve in curves {
        table.row(row(
            name(&curve.settings),
            "closed",
            &curve.closed,
            String::new(),
        ));
        for (place, (figures, share)) in curve.open.iter().zip(shares).enumerate() {
            let mut marks = Vec::new();
            if curve.knee == Some(place) {
                marks.push("knee");
            }
            if curve.within_target == Some(place) {
                marks.push("highest within the target");
            }
            let share = format!("{share} %");
            table.row(row(String::new(), &share, figures, marks.join(", ")));
        }
    }
    format!("{table}\n{}", verdict(curves, target_us))
}

fn row(settings: String, at: &str, figures: &Figures, marks: String) -> Vec<String> {
    vec![
        settings,
        at.to_owned(),
        grouped(figures.offered_per_second as u64),
        grouped(figures.achieved_per_second as u64),
        micros(figures.p50_us as u64),
        micros(figures.p99_us as u64),
        marks,
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
