//! Runs the stages of a load, one after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{LoadError, Outcome, Progress, StageName, StageTime};
use crate::driver::{Stage, StageContext, Staged, Tally, run_stage};
use crate::generator::Generator;
use crate::measure::Aggregator;
use crate::operations::Shares;
use crate::plan::{Mode, Plan, SECONDS_MAX};
use crate::records::Records;
use crate::run::{Machine, RUN_FORMAT, Run, per_second};
use crate::schedule::{Source, nanos};
use crate::stage_log::StageLog;
use crate::target::{Observation, Seen, Target};
use crate::trace::TraceWriter;
use crate::warning::Warning;
use crate::warnings;

/// Length of the closed loop that measures the rate, in seconds.
const CALIBRATION_S: f64 = 2.0;
/// Spans that a run keeps.
const SPANS_MAX: usize = 8192;
/// Windows that a run keeps: nearly three hours of the default length.
const WINDOWS_MAX: usize = 20_000;
/// Decisions that a run keeps.
const DECISIONS_MAX: usize = 5_000;

/// A load that is running.
pub(super) struct Running<'a> {
    target: &'a dyn Target,
    observer: Option<&'a mut dyn FnMut(&Progress<'_>)>,
    stop: &'a AtomicBool,
    records: Records,
    tally: Tally,
    stages: Vec<StageTime>,
    /// The observations that the target reported.
    observed: Observation,
    /// The log of the target's stages, while operations are measured.
    stage_log: Option<StageLog>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        plan: &Plan,
        target: &'a dyn Target,
        observer: Option<&'a mut dyn FnMut(&Progress<'_>)>,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            target,
            observer,
            stop,
            records: Records::of_instance(plan.instance, plan.seed, plan.value_bytes),
            tally: Tally::default(),
            stages: Vec::new(),
            observed: Observation::default(),
            stage_log: None,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Puts all keys.
    pub(super) fn fill(&mut self, plan: &Plan) -> Result<(), LoadError> {
        let closed = Plan {
            mode: Mode::Closed,
            readers: Some(1),
            warmup_s: Some(0.0),
            duration_s: None,
            ops: Some(plan.keys),
            ..plan.clone()
        };
        let source = Source::Fill(0..plan.keys);
        let staged = self.run_stage(StageName::Fill, &closed, source, None, 0)?;
        let refused = self.tally.first_refusal.as_ref();
        let refused = refused.map(|reason| format!("a batch was refused: {reason}"));
        let failed = self.tally.first_failure.clone().or(refused);
        let failed = failed.map(LoadError::Fill);
        staged.failure.or(failed).map_or(Ok(()), Err)
    }

    /// Measures the peak throughput. Returns operations per second, and the number of operations that it is based on.
    pub(super) fn calibrate(&mut self, plan: &Plan) -> Result<(f64, u64), LoadError> {
        let own = plan.mix.unwrap_or(plan.workload.shares());
        // Inserts would use the indices of the run's own inserts.
        let mix = Shares {
            update: own.update + own.insert,
            insert: 0,
            ..own
        };
        let closed = Plan {
            mode: Mode::Closed,
            mix: Some(mix),
            seed: plan.seed.wrapping_add(1),
            warmup_s: Some(0.0),
            duration_s: Some(CALIBRATION_S),
            phase: Vec::new(),
            // The run will have the same number of readers.
            readers: Some(plan.readers()),
            ..plan.clone()
        };
        let source = Source::planned(&closed);
        let staged = self.run_stage(StageName::Calibrate, &closed, source, None, 0)?;
        let (achieved, elapsed_us) = (staged.totals.achieved, staged.totals.elapsed_us);
        let rate = per_second(achieved, elapsed_us).max(1.0);
        staged.failure.map_or(Ok((rate, achieved)), Err)
    }

    /// Makes the run itself. Returns its result, and the failure that ended it early, if any.
    pub(super) fn measure(
        mut self,
        plan: &Plan,
        source: Source,
        trace: Option<TraceWriter>,
    ) -> Result<(Outcome, Option<LoadError>), LoadError> {
        self.observe();
        let begin_ns = nanos(plan.warmup_s());
        let begun_engine_us = self.observed.uptime_us + begin_ns / 1000;
        let began_unix_ms = unix_ms() + begin_ns / 1_000_000;
        self.stage_log = Some(StageLog::new(begun_engine_us));
        let mut staged = self.run_stage(StageName::Run, plan, source, trace, began_unix_ms)?;
        match self.stage_log.take().map(StageLog::into_lines) {
            Some(Ok(lines)) => staged.log.append_lines(&lines),
            Some(Err(error)) => staged.failure = staged.failure.or(Some(error.into())),
            None => {}
        }
        let failure = staged.failure.take();
        let outcome = self.into_outcome(plan, staged, began_unix_ms, begun_engine_us);
        Ok((outcome, failure))
    }

    fn run_stage(
        &mut self,
        name: StageName,
        plan: &Plan,
        source: Source,
        trace: Option<TraceWriter>,
        began_unix_ms: u64,
    ) -> Result<Staged, LoadError> {
        let mut records = std::mem::replace(&mut self.records, Records::new(0, 0));
        let (target, stop) = (self.target, self.stop);
        let stage = Stage::of(plan, &source);
        let generator = Generator::new(source, plan, target.limits(), &records, trace);
        let observe = |context: &StageContext<'_>, aggregator: &Aggregator| {
            self.observe();
            self.report(name, context, aggregator);
        };
        let timed = (stop, began_unix_ms);
        let staged = run_stage(stage, generator, target, &mut records, timed, observe);
        self.records = records;
        let staged = staged?;
        self.observe();
        self.tally.add(staged.tally.clone());
        self.stages.push(StageTime {
            stage: name,
            operations: staged.ended,
            elapsed: staged.elapsed,
        });
        Ok(staged)
    }

    /// Asks the target for new observations.
    fn observe(&mut self) {
        let observed = &mut self.observed;
        let seen = Seen {
            window: observed.windows.last().map_or(0, |last| last.number),
            decision: observed.decisions.last().map_or(0, |last| last.number),
            span_us: observed.spans.last().map_or(0, |last| last.ended_us + 1),
        };
        let news = self.target.observe(&seen);
        if let Some(stage_log) = &mut self.stage_log {
            stage_log.add(&news.spans);
        }
        observed.uptime_us = news.uptime_us;
        extend_last(&mut observed.windows, news.windows, WINDOWS_MAX);
        extend_last(&mut observed.decisions, news.decisions, DECISIONS_MAX);
        extend_last(&mut observed.spans, news.spans, SPANS_MAX);
    }

    /// Calls the observer.
    fn report(&mut self, name: StageName, context: &StageContext<'_>, aggregator: &Aggregator) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        let (stage, elapsed_ns) = (context.stage, context.now_ns());
        let is_recorded = stage.recorded_distance_ns.is_some();
        let is_timed = stage.end_ns < nanos(SECONDS_MAX) && !is_recorded;
        let is_counted = stage.ops_max < u64::MAX && !is_recorded;
        let is_open = stage.plan.mode == Mode::Open && !is_recorded;
        observer(&Progress {
            stage: name,
            elapsed: Duration::from_nanos(elapsed_ns),
            planned: is_timed.then_some(Duration::from_nanos(stage.end_ns)),
            operations: context.ended(),
            planned_operations: is_counted.then_some(stage.ops_max),
            is_warm_up: elapsed_ns < stage.begin_ns,
            rate: stage.plan.rate.filter(|_| is_open),
            current: &|| context.current(aggregator),
            seconds: &aggregator.seconds,
            windows: &self.observed.windows,
            decisions: &self.observed.decisions,
            spans: &self.observed.spans,
        });
    }

    fn into_outcome(
        self,
        plan: &Plan,
        staged: Staged,
        began_unix_ms: u64,
        begun_engine_us: u64,
    ) -> Outcome {
        let is_interrupted = self.is_stopped();
        let (totals, reading) = (staged.totals, &staged.reading);
        let mut warnings =
            warnings::of_figures(plan, &totals, &staged.tally, reading, staged.elapsed);
        let seconds = staged.seconds.first().map_or(0, |first| first.second);
        if seconds > 0 {
            warnings.push(Warning::SecondsLeftOut { seconds });
        }
        if is_interrupted {
            warnings.push(Warning::Interrupted);
        }
        let thresholds = plan.thresholds.iter();
        let thresholds = thresholds
            .map(|threshold| threshold.check(&totals))
            .collect();
        let run = Run {
            format: RUN_FORMAT,
            name: plan.name.clone(),
            began_unix_ms,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::here(),
            seed: plan.seed,
            workload: plan.to_toml(),
            config: self.target.settings(),
            totals,
            seconds: staged.seconds,
            begun_engine_us,
            windows: self.observed.windows,
            decisions: self.observed.decisions,
            spans: self.observed.spans,
            warnings,
            thresholds,
            ..Run::default()
        };
        Outcome {
            run,
            log: staged.log,
            records: self.records,
            tally: self.tally,
            stages: self.stages,
            calibrated: None,
            is_interrupted,
        }
    }
}

/// Appends items and keeps the last `max`.
fn extend_last<T>(all: &mut Vec<T>, more: Vec<T>, max: usize) {
    all.extend(more);
    let surplus = all.len().saturating_sub(max);
    all.drain(..surplus);
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    u64::try_from(millis).unwrap_or(u64::MAX)
}
