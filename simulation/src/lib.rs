//! The engine of trunkline in one thread under a seeded scheduler, checked by a naive model.
//!
//! Everything is real: stages, receipts, log, checkpoints, recovery, adaptive control. Only what is below the seams of
//! `trunkline_actors::runtime` is simulated: threads are coroutines, the clock is virtual, the disk is in memory. So a
//! seed decides everything that happens, and one seed always does the same.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "a task suspends itself from deep in its stack")]
mod coroutine;
mod machine;
mod scheduler;
#[cfg(test)]
mod tests;
