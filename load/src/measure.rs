//! Turns the times of operations into the figures of each second.
//!
//! Each thread records into its own [`Recorder`], whose lock other threads hold only briefly. The [`Aggregator`] takes
//! the finished seconds out of all recorders. Nothing here reads a clock: callers pass all times, in nanoseconds from
//! the beginning of the stage.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::interval_log::{IntervalLog, IntervalLogError, Measure, Subject, add, histogram, note};
use super::run::{Latency, OperationFigures, OperationKind, Second, Totals};
use super::schedule::SECOND_NS;

/// Precision of latencies in digits: 0.1 %.
const DIGITS: u8 = 3;
/// Time for which a second stays open after its end, because a thread may record an operation a little late.
const GRACE_NS: u64 = SECOND_NS / 2;

/// The intended start, the actual start and the end of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) intended_ns: u64,
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
}

/// Histograms of one kind of operation.
#[derive(Clone)]
struct Histograms {
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            latency: histogram(DIGITS),
            service: histogram(DIGITS),
        }
    }
}

impl Histograms {
    fn figures(&self) -> OperationFigures {
        OperationFigures {
            achieved: self.latency.len(),
            latency: Latency::of(&self.latency),
            service: Latency::of(&self.service),
        }
    }
}

/// The records of one or several seconds.
#[derive(Clone, Default)]
struct Part {
    offered: u64,
    dropped: u64,
    failed: u64,
    late_ns_max: u64,
    kinds: BTreeMap<OperationKind, Histograms>,
}

impl Part {
    fn add(&mut self, more: &Self) {
        self.offered += more.offered;
        self.dropped += more.dropped;
        self.failed += more.failed;
        self.late_ns_max = self.late_ns_max.max(more.late_ns_max);
        for (kind, more) in &more.kinds {
            let own = self.kinds.entry(*kind).or_default();
            add(&mut own.latency, &more.latency);
            add(&mut own.service, &more.service);
        }
    }

    fn operations(&self) -> BTreeMap<OperationKind, OperationFigures> {
        let kinds = self.kinds.iter();
        kinds.map(|(kind, all)| (*kind, all.figures())).collect()
    }

    fn achieved(&self) -> u64 {
        self.kinds.values().map(|all| all.latency.len()).sum()
    }

    fn figures(&self, second: u64) -> Second {
        Second {
            second,
            offered: self.offered,
            achieved: self.achieved(),
            dropped: self.dropped,
            failed: self.failed,
            generator_late_us: self.late_ns_max / 1000,
            operations: self.operations(),
        }
    }
}

/// The recorder of one thread.
pub(crate) type Recorder = Mutex<Recording>;

/// Returns a recorder that leaves out operations that were due before `begin_ns`, in the warm-up.
pub(crate) fn recorder(begin_ns: u64) -> Recorder {
    Mutex::new(Recording {
        begin_ns,
        open_second: 0,
        parts: BTreeMap::new(),
        late: histogram(DIGITS),
        last_ended_ns: begin_ns,
        schedule_end_ns: u64::MAX,
        ended_in_schedule: 0,
    })
}

/// The records of one thread that the aggregator has not taken yet.
pub(crate) struct Recording {
    begin_ns: u64,
    /// The first open second. Late records of earlier ones count in this one.
    open_second: u64,
    parts: BTreeMap<u64, Part>,
    late: Histogram<u64>,
    last_ended_ns: u64,
    /// The time from which nothing more is due.
    schedule_end_ns: u64,
    /// Operations that ended before that time. Those that were due in the warm-up count too: at a steady rate they
    /// stand for those that have not ended when the schedule does, so that latency alone does not lower the rate.
    ended_in_schedule: u64,
}

impl Recording {
    /// Ends the schedule at a time, or earlier if it was ended earlier before.
    pub(crate) fn schedule_ends(&mut self, end_ns: u64) {
        self.schedule_end_ns = self.schedule_end_ns.min(end_ns);
    }

    /// Returns the part to which a time belongs, unless the operation was due in the warm-up.
    fn part(&mut self, intended_ns: u64, at_ns: u64) -> Option<&mut Part> {
        let second = (at_ns.saturating_sub(self.begin_ns) / SECOND_NS).max(self.open_second);
        let is_counted = intended_ns >= self.begin_ns;
        is_counted.then(|| self.parts.entry(second).or_default())
    }

    fn part_of_ended(&mut self, times: Times) -> Option<&mut Part> {
        if times.intended_ns >= self.begin_ns {
            self.last_ended_ns = self.last_ended_ns.max(times.ended_ns);
        }
        self.part(times.intended_ns, times.ended_ns)
    }

    /// Records that an operation ended.
    pub(crate) fn ended(&mut self, kind: OperationKind, times: Times) {
        let schedule = self.begin_ns..=self.schedule_end_ns;
        self.ended_in_schedule += u64::from(schedule.contains(&times.ended_ns));
        if let Some(part) = self.part_of_ended(times) {
            let own = part.kinds.entry(kind).or_default();
            let since = |begun_ns: u64| times.ended_ns.saturating_sub(begun_ns);
            note(&mut own.latency, since(times.intended_ns));
            note(&mut own.service, since(times.started_ns));
        }
    }

    /// Records that an operation failed.
    pub(crate) fn failed(&mut self, times: Times) {
        if let Some(part) = self.part_of_ended(times) {
            part.failed += 1;
        }
    }

    /// Records that an operation was due, and the delay with which the generator started it.
    pub(crate) fn offered(&mut self, intended_ns: u64, late_ns: u64) {
        if let Some(part) = self.part(intended_ns, intended_ns) {
            part.offered += 1;
            part.late_ns_max = part.late_ns_max.max(late_ns);
            note(&mut self.late, late_ns);
        }
    }

    /// Records that an operation of a closed loop started. Such an operation has no due time.
    pub(crate) fn offered_in_turn(&mut self, at_ns: u64) {
        if let Some(part) = self.part(at_ns, at_ns) {
            part.offered += 1;
        }
    }

    /// Records that an operation was dropped, because too many were in flight.
    pub(crate) fn dropped(&mut self, intended_ns: u64) {
        if let Some(part) = self.part(intended_ns, intended_ns) {
            part.dropped += 1;
        }
    }
}

/// Number of seconds that are kept one by one: eight hours. Totals count the whole run.
const SECONDS_MAX: usize = 28_800;
/// Bytes of their histograms: half of what a file may have, so that a run with all kinds of operations can be read.
const LOG_BYTES_MAX: usize = 128 << 20;

/// Collects the figures of a run while it is running.
pub(crate) struct Aggregator {
    begin_ns: u64,
    seconds_max: usize,
    log_bytes_max: usize,
    /// The finished seconds: all of them, or the last ones of a long run.
    pub(crate) seconds: Vec<Second>,
    /// The lines of the log for each of these seconds.
    lines: Vec<Vec<u8>>,
    /// The first second that is not finished.
    next_second: u64,
    /// Sum of all finished seconds.
    sum: Part,
    /// The delays of the generator in all seconds. Complete once the run is.
    late: Histogram<u64>,
}

impl Aggregator {
    pub(crate) fn new(begin_ns: u64) -> Self {
        Self {
            begin_ns,
            seconds_max: SECONDS_MAX,
            log_bytes_max: LOG_BYTES_MAX,
            seconds: Vec::new(),
            lines: Vec::new(),
            next_second: 0,
            sum: Part::default(),
            late: histogram(DIGITS),
        }
    }

    /// Takes the records of finished seconds.
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
                let there = parts.entry(second).and_modify(|there| there.add(&part));
                there.or_insert(part);
            }
        }
        // A second in which nothing ended is kept too, unless it is at the end.
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
        let mut lines = IntervalLog::from_bytes(Vec::new());
        for (kind, all) in &part.kinds {
            let subject = |measure| Subject::Operation(*kind, measure);
            lines.add_line(second, subject(Measure::Latency), &all.latency)?;
            lines.add_line(second, subject(Measure::Service), &all.service)?;
        }
        self.lines.push(lines.into_bytes());
        self.seconds.push(part.figures(second));
        self.next_second = second + 1;
        self.sum.add(part);
        self.leave_out();
        Ok(())
    }

    /// Removes the older half of the seconds if there are too many of them or their lines are too long.
    fn leave_out(&mut self) {
        let log_bytes: usize = self.lines.iter().map(Vec::len).sum();
        if self.seconds.len() > self.seconds_max || log_bytes > self.log_bytes_max {
            let half = self.seconds.len().div_ceil(2);
            self.seconds.drain(..half);
            self.lines.drain(..half);
        }
    }

    /// Returns the unfinished second with its records so far.
    pub(crate) fn current(&self, recorders: &[Recorder]) -> Second {
        let mut sum = Part::default();
        for recorder in recorders {
            let recording = recorder.lock();
            let last = recording.parts.values().next_back().cloned();
            // The copies are added up outside the lock.
            drop(recording);
            sum.add(&last.unwrap_or_default());
        }
        sum.figures(self.next_second)
    }

    /// Closes all seconds after the last record. Returns the sums, for a schedule that ends with the last operation.
    pub(crate) fn finish(&mut self, recorders: &[Recorder]) -> Result<Totals, IntervalLogError> {
        self.close_until(recorders, u64::MAX)?;
        let mut last_ended_ns = self.begin_ns;
        let mut ended_in_schedule = 0;
        for recorder in recorders {
            let recording = recorder.lock();
            add(&mut self.late, &recording.late);
            ended_in_schedule += recording.ended_in_schedule;
            last_ended_ns = last_ended_ns.max(recording.last_ended_ns);
        }
        let elapsed_us = (last_ended_ns - self.begin_ns) / 1000;
        Ok(Totals {
            elapsed_us,
            scheduled_us: elapsed_us,
            ended_in_schedule,
            offered: self.sum.offered,
            achieved: self.sum.achieved(),
            dropped: self.sum.dropped,
            failed: self.sum.failed,
            generator_late: Latency::of(&self.late),
            operations: self.sum.operations(),
            ..Totals::default()
        })
    }

    /// Returns the seconds and their log.
    pub(crate) fn into_log(
        self,
        began_unix_ms: u64,
    ) -> Result<(Vec<Second>, IntervalLog), IntervalLogError> {
        let mut log = IntervalLog::new(began_unix_ms);
        for lines in self.lines {
            log.append_lines(&lines);
        }
        log.add_generator_late(&self.late)?;
        Ok((self.seconds, log))
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
        let recorders = [recorder(SECOND_NS), recorder(SECOND_NS)];
        recorders[0]
            .lock()
            .ended(KIND, times(SECOND_NS, SECOND_NS + 500, 3 * SECOND_NS));
        recorders[1].lock().offered(SECOND_NS + 5, 7_000);
        let mut aggregator = Aggregator::new(SECOND_NS);
        let sums = aggregator.finish(&recorders).unwrap();
        assert_eq!(aggregator.seconds.len(), 3);
        assert_eq!(
            (
                aggregator.seconds[0].offered,
                aggregator.seconds[0].generator_late_us
            ),
            (1, 7)
        );
        let read = &aggregator.seconds[2].operations[&KIND];
        assert!((read.latency.max_us / 2e6 - 1.0).abs() < 0.001);
        assert!(read.service.max_us < read.latency.max_us + 2_000.0);
        assert_eq!(
            (sums.achieved, sums.offered, sums.elapsed_us),
            (1, 1, 2_000_000)
        );
    }

    #[test]
    fn what_was_to_start_in_the_warm_up_is_left_out() {
        let recorders = [recorder(100)];
        recorders[0].lock().ended(KIND, times(99, 100, 200));
        recorders[0].lock().offered(99, 0);
        recorders[0].lock().dropped(99);
        recorders[0].lock().ended(KIND, times(100, 100, 200));
        let sums = Aggregator::new(100).finish(&recorders).unwrap();
        assert_eq!((sums.achieved, sums.offered, sums.dropped), (1, 0, 0));
    }

    #[test]
    fn what_comes_after_its_second_was_closed_counts_in_the_next_one() {
        let recorders = [recorder(0)];
        let mut aggregator = Aggregator::new(0);
        aggregator.collect(&recorders, 2 * SECOND_NS).unwrap();
        assert_eq!(aggregator.seconds.len(), 1);
        recorders[0].lock().ended(KIND, times(1, 1, 2));
        aggregator.finish(&recorders).unwrap();
        let achieved: Vec<u64> = aggregator
            .seconds
            .iter()
            .map(|second| second.achieved)
            .collect();
        assert_eq!(achieved, [0, 1]);
    }

    #[test]
    fn a_second_in_which_nothing_ended_is_there() {
        let recorders = [recorder(0)];
        recorders[0].lock().ended(KIND, times(0, 0, 1));
        recorders[0].lock().ended(KIND, times(0, 0, 3 * SECOND_NS));
        let mut aggregator = Aggregator::new(0);
        aggregator.collect(&recorders, 10 * SECOND_NS).unwrap();
        let achieved: Vec<u64> = aggregator
            .seconds
            .iter()
            .map(|second| second.achieved)
            .collect();
        assert_eq!(achieved, [1, 0, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_operation_that_ends_after_the_schedule_is_achieved_but_not_within_it() {
        let recorders = [recorder(100)];
        recorders[0].lock().schedule_ends(1_000);
        recorders[0].lock().schedule_ends(2_000);
        // Three operations: due in the warm-up, within the schedule, and within it but ended after it.
        recorders[0].lock().ended(KIND, times(50, 50, 100));
        recorders[0].lock().ended(KIND, times(100, 100, 1_000));
        recorders[0].lock().ended(KIND, times(900, 900, 1_001));
        let sums = Aggregator::new(100).finish(&recorders).unwrap();
        assert_eq!((sums.achieved, sums.ended_in_schedule), (2, 2));
    }

    #[test]
    fn a_very_long_run_keeps_its_last_seconds_and_all_of_its_totals() {
        for (seconds_max, log_bytes_max) in [(10, LOG_BYTES_MAX), (SECONDS_MAX, 4_000)] {
            let recorders = [recorder(0)];
            let mut aggregator = Aggregator::new(0);
            (aggregator.seconds_max, aggregator.log_bytes_max) = (seconds_max, log_bytes_max);
            for second in 0..100 {
                let at_ns = second * SECOND_NS;
                recorders[0]
                    .lock()
                    .ended(KIND, times(at_ns, at_ns, at_ns + 1));
                aggregator.collect(&recorders, at_ns).unwrap();
            }
            let sums = aggregator.finish(&recorders).unwrap();
            assert_eq!(sums.achieved, 100);
            assert!((2..=30).contains(&aggregator.seconds.len()));
            let seconds = aggregator.seconds.iter().map(|second| second.second);
            let seconds: Vec<u64> = seconds.collect();
            assert_eq!(seconds.last(), Some(&99));
            let (_, log) = aggregator.into_log(0).unwrap();
            let logged = log.by_second(KIND, Measure::Latency).unwrap();
            assert_eq!(logged.into_keys().collect::<Vec<_>>(), seconds);
        }
    }

    #[test]
    fn the_log_holds_what_the_seconds_say() {
        let recorders = [recorder(0), recorder(0)];
        for (number, recorder) in recorders.iter().enumerate() {
            let ended_ns = 1_000 + number as u64;
            recorder.lock().ended(KIND, times(0, 500, ended_ns));
        }
        let mut aggregator = Aggregator::new(0);
        aggregator.finish(&recorders).unwrap();
        let (_, log) = aggregator.into_log(0).unwrap();
        let latency = log.by_second(KIND, Measure::Latency).unwrap();
        let service = log.by_second(KIND, Measure::Service).unwrap();
        assert_eq!((latency[&0].len(), latency[&0].max()), (2, 1_001));
        assert_eq!(service[&0].max(), 501);
        assert_eq!(log.intervals().count(), 2);
    }
}
