//! What the generator decides: pure, with time handed in. What is due is let in or dropped, writes are gathered
//! into batches, reads go on one by one.
//!
//! The latency of an operation counts from when it was due, whether the target, the batch or the generator kept it
//! waiting: a target that stalls can't make the load wait for it (G. Tene, "How not to measure latency", 2013, calls
//! the opposite coordinated omission). Not here: threads, and waiting.

use std::collections::HashSet;

use trunkline::core::batch::BatchLimits;

use super::measure::Recording;
use super::operations::Operation;
use super::plan::Pacing;
use super::records::{Records, WriteBatch};
use super::run::OperationKind;
use super::schedule::{Source, TimedOperation};
use super::trace::{TraceError, TraceWriter};

/// How close to its time the generator spins.
const SPIN_NS: u64 = 50_000;
/// How long it sleeps at a time where operations come dense.
const TICK_NS: u64 = 100_000;
/// Mean distance from which on operations come sparse.
const SPARSE_NS: u64 = 200_000;

/// A read that is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadJob {
    pub(crate) operation: Operation,
    /// In a closed loop, when it starts.
    pub(crate) intended_ns: Option<u64>,
}

/// A write of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) kind: OperationKind,
    pub(crate) intended_ns: u64,
}

/// A batch that is to be submitted.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) batch: WriteBatch,
    pub(crate) members: Vec<Member>,
}

/// Gathers writes into batches.
#[derive(Debug)]
pub(crate) struct Gatherer {
    batch: WriteBatch,
    members: Vec<Member>,
    /// Keys that the batch writes, where anything may depend on them: requirements are checked against the state
    /// before the batch.
    written: Option<HashSet<u64>>,
    writes_max: usize,
    linger_ns: u64,
    limits: BatchLimits,
    bytes_of_write: usize,
}

impl Gatherer {
    pub(crate) fn new(
        records: &Records,
        writes_max: usize,
        linger_us: u64,
        limits: BatchLimits,
        value_bytes: usize,
        has_requirements: bool,
    ) -> Self {
        Self {
            batch: WriteBatch::new(records),
            members: Vec::new(),
            written: has_requirements.then(HashSet::new),
            writes_max,
            linger_ns: linger_us * 1000,
            limits,
            bytes_of_write: records.key(0).len() + value_bytes,
        }
    }

    /// Adds a write. Gives what was full before it.
    fn add(
        &mut self,
        records: &mut Records,
        operation: Operation,
        intended_ns: u64,
    ) -> Option<Gathered> {
        let full = self
            .is_full(operation)
            .then(|| self.take(records))
            .flatten();
        let index = operation.index();
        let is_first = self
            .written
            .as_mut()
            .is_none_or(|written| written.insert(index));
        match operation {
            Operation::Delete { .. } => self.batch.delete(records, index),
            Operation::ReadModifyWrite { .. } if is_first => self.batch.replace(records, index),
            _ => self.batch.put(records, index),
        }
        self.members.push(Member {
            kind: operation.kind(),
            intended_ns,
        });
        full
    }

    fn is_full(&self, operation: Operation) -> bool {
        let required = usize::from(operation.kind() == OperationKind::ReadModifyWrite);
        let counted = self.batch.len() + self.batch.requirements() + 1 + required;
        let bytes = self.batch.bytes() + self.bytes_of_write * (1 + required);
        let is_over = counted > self.limits.operations_max || bytes > self.limits.bytes_max;
        self.batch.len() >= self.writes_max || (is_over && !self.batch.is_empty())
    }

    /// Whether the next write would begin a batch.
    pub(crate) fn begins_a_batch(&self, operation: Operation) -> bool {
        self.batch.is_empty() || self.is_full(operation)
    }

    /// When the oldest write has waited long enough.
    fn lingered_ns(&self) -> Option<u64> {
        let oldest = self.members.first()?;
        Some(oldest.intended_ns.saturating_add(self.linger_ns))
    }

    /// What was gathered so far.
    pub(crate) fn take(&mut self, records: &Records) -> Option<Gathered> {
        if self.batch.is_empty() {
            return None;
        }
        if let Some(written) = &mut self.written {
            written.clear();
        }
        let room = Vec::with_capacity(self.members.len());
        Some(Gathered {
            batch: std::mem::replace(
                &mut self.batch,
                WriteBatch::with_capacity(records, self.members.len()),
            ),
            members: std::mem::replace(&mut self.members, room),
        })
    }
}

/// The generator of one stage.
#[derive(Debug)]
pub(crate) struct Generator {
    source: Source,
    next: Option<TimedOperation>,
    gatherer: Gatherer,
    in_flight_max: u64,
    trace: Option<TraceWriter>,
    /// When the last operation was due.
    last_due_ns: u64,
    /// Operations that were let in.
    pub(crate) entered: u64,
    /// Reads to be done, for whoever empties it.
    pub(crate) reads: Vec<ReadJob>,
    /// Batches to be submitted, for whoever empties it.
    pub(crate) batches: Vec<Gathered>,
}

impl Generator {
    pub(crate) fn new(
        source: Source,
        gatherer: Gatherer,
        in_flight_max: u64,
        trace: Option<TraceWriter>,
    ) -> Self {
        Self {
            source,
            next: None,
            gatherer,
            in_flight_max,
            trace,
            last_due_ns: 0,
            entered: 0,
            reads: Vec::new(),
            batches: Vec::new(),
        }
    }

    /// Looks at the first operation of an open loop.
    pub(crate) fn begin(&mut self) -> Result<(), TraceError> {
        self.next = self.source.next_timed()?;
        Ok(())
    }

    /// Open loop: lets in or drops what is due, at most `count_max` operations; `ended` is how many of those that were
    /// let in have ended. Says whether anything due is left.
    pub(crate) fn pump(
        &mut self,
        now_ns: u64,
        ended: u64,
        count_max: usize,
        records: &mut Records,
        recording: &mut Recording,
    ) -> Result<bool, TraceError> {
        for _ in 0..count_max {
            let Some(timed) = self.next.filter(|timed| timed.at_ns <= now_ns) else {
                self.send_lingered(now_ns, records);
                return Ok(false);
            };
            self.next = self.source.next_timed()?;
            self.note(timed)?;
            self.last_due_ns = timed.at_ns;
            recording.offered(timed.at_ns, now_ns - timed.at_ns);
            match self.entered - ended < self.in_flight_max {
                true => self.let_in(timed.operation, Some(timed.at_ns), timed.at_ns, records),
                false => recording.dropped(timed.at_ns),
            }
        }
        Ok(true)
    }

    /// Closed loop: the next operation; it is due when there is room for it.
    pub(crate) fn draw(&mut self, now_ns: u64) -> Result<Option<Operation>, TraceError> {
        let timed = self.source.next_at(now_ns)?;
        if let Some(timed) = timed {
            self.note(timed)?;
        }
        Ok(timed.map(|timed| timed.operation))
    }

    /// Closed loop: starts what was drawn.
    pub(crate) fn start(&mut self, operation: Operation, now_ns: u64, records: &mut Records) {
        self.let_in(operation, None, now_ns, records);
    }

    /// Whether a write of a closed loop would begin a batch.
    pub(crate) fn begins_a_batch(&self, operation: Operation) -> bool {
        self.gatherer.begins_a_batch(operation)
    }

    fn note(&mut self, timed: TimedOperation) -> Result<(), TraceError> {
        match &mut self.trace {
            Some(trace) => trace.write(timed.at_ns, timed.operation),
            None => Ok(()),
        }
    }

    fn let_in(
        &mut self,
        operation: Operation,
        read_intended_ns: Option<u64>,
        intended_ns: u64,
        records: &mut Records,
    ) {
        self.entered += 1;
        if !operation.kind().is_write() {
            self.reads.push(ReadJob {
                operation,
                intended_ns: read_intended_ns,
            });
            return;
        }
        let full = self.gatherer.add(records, operation, intended_ns);
        self.batches.extend(full);
    }

    fn send_lingered(&mut self, now_ns: u64, records: &Records) {
        if self
            .gatherer
            .lingered_ns()
            .is_some_and(|lingered_ns| lingered_ns <= now_ns)
        {
            self.flush(records);
        }
    }

    /// Sends what was gathered, however little.
    pub(crate) fn flush(&mut self, records: &Records) {
        self.batches.extend(self.gatherer.take(records));
    }

    /// When there is something to do next; `None` if never again, but for flushing.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        let due = self.next?.at_ns;
        Some(
            self.gatherer
                .lingered_ns()
                .map_or(due, |lingered_ns| due.min(lingered_ns)),
        )
    }

    /// Open loop, when nothing is due any more: since when.
    pub(crate) fn ended_ns(&self) -> u64 {
        self.source.end_ns().unwrap_or(self.last_due_ns)
    }

    /// Ends the trace that was written.
    pub(crate) fn finish(self) -> Result<(), TraceError> {
        self.trace.map_or(Ok(()), TraceWriter::finish)
    }
}

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Not at all: it is time.
    None,
    /// Without giving up the processor.
    Spin,
    /// Giving it up for so many nanoseconds.
    Sleep(u64),
}

/// How to wait for a time, when operations are so far apart.
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
    use super::super::measure::{Ledger, Recorder, Times};
    use super::super::operations::Workload;
    use super::super::plan::{Arrivals, Plan};
    use super::super::schedule::{SECOND_NS, Schedule};
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
        let limits = BatchLimits::default();
        let gatherer = Gatherer::new(
            records,
            plan.batch,
            plan.batch_linger_us,
            limits,
            plan.value_bytes,
            true,
        );
        let source = Source::Planned(Box::new(Schedule::new(plan)));
        let mut generator = Generator::new(source, gatherer, in_flight_max, None);
        generator.begin().unwrap();
        generator
    }

    /// A target that does one read after the other, each in 100 µs but for one that takes 2 s.
    fn with_a_stall(in_flight_max: u64) -> super::super::measure::Sums {
        let service_ns = |read: u64| match read {
            3000 => 2 * SECOND_NS,
            _ => MILLI_NS / 10,
        };
        simulated(in_flight_max, service_ns)
    }

    /// A target that does one read after the other, the first one as read 0: simulated, event by event.
    fn simulated(
        in_flight_max: u64,
        service_ns: impl Fn(u64) -> u64,
    ) -> super::super::measure::Sums {
        let plan = plan(Workload::C);
        let mut records = Records::new(1, 100);
        let mut generator = generator(&plan, &records, in_flight_max);
        let recorders = [Recorder::new(0)];
        recorders[0].lock().schedule_ends(generator.ended_ns());
        let mut waiting = std::collections::VecDeque::new();
        let (mut started, mut free_ns) = (0, 0);
        loop {
            let wake_ns = generator.wake_ns();
            let now_ns = wake_ns.unwrap_or(u64::MAX);
            // What the target took up before this moment.
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
                recorders[0].lock().ended(operation.kind(), times);
            }
            if wake_ns.is_none() {
                break;
            }
            // One that is being done has not ended.
            let ended = started - u64::from(free_ns > now_ns);
            let mut recording = recorders[0].lock();
            generator
                .pump(now_ns, ended, 16, &mut records, &mut recording)
                .unwrap();
            waiting.extend(generator.reads.drain(..));
        }
        Ledger::new(0, 0).finish(&recorders).unwrap()
    }

    #[test]
    fn a_stall_counts_in_the_latency_of_all_that_was_due_meanwhile() {
        let sums = with_a_stall(1_000_000);
        let read = &sums.operations[&OperationKind::Read];
        assert_eq!(sums.dropped, 0);
        // One service was slow, so its quantiles hide it; a fifth of the operations were due in the stall or while
        // it was caught up with.
        assert!(read.service.p999_us < 110.0, "{read:?}");
        assert!(read.latency.p90_us > 900_000.0, "{read:?}");
        assert!((read.latency.max_us / 2e6 - 1.0).abs() < 0.01, "{read:?}");
        assert!(read.latency.p50_us < 110.0, "{read:?}");
    }

    #[test]
    fn of_a_target_that_is_too_slow_less_ends_in_the_schedule_than_is_due_in_it() {
        // 1,000 are due a second, for 10 s.
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
            let recorder = Recorder::new(0);
            while let Some(now_ns) = generator.wake_ns() {
                let mut recording = recorder.lock();
                generator
                    .pump(now_ns, 0, 16, &mut records, &mut recording)
                    .unwrap();
            }
            generator.ended_ns()
        };
        // One a millisecond.
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
        // 2,000 were due in the stall, 500 of them were let in.
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
        let recorder = Recorder::new(0);
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
        // One a millisecond: four are there when the first has waited for three.
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
        let recorder = Recorder::new(0);
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

    #[test]
    fn only_the_first_write_of_a_key_requires_what_was_there_before_the_batch() {
        let records = &mut Records::new(1, 10);
        let limits = BatchLimits::default();
        let mut gatherer = Gatherer::new(records, 100, 0, limits, 10, true);
        gatherer.add(records, Operation::ReadModifyWrite { index: 0 }, 0);
        gatherer.add(records, Operation::ReadModifyWrite { index: 0 }, 0);
        gatherer.add(records, Operation::Update { index: 1 }, 0);
        gatherer.add(records, Operation::ReadModifyWrite { index: 1 }, 0);
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
        let mut gatherer = Gatherer::new(records, 100, 0, limits, 10, true);
        for index in 0..10 {
            let full = gatherer.add(records, Operation::ReadModifyWrite { index }, 0);
            assert!(full.is_none_or(|full| full.batch.len() + full.batch.requirements() <= 3));
        }
        let limits = BatchLimits {
            operations_max: 100,
            bytes_max: 60,
        };
        let mut gatherer = Gatherer::new(records, 100, 0, limits, 10, false);
        for index in 0..10 {
            let full = gatherer.add(records, Operation::Update { index }, 0);
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
