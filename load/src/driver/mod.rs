//! Carries a stage out: one thread decides, one submits, one waits for what was submitted, some read. The caller's own
//! thread collects the figures and calls its observer.
//!
//! ```text
//! generator ─► writes ─► submitter ─► pending ─► completer
//!         └──► reads ──► readers
//! ```
//!
//! `generator` makes the decisions, and `load` chooses the stages of a load.

mod generate;
mod workers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::doubts::Doubts;
use super::error::LoadError;
use super::generator::{Gathered, Generator, Member, ReadJob};
use super::interval_log::IntervalLog;
use super::measure::{Aggregator, Recorder, recorder};
use super::plan::{Mode, Plan, SECONDS_MAX};
use super::queues::{CompletionCounter, Queue};
use super::records::{Records, WriteBatch};
use super::run::{Second, ThreadTimes, Totals};
use super::schedule::{Source, nanos};
use super::target::{Pending, Target, TargetError};
use super::trace::TraceError;

/// Time between two calls of the observer.
const REPORT: Duration = Duration::from_millis(150);

/// Counts of the results of operations.
///
/// See [`Outcome::tally`](super::Outcome::tally).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches that are durable.
    pub batches: u64,
    /// Those of them that took effect before a batch that was submitted earlier.
    pub out_of_order: u64,
    /// Those of them that the target refused.
    pub refused: u64,
    /// Refused batches that required something of a key that an earlier batch should have written, where that batch was
    /// refused or failed. The target may be right to refuse them.
    pub refused_in_consequence: u64,
    /// The first reason for a refusal.
    pub first_refusal: Option<String>,
    /// Writes that failed. The contents of their keys are uncertain.
    pub failed_writes: u64,
    /// Reads that failed, including those with proofs.
    pub failed_reads: u64,
    /// The first failure of an operation.
    pub first_failure: Option<String>,
    /// Keys that were read.
    pub keys_read: u64,
    /// Those of them that were not found, although they were put before the run and never deleted.
    pub missing: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, more: Self) {
        self.batches += more.batches;
        self.out_of_order += more.out_of_order;
        self.refused += more.refused;
        self.refused_in_consequence += more.refused_in_consequence;
        self.failed_writes += more.failed_writes;
        self.failed_reads += more.failed_reads;
        self.keys_read += more.keys_read;
        self.missing += more.missing;
        self.first_refusal = self.first_refusal.take().or(more.first_refusal);
        self.first_failure = self.first_failure.take().or(more.first_failure);
    }
}

/// The settings of a stage, apart from its operations.
#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) plan: &'a Plan,
    /// End of the warm-up.
    pub(crate) begin_ns: u64,
    /// Closed loop: its end.
    pub(crate) end_ns: u64,
    /// Closed loop: the number of operations after which it ends, without those of the warm-up.
    pub(crate) ops_max: u64,
    /// Number of keys, from the first one on, that reads must find.
    pub(crate) keys_there: u64,
    /// Mean distance between operations of a replayed trace.
    pub(crate) recorded_distance_ns: Option<u64>,
}

impl<'a> Stage<'a> {
    /// Returns the stage of a plan's operations, or of a trace, which ends with its last operation.
    pub(crate) fn of(plan: &'a Plan, source: &Source) -> Self {
        let recorded = source.recorded();
        let (duration_s, ops, has_deletes) = match &recorded {
            Some((trace, _)) => (None, None, trace.deletes > 0),
            None => {
                let has_deletes = plan.has(|shares| shares.delete > 0);
                (plan.duration_s(), plan.ops, has_deletes)
            }
        };
        let begin_ns = nanos(plan.warmup_s());
        Self {
            plan,
            begin_ns,
            end_ns: begin_ns + nanos(duration_s.unwrap_or(SECONDS_MAX)),
            ops_max: ops.unwrap_or(u64::MAX),
            keys_there: if has_deletes { 0 } else { plan.keys },
            recorded_distance_ns: recorded.map(|(_, distance_ns)| distance_ns),
        }
    }
}

/// The result of a stage.
pub(crate) struct Staged {
    pub(crate) seconds: Vec<Second>,
    pub(crate) log: IntervalLog,
    pub(crate) totals: Totals,
    pub(crate) tally: Tally,
    pub(crate) reading: Reading,
    /// Length of the whole stage, including warm-up and draining.
    pub(crate) elapsed: Duration,
    /// Operations that ended, including those of the warm-up.
    pub(crate) ended: u64,
    /// The failure that ended the stage early, if any. The other fields then describe the time before it.
    pub(crate) failure: Option<LoadError>,
}

/// The work of all readers together.
#[derive(Default)]
pub(crate) struct Reading {
    /// Operations that read.
    pub(crate) reads: u64,
    /// Sum of their service times, in microseconds.
    pub(crate) taken_us: u64,
}

/// A batch that was submitted.
struct Submitted {
    batch: WriteBatch,
    members: Vec<Member>,
    started_ns: u64,
    pending: Pending,
}

/// The counts that the threads of a stage share.
#[derive(Default)]
struct Counts {
    tally: Tally,
    cpu: ThreadTimes,
    reading: Reading,
    failure: Option<TargetError>,
    doubts: Doubts,
}

/// The data that all threads of a stage share.
pub(crate) struct StageContext<'a> {
    pub(crate) stage: Stage<'a>,
    target: &'a dyn Target,
    readers: usize,
    recorders: Vec<Recorder>,
    origin: Instant,
    stop: &'a AtomicBool,
    /// Set by a failure, after which nothing new is begun.
    halt: AtomicBool,
    writes: Queue<Gathered>,
    pending: Queue<Submitted>,
    reads: Queue<ReadJob>,
    /// Number of operations that ended. No thread waits for this count.
    operations_ended: AtomicU64,
    batches_ended: CompletionCounter,
    reads_ended: CompletionCounter,
    counts: Mutex<Counts>,
}

/// Calls a function when it is dropped, so that the end of a thread is noticed however it ends.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The end of the schedule of an open loop, and the error that ended the stage early, if any.
type Generated = (Option<u64>, Option<TraceError>);

impl<'a> StageContext<'a> {
    fn new(stage: Stage<'a>, target: &'a dyn Target, stop: &'a AtomicBool) -> Self {
        let readers = stage.plan.readers();
        let recorders = (0..readers + 2).map(|_| recorder(stage.begin_ns));
        let context = Self {
            stage,
            target,
            readers,
            recorders: recorders.collect(),
            origin: Instant::now(),
            stop,
            halt: AtomicBool::new(false),
            writes: Queue::new(),
            pending: Queue::new(),
            reads: Queue::new(),
            operations_ended: AtomicU64::new(0),
            batches_ended: CompletionCounter::default(),
            reads_ended: CompletionCounter::default(),
            counts: Mutex::new(Counts::default()),
        };
        if stage.plan.mode == Mode::Open {
            context.schedule_ends(stage.end_ns);
        }
        context
    }

    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the number of operations that ended.
    pub(crate) fn ended(&self) -> u64 {
        self.operations_ended.load(Ordering::Acquire)
    }

    /// Returns the unfinished second with its records so far.
    pub(crate) fn current(&self, aggregator: &Aggregator) -> Second {
        aggregator.current(&self.recorders)
    }

    fn is_over(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }

    fn halt(&self) {
        self.halt.store(true, Ordering::Relaxed);
    }

    fn schedule_ends(&self, end_ns: u64) {
        for recorder in &self.recorders {
            recorder.lock().schedule_ends(end_ns);
        }
    }

    /// Starts all threads. The receiver is disconnected once every thread has ended.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        generator: Generator,
        records: &'scope mut Records,
    ) -> Result<(ScopedJoinHandle<'scope, Generated>, Receiver<()>), LoadError> {
        let [generating, completing, reading @ ..] = &self.recorders[..] else {
            unreachable!("there are two recorders, and one for each reader");
        };
        let (running, ended) = channel();
        // If a thread cannot be started, those that were started must end.
        let closing = OnDrop(|| {
            self.writes.close();
            self.reads.close();
        });
        spawn(scope, "load-submit", &running, || self.submit_all())?;
        spawn(scope, "load-complete", &running, || {
            self.complete_all(completing);
        })?;
        for recorder in reading {
            spawn(scope, "load-read", &running, || self.read_all(recorder))?;
        }
        let generate = spawn(scope, "load-generate", &running, move || {
            let _closing = closing;
            let generated = self.generate(generator, records, generating);
            self.counts.lock().cpu.generator_us = thread_cpu_us();
            generated
        })?;
        Ok((generate, ended))
    }
}

/// Starts a thread that holds a sender until it ends.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    running: &Sender<()>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, LoadError> {
    let running = running.clone();
    let thread = thread::Builder::new().name(name.to_owned());
    let started = thread.spawn_scoped(scope, move || {
        let _running = running;
        work()
    });
    started.map_err(LoadError::Thread)
}

/// Runs a stage until all its started operations have ended. If it ends early, the result holds the measurements until
/// then, with the reason.
pub(crate) fn run_stage(
    stage: Stage<'_>,
    generator: Generator,
    target: &dyn Target,
    records: &mut Records,
    (stop, began_unix_ms): (&AtomicBool, u64),
    mut observe: impl FnMut(&StageContext<'_>, &Aggregator),
) -> Result<Staged, LoadError> {
    let context = StageContext::new(stage, target, stop);
    context.counts.lock().doubts = std::mem::take(&mut records.doubts);
    let mut aggregator = Aggregator::new(stage.begin_ns);
    let mut uncollected = None;
    let (schedule_end_ns, trace_failure) = thread::scope(|scope| {
        let (generate, ended) = context.start(scope, generator, records)?;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(REPORT) {
            if let Err(error) = aggregator.collect(&context.recorders, context.now_ns()) {
                context.halt();
                uncollected.get_or_insert(error);
            }
            observe(&context, &aggregator);
        }
        let generated = generate.join();
        Ok::<_, LoadError>(generated.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let elapsed = context.origin.elapsed();
    let totals = aggregator.finish(&context.recorders)?;
    let (seconds, log) = aggregator.into_log(began_unix_ms)?;
    let ended = context.ended();
    let counts = context.counts.into_inner();
    records.doubts = counts.doubts;
    let scheduled_ns = |end_ns: u64| end_ns.min(stage.end_ns).saturating_sub(stage.begin_ns);
    let (scheduled_us, ended_in_schedule) = match schedule_end_ns {
        Some(end_ns) => (scheduled_ns(end_ns) / 1000, totals.ended_in_schedule),
        None => (totals.elapsed_us, totals.achieved),
    };
    let target_failure = counts.failure.map(LoadError::Target);
    let other_failure = trace_failure.map(LoadError::Trace);
    Ok(Staged {
        seconds,
        log,
        totals: Totals {
            scheduled_us,
            ended_in_schedule,
            missing: counts.tally.missing,
            cpu: counts.cpu,
            ..totals
        },
        tally: counts.tally,
        reading: counts.reading,
        elapsed,
        ended,
        failure: target_failure
            .or(other_failure)
            .or(uncollected.map(LoadError::Log)),
    })
}

/// Returns the processor time of this thread, 0 where the system does not report it.
#[cfg(target_os = "linux")]
fn thread_cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn thread_cpu_us() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::operations::Workload;
    use super::super::records::WriteBatch;
    use super::super::target::Written;
    use super::*;

    /// A target without any key.
    struct Empty;

    impl Target for Empty {
        fn submit(&self, _batch: &WriteBatch) -> Result<Pending, TargetError> {
            Ok(Box::new(|| Ok(Written::Applied)))
        }

        fn read(&self, _key: &[u8]) -> Result<Option<Bytes>, TargetError> {
            Ok(None)
        }
    }

    #[test]
    fn what_was_read_is_counted_over_all_readers() {
        let plan = Plan {
            workload: Workload::C,
            mode: Mode::Closed,
            readers: Some(3),
            ..Plan::default()
        };
        let stage = Stage {
            plan: &plan,
            begin_ns: 0,
            end_ns: u64::MAX,
            ops_max: 500,
            keys_there: 0,
            recorded_distance_ns: None,
        };
        let (mut records, stop) = (Records::new(1, 10), AtomicBool::new(false));
        let source = Source::planned(&plan);
        let generator = Generator::new(source, &plan, Empty.limits(), &records, None);
        let staged = run_stage(
            stage,
            generator,
            &Empty,
            &mut records,
            (&stop, 0),
            |_, _| {},
        );
        let staged = staged.unwrap();
        assert_eq!((staged.reading.reads, staged.tally.keys_read), (500, 500));
        assert!(staged.failure.is_none());
    }
}
