//! `load`: an engine under a load, a report, and proofs of a sample of what was written.
//!
//! The load itself is the library's (`trunkline::load`). Here `plan` makes a plan of what was typed, `watch` shows how
//! far it is, `report` how it went, `check` proves. What every key must hold at the end is known without asking the
//! engine: the load's records make values from the seed and count the writes of each key.

mod check;
pub(crate) mod plan;
mod report;
mod watch;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::Engine;
use trunkline::load::{Load, Outcome, Plan, Progress, Run};

use crate::arguments::LoadArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::tui::Screen;
use crate::{Exit, configuration, output};

use check::Checks;
use watch::{Asked, Watch};

/// Where the engine works: a directory of the user's, or one that goes away when this is dropped.
enum Place {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn new(given: Option<&Path>) -> Result<Self, CommandError> {
        match given {
            Some(path) => Ok(Self::Given(path.to_owned())),
            None => {
                let made = tempfile::Builder::new().prefix("trunkline-load-").tempdir();
                Ok(Self::Temporary(made.map_err(CommandError::Temporary)?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    /// Removes a temporary directory and says so if that fails.
    fn clear(self) -> Result<(), CommandError> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Temporary(directory) => {
                let path = directory.path().to_owned();
                directory
                    .close()
                    .map_err(CommandError::file("remove", path))
            }
        }
    }
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<Exit, CommandError> {
    let plan = plan::of(&arguments.plan)?;
    if arguments.tui {
        Screen::check()?;
    }
    if let Some(directory) = &arguments.out {
        // Not after hours.
        Run::can_be_written_to(directory)?;
    }
    let interrupt = Interrupt::listen()?;
    let place = Place::new(arguments.dir.as_deref())?;
    let config = configuration::for_directory(&arguments.settings, place.path())?;
    if !arguments.json {
        output::print(report::head(arguments, &plan, place.path()))?;
    }

    let engine = configuration::open_watching(&arguments.settings, config)?;
    let exit = work(arguments, &plan, &engine, &interrupt);
    let closed = engine.shutdown_blocking();
    drop(engine);
    let cleared = place.clear();

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
    let outcome = carry_out(arguments, plan, engine, interrupt)?;
    engine.drain_blocking()?;
    let snapshot = engine.snapshot();
    let checks = match outcome.is_interrupted {
        true => Checks::default(),
        false => check::check(&outcome, arguments.proofs, &snapshot)?,
    };
    if arguments.json {
        output::print_json(&report::json(&outcome, &snapshot.root(), &checks))?;
    } else {
        output::print(report::figures(&outcome, &engine.metrics()))?;
        let root = output::root_lines(&snapshot.root());
        output::print(format!("\nlast root\n{root}\n"))?;
        output::print(match outcome.is_interrupted {
            true => "interrupted: nothing was checked\n".to_owned(),
            false => checks.to_string(),
        })?;
    }
    // What was shown is not lost if this fails.
    if let Some(directory) = &arguments.out {
        outcome.write_to(directory)?;
    }
    Ok(match (outcome.is_interrupted, checks.all_hold()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Done,
        (false, false) => Exit::Failed,
    })
}

fn carry_out(
    arguments: &LoadArguments,
    plan: &Plan,
    engine: &Engine,
    interrupt: &Interrupt,
) -> Result<Outcome, CommandError> {
    let mut watch = Watch::new(arguments.tui)?;
    let mut observer = |progress: &Progress<'_>| {
        if watch.show(progress) == Asked::ToEnd {
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
    let outcome = load.run();
    watch.finish()?;
    Ok(outcome?)
}
