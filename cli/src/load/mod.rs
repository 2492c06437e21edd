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

use std::path::PathBuf;

use clap::Args;
use tempfile::TempDir;
use trunkline::Engine;
use trunkline_load::{Load, LoadError, Outcome, Plan, Progress, Run, error_chain};

use crate::arguments::PlanArguments;
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
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
    #[arg(long, default_value_t = 1000)]
    proofs: usize,
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

/// Makes a temporary directory for an engine.
fn temporary() -> Result<TempDir, CommandError> {
    let made = tempfile::Builder::new().prefix("trunkline-load-").tempdir();
    made.map_err(CommandError::Temporary)
}

/// Removes a temporary directory.
fn clear(directory: TempDir) -> Result<(), CommandError> {
    let path = directory.path().to_owned();
    directory
        .close()
        .map_err(CommandError::file("remove", path))
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<Exit, CommandError> {
    let plan = plan::of(&arguments.plan)?;
    if arguments.tui {
        Screen::check()?;
    }
    if let Some(directory) = &arguments.out {
        // Fails now, not after hours of the run.
        Run::can_be_written_to(directory)?;
    }
    let interrupt = Interrupt::listen()?;
    let (temporary, directory) = match &arguments.dir {
        Some(directory) => (None, directory.clone()),
        None => {
            let temporary = temporary()?;
            let path = temporary.path().to_owned();
            (Some(temporary), path)
        }
    };
    let config = configuration::for_directory(&arguments.settings, &directory)?;
    if !arguments.json {
        output::print(report::head(arguments, &plan, &directory))?;
    }

    let engine = configuration::open_watching(&arguments.settings, config)?;
    let exit = work(arguments, &plan, &engine, &interrupt);
    let closed = engine.shutdown_blocking();
    drop(engine);
    let cleared = temporary.map_or(Ok(()), clear);

    let exit = exit?;
    closed?;
    cleared?;
    Ok(exit)
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
            eprintln!("also: {}", error_chain(&error));
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
        eprintln!(
            "the figures until the failure are in {}",
            directory.display()
        );
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
        false => check::check(outcome, arguments.proofs, &engine.snapshot()).map(Some),
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
        return output::print_json(&json);
    }
    output::print(report::figures(outcome, &engine.metrics())?)?;
    let root = output::root_lines(&root);
    output::print(format!("\nlast root\n{root}\n"))?;
    output::print(match checks {
        Some(checks) => checks.to_string(),
        None if outcome.is_interrupted => "interrupted: nothing was checked\n".to_owned(),
        None => "nothing was checked\n".to_owned(),
    })
}

/// A load that ran, to its end or not.
struct Carried {
    outcome: Outcome,
    /// Error that ended the load early, or of the display.
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
    let outcome = match &run {
        Ok(outcome) => Some(outcome),
        Err(LoadError::BrokenOff(broken)) => Some(&broken.outcome),
        Err(_) => None,
    };
    if let Some(outcome) = outcome {
        watch.end(&outcome.run.decisions);
    }
    let shown = watch.finish();
    match run {
        Err(LoadError::BrokenOff(broken)) => Ok(Carried {
            outcome: broken.outcome,
            trouble: Some(CommandError::BrokenOff(Box::new(broken.source))),
        }),
        run => Ok(Carried {
            outcome: run?,
            trouble: shown.err().map(CommandError::from),
        }),
    }
}
