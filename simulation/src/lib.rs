//! The engine of trunkline in one thread under a seeded scheduler, checked by a naive model.
//!
//! Everything is real: stages, receipts, log, checkpoints, recovery, adaptive control. Only what is below the seams of
//! `trunkline_actors::runtime` is simulated: threads are coroutines, the clock is virtual, the disk is in memory. So a
//! seed decides everything that happens, and one seed always does the same.

#![deny(unsafe_code)]

mod caller;
#[allow(unsafe_code, reason = "a task suspends itself from deep in its stack")]
mod coroutine;
mod fork;
mod machine;
mod past;
mod plan;
mod ranges;
mod revert;
mod run;
mod scheduler;
mod shrink;
#[cfg(test)]
mod tests;
mod truth;
mod world;

pub use run::{
    Counts, Failed, Outcome, Selection, Worlds, describe, parse_numbers, run, run_seeds,
};
pub use shrink::shrink;

/// Fails the simulation that runs on this thread unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($report:tt)+) => {
        if !$condition {
            $crate::scheduler::fail(format!($($report)+));
        }
    };
}
use ensure;
