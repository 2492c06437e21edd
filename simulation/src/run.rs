//! Running worlds: one by its seed, or a part of one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::plan::Plan;
use crate::scheduler::{Simulation, quieten_panics};
use crate::world::World;

/// The world that is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The seed of the plan.
    pub seed: u64,
    /// Another seed for the schedule than the plan's.
    pub schedule: Option<u64>,
    /// The steps and faults of the plan that are left out.
    pub left_out: BTreeSet<u32>,
    /// True if all events are printed.
    pub prints: bool,
}

macro_rules! counts {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// The counts of events in worlds.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counts {
            /// Returns each count with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }

        impl std::ops::AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counts! {
    /// The worlds.
    worlds,
    /// The batches that an engine accepted.
    batches,
    /// The reverts that an engine accepted.
    reverts,
    /// The forks that were compared with the model.
    forks,
    /// Forks that an engine accepted as versions.
    fork_commits,
    /// The turns of tasks.
    turns,
    /// Virtual time, microseconds.
    virtual_us,
    /// The attempted openings.
    openings,
    /// The openings that failed because of a fault.
    openings_failed,
    /// The openings after a loss of power that found a torn or damaged end of the log.
    logs_repaired,
    /// Losses of power.
    power_losses,
    /// Engines that failed.
    engines_failed,
    /// The accepted batches that a crash lost. None of them was acknowledged.
    batches_lost,
    /// Durable versions.
    versions,
    /// Batches that the tree refused.
    refused,
    /// Keys that others on their paths displaced.
    displaced,
    /// Checkpoints.
    checkpoints,
    /// Commits that waited for checkpoints.
    commits_held_back,
    /// Pages evicted from memory.
    pages_evicted,
    /// The cells that were read back.
    pages_restored,
    /// Reads of the leaf store.
    store_reads,
    /// Reads of the value cache.
    cache_hits,
    /// Keys proven.
    keys_proven,
    /// Settings that the engine or a reload changed.
    decisions,
    /// Snapshots that expired while they were held.
    snapshots_expired,
    /// Older versions that were opened.
    past_versions,
    /// The submissions that were abandoned while they waited.
    submissions_given_up,
    /// The submissions that were repeated with their keys, and not applied again.
    repeats,
}

/// The result of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The counts.
    pub counts: Counts,
    /// A hash over all turns and events.
    pub trace_hash: u64,
    /// The steps and faults of the plan, left out or not.
    pub numbers: u32,
    /// The failure, if there was one.
    pub failure: Option<Failed>,
}

/// The failure of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The report.
    pub report: String,
    /// The plan that led to it.
    pub plan: String,
}

/// Runs a world, on a thread of its own, so that no thread-local state passes from one world to the next.
///
/// # Panics
///
/// Panics if the system has no thread left.
pub fn run(selection: &Selection) -> Outcome {
    quieten_panics();
    let selection = selection.clone();
    let world = thread::Builder::new().name(format!("world {}", selection.seed));
    let world = world.spawn(move || run_here(&selection));
    let ended = world.expect("the system has threads").join();
    ended.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

fn run_here(selection: &Selection) -> Outcome {
    let plan = Plan::new(selection.seed).without(&selection.left_out);
    let mut schedule = plan.schedule;
    schedule.seed = selection.schedule.unwrap_or(schedule.seed);
    let simulation = Simulation::new(schedule, selection.prints);
    let (numbers, shown) = (plan.numbers, plan.to_string());
    let world = World::new(plan, simulation.clone());
    let main = world.clone();
    let ran = simulation.run(move || main.live());
    let mut counts = *world.counts.borrow();
    counts.worlds = 1;
    counts.turns = simulation.steps();
    counts.virtual_us = simulation.elapsed().as_micros() as u64;
    Outcome {
        counts,
        trace_hash: simulation.trace_hash(),
        numbers,
        failure: ran.err().map(|report| Failed {
            report,
            plan: shown,
        }),
    }
}

/// Many worlds.
#[derive(Clone, Debug)]
pub struct Worlds {
    /// Their seeds.
    pub seeds: Range<u64>,
    /// Worlds that run at the same time.
    pub threads: usize,
    /// No world begins once this many batches were accepted.
    pub batches_max: Option<u64>,
}

/// Runs worlds until one fails. Returns the sum of the counts, and the failing world with the lowest seed. `progress`
/// is called after each world.
pub fn run_seeds(
    range: &Worlds,
    progress: impl FnMut(&Counts) + Send,
) -> (Counts, Option<(Selection, Outcome)>) {
    struct Shared<P> {
        next: u64,
        counts: Counts,
        failing: Option<(Selection, Outcome)>,
        progress: P,
    }
    let shared = Mutex::new(Shared {
        next: range.seeds.start,
        counts: Counts::default(),
        failing: None,
        progress,
    });
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || {
        let shared = &mut *lock();
        let enough = range
            .batches_max
            .is_some_and(|max| shared.counts.batches >= max);
        let seed = shared.next;
        let ends = enough || shared.failing.is_some() || seed >= range.seeds.end;
        shared.next += u64::from(!ends);
        (!ends).then_some(seed)
    };
    let work = || {
        while let Some(seed) = next() {
            let selection = Selection {
                seed,
                ..Selection::default()
            };
            let outcome = run(&selection);
            let shared = &mut *lock();
            shared.counts += outcome.counts;
            (shared.progress)(&shared.counts);
            let is_first = shared
                .failing
                .as_ref()
                .is_none_or(|(first, _)| seed < first.seed);
            if outcome.failure.is_some() && is_first {
                shared.failing = Some((selection, outcome));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..range.threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    (shared.counts, shared.failing)
}

/// Returns a report of a failing world, with the command that runs it again.
pub fn describe(selection: &Selection, outcome: &Outcome) -> String {
    let report = outcome
        .failure
        .as_ref()
        .map_or("nothing failed", |failed| &failed.report);
    let kept = outcome.numbers as usize - selection.left_out.len();
    let mut command = format!(
        "cargo run --release -p trunkline-simulation -- --seed {}",
        selection.seed
    );
    if let Some(schedule) = selection.schedule {
        let _ = write!(command, " --schedule {schedule}");
    }
    if !selection.left_out.is_empty() {
        let _ = write!(
            command,
            " --without {}",
            format_numbers(&selection.left_out)
        );
    }
    format!(
        "Seed {} failed with {kept} of {} steps and faults:\n  {report}\nAgain:\n  {command}",
        selection.seed, outcome.numbers
    )
}

/// Returns numbers as text, ranges together: `1-7,9`.
fn format_numbers(numbers: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// Reads numbers from a text such as `1-7,9`.
///
/// # Errors
///
/// Fails with what is wrong in the text.
pub fn parse_numbers(text: &str) -> Result<BTreeSet<u32>, String> {
    let mut numbers = BTreeSet::new();
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|error| format!("{text}: {error}"))
    };
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(number(first)?..=number(last)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_printed() {
        let numbers = BTreeSet::from([1, 2, 3, 7, 9, 10]);
        assert_eq!(format_numbers(&numbers), "1-3,7,9-10");
        assert_eq!(parse_numbers("1-3,7,9-10"), Ok(numbers));
        assert_eq!(parse_numbers(""), Ok(BTreeSet::new()));
        assert!(parse_numbers("1-x").is_err());
    }
}
