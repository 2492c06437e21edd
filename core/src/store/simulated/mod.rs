//! A disk and a leaf store that lose power: for tests of trunkline and of programs that embed it.
//!
//! Everything is in memory and follows from seeds, so a failing run can be repeated. The model is
//! harsher than most machines: what was not synced may be kept, lost, torn or come back with holes,
//! each file and each directory entry on its own, in any order. After a failed file sync no later one
//! makes the same bytes durable, as on Linux; a failed directory sync can be repeated. Not modelled:
//! damage to what was synced ([`SimulatedDisk::flip`] does that on purpose).

mod disk;
mod fault;
mod file;
mod leaves;
mod names;
mod random;

pub use disk::SimulatedDisk;
pub use fault::{DiskCall, Failure, Fault};
pub use leaves::SimulatedLeafStore;
