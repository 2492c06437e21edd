//! What a load is to be: one typed plan, read from TOML, every value checked before anything starts.
//!
//! A [`Run`](super::Run) holds the plan that it followed, with everything filled in that was left open, so that it
//! can be run again. Not here: carrying it out, and where the target is.

mod phases;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trunkline::core::params::VALUE_BYTES_MAX;

use super::operations::{Choice, Distribution, Shares, Workload};
use super::records::KEYS_MAX;

use phases::validate_phases;

pub use phases::{Phase, Phases, Shape};

/// Bytes of the longest plan file.
pub const PLAN_BYTES_MAX: u64 = 1 << 20;

/// Seconds that a run takes if neither a time nor a number of operations is given.
const DURATION_S: f64 = 10.0;
/// Warm-up before a run that ends by time.
const WARMUP_S: f64 = 1.0;
/// Longest run.
pub(crate) const SECONDS_MAX: f64 = 7.0 * 86_400.0;
/// Most operations a second that may be asked for.
const RATE_MAX: f64 = 1e8;
/// Most threads that read.
const READERS_MAX: usize = 1024;

/// Why there is no plan.
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
    /// It can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than any plan.
    #[error("{} is longer than {PLAN_BYTES_MAX} bytes; check the path", .0.display())]
    TooLong(PathBuf),
    /// It is no TOML, or not of a plan.
    #[error("{name}:{line}:{column}: {message}")]
    Form {
        /// Name of the file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value is out of its bounds.
    #[error("{name}: {invalid}")]
    Invalid {
        /// Name of the file.
        name: String,
        /// Which, and why.
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
    /// Where in the plan, such as `phase[1].at_s`.
    pub key: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub given: String,
}

/// Whether operations start when they are due or when others have ended.
///
/// ```
/// assert_eq!(trunkline_load::Mode::default(), trunkline_load::Mode::Open);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Operations are due on a schedule, whatever the target does: the way to learn latencies.
    #[default]
    Open,
    /// The next one starts when there is room: the way to learn how much can be done at all, by so many batches under
    /// way and so many threads that read.
    Closed,
}

/// How operations follow each other in an open loop.
///
/// ```
/// assert_eq!(trunkline_load::Arrivals::default(), trunkline_load::Arrivals::Poisson);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independent of each other: times between them are exponentially distributed.
    #[default]
    Poisson,
    /// At even distances.
    Constant,
}

/// How the generator waits for the next operation to be due.
///
/// ```
/// assert_eq!(trunkline_load::Pacing::default(), trunkline_load::Pacing::Auto);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// Sleeps, and spins for the last 50 µs where operations are 200 µs apart or more; where they come denser,
    /// sleeps 100 µs at a time and starts together what is due by then. How late that is, is measured.
    #[default]
    Auto,
    /// Always spins for the last 50 µs: exact, and takes a core of its own at high rates.
    Spin,
    /// Never spins.
    Sleep,
}

/// What stands above the slots in the proofs of [`OperationKind::Verify`](super::OperationKind::Verify).
///
/// ```
/// assert_eq!(trunkline_load::ProofTop::default(), trunkline_load::ProofTop::Hash);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofTop {
    /// Hashes up to the state digest.
    #[default]
    Hash,
    /// Openings of the KZG root.
    Kzg,
}

/// A load: which operations, on how many records, when.
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
    /// What the run is called.
    pub name: String,
    /// Seed of keys, values, operations and arrivals.
    pub seed: u64,

    /// Keys that are put before anything is measured: 1 to 2^30.
    pub keys: u64,
    /// Bytes of a value: up to 16 MiB.
    pub value_bytes: usize,

    /// Mix of operations.
    pub workload: Workload,
    /// Which keys are chosen; without it what YCSB has for the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// `hotspot`: share of the keys that is hot, 0 to 1.
    pub hot_keys_share: f64,
    /// `hotspot`: share of the operations that goes to them, 0 to 1.
    pub hot_operations_share: f64,
    /// Records of one multi-get at most: 1 to 10,000.
    pub multi_get_keys_max: u32,
    /// Top of the proofs that are checked.
    pub proof_top: ProofTop,

    /// Open or closed loop.
    pub mode: Mode,
    /// Open loop: operations a second. Without it a short closed loop finds out what can be done, of reads what the
    /// run's [`readers`](Self::readers()) can do, and `rate_share` of that is the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Open loop without a rate: share of what was found, 0.01 to 1.
    pub rate_share: f64,
    /// Open loop: how operations follow each other.
    pub arrivals: Arrivals,
    /// Open loop: how the generator waits.
    pub pacing: Pacing,
    /// Open loop: operations under way at most, gathered ones included; what is due beyond that is dropped and
    /// counted: 1 to 10,000,000.
    pub in_flight_operations_max: u64,
    /// Closed loop: batches of writes under way at most: 1 to 65,536.
    pub concurrency: usize,

    /// Writes of a batch at most: 1 to 1,000,000; fewer if the target takes fewer.
    pub batch: usize,
    /// Open loop: how long the oldest write waits for others, microseconds, up to 10 s.
    pub batch_linger_us: u64,
    /// Threads that read, and check proofs: 1 to 1,024. Without it [`Plan::readers()`] says how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<usize>,

    /// What runs before anything is measured, seconds; without it 1, or 0 where the run ends by `ops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_s: Option<f64>,
    /// How long is measured, seconds; without it, and without `ops`, 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Operations after which the run ends, warm-up left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<u64>,

    /// Operations of each kind among 100, instead of the workload's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<Shares>,
    /// How the rate changes.
    pub shape: Shape,
    /// What changes when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase: Vec<Phase>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: String::new(),
            seed: 1,
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
    /// From TOML; `name` is what errors call it.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, PlanError> {
        let plan: Self = parse(name, text)?;
        plan.validate().map_err(|invalid| invalid.of(name))?;
        Ok(plan)
    }

    /// From a file.
    pub fn from_file(path: &Path) -> Result<Self, PlanError> {
        Self::from_toml(&path.display().to_string(), &read(path)?)
    }

    /// As TOML that gives the same plan.
    pub fn to_toml(&self) -> String {
        // Numbers above 2^63 are all that TOML can't hold; a valid plan has none but a seed.
        toml::to_string(self).unwrap_or_default()
    }

    /// Checks every value by itself and those that depend on each other.
    pub fn validate(&self) -> Result<(), InvalidPlan> {
        whole("seed", self.seed, 0, i64::MAX as u64)?;
        whole("keys", self.keys, 1, KEYS_MAX)?;
        whole(
            "value_bytes",
            self.value_bytes as u64,
            0,
            VALUE_BYTES_MAX as u64,
        )?;
        within("hot_keys_share", self.hot_keys_share, 0.0, 1.0)?;
        within("hot_operations_share", self.hot_operations_share, 0.0, 1.0)?;
        whole(
            "multi_get_keys_max",
            self.multi_get_keys_max.into(),
            1,
            10_000,
        )?;
        if let Some(rate) = self.rate {
            within("rate", rate, 0.01, RATE_MAX)?;
        }
        within("rate_share", self.rate_share, 0.01, 1.0)?;
        whole(
            "in_flight_operations_max",
            self.in_flight_operations_max,
            1,
            10_000_000,
        )?;
        whole("concurrency", self.concurrency as u64, 1, 65_536)?;
        whole("batch", self.batch as u64, 1, 1_000_000)?;
        whole("batch_linger_us", self.batch_linger_us, 0, 10_000_000)?;
        if let Some(readers) = self.readers {
            whole("readers", readers as u64, 1, READERS_MAX as u64)?;
        }
        if let Some(warmup_s) = self.warmup_s {
            within("warmup_s", warmup_s, 0.0, SECONDS_MAX)?;
        }
        if let Some(duration_s) = self.duration_s {
            within("duration_s", duration_s, 0.001, SECONDS_MAX)?;
        }
        if let Some(ops) = self.ops {
            whole("ops", ops, 0, 1 << 50)?;
        }
        validate_mix("mix", self.mix)?;
        validate_phases(self.shape, &self.phase)
    }

    /// How many threads read: as many as the plan says. If it does not say, `concurrency` in a closed loop in which
    /// anything is read (1,024 at most), and 1 otherwise.
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
        let unsaid = match self.mode {
            Mode::Closed if self.has(reads) => self.concurrency.clamp(1, READERS_MAX),
            Mode::Closed | Mode::Open => 1,
        };
        self.readers.unwrap_or(unsaid)
    }

    /// What is measured before the run: filled in.
    pub(crate) fn warmup_s(&self) -> f64 {
        let ends_by_time = self.duration_s.is_some() || self.ops.is_none();
        self.warmup_s
            .unwrap_or(if ends_by_time { WARMUP_S } else { 0.0 })
    }

    /// How long is measured, if the run ends by time.
    pub(crate) fn duration_s(&self) -> Option<f64> {
        match (self.duration_s, self.ops) {
            (None, None) => Some(DURATION_S),
            (duration_s, _) => duration_s,
        }
    }

    /// The same plan with everything filled in that was left open.
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

    /// The phase at a time, from the end of the warm-up.
    fn phase_at(&self, at_s: f64) -> Option<&Phase> {
        self.phase.iter().rev().find(|phase| at_s >= phase.at_s)
    }

    fn distribution_at(&self, phase: Option<&Phase>) -> Distribution {
        let workload = phase.and_then(|phase| phase.workload);
        let of_phase = phase.and_then(|phase| phase.distribution);
        let of_workload = workload.map(Workload::distribution);
        let own = self.distribution.unwrap_or(self.workload.distribution());
        of_phase.or(of_workload).unwrap_or(own)
    }

    /// Multiple of the rate at a time.
    pub(crate) fn rate_factor(&self, at_s: f64) -> f64 {
        let of_phase = self.phase_at(at_s).map_or(1.0, |phase| phase.rate_factor);
        self.shape.factor(at_s.max(0.0)) * of_phase
    }

    /// Up to when the rate is what it is at a time, or longer.
    pub(crate) fn steady_until_s(&self, at_s: f64) -> f64 {
        let next = self.phase.iter().find(|phase| phase.at_s > at_s);
        let next_s = next.map_or(f64::INFINITY, |phase| phase.at_s);
        match self.phase_at(at_s) {
            // Of nothing, any multiple is nothing.
            Some(phase) if phase.rate_factor == 0.0 => next_s,
            _ => self.shape.steady_until_s(at_s).min(next_s),
        }
    }

    /// What operations are chosen by at a time, and until when.
    pub(crate) fn choice_at(&self, at_s: f64) -> (Choice, f64) {
        let phase = self.phase_at(at_s);
        let choice = Choice {
            shares: self.shares_at(phase),
            distribution: self.distribution_at(phase),
            hot_keys_share: self.hot_keys_share,
            hot_operations_share: self.hot_operations_share,
            multi_get_keys_max: self.multi_get_keys_max,
        };
        let next = self.phase.iter().find(|phase| phase.at_s > at_s);
        (choice, next.map_or(f64::INFINITY, |phase| phase.at_s))
    }

    fn shares_at(&self, phase: Option<&Phase>) -> Shares {
        let of_workload = |phase: &Phase| phase.workload.map(Workload::shares);
        let of_phase = phase.and_then(|phase| phase.mix.or(of_workload(phase)));
        let own = self.mix.unwrap_or(self.workload.shares());
        of_phase.unwrap_or(own)
    }

    /// Whether any operation at any time is of these.
    pub(crate) fn has(&self, is_one: impl Fn(Shares) -> bool) -> bool {
        let mut phases = self.phase.iter().map(Some).chain([None]);
        phases.any(|phase| is_one(self.shares_at(phase)))
    }
}

fn validate_mix(key: &str, mix: Option<Shares>) -> Result<(), InvalidPlan> {
    match mix.filter(|mix| mix.sum() != 100) {
        Some(mix) => Err(invalid(&format!("the sum of {key}"), "100", mix.sum())),
        None => Ok(()),
    }
}

impl InvalidPlan {
    fn of(self, name: &str) -> PlanError {
        PlanError::Invalid {
            name: name.to_owned(),
            invalid: self,
        }
    }
}

fn invalid(key: &str, expected: &str, given: impl ToString) -> InvalidPlan {
    InvalidPlan {
        key: key.to_owned(),
        expected: expected.to_owned(),
        given: given.to_string(),
    }
}

fn whole(key: &str, value: u64, min: u64, max: u64) -> Result<(), InvalidPlan> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(invalid(key, &format!("{min} to {max}"), value)),
    }
}

/// Also refuses what is no number.
fn within(key: &str, value: f64, min: f64, max: f64) -> Result<(), InvalidPlan> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(invalid(key, &format!("{min} to {max}"), value)),
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, PlanError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let place = error.span().map_or(0, |span| span.start);
        let before = text.get(..place).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        PlanError::Form {
            name: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message().replace('\n', " "),
        }
    })
}

fn read(path: &Path) -> Result<String, PlanError> {
    let failed = |source| PlanError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(PLAN_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match text.len() as u64 > PLAN_BYTES_MAX {
        true => Err(PlanError::TooLong(path.to_owned())),
        false => Ok(text),
    }
}
