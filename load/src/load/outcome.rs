//! The result of a load.

use std::path::Path;

use super::progress::StageTime;
use crate::driver::Tally;
use crate::error::{LoadError, error_chain};
use crate::interval_log::IntervalLog;
use crate::records::Records;
use crate::run::Run;
use crate::run_files::RunFileError;
use crate::warning::Warning;

/// The result of a load.
///
/// See [`Load`](super::Load) for an example.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run, for files and reports.
    pub run: Run,
    /// Its histograms, second by second.
    pub log: IntervalLog,
    /// The contents that every key must have now, and the keys for which they are uncertain because a batch was refused
    /// or failed.
    pub records: Records,
    /// Counts of all operations, including those of the fill and of the search for a rate.
    pub tally: Tally,
    /// The stages, in order.
    pub stages: Vec<StageTime>,
    /// Operations per second that the search for a rate measured, if there was one.
    pub calibrated: Option<f64>,
    /// True if the load was stopped early.
    pub is_interrupted: bool,
}

impl Outcome {
    /// Writes `run.json` and `latency.hlog` into a directory, which is created if missing: both or none. The files of
    /// an older run stay until the new ones are complete, so that they are never mixed.
    pub fn write_to(&self, directory: &Path) -> Result<(), RunFileError> {
        self.run.write_with(&self.log, directory)
    }

    pub(super) fn broken_off(mut self, source: LoadError) -> LoadError {
        let reason = error_chain(&source);
        self.run.ended_by = Some(reason.clone());
        let seconds = self.run.totals.scheduled_us as f64 / 1e6;
        self.run
            .warnings
            .push(Warning::BrokenOff { reason, seconds });
        LoadError::BrokenOff(Box::new(BrokenOff {
            source,
            outcome: self,
        }))
    }
}

/// A run that failed before its end, with the measurements until then.
///
/// ```
/// use trunkline_load::{Load, LoadError, Outcome, Plan, Target};
///
/// /// Returns the run, complete or not: [`Run::ended_by`](trunkline_load::Run::ended_by) tells.
/// fn outcome(plan: &Plan, target: &dyn Target) -> Result<Outcome, LoadError> {
///     match Load::new(plan, target)?.run() {
///         Err(LoadError::BrokenOff(broken)) => Ok(broken.outcome),
///         run => run,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the run ended early")]
pub struct BrokenOff {
    /// The failure.
    pub source: LoadError,
    /// The measurements until then. A failed write may or may not have taken effect, so the records may be wrong about
    /// its key.
    pub outcome: Outcome,
}
