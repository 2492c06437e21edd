//! peers: the same workloads on trunkline and on other engines, each as its authors set it, each durable
//! when a batch is acknowledged, each read compared, each proof verified.
//!
//! Not here: anything that trunkline itself needs. `README.md` says what is fair and what is not.

mod arguments;
mod engines;
mod error;
mod figures;
mod job;
mod larger;
mod machine;
mod open_loop;
mod pipeline;
mod plot;
mod process;
mod report;
mod run;
mod series;
mod single_puts;
mod table;
mod versions;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::error::BenchError;
use crate::report::Report;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
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

/// Measures. Returns whether every run gave figures.
fn measure(arguments: &Arguments) -> Result<bool, BenchError> {
    match &arguments.command {
        Some(Command::Run { job }) => {
            let figures = run::run(&serde_json::from_str(job)?)?;
            println!("{}", serde_json::to_string(&figures)?);
            return Ok(true);
        }
        Some(Command::Larger(options)) => {
            let runs = larger::run(options)?;
            print!("{}", larger::markdown(&runs));
            if let Some(path) = &options.json {
                write(path, &serde_json::to_string_pretty(&runs)?)?;
            }
            return Ok(true);
        }
        Some(Command::RunLarger { job }) => {
            let measured = larger::measure_in_child(&serde_json::from_str(job)?)?;
            println!("{}", serde_json::to_string(&measured)?);
            return Ok(true);
        }
        Some(Command::Touch { bytes }) => {
            process::touch(*bytes);
            return Ok(true);
        }
        None => {}
    }
    let keep = |report: &Report| match &arguments.json {
        Some(path) => write(path, &serde_json::to_string_pretty(report)?),
        None => Ok(()),
    };
    let report = series::measure(arguments, keep)?;
    print!("{}", table::markdown(&report));
    if let Some(path) = &arguments.svg {
        write(path, &plot::svg(&report.curves()))?;
    }
    Ok(report.failed.is_empty())
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::File {
        path: path.to_owned(),
        source,
    })
}
