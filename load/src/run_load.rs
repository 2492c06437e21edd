//! A load from beginning to end: fill, find a rate if none is given, warm up, measure.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trunkline::core::hash;

use super::driver::{Look, Stage, StageError, Staged, Tally, run_stage};
use super::interval_log::{IntervalLog, IntervalLogError};
use super::operations::Shares;
use super::plan::{InvalidPlan, Mode, Plan, SECONDS_MAX};
use super::records::Records;
use super::run::{Machine, RUN_FORMAT, Replayed, Run, Second, Totals};
use super::run_files::RunFileError;
use super::schedule::{SECOND_NS, Schedule, Source, nanos};
use super::stage_log::StageLog;
use super::target::{Observation, Seen, Target, TargetError};
use super::trace::{TraceError, TraceReader, TraceSummary, TraceWriter};
use super::warnings;
use trunkline::Span;
use trunkline::decisions::{Decision, Window};

/// How long the closed loop takes that finds a rate.
const CALIBRATION_S: f64 = 2.0;
/// Operations from which on it is believed.
const CALIBRATION_OPERATIONS_MIN: u64 = 10_000;
/// Spans that a run keeps.
const SPANS_MAX: usize = 8192;
/// Windows that a run keeps: nearly three hours of the default length.
const WINDOWS_MAX: usize = 20_000;
/// Decisions that a run keeps.
const DECISIONS_MAX: usize = 5_000;

/// Stops nothing.
static NEVER: AtomicBool = AtomicBool::new(false);

/// Why a load came to no end.
///
/// ```
/// use trunkline_load::LoadError;
/// assert!(LoadError::NoReplayAndRecord.to_string().contains("recorded"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A value of the plan is out of its bounds.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// A trace can't be read or written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The target failed so that nothing works any more.
    #[error("the target failed")]
    Target(#[source] TargetError),
    /// Not all keys could be put before the run.
    #[error("the keys could not be put: {0}")]
    Fill(String),
    /// A thread can't be started.
    #[error("a thread for the load cannot be started")]
    Thread(#[source] std::io::Error),
    /// Histograms can't be written down.
    #[error(transparent)]
    Log(#[from] IntervalLogError),
    /// The speed of a replay is none.
    #[error("the speed of a replay must be 0.001 to 1000, not {0}")]
    Speed(f64),
    /// Both at once.
    #[error("what is replayed is recorded already; do one of both")]
    NoReplayAndRecord,
    /// Something failed in the midst of the run itself. What was measured until then is in it.
    #[error(transparent)]
    BrokenOff(Box<BrokenOff>),
}

/// A run that came to no end, as far as it got.
///
/// ```
/// use trunkline_load::{Load, LoadError, Outcome, Plan, Target};
///
/// /// The run, broken off or not: [`Run::ended_by`](trunkline_load::Run::ended_by) tells.
/// fn outcome(plan: &Plan, target: &dyn Target) -> Result<Outcome, LoadError> {
///     match Load::new(plan, target)?.run() {
///         Err(LoadError::BrokenOff(broken)) => Ok(broken.outcome),
///         run => run,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the run broke off")]
pub struct BrokenOff {
    /// What broke it off.
    pub source: LoadError,
    /// What was measured until then. What failed is not known to be written, so records may be wrong about those
    /// keys.
    pub outcome: Outcome,
}

impl From<StageError> for LoadError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Target(error) => Self::Target(error),
            StageError::Trace(error) => Self::Trace(error),
            StageError::Log(error) => Self::Log(error),
            StageError::Thread(error) => Self::Thread(error),
        }
    }
}

/// What a load does at a time.
///
/// ```
/// assert_eq!(trunkline_load::StageName::Fill.to_string(), "fill");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageName {
    /// All keys are put once.
    Fill,
    /// A closed loop finds out what can be done, of reads by as many threads as the run has.
    Calibrate,
    /// The run itself, warm-up included.
    Run,
}

impl std::fmt::Display for StageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fill => "fill",
            Self::Calibrate => "calibrate",
            Self::Run => "run",
        })
    }
}

/// How far a load is: told about seven times a second, from the thread that runs it.
///
/// ```
/// use trunkline_load::{Load, Plan, Progress};
/// # let directory = tempfile::tempdir()?;
/// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let plan = Plan { keys: 100, ops: Some(200), rate: Some(1e5), ..Plan::default() };
/// let mut observer = |progress: &Progress<'_>| {
///     eprintln!("{} {} operations", progress.stage, progress.operations);
/// };
/// let outcome = Load::new(&plan, &engine)?.observer(&mut observer).run()?;
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Progress<'a> {
    /// Which stage.
    pub stage: StageName,
    /// Since it began, warm-up included.
    pub elapsed: Duration,
    /// How long it takes, if that is known.
    pub planned: Option<Duration>,
    /// Operations that ended in it.
    pub operations: u64,
    /// How many it has, if that is known.
    pub planned_operations: Option<u64>,
    /// Whether it is the run's warm-up: nothing is counted yet.
    pub is_warm_up: bool,
    /// Operations a second that are to be started, before shapes and phases.
    pub rate: Option<f64>,
    /// Gives the second that is not over, as far as it got. It takes copies of all histograms from the threads that
    /// record, so it is for whoever shows that second, and costs nothing otherwise.
    pub current: &'a dyn Fn() -> Second,
    /// Seconds of the stage that are over.
    pub seconds: &'a [Second],
    /// What the target measured of itself since the load began, the last of it.
    pub windows: &'a [Window],
    /// What it decided, the last of it.
    pub decisions: &'a [Decision],
    /// What its stages worked on last.
    pub spans: &'a [Span],
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("stage", &self.stage)
            .field("elapsed", &self.elapsed)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

/// How long a stage took.
///
/// ```
/// use trunkline_load::{StageName, StageTime};
/// let time = StageTime { stage: StageName::Fill, operations: 7, elapsed: Default::default() };
/// assert_eq!(time.operations, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// Which.
    pub stage: StageName,
    /// Operations that ended, warm-up included.
    pub operations: u64,
    /// From the first to the end of the last.
    pub elapsed: Duration,
}

/// What came out of a load.
///
/// See [`Load`] for an example.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run, for files and reports.
    pub run: Run,
    /// Its histograms, second by second.
    pub log: IntervalLog,
    /// What every key must hold now, provided that no write failed or was refused.
    pub records: Records,
    /// What became of all operations, fill and calibration included.
    pub tally: Tally,
    /// The stages, in order.
    pub stages: Vec<StageTime>,
    /// Operations a second that the closed loop found, if it was asked.
    pub calibrated: Option<f64>,
    /// Whether it was stopped before its end.
    pub is_interrupted: bool,
}

impl Outcome {
    /// Writes `run.json` and `latency.hlog` into a directory, which is created if missing.
    pub fn write_to(&self, directory: &Path) -> Result<(), RunFileError> {
        self.log.write_to(directory)?;
        self.run.write_to(directory)?;
        Ok(())
    }
}

/// A load that is to be run.
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
    stop: Option<&'a AtomicBool>,
    record: Option<PathBuf>,
    replay: Option<(TraceReader, PathBuf)>,
    replay_speed: f64,
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
    /// A plan on a target.
    pub fn new(plan: &Plan, target: &'a dyn Target) -> Result<Self, LoadError> {
        plan.validate()?;
        Ok(Self {
            plan: plan.clone(),
            target,
            observer: None,
            stop: None,
            record: None,
            replay: None,
            replay_speed: 1.0,
            revision: String::new(),
        })
    }

    /// Revision of the source that is run: noted in the run, for whoever compares it. Nobody looks for it.
    pub fn revision(mut self, revision: &str) -> Self {
        revision.clone_into(&mut self.revision);
        self
    }

    /// Tells how far it is.
    pub fn observer(mut self, observer: &'a mut dyn FnMut(&Progress<'_>)) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Ends in order once this is true.
    pub fn stop(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Writes the operations of the run, warm-up included, into a file ([`TraceReader`] reads it).
    pub fn record(mut self, path: &Path) -> Self {
        self.record = Some(path.to_owned());
        self
    }

    /// Runs the operations of a trace, at their times divided by `speed`, instead of the plan's. Number and size
    /// of the records are the trace's. It ends with the trace, and has no warm-up unless the plan names one.
    pub fn replay(mut self, path: &Path, speed: f64) -> Result<Self, LoadError> {
        if !(0.001..=1000.0).contains(&speed) {
            return Err(LoadError::Speed(speed));
        }
        let trace = TraceReader::open(path)?;
        let TraceSummary {
            keys, value_bytes, ..
        } = trace.summary();
        (self.plan.keys, self.plan.value_bytes) = (keys, value_bytes);
        self.plan.warmup_s.get_or_insert(0.0);
        self.replay = Some((trace, path.to_owned()));
        self.replay_speed = speed;
        Ok(self)
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Outcome, LoadError> {
        if self.record.is_some() && self.replay.is_some() {
            return Err(LoadError::NoReplayAndRecord);
        }
        let records = Records::new(self.plan.seed, self.plan.value_bytes);
        let mut running = Running {
            target: self.target,
            observer: self.observer,
            stop: self.stop.unwrap_or(&NEVER),
            records,
            tally: Tally::default(),
            stages: Vec::new(),
            told: Observation::default(),
            stage_log: None,
            seen: Seen::default(),
        };
        running.fill(&self.plan)?;
        let finds_rate =
            self.plan.mode == Mode::Open && self.plan.rate.is_none() && self.replay.is_none();
        let calibrated = match finds_rate && !running.is_stopped() {
            true => Some(running.calibrate(&self.plan)?),
            false => None,
        };
        let found = calibrated.map(|calibrated| calibrated.rate * self.plan.rate_share);
        let plan = self.plan.filled_in(found.or(self.plan.rate));
        let replayed = self.replay.as_ref().map(|(trace, path)| {
            let summary = trace.summary();
            (summary, path.clone())
        });
        let source = match self.replay {
            Some((trace, _)) => Source::Recorded {
                trace: Box::new(trace),
                speed: self.replay_speed,
            },
            None => Source::Planned(Box::new(Schedule::new(&plan))),
        };
        let trace = match &self.record {
            Some(path) => Some(TraceWriter::create(path, plan.keys, plan.value_bytes)?),
            None => None,
        };
        let mut measured = running.measure(&plan, source, trace)?;
        let failure = measured.staged.failure.take().map(LoadError::from);
        let mut outcome = running.into_outcome(plan, measured);
        outcome.calibrated = calibrated.map(|calibrated| calibrated.rate);
        outcome.run.git_revision = self.revision;
        if let Some((summary, path)) = replayed {
            let speed = self.replay_speed;
            outcome
                .run
                .warnings
                .push(replay_note(&summary, &path, speed));
            outcome.run.replayed = Some(replay(&summary, &path, speed));
        }
        if calibrated.is_some_and(|found| found.operations < CALIBRATION_OPERATIONS_MIN) {
            outcome.run.warnings.push(
                "the rate was found with few operations and is not much to go by: give a rate, or more time"
                    .to_owned(),
            );
        }
        match failure {
            Some(error) => Err(broken_off(error, outcome)),
            None => Ok(outcome),
        }
    }
}

fn broken_off(source: LoadError, mut outcome: Outcome) -> LoadError {
    let why = with_causes(&source);
    outcome.run.warnings.push(format!(
        "the run broke off before its end: {why}; the figures are of the {:.1} s before",
        outcome.run.totals.scheduled_us as f64 / 1e6
    ));
    outcome.run.ended_by = Some(why);
    LoadError::BrokenOff(Box::new(BrokenOff { source, outcome }))
}

/// An error and its causes in one line, each said once.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let more = cause.to_string();
        match text.ends_with(&more) {
            true => text,
            false => format!("{text}: {more}"),
        }
    })
}

fn replay_note(summary: &TraceSummary, path: &Path, speed: f64) -> String {
    let deletes = match summary.deletes {
        0 => "",
        _ => "; it deletes keys, so no read was expected to find one",
    };
    format!(
        "the operations are those of {}, at speed {speed}, not the workload's{deletes}",
        path.display()
    )
}

fn replay(summary: &TraceSummary, path: &Path, speed: f64) -> Replayed {
    let name = path.file_name().unwrap_or(path.as_os_str());
    Replayed {
        name: name.to_string_lossy().into_owned(),
        digest: hash::hex(&summary.digest),
        speed,
    }
}

/// What a closed loop found.
#[derive(Clone, Copy)]
struct Calibrated {
    rate: f64,
    operations: u64,
}

/// The run itself, when it is over.
struct Measured {
    staged: Staged,
    began_unix_ms: u64,
    begun_engine_us: u64,
}

/// A load that is under way.
struct Running<'a> {
    target: &'a dyn Target,
    observer: Option<&'a mut dyn FnMut(&Progress<'_>)>,
    stop: &'a AtomicBool,
    records: Records,
    tally: Tally,
    stages: Vec<StageTime>,
    told: Observation,
    /// While operations are measured.
    stage_log: Option<StageLog>,
    seen: Seen,
}

impl Running<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn fill(&mut self, plan: &Plan) -> Result<(), LoadError> {
        let stage = Stage {
            plan,
            mode: Mode::Closed,
            source: Source::Fill {
                next: 0,
                keys: plan.keys,
            },
            trace: None,
            begin_ns: 0,
            end_ns: u64::MAX,
            ops_max: plan.keys,
            keys_there: 0,
        };
        let staged = self.carry_out(StageName::Fill, stage, 0)?;
        if let Some(failure) = staged.failure {
            return Err(failure.into());
        }
        match &self.tally.first_failure {
            Some(failure) => Err(LoadError::Fill(failure.clone())),
            None => Ok(()),
        }
    }

    /// What can be done at all, operations a second.
    fn calibrate(&mut self, plan: &Plan) -> Result<Calibrated, LoadError> {
        let own = plan.mix.unwrap_or(plan.workload.shares());
        // Its inserts would take the indices of the run's.
        let mix = Shares {
            update: own.update + own.insert,
            insert: 0,
            ..own
        };
        let plan = Plan {
            mode: Mode::Closed,
            mix: Some(mix),
            seed: plan.seed.wrapping_add(1),
            warmup_s: Some(0.0),
            phase: Vec::new(),
            // As many as the run will have.
            readers: Some(plan.readers()),
            ..plan.clone()
        };
        let stage = Stage {
            plan: &plan,
            mode: Mode::Closed,
            source: Source::Planned(Box::new(Schedule::new(&plan))),
            trace: None,
            begin_ns: 0,
            end_ns: nanos(CALIBRATION_S),
            ops_max: plan.ops.unwrap_or(u64::MAX),
            keys_there: keys_there(&plan, None),
        };
        let staged = self.carry_out(StageName::Calibrate, stage, 0)?;
        if let Some(failure) = staged.failure {
            return Err(failure.into());
        }
        let (achieved, elapsed_ns) = (staged.sums.achieved, staged.sums.elapsed_ns.max(1));
        let rate = achieved as f64 / elapsed_ns as f64 * SECOND_NS as f64;
        Ok(Calibrated {
            rate: rate.max(1.0),
            operations: achieved,
        })
    }

    fn measure(
        &mut self,
        plan: &Plan,
        source: Source,
        trace: Option<TraceWriter>,
    ) -> Result<Measured, LoadError> {
        let begin_ns = nanos(plan.warmup_s());
        let replayed = match &source {
            Source::Recorded { trace, .. } => Some(trace.summary()),
            Source::Planned(_) | Source::Fill { .. } => None,
        };
        let is_recorded = replayed.is_some();
        let duration_s = plan.duration_s().filter(|_| !is_recorded);
        let end_ns = begin_ns + nanos(duration_s.unwrap_or(SECONDS_MAX));
        self.observe();
        let begun_engine_us = self.told.uptime_us + begin_ns / 1000;
        let began_unix_ms = unix_ms() + begin_ns / 1_000_000;
        let stage = Stage {
            plan,
            mode: plan.mode,
            source,
            trace,
            begin_ns,
            end_ns,
            ops_max: plan.ops.filter(|_| !is_recorded).unwrap_or(u64::MAX),
            keys_there: keys_there(plan, replayed.as_ref()),
        };
        self.stage_log = Some(StageLog::new(begun_engine_us));
        let mut staged = self.carry_out(StageName::Run, stage, began_unix_ms)?;
        match self.stage_log.take().map(StageLog::into_lines) {
            Some(Ok(lines)) => staged.ledger.log.append_lines(&lines),
            Some(Err(error)) => staged.failure = staged.failure.or(Some(StageError::Log(error))),
            None => {}
        }
        Ok(Measured {
            staged,
            began_unix_ms,
            begun_engine_us,
        })
    }

    fn carry_out(
        &mut self,
        name: StageName,
        stage: Stage<'_>,
        begun_unix_ms: u64,
    ) -> Result<Staged, LoadError> {
        let mut records = std::mem::replace(&mut self.records, Records::new(0, 0));
        let (target, stop) = (self.target, self.stop);
        let shown = Shown::of(name, &stage);
        let staged = run_stage(stage, target, &mut records, stop, begun_unix_ms, |look| {
            self.observe();
            self.tell(&shown, look);
        });
        self.records = records;
        let staged = staged?;
        self.observe();
        self.tally.add(&staged.tally);
        self.stages.push(StageTime {
            stage: name,
            operations: staged.ended,
            elapsed: staged.elapsed,
        });
        Ok(staged)
    }

    /// Asks the target what it knows of itself.
    fn observe(&mut self) {
        let news = self.target.observe(&self.seen);
        self.seen.window = news
            .windows
            .last()
            .map_or(self.seen.window, |last| last.number);
        self.seen.decision = news
            .decisions
            .last()
            .map_or(self.seen.decision, |last| last.number);
        self.seen.span_us = news
            .spans
            .last()
            .map_or(self.seen.span_us, |last| last.ended_us + 1);
        if let Some(stage_log) = &mut self.stage_log {
            stage_log.add(&news.spans);
        }
        self.told.uptime_us = news.uptime_us;
        self.told.windows.extend(news.windows);
        self.told.decisions.extend(news.decisions);
        self.told.spans.extend(news.spans);
        keep_last(&mut self.told.windows, WINDOWS_MAX);
        keep_last(&mut self.told.decisions, DECISIONS_MAX);
        keep_last(&mut self.told.spans, SPANS_MAX);
    }

    fn tell(&mut self, shown: &Shown, look: &Look<'_>) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        let current = || look.ledger.current(look.recorders);
        observer(&Progress {
            stage: shown.name,
            elapsed: Duration::from_nanos(look.elapsed_ns),
            planned: shown.planned,
            operations: look.ended,
            planned_operations: shown.operations,
            is_warm_up: look.elapsed_ns < shown.begin_ns,
            rate: shown.rate,
            current: &current,
            seconds: &look.ledger.seconds,
            windows: &self.told.windows,
            decisions: &self.told.decisions,
            spans: &self.told.spans,
        });
    }

    fn into_outcome(self, plan: Plan, measured: Measured) -> Outcome {
        let is_interrupted = self.is_stopped();
        let Measured {
            staged,
            began_unix_ms,
            begun_engine_us,
        } = measured;
        let sums = staged.sums;
        let totals = Totals {
            elapsed_us: sums.elapsed_ns / 1000,
            scheduled_us: staged.scheduled_ns / 1000,
            ended_in_schedule: staged.ended_in_schedule,
            offered: sums.offered,
            achieved: sums.achieved,
            dropped: sums.dropped,
            failed: sums.failed,
            missing: staged.tally.missing,
            generator_late: sums.late,
            generator_cpu_us: staged.cpu.generator_us,
            submitter_cpu_us: staged.cpu.submitter_us,
            completer_cpu_us: staged.cpu.completer_us,
            reader_cpu_us: staged.cpu.reader_us,
            operations: sums.operations,
        };
        let readers = warnings::of_readers(&plan, &staged.reading, staged.elapsed);
        let readers_are_busy = readers.is_some();
        let mut warnings = warnings::of_figures(&plan, &totals, &staged.tally, readers_are_busy);
        warnings.extend(readers);
        warnings.extend(warnings::of_threads(&plan, &staged.cpu, staged.elapsed));
        let left_out = staged.ledger.seconds.first();
        if let Some(first) = left_out.filter(|first| first.second > 0) {
            warnings.push(format!(
                "the first {} seconds are in the totals alone: so long a run keeps its last hours second by second",
                first.second
            ));
        }
        if is_interrupted {
            warnings.push("the run was interrupted before its end".to_owned());
        }
        let run = Run {
            format: RUN_FORMAT,
            name: plan.name.clone(),
            began_unix_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: String::new(),
            machine: Machine::here(),
            seed: plan.seed,
            workload: plan.to_toml(),
            replayed: None,
            ended_by: None,
            config: self.target.settings(),
            totals,
            seconds: staged.ledger.seconds,
            begun_engine_us,
            windows: self.told.windows,
            decisions: self.told.decisions,
            spans: self.told.spans,
            warnings,
        };
        Outcome {
            run,
            log: staged.ledger.log,
            records: self.records,
            tally: self.tally,
            stages: self.stages,
            calibrated: None,
            is_interrupted,
        }
    }
}

/// What an observer is told of a stage as a whole.
struct Shown {
    name: StageName,
    planned: Option<Duration>,
    operations: Option<u64>,
    begin_ns: u64,
    rate: Option<f64>,
}

impl Shown {
    fn of(name: StageName, stage: &Stage<'_>) -> Self {
        let is_recorded = matches!(stage.source, Source::Recorded { .. });
        let is_timed = stage.end_ns < nanos(SECONDS_MAX) && !is_recorded;
        Self {
            name,
            planned: is_timed.then_some(Duration::from_nanos(stage.end_ns)),
            operations: Some(stage.ops_max).filter(|max| *max < u64::MAX && !is_recorded),
            begin_ns: stage.begin_ns,
            rate: stage
                .plan
                .rate
                .filter(|_| stage.mode == Mode::Open && !is_recorded),
        }
    }
}

/// Keys that reads must find: those of the fill, unless any are deleted.
fn keys_there(plan: &Plan, replayed: Option<&TraceSummary>) -> u64 {
    let has_deletes = match replayed {
        Some(trace) => trace.deletes > 0,
        None => plan.has(|shares| shares.delete > 0),
    };
    match has_deletes {
        true => 0,
        false => plan.keys,
    }
}

fn keep_last<T>(all: &mut Vec<T>, max: usize) {
    let surplus = all.len().saturating_sub(max);
    all.drain(..surplus);
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
