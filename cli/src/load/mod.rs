//! `load`: an engine under a workload, a report, and proofs of a sample of what was written.
//!
//! `workload` says what to do, `drive` does it, `report` shows how it went, `check` proves. What
//! every key must hold at the end is known without asking the engine: `records` makes values from
//! the seed and counts the writes of each key.

mod check;
mod drive;
mod records;
mod report;
mod workload;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::Engine;

use crate::arguments::LoadArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::single::open_engine;
use crate::{Exit, configuration, output};

use check::Checks;
use drive::drive;
use records::Records;

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
    let interrupt = Interrupt::listen()?;
    let place = Place::new(arguments.dir.as_deref())?;
    let config = configuration::for_directory(&arguments.settings, place.path())?;
    output::print(report::head(arguments, place.path()))?;

    let mut records = Records::new(arguments.keys.get(), arguments.seed, arguments.value_bytes)?;
    let engine = open_engine(config)?;
    let exit = work(arguments, &engine, &mut records, &interrupt);
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
    engine: &Engine,
    records: &mut Records,
    interrupt: &Interrupt,
) -> Result<Exit, CommandError> {
    let driven = drive(arguments, engine, records, interrupt)?;
    engine.drain_blocking()?;
    let snapshot = engine.snapshot();
    output::print(report::figures(&driven, &engine.metrics()))?;
    let root = output::root_lines(&snapshot.root());
    output::print(format!("\nlast root\n{root}\n"))?;
    if driven.is_interrupted {
        output::print("interrupted: nothing was checked\n")?;
        return Ok(Exit::Interrupted);
    }
    let checks = check::check(arguments, &snapshot, records, &driven)?;
    output::print(checks.to_string())?;
    Ok(verdict(&checks))
}

fn verdict(checks: &Checks) -> Exit {
    if checks.all_hold() {
        Exit::Done
    } else {
        Exit::Failed
    }
}
