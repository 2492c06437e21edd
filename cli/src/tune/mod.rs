//! `tune`: the settings that suit a workload, one key after the other, and a configuration file that says what was
//! measured for each.
//!
//! A round tries all values of a key there and back. A value is kept if it is better than the one before by a twentieth
//! in the median of the rounds, and in so many of them that it is hardly chance. What changes what receipts promise
//! (`kzg.mode`, `durability.mode`) is tried only if it is named. `judge` decides, `search` goes from key to key,
//! `profile` writes.

mod judge;
mod profile;
mod search;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use clap::Args;
use trunkline::config::Layers;
use trunkline_load::{Machine, Mode, Plan};

use crate::arguments::{PlanArguments, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::load::plan;
use crate::output;
use crate::sweep::{Varied, parse_varied};
use crate::trial::{self, Choice};
use crate::{Exit, configuration};

use judge::{Aim, rounds_needed};
use search::{Ended, Found, Search};

/// Least rate that a plan may have, operations a second.
const RATE_MIN: f64 = 0.01;

#[derive(Debug, Args)]
pub(crate) struct TuneArguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// A setting and the values to try, such as group.operations_max=5000,20000; may be repeated. Without it the
    /// keys that matter most.
    #[arg(long, value_name = "SECTION.KEY=VALUE,…", value_parser = parse_varied)]
    vary: Vec<Varied>,
    /// Times that all values of a key are run, there and back: two trials of each a round. Fewer than 5 rounds keep
    /// nothing, since chance does as much.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// 99th percentile of the latency that should not be exceeded, milliseconds. In a closed loop the most
    /// throughput within it is looked for; at a rate (--rate, or --rate-share of what a closed loop does with the
    /// settings that are given) the least latency is.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 250.0)]
    target_p99_ms: f64,
    /// Directory under which each trial gets one of its own, which is removed again: on the disk that matters.
    /// Without it the system's for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// File that the settings are written to, after each key and at the end; - is standard output, at the end.
    #[arg(long, default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &TuneArguments) -> Result<Exit, CommandError> {
    let mut plan = plan_of(arguments)?;
    let layers = configuration::layers(&arguments.settings)?;
    let varied = match arguments.vary.is_empty() {
        true => judge::default(),
        false => arguments.vary.clone(),
    };
    check(&layers, &varied)?;
    check_out(arguments)?;
    if rounds_needed(arguments.rounds.into()).is_none() {
        eprintln!("fewer than 5 rounds keep nothing: figures alone are written");
    }
    let interrupt = Interrupt::listen()?;
    if arguments.plan.rate_share.is_some() {
        let Some(rate) = rate_of(arguments, &plan, &layers, &interrupt)? else {
            return Ok(Exit::Interrupted);
        };
        (plan.mode, plan.rate) = (Mode::Open, Some(rate));
    }
    let aim = match plan.mode {
        Mode::Closed => Aim::Throughput {
            target_us: arguments.target_p99_ms * 1e3,
        },
        Mode::Open => Aim::Latency,
    };
    let base = layers.build()?;
    let search = Search {
        aim,
        rounds: arguments.rounds,
        layers: &layers,
        before: &base.to_toml()?,
    };
    let given = trunkline::Config::default().changes(&base)?;
    let machine = Machine::here();
    let profile = |found: &Found| profile::text(&plan, &search, &machine, &given, found);
    let mut measure = |choices: &[Choice]| {
        trial::run(
            &plan,
            &layers,
            choices,
            arguments.dir.as_deref(),
            &interrupt,
        )
    };
    let found = search.run(&varied, &mut measure, |found| {
        tell(found);
        if let Some(file) = file(arguments) {
            // It is written once more at the end, which says what is wrong.
            let _ = std::fs::write(file, profile(found));
        }
    });
    write(arguments, &profile(&found))?;
    match found.ended {
        Ended::Whole => Ok(Exit::Done),
        Ended::Interrupted => Ok(Exit::Interrupted),
        Ended::Failed { error, .. } => Err(error),
    }
}

/// What was kept of the last key.
fn tell(found: &Found) {
    let step = found.steps.last();
    if let Some((step, kept)) = step.and_then(|step| Some((step, step.tried.get(step.kept)?))) {
        eprintln!("{}: {}", step.key, kept.value);
    }
}

/// What can't be tried is told before anything is: each key once, and values that go with the others.
fn check(layers: &Layers, varied: &[Varied]) -> Result<(), CommandError> {
    for (place, Varied { key, values }) in varied.iter().enumerate() {
        if varied.iter().skip(place + 1).any(|later| later.key == *key) {
            return Err(CommandError::VariedTwice(key.clone()));
        }
        for value in values {
            let choice = Choice {
                key: key.clone(),
                value: value.clone(),
            };
            trial::configuration(layers, &[choice])?;
        }
    }
    Ok(())
}

/// Without a rate a closed loop: how fast can it be?
fn plan_of(arguments: &TuneArguments) -> Result<Plan, CommandError> {
    let plan = plan::of(&arguments.plan)?;
    let mode = match plan.rate {
        None => Mode::Closed,
        Some(_) => plan.mode,
    };
    Ok(Plan { mode, ..plan })
}

/// The share of what a closed loop does before anything is tried: one rate for all trials. Nothing if the user had
/// enough.
fn rate_of(
    arguments: &TuneArguments,
    plan: &Plan,
    layers: &Layers,
    interrupt: &Interrupt,
) -> Result<Option<f64>, CommandError> {
    eprintln!("closed loop, to find a rate");
    // With as many readers as trials at the rate will have.
    let plan = &Plan {
        readers: Some(trial::readers_at_a_rate(plan)),
        ..plan.clone()
    };
    let found = trial::run(plan, layers, &[], arguments.dir.as_deref(), interrupt)?;
    Ok(found.map(|found| (found.achieved_per_second * plan.rate_share).max(RATE_MIN)))
}

fn file(arguments: &TuneArguments) -> Option<&Path> {
    (arguments.out.as_os_str() != "-").then_some(&arguments.out)
}

/// Not after hours. What is in the file stays.
fn check_out(arguments: &TuneArguments) -> Result<(), CommandError> {
    let Some(file) = file(arguments) else {
        return Ok(());
    };
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.map_err(CommandError::file("write", file))?;
    Ok(())
}

/// What can't be written where it should be is shown.
fn write(arguments: &TuneArguments, text: &str) -> Result<(), CommandError> {
    let Some(file) = file(arguments) else {
        return output::print(text);
    };
    let written = std::fs::write(file, text);
    if written.is_err() {
        output::print(text)?;
    }
    written.map_err(CommandError::file("write", file))
}
