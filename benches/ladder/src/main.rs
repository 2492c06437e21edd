//! ladder: measures what each optimisation of trunkline is worth by switching it off alone, next to what was promised
//! of it, and compares the whole with a naive baseline.
//!
//! The engine itself has no switches for this. An optimisation that no setting controls is removed by a patch of a copy
//! of its sources. `README.md` says how to run it and how to read it.

mod arguments;
mod catalog;
mod error;
mod figures;
mod job;
#[path = "../../peers/src/machine.rs"]
mod machine;
mod micro;
mod naive;
#[path = "../../peers/src/process.rs"]
#[allow(dead_code, reason = "shared with peers, which asks for more")]
mod process;
mod report;
mod run;
mod series;
mod table;
mod variant;
#[path = "../../peers/src/workload.rs"]
#[allow(dead_code, reason = "shared with peers, which asks for more")]
mod workload;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::catalog::{Kind, Off, RUNGS, find};
use crate::error::LadderError;
use crate::figures::Outcome;
use crate::job::{Job, MicroJob};
use crate::micro::Scope;
use crate::report::Report;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match obey(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                eprintln!("  because: {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the command. Returns whether every requested factor could be measured.
fn obey(arguments: &Arguments) -> Result<bool, LadderError> {
    match &arguments.command {
        None => measure(arguments),
        Some(Command::List) => Ok(list()),
        Some(Command::Build) => {
            for rung in RUNGS {
                variant::program(rung)?;
            }
            Ok(true)
        }
        Some(Command::Touch { bytes }) => {
            process::touch(*bytes);
            Ok(true)
        }
        Some(Command::Run { job }) => {
            let outcome = run(&serde_json::from_str(job)?)?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(true)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<bool, LadderError> {
    let keep = |report: &Report| match &arguments.json {
        Some(path) => write(path, &serde_json::to_string_pretty(report)?),
        None => Ok(()),
    };
    let report = series::measure(arguments, keep)?;
    let text = table::markdown(&report);
    print!("{text}");
    if let Some(path) = &arguments.markdown {
        write(path, &text)?;
    }
    Ok(report.failed.is_empty())
}

fn write(path: &Path, text: &str) -> Result<(), LadderError> {
    std::fs::write(path, text).map_err(LadderError::file(path))
}

/// Lists the optimisations. Returns whether every patch applies.
fn list() -> bool {
    let mut all_apply = true;
    for rung in RUNGS {
        let kind = rung.off.kind();
        println!("{:22} {:7} {}", rung.name, kind.label(), rung.what);
        if kind != Kind::Patch {
            continue;
        }
        if let Err(error) = variant::check_patch(rung.name) {
            println!("{error}");
            all_apply = false;
        }
    }
    all_apply
}

fn run(job: &Job) -> Result<Outcome, LadderError> {
    match job {
        Job::Engine(job) => run::run(job).map(Outcome::Run),
        Job::Naive(job) => naive::run(job).map(Outcome::Run),
        Job::Micro(job) => compare(job),
    }
}

fn compare(job: &MicroJob) -> Result<Outcome, LadderError> {
    let Off::Micro(compare) = find(&job.name)?.off else {
        return Err(LadderError::NoSuchName(job.name.clone()));
    };
    let directory = tempfile::Builder::new()
        .prefix("ladder-micro-")
        .tempdir_in(&job.directory)
        .map_err(LadderError::file(&job.directory))?;
    process::warm_memory().map_err(LadderError::at("touch memory"))?;
    let comparison = compare(&Scope {
        directory: directory.path(),
        keys: job.keys,
    })?;
    directory
        .close()
        .map_err(LadderError::file(&job.directory))?;
    Ok(Outcome::Comparison(comparison))
}
