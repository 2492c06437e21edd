//! `tune`: the settings that suit a workload, one key after the other, and a configuration file that says what was
//! measured for each.
//!
//! A value is kept if it is better than the one before by a twentieth in the median of the rounds and in most of
//! them; rounds take values by turns. What changes what receipts promise (`commit.mode`, `durability.mode`) is tried
//! only if it is named. `judge` decides, `profile` writes; both are pure.

mod judge;
mod profile;

use std::path::PathBuf;

use clap::Args;
use trunkline::config::Layers;
use trunkline::load::{Machine, Mode, Plan};

use crate::arguments::{PlanArguments, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::load::plan;
use crate::output;
use crate::sweep::{Varied, parse_varied};
use crate::trial::{self, Choice, Figures};
use crate::{Exit, configuration};

use judge::{Aim, Tried, better};

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
    /// Times that every value is run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
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
    /// File that the settings are written to; - is standard output.
    #[arg(long, default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// A key, and what came of trying its values.
#[derive(Clone, Debug)]
struct Step {
    key: String,
    /// The value before, then those that were tried.
    tried: Vec<Tried>,
    /// Place in `tried` of what is kept.
    kept: usize,
}

pub(crate) fn run(arguments: &TuneArguments) -> Result<Exit, CommandError> {
    let mut plan = plan_of(arguments)?;
    let layers = configuration::layers(&arguments.settings)?;
    let varied = match arguments.vary.is_empty() {
        true => judge::default(),
        false => arguments.vary.clone(),
    };
    check(&layers, &varied)?;
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
    let mut chosen: Vec<Choice> = Vec::new();
    let mut steps = Vec::new();
    let mut untried: Vec<String> = varied.iter().map(|varied| varied.key.clone()).collect();
    for varied in varied {
        let Some(step) = step(arguments, &plan, aim, &varied, &chosen, &interrupt)? else {
            break;
        };
        untried.retain(|key| *key != varied.key);
        let kept = step.tried.get(step.kept);
        let value = kept.map_or(String::new(), |kept| kept.value.clone());
        eprintln!("{}: {value}", step.key);
        if step.kept > 0 {
            chosen.push(Choice {
                key: step.key.clone(),
                value,
            });
        }
        steps.push(step);
    }
    let base = layers.build()?;
    let changed = trunkline::Config::default().changes(&base)?;
    let text = profile::text(
        &plan,
        aim,
        arguments.rounds,
        &Machine::here(),
        &changed,
        &steps,
        &untried,
    );
    write(arguments, &text)?;
    match untried.is_empty() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Interrupted),
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
    let found = trial::run(plan, layers, &[], arguments.dir.as_deref(), interrupt)?;
    Ok(found.map(|found| (found.achieved_per_second * plan.rate_share).max(RATE_MIN)))
}

/// All values of one key, the others being what they are so far.
fn step(
    arguments: &TuneArguments,
    plan: &Plan,
    aim: Aim,
    varied: &Varied,
    chosen: &[Choice],
    interrupt: &Interrupt,
) -> Result<Option<Step>, CommandError> {
    let layers = configuration::layers(&arguments.settings)?;
    let before = value_of(&layers.build()?.to_toml()?, &varied.key);
    let others = varied.values.iter().filter(|value| **value != before);
    let values: Vec<String> = std::iter::once(before.clone())
        .chain(others.cloned())
        .collect();
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); values.len()];
    for round in 1..=arguments.rounds {
        for place in trial::order(values.len(), round) {
            let value = &values[place];
            eprintln!(
                "round {round} of {}: {}={value}",
                arguments.rounds, varied.key
            );
            let mut choices = chosen.to_vec();
            choices.push(Choice {
                key: varied.key.clone(),
                value: value.clone(),
            });
            match trial::run(plan, &layers, &choices, arguments.dir.as_deref(), interrupt)? {
                Some(figures) => rounds[place].push(figures),
                None => return Ok(None),
            }
        }
    }
    let tried = values.into_iter().zip(rounds);
    let tried: Vec<Tried> = tried
        .map(|(value, rounds)| Tried { value, rounds })
        .collect();
    let kept = better(aim, &tried);
    Ok(Some(Step {
        key: varied.key.clone(),
        tried,
        kept,
    }))
}

/// The value of a key in TOML of the library's own, as it would be typed.
fn value_of(toml: &str, key: &str) -> String {
    let (section, key) = key.split_once('.').unwrap_or(("", key));
    let head = format!("[{section}]");
    let mut lines = toml.lines().skip_while(|line| *line != head).skip(1);
    let start = format!("{key} = ");
    let value = lines.find_map(|line| line.strip_prefix(&start));
    value.map_or(String::new(), |value| value.trim_matches('"').to_owned())
}

fn write(arguments: &TuneArguments, text: &str) -> Result<(), CommandError> {
    if arguments.out.as_os_str() == "-" {
        return output::print(text);
    }
    let failed = CommandError::file("write", &arguments.out);
    std::fs::write(&arguments.out, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use trunkline::Config;

    use super::*;

    #[test]
    fn a_value_is_found_as_it_would_be_typed() {
        let toml = Config::default().to_toml().unwrap();
        assert_eq!(value_of(&toml, "group.operations_max"), "20000");
        assert_eq!(value_of(&toml, "commit.mode"), "eager");
        assert_eq!(value_of(&toml, "durability.mode"), "sync");
    }
}
