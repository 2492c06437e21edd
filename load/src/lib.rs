//! A load generator for trunkline, or for a service of your own: schedules of arrivals, workloads, measured runs, and
//! the comparison of runs. It uses the public API of the engine alone.
//!
//! ```
//! use trunkline_load::{Load, Plan, Workload};
//! # let directory = tempfile::tempdir()?;
//! # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
//! let plan = Plan { workload: Workload::B, keys: 100, rate: Some(10_000.0), ops: Some(500), ..Plan::default() };
//! let outcome = Load::new(&plan, &engine)?.run()?;
//! println!("{:.0} operations a second", outcome.run.totals.achieved_per_second());
//! # engine.shutdown_blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Plan`] describes a load. A [`Load`] runs it on a [`Target`] and returns an [`Outcome`]: a [`Run`] with the
//! figures of each second, an [`IntervalLog`] with their histograms, and [`Records`], which tell what every key must
//! hold without asking the target. [`compare`](compare::compare()) says whether two runs differ.
//!
//! In an open loop operations are due on a schedule that follows from plan and seed alone, whatever the target does.
//! Latency is measured from the time at which an operation was due, service time from its actual start. Operations that
//! are due while too many are in flight are dropped and counted, never postponed. The lateness of the generator itself
//! is measured too. In a closed loop the next operation starts when another has ended.
//!
//! From plan to figures:
//!
//! | module | what it does |
//! | --- | --- |
//! | `plan` | reads a plan and checks it |
//! | `operations`, `schedule` | choose operations, and when they are due; pure |
//! | `trace` | reads and writes operations as a file |
//! | `doubts` | keys of refused and failed batches, which the records may be wrong about; pure |
//! | `records` | makes keys and values, and knows what each key must hold |
//! | `generator` | lets operations in or drops them, gathers writes into batches; pure |
//! | `driver`, `queues` | carry out one stage with several threads |
//! | `target` | what a load runs on |
//! | `measure`, `stage_log`, `interval_log` | turn times into figures and histograms |
//! | `load` | runs the stages: fill, find a rate, warm up, measure |
//! | `run`, `warnings`, `run_files`, `files` | the result, what to know of it, and its file |
//! | `threshold` | what a run's figures must keep; pure |
//! | `merge` | several runs as one; pure |
//! | `prometheus` | the figures of a running load as text for Prometheus; pure |
//! | `schema` | the JSON Schema of a run, with the feature `schema` |
//! | `compare` | whether two sides of runs differ; pure |

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod compare;
mod doubts;
mod driver;
mod error;
mod files;
mod generator;
mod interval_log;
mod load;
mod measure;
mod merge;
mod operations;
mod plan;
mod prometheus;
mod queues;
mod records;
mod run;
mod run_files;
mod schedule;
#[cfg(feature = "schema")]
mod schema;
mod stage_log;
mod target;
mod threshold;
mod trace;
mod warning;
mod warnings;

pub use driver::Tally;
pub use error::{LoadError, error_chain};
pub use files::{
    FILE_BYTES_MAX, FileError, may_replace, replace_file, replace_file_with, rewrite_file,
};
pub use interval_log::{
    BySecond, INTERVAL_LOG_FILE, Interval, IntervalLog, IntervalLogError, Measure,
};
pub use load::{BrokenOff, Load, Outcome, Progress, StageName, StageTime};
pub use merge::{MERGED_MAX, MergeError, Merged, MergedPart, OverlapWindow, merge};
pub use operations::{Distribution, Operation, Shares, Workload};
pub use plan::{
    Arrivals, InvalidPlan, Mode, PLAN_BYTES_MAX, Pacing, Phase, Phases, Plan, PlanError, ProofTop,
    Shape,
};
pub use prometheus::PrometheusText;
pub use records::{KEYS_MAX, MustHold, Records, Write, WriteBatch};
pub use run::{
    Latency, Machine, OperationFigures, OperationKind, RUN_FORMAT, Replayed, Run, Second,
    ThreadTimes, Totals,
};
pub use run_files::{RUN_FILE, RunFileError};
pub use schedule::{Schedule, TimedOperation};
#[cfg(feature = "schema")]
pub use schema::run_schema;
pub use target::{Observation, Pending, Seen, Target, TargetError, Written};
pub use threshold::{
    Statistic, THRESHOLDS_MAX, Threshold, ThresholdError, ThresholdMetric, ThresholdResult,
};
pub use trace::{
    LineProblem, TRACE_FORMAT, TRACE_HEAD, TraceError, TraceReader, TraceSummary, TraceWriter,
};
pub use warning::{LoadThread, Warning};

/// The histogram of an [`Interval`].
pub use hdrhistogram::Histogram;

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
