//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::catalog::Kind;

/// Switches each optimisation off alone and prints what it is worth beside what was promised of it.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Only these, by name (`ladder list`).
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only these kinds of switching off.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) kind: Vec<Kind>,
    /// Keys put before time is taken.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    pub(crate) keys: u64,
    /// Puts while time is taken, half of them of fresh keys; fewer where batches are small.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: u64,
    /// Rounds; in each, every rung runs once with and once without.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Reads of present keys, and of absent ones.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) reads: usize,
    /// Keys that the naive baseline starts with; many take long to load.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) naive_keys: u64,
    /// Puts of the naive baseline.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) naive_puts: u64,
    /// Where directories for runs are made: on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
    /// A file for all figures of all runs.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// A file for the table, which is printed as well.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Names every rung, and says of each patch whether it still applies.
    List,
    /// Builds what the patches and features need, and measures nothing.
    Build,
    /// One run, for the parent process.
    #[command(hide = true)]
    Run { job: String },
    /// Touches this many bytes of memory and ends.
    #[command(hide = true)]
    Touch { bytes: usize },
}
