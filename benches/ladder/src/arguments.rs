//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::catalog::Kind;

/// Switches each optimisation off alone and prints its measured factor next to the promised one.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Only these optimisations, by name (`ladder list` prints the names).
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only these kinds of comparison.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) kind: Vec<Kind>,
    /// Number of keys that are put before the measurement.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    pub(crate) keys: u64,
    /// Number of measured puts, half of them of new keys; fewer where batches are small.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: u64,
    /// Number of rounds. In each round, every optimisation is measured once with and once without.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Number of reads of present keys, and as many of absent ones.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) reads: usize,
    /// Number of keys that the naive baseline starts with. Loading many keys takes long.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) naive_keys: u64,
    /// Number of puts of the naive baseline.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) naive_puts: u64,
    /// Directory in which each run makes its own. It must be on the disk that is measured.
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
    /// File for the figures of all runs, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// File for the table, which is printed as well.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists every optimisation, and for each patch whether it still applies.
    List,
    /// Builds the programs with patches and features, and measures nothing.
    Build,
    /// Carries out one run for the parent process.
    #[command(hide = true)]
    Run { job: String },
    /// Touches this many bytes of memory and exits.
    #[command(hide = true)]
    Touch { bytes: usize },
}
