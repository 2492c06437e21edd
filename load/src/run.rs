//! What came out of a run, as one JSON document. Histograms lie beside it, as an interval log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use trunkline::Span;
use trunkline::decisions::{Decision, Window};

/// Number of the form that [`Run`] is written in.
pub const RUN_FORMAT: u32 = 2;

/// What kind of operation a latency is of.
///
/// ```
/// use trunkline_load::OperationKind;
/// assert_eq!(serde_json::to_string(&OperationKind::MultiGet).unwrap(), r#""multi_get""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// The value of one key.
    Read,
    /// The values of consecutive records.
    MultiGet,
    /// A key's value, with a proof that is checked.
    Verify,
    /// A new value of a key: until it is durable.
    Update,
    /// A new key: until it is durable.
    Insert,
    /// A key's removal: until it is durable.
    Delete,
    /// A read, and a put that depends on it: until it is durable. Where the batch writes the key already, a put alone.
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

    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::MultiGet => "multi_get",
            Self::Verify => "verify",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::Delete => "delete",
            Self::ReadModifyWrite => "read_modify_write",
        }
    }

    /// Whether it changes anything.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Read | Self::MultiGet | Self::Verify)
    }

    /// Place in [`Self::ALL`].
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// Quantiles of latencies, microseconds with fractions.
///
/// ```
/// assert_eq!(trunkline_load::Latency::default().count, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Operations.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// 99.99th percentile.
    pub p9999_us: f64,
    /// Largest.
    pub max_us: f64,
}

/// One kind of operation in one second.
///
/// ```
/// assert_eq!(trunkline_load::OperationSecond::default().achieved, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationSecond {
    /// Operations that ended.
    pub achieved: u64,
    /// From the intended start to the end.
    pub latency: Latency,
    /// From the real start to the end.
    pub service: Latency,
}

/// One second of a run. It belongs to the second in which an operation ended.
///
/// ```
/// assert_eq!(trunkline_load::Second::default().second, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Counts from 0, from the end of the warm-up.
    pub second: u64,
    /// Operations that the schedule meant to start.
    pub offered: u64,
    /// Operations that ended.
    pub achieved: u64,
    /// Operations that were due and not started, since too many were under way.
    pub dropped: u64,
    /// Greatest delay with which the generator itself started an operation, microseconds.
    pub generator_late_us: u64,
    /// By kind of operation.
    pub operations: BTreeMap<OperationKind, OperationSecond>,
}

/// One kind of operation over the whole run.
///
/// ```
/// assert_eq!(trunkline_load::OperationTotal::default().achieved, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationTotal {
    /// Operations that ended.
    pub achieved: u64,
    /// From the intended start to the end.
    pub latency: Latency,
    /// From the real start to the end.
    pub service: Latency,
}

/// Sums over the whole run, warm-up left out.
///
/// ```
/// assert_eq!(trunkline_load::Totals::default().offered, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// How long it took, microseconds: to the end of the last operation.
    pub elapsed_us: u64,
    /// How long operations were due, microseconds: to the end of the schedule. In a closed loop, which has none, the
    /// same as `elapsed_us`.
    pub scheduled_us: u64,
    /// Operations that ended within that time, those included that were due in the warm-up. In a closed loop the
    /// same as `achieved`.
    pub ended_in_schedule: u64,
    /// Operations that the schedule meant to start.
    pub offered: u64,
    /// Operations that ended.
    pub achieved: u64,
    /// Operations that were due and not started.
    pub dropped: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Reads of keys that were put before the run, and never deleted, that found nothing; those of
    /// read-modify-writes too.
    #[serde(default)]
    pub missing: u64,
    /// How late the generator itself was with starting operations, those that were dropped included: what of the
    /// latencies is its own doing.
    #[serde(default)]
    pub generator_late: Latency,
    /// Processor time of the generator's thread, which decides and gathers, microseconds; 0 where the system does
    /// not tell. Making keys and values, and reading, is done by other threads.
    #[serde(default)]
    pub generator_cpu_us: u64,
    /// Processor time of the thread that makes keys and values and submits batches, microseconds. The target's part
    /// of that is included: keys and values are made while it takes a batch in.
    #[serde(default)]
    pub submitter_cpu_us: u64,
    /// Processor time of the thread that waits for batches to be durable and records them, microseconds, without the
    /// waiting.
    #[serde(default)]
    pub completer_cpu_us: u64,
    /// Processor time of the busiest thread that reads, microseconds, without the target's reads.
    #[serde(default)]
    pub reader_cpu_us: u64,
    /// By kind of operation.
    pub operations: BTreeMap<OperationKind, OperationTotal>,
}

impl Totals {
    /// Operations a second that the schedule meant to start.
    ///
    /// ```
    /// use trunkline_load::Totals;
    /// // Due for a second; it took another one until all that was waiting had ended.
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

    /// Operations a second that ended while others were due. What is still waiting when the schedule ends does not
    /// count, so that a target that can't keep up shows less than what was offered.
    pub fn achieved_per_second(&self) -> f64 {
        per_second(self.ended_in_schedule, self.scheduled_us)
    }
}

fn per_second(count: u64, in_us: u64) -> f64 {
    count as f64 * 1e6 / in_us.max(1) as f64
}

/// What was run instead of a plan's operations.
///
/// ```
/// assert_eq!(trunkline_load::Replayed::default().speed, 0.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    /// Name of the trace's file.
    pub name: String,
    /// What is in it: [`TraceSummary::digest`](super::TraceSummary::digest) in hexadecimal.
    pub digest: String,
    /// How many times faster it was run.
    pub speed: f64,
}

/// Where it ran.
///
/// ```
/// assert!(trunkline_load::Machine::here().cores >= 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Cores that the process may use.
    pub cores: u64,
    /// Name of the processor, empty where the system does not tell.
    pub processor: String,
    /// Bytes of memory, 0 where the system does not tell.
    pub memory_bytes: u64,
    /// System and architecture, such as `linux x86_64`.
    pub system: String,
}

impl Latency {
    /// Of a histogram of nanoseconds.
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

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let information = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = field(&information("/proc/meminfo"), "MemTotal");
        let kibibytes = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            processor: field(&information("/proc/cpuinfo"), "model name"),
            memory_bytes: kibibytes * 1024,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// A run: what was asked for, where, and all that was seen.
///
/// ```
/// let run = trunkline_load::Run::default();
/// let text = serde_json::to_string(&run)?;
/// assert_eq!(serde_json::from_str::<trunkline_load::Run>(&text)?, run);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// [`RUN_FORMAT`].
    pub format: u32,
    /// What the run is called.
    pub name: String,
    /// When it began, milliseconds since 1970.
    pub began_unix_ms: u64,
    /// Version of trunkline.
    pub version: String,
    /// Revision of the source that was run, empty if unknown: what [`Load::revision`](super::Load::revision) was given.
    pub git_revision: String,
    /// Where it ran.
    pub machine: Machine,
    /// Seed of keys, values, operations and arrivals.
    pub seed: u64,
    /// The workload, as TOML that can be run again.
    pub workload: String,
    /// What was run instead of the workload's operations, if a trace was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
    /// What broke it off before its end, if anything failed so that it had to: the figures are of the time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// The engine's configuration, as TOML; empty if the target is no engine.
    pub config: String,
    /// Sums over the whole run.
    pub totals: Totals,
    /// Second by second: all of them, or the last ones of a run of many hours.
    pub seconds: Vec<Second>,
    /// When the first second began, microseconds since the engine was opened: ties the engine's clock to the run's.
    pub begun_engine_us: u64,
    /// What the engine measured of itself, window by window: the last 20,000.
    pub windows: Vec<Window>,
    /// What it decided: the last 5,000.
    pub decisions: Vec<Decision>,
    /// When its stages worked on what, towards the end of the run.
    pub spans: Vec<Span>,
    /// What a reader of the figures must know: a generator that could not keep up, drops.
    pub warnings: Vec<String>,
}

impl Run {
    /// Windows that lie wholly within what was measured: after the fill, the search for a rate and the warm-up, and
    /// before nothing was due any more. None if the run was shorter than a window.
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
        let end_us = self
            .begun_engine_us
            .saturating_add(self.totals.scheduled_us);
        let measured = self.begun_engine_us..=end_us;
        self.windows.iter().filter(move |window| {
            let began_us = window.ended_us.saturating_sub(window.length_us);
            measured.contains(&began_us) && measured.contains(&window.ended_us)
        })
    }
}
