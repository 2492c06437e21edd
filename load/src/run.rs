//! The result of a run as a JSON document. Its histograms are in an interval log in the same directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline::Span;
use trunkline::decisions::{Decision, Window};

use super::merge::Merged;
use super::threshold::ThresholdResult;
use super::warning::Warning;

/// Number of the format that [`Run`] is written in.
pub const RUN_FORMAT: u32 = 4;

/// The kinds of operation, which are measured separately.
///
/// ```
/// use trunkline_load::OperationKind;
/// let name = serde_json::to_string(&OperationKind::MultiGet)?;
/// assert_eq!(name, format!("\"{}\"", OperationKind::MultiGet.name()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Reads the value of one key.
    Read,
    /// Reads the values of consecutive records.
    MultiGet,
    /// Reads a key's value with a proof, and checks the proof.
    Verify,
    /// Puts a new value of a key. It ends when it is durable.
    Update,
    /// Puts a new key. It ends when it is durable.
    Insert,
    /// Removes a key. It ends when it is durable.
    Delete,
    /// Reads a key, then puts a value on the condition that the key still holds what earlier batches wrote to it last.
    /// It ends when it is durable. If its batch writes the key already, it is only a put, because requirements are
    /// checked against the state before the batch.
    ReadModifyWrite,
}

impl OperationKind {
    /// All kinds, in order.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::MultiGet,
        Self::Verify,
        Self::Update,
        Self::Insert,
        Self::Delete,
        Self::ReadModifyWrite,
    ];

    const NAMES: [&str; 7] = [
        "read",
        "multi_get",
        "verify",
        "update",
        "insert",
        "delete",
        "read_modify_write",
    ];

    /// Returns the name that files use.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the kind of a name that files use.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns whether operations of this kind change the state.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Read | Self::MultiGet | Self::Verify)
    }
}

/// Quantiles of latencies, in microseconds with fractions.
///
/// See [`OperationFigures`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Number of operations.
    pub count: u64,
    /// Mean latency.
    pub mean_us: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// 99.99th percentile.
    pub p9999_us: f64,
    /// Highest latency.
    pub max_us: f64,
}

impl Latency {
    /// Returns the quantiles of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let quantile = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            p9999_us: quantile(0.9999),
            max_us: micros(histogram.max()),
        }
    }
}

/// Figures of one kind of operation, in one second or over the whole run.
///
/// ```
/// use trunkline_load::{OperationFigures, Run};
/// /// Returns how long the slowest percent of the reads waited before the target began them.
/// fn waiting_us(figures: &OperationFigures) -> f64 {
///     figures.latency.p99_us - figures.service.p99_us
/// }
/// # assert_eq!(waiting_us(&OperationFigures::default()), 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OperationFigures {
    /// Operations that ended.
    pub achieved: u64,
    /// Time from the intended start to the end.
    pub latency: Latency,
    /// Time from the real start to the end.
    pub service: Latency,
}

/// One second of a run. An operation belongs to the second in which it ended.
///
/// ```
/// use trunkline_load::Second;
/// /// Returns the seconds in which the target did not keep up.
/// fn overloaded(seconds: &[Second]) -> Vec<u64> {
///     let overloaded = seconds.iter().filter(|second| second.dropped > 0);
///     overloaded.map(|second| second.second).collect()
/// }
/// let seconds = [0, 5].map(|dropped| Second { second: 7 + dropped, dropped, ..Second::default() });
/// assert_eq!(overloaded(&seconds), [12]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Number of the second, from 0 at the end of the warm-up.
    pub second: u64,
    /// Operations that were due by the schedule.
    pub offered: u64,
    /// Operations that ended.
    pub achieved: u64,
    /// Operations that were due but not started, because too many were in flight.
    pub dropped: u64,
    /// Operations that failed, and writes whose batch was refused.
    pub failed: u64,
    /// Longest delay with which the generator itself started an operation, in microseconds.
    pub generator_late_us: u64,
    /// Figures by kind of operation.
    pub operations: BTreeMap<OperationKind, OperationFigures>,
}

/// Processor time of the load's own threads, in microseconds; 0 where the system does not report it.
///
/// ```
/// use trunkline_load::{ThreadTimes, Totals};
/// let cpu = ThreadTimes { generator_us: 40_000, ..ThreadTimes::default() };
/// let totals = Totals { offered: 100_000, cpu, ..Totals::default() };
/// let nanos_an_operation = totals.cpu.generator_us * 1000 / totals.offered;
/// assert_eq!(nanos_an_operation, 400);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThreadTimes {
    /// Time of the generator's thread, which decides what is due and gathers writes into batches.
    pub generator_us: u64,
    /// Time of the thread that makes keys and values and submits batches. It includes the target's part of submitting,
    /// because keys and values are made while the target takes a batch.
    pub submitter_us: u64,
    /// Time of the thread that waits for batches to become durable and records them, without the waiting.
    pub completer_us: u64,
    /// Time of the busiest thread that reads, without the target's reads.
    pub reader_us: u64,
}

/// Sums over the whole run, without the warm-up.
///
/// See [`Totals::offered_per_second`] for an example.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Length of the run to the end of the last operation, in microseconds.
    pub elapsed_us: u64,
    /// Length of the schedule, during which operations were due, in microseconds. A closed loop has no schedule; the
    /// value is then that of `elapsed_us`.
    pub scheduled_us: u64,
    /// Operations that ended before the schedule did, including those that were due in the warm-up. In a closed loop
    /// this equals `achieved`.
    pub ended_in_schedule: u64,
    /// Operations that were due by the schedule.
    pub offered: u64,
    /// Operations that ended.
    pub achieved: u64,
    /// Operations that were due but not started.
    pub dropped: u64,
    /// Operations that failed, and writes whose batch was refused.
    pub failed: u64,
    /// Reads, including those of read-modify-writes, that found nothing although their keys were put before the run and
    /// never deleted.
    pub missing: u64,
    /// The delays with which the generator itself started operations, including those that were dropped. Latencies
    /// include these delays.
    pub generator_late: Latency,
    /// Processor time of the load's own threads.
    pub cpu: ThreadTimes,
    /// Figures by kind of operation.
    pub operations: BTreeMap<OperationKind, OperationFigures>,
}

impl Totals {
    /// Returns the operations per second that were due by the schedule.
    ///
    /// ```
    /// use trunkline_load::Totals;
    /// // Operations were due for one second. The target needed a second more for those that were waiting by then.
    /// let totals = Totals {
    ///     scheduled_us: 1_000_000,
    ///     elapsed_us: 2_000_000,
    ///     offered: 1_000,
    ///     achieved: 1_000,
    ///     ended_in_schedule: 500,
    ///     ..Totals::default()
    /// };
    /// assert_eq!((totals.offered_per_second(), totals.achieved_per_second()), (1_000.0, 500.0));
    /// ```
    pub fn offered_per_second(&self) -> f64 {
        per_second(self.offered, self.scheduled_us)
    }

    /// Returns the operations per second that ended before the schedule did. Operations that are still waiting at its
    /// end do not count, so a target that cannot keep up achieves less than the offered rate.
    pub fn achieved_per_second(&self) -> f64 {
        per_second(self.ended_in_schedule, self.scheduled_us)
    }
}

/// Returns operations per second.
pub(crate) fn per_second(count: u64, in_us: u64) -> f64 {
    count as f64 * 1e6 / in_us.max(1) as f64
}

/// A trace that was run instead of a plan's operations.
///
/// See [`Load::replay`](super::Load::replay).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    /// Name of the trace's file.
    pub name: String,
    /// [`TraceSummary::digest`](super::TraceSummary::digest) in hexadecimal.
    pub digest: String,
    /// Speed of the replay, as a multiple of the recorded one.
    pub speed: f64,
}

/// The machine that a run was made on.
///
/// ```
/// assert!(trunkline_load::Machine::here().cores >= 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Cores that the process may use.
    pub cores: u64,
    /// Name of the processor, empty where the system does not report it.
    pub processor: String,
    /// Bytes of memory, 0 where the system does not report it.
    pub memory_bytes: u64,
    /// System and architecture, such as `linux x86_64`.
    pub system: String,
}

impl Machine {
    /// Returns a description of this machine.
    pub fn here() -> Self {
        let field = |path: &str, name: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kibibytes = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            processor: field("/proc/cpuinfo", "model name"),
            memory_bytes: kibibytes * 1024,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// A run: its plan, its machine and all its measurements.
///
/// ```no_run
/// let run = trunkline_load::Run::read_from("runs/first".as_ref())?;
/// println!("{}: {:.0} operations a second", run.name, run.totals.achieved_per_second());
/// for warning in &run.warnings {
///     println!("warning: {warning}");
/// }
/// # Ok::<(), trunkline_load::RunFileError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The format, which is [`RUN_FORMAT`].
    pub format: u32,
    /// Name of the run.
    pub name: String,
    /// The time at which it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// Version of trunkline.
    pub version: String,
    /// Revision of the source code that was run, as given to [`Load::revision`](super::Load::revision); empty if
    /// unknown.
    pub git_revision: String,
    /// The machine that it ran on.
    pub machine: Machine,
    /// Seed of keys, values, operations and arrivals.
    pub seed: u64,
    /// The plan, as TOML that can be run again.
    pub workload: String,
    /// The trace that was run instead of the plan's operations, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
    /// The runs that were merged into this one, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// The failure that ended the run early, if any. The figures then describe the time before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// The engine's configuration, as TOML; empty if the target is not an engine.
    pub config: String,
    /// Sums over the whole run.
    pub totals: Totals,
    /// All seconds, or the last ones of a run of many hours.
    pub seconds: Vec<Second>,
    /// The beginning of the first second, in microseconds since the engine was opened. It relates the engine's clock to
    /// the run's.
    pub begun_engine_us: u64,
    /// Windows that the engine measured, up to the last 20,000.
    pub windows: Vec<Window>,
    /// Decisions that the engine took, up to the last 5,000.
    pub decisions: Vec<Decision>,
    /// Spans of the engine's stages near the end of the run.
    pub spans: Vec<Span>,
    /// Warnings for the reader of the figures.
    pub warnings: Vec<Warning>,
    /// Results of the plan's thresholds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdResult>,
}

impl Run {
    /// Returns the windows that lie within the measured time: after the fill, the search for a rate and the warm-up,
    /// and before the end of the schedule. A run that is shorter than a window has none.
    ///
    /// ```
    /// use trunkline::decisions::Window;
    /// use trunkline_load::{Run, Totals};
    /// let window = |ended_us| Window { ended_us, length_us: 500_000, ..Window::default() };
    /// let run = Run {
    ///     begun_engine_us: 1_000_000,
    ///     totals: Totals { scheduled_us: 2_000_000, ..Totals::default() },
    ///     windows: [1_000_000, 1_400_000, 1_500_000, 3_000_000, 3_100_000].map(window).to_vec(),
    ///     ..Run::default()
    /// };
    /// let ends: Vec<u64> = run.measured_windows().map(|window| window.ended_us).collect();
    /// assert_eq!(ends, [1_500_000, 3_000_000]);
    /// ```
    pub fn measured_windows(&self) -> impl Iterator<Item = &Window> {
        let begin_us = self.begun_engine_us;
        let end_us = begin_us.saturating_add(self.totals.scheduled_us);
        self.windows.iter().filter(move |window| {
            window.ended_us.saturating_sub(window.length_us) >= begin_us
                && window.ended_us <= end_us
        })
    }
}
