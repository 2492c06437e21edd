//! What a reader of a run's figures must know beside them: pure.
//!
//! Not here: what is said of how a run came about, such as that it was replayed or interrupted (`run_load`).

use std::time::Duration;

use super::driver::{Tally, ThreadTimes};
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

/// What a reader of the figures must know.
pub(super) fn of_figures(plan: &Plan, totals: &Totals, tally: &Tally) -> Vec<String> {
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
        warnings.push(format!(
            "{:.1} % of the operations were dropped, {} being under way: the target did not keep up with the rate",
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
