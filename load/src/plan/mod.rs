//! The plan of a load, read from TOML. Every value is checked before anything starts.
//!
//! A [`Run`](super::Run) holds its plan with all defaults filled in, so that it can be repeated.

mod phases;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trunkline::core::params::VALUE_BYTES_MAX;

use super::files::{self, FileError};
use super::operations::{Choice, Distribution, Shares, Workload};
use super::records::{INSTANCES_MAX, KEYS_MAX};
use super::run::OperationKind;
use super::threshold::{THRESHOLDS_MAX, Threshold, ThresholdMetric};

pub use phases::{Phase, Phases, Shape};

/// Bytes of the longest plan file.
pub const PLAN_BYTES_MAX: u64 = 1 << 20;

/// Length of a run, in seconds, if neither a time nor a number of operations is given.
const DURATION_S: f64 = 10.0;
/// Warm-up before a run that ends by time, in seconds.
const WARMUP_S: f64 = 1.0;
/// Longest run, in seconds.
pub(crate) const SECONDS_MAX: f64 = 7.0 * 86_400.0;
/// Highest rate, in operations a second.
const RATE_MAX: f64 = 1e8;
/// Most threads that read.
const READERS_MAX: usize = 1024;

/// An error of a plan.
///
/// ```
/// use trunkline_load::Plan;
/// let error = Plan::from_toml("typed", "keys = 0").unwrap_err();
/// assert_eq!(error.to_string(), "typed: keys must be 1 to 1073741824, not 0");
/// let error = Plan::from_toml("typed", "[[phase]]\nat = 3").unwrap_err();
/// assert!(error.to_string().starts_with("typed:2:1: unknown field `at`"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is not valid TOML, or not a plan.
    #[error("{name}:{line}:{column}: {message}")]
    Form {
        /// Name of the file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The problem.
        message: String,
    },
    /// A value is out of its bounds.
    #[error("{name}: {invalid}")]
    Invalid {
        /// Name of the file.
        name: String,
        /// The value, with its bounds.
        invalid: InvalidPlan,
    },
}

/// A value of a plan that is out of its bounds.
///
/// ```
/// let plan = trunkline_load::Plan { batch: 0, ..Default::default() };
/// let invalid = plan.validate().unwrap_err();
/// assert_eq!(invalid.to_string(), "batch must be 1 to 1000000, not 0");
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} must be {expected}, not {given}")]
pub struct InvalidPlan {
    /// Key of the value, such as `phase[1].at_s`.
    pub key: String,
    /// Bounds of the value.
    pub expected: String,
    /// The value.
    pub given: String,
}

/// The choice whether operations start when they are due or when others have ended.
///
/// See [`Plan`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Operations are due on a schedule, whatever the target does. It measures latencies.
    #[default]
    Open,
    /// The next operation starts as soon as a batch in flight has ended, or a reader is free. It measures peak
    /// throughput.
    Closed,
}

/// The distribution of arrival times in an open loop.
///
/// See [`Plan::arrivals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Arrivals are independent of each other. The times between them are exponentially distributed.
    #[default]
    Poisson,
    /// Arrivals are at equal distances.
    Constant,
}

/// The way in which the generator waits until the next operation is due.
///
/// See [`Plan::pacing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// If operations are 200 µs apart or more, sleeps, and spins for the last 50 µs. If they are closer together,
    /// sleeps 100 µs at a time and then starts all that are due. The lateness is measured.
    #[default]
    Auto,
    /// Always spins for the last 50 µs. This is exact, but occupies a core at high rates.
    Spin,
    /// Never spins.
    Sleep,
}

/// The part above the slots in the proofs of [`OperationKind::Verify`](super::OperationKind::Verify).
///
/// See [`Target::read_proven`](super::Target::read_proven).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofTop {
    /// Hashes up to the state digest.
    #[default]
    Hash,
    /// Openings of the KZG root.
    Kzg,
}

/// The plan of a load: its operations, the number of records, and the times.
///
/// ```
/// use trunkline_load::{Mode, Plan, Workload};
/// let plan = Plan::from_toml("typed", "workload = \"b\"\nrate = 50000.0\nduration_s = 30.0")?;
/// assert_eq!((plan.workload, plan.mode, plan.rate), (Workload::B, Mode::Open, Some(50_000.0)));
/// assert_eq!(Plan::from_toml("again", &plan.to_toml())?, plan);
/// # Ok::<(), trunkline_load::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Name of the run.
    pub name: String,
    /// Seed of keys, values, operations and arrivals.
    pub seed: u64,
    /// Number of this generator among several that load one target at once, each with its own keys: 0 to 999.
    pub instance: u32,
    /// Thresholds for the figures. The run holds their results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,

    /// Keys that are put before anything is measured: 1 to 2^30.
    pub keys: u64,
    /// Bytes of a value: up to 16 MiB.
    pub value_bytes: usize,

    /// Mix of operations.
    pub workload: Workload,
    /// Distribution by which keys are chosen. Default: the one that YCSB defines for the workload.
    pub distribution: Option<Distribution>,
    /// `hotspot`: share of the keys that are hot, 0 to 1.
    pub hot_keys_share: f64,
    /// `hotspot`: share of the operations on these keys, 0 to 1.
    pub hot_operations_share: f64,
    /// Most records of one multi-get: 1 to 10,000.
    pub multi_get_keys_max: u32,
    /// Top of the proofs that are checked.
    pub proof_top: ProofTop,

    /// Open or closed loop.
    pub mode: Mode,
    /// Open loop: operations per second. Without it, a short closed loop measures the peak throughput (of reads with
    /// the run's number of [`readers`](Self::readers())), and the rate is the `rate_share` of that.
    pub rate: Option<f64>,
    /// Open loop without a rate: share of the measured throughput, 0.01 to 1.
    pub rate_share: f64,
    /// Open loop: distribution of arrival times.
    pub arrivals: Arrivals,
    /// Open loop: the way in which the generator waits.
    pub pacing: Pacing,
    /// Open loop: most operations in flight, including those that wait for their batch: 1 to 10,000,000. Operations
    /// that are due beyond that are dropped and counted.
    pub in_flight_operations_max: u64,
    /// Closed loop: most batches in flight: 1 to 65,536.
    pub concurrency: usize,

    /// Most writes in a batch: 1 to 1,000,000, or fewer if the target takes fewer.
    pub batch: usize,
    /// Open loop: time that the oldest write of a batch waits for others, in microseconds, up to 10 s.
    pub batch_linger_us: u64,
    /// Number of threads that read and check proofs: 1 to 1,024. For the default see [`Plan::readers()`].
    pub readers: Option<usize>,

    /// Length of the warm-up before the measurement, in seconds. Default: 1, or 0 if the run ends by `ops`.
    pub warmup_s: Option<f64>,
    /// Length of the measured time, in seconds. Default: 10, unless `ops` is given.
    pub duration_s: Option<f64>,
    /// Number of operations after which the run ends, without those of the warm-up.
    pub ops: Option<u64>,

    /// Operations of each kind out of 100, instead of the workload's.
    pub mix: Option<Shares>,
    /// Change of the rate with time.
    pub shape: Shape,
    /// Other changes with time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase: Vec<Phase>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: String::new(),
            seed: 1,
            instance: 0,
            thresholds: Vec::new(),
            keys: 100_000,
            value_bytes: 100,
            workload: Workload::A,
            distribution: None,
            hot_keys_share: 0.01,
            hot_operations_share: 0.9,
            multi_get_keys_max: 100,
            proof_top: ProofTop::Hash,
            mode: Mode::Open,
            rate: None,
            rate_share: 0.7,
            arrivals: Arrivals::Poisson,
            pacing: Pacing::Auto,
            in_flight_operations_max: 200_000,
            concurrency: 16,
            batch: 1000,
            batch_linger_us: 1000,
            readers: None,
            warmup_s: None,
            duration_s: None,
            ops: None,
            mix: None,
            shape: Shape::Constant,
            phase: Vec::new(),
        }
    }
}

impl Plan {
    /// Parses a plan from TOML. Errors use `name` for the text.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, PlanError> {
        parse(name, text, Self::validate)
    }

    /// Reads a plan from a file.
    pub fn from_file(path: &Path) -> Result<Self, PlanError> {
        Self::from_toml(&path.display().to_string(), &read(path)?)
    }

    /// Returns TOML that gives the same plan.
    pub fn to_toml(&self) -> String {
        // TOML cannot hold numbers above 2^63. A valid plan has none.
        toml::to_string(self).unwrap_or_default()
    }

    /// Checks every value, and the values that depend on each other.
    pub fn validate(&self) -> Result<(), InvalidPlan> {
        within("seed", self.seed, 0..=i64::MAX as u64)?;
        within("instance", self.instance, 0..=INSTANCES_MAX)?;
        let thresholds = self.thresholds.len();
        within("the number of thresholds", thresholds, 0..=THRESHOLDS_MAX)?;
        within("keys", self.keys, 1..=KEYS_MAX)?;
        within("value_bytes", self.value_bytes, 0..=VALUE_BYTES_MAX)?;
        within("hot_keys_share", self.hot_keys_share, 0.0..=1.0)?;
        within("hot_operations_share", self.hot_operations_share, 0.0..=1.0)?;
        within(
            "multi_get_keys_max",
            self.multi_get_keys_max,
            1..=10_000_u32,
        )?;
        within("rate", self.rate, 0.01..=RATE_MAX)?;
        within("rate_share", self.rate_share, 0.01..=1.0)?;
        let in_flight_max = self.in_flight_operations_max;
        within(
            "in_flight_operations_max",
            in_flight_max,
            1..=10_000_000_u64,
        )?;
        within("concurrency", self.concurrency, 1..=65_536_usize)?;
        within("batch", self.batch, 1..=1_000_000_usize)?;
        within("batch_linger_us", self.batch_linger_us, 0..=10_000_000_u64)?;
        within("readers", self.readers, 1..=READERS_MAX)?;
        within("warmup_s", self.warmup_s, 0.0..=SECONDS_MAX)?;
        within("duration_s", self.duration_s, 0.001..=SECONDS_MAX)?;
        within("ops", self.ops, 0..=1_u64 << 50)?;
        validate_mix("mix", self.mix)?;
        phases::validate(self.shape, &self.phase)
    }

    /// Checks that the plan has the operations that its thresholds refer to. A [`Load`](super::Load) does so before
    /// anything else.
    ///
    /// ```
    /// let plan = trunkline_load::Plan::from_toml("typed", "workload = \"c\"\nthresholds = [\"update.p99<5ms\"]")?;
    /// let invalid = plan.validate_thresholds().unwrap_err();
    /// assert_eq!(invalid.to_string(), "thresholds[0] must be about operations of the plan (read), not update.p99<5ms");
    /// # Ok::<(), trunkline_load::PlanError>(())
    /// ```
    pub fn validate_thresholds(&self) -> Result<(), InvalidPlan> {
        let kinds = self.kinds();
        let is_measured = |threshold: &Threshold| match threshold.metric() {
            ThresholdMetric::GeneratorLate(_) => self.mode == Mode::Open,
            _ => threshold.kind().is_none_or(|kind| kinds.contains(&kind)),
        };
        let unmeasured = self
            .thresholds
            .iter()
            .position(|threshold| !is_measured(threshold));
        unmeasured.map_or(Ok(()), |index| {
            let threshold = self.thresholds[index];
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let expected = match threshold.kind() {
                Some(_) => format!("about operations of the plan ({})", names.join(", ")),
                None => "about what a closed loop measures".to_owned(),
            };
            Err(invalid(
                &format!("thresholds[{index}]"),
                &expected,
                threshold,
            ))
        })
    }

    /// Returns the kinds of operation that the plan has at any time.
    fn kinds(&self) -> Vec<OperationKind> {
        let mut kinds = OperationKind::ALL.to_vec();
        kinds.retain(|kind| self.has(|shares| shares.of(*kind) > 0));
        kinds
    }

    /// Returns the keys that differ between two plans, without those that do not affect the load: `name`, `seed`,
    /// `instance` and `thresholds`.
    ///
    /// ```
    /// use trunkline_load::Plan;
    /// let faster = Plan { rate: Some(5.0), batch: 7, seed: 9, ..Plan::default() };
    /// assert_eq!(Plan::default().differing_keys(&faster), ["batch", "rate"]);
    /// ```
    pub fn differing_keys(&self, other: &Self) -> Vec<String> {
        let keys = |plan: &Self| match serde_json::to_value(plan) {
            Ok(serde_json::Value::Object(keys)) => keys,
            _ => unreachable!("a plan is a table"),
        };
        let (one, other) = (keys(self), keys(other));
        let mut differing: Vec<String> = one.keys().chain(other.keys()).cloned().collect();
        differing.sort();
        differing.dedup();
        let ignored = ["name", "seed", "instance", "thresholds"];
        differing.retain(|key| !ignored.contains(&key.as_str()) && one.get(key) != other.get(key));
        differing
    }

    /// Returns the number of threads that read. The default is `concurrency` (at most 1,024) in a closed loop with
    /// reads, and 1 otherwise.
    ///
    /// ```
    /// use trunkline_load::{Mode, Plan};
    /// let closed = Plan { mode: Mode::Closed, concurrency: 8, ..Plan::default() };
    /// assert_eq!(closed.readers(), 8);
    /// assert_eq!(Plan { readers: Some(1), ..closed.clone() }.readers(), 1);
    /// assert_eq!(Plan { mode: Mode::Open, ..closed }.readers(), 1);
    /// ```
    pub fn readers(&self) -> usize {
        let reads = |shares: Shares| shares.read > 0 || shares.multi_get > 0 || shares.verify > 0;
        let default = match self.mode {
            Mode::Closed if self.has(reads) => self.concurrency.clamp(1, READERS_MAX),
            Mode::Closed | Mode::Open => 1,
        };
        self.readers.unwrap_or(default)
    }

    /// Returns the length of the warm-up.
    pub(crate) fn warmup_s(&self) -> f64 {
        let ends_by_time = self.duration_s.is_some() || self.ops.is_none();
        let default = if ends_by_time { WARMUP_S } else { 0.0 };
        self.warmup_s.unwrap_or(default)
    }

    /// Returns the length of the measured time, if the run ends by time.
    pub(crate) fn duration_s(&self) -> Option<f64> {
        let default = self.ops.is_none().then_some(DURATION_S);
        self.duration_s.or(default)
    }

    /// Returns the same plan at a rate, with all defaults filled in.
    pub(crate) fn filled_in(&self, rate: Option<f64>) -> Self {
        Self {
            rate,
            distribution: Some(self.distribution_at(None)),
            readers: Some(self.readers()),
            warmup_s: Some(self.warmup_s()),
            duration_s: self.duration_s(),
            ..self.clone()
        }
    }

    /// Returns the phase at a time after the warm-up, and the beginning of the next one.
    fn phase_at(&self, at_s: f64) -> (Option<&Phase>, f64) {
        let begun = self.phase.iter().rev().find(|phase| at_s >= phase.at_s);
        let next = self.phase.iter().find(|phase| phase.at_s > at_s);
        (begun, next.map_or(f64::INFINITY, |phase| phase.at_s))
    }

    fn distribution_at(&self, phase: Option<&Phase>) -> Distribution {
        let of_phase = phase.and_then(|phase| {
            let of_workload = phase.workload.map(Workload::distribution);
            phase.distribution.or(of_workload)
        });
        let own = self.distribution.unwrap_or(self.workload.distribution());
        of_phase.unwrap_or(own)
    }

    fn shares_at(&self, phase: Option<&Phase>) -> Shares {
        let of_phase = phase.and_then(|phase| phase.mix.or(phase.workload.map(Workload::shares)));
        of_phase.unwrap_or(self.mix.unwrap_or(self.workload.shares()))
    }

    /// Returns the multiple of the rate at a time.
    pub(crate) fn rate_factor(&self, at_s: f64) -> f64 {
        let (phase, _) = self.phase_at(at_s);
        self.shape.factor(at_s.max(0.0)) * phase.map_or(1.0, |phase| phase.rate_factor)
    }

    /// Returns a time until which the rate does not change.
    pub(crate) fn steady_until_s(&self, at_s: f64) -> f64 {
        match self.phase_at(at_s) {
            // Any multiple of zero is zero.
            (Some(phase), next_s) if phase.rate_factor == 0.0 => next_s,
            (_, next_s) => self.shape.steady_until_s(at_s).min(next_s),
        }
    }

    /// Returns the settings for choosing operations at a time, and the time until which they apply.
    pub(crate) fn choice_at(&self, at_s: f64) -> (Choice, f64) {
        let (phase, next_s) = self.phase_at(at_s);
        let choice = Choice {
            shares: self.shares_at(phase),
            distribution: self.distribution_at(phase),
        };
        (choice, next_s)
    }

    /// Returns whether the shares at any time satisfy a condition.
    pub(crate) fn has(&self, is_such: impl Fn(Shares) -> bool) -> bool {
        let mut phases = self.phase.iter().map(Some).chain([None]);
        phases.any(|phase| is_such(self.shares_at(phase)))
    }
}

fn validate_mix(key: &str, mix: Option<Shares>) -> Result<(), InvalidPlan> {
    match mix.map_or(100, Shares::sum) {
        100 => Ok(()),
        sum => Err(invalid(&format!("the sum of {key}"), "100", sum)),
    }
}

fn invalid(key: &str, expected: &str, given: impl Display) -> InvalidPlan {
    InvalidPlan {
        key: key.to_owned(),
        expected: expected.to_owned(),
        given: given.to_string(),
    }
}

/// Checks that a value, if given, is within bounds. NaN never is.
fn within<T: PartialOrd + Display>(
    key: &str,
    value: impl Into<Option<T>>,
    bounds: RangeInclusive<T>,
) -> Result<(), InvalidPlan> {
    match value.into().filter(|value| !bounds.contains(value)) {
        None => Ok(()),
        Some(value) => {
            let expected = format!("{} to {}", bounds.start(), bounds.end());
            Err(invalid(key, &expected, value))
        }
    }
}

/// Parses TOML and checks the values.
fn parse<T: DeserializeOwned>(
    name: &str,
    text: &str,
    validate: impl Fn(&T) -> Result<(), InvalidPlan>,
) -> Result<T, PlanError> {
    let parsed = toml::from_str(text).map_err(|error| form_error(name, text, &error))?;
    validate(&parsed).map_err(|invalid| PlanError::Invalid {
        name: name.to_owned(),
        invalid,
    })?;
    Ok(parsed)
}

fn form_error(name: &str, text: &str, error: &toml::de::Error) -> PlanError {
    let offset = error.span().map_or(0, |span| span.start);
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    PlanError::Form {
        name: name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        message: error.message().replace('\n', " "),
    }
}

fn read(path: &Path) -> Result<String, PlanError> {
    Ok(files::read_text(path, PLAN_BYTES_MAX)?)
}
