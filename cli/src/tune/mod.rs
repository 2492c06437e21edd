//! `tune`: finds the settings that suit a workload, key by key, and writes a configuration file with the measurements.
//!
//! A round tries all values of a key, forward and back. A value is kept if it is better than the one before by 5 % in the
//! median of the rounds, and in enough rounds that chance is unlikely. Settings that change what receipts promise
//! (`kzg.mode`, `durability.mode`) are tried only if they are named. `judge` decides, `search` goes from key to key,
//! `profile` writes.

mod judge;
mod profile;
mod search;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use clap::Args;
use trunkline::config::Layers;
use trunkline_load::{Machine, Mode, Plan, may_replace};

use crate::arguments::{PlanArguments, parse_milliseconds};
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::input::is_standard;
use crate::interrupt::Interrupt;
use crate::load::plan;
use crate::output;
use crate::sweep::{Varied, parse_varied};
use crate::trial::{self, Choice, RATE_MIN};
use crate::{Exit, configuration};

use judge::{Aim, rounds_needed};
use search::{Found, Search};

#[derive(Debug, Args)]
pub(crate) struct TuneArguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// A setting and the values to try, such as group.operations_max=5000,20000; may be repeated. Default: the settings
    /// that matter most.
    #[arg(long, value_name = "SECTION.KEY=VALUE,…", value_parser = parse_varied)]
    vary: Vec<Varied>,
    /// Number of rounds. A round runs all values of a key, forward and back: two trials of each. Fewer than 5 rounds
    /// keep nothing, since the difference could be chance.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Highest wanted 99th percentile of the latency, milliseconds. A closed loop searches for the highest throughput
    /// within it. At a rate (--rate, or --rate-share of the closed loop's throughput with the given settings), tune
    /// searches for the lowest latency.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 250.0, value_parser = parse_milliseconds)]
    target_p99_ms: f64,
    /// Parent of the temporary directories of trials; choose the disk to measure. Default: the system's temporary
    /// directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// File for the settings, written after each key and at the end; - is standard output, at the end.
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
        output::tell("fewer than 5 rounds keep no setting: only the measurements are written");
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
        before: &base,
    };
    let given = trunkline::Config::default().changes(&base)?;
    let machine = Machine::here();
    let profile = |found: &Found| profile::text(&plan, &search, &machine, &given, found);
    let parent = arguments.dir.as_deref();
    let mut measure = |choices: &[Choice]| trial::run(&plan, &layers, choices, parent, &interrupt);
    let found = search.run(&varied, &mut measure, |found| {
        tell(found);
        if let Some(file) = file(arguments) {
            // The last write at the end reports an error.
            let _ = output::write(file, profile(found).as_bytes());
        }
    });
    write(arguments, &profile(&found))?;
    trial::exit(found.stopped.map_or(Ok(()), |stopped| Err(stopped.why)))
}

/// Prints the value that was kept for the last key.
fn tell(found: &Found) {
    let step = found.steps.last();
    if let Some((step, kept)) = step.and_then(|step| Some((step, step.tried.get(step.kept)?))) {
        output::tell(format!("{}: {}", step.key, kept.value));
    }
}

/// Checks before the first trial that each key is varied once and that all values are valid.
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

/// Returns the plan, in a closed loop if it has no rate.
fn plan_of(arguments: &TuneArguments) -> Result<Plan, CommandError> {
    let plan = plan::of_trials(&arguments.plan)?;
    let mode = match plan.rate {
        None => Mode::Closed,
        Some(_) => plan.mode,
    };
    Ok(Plan { mode, ..plan })
}

/// Returns the rate of all trials: the plan's share of a closed loop's throughput with the given settings. Returns
/// nothing if the user interrupted the measurement.
fn rate_of(
    arguments: &TuneArguments,
    plan: &Plan,
    layers: &Layers,
    interrupt: &Interrupt,
) -> Result<Option<f64>, CommandError> {
    output::tell("closed loop, to find a rate");
    // The number of readers is that of the trials at the rate.
    let plan = &trial::with_open_readers(plan);
    let found = trial::run(plan, layers, &[], arguments.dir.as_deref(), interrupt)?;
    Ok(found.map(|found| (found.achieved_per_second * plan.rate_share).max(RATE_MIN)))
}

fn file(arguments: &TuneArguments) -> Option<&Path> {
    (!is_standard(&arguments.out)).then_some(&arguments.out)
}

/// Checks that the output file can be written, before the first trial. Keeps its content.
fn check_out(arguments: &TuneArguments) -> Result<(), CommandError> {
    let Some(file) = file(arguments) else {
        return Ok(());
    };
    let inputs = arguments.plan.inputs().chain(arguments.settings.input());
    output::check_apart(file, inputs)?;
    may_replace(file, profile::HEAD.as_bytes())?;
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.map_err(CommandError::file("write", file))?;
    Ok(())
}

/// Writes the profile. If that fails, prints it.
fn write(arguments: &TuneArguments, text: &str) -> Result<(), CommandError> {
    let Some(file) = file(arguments) else {
        output::show_measured(text);
        return Ok(());
    };
    let written = output::write(file, text.as_bytes());
    if written.is_err() {
        output::show_measured(text);
    }
    written.map(|_| ())
}
