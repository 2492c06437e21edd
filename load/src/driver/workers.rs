//! The loops of the threads that submit, complete and read.

use std::sync::atomic::Ordering;

use super::{OnDrop, StageContext, Submitted, Tally, thread_cpu_us};
use crate::generator::{Gathered, Member};
use crate::measure::{Recorder, Times};
use crate::operations::Operation;
use crate::records::{self, WriteBatch};
use crate::run::OperationKind;
use crate::target::{TargetError, Written};

/// Most reads that a reader takes at once.
pub(super) const TAKEN_MAX: usize = 32;

impl StageContext<'_> {
    pub(super) fn submit_all(&self) {
        let _ending = OnDrop(|| {
            self.halt();
            self.pending.close();
        });
        while let Some(Gathered { batch, members }) = self.writes.pop() {
            let started_ns = self.now_ns();
            let read = self.read_required(&batch);
            let pending = read.and_then(|()| self.target.submit(&batch));
            self.pending.push(Submitted {
                batch,
                members,
                started_ns,
                pending: pending.unwrap_or_else(|error| Box::new(|| Err(error))),
            });
        }
        self.counts.lock().cpu.submitter_us = thread_cpu_us();
    }

    /// Reads the keys for which the batch has a requirement.
    fn read_required(&self, batch: &WriteBatch) -> Result<(), TargetError> {
        let mut tally = Tally::default();
        let read = batch.required().try_for_each(|index| {
            let value = self.target.read(&self.key(index))?;
            self.count_key(index, value.is_some(), &mut tally);
            Ok(())
        });
        self.counts.lock().tally.add(tally);
        read
    }

    pub(super) fn complete_all(&self, recorder: &Recorder) {
        let _ending = OnDrop(|| self.halt());
        let mut waited_ns = 0;
        while let Some(submitted) = self.pending.pop() {
            let (members, started_ns) = (submitted.members, submitted.started_ns);
            let begun_ns = self.now_ns();
            let written = (submitted.pending)();
            let ended_ns = self.now_ns();
            waited_ns += ended_ns - begun_ns;
            let mut recording = recorder.lock();
            for Member { kind, intended_ns } in &members {
                let times = Times {
                    intended_ns: *intended_ns,
                    started_ns,
                    ended_ns,
                };
                match &written {
                    Ok(Written::Applied | Written::OutOfOrder) => recording.ended(*kind, times),
                    Ok(Written::Refused(_)) | Err(_) => recording.failed(times),
                }
            }
            drop(recording);
            self.count_batch(written, &submitted.batch);
            self.batches_ended.add(1);
            self.operations_ended
                .fetch_add(members.len() as u64, Ordering::Release);
        }
        self.counts.lock().cpu.completer_us = own_cpu_us(waited_ns);
    }

    fn count_batch(&self, written: Result<Written, TargetError>, batch: &WriteBatch) {
        let mut more = Tally {
            batches: 1,
            ..Tally::default()
        };
        match written {
            Ok(Written::Applied) => self.counts.lock().doubts.applied(batch),
            Ok(Written::OutOfOrder) => {
                self.counts.lock().doubts.out_of_order(batch);
                more.out_of_order = 1;
            }
            Ok(Written::Refused(reason)) => {
                let follows = self.counts.lock().doubts.refused(batch);
                more.refused = 1;
                more.refused_in_consequence = u64::from(follows);
                more.first_refusal = Some(reason);
            }
            Err(error) => {
                self.counts.lock().doubts.failed(batch);
                more = self.failed(error);
                more.failed_writes = batch.len() as u64;
            }
        }
        self.counts.lock().tally.add(more);
    }

    /// Returns the tally of a failure, and ends the stage if no later operation can succeed.
    fn failed(&self, error: TargetError) -> Tally {
        let tally = Tally {
            first_failure: Some(error.to_string()),
            ..Tally::default()
        };
        if error.ends_the_run() {
            self.counts.lock().failure.get_or_insert(error);
            self.halt();
        }
        tally
    }

    pub(super) fn read_all(&self, recorder: &Recorder) {
        let _ending = OnDrop(|| self.halt());
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
                    Ok(()) => recorder.lock().ended(job.operation.kind, times),
                    Err(error) => {
                        recorder.lock().failed(times);
                        tally.add(self.failed(error));
                        tally.failed_reads += 1;
                    }
                }
                // They are counted one by one, because the reads that follow have not ended.
                self.operations_ended.fetch_add(1, Ordering::Release);
            }
            self.counts.lock().tally.add(tally);
            self.reads_ended.add(count);
        }
        let mut counts = self.counts.lock();
        counts.cpu.reader_us = counts.cpu.reader_us.max(own_cpu_us(read_ns));
        counts.reading.reads += reads;
        counts.reading.taken_us += read_ns / 1000;
    }

    fn read(&self, operation: Operation, tally: &mut Tally) -> Result<(), TargetError> {
        let Operation { kind, index, count } = operation;
        let key = self.key(index);
        let value = match kind {
            OperationKind::MultiGet => {
                let indices = index..index + u64::from(count);
                let keys: Vec<_> = indices.clone().map(|index| self.key(index)).collect();
                let values = self.target.read_many(&keys)?;
                for (index, value) in indices.zip(values) {
                    self.count_key(index, value.is_some(), tally);
                }
                return Ok(());
            }
            OperationKind::Verify => self.target.read_proven(&key, self.stage.plan.proof_top)?,
            _ => self.target.read(&key)?,
        };
        self.count_key(index, value.is_some(), tally);
        Ok(())
    }

    fn key(&self, index: u64) -> [u8; 16] {
        records::key(self.stage.plan.instance, index)
    }

    fn count_key(&self, index: u64, is_there: bool, tally: &mut Tally) {
        tally.keys_read += 1;
        tally.missing += u64::from(!is_there && index < self.stage.keys_there);
    }
}

/// Returns the processor time of this thread without its calls of the target, which took `calls_ns` by the clock. The
/// calls may have waited without using the processor, so the true time may be longer.
fn own_cpu_us(calls_ns: u64) -> u64 {
    thread_cpu_us().saturating_sub(calls_ns / 1000)
}
