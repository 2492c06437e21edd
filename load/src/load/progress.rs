//! The progress of a load.

use std::time::Duration;

use trunkline::Span;
use trunkline::decisions::{Decision, Window};

use crate::run::Second;

/// A stage of a load.
///
/// See [`Progress`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageName {
    /// All keys are put once.
    Fill,
    /// A closed loop measures the peak throughput, with as many readers as the run has.
    Calibrate,
    /// The run itself, including its warm-up.
    Run,
}

impl std::fmt::Display for StageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fill => "fill",
            Self::Calibrate => "calibrate",
            Self::Run => "run",
        })
    }
}

/// The progress of a load. The observer is called with it about seven times per second, from the thread that runs the
/// load.
///
/// ```
/// use trunkline_load::{Load, Plan, Progress};
/// # let directory = tempfile::tempdir()?;
/// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let plan = Plan { keys: 100, ops: Some(200), rate: Some(1e5), ..Plan::default() };
/// let mut observer = |progress: &Progress<'_>| {
///     eprintln!("{} {} operations", progress.stage, progress.operations);
/// };
/// let outcome = Load::new(&plan, &engine)?.observer(&mut observer).run()?;
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Progress<'a> {
    /// The current stage.
    pub stage: StageName,
    /// Time since the stage began, including its warm-up.
    pub elapsed: Duration,
    /// Length of the stage, if it is known.
    pub planned: Option<Duration>,
    /// Operations of the stage that ended.
    pub operations: u64,
    /// Number of the stage's operations, if it is known.
    pub planned_operations: Option<u64>,
    /// True if the run is still in its warm-up, in which nothing is counted.
    pub is_warm_up: bool,
    /// Target rate in operations per second, before shapes and phases.
    pub rate: Option<f64>,
    /// Returns the unfinished second with its records so far. It copies the histograms of all threads, so call it only
    /// to show that second.
    pub current: &'a dyn Fn() -> Second,
    /// Finished seconds of the stage.
    pub seconds: &'a [Second],
    /// Latest windows that the target measured since the load began.
    pub windows: &'a [Window],
    /// Latest decisions that the target took since the load began.
    pub decisions: &'a [Decision],
    /// Latest spans of the target's stages since the load began.
    pub spans: &'a [Span],
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("stage", &self.stage)
            .field("elapsed", &self.elapsed)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

/// The duration of a stage.
///
/// See [`Outcome::stages`](super::Outcome::stages).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The stage.
    pub stage: StageName,
    /// Operations that ended, including those of the warm-up.
    pub operations: u64,
    /// Length of the stage, to the end of its last operation.
    pub elapsed: Duration,
}
