//! The loops of the deciding thread: it starts operations at their times, or each one when an earlier one has ended.

use std::thread;
use std::time::Duration;

use super::workers::TAKEN_MAX;
use super::{Generated, REPORT, StageContext};
use crate::generator::{Generator, Pause, pause};
use crate::measure::Recorder;
use crate::operations::Operation;
use crate::plan::Mode;
use crate::queues::CompletionCounter;
use crate::records::Records;
use crate::trace::TraceError;

/// Operations of an open loop between two readings of the clock.
const PUMPED_MAX: usize = 256;
/// Operations of a closed loop that share a reading of the clock.
const CLOCKED: u64 = 16;
/// Most reads of a closed loop in flight per reader.
const CLOSED_READS_MAX: u64 = 256;

/// Counts of the operations that a closed loop has begun.
#[derive(Default)]
struct Begun {
    operations: u64,
    /// Operations after the warm-up.
    counted: u64,
    batches: u64,
    reads: u64,
}

impl StageContext<'_> {
    /// Runs the loop of the stage.
    pub(super) fn generate(
        &self,
        mut generator: Generator,
        records: &mut Records,
        recorder: &Recorder,
    ) -> Generated {
        let is_open = self.stage.plan.mode == Mode::Open;
        let ran = match is_open {
            true => self.open_loop(&mut generator, records, recorder).map(Some),
            false => self
                .closed_loop(&mut generator, records, recorder)
                .map(|()| None),
        };
        let end_ns = match &ran {
            Ok(end_ns) => *end_ns,
            Err(_) => is_open.then(|| self.now_ns()),
        };
        if let Some(end_ns) = end_ns {
            self.schedule_ends(end_ns);
        }
        generator.flush(records);
        self.send(&mut generator);
        let finished = generator.finish();
        (end_ns, ran.err().or(finished.err()))
    }

    /// Runs an open loop and returns when its schedule ended.
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
            let distance_ns = self.distance_ns(now_ns);
            match pause(self.stage.plan.pacing, distance_ns, now_ns, wake_ns) {
                Pause::None => {
                    let ended = self.ended();
                    let mut recording = recorder.lock();
                    generator.pump(now_ns, ended, PUMPED_MAX, records, &mut recording)?;
                    drop(recording);
                    self.send(generator);
                }
                Pause::Spin => std::hint::spin_loop(),
                // The loop must notice when it is stopped.
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
    ) -> Result<(), TraceError> {
        let stage = self.stage;
        let mut begun = Begun::default();
        let mut now_ns = self.now_ns();
        while !self.is_over() && now_ns < stage.end_ns && begun.counted < stage.ops_max {
            let Some(operation) = generator.draw(now_ns)? else {
                break;
            };
            let has_waited = match operation.kind.is_write() {
                true => self.wait_for_a_batch(generator, records, operation, &mut begun),
                false => self.wait_for_a_reader(generator, &mut begun),
            };
            if has_waited || begun.operations.is_multiple_of(CLOCKED) {
                now_ns = self.now_ns();
            }
            begun.operations += 1;
            begun.counted += u64::from(now_ns >= stage.begin_ns);
            recorder.lock().offered_in_turn(now_ns);
            generator.start(operation, now_ns, records);
        }
        Ok(())
    }

    /// Waits until another batch may be in flight, if the write begins one. Returns whether it had to wait.
    fn wait_for_a_batch(
        &self,
        generator: &mut Generator,
        records: &Records,
        operation: Operation,
        begun: &mut Begun,
    ) -> bool {
        let begins = generator.begins_a_batch(operation);
        if begins {
            // The full batch is sent first.
            generator.flush(records);
            begun.batches += generator.batches.len() as u64;
            self.send(generator);
            let allowed = self.stage.plan.concurrency as u64;
            self.wait_until_ended(
                &self.batches_ended,
                (begun.batches + 1).saturating_sub(allowed),
            );
        }
        begins
    }

    /// Passes reads on, several at a time, and waits if too many are in flight. Returns whether it had to wait.
    fn wait_for_a_reader(&self, generator: &mut Generator, begun: &mut Begun) -> bool {
        begun.reads += 1;
        if generator.reads.len() < TAKEN_MAX {
            return false;
        }
        self.send(generator);
        let allowed = CLOSED_READS_MAX * self.readers as u64;
        let is_full = begun.reads - self.reads_ended.get() >= allowed;
        if is_full {
            // It waits for half of them, so that it wakes once for several.
            self.wait_until_ended(&self.reads_ended, begun.reads - allowed / 2);
        }
        is_full
    }

    fn wait_until_ended(&self, ended: &CompletionCounter, count: u64) {
        while ended.get() < count && !self.is_over() {
            ended.wait_for(count);
        }
    }

    /// Passes on the reads and batches of the generator.
    fn send(&self, generator: &mut Generator) {
        self.reads.push_all(&mut generator.reads);
        self.writes.push_all(&mut generator.batches);
    }

    /// Returns the mean distance of operations at a time.
    fn distance_ns(&self, now_ns: u64) -> u64 {
        let plan = self.stage.plan;
        self.stage.recorded_distance_ns.unwrap_or_else(|| {
            let at_s = (now_ns as f64 / 1e9) - plan.warmup_s();
            let rate = plan.rate.unwrap_or(0.0) * plan.rate_factor(at_s);
            (1e9 / rate.max(1e-3)) as u64
        })
    }
}
