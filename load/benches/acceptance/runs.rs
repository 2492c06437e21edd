//! Runs, each on a new engine.

use std::path::PathBuf;

use trunkline::{Config, Engine};
use trunkline_load::{Load, Outcome, Plan, Workload};

/// Makes runs.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// The directory in which engines get their directories.
    pub(crate) parent: PathBuf,
    /// Divisor of all times.
    pub(crate) seconds_divisor: u32,
}

impl Runs {
    pub(crate) fn seconds(&self, whole_s: f64) -> f64 {
        whole_s / f64::from(self.seconds_divisor)
    }

    pub(crate) fn micros(&self, whole_s: f64) -> u64 {
        (self.seconds(whole_s) * 1e6) as u64
    }

    /// Runs a plan on a new engine, in a temporary directory.
    pub(crate) fn run(&self, mut config: Config, plan: &Plan) -> Outcome {
        let directory = tempfile::Builder::new()
            .prefix("trunkline-acceptance-")
            .tempdir_in(&self.parent)
            .expect("the directory can be written");
        config.engine.directory = directory.path().join("state");
        config.control.window_ms /= u64::from(self.seconds_divisor);
        let engine = Engine::open_blocking(config).expect("an empty directory");
        let outcome = Load::new(plan, &engine).and_then(Load::run);
        let outcome = outcome.expect("an engine that works");
        engine.shutdown_blocking().expect("a disk that works");
        for warning in &outcome.run.warnings {
            eprintln!("  warning: {warning}");
        }
        outcome
    }
}

/// Returns the same order, reversed in every second round.
pub(crate) fn by_turns<T, const COUNT: usize>(mut all: [T; COUNT], round: usize) -> [T; COUNT] {
    if round.is_multiple_of(2) {
        all.reverse();
    }
    all
}

/// Returns the common part of all loads of updates.
pub(crate) fn updates() -> Plan {
    Plan {
        workload: Workload::Write,
        distribution: Some(trunkline_load::Distribution::Uniform),
        keys: 200_000,
        value_bytes: 32,
        batch: 500,
        ..Plan::default()
    }
}
