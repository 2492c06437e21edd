//! The warnings of a run.

use serde::{Deserialize, Serialize};

/// One of the load's own threads.
///
/// See [`Warning::ThreadBusy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoadThread {
    /// The thread that decides which operations are due.
    Generator,
    /// The thread that makes keys and values and submits batches.
    Submitter,
    /// The thread that waits for batches and records them.
    Completer,
    /// A thread that reads.
    Reader,
}

impl LoadThread {
    /// Returns the work of the thread, and what its time includes or leaves out.
    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Generator => ("the thread that decides what comes next", ""),
            Self::Submitter => (
                "the thread that makes keys and values and submits them",
                ", the target's part of submitting included",
            ),
            Self::Completer => (
                "the thread that records batches",
                ", waiting for them left out",
            ),
            Self::Reader => (
                "a thread that reads",
                ", the target's reads left out: give it more readers",
            ),
        }
    }
}

/// A warning to the reader of a run's figures. Its text says what happened and what to do.
///
/// ```
/// use trunkline_load::{Run, Warning};
/// let dropped = Warning::Dropped { percent: 25.0, in_flight_max: 500, readers_busy: false, load_busy: false };
/// let run = Run { warnings: vec![dropped], ..Run::default() };
/// let kept_up = !run.warnings.iter().any(|warning| matches!(warning, Warning::Dropped { .. }));
/// assert!(!kept_up);
/// assert!(run.warnings[0].to_string().starts_with("25.0 % of the operations were dropped"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Warning {
    /// The generator started operations late.
    #[error(
        "the generator could not keep up: 1 % of the operations started {:.1} ms late and more, at worst {:.1} ms; \
         latencies include that; lower the rate or give it a core",
        p99_us / 1e3, max_us / 1e3
    )]
    GeneratorLate {
        /// 99th percentile of the lateness, in microseconds.
        p99_us: f64,
        /// Greatest lateness, in microseconds.
        max_us: f64,
    },
    /// Operations were dropped because too many were in flight.
    #[error(
        "{percent:.1} % of the operations were dropped, because {in_flight_max} were in flight: {}",
        match (readers_busy, load_busy) {
            (true, _) => "with so many readers the reads did not keep up with the rate, whatever the target can do",
            (false, true) => "the load generator was at its limit, so that this says nothing about the target",
            (false, false) => "the target did not keep up with the rate",
        }
    )]
    Dropped {
        /// Share of the operations that were due, in percent.
        percent: f64,
        /// Operations that may be in flight.
        in_flight_max: u64,
        /// True if the readers were busy all the time, so that the target did not cause the drops.
        readers_busy: bool,
        /// True if the load's own threads were late or busy all the time, so that they may have caused the drops.
        #[serde(default)]
        load_busy: bool,
    },
    /// Operations failed.
    #[error("{operations} operations failed, the first with: {first}")]
    Failed {
        /// Operations that failed.
        operations: u64,
        /// The first failure.
        first: String,
    },
    /// Batches were refused.
    #[error("{batches} batches were refused, the first because {first}")]
    Refused {
        /// Batches that were refused.
        batches: u64,
        /// The first reason.
        first: String,
    },
    /// Keys were not found although they must exist.
    #[error("{keys} reads found nothing, although their keys must exist")]
    Missing {
        /// Reads that found nothing.
        keys: u64,
    },
    /// All readers of an open loop were busy nearly all the time, so that reads waited for a reader.
    #[error(
        "{} busy {percent:.0} % of the time: a read took {:.2} ms in the mean, so they can do {:.0} a second, and others \
         waited for a reader, which their latency includes; give more readers; if reads then take longer, the target is \
         slow",
        match readers {
            1 => "the only thread that reads was".to_owned(),
            _ => format!("all {readers} threads that read were"),
        },
        read_us / 1e3,
        1e6 * *readers as f64 / read_us
    )]
    ReadersBusy {
        /// Number of threads that read.
        readers: usize,
        /// Share of the time that they were busy, in percent.
        percent: f64,
        /// Mean time of a read, in microseconds.
        read_us: f64,
    },
    /// A thread of the load was busy nearly all the time, so that the figures may be the load's own limit.
    #[error(
        "{} was busy {percent:.0} % of the time{}; the figures may show the limit of the load generator, not of the \
         target",
        thread.described().0, thread.described().1
    )]
    ThreadBusy {
        /// The thread.
        thread: LoadThread,
        /// Share of the time that it was busy, in percent.
        percent: f64,
    },
    /// The seconds and histograms of a long run do not include its first seconds.
    #[error(
        "the first {seconds} seconds count only in the totals, because a long run keeps only its last hours second by \
         second"
    )]
    SecondsLeftOut {
        /// Seconds that were left out.
        seconds: u64,
    },
    /// The run was stopped early.
    #[error("the run was interrupted before its end")]
    Interrupted,
    /// A trace was run instead of the plan's operations.
    #[error(
        "the operations are those of {trace}, at speed {speed}, not the workload's{}",
        match has_deletes {
            true => "; the trace deletes keys, so reads may find nothing",
            false => "",
        }
    )]
    Replayed {
        /// Path of the trace.
        trace: String,
        /// Speed of the replay, as a multiple of the recorded one.
        speed: f64,
        /// True if the trace deletes keys, so that a read may find nothing.
        has_deletes: bool,
    },
    /// The closed loop that measured the rate had few operations.
    #[error("the rate was measured with few operations and is uncertain; give a rate")]
    RateUncertain,
    /// The merged runs did not overlap all the time.
    #[error(
        "the runs overlap in {window_s:.1} s of {whole_s:.1} s; rates are over the whole time, so they are lower than those \
         of the time in which all of them ran; start them at the same time, with a warm-up that is longer than the \
         difference of their fills"
    )]
    PartlyOverlapping {
        /// Time during which all runs had operations due, in seconds.
        window_s: f64,
        /// Time from the first operation of any run to the end of the last schedule, in seconds.
        whole_s: f64,
    },
    /// A failure ended the run early.
    #[error("the run ended early: {reason}; the figures cover the {seconds:.1} s before that")]
    BrokenOff {
        /// The failure and its causes.
        reason: String,
        /// Measured time before the failure, in seconds.
        seconds: f64,
    },
}
