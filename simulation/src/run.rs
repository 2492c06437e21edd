//! Running worlds: one by its seed, or a part of one.

use std::collections::BTreeSet;
use std::thread;

use crate::plan::Plan;
use crate::scheduler::{Simulation, quieten_panics};
use crate::world::World;

/// Which world is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The seed of the plan.
    pub seed: u64,
    /// Another seed for the schedule than the plan's.
    pub schedule: Option<u64>,
    /// Steps and faults of the plan that are left out.
    pub left_out: BTreeSet<u32>,
    /// Whether all events are printed.
    pub prints: bool,
}

/// What happened in worlds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that an engine accepted.
    pub batches: u64,
    /// Openings that were tried.
    pub openings: u64,
    /// Turns that tasks had.
    pub steps: u64,
    /// Virtual time, microseconds.
    pub virtual_us: u64,
}

/// How a world ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What happened until then.
    pub counts: Counts,
    /// A hash over all turns and events.
    pub trace_hash: u64,
    /// The steps and faults of the plan, left out or not.
    pub numbers: u32,
    /// What went wrong, if anything.
    pub failure: Option<Failed>,
}

/// What went wrong in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The report.
    pub report: String,
    /// The plan that led to it.
    pub plan: String,
}

/// Runs a world, on a thread of its own: nothing that a thread keeps can pass from one world to the next.
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
    let (numbers, shown) = (plan.numbers, format!("{plan:#?}"));
    let world = World::new(plan, simulation.clone());
    let main = world.clone();
    let ran = simulation.run(move || main.live());
    let mut counts = *world.counts.borrow();
    counts.steps = simulation.steps();
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
