//! What the thread that decides does: operations at their times, or each when there is room.
//!
//! Not here: what is decided (`generator`), and the threads that carry it out.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::{Floor, REPORT, TAKEN_MAX};
use crate::generator::{Generator, Pause, pause};
use crate::lanes::Ends;
use crate::measure::Recorder;
use crate::operations::Operation;
use crate::plan::Mode;
use crate::records::Records;
use crate::trace::TraceError;

/// Operations of an open loop between two looks at the clock.
const PUMPED_MAX: usize = 256;
/// Operations of a closed loop that share a look at the clock.
const CLOCKED: u64 = 16;
/// Reads of a closed loop that wait for a reader at most, for each reader.
const CLOSED_READS_MAX: u64 = 256;

impl Floor<'_> {
    /// Gives when the schedule ended, and what broke it off, if anything did.
    pub(super) fn generate(
        &self,
        stage: Deciding<'_>,
        records: &mut Records,
        recorder: &Recorder,
    ) -> (Option<u64>, Option<TraceError>) {
        let Deciding {
            mode,
            limits,
            mut generator,
            schedule_ends,
        } = stage;
        let (end_ns, failure) = match mode {
            Mode::Open => match self.open_loop(&mut generator, records, recorder) {
                Ok(end_ns) => (Some(end_ns), None),
                Err(error) => (Some(self.now_ns()), Some(error)),
            },
            Mode::Closed => {
                let ran = self.closed_loop(&mut generator, records, recorder, &limits);
                (None, ran.err())
            }
        };
        if let Some(end_ns) = end_ns {
            schedule_ends(end_ns);
        }
        generator.flush(records);
        self.send(&mut generator);
        let finished = generator.finish();
        (end_ns, failure.or(finished.err()))
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
        let room = CLOSED_READS_MAX * self.readers as u64;
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
pub(super) struct Limits {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    pub(super) ops_max: u64,
}

/// What the thread that decides is given.
pub(super) struct Deciding<'a> {
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    pub(super) generator: Generator,
    /// To be told when nothing more is due.
    pub(super) schedule_ends: &'a (dyn Fn(u64) + Sync),
}
