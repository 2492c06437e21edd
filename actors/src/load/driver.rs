//! Carrying a stage out: one thread decides, one submits, one waits for what was submitted, some read; the caller's
//! own thread collects the figures and tells its observer.
//!
//! ```text
//! generator ─► writes ─► submitter ─► pending ─► completer
//!         └──► reads ──► readers
//! ```
//!
//! Not here: what is decided (`generator`), and which stages a load has (`run_load`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::generator::{Gathered, Gatherer, Generator, Member, Pause, ReadJob, pause};
use super::interval_log::IntervalLogError;
use super::lanes::{Ends, Queue, locked};
use super::measure::{Ledger, Recorder, Sums, Times};
use super::operations::Operation;
use super::plan::{Mode, Plan};
use super::records::{self, Records};
use super::schedule::Source;
use super::target::{Pending, Target, TargetError, Written};
use super::trace::{TraceError, TraceWriter};

/// Operations of an open loop between two looks at the clock.
const PUMPED_MAX: usize = 256;
/// Reads that are handed to a reader at once, if there are that many for each.
const TAKEN_MAX: usize = 32;
/// Operations of a closed loop that share a look at the clock.
const CLOCKED: u64 = 16;
/// Reads of a closed loop that wait for a reader at most, for each reader.
const CLOSED_READS_MAX: u64 = 256;
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

/// Why a stage broke off.
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
    /// From the end of the warm-up to when nothing more was due; in a closed loop, to the end of the last operation.
    pub(crate) scheduled_ns: u64,
    /// Operations that ended by then.
    pub(crate) ended_in_schedule: u64,
    /// All of it, warm-up and draining included.
    pub(crate) elapsed: Duration,
    /// Operations that ended, warm-up included.
    pub(crate) ended: u64,
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
            let members = gathered.members;
            // What a read-modify-write reads.
            let read = gathered.batch.required_keys().try_for_each(|key| {
                locked(&self.tally).keys_read += 1;
                self.target.read(&key).map(drop)
            });
            match read.and_then(|()| self.target.submit(&gathered.batch)) {
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
        let mut read_ns = 0;
        while self
            .reads
            .pop_share(self.plan.readers, TAKEN_MAX, &mut jobs)
        {
            let mut tally = Tally::default();
            let count = jobs.len() as u64;
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
    }

    fn read(&self, operation: Operation, tally: &mut Tally) -> Result<(), TargetError> {
        let mut count = |index: u64, is_there: bool| {
            tally.keys_read += 1;
            tally.missing += u64::from(!is_there && index < self.keys_there);
        };
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

    /// Gives when the schedule ended.
    fn open_loop(
        &self,
        generator: &mut Generator,
        records: &mut Records,
        recorder: &Recorder,
    ) -> Result<u64, TraceError> {
        generator.begin()?;
        while let Some(wake_ns) = generator.wake_ns() {
            let now_ns = self.now_ns();
            if self.is_over() {
                return Ok(now_ns);
            }
            match pause(self.plan.pacing, self.distance_ns(now_ns), now_ns, wake_ns) {
                Pause::None => {
                    let ended = self.operations_ended.load(Ordering::Acquire);
                    let mut recording = recorder.lock();
                    generator.pump(now_ns, ended, PUMPED_MAX, records, &mut recording)?;
                    drop(recording);
                    self.send(generator);
                }
                Pause::Spin => std::hint::spin_loop(),
                // Looks whether it was stopped meanwhile.
                Pause::Sleep(nanos) => thread::sleep(Duration::from_nanos(nanos).min(REPORT)),
            }
        }
        Ok(generator.ended_ns())
    }

    fn closed_loop(
        &self,
        generator: &mut Generator,
        records: &mut Records,
        recorder: &Recorder,
        limits: &Limits,
    ) -> Result<(), TraceError> {
        let mut begun = Begun::default();
        let mut now_ns = self.now_ns();
        while !self.is_over() && now_ns < limits.end_ns && begun.counted < limits.ops_max {
            let Some(operation) = generator.draw(now_ns)? else {
                break;
            };
            let has_waited = match operation.kind().is_write() {
                true => self.wait_for_a_batch(generator, records, operation, &mut begun),
                false => self.wait_for_a_reader(generator, &mut begun),
            };
            if has_waited || begun.operations.is_multiple_of(CLOCKED) {
                now_ns = self.now_ns();
            }
            begun.operations += 1;
            begun.counted += u64::from(now_ns >= limits.begin_ns);
            recorder.lock().offered_in_turn(now_ns);
            generator.start(operation, now_ns, records);
        }
        Ok(())
    }

    /// Before a batch is begun there must be room for one. Says whether that took time.
    fn wait_for_a_batch(
        &self,
        generator: &mut Generator,
        records: &Records,
        operation: Operation,
        begun: &mut Begun,
    ) -> bool {
        if !generator.begins_a_batch(operation) {
            return false;
        }
        // The one that is full goes first.
        generator.flush(records);
        begun.batches += generator.batches.len() as u64;
        self.send(generator);
        let room = self.plan.concurrency as u64;
        self.wait_until_ended(
            &self.batches_ended,
            (begun.batches + 1).saturating_sub(room),
        );
        true
    }

    /// Reads go to their threads many at a time. Says whether that took time.
    fn wait_for_a_reader(&self, generator: &mut Generator, begun: &mut Begun) -> bool {
        begun.reads += 1;
        if generator.reads.len() < TAKEN_MAX {
            return false;
        }
        self.send(generator);
        let room = CLOSED_READS_MAX * self.plan.readers as u64;
        if begun.reads - self.reads_ended.get() < room {
            return false;
        }
        // Half of them, so that one waking serves many.
        self.wait_until_ended(&self.reads_ended, begun.reads - room / 2);
        true
    }

    fn wait_until_ended(&self, ends: &Ends, count: u64) {
        while ends.get() < count && !self.is_over() {
            ends.wait_for(count);
        }
    }
}

/// What a closed loop has begun.
#[derive(Debug, Default)]
struct Begun {
    operations: u64,
    /// Those after the warm-up.
    counted: u64,
    batches: u64,
    reads: u64,
}

/// When a closed loop ends.
struct Limits {
    begin_ns: u64,
    end_ns: u64,
    ops_max: u64,
}

/// Runs a stage to its end: until everything that was let in has ended.
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
    let mut generator = Generator::new(
        stage.source,
        gatherer,
        plan.in_flight_operations_max,
        stage.trace,
    );
    let floor = Floor {
        target,
        plan,
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
    };
    // The generator's, the completer's, the readers'.
    let recorders: Vec<Recorder> = (0..plan.readers + 2)
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
    let limits = Limits {
        begin_ns: stage.begin_ns,
        end_ns: stage.end_ns,
        ops_max: stage.ops_max,
    };
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
            let generated = match stage.mode {
                Mode::Open => floor
                    .open_loop(&mut generator, records, generating)
                    .map(Some),
                Mode::Closed => floor
                    .closed_loop(&mut generator, records, generating, &limits)
                    .map(|()| None),
            };
            if let Ok(Some(end_ns)) = &generated {
                schedule_ends(*end_ns);
            }
            generator.flush(records);
            floor.send(&mut generator);
            let finished = generator.finish();
            locked(&floor.cpu).generator_us = thread_cpu_us();
            generated.and_then(|end_ns| finished.map(|()| end_ns))
        });
        let generate = generate.map_err(StageError::Thread)?;
        // Until every thread has let go of its sender.
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = done.recv_timeout(REPORT) {
            ledger.collect(&recorders, floor.now_ns())?;
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
    let generated = generated?;
    let elapsed = floor.origin.elapsed();
    if let Some(error) = locked(&floor.failure).take() {
        return Err(StageError::Target(error));
    }
    let schedule_end_ns = generated?;
    let sums = ledger.finish(&recorders)?;
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
        scheduled_ns,
        ended_in_schedule,
        elapsed,
        ended: floor.operations_ended.load(Ordering::Relaxed),
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
