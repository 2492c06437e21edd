//! From times of operations to the figures of each second.
//!
//! Threads record into their own [`Recorder`], whose lock nobody else holds but for a moment; the [`Ledger`] takes the
//! seconds that are over out of all of them. No clock here: all times are handed in, nanoseconds from one
//! beginning.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;

use super::interval_log::{IntervalLog, IntervalLogError, Measure, add};
use super::lanes::locked;
use super::run::{Latency, OperationKind, OperationSecond, OperationTotal, Second};
use super::schedule::SECOND_NS;

/// Digits that latencies are told apart by: 0.1 %.
const DIGITS: u8 = 3;
/// A second is closed that long after its end: who stamped an operation before may record it only now.
const GRACE_NS: u64 = SECOND_NS / 2;

/// One that grows with what it is given.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS)
        .unwrap_or_else(|_| unreachable!("the precision is a constant that it takes"))
}

/// Not `saturating_record`, which does not grow.
fn note(histogram: &mut Histogram<u64>, value: u64) {
    let noted = histogram.record(value);
    debug_assert!(noted.is_ok(), "one that grows takes everything");
}

/// When an operation was to start, when it did, and when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) intended_ns: u64,
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
}

/// Both measures of one kind of operation.
#[derive(Clone, Debug)]
struct Both {
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

impl Both {
    fn new() -> Self {
        Self {
            latency: histogram(),
            service: histogram(),
        }
    }

    fn add(&mut self, more: &Self) {
        add(&mut self.latency, &more.latency);
        add(&mut self.service, &more.service);
    }
}

/// By kind, where there was any.
#[derive(Clone, Debug, Default)]
struct Kinds([Option<Box<Both>>; OperationKind::ALL.len()]);

impl Kinds {
    fn of(&mut self, kind: OperationKind) -> &mut Both {
        self.0[kind.place()].get_or_insert_with(|| Box::new(Both::new()))
    }

    fn each(&self) -> impl Iterator<Item = (OperationKind, &Both)> {
        let kinds = OperationKind::ALL.into_iter().zip(&self.0);
        kinds.filter_map(|(kind, both)| Some((kind, both.as_deref()?)))
    }

    fn add(&mut self, more: &Self) {
        for (kind, both) in more.each() {
            self.of(kind).add(both);
        }
    }
}

/// What was recorded of one second.
#[derive(Clone, Debug, Default)]
struct Part {
    offered: u64,
    dropped: u64,
    failed: u64,
    late_ns_max: u64,
    kinds: Kinds,
}

impl Part {
    fn add(&mut self, more: &Self) {
        self.offered += more.offered;
        self.dropped += more.dropped;
        self.failed += more.failed;
        self.late_ns_max = self.late_ns_max.max(more.late_ns_max);
        self.kinds.add(&more.kinds);
    }

    fn figures(&self, second: u64) -> Second {
        let mut figures = Second {
            second,
            offered: self.offered,
            dropped: self.dropped,
            generator_late_us: self.late_ns_max / 1000,
            ..Second::default()
        };
        for (kind, both) in self.kinds.each() {
            let of_kind = OperationSecond {
                achieved: both.latency.len(),
                latency: Latency::of(&both.latency),
                service: Latency::of(&both.service),
            };
            figures.achieved += of_kind.achieved;
            figures.operations.insert(kind, of_kind);
        }
        figures
    }
}

/// Where one thread records.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Recording>);

impl Recorder {
    /// What was to start before `begin_ns` is warm-up, and left out.
    pub(crate) fn new(begin_ns: u64) -> Self {
        Self(Mutex::new(Recording {
            begin_ns,
            open_second: 0,
            parts: BTreeMap::new(),
            late: histogram(),
            last_ended_ns: begin_ns,
            schedule_end_ns: u64::MAX,
            ended_in_schedule: 0,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recording> {
        locked(&self.0)
    }
}

/// What one thread recorded and nobody took yet.
#[derive(Debug)]
pub(crate) struct Recording {
    begin_ns: u64,
    /// Earlier seconds are closed: what comes for them belongs to this one.
    open_second: u64,
    parts: BTreeMap<u64, Part>,
    late: Histogram<u64>,
    last_ended_ns: u64,
    /// Nothing more is due from here on.
    schedule_end_ns: u64,
    /// What ended until then. What was due in the warm-up counts too: at a steady rate it stands for what was due and
    /// has not ended when the schedule ends, so that latency alone takes nothing from the rate.
    ended_in_schedule: u64,
}

impl Recording {
    /// Nothing is due from then on; the earliest such time counts.
    pub(crate) fn schedule_ends(&mut self, end_ns: u64) {
        self.schedule_end_ns = self.schedule_end_ns.min(end_ns);
    }

    fn counts(&self, intended_ns: u64) -> bool {
        intended_ns >= self.begin_ns
    }

    fn part(&mut self, at_ns: u64) -> &mut Part {
        let second = (at_ns.saturating_sub(self.begin_ns) / SECOND_NS).max(self.open_second);
        self.parts.entry(second).or_default()
    }

    /// An operation ended.
    pub(crate) fn ended(&mut self, kind: OperationKind, times: Times) {
        let schedule = self.begin_ns..=self.schedule_end_ns;
        self.ended_in_schedule += u64::from(schedule.contains(&times.ended_ns));
        if !self.counts(times.intended_ns) {
            return;
        }
        self.last_ended_ns = self.last_ended_ns.max(times.ended_ns);
        let both = self.part(times.ended_ns).kinds.of(kind);
        note(
            &mut both.latency,
            times.ended_ns.saturating_sub(times.intended_ns),
        );
        note(
            &mut both.service,
            times.ended_ns.saturating_sub(times.started_ns),
        );
    }

    /// An operation failed.
    pub(crate) fn failed(&mut self, times: Times) {
        if self.counts(times.intended_ns) {
            self.last_ended_ns = self.last_ended_ns.max(times.ended_ns);
            self.part(times.ended_ns).failed += 1;
        }
    }

    /// An operation was to start, and the generator came to it so much later.
    pub(crate) fn offered(&mut self, intended_ns: u64, late_ns: u64) {
        if self.counts(intended_ns) {
            note(&mut self.late, late_ns);
            let part = self.part(intended_ns);
            part.offered += 1;
            part.late_ns_max = part.late_ns_max.max(late_ns);
        }
    }

    /// An operation of a closed loop started: it was not due before.
    pub(crate) fn offered_in_turn(&mut self, at_ns: u64) {
        if self.counts(at_ns) {
            self.part(at_ns).offered += 1;
        }
    }

    /// It was dropped, too many being under way.
    pub(crate) fn dropped(&mut self, intended_ns: u64) {
        if self.counts(intended_ns) {
            self.part(intended_ns).dropped += 1;
        }
    }
}

/// How much of a run is kept second by second; totals count all of it.
#[derive(Clone, Copy, Debug)]
struct Kept {
    seconds_max: usize,
    log_bytes_max: usize,
}

impl Kept {
    /// Eight hours, and half of what a file may have: with all kinds of operations a run can still be read.
    const DEFAULT: Self = Self {
        seconds_max: 28_800,
        log_bytes_max: 128 << 20,
    };
}

/// The figures of a run while it goes on.
#[derive(Debug)]
pub(crate) struct Ledger {
    begin_ns: u64,
    kept: Kept,
    /// Those that are over: all of them, or the last ones of a long run.
    pub(crate) seconds: Vec<Second>,
    /// Where in the log the lines of each of them begin.
    log_starts: Vec<usize>,
    /// The second that is not over.
    next_second: u64,
    /// Over all seconds that are over.
    sum: Part,
    pub(crate) log: IntervalLog,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) offered: u64,
    pub(crate) achieved: u64,
    pub(crate) dropped: u64,
    pub(crate) failed: u64,
    pub(crate) late: Latency,
    pub(crate) operations: BTreeMap<OperationKind, OperationTotal>,
    /// From the beginning to the end of the last operation.
    pub(crate) elapsed_ns: u64,
    /// Operations that ended while the schedule lasted, those due in the warm-up included.
    pub(crate) ended_in_schedule: u64,
}

impl Ledger {
    pub(crate) fn new(begin_ns: u64, begun_unix_ms: u64) -> Self {
        Self {
            begin_ns,
            kept: Kept::DEFAULT,
            seconds: Vec::new(),
            log_starts: Vec::new(),
            next_second: 0,
            sum: Part::default(),
            log: IntervalLog::new(begun_unix_ms),
        }
    }

    /// Takes out what belongs to seconds that are over.
    pub(crate) fn collect(
        &mut self,
        recorders: &[Recorder],
        now_ns: u64,
    ) -> Result<(), IntervalLogError> {
        let over = now_ns.saturating_sub(self.begin_ns + GRACE_NS) / SECOND_NS;
        self.close_until(recorders, over)
    }

    fn close_until(&mut self, recorders: &[Recorder], over: u64) -> Result<(), IntervalLogError> {
        let mut parts = BTreeMap::<u64, Part>::new();
        for recorder in recorders {
            let mut recording = recorder.lock();
            recording.open_second = recording.open_second.max(over);
            let later = recording.parts.split_off(&over);
            let taken = std::mem::replace(&mut recording.parts, later);
            drop(recording);
            for (second, part) in taken {
                match parts.entry(second) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(part);
                    }
                    std::collections::btree_map::Entry::Occupied(mut there) => {
                        there.get_mut().add(&part);
                    }
                }
            }
        }
        // A second in which nothing ended is one too, unless nothing follows.
        let end = match over {
            u64::MAX => parts.keys().next_back().map_or(0, |last| last + 1),
            over => over,
        };
        for second in self.next_second..end {
            self.close(second, &parts.remove(&second).unwrap_or_default())?;
        }
        Ok(())
    }

    fn close(&mut self, second: u64, part: &Part) -> Result<(), IntervalLogError> {
        self.log_starts.push(self.log.as_bytes().len());
        for (kind, both) in part.kinds.each() {
            self.log
                .add_parts(second, kind, Measure::Latency, &both.latency)?;
            self.log
                .add_parts(second, kind, Measure::Service, &both.service)?;
        }
        self.seconds.push(part.figures(second));
        self.next_second = second + 1;
        self.sum.add(part);
        self.leave_out();
        Ok(())
    }

    /// The older half goes once there is too much: seldom, and a run that goes on and on stays readable.
    fn leave_out(&mut self) {
        let has_room = self.seconds.len() <= self.kept.seconds_max
            && self.log.as_bytes().len() <= self.kept.log_bytes_max;
        if has_room {
            return;
        }
        let half = self.seconds.len().div_ceil(2);
        let begin = self.log_starts.first().copied().unwrap_or(0);
        let end = self.log_starts.get(half).copied();
        let end = end.unwrap_or(self.log.as_bytes().len());
        self.log.remove(begin..end);
        self.seconds.drain(..half);
        self.log_starts.drain(..half);
        self.log_starts
            .iter_mut()
            .for_each(|start| *start -= end - begin);
    }

    /// The second that is not over yet, as far as it got.
    pub(crate) fn current(&self, recorders: &[Recorder]) -> Second {
        let mut sum = Part::default();
        for recorder in recorders {
            // Copied within the lock, added up outside of it.
            let last = recorder
                .lock()
                .parts
                .last_key_value()
                .map(|(_, part)| part.clone());
            sum.add(&last.unwrap_or_default());
        }
        sum.figures(self.next_second)
    }

    /// Closes everything. Nobody records any more.
    pub(crate) fn finish(&mut self, recorders: &[Recorder]) -> Result<Sums, IntervalLogError> {
        self.close_until(recorders, u64::MAX)?;
        let mut late = histogram();
        let mut last_ended_ns = self.begin_ns;
        let mut ended_in_schedule = 0;
        for recorder in recorders {
            let recording = recorder.lock();
            add(&mut late, &recording.late);
            ended_in_schedule += recording.ended_in_schedule;
            last_ended_ns = last_ended_ns.max(recording.last_ended_ns);
        }
        let total = |both: &Both| OperationTotal {
            achieved: both.latency.len(),
            latency: Latency::of(&both.latency),
            service: Latency::of(&both.service),
        };
        let operations: BTreeMap<_, _> = self
            .sum
            .kinds
            .each()
            .map(|(kind, both)| (kind, total(both)))
            .collect();
        Ok(Sums {
            offered: self.sum.offered,
            achieved: operations.values().map(|total| total.achieved).sum(),
            dropped: self.sum.dropped,
            failed: self.sum.failed,
            late: Latency::of(&late),
            operations,
            elapsed_ns: last_ended_ns - self.begin_ns,
            ended_in_schedule,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: OperationKind = OperationKind::Read;

    fn times(intended_ns: u64, started_ns: u64, ended_ns: u64) -> Times {
        Times {
            intended_ns,
            started_ns,
            ended_ns,
        }
    }

    #[test]
    fn an_operation_belongs_to_the_second_in_which_it_ended() {
        let recorders = [Recorder::new(SECOND_NS), Recorder::new(SECOND_NS)];
        recorders[0]
            .lock()
            .ended(KIND, times(SECOND_NS, SECOND_NS + 500, 3 * SECOND_NS));
        recorders[1].lock().offered(SECOND_NS + 5, 7_000);
        let mut ledger = Ledger::new(SECOND_NS, 0);
        let sums = ledger.finish(&recorders).unwrap();
        assert_eq!(ledger.seconds.len(), 3);
        assert_eq!(
            (
                ledger.seconds[0].offered,
                ledger.seconds[0].generator_late_us
            ),
            (1, 7)
        );
        let read = &ledger.seconds[2].operations[&KIND];
        assert!((read.latency.max_us / 2e6 - 1.0).abs() < 0.001);
        assert!(read.service.max_us < read.latency.max_us + 2_000.0);
        assert_eq!(
            (sums.achieved, sums.offered, sums.elapsed_ns),
            (1, 1, 2 * SECOND_NS)
        );
    }

    #[test]
    fn what_was_to_start_in_the_warm_up_is_left_out() {
        let recorders = [Recorder::new(100)];
        recorders[0].lock().ended(KIND, times(99, 100, 200));
        recorders[0].lock().offered(99, 0);
        recorders[0].lock().dropped(99);
        recorders[0].lock().ended(KIND, times(100, 100, 200));
        let sums = Ledger::new(100, 0).finish(&recorders).unwrap();
        assert_eq!((sums.achieved, sums.offered, sums.dropped), (1, 0, 0));
    }

    #[test]
    fn what_comes_after_its_second_was_closed_counts_in_the_next_one() {
        let recorders = [Recorder::new(0)];
        let mut ledger = Ledger::new(0, 0);
        ledger.collect(&recorders, 2 * SECOND_NS).unwrap();
        assert_eq!(ledger.seconds.len(), 1);
        recorders[0].lock().ended(KIND, times(1, 1, 2));
        ledger.finish(&recorders).unwrap();
        let achieved: Vec<u64> = ledger
            .seconds
            .iter()
            .map(|second| second.achieved)
            .collect();
        assert_eq!(achieved, [0, 1]);
    }

    #[test]
    fn a_second_in_which_nothing_ended_is_there() {
        let recorders = [Recorder::new(0)];
        recorders[0].lock().ended(KIND, times(0, 0, 1));
        recorders[0].lock().ended(KIND, times(0, 0, 3 * SECOND_NS));
        let mut ledger = Ledger::new(0, 0);
        ledger.collect(&recorders, 10 * SECOND_NS).unwrap();
        let achieved: Vec<u64> = ledger
            .seconds
            .iter()
            .map(|second| second.achieved)
            .collect();
        assert_eq!(achieved, [1, 0, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_ends_after_the_schedule_is_achieved_but_not_within_it() {
        let recorders = [Recorder::new(100)];
        recorders[0].lock().schedule_ends(1_000);
        recorders[0].lock().schedule_ends(2_000);
        // Due in the warm-up, within the schedule, and in it but ended after it.
        recorders[0].lock().ended(KIND, times(50, 50, 100));
        recorders[0].lock().ended(KIND, times(100, 100, 1_000));
        recorders[0].lock().ended(KIND, times(900, 900, 1_001));
        let sums = Ledger::new(100, 0).finish(&recorders).unwrap();
        assert_eq!((sums.achieved, sums.ended_in_schedule), (2, 2));
    }

    #[test]
    fn a_run_that_goes_on_and_on_keeps_its_last_seconds_and_all_of_its_totals() {
        let by_seconds = Kept {
            seconds_max: 10,
            ..Kept::DEFAULT
        };
        let by_bytes = Kept {
            log_bytes_max: 4_000,
            ..Kept::DEFAULT
        };
        for kept in [by_seconds, by_bytes] {
            let recorders = [Recorder::new(0)];
            let mut ledger = Ledger::new(0, 0);
            ledger.kept = kept;
            for second in 0..100 {
                let at_ns = second * SECOND_NS;
                recorders[0]
                    .lock()
                    .ended(KIND, times(at_ns, at_ns, at_ns + 1));
                ledger.collect(&recorders, at_ns).unwrap();
            }
            let sums = ledger.finish(&recorders).unwrap();
            assert_eq!(sums.achieved, 100);
            assert!((2..=30).contains(&ledger.seconds.len()));
            let seconds = ledger.seconds.iter().map(|second| second.second);
            let seconds: Vec<u64> = seconds.collect();
            assert_eq!(seconds.last(), Some(&99));
            let logged = ledger.log.by_second(KIND, Measure::Latency).unwrap();
            assert_eq!(logged.into_keys().collect::<Vec<_>>(), seconds);
        }
    }

    #[test]
    fn the_log_holds_what_the_seconds_say() {
        let recorders = [Recorder::new(0), Recorder::new(0)];
        for (place, recorder) in recorders.iter().enumerate() {
            let ended_ns = 1_000 + place as u64;
            recorder.lock().ended(KIND, times(0, 500, ended_ns));
        }
        let mut ledger = Ledger::new(0, 0);
        ledger.finish(&recorders).unwrap();
        let latency = ledger.log.by_second(KIND, Measure::Latency).unwrap();
        let service = ledger.log.by_second(KIND, Measure::Service).unwrap();
        assert_eq!((latency[&0].len(), latency[&0].max()), (2, 1_001));
        assert_eq!(service[&0].max(), 501);
        assert_eq!(ledger.log.tags().unwrap().len(), 2);
    }
}
