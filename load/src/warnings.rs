//! Finds the warnings that a reader of a run's figures needs. Pure.

use std::time::Duration;

use super::driver::{Reading, Tally};
use super::plan::{Mode, Pacing, Plan};
use super::run::{ThreadTimes, Totals};
use super::warning::{LoadThread, Warning};

/// 99th percentile of the generator's lateness above which a run has a warning, in microseconds.
const LATE_US_MAX: f64 = 5_000.0;
/// Share of the time that one of the load's own threads may be busy without a warning.
const BUSY_MAX: f64 = 0.9;
/// Shortest run with warnings about busy threads. A shorter run spends much of its time on starting and ending threads.
const BUSY_ELAPSED_MIN: Duration = Duration::from_secs(1);

/// Returns the warnings that follow from a run's figures.
pub(crate) fn of_figures(
    plan: &Plan,
    totals: &Totals,
    tally: &Tally,
    reading: &Reading,
    elapsed: Duration,
) -> Vec<Warning> {
    let readers = readers_busy(plan, reading, elapsed);
    let late = &totals.generator_late;
    let threads = threads_busy(plan, &totals.cpu, elapsed);
    let failed = tally.failed_writes + tally.failed_reads;
    let is_late = late.p99_us > LATE_US_MAX;
    let found = [
        is_late.then_some(Warning::GeneratorLate {
            p99_us: late.p99_us,
            max_us: late.max_us,
        }),
        (totals.dropped > 0).then(|| Warning::Dropped {
            percent: totals.dropped as f64 * 100.0 / totals.offered.max(1) as f64,
            in_flight_max: plan.in_flight_operations_max,
            readers_busy: readers.is_some(),
            load_busy: is_late || !threads.is_empty(),
        }),
        (failed > 0).then(|| Warning::Failed {
            operations: failed,
            first: tally.first_failure.clone().unwrap_or_default(),
        }),
        tally.first_refusal.clone().map(|first| Warning::Refused {
            batches: tally.refused,
            first,
        }),
        (tally.missing > 0).then_some(Warning::Missing {
            keys: tally.missing,
        }),
        readers,
    ];
    found.into_iter().flatten().chain(threads).collect()
}

/// Returns a warning for each thread of the load that was busy nearly all the time: the figures may then be the
/// load's limit, not the target's.
fn threads_busy(plan: &Plan, cpu: &ThreadTimes, elapsed: Duration) -> Vec<Warning> {
    // A generator that spins is always busy. Its lateness shows whether it keeps up.
    let spins = plan.mode == Mode::Open && plan.pacing == Pacing::Spin;
    let generator_us = if spins { 0 } else { cpu.generator_us };
    let threads = [
        (LoadThread::Generator, generator_us),
        (LoadThread::Submitter, cpu.submitter_us),
        (LoadThread::Completer, cpu.completer_us),
        (LoadThread::Reader, cpu.reader_us),
    ];
    let busy = threads.into_iter().filter_map(|(thread, cpu_us)| {
        let percent = busy_percent(cpu_us, elapsed)?;
        Some(Warning::ThreadBusy { thread, percent })
    });
    busy.collect()
}

/// Returns a warning if the readers of an open loop were busy nearly all the time: reads then waited for a reader,
/// however fast the target is. In a closed loop readers are always busy.
fn readers_busy(plan: &Plan, reading: &Reading, elapsed: Duration) -> Option<Warning> {
    let readers = plan.readers();
    let percent = busy_percent(reading.taken_us / readers as u64, elapsed)?;
    (plan.mode == Mode::Open).then(|| Warning::ReadersBusy {
        readers,
        percent,
        read_us: (reading.taken_us as f64 / reading.reads.max(1) as f64).max(1.0),
    })
}

/// Returns the share of the time that a thread was busy, in percent, if that is enough for a warning.
fn busy_percent(busy_us: u64, elapsed: Duration) -> Option<f64> {
    let share = busy_us as f64 / 1e6 / elapsed.as_secs_f64();
    (elapsed >= BUSY_ELAPSED_MIN && share > BUSY_MAX).then_some(share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_S: Duration = Duration::from_secs(10);

    #[test]
    fn a_thread_of_the_load_without_a_moment_left_is_named() {
        let plan = Plan::default();
        let idle = ThreadTimes {
            generator_us: 8_900_000,
            submitter_us: 8_900_000,
            completer_us: 8_900_000,
            reader_us: 8_900_000,
        };
        assert_eq!(threads_busy(&plan, &idle, TEN_S), []);
        let busy = ThreadTimes {
            submitter_us: 9_700_000,
            reader_us: 9_300_000,
            ..idle
        };
        let warnings = threads_busy(&plan, &busy, TEN_S);
        assert_eq!(warnings.len(), 2);
        let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("submits them was busy 97 % of the time"));
        assert!(texts[1].contains("reads was busy 93 % of the time"));
        assert!(threads_busy(&plan, &busy, Duration::from_millis(900)).is_empty());
    }

    #[test]
    fn readers_without_a_moment_left_are_named_in_an_open_loop() {
        // One thread does a thousand reads per second, of 1 ms each; two thousand are due.
        let reading = Reading {
            reads: 9_900,
            taken_us: 9_900_000,
        };
        let one = Plan::default();
        let warning = readers_busy(&one, &reading, TEN_S).unwrap().to_string();
        let expected = "the only thread that reads was busy 99 % of the time: a read took 1.00 ms in the mean, so \
                        they can do 1000 a second, ";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(warning.contains("give more readers"), "{warning}");
        let three = Plan {
            readers: Some(3),
            ..Plan::default()
        };
        assert_eq!(readers_busy(&three, &reading, TEN_S), None);
        let thrice = Reading {
            reads: 29_700,
            taken_us: 29_700_000,
        };
        let warning = readers_busy(&three, &thrice, TEN_S).unwrap().to_string();
        assert!(warning.starts_with("all 3 threads that read were busy 99 %"));
        assert!(warning.contains("they can do 3000 a second"), "{warning}");

        let at_the_limit = Reading {
            reads: 9_000,
            taken_us: 9_000_000,
        };
        assert_eq!(readers_busy(&one, &at_the_limit, TEN_S), None);
        assert_eq!(readers_busy(&one, &Reading::default(), TEN_S), None);
        let short = Duration::from_millis(900);
        assert_eq!(readers_busy(&one, &reading, short), None);
        let closed = Plan {
            mode: Mode::Closed,
            readers: Some(1),
            ..Plan::default()
        };
        assert_eq!(readers_busy(&closed, &reading, TEN_S), None);
    }

    #[test]
    fn what_was_dropped_is_laid_to_the_target_only_if_readers_had_time() {
        let totals = Totals {
            offered: 20_000,
            dropped: 5_000,
            ..Totals::default()
        };
        let says = |taken_us| {
            let (plan, tally) = (Plan::default(), Tally::default());
            let reading = Reading {
                reads: 9_900,
                taken_us,
            };
            let warnings = of_figures(&plan, &totals, &tally, &reading, TEN_S);
            let dropped = warnings[0].to_string();
            assert!(dropped.starts_with(
                "25.0 % of the operations were dropped, because 200000 were in flight"
            ));
            dropped.contains("the target did not keep up")
        };
        assert!(says(8_900_000));
        assert!(!says(9_900_000));
    }

    #[test]
    fn a_generator_that_was_late_with_one_in_a_hundred_says_so() {
        let says = |p99_us| {
            let mut totals = Totals::default();
            totals.generator_late.p99_us = p99_us;
            totals.generator_late.max_us = 12_340.0;
            let (plan, tally, reading) = (Plan::default(), Tally::default(), Reading::default());
            let warnings = of_figures(&plan, &totals, &tally, &reading, TEN_S);
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(says(5_000.0), [""; 0]);
        let expected = "the generator could not keep up: 1 % of the operations started 5.1 ms late and more, at worst \
                        12.3 ms; latencies include that; lower the rate or give it a core";
        assert_eq!(says(5_100.0), [expected]);
    }

    #[test]
    fn a_generator_that_spins_is_busy_without_being_slow() {
        let busy = ThreadTimes {
            generator_us: 9_900_000,
            ..ThreadTimes::default()
        };
        let named = |mode, pacing| {
            let plan = Plan {
                mode,
                pacing,
                ..Plan::default()
            };
            threads_busy(&plan, &busy, TEN_S).len()
        };
        assert_eq!(named(Mode::Open, Pacing::Spin), 0);
        assert_eq!(named(Mode::Open, Pacing::Auto), 1);
        assert_eq!(named(Mode::Closed, Pacing::Spin), 1);
    }
}
