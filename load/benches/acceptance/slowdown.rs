//! Checks that a slowdown by a tenth is found. During one run of each pair, threads take a tenth of every core. The
//! pairs are compared as `trunkline compare --paired` does it.
//!
//! Each pair comes with a third run, which is not slowed down: the comparison of the two equal runs should find
//! nothing.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use trunkline::Config;
use trunkline_load::compare::{CompareError, Observed, Recorded};
use trunkline_load::{Mode, Plan};

use super::pairs::{Found, Pairs};
use super::runs::{Runs, by_turns, updates};
use super::text::thousands;

/// Length of a run. Runs of less than 20 whole seconds cannot be compared.
const RUN_S: f64 = 22.0;
/// Share of each core that is taken.
const SHARE: f64 = 0.1;
/// Time for which nothing is taken.
const IDLE: Duration = Duration::from_millis(9);
/// Time for which a core is taken between two looks at the clock.
const SPIN: Duration = Duration::from_micros(50);
/// Seed of the draws.
const SEED: u64 = 1;

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Slowed,
    AlsoPlain,
}

/// Makes all pairs and compares them.
pub(crate) fn measured(runs: &Runs, pairs: usize) -> Result<Found, CompareError> {
    let (mut slowed, mut equal) = (Pairs::default(), Pairs::default());
    for pair in 1..=pairs {
        eprintln!("pair {pair} of {pairs}");
        for kind in by_turns([Kind::Plain, Kind::Slowed, Kind::AlsoPlain], pair) {
            match kind {
                Kind::Plain => {
                    let plain = observed(runs, "as it is");
                    slowed.before.push(plain.clone());
                    equal.before.push(plain);
                }
                Kind::Slowed => slowed.after.push(with_burners(|| observed(runs, "slowed"))),
                Kind::AlsoPlain => equal.after.push(observed(runs, "as it is")),
            }
        }
    }
    Ok(Found {
        slowed: slowed.compared(SEED)?,
        equal: equal.compared(SEED)?,
    })
}

fn observed(runs: &Runs, how: &str) -> Observed {
    let plan = Plan {
        mode: Mode::Closed,
        concurrency: 16,
        batch: 1_000,
        warmup_s: Some(runs.seconds(1.0)),
        duration_s: Some(runs.seconds(RUN_S)),
        ..updates()
    };
    let outcome = runs.run(Config::default(), &plan);
    let per_second = thousands(outcome.run.totals.achieved_per_second());
    eprintln!("  {how}: {per_second} updates/s");
    let recorded = Recorded::of(outcome.run, &outcome.log);
    recorded.expect("a log that was just written").observed()
}

/// Runs `work` while one thread per core takes a share of the core.
fn with_burners<T>(work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let burners: Vec<_> = (0..cores).map(|_| scope.spawn(|| burn(&is_over))).collect();
        let over = Over(&is_over);
        let done = work();
        drop(over);
        let taken: f64 = burners.into_iter().flat_map(|burner| burner.join()).sum();
        eprintln!(
            "  {:.1} % of {cores} cores taken",
            taken * 100.0 / cores as f64
        );
        done
    })
}

/// Sets a flag when it is dropped, also after a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes a share of the elapsed time, and catches up after delays. Returns the share that it took.
fn burn(is_over: &AtomicBool) -> f64 {
    let (begun, mut taken) = (Instant::now(), Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        while taken < begun.elapsed().mul_f64(SHARE) {
            taken += spin();
        }
        thread::sleep(IDLE);
    }
    taken.div_duration_f64(begun.elapsed())
}

/// Spins briefly. Returns the processor time, or the elapsed time where the system does not report it.
fn spin() -> Duration {
    let (begun, cpu) = (Instant::now(), thread_cpu());
    while begun.elapsed() < SPIN {
        spin_loop();
    }
    let of_thread = thread_cpu().zip(cpu).map(|(after, before)| after - before);
    of_thread.unwrap_or_else(|| begun.elapsed())
}

#[cfg(target_os = "linux")]
fn thread_cpu() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Some(Duration::new(seconds.ok()?, nanos.ok()?))
}

#[cfg(not(target_os = "linux"))]
fn thread_cpu() -> Option<Duration> {
    None
}
