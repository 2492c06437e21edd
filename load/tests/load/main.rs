//! Loads, run from outside the crate.

mod support;

mod engine;
mod interval_log;
mod merge;
mod own_target;
mod plan;
mod plan_files;
mod replay;
mod run_files;
mod schema;
mod trace;
