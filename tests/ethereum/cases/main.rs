//! What a contract can check of trunkline, in an EVM.

mod support;

mod compression;
mod point_evaluation;
mod slot_digest;
