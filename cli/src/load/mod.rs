//! `load`: runs a workload against an engine, reports on it, and proves a sample of what was written.
//!
//! `trunkline_load` runs the load. Here `plan` makes a plan from the arguments, `watch` shows the progress, `report`
//! formats the results, `measured` the engine's own figures, and `check` proves keys. The expected value of each key is
//! known without the engine: the load's records derive values from the seed and count the writes of each key.

mod check;
mod measured;
pub(crate) mod plan;
mod report;
mod watch;

use std::path::{Path, PathBuf};

use clap::Args;
use trunkline::Engine;
use trunkline_load::{
    INTERVAL_LOG_FILE, Load, LoadError, Outcome, Plan, Progress, RUN_FILE, Run, TRACE_HEAD,
    may_replace,
};

use crate::arguments::PlanArguments;
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::temporary::Temporary;
use crate::tui::Screen;
use crate::{Exit, configuration, output};

use check::Checks;
use watch::Watch;

/// Arguments of `load`. Flags that are not given keep the value of the plan.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Directory of the engine, created if missing. Default: a temporary one, removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArguments,

    /// Write the operations of the run to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Run the recorded operations of a file at their times, instead of a workload.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "rate", "rate_share", "phases", "keys", "value_bytes", "workload", "dist", "duration", "ops"
    ])]
    replay: Option<PathBuf>,
    /// Speed of the replay, as a factor [default: 1].
    #[arg(long, value_name = "FACTOR", requires = "replay")]
    replay_speed: Option<f64>,

    /// Number of keys to prove at the end, half of them absent.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    proofs: u32,
    /// Directory for the results of the run: run.json and latency.hlog.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show the run on the whole terminal; q stops it.
    #[arg(long, conflicts_with = "json")]
    tui: bool,
    /// Print only the totals of the run, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<Exit, CommandError> {
    let plan = plan::of(&arguments.plan)?;
    if arguments.tui {
        Screen::check()?;
    }
    check_outputs(arguments)?;
    let mut config = configuration::layers(&arguments.settings)?.build()?;
    let interrupt = Interrupt::listen()?;
    let temporary = match &arguments.dir {
        Some(_) => None,
        None => Some(Temporary::new(None)?),
    };
    let of_temporary = temporary.as_ref().map(Temporary::path);
    let directory = arguments.dir.as_deref().or(of_temporary);
    let directory = directory.unwrap_or(Path::new("")).to_owned();
    config.engine.directory.clone_from(&directory);
    if !arguments.json {
        output::show(report::head(arguments, &plan, &directory));
    }

    let engine = configuration::open_watching(&arguments.settings, config)?;
    let exit = work(arguments, &plan, &engine, &interrupt);
    let closed = engine.shutdown_blocking();
    drop(engine);
    let cleared = temporary.map_or(Ok(()), Temporary::remove);

    let exit = exit?;
    closed?;
    cleared?;
    Ok(exit)
}

/// Checks that all outputs can be written and replace nothing else: now, not after hours of the run.
fn check_outputs(arguments: &LoadArguments) -> Result<(), CommandError> {
    let inputs = || arguments.plan.inputs().chain(arguments.settings.input());
    if let Some(directory) = &arguments.out {
        Run::can_be_written_to(directory)?;
        let file = directory.join(RUN_FILE);
        output::check_apart(directory, inputs().chain(&arguments.dir))?;
        output::check_apart(&file, inputs())?;
    }
    if let Some(trace) = &arguments.record {
        output::check_apart(trace, inputs())?;
        may_replace(trace, TRACE_HEAD)?;
        let is_of_run = |name: &str| trace.ends_with(name);
        if arguments.out.as_deref() == trace.parent()
            && [RUN_FILE, INTERVAL_LOG_FILE].into_iter().any(is_of_run)
        {
            return Err(CommandError::OutputTwice(trace.clone()));
        }
    }
    Ok(())
}

fn work(
    arguments: &LoadArguments,
    plan: &Plan,
    engine: &Engine,
    interrupt: &Interrupt,
) -> Result<Exit, CommandError> {
    let Carried { outcome, trouble } = carry_out(arguments, plan, engine, interrupt)?;
    // Written first, so that the run is kept whatever fails after it.
    let kept = keep(arguments, &outcome, trouble.is_some());
    let checked = match &trouble {
        Some(_) => Ok(None),
        None => checked(arguments, &outcome, engine),
    };
    let checks = checked.as_ref().ok().and_then(Option::as_ref);
    let shown = show(arguments, &outcome, engine, checks);
    if let Some(trouble) = trouble {
        // The command ends with the first error and prints the ones that followed.
        for error in [kept.err(), shown.err()].into_iter().flatten() {
            output::tell_error("also", &error);
        }
        return Err(trouble);
    }
    shown?;
    kept?;
    Ok(match checked? {
        None => Exit::Interrupted,
        Some(checks) if checks.all_hold() => Exit::Done,
        Some(_) => Exit::Failed,
    })
}

/// Writes the run to the output directory, if there is one.
fn keep(arguments: &LoadArguments, outcome: &Outcome, is_broken: bool) -> Result<(), CommandError> {
    let Some(directory) = &arguments.out else {
        return Ok(());
    };
    outcome.write_to(directory)?;
    if is_broken {
        output::tell(format!(
            "the figures until the failure are in {}",
            directory.display()
        ));
    }
    Ok(())
}

fn checked(
    arguments: &LoadArguments,
    outcome: &Outcome,
    engine: &Engine,
) -> Result<Option<Checks>, CommandError> {
    engine.drain_blocking()?;
    match outcome.is_interrupted {
        true => Ok(None),
        false => check::check(outcome, arguments.proofs as usize, &engine.snapshot()).map(Some),
    }
}

fn show(
    arguments: &LoadArguments,
    outcome: &Outcome,
    engine: &Engine,
    checks: Option<&Checks>,
) -> Result<(), CommandError> {
    let root = engine.snapshot().root();
    if arguments.json {
        let none = Checks::default();
        let json = report::json(outcome, &root, checks.unwrap_or(&none));
        match arguments.out {
            Some(_) => output::show_json(&json),
            None => output::show_measured(&output::json_text(&json)?),
        }
        return Ok(());
    }
    output::show(report::figures(outcome, &engine.metrics())?);
    let root = output::root_lines(&root);
    output::show(format!("\nlast root\n{root}\n"));
    output::show(match checks {
        Some(checks) => checks.to_string(),
        None if outcome.is_interrupted => "interrupted: nothing was checked\n".to_owned(),
        None => "nothing was checked\n".to_owned(),
    });
    Ok(())
}

/// A load that ran, to its end or not.
struct Carried {
    outcome: Outcome,
    /// Error that ended the load early.
    trouble: Option<CommandError>,
}

fn carry_out(
    arguments: &LoadArguments,
    plan: &Plan,
    engine: &Engine,
    interrupt: &Interrupt,
) -> Result<Carried, CommandError> {
    let mut watch = Watch::new(arguments.tui)?;
    let mut observer = |progress: &Progress<'_>| {
        if watch.show(progress) {
            interrupt.request();
        }
    };
    let mut load = Load::new(plan, engine)?
        .revision(env!("GIT_REVISION"))
        .stop(interrupt.flag())
        .observer(&mut observer);
    if let Some(path) = &arguments.record {
        load = load.record(path);
    }
    if let Some(path) = &arguments.replay {
        load = load.replay(path, arguments.replay_speed.unwrap_or(1.0))?;
    }
    let run = load.run();
    let carried = match run {
        Err(LoadError::BrokenOff(broken)) => Carried {
            outcome: broken.outcome,
            trouble: Some(CommandError::BrokenOff(Box::new(broken.source))),
        },
        run => Carried {
            outcome: run?,
            trouble: None,
        },
    };
    watch.end(&carried.outcome.run.decisions);
    Ok(carried)
}
