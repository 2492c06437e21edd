//! Evidence about submissions: it proves the position and the outcome of a submission to anybody who trusts a commit
//! id.
//!
//! Its sources are kept with the readable versions, and dropped with them.

use std::sync::Arc;

use trunkline_core::evidence::{Evidence, ProveEvidenceError};
use trunkline_core::store::past::PastVersion;

use super::past::PastError;
use super::published::State;
use super::versions::Version;
use crate::failure::EngineFailure;

/// The reason for which there is no evidence about a submission.
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
        "submission {sequence} is not durable yet, {last} is the last durable one; wait for its receipt"
    )]
    NotYet {
        /// Its sequence number.
        sequence: u64,
        /// The sequence number of the last durable submission.
        last: u64,
    },
    /// The version of the submission is older than the retained ones.
    #[error(
        "the version of submission {sequence} is no longer kept; the kept versions begin with submission {oldest}: take evidence sooner, raise versions.retain_versions, or hold a snapshot"
    )]
    Expired {
        /// Its sequence number.
        sequence: u64,
        /// The sequence number of the first submission whose version is kept.
        oldest: u64,
    },
    /// The version was read from a checkpoint, which has no outcomes.
    #[error(
        "the log no longer had the outcomes of version {version} when the tree was opened; take evidence before the tree is closed"
    )]
    NotInLog {
        /// The version.
        version: u64,
    },
    /// The version is archived and cannot be read.
    #[error(transparent)]
    Past(Arc<PastError>),
    /// The version does not contain the submission, or too many others follow it in the version.
    #[error(transparent)]
    Prove(#[from] ProveEvidenceError),
    /// The submission never became durable.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The engine of the receipt was dropped.
    #[error(
        "the engine of this receipt was dropped; ask the engine that has the tree open now, by sequence number"
    )]
    Gone,
}

/// Returns the evidence about a submission of any version that is kept.
///
/// # Errors
///
/// Fails if the submission is not durable yet, or if its version has expired or was read from a checkpoint.
pub fn of_kept(state: &State, sequence: u64) -> Result<Evidence, EvidenceError> {
    let found = match state.versions.of_submission(sequence) {
        Ok(version) => of_version(&version, sequence),
        Err((_, last)) if sequence > last => return Err(EvidenceError::NotYet { sequence, last }),
        Err((oldest, _)) => Err(EvidenceError::Expired { sequence, oldest }),
    };
    // The archive has the outcomes of a version that was read from a checkpoint, too.
    let Err(EvidenceError::Expired { .. } | EvidenceError::NotInLog { .. }) = found else {
        return found;
    };
    let archived = state.past.as_ref().map(|past| past.of_submission(sequence));
    match archived.transpose()?.flatten() {
        Some(version) => of_archived(&version, sequence),
        None => found,
    }
}

fn of_archived(version: &PastVersion, sequence: u64) -> Result<Evidence, EvidenceError> {
    let Some(kept) = &version.submissions else {
        let version = version.record.version;
        return Err(EvidenceError::NotInLog { version });
    };
    let (record, before) = (&version.record, &kept.provisional_before);
    Ok(Evidence::prove(record, &kept.outcomes, before, sequence)?)
}

impl From<PastError> for EvidenceError {
    fn from(error: PastError) -> Self {
        Self::Past(Arc::new(error))
    }
}

/// Returns the evidence about a submission of this version.
///
/// # Errors
///
/// Fails if the version was read from a checkpoint, or does not have the submission.
pub fn of_version(version: &Version, sequence: u64) -> Result<Evidence, EvidenceError> {
    let Some(kept) = &version.submissions else {
        let version = version.number();
        return Err(EvidenceError::NotInLog { version });
    };
    let (record, before) = (&version.record, &kept.provisional_before);
    Ok(Evidence::prove(record, &kept.outcomes, before, sequence)?)
}
