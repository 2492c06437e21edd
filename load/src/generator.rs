//! The decisions of the generator. Pure: the caller passes the time. The generator starts or drops the operations that
//! are due, gathers writes into batches, and passes reads on one by one.
//!
//! The latency of an operation is measured from the time at which it was due, no matter whether the target, the batch
//! or the generator delayed it. So a stalled target does not hide its own latency (G. Tene, "How not to measure
//! latency", 2013, calls the opposite coordinated omission).

use std::collections::HashSet;

use trunkline::core::batch::BatchLimits;

use super::measure::Recording;
use super::operations::Operation;
use super::plan::{Pacing, Plan};
use super::records::{Records, WriteBatch};
use super::run::OperationKind;
use super::schedule::{Source, TimedOperation};
use super::trace::{TraceError, TraceWriter};

/// Time before an operation is due during which the generator spins.
const SPIN_NS: u64 = 50_000;
/// Shortest sleep where operations are dense.
const TICK_NS: u64 = 100_000;
/// Mean distance from which operations count as sparse.
const SPARSE_NS: u64 = 200_000;

/// A read for a reader.
pub(crate) struct ReadJob {
    pub(crate) operation: Operation,
    /// The time at which it is due. `None` in a closed loop, where it is due when it starts.
    pub(crate) intended_ns: Option<u64>,
}

/// A write of a batch.
pub(crate) struct Member {
    pub(crate) kind: OperationKind,
    pub(crate) intended_ns: u64,
}

/// A batch for the submitter.
pub(crate) struct Gathered {
    pub(crate) batch: WriteBatch,
    pub(crate) members: Vec<Member>,
}

impl Gathered {
    fn new(records: &Records) -> Self {
        Self {
            batch: WriteBatch::new(records),
            members: Vec::new(),
        }
    }
}

/// Gathers writes into batches.
struct Gatherer {
    gathered: Gathered,
    /// Keys that the batch writes already. Another write of one of them requires nothing, because requirements are
    /// checked against the state before the batch. `None` if no write of the load requires anything.
    written: Option<HashSet<u64>>,
    writes_max: usize,
    linger_ns: u64,
    limits: BatchLimits,
    bytes_of_write: usize,
}

impl Gatherer {
    fn new(records: &Records, plan: &Plan, limits: BatchLimits, has_requirements: bool) -> Self {
        Self {
            gathered: Gathered::new(records),
            written: has_requirements.then(HashSet::new),
            writes_max: plan.batch,
            linger_ns: plan.batch_linger_us * 1000,
            limits,
            bytes_of_write: records.key(0).len() + plan.value_bytes,
        }
    }

    /// Adds a write. Returns the batch before it if that was full.
    fn add(
        &mut self,
        records: &mut Records,
        operation: Operation,
        intended_ns: u64,
    ) -> Option<Gathered> {
        let is_full = self.is_full(operation);
        let full = is_full.then(|| self.take(records)).flatten();
        let Operation { kind, index, .. } = operation;
        let written = self.written.as_mut();
        let is_first = written.is_none_or(|written| written.insert(index));
        let batch = &mut self.gathered.batch;
        match kind {
            OperationKind::Delete => batch.delete(records, index),
            OperationKind::ReadModifyWrite if is_first => batch.replace(records, index),
            _ => batch.put(records, index),
        }
        self.gathered.members.push(Member { kind, intended_ns });
        full
    }

    /// Returns whether the batch must be closed before this operation.
    fn is_full(&self, operation: Operation) -> bool {
        let batch = &self.gathered.batch;
        let required = usize::from(operation.kind == OperationKind::ReadModifyWrite);
        let counted = batch.len() + batch.requirements() + 1 + required;
        let bytes = batch.bytes() + self.bytes_of_write * (1 + required);
        let is_over = counted > self.limits.operations_max || bytes > self.limits.bytes_max;
        batch.len() >= self.writes_max || (is_over && !batch.is_empty())
    }

    /// Returns the time at which the oldest write will have waited long enough.
    fn lingered_ns(&self) -> Option<u64> {
        let oldest = self.gathered.members.first()?;
        Some(oldest.intended_ns.saturating_add(self.linger_ns))
    }

    /// Takes the batch gathered so far.
    fn take(&mut self, records: &Records) -> Option<Gathered> {
        if self.gathered.batch.is_empty() {
            return None;
        }
        if let Some(written) = &mut self.written {
            written.clear();
        }
        let next = Gathered::new(records);
        Some(std::mem::replace(&mut self.gathered, next))
    }
}

/// The generator of one stage.
pub(crate) struct Generator {
    source: Source,
    next: Option<TimedOperation>,
    gatherer: Gatherer,
    in_flight_max: u64,
    trace: Option<TraceWriter>,
    /// The time at which the last operation was due.
    last_due_ns: u64,
    /// The number of operations that were started.
    entered: u64,
    /// Reads that no reader has taken yet.
    pub(crate) reads: Vec<ReadJob>,
    /// Batches that no submitter has taken yet.
    pub(crate) batches: Vec<Gathered>,
}

impl Generator {
    pub(crate) fn new(
        source: Source,
        plan: &Plan,
        limits: BatchLimits,
        records: &Records,
        trace: Option<TraceWriter>,
    ) -> Self {
        let has_requirements =
            source.recorded().is_some() || plan.has(|shares| shares.read_modify_write > 0);
        Self {
            source,
            next: None,
            gatherer: Gatherer::new(records, plan, limits, has_requirements),
            in_flight_max: plan.in_flight_operations_max,
            trace,
            last_due_ns: 0,
            entered: 0,
            reads: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Open loop: draws the first operation.
    pub(crate) fn begin(&mut self) -> Result<(), TraceError> {
        self.next = self.source.next(None)?;
        Ok(())
    }

    /// Open loop: starts or drops the operations that are due, at most `count_max` of them. `ended` is the number of
    /// started operations that have ended.
    pub(crate) fn pump(
        &mut self,
        now_ns: u64,
        ended: u64,
        count_max: usize,
        records: &mut Records,
        recording: &mut Recording,
    ) -> Result<(), TraceError> {
        for _ in 0..count_max {
            let Some(timed) = self.next.filter(|timed| timed.at_ns <= now_ns) else {
                let lingered_ns = self.gatherer.lingered_ns();
                if lingered_ns.is_some_and(|lingered_ns| lingered_ns <= now_ns) {
                    self.flush(records);
                }
                break;
            };
            let TimedOperation { at_ns, operation } = timed;
            self.next = self.source.next(None)?;
            self.note(timed)?;
            self.last_due_ns = at_ns;
            recording.offered(at_ns, now_ns - at_ns);
            match self.entered - ended < self.in_flight_max {
                true => self.let_in(operation, at_ns, Some(at_ns), records),
                false => recording.dropped(at_ns),
            }
        }
        Ok(())
    }

    /// Closed loop: draws the next operation.
    pub(crate) fn draw(&mut self, now_ns: u64) -> Result<Option<Operation>, TraceError> {
        let timed = self.source.next(Some(now_ns))?;
        timed.map_or(Ok(()), |timed| self.note(timed))?;
        Ok(timed.map(|timed| timed.operation))
    }

    /// Closed loop: starts the drawn operation.
    pub(crate) fn start(&mut self, operation: Operation, now_ns: u64, records: &mut Records) {
        self.let_in(operation, now_ns, None, records);
    }

    /// Returns whether a write of a closed loop would begin a batch.
    pub(crate) fn begins_a_batch(&self, operation: Operation) -> bool {
        self.gatherer.gathered.batch.is_empty() || self.gatherer.is_full(operation)
    }

    fn note(&mut self, timed: TimedOperation) -> Result<(), TraceError> {
        let trace = self.trace.as_mut();
        trace.map_or(Ok(()), |trace| trace.write(timed.at_ns, timed.operation))
    }

    fn let_in(
        &mut self,
        operation: Operation,
        write_intended_ns: u64,
        read_intended_ns: Option<u64>,
        records: &mut Records,
    ) {
        self.entered += 1;
        if operation.kind.is_write() {
            let full = self.gatherer.add(records, operation, write_intended_ns);
            self.batches.extend(full);
        } else {
            self.reads.push(ReadJob {
                operation,
                intended_ns: read_intended_ns,
            });
        }
    }

    /// Makes a batch of the writes gathered so far, even if it is small.
    pub(crate) fn flush(&mut self, records: &Records) {
        self.batches.extend(self.gatherer.take(records));
    }

    /// Returns the time of the next action. `None` if nothing more is due and only flushing is left.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        let due_ns = self.next?.at_ns;
        let lingered_ns = self.gatherer.lingered_ns();
        Some(lingered_ns.map_or(due_ns, |lingered_ns| due_ns.min(lingered_ns)))
    }

    /// Open loop: returns the time since which nothing more is due.
    pub(crate) fn ended_ns(&self) -> u64 {
        self.source.end_ns().unwrap_or(self.last_due_ns)
    }

    /// Ends the trace that was written.
    pub(crate) fn finish(self) -> Result<(), TraceError> {
        self.trace.map_or(Ok(()), TraceWriter::finish)
    }
}

/// The way to wait.
#[derive(Debug, PartialEq)]
pub(crate) enum Pause {
    /// No wait: the time has come.
    None,
    /// Spin, which keeps the processor busy.
    Spin,
    /// Sleep for this many nanoseconds.
    Sleep(u64),
}

/// Returns the way to wait from now until `wake_ns`, for operations with a mean distance.
pub(crate) fn pause(pacing: Pacing, distance_ns: u64, now_ns: u64, wake_ns: u64) -> Pause {
    let spins = match pacing {
        Pacing::Spin => true,
        Pacing::Sleep => false,
        Pacing::Auto => distance_ns >= SPARSE_NS,
    };
    match wake_ns.saturating_sub(now_ns) {
        0 => Pause::None,
        left if !spins => Pause::Sleep(left.max(TICK_NS)),
        left if left > SPIN_NS => Pause::Sleep(left - SPIN_NS),
        _ => Pause::Spin,
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::{Aggregator, Times, recorder};
    use super::super::operations::Workload;
    use super::super::plan::Arrivals;
    use super::super::run::Totals;
    use super::super::schedule::SECOND_NS;
    use super::*;

    const MILLI_NS: u64 = 1_000_000;

    fn plan(workload: Workload) -> Plan {
        Plan {
            keys: 1000,
            workload,
            rate: Some(1000.0),
            arrivals: Arrivals::Constant,
            warmup_s: Some(0.0),
            duration_s: Some(10.0),
            ..Plan::default()
        }
    }

    fn generator(plan: &Plan, records: &Records, in_flight_max: u64) -> Generator {
        let plan = Plan {
            in_flight_operations_max: in_flight_max,
            ..plan.clone()
        };
        let limits = BatchLimits::default();
        let mut generator = Generator::new(Source::planned(&plan), &plan, limits, records, None);
        generator.begin().unwrap();
        generator
    }

    /// Simulates a target that does one read after the other. Each takes 100 µs, except one that takes 2 s.
    fn with_a_stall(in_flight_max: u64) -> Totals {
        let service_ns = |read: u64| match read {
            3000 => 2 * SECOND_NS,
            _ => MILLI_NS / 10,
        };
        simulated(in_flight_max, service_ns)
    }

    /// Simulates, event by event, a target that does one read after the other. The first is read 0.
    fn simulated(in_flight_max: u64, service_ns: impl Fn(u64) -> u64) -> Totals {
        let plan = plan(Workload::C);
        let mut records = Records::new(1, 100);
        let mut generator = generator(&plan, &records, in_flight_max);
        let recorders = [recorder(0)];
        recorders[0].lock().schedule_ends(generator.ended_ns());
        let mut waiting = std::collections::VecDeque::new();
        let (mut started, mut free_ns) = (0, 0);
        loop {
            let wake_ns = generator.wake_ns();
            let now_ns = wake_ns.unwrap_or(u64::MAX);
            // Operations that the target began before this moment.
            while free_ns <= now_ns
                && let Some(ReadJob {
                    operation,
                    intended_ns,
                }) = waiting.pop_front()
            {
                let intended_ns: u64 = Option::unwrap(intended_ns);
                let started_ns = free_ns.max(intended_ns);
                free_ns = started_ns + service_ns(started);
                started += 1;
                let times = Times {
                    intended_ns,
                    started_ns,
                    ended_ns: free_ns,
                };
                recorders[0].lock().ended(operation.kind, times);
            }
            if wake_ns.is_none() {
                break;
            }
            // An operation in progress has not ended.
            let ended = started - u64::from(free_ns > now_ns);
            let mut recording = recorders[0].lock();
            generator
                .pump(now_ns, ended, 16, &mut records, &mut recording)
                .unwrap();
            waiting.extend(generator.reads.drain(..));
        }
        Aggregator::new(0).finish(&recorders).unwrap()
    }

    #[test]
    fn a_stall_counts_in_the_latency_of_all_that_was_due_meanwhile() {
        let sums = with_a_stall(1_000_000);
        let read = &sums.operations[&OperationKind::Read];
        assert_eq!(sums.dropped, 0);
        // One service was slow, so its quantiles hide it; a fifth of the operations were due in the stall or while the
        // target caught up.
        assert!(read.service.p999_us < 110.0, "{read:?}");
        assert!(read.latency.p90_us > 900_000.0, "{read:?}");
        assert!((read.latency.max_us / 2e6 - 1.0).abs() < 0.01, "{read:?}");
        assert!(read.latency.p50_us < 110.0, "{read:?}");
    }

    #[test]
    fn of_a_target_that_is_too_slow_less_ends_in_the_schedule_than_is_due_in_it() {
        // 1,000 operations per second are due for 10 s.
        let sums = simulated(1_000_000, |_| 2 * MILLI_NS);
        assert_eq!(sums.achieved, sums.offered);
        assert!(sums.offered.abs_diff(10_000) <= 1);
        assert!(sums.ended_in_schedule.abs_diff(5_000) <= 1, "{sums:?}");
        let sums = simulated(1_000_000, |_| MILLI_NS / 2);
        assert!(sums.offered - sums.ended_in_schedule <= 1, "{sums:?}");
    }

    #[test]
    fn the_schedule_ends_with_its_time_or_with_its_last_operation() {
        let ended_ns = |ops, duration_s| {
            let plan = Plan {
                ops,
                duration_s,
                ..plan(Workload::C)
            };
            let mut records = Records::new(1, 100);
            let mut generator = generator(&plan, &records, 1_000_000);
            let recorder = recorder(0);
            while let Some(now_ns) = generator.wake_ns() {
                let mut recording = recorder.lock();
                generator
                    .pump(now_ns, 0, 16, &mut records, &mut recording)
                    .unwrap();
            }
            generator.ended_ns()
        };
        // One operation per millisecond.
        assert_eq!(ended_ns(None, Some(2.5)), 2_500 * MILLI_NS);
        assert_eq!(ended_ns(Some(100), Some(0.01)), 10 * MILLI_NS);
        for duration_s in [None, Some(2.5)] {
            let ended_ns = ended_ns(Some(100), duration_s);
            assert!(ended_ns.abs_diff(100 * MILLI_NS) <= MILLI_NS, "{ended_ns}");
        }
    }

    #[test]
    fn what_is_due_while_too_many_are_under_way_is_dropped_and_counted() {
        let sums = with_a_stall(500);
        // 2,000 operations were due in the stall; 500 of them were started.
        assert!(sums.dropped.abs_diff(1500) <= 2, "{sums:?}");
        assert_eq!(sums.achieved + sums.dropped, sums.offered);
        assert!(sums.offered.abs_diff(10_000) <= 1);
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_its_oldest_write_has_waited() {
        let plan = Plan {
            batch: 5,
            batch_linger_us: 3_000,
            ..plan(Workload::Write)
        };
        let mut records = Records::new(1, 100);
        let recorder = recorder(0);
        let mut sizes = Vec::new();
        let mut generator = generator(&plan, &records, 1_000_000);
        while let Some(now_ns) = generator.wake_ns() {
            generator
                .pump(now_ns, 0, 16, &mut records, &mut recorder.lock())
                .unwrap();
            for gathered in generator.batches.drain(..) {
                let oldest_ns = gathered.members[0].intended_ns;
                assert!(now_ns <= oldest_ns + 3 * MILLI_NS);
                sizes.push(gathered.batch.len());
            }
        }
        // One operation per millisecond: there are four when the first has waited for three.
        assert!(sizes.iter().all(|size| (3..=4).contains(size)), "{sizes:?}");

        let dense = Plan {
            rate: Some(1e5),
            duration_s: Some(0.1),
            ..plan
        };
        let mut generator = self::generator(&dense, &records, 1_000_000);
        while let Some(now_ns) = generator.wake_ns() {
            generator
                .pump(now_ns, 0, 16, &mut records, &mut recorder.lock())
                .unwrap();
        }
        assert!(
            generator
                .batches
                .iter()
                .all(|gathered| gathered.batch.len() == 5)
        );
    }

    #[test]
    fn a_dropped_write_is_not_expected_of_the_target() {
        let plan = Plan {
            batch: 1,
            ..plan(Workload::Write)
        };
        let mut records = Records::new(1, 100);
        let mut generator = generator(&plan, &records, 3);
        let recorder = recorder(0);
        while let Some(now_ns) = generator.wake_ns() {
            generator
                .pump(now_ns, 0, 16, &mut records, &mut recorder.lock())
                .unwrap();
        }
        generator.flush(&records);
        assert_eq!(generator.entered, 3);
        assert_eq!(generator.batches.len(), 3);
        let written = (0..1000)
            .filter(|index| records.value(*index).is_some())
            .count();
        assert!(written <= 3);
    }

    fn gatherer(records: &Records, limits: BatchLimits, has_requirements: bool) -> Gatherer {
        let plan = Plan {
            batch: 100,
            batch_linger_us: 0,
            value_bytes: 10,
            ..Plan::default()
        };
        Gatherer::new(records, &plan, limits, has_requirements)
    }

    #[test]
    fn only_the_first_write_of_a_key_requires_what_was_there_before_the_batch() {
        let records = &mut Records::new(1, 10);
        let limits = BatchLimits::default();
        let mut gatherer = gatherer(records, limits, true);
        gatherer.add(
            records,
            Operation::new(OperationKind::ReadModifyWrite, 0),
            0,
        );
        gatherer.add(
            records,
            Operation::new(OperationKind::ReadModifyWrite, 0),
            0,
        );
        gatherer.add(records, Operation::new(OperationKind::Update, 1), 0);
        gatherer.add(
            records,
            Operation::new(OperationKind::ReadModifyWrite, 1),
            0,
        );
        let gathered = gatherer.take(records).unwrap();
        assert_eq!(
            (gathered.batch.len(), gathered.batch.requirements()),
            (4, 1)
        );
    }

    #[test]
    fn batches_keep_the_limits_of_the_target() {
        let records = &mut Records::new(1, 10);
        let limits = BatchLimits {
            operations_max: 3,
            bytes_max: 10_000,
        };
        let mut requiring = gatherer(records, limits, true);
        for index in 0..10 {
            let full = requiring.add(
                records,
                Operation::new(OperationKind::ReadModifyWrite, index),
                0,
            );
            assert!(full.is_none_or(|full| full.batch.len() + full.batch.requirements() <= 3));
        }
        let limits = BatchLimits {
            operations_max: 100,
            bytes_max: 60,
        };
        let mut gatherer = gatherer(records, limits, false);
        for index in 0..10 {
            let full = gatherer.add(records, Operation::new(OperationKind::Update, index), 0);
            assert!(full.is_none_or(|full| full.batch.len() == 2));
        }
    }

    #[test]
    fn the_generator_spins_only_where_operations_are_sparse_or_it_is_told_to() {
        let sparse = |left| pause(Pacing::Auto, SPARSE_NS, 0, left);
        assert_eq!(sparse(0), Pause::None);
        assert_eq!(sparse(SPIN_NS), Pause::Spin);
        assert_eq!(sparse(SPIN_NS + 7), Pause::Sleep(7));
        assert_eq!(pause(Pacing::Auto, 1_000, 0, 10), Pause::Sleep(TICK_NS));
        assert_eq!(pause(Pacing::Spin, 1_000, 0, 10), Pause::Spin);
        assert_eq!(
            pause(Pacing::Sleep, SECOND_NS, 0, 10),
            Pause::Sleep(TICK_NS)
        );
        assert_eq!(pause(Pacing::Auto, 1_000, 10, 5), Pause::None);
    }
}
