//! The comparison of runs, on made-up runs with autocorrelated noise.

mod recorded;
mod refusals;
mod synthetic;
mod verdicts;
