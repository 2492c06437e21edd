//! Errors of a load, and the text of an error with its causes in one line.

use super::interval_log::IntervalLogError;
use super::load::BrokenOff;
use super::plan::InvalidPlan;
use super::target::TargetError;
use super::trace::TraceError;

/// An error that ended a load early.
///
/// ```
/// use trunkline_load::{Load, LoadError, Plan};
/// # let directory = tempfile::tempdir()?;
/// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let plan = Plan { batch: 0, ..Plan::default() };
/// let error = Load::new(&plan, &engine).unwrap_err();
/// assert!(matches!(error, LoadError::Plan(_)));
/// assert_eq!(error.to_string(), "batch must be 1 to 1000000, not 0");
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A value of the plan is out of its bounds.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// A trace cannot be read or written.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The target failed, and no later operation can succeed.
    #[error("the target failed")]
    Target(#[source] TargetError),
    /// Some keys could not be put before the run.
    #[error("the keys could not be put: {0}")]
    Fill(String),
    /// A thread cannot be started.
    #[error("a thread for the load cannot be started")]
    Thread(#[source] std::io::Error),
    /// A histogram cannot be written.
    #[error(transparent)]
    Log(#[from] IntervalLogError),
    /// The speed of a replay is out of its bounds.
    #[error("the speed of a replay must be 0.001 to 1000, not {0}")]
    Speed(f64),
    /// A replay was asked to be recorded.
    #[error("a replay cannot be recorded, since its trace exists already; choose one of the two")]
    NoReplayAndRecord,
    /// The run itself failed part of the way. The error holds what was measured until then.
    #[error(transparent)]
    BrokenOff(Box<BrokenOff>),
}

/// Returns an error and its causes in one line, separated by colons. A cause whose text the line ends with already is
/// left out, and line breaks become spaces.
///
/// ```
/// use trunkline_load::{LoadError, TargetError, error_chain};
/// let cause = TargetError::failed(std::io::Error::other("the service answered 503"));
/// let text = error_chain(&LoadError::Target(cause));
/// assert_eq!(text, "the target failed: the service answered 503");
/// ```
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let text = causes.fold(error.to_string(), |text, cause| {
        let more = cause.to_string();
        match text.ends_with(&more) {
            true => text,
            false => format!("{text}: {more}"),
        }
    });
    text.replace(['\n', '\r'], " ")
}
