//! One run after another, each on a new engine. Not here: which, and what comes of them.

use std::path::PathBuf;

use trunkline::{Config, Engine};
use trunkline_load::{Load, Outcome, Plan, Workload};

/// Makes runs.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// Where engines have their directories.
    pub(crate) parent: PathBuf,
    /// How much shorter all times are.
    pub(crate) seconds_divisor: u32,
}

impl Runs {
    pub(crate) fn seconds(&self, whole_s: f64) -> f64 {
        whole_s / f64::from(self.seconds_divisor)
    }

    pub(crate) fn micros(&self, whole_s: f64) -> u64 {
        (self.seconds(whole_s) * 1e6) as u64
    }

    /// A plan on a new engine, in a directory that goes away.
    pub(crate) fn run(&self, mut config: Config, plan: &Plan) -> Outcome {
        let mut place = tempfile::Builder::new();
        let place = place
            .prefix("trunkline-acceptance-")
            .tempdir_in(&self.parent);
        let place = place.expect("the directory can be written");
        config.engine.directory = place.path().join("state");
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

/// In every second round from the last to the first.
pub(crate) fn by_turns<T, const COUNT: usize>(mut all: [T; COUNT], round: usize) -> [T; COUNT] {
    if round.is_multiple_of(2) {
        all.reverse();
    }
    all
}

/// What loads of updates have in common.
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
