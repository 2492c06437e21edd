//! The seams between the engine and the machine: clock, threads, waiting, pools and random bytes.
//!
//! Everything above asks for the time, starts a thread, blocks, makes a pool or draws random bytes through this folder
//! alone (`tests/layout` of the workspace checks it), so that a simulation can replace it. With the feature
//! `simulation`, a thread in which a scheduler is in force gets all of this from the scheduler.

pub mod clock;
pub mod entropy;
pub mod pool;
pub mod priority;
#[cfg(feature = "simulation")]
pub mod simulated;
pub mod thread;
pub mod wait;
