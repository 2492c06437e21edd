//! What a reader of a run's figures must know beside them: pure.
//!
//! Not here: what is said of how a run came about, such as that it was replayed or interrupted (`run_load`).

use std::time::Duration;

use super::driver::{Reading, Tally, ThreadTimes};
use super::plan::{Mode, Pacing, Plan};
use super::run::Totals;

/// One operation in a hundred may be started so late before it is said, microseconds.
const LATE_US_MAX: f64 = 5_000.0;
/// Share of the time that one of the load's own threads may be busy before it is said.
const BUSY_MAX: f64 = 0.9;
/// A run must last that long for it: what threads do when they start and end is a good part of a shorter one.
const BUSY_ELAPSED_MIN: Duration = Duration::from_secs(1);

/// Threads of the load that hardly had a moment left: then the figures may be theirs, and not the target's.
pub(super) fn of_threads(plan: &Plan, cpu: &ThreadTimes, elapsed: Duration) -> Vec<String> {
    if elapsed < BUSY_ELAPSED_MIN {
        return Vec::new();
    }
    // One that spins is always busy, and says by its lateness what it can't do.
    let spins = plan.mode == Mode::Open && plan.pacing == Pacing::Spin;
    let generator_us = if spins { 0 } else { cpu.generator_us };
    let threads = [
        (
            generator_us,
            "the thread that decides what comes next was busy",
            "",
        ),
        (
            cpu.submitter_us,
            "the thread that makes keys and values and submits them was busy",
            ", the target's part of submitting included",
        ),
        (
            cpu.completer_us,
            "the thread that records batches was busy",
            ", waiting for them left out",
        ),
        (
            cpu.reader_us,
            "a thread that reads was busy",
            ", the target's reads left out: give it more readers",
        ),
    ];
    let share = |cpu_us: u64| cpu_us as f64 / 1e6 / elapsed.as_secs_f64();
    let busy = threads
        .into_iter()
        .filter(|(cpu_us, ..)| share(*cpu_us) > BUSY_MAX);
    busy.map(|(cpu_us, who, with)| {
        format!(
            "{who} {:.0} % of the time{with}; the figures may be what the load generator can do, not the target",
            share(cpu_us) * 100.0
        )
    })
    .collect()
}

/// Readers that hardly had a moment left, in an open loop: then reads waited for one of them, however fast the target
/// is. In a closed loop they always are.
pub(super) fn of_readers(plan: &Plan, reading: &Reading, elapsed: Duration) -> Option<String> {
    let readers = plan.readers();
    let had_us = elapsed.as_secs_f64() * 1e6 * readers as f64;
    let share = reading.taken_us as f64 / had_us.max(1.0);
    if plan.mode == Mode::Closed || elapsed < BUSY_ELAPSED_MIN || share <= BUSY_MAX {
        return None;
    }
    let who = match readers {
        1 => "the only thread that reads was".to_owned(),
        _ => format!("all {readers} threads that read were"),
    };
    let read_us = (reading.taken_us as f64 / reading.reads.max(1) as f64).max(1.0);
    Some(format!(
        "{who} busy {:.0} % of the time: a read took {:.2} ms in the mean, so they can do {:.0} a second, and others \
         waited for one of them, which is in their latency; give more readers; if the reads then take longer, it is \
         the target that is slow",
        share * 100.0,
        read_us / 1e3,
        1e6 * readers as f64 / read_us,
    ))
}

/// What a reader of the figures must know.
pub(super) fn of_figures(
    plan: &Plan,
    totals: &Totals,
    tally: &Tally,
    readers_are_busy: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let share = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let late = &totals.generator_late;
    if late.p99_us > LATE_US_MAX {
        warnings.push(format!(
            "the generator could not keep up: 1 % of the operations started {:.1} ms late and more, at worst {:.1} ms; \
             latencies include that; lower the rate or give it a core",
            late.p99_us / 1e3,
            late.max_us / 1e3
        ));
    }
    if totals.dropped > 0 {
        let who = match readers_are_busy {
            true => {
                "with so many readers the reads did not keep up with the rate, whatever the target can do"
            }
            false => "the target did not keep up with the rate",
        };
        warnings.push(format!(
            "{:.1} % of the operations were dropped, {} being under way: {who}",
            share(totals.dropped, totals.offered),
            plan.in_flight_operations_max
        ));
    }
    if totals.failed > 0 {
        warnings.push(format!(
            "{} operations failed, the first with: {}",
            totals.failed,
            tally.first_failure.as_deref().unwrap_or("nothing was said")
        ));
    }
    if let Some(refusal) = &tally.first_refusal {
        warnings.push(format!(
            "{} batches were refused, the first because {refusal}",
            tally.refused
        ));
    }
    if tally.missing > 0 {
        warnings.push(format!(
            "{} keys were read that should be there and were not found",
            tally.missing
        ));
    }
    warnings
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
        assert_eq!(of_threads(&plan, &idle, TEN_S), [""; 0]);
        let busy = ThreadTimes {
            submitter_us: 9_700_000,
            reader_us: 9_300_000,
            ..idle
        };
        let warnings = of_threads(&plan, &busy, TEN_S);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("submits them was busy 97 % of the time"));
        assert!(warnings[1].contains("reads was busy 93 % of the time"));
        assert!(of_threads(&plan, &busy, Duration::from_millis(900)).is_empty());
    }

    #[test]
    fn readers_without_a_moment_left_are_named_in_an_open_loop() {
        // A thousand reads a second of one thread, each of 1 ms; two thousand are due.
        let reading = Reading {
            reads: 9_900,
            taken_us: 9_900_000,
        };
        let one = Plan::default();
        let warning = of_readers(&one, &reading, TEN_S).unwrap();
        let expected = "the only thread that reads was busy 99 % of the time: a read took 1.00 ms in the mean, so \
                        they can do 1000 a second, ";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(warning.contains("give more readers"), "{warning}");
        let three = Plan {
            readers: Some(3),
            ..Plan::default()
        };
        assert_eq!(of_readers(&three, &reading, TEN_S), None);
        let thrice = Reading {
            reads: 29_700,
            taken_us: 29_700_000,
        };
        let warning = of_readers(&three, &thrice, TEN_S).unwrap();
        assert!(warning.starts_with("all 3 threads that read were busy 99 %"));
        assert!(warning.contains("they can do 3000 a second"), "{warning}");

        let at_the_limit = Reading {
            reads: 9_000,
            taken_us: 9_000_000,
        };
        assert_eq!(of_readers(&one, &at_the_limit, TEN_S), None);
        assert_eq!(of_readers(&one, &Reading::default(), TEN_S), None);
        let short = Duration::from_millis(900);
        assert_eq!(of_readers(&one, &reading, short), None);
        let closed = Plan {
            mode: Mode::Closed,
            readers: Some(1),
            ..Plan::default()
        };
        assert_eq!(of_readers(&closed, &reading, TEN_S), None);
    }

    #[test]
    fn what_was_dropped_is_laid_to_the_target_only_if_readers_had_time() {
        let totals = Totals {
            offered: 20_000,
            dropped: 5_000,
            ..Totals::default()
        };
        let says = |readers_are_busy| {
            let plan = Plan::default();
            let warnings = of_figures(&plan, &totals, &Tally::default(), readers_are_busy);
            assert_eq!(warnings.len(), 1);
            assert!(warnings[0].starts_with("25.0 % of the operations were dropped, 200000 being"));
            warnings[0].contains("the target did not keep up")
        };
        assert!(says(false));
        assert!(!says(true));
    }

    #[test]
    fn a_generator_that_was_late_with_one_in_a_hundred_says_so() {
        let says = |p99_us| {
            let mut totals = Totals::default();
            totals.generator_late.p99_us = p99_us;
            totals.generator_late.max_us = 12_340.0;
            of_figures(&Plan::default(), &totals, &Tally::default(), false)
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
            of_threads(&plan, &busy, TEN_S).len()
        };
        assert_eq!(named(Mode::Open, Pacing::Spin), 0);
        assert_eq!(named(Mode::Open, Pacing::Auto), 1);
        assert_eq!(named(Mode::Closed, Pacing::Spin), 1);
    }
}
