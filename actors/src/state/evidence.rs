//! Evidence about submissions: their place and their outcome, shown to somebody who trusts a commit id.
//!
//! What evidence is made from is kept with the readable versions, and dropped with them.

use trunkline_core::evidence::{Evidence, ProveEvidenceError};

use super::published::State;
use super::versions::Version;
use crate::failure::EngineFailure;

/// Why there is no evidence about a submission.
///
/// ```
/// use trunkline::EvidenceError;
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let error = engine.evidence(1).unwrap_err();
/// assert!(matches!(error, EvidenceError::NotYet { sequence: 1, last: 0 }));
/// assert!(error.to_string().ends_with("wait for its receipt"));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The submission is not durable.
    #[error(
        "submission {sequence} is not durable yet, {last} is the last that is; wait for its receipt"
    )]
    NotYet {
        /// Its place.
        sequence: u64,
        /// That of the last durable one.
        last: u64,
    },
    /// The version of the submission is older than what is retained.
    #[error(
        "the version of submission {sequence} is no longer kept, the oldest kept one begins with submission {oldest}: take evidence sooner, raise versions.retain_versions or hold a snapshot"
    )]
    Expired {
        /// Its place.
        sequence: u64,
        /// That of the first one whose version is kept.
        oldest: u64,
    },
    /// The version was read from a checkpoint, which has no outcomes.
    #[error(
        "the outcomes of version {version} were not in the log any more when the tree was opened; take evidence before the tree is closed"
    )]
    NotInLog {
        /// The version.
        version: u64,
    },
    /// No evidence can be made of what is kept.
    #[error(transparent)]
    Prove(#[from] ProveEvidenceError),
    /// The submission never became durable.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The engine is gone, and what it kept with it.
    #[error(
        "the engine of this receipt is gone; ask the one that has the tree open now, by sequence number"
    )]
    Gone,
}

/// The evidence about a submission of any version that is kept.
pub fn of_kept(state: &State, sequence: u64) -> Result<Evidence, EvidenceError> {
    match state.versions.of_submission(sequence) {
        Ok(version) => of_version(&version, sequence),
        Err((_, last)) if sequence > last => Err(EvidenceError::NotYet { sequence, last }),
        Err((oldest, _)) => Err(EvidenceError::Expired { sequence, oldest }),
    }
}

/// The evidence about a submission of this version.
pub fn of_version(version: &Version, sequence: u64) -> Result<Evidence, EvidenceError> {
    let Some(kept) = &version.submissions else {
        let version = version.number();
        return Err(EvidenceError::NotInLog { version });
    };
    let (record, before) = (&version.record, &kept.provisional_before);
    Ok(Evidence::prove(record, &kept.outcomes, before, sequence)?)
}
