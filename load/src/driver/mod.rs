//! Carrying a stage out: one thread decides, one submits, one waits for what was submitted, some read; the caller's
//! own thread collects the figures and tells its observer.
//!
//! ```text
//! generator ─► writes ─► submitter ─► pending ─► completer
//!         └──► reads ──► readers
//! ```
//!
//! Not here: what is decided (`generator`), and which stages a load has (`run_load`).

mod loops;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::generator::{Gathered, Gatherer, Generator, Member, ReadJob};
use super::interval_log::IntervalLogError;
use super::lanes::{Ends, Queue, locked};
use super::measure::{Ledger, Recorder, Sums, Times};
use super::operations::Operation;
use super::plan::{Mode, Plan};
use super::records::{self, Records, WriteBatch};
use super::schedule::Source;
use super::target::{Pending, Target, TargetError, Written};
use super::trace::{TraceError, TraceWriter};

use loops::{Deciding, Limits};

/// Reads that are handed to a reader at once, if there are that many for each.
const TAKEN_MAX: usize = 32;
/// Time between two reports to the observer.
const REPORT: Duration = Duration::from_millis(150);

/// What became of operations, besides their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches that are durable.
    pub batches: u64,
    /// Those of them that the target refused.
    pub refused: u64,
    /// Why the first of them was.
    pub first_refusal: Option<String>,
    /// Writes that failed: what their keys hold is not known.
    pub failed_writes: u64,
    /// Reads that failed, those with proofs included.
    pub failed_reads: u64,
    /// Why the first operation that failed did.
    pub first_failure: Option<String>,
    /// Keys that were read.
    pub keys_read: u64,
    /// Those of them that were put before the run, and never deleted, and were not found.
    pub missing: u64,
}

impl Tally {
    /// Both together.
    pub(crate) fn add(&mut self, more: &Self) {
        self.batches += more.batches;
        self.refused += more.refused;
        self.failed_writes += more.failed_writes;
        self.failed_reads += more.failed_reads;
        self.keys_read += more.keys_read;
        self.missing += more.missing;
        let first = |own: &mut Option<String>, other: &Option<String>| {
            if own.is_none() {
                own.clone_from(other);
            }
        };
        first(&mut self.first_refusal, &more.first_refusal);
        first(&mut self.first_failure, &more.first_failure);
    }
}

/// Why a stage could not begin, or broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error(transparent)]
    Target(TargetError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Log(#[from] IntervalLogError),
    #[error(transparent)]
    Thread(std::io::Error),
}

/// What is to be done.
pub(crate) struct Stage<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) mode: Mode,
    pub(crate) source: Source,
    pub(crate) trace: Option<TraceWriter>,
    /// What is due before is warm-up.
    pub(crate) begin_ns: u64,
    /// Closed loop: when it ends.
    pub(crate) end_ns: u64,
    /// Closed loop: after how many operations it ends, warm-up left out.
    pub(crate) ops_max: u64,
    /// Keys below are always there: reads must find them.
    pub(crate) keys_there: u64,
}

/// How it went.
pub(crate) struct Staged {
    pub(crate) ledger: Ledger,
    pub(crate) sums: Sums,
    pub(crate) tally: Tally,
    pub(crate) cpu: ThreadTimes,
    pub(crate) reading: Reading,
    /// From the end of the warm-up to when nothing more was due; in a closed loop, to the end of the last operation.
    pub(crate) scheduled_ns: u64,
    /// Operations that ended by then.
    pub(crate) ended_in_schedule: u64,
    /// All of it, warm-up and draining included.
    pub(crate) elapsed: Duration,
    /// Operations that ended, warm-up included.
    pub(crate) ended: u64,
    /// What broke it off, if anything did: all of the above is of the time before.
    pub(crate) failure: Option<StageError>,
}

/// Processor time of the threads of a stage, microseconds; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadTimes {
    pub(crate) generator_us: u64,
    /// The target's part of submitting included: keys and values are made within it.
    pub(crate) submitter_us: u64,
    /// Without waiting for batches.
    pub(crate) completer_us: u64,
    /// Of the busiest reader, without the target's reads.
    pub(crate) reader_us: u64,
}

/// What the threads that read did, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Operations that read, of whatever kind.
    pub(crate) reads: u64,
    /// How long they took by the clock, the target's part included and waiting for a reader left out.
    pub(crate) taken_us: u64,
}

/// A look at a stage that is under way.
pub(crate) struct Look<'a> {
    pub(crate) elapsed_ns: u64,
    pub(crate) ended: u64,
    pub(crate) ledger: &'a Ledger,
    pub(crate) recorders: &'a [Recorder],
}

/// A batch that was submitted.
struct Submitted {
    members: Vec<Member>,
    started_ns: u64,
    pending: Pending,
}

/// What all threads of a stage see.
struct Floor<'a> {
    target: &'a dyn Target,
    plan: &'a Plan,
    readers: usize,
    keys_there: u64,
    /// Operations of a trace are so far apart in the mean.
    recorded_distance_ns: Option<u64>,
    origin: Instant,
    stop: &'a AtomicBool,
    /// Something is wrong: nothing new is begun.
    halt: AtomicBool,
    failure: Mutex<Option<TargetError>>,
    writes: Queue<Gathered>,
    pending: Queue<Submitted>,
    reads: Queue<ReadJob>,
    /// Nobody waits for a count of these.
    operations_ended: AtomicU64,
    batches_ended: Ends,
    reads_ended: Ends,
    tally: Mutex<Tally>,
    cpu: Mutex<ThreadTimes>,
    reading: Mutex<Reading>,
}

/// Closes what a thread feeds, however that thread ends.
struct Closing<F: Fn()>(F);

impl<F: Fn()> Drop for Closing<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Floor<'_> {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }

    /// An operation or a batch failed.
    fn failed(&self, error: TargetError, count: impl FnOnce(&mut Tally)) {
        let mut tally = locked(&self.tally);
        tally.first_failure.get_or_insert_with(|| error.to_string());
        count(&mut tally);
        drop(tally);
        if error.ends_the_run() {
            locked(&self.failure).get_or_insert(error);
            self.halt.store(true, Ordering::Relaxed);
        }
    }

    fn submit_all(&self) {
        let _closing = Closing(|| {
            self.halt.store(true, Ordering::Relaxed);
            self.pending.close();
        });
        while let Some(gathered) = self.writes.pop() {
            let started_ns = self.now_ns();
            let Gathered { batch, members } = gathered;
            match self
                .read_required(&batch)
                .and_then(|()| self.target.submit(&batch))
            {
                Ok(pending) => self.pending.push(Submitted {
                    members,
                    started_ns,
                    pending,
                }),
                Err(error) => self.pending.push(Submitted {
                    members,
                    started_ns,
                    pending: Box::new(|| Err(error)),
                }),
            }
        }
        locked(&self.cpu).submitter_us = thread_cpu_us();
    }

    /// What read-modify-writes read.
    fn read_required(&self, batch: &WriteBatch) -> Result<(), TargetError> {
        let mut tally = Tally::default();
        let read = batch.required().try_for_each(|index| {
            let value = self.target.read(&records::key(index))?;
            self.count_key(index, value.is_some(), &mut tally);
            Ok(())
        });
        locked(&self.tally).add(&tally);
        read
    }

    fn complete_all(&self, recorder: &Recorder) {
        let _closing = Closing(|| self.halt.store(true, Ordering::Relaxed));
        let mut waited_ns = 0;
        while let Some(Submitted {
            members,
            started_ns,
            pending,
        }) = self.pending.pop()
        {
            let begun_ns = self.now_ns();
            let written = pending();
            let ended_ns = self.now_ns();
            waited_ns += ended_ns - begun_ns;
            let times = |member: &Member| Times {
                intended_ns: member.intended_ns,
                started_ns,
                ended_ns,
            };
            let mut recording = recorder.lock();
            match &written {
                Ok(_) => {
                    members
                        .iter()
                        .for_each(|member| recording.ended(member.kind, times(member)));
                }
                Err(_) => members
                    .iter()
                    .for_each(|member| recording.failed(times(member))),
            }
            drop(recording);
            self.account(written, members.len() as u64);
            self.batches_ended.add(1);
            self.give_back(members.len() as u64);
        }
        locked(&self.cpu).completer_us = own_cpu_us(waited_ns);
    }

    /// So many operations are under way no more.
    fn give_back(&self, count: u64) {
        self.operations_ended.fetch_add(count, Ordering::Release);
    }

    fn account(&self, written: Result<Written, TargetError>, writes: u64) {
        match written {
            Ok(Written::Applied) => locked(&self.tally).batches += 1,
            Ok(Written::Refused(reason)) => {
                let mut tally = locked(&self.tally);
                tally.batches += 1;
                tally.refused += 1;
                tally.first_refusal.get_or_insert(reason);
            }
            Err(error) => self.failed(error, |tally| tally.failed_writes += writes),
        }
    }

    fn read_all(&self, recorder: &Recorder) {
        let _closing = Closing(|| self.halt.store(true, Ordering::Relaxed));
        let mut jobs = Vec::with_capacity(TAKEN_MAX);
        let (mut reads, mut read_ns) = (0, 0);
        while self.reads.pop_share(self.readers, TAKEN_MAX, &mut jobs) {
            let mut tally = Tally::default();
            let count = jobs.len() as u64;
            reads += count;
            for job in jobs.drain(..) {
                let started_ns = self.now_ns();
                let read = self.read(job.operation, &mut tally);
                let times = Times {
                    intended_ns: job.intended_ns.unwrap_or(started_ns),
                    started_ns,
                    ended_ns: self.now_ns(),
                };
                read_ns += times.ended_ns - started_ns;
                match read {
                    Ok(()) => recorder.lock().ended(job.operation.kind(), times),
                    Err(error) => {
                        recorder.lock().failed(times);
                        self.failed(error, |tally| tally.failed_reads += 1);
                    }
                }
                // One by one: what waits behind it has not ended.
                self.give_back(1);
            }
            locked(&self.tally).add(&tally);
            self.reads_ended.add(count);
        }
        let own_us = own_cpu_us(read_ns);
        let mut cpu = locked(&self.cpu);
        cpu.reader_us = cpu.reader_us.max(own_us);
        drop(cpu);
        let mut reading = locked(&self.reading);
        reading.reads += reads;
        reading.taken_us += read_ns / 1000;
    }

    /// A key was read.
    fn count_key(&self, index: u64, is_there: bool, tally: &mut Tally) {
        tally.keys_read += 1;
        tally.missing += u64::from(!is_there && index < self.keys_there);
    }

    fn read(&self, operation: Operation, tally: &mut Tally) -> Result<(), TargetError> {
        let mut count = |index, is_there| self.count_key(index, is_there, tally);
        let index = operation.index();
        match operation {
            Operation::MultiGet { count: keys, .. } => {
                let indices = index..index + u64::from(keys);
                let keys: Vec<_> = indices.clone().map(records::key).collect();
                let values = self.target.read_many(&keys)?;
                indices
                    .zip(values)
                    .for_each(|(index, value)| count(index, value.is_some()));
            }
            Operation::Verify { .. } => {
                let value = self
                    .target
                    .read_proven(&records::key(index), self.plan.proof_top)?;
                count(index, value.is_some());
            }
            _ => count(index, self.target.read(&records::key(index))?.is_some()),
        }
        Ok(())
    }

    /// Hands on what was decided.
    fn send(&self, generator: &mut Generator) {
        self.reads.push_all(&mut generator.reads);
        for batch in generator.batches.drain(..) {
            self.writes.push(batch);
        }
    }

    /// Mean distance of operations at a time.
    fn distance_ns(&self, now_ns: u64) -> u64 {
        let planned = || {
            let at_s = (now_ns as f64 / 1e9) - self.plan.warmup_s();
            let rate = self.plan.rate.unwrap_or(0.0) * self.plan.rate_factor(at_s);
            (1e9 / rate.max(1e-3)) as u64
        };
        self.recorded_distance_ns.unwrap_or_else(planned)
    }
}

/// Runs a stage to its end: until everything that was let in has ended. If it breaks off, what came out until then
/// is given with the reason.
pub(crate) fn run_stage(
    stage: Stage<'_>,
    target: &dyn Target,
    records: &mut Records,
    stop: &AtomicBool,
    begun_unix_ms: u64,
    mut look: impl FnMut(&Look<'_>),
) -> Result<Staged, StageError> {
    let plan = stage.plan;
    let gatherer = Gatherer::new(
        records,
        plan.batch,
        plan.batch_linger_us,
        target.limits(),
        plan.value_bytes,
        plan.has(|shares| shares.read_modify_write > 0)
            || matches!(stage.source, Source::Recorded { .. }),
    );
    let recorded_distance_ns = stage.source.recorded_distance_ns();
    let generator = Generator::new(
        stage.source,
        gatherer,
        plan.in_flight_operations_max,
        stage.trace,
    );
    let floor = Floor {
        target,
        plan,
        readers: plan.readers(),
        keys_there: stage.keys_there,
        recorded_distance_ns,
        origin: Instant::now(),
        stop,
        halt: AtomicBool::new(false),
        failure: Mutex::new(None),
        writes: Queue::new(),
        pending: Queue::new(),
        reads: Queue::new(),
        operations_ended: AtomicU64::new(0),
        batches_ended: Ends::default(),
        reads_ended: Ends::default(),
        tally: Mutex::new(Tally::default()),
        cpu: Mutex::new(ThreadTimes::default()),
        reading: Mutex::new(Reading::default()),
    };
    // The generator's, the completer's, the readers'.
    let recorders: Vec<Recorder> = (0..floor.readers + 2)
        .map(|_| Recorder::new(stage.begin_ns))
        .collect();
    let schedule_ends = |end_ns| {
        recorders
            .iter()
            .for_each(|recorder| recorder.lock().schedule_ends(end_ns));
    };
    if stage.mode == Mode::Open {
        schedule_ends(stage.end_ns);
    }
    let [generating, completing, reading @ ..] = &recorders[..] else {
        unreachable!("two were made, and one for each reader");
    };
    let mut ledger = Ledger::new(stage.begin_ns, begun_unix_ms);
    let deciding = Deciding {
        mode: stage.mode,
        limits: Limits {
            begin_ns: stage.begin_ns,
            end_ns: stage.end_ns,
            ops_max: stage.ops_max,
        },
        generator,
        schedule_ends: &schedule_ends,
    };
    let mut uncollected = None;
    let (done_sender, done) = std::sync::mpsc::channel::<()>();
    let floor = &floor;

    let generated = thread::scope(|scope| -> Result<_, StageError> {
        let mut workers = Vec::new();
        // If a thread can't be started, those that were must end.
        let closing = Closing(|| {
            floor.writes.close();
            floor.reads.close();
        });
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let sender = done_sender.clone();
        workers.push(named("load-submit").spawn_scoped(scope, move || {
            let _held = sender;
            floor.submit_all();
        }));
        let sender = done_sender.clone();
        workers.push(named("load-complete").spawn_scoped(scope, move || {
            let _held = sender;
            floor.complete_all(completing);
        }));
        for recorder in reading {
            let sender = done_sender.clone();
            workers.push(named("load-read").spawn_scoped(scope, move || {
                let _held = sender;
                floor.read_all(recorder);
            }));
        }
        for worker in workers {
            worker.map_err(StageError::Thread)?;
        }
        let sender = done_sender;
        let generate = named("load-generate").spawn_scoped(scope, move || {
            let (_held, _closing) = (sender, closing);
            let generated = floor.generate(deciding, records, generating);
            locked(&floor.cpu).generator_us = thread_cpu_us();
            generated
        });
        let generate = generate.map_err(StageError::Thread)?;
        // Until every thread has let go of its sender.
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = done.recv_timeout(REPORT) {
            if let Err(error) = ledger.collect(&recorders, floor.now_ns()) {
                floor.halt.store(true, Ordering::Relaxed);
                uncollected.get_or_insert(error);
            }
            look(&Look {
                elapsed_ns: floor.now_ns(),
                ended: floor.operations_ended.load(Ordering::Relaxed),
                ledger: &ledger,
                recorders: &recorders,
            });
        }
        match generate.join() {
            Ok(generated) => Ok(generated),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let (schedule_end_ns, trace_failure) = generated?;
    let elapsed = floor.origin.elapsed();
    let sums = ledger.finish(&recorders)?;
    let target_failure = locked(&floor.failure).take().map(StageError::Target);
    let failure = target_failure
        .or(trace_failure.map(StageError::Trace))
        .or(uncollected.map(StageError::Log));
    let (scheduled_ns, ended_in_schedule) = match schedule_end_ns {
        Some(end_ns) => (
            end_ns.min(stage.end_ns).saturating_sub(stage.begin_ns),
            sums.ended_in_schedule,
        ),
        None => (sums.elapsed_ns, sums.achieved),
    };
    Ok(Staged {
        ledger,
        sums,
        tally: locked(&floor.tally).clone(),
        cpu: *locked(&floor.cpu),
        reading: *locked(&floor.reading),
        scheduled_ns,
        ended_in_schedule,
        elapsed,
        ended: floor.operations_ended.load(Ordering::Relaxed),
        failure,
    })
}

/// Processor time of this thread without its calls of the target, which took so long. What of that time the calls
/// did not run is taken off too, so this is the least that it can be.
fn own_cpu_us(calls_ns: u64) -> u64 {
    thread_cpu_us().saturating_sub(calls_ns / 1000)
}

/// Processor time of this thread, 0 where the system does not tell.
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
    use super::super::schedule::Schedule;
    use super::*;

    /// Holds nothing.
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
            readers: Some(3),
            ..Plan::default()
        };
        let stage = Stage {
            plan: &plan,
            mode: Mode::Closed,
            source: Source::Planned(Box::new(Schedule::new(&plan))),
            trace: None,
            begin_ns: 0,
            end_ns: u64::MAX,
            ops_max: 500,
            keys_there: 0,
        };
        let (mut records, stop) = (Records::new(1, 10), AtomicBool::new(false));
        let staged = run_stage(stage, &Empty, &mut records, &stop, 0, |_| {}).unwrap();
        assert_eq!((staged.reading.reads, staged.tally.keys_read), (500, 500));
        assert!(staged.failure.is_none());
    }
}
