//! The seams between the engine and the machine: clock, threads, waiting and pools.
//!
//! Everything above asks for the time, starts a thread, blocks or makes a pool through this folder alone
//! (`tests/layout` of the workspace checks it), so that a simulation can replace these four files.

pub mod clock;
pub mod pool;
pub mod priority;
pub mod thread;
pub mod wait;
