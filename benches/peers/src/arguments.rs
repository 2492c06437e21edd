//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::engines::EngineKind;
use crate::larger;
use crate::workload::Fresh;

/// Runs the same workload on several engines, each run in a process and a directory of its own, and
/// prints a table.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Engines to measure; each round runs them in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "trunkline,fjall,commonware-fixed"
    )]
    pub(crate) engine: Vec<EngineKind>,
    /// Kind of load.
    #[arg(long, value_enum, default_value_t = Workload::Updates)]
    pub(crate) workload: Workload,
    /// Keys put before the measurement.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// Puts of the measurement; single puts are at most 5,000 a task.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: u64,
    /// Share of puts with fresh keys; use none for an open loop of a minute.
    #[arg(long, value_enum, default_value_t = Fresh::Half)]
    pub(crate) fresh: Fresh,
    /// Puts in a batch; at most twice the keys, or as many as the keys if none is fresh.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// Puts in a batch of the preload.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) preload_batch: u64,
    /// Runs of each engine; use five or more for medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Submissions in flight for trunkline; the other engines have one.
    #[arg(long, default_value_t = 8, value_parser = in_flight)]
    pub(crate) in_flight: usize,
    /// Single puts: the numbers of tasks.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,64,512",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) tasks: Vec<u64>,
    /// A setting of trunkline that differs from its default: section.key=value. Can be repeated.
    #[arg(long = "set", value_name = "SETTING")]
    pub(crate) settings: Vec<String>,
    /// Reads of present keys, and of absent ones.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) reads: usize,
    /// Proofs of each kind.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) proofs: usize,
    /// Open loop: the rate as a share of that of the same engine just before, in a closed loop of the same length.
    #[arg(long, default_value_t = 0.8, value_parser = fraction)]
    pub(crate) fraction: f64,
    /// Open loop: puts a second, instead of a share of the measured rate.
    #[arg(long, value_parser = fraction)]
    pub(crate) rate: Option<f64>,
    /// Open loop: duration, seconds.
    #[arg(long, default_value_t = 60.0, value_parser = fraction)]
    pub(crate) seconds: f64,
    /// Directory for those of the runs, on the disk to measure.
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
    /// A file for all figures of all runs.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// A file for a plot of latency over throughput, for `--workload curve`.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The kind of load.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Closed loop: batches as fast as possible, then reads and proofs.
    Updates,
    /// Batches by the clock; latency counts from the intended start.
    OpenLoop,
    /// Closed loops with 1, 2, 4, 8 and 16 submissions in flight, if the engine allows it.
    Curve,
    /// Many tasks, each of which puts one key, waits until it is durable, and continues.
    SinglePuts,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One run, for the parent process.
    #[command(hide = true)]
    Run { job: String },
    /// States larger than memory: each engine inside one control group with a memory limit.
    Larger(#[command(flatten)] larger::Options),
    /// A part of the above, for the parent process.
    #[command(hide = true)]
    RunLarger { job: String },
    /// Touches this many bytes of memory and ends.
    #[command(hide = true)]
    Touch { bytes: usize },
}

fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("1 to 1024".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("a number above 0".to_owned()),
    }
}
