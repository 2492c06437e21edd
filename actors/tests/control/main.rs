//! The controllers against a simulated pipeline: scenarios are files in `tests/scenarios`.

mod scenario;
mod simulator;
mod verdict;

mod cap_at_rest;
mod extremes;
mod hot_prefixes;
mod reasons;
mod scenarios;
