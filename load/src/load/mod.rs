//! A load from beginning to end: fill, find a rate if none is given, warm up, measure.

mod outcome;
mod progress;
mod running;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use trunkline::core::hash;

use super::error::LoadError;
use super::plan::{Mode, Plan};
use super::run::Replayed;
use super::schedule::Source;
use super::target::Target;
use super::trace::{TraceReader, TraceWriter};
use super::warning::Warning;

use running::Running;

pub use outcome::{BrokenOff, Outcome};
pub use progress::{Progress, StageName, StageTime};

/// Number of operations below which the rate that a closed loop measured is uncertain.
const CALIBRATION_OPERATIONS_MIN: u64 = 10_000;

/// A stop signal that is never set.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A load, ready to run.
///
/// ```
/// use trunkline_load::{Load, Mode, OperationKind, Plan, Workload};
/// # let directory = tempfile::tempdir()?;
/// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let plan = Plan { keys: 100, workload: Workload::B, mode: Mode::Closed, ops: Some(500), ..Plan::default() };
/// let outcome = Load::new(&plan, &engine)?.run()?;
/// assert_eq!(outcome.run.totals.achieved, 500);
/// let reads = &outcome.run.totals.operations[&OperationKind::Read];
/// println!("{} reads, p99 {} µs", reads.achieved, reads.latency.p99_us);
/// outcome.write_to(&directory.path().join("runs/first"))?;
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Load<'a> {
    plan: Plan,
    target: &'a dyn Target,
    observer: Option<&'a mut dyn FnMut(&Progress<'_>)>,
    stop: &'a AtomicBool,
    record: Option<PathBuf>,
    /// The operations of a trace, with the run's note and the warning about it.
    replay: Option<(Source, Replayed, Warning)>,
    revision: String,
}

impl std::fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl<'a> Load<'a> {
    /// Prepares a plan for a target.
    pub fn new(plan: &Plan, target: &'a dyn Target) -> Result<Self, LoadError> {
        plan.validate()?;
        Ok(Self {
            plan: plan.clone(),
            target,
            observer: None,
            stop: &NEVER,
            record: None,
            replay: None,
            revision: String::new(),
        })
    }

    /// Sets the revision of the source code that is run. It is stored in the run for later comparisons.
    pub fn revision(mut self, revision: &str) -> Self {
        revision.clone_into(&mut self.revision);
        self
    }

    /// Sets a function that is called with the progress of the load.
    pub fn observer(mut self, observer: &'a mut dyn FnMut(&Progress<'_>)) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sets a stop signal. Once it is true, the load ends in good order.
    pub fn stop(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = stop;
        self
    }

    /// Writes the operations of the run, warm-up included, into a trace ([`TraceReader`] reads it).
    pub fn record(mut self, path: &Path) -> Self {
        self.record = Some(path.to_owned());
        self
    }

    /// Runs the operations of a trace instead of the plan's, at their times divided by `speed`. The trace determines
    /// the number of keys and the size of values. The run ends with the trace, and has no warm-up unless the plan has
    /// one.
    pub fn replay(mut self, path: &Path, speed: f64) -> Result<Self, LoadError> {
        if !(0.001..=1000.0).contains(&speed) {
            return Err(LoadError::Speed(speed));
        }
        let trace = TraceReader::open(path)?;
        let summary = trace.summary();
        (self.plan.keys, self.plan.value_bytes) = (summary.keys, summary.value_bytes);
        self.plan.warmup_s.get_or_insert(0.0);
        let name = path.file_name().unwrap_or(path.as_os_str());
        let noted = Replayed {
            name: name.to_string_lossy().into_owned(),
            digest: hash::hex(&summary.digest),
            speed,
        };
        let warning = Warning::Replayed {
            trace: path.display().to_string(),
            speed,
            has_deletes: summary.deletes > 0,
        };
        let trace = Box::new(trace);
        self.replay = Some((Source::Recorded { trace, speed }, noted, warning));
        Ok(self)
    }

    /// Runs the load to its end. First it checks that the plan has the operations that its thresholds refer to, unless
    /// the operations come from a trace.
    pub fn run(self) -> Result<Outcome, LoadError> {
        if self.record.is_some() && self.replay.is_some() {
            return Err(LoadError::NoReplayAndRecord);
        }
        if self.replay.is_none() {
            self.plan.validate_thresholds()?;
        }
        let mut running = Running::new(&self.plan, self.target, self.observer, self.stop);
        running.fill(&self.plan)?;
        let finds_rate =
            self.plan.mode == Mode::Open && self.plan.rate.is_none() && self.replay.is_none();
        let calibrated = match finds_rate && !running.is_stopped() {
            true => Some(running.calibrate(&self.plan)?),
            false => None,
        };
        let found = calibrated.map(|(rate, _)| rate * self.plan.rate_share);
        let plan = self.plan.filled_in(found.or(self.plan.rate));
        let record = self.record.as_deref();
        let trace = record.map(|path| TraceWriter::create(path, plan.keys, plan.value_bytes));
        let trace = trace.transpose()?;
        let (source, replayed) = match self.replay {
            Some((source, noted, warning)) => (source, Some((noted, warning))),
            None => (Source::planned(&plan), None),
        };
        let (mut outcome, failure) = running.measure(&plan, source, trace)?;
        outcome.calibrated = calibrated.map(|(rate, _)| rate);
        outcome.run.git_revision = self.revision;
        let warnings = &mut outcome.run.warnings;
        if let Some((noted, warning)) = replayed {
            warnings.push(warning);
            outcome.run.replayed = Some(noted);
        }
        if calibrated.is_some_and(|(_, operations)| operations < CALIBRATION_OPERATIONS_MIN) {
            warnings.push(Warning::RateUncertain);
        }
        match failure {
            Some(error) => Err(outcome.broken_off(error)),
            None => Ok(outcome),
        }
    }
}
