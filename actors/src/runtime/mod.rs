//! The seams between the engine and the machine: clock, threads, waiting, pools and random bytes.
//!
//! All other code reads the time, starts threads, blocks, makes pools and draws random bytes only through this folder
//! (`tests/layout` of the workspace checks it), so that a simulation can replace it. With the feature `simulation`, a
//! thread with a scheduler gets all of this from the scheduler.

pub mod clock;
pub mod entropy;
pub mod pool;
pub mod priority;
#[cfg(feature = "simulation")]
pub mod simulated;
pub mod thread;
pub mod wait;
