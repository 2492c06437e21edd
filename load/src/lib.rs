//! Load: schedules of arrivals, workloads, what came out of them, and how two runs compare. For the command, and
//! for whoever drives trunkline, or a service of their own, from a harness of their own.
//!
//! A [`Plan`] says what is to happen, a [`Load`] puts it on a [`Target`], an [`Outcome`] holds what came out: a
//! [`Run`] with figures of each second, an [`IntervalLog`] with their histograms, and [`Records`], which know what
//! every key must hold without having asked.
//!
//! In an open loop operations are due on a schedule that follows from plan and seed alone, whatever the target does.
//! Latency counts from when an operation was due, service time from when it was really begun. What is due while too
//! many are under way is dropped and counted, never put off. How late the generator itself was is measured too.
//!
//! | file | for |
//! | --- | --- |
//! | `plan` | what is asked for |
//! | `operations`, `schedule` | which operation, and when: pure |
//! | `records` | keys, values, and what each key must hold |
//! | `trace` | operations in a file |
//! | `generator` | letting in, dropping, gathering into batches: pure |
//! | `lanes`, `driver` | threads, and what lies between them |
//! | `target` | what it is all put on |
//! | `measure`, `stage_log`, `interval_log` | from times to figures and histograms |
//! | `run_load`, `run`, `warnings`, `run_files` | the stages of a load, what came out and what to know of it, in files |
//! | `compare` | whether two runs, or two sides of several, differ: pure |
//!
//! Not here: a network client, a terminal, plots, and any knowledge of how the engine works inside.

pub mod acceptance;
pub mod compare;
mod driver;
mod generator;
mod interval_log;
mod lanes;
mod measure;
mod operations;
mod plan;
mod records;
mod run;
mod run_files;
mod run_load;
mod schedule;
mod stage_log;
mod target;
mod trace;
mod warnings;

pub use driver::Tally;
pub use interval_log::{
    BySecond, INTERVAL_LOG_FILE, Interval, IntervalLog, IntervalLogError, Measure,
};
pub use operations::{Distribution, Operation, Shares, Workload};
pub use plan::{
    Arrivals, InvalidPlan, Mode, PLAN_BYTES_MAX, Pacing, Phase, Phases, Plan, PlanError, ProofTop,
    Shape,
};
pub use records::{KEYS_MAX, MustHold, Records, Write, WriteBatch};
pub use run::{
    Latency, Machine, OperationKind, OperationSecond, OperationTotal, RUN_FORMAT, Replayed, Run,
    Second, Totals,
};
pub use run_files::{FILE_BYTES_MAX, RUN_FILE, RunFileError};
pub use run_load::{BrokenOff, Load, LoadError, Outcome, Progress, StageName, StageTime};
pub use schedule::{Schedule, TimedOperation};
pub use target::{Observation, Pending, Seen, Target, TargetError, Written};
pub use trace::{LineProblem, TRACE_FORMAT, TraceError, TraceReader, TraceSummary, TraceWriter};

/// Histograms as an [`Interval`] holds them.
pub use hdrhistogram::Histogram;
