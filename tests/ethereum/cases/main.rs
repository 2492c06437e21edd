//! Contracts that check trunkline's roots, run in an EVM.

mod support;

mod compression;
mod point_evaluation;
mod slot_digest;
