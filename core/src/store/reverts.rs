//! Checks whether a version that claims to restore an older state has that state.
//!
//! The state digest of a version is checked against its record anyway. A revert adds the claim that it equals that of
//! an older version, which can be checked where that version is known. Not here: making reverts.

use std::collections::VecDeque;

use crate::hash::{Digest, hex};
use crate::outcome::{Outcome, SubmissionOutcome};
use crate::record::CommitRecord;

/// The maximum number of known versions.
const KNOWN_MAX: usize = 4096;

/// The state digests of the last versions of a chain, by their commit ids.
///
/// ```
/// use trunkline_core::{record::CommitRecord, store::reverts::KnownStates};
/// let mut known = KnownStates::default();
/// known.push(&CommitRecord::genesis([7; 32]));
/// assert!(known.check(&CommitRecord::genesis([7; 32]), &[]).is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct KnownStates {
    /// The commit id and state digest of each version, oldest first.
    versions: VecDeque<(Digest, Digest)>,
}

/// The error of a version that claims to restore the state of an older one, and has another.
///
/// ```
/// use trunkline_core::store::reverts::OtherStateError;
/// let error = OtherStateError { version: 9, of: [1; 32], then: [2; 32], found: [3; 32] };
/// assert!(error.to_string().starts_with("version 9 claims"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {version} claims to restore the state of the version with commit id {}, which is {}, but has {}",
    hex(of),
    hex(then),
    hex(found)
)]
pub struct OtherStateError {
    /// The version.
    pub version: u64,
    /// The commit id of the version whose state it claims to restore.
    pub of: Digest,
    /// The state digest of that version.
    pub then: Digest,
    /// The state digest of this version.
    pub found: Digest,
}

impl KnownStates {
    /// Adds the next version, and forgets the oldest if there are too many.
    pub fn push(&mut self, record: &CommitRecord) {
        if self.versions.len() == KNOWN_MAX {
            self.versions.pop_front();
        }
        let known = (record.commit_id(), record.state_digest);
        self.versions.push_back(known);
    }

    /// Checks a version with its encoded outcomes. What cannot be read, is no revert, or names a version that is not known
    /// passes.
    ///
    /// # Errors
    ///
    /// Fails if the version has another state than the one that it claims to restore.
    pub fn check(&self, record: &CommitRecord, outcomes: &[u8]) -> Result<(), OtherStateError> {
        // A revert is alone in its version, so most versions cost only this comparison.
        if record.first_sequence != record.last_sequence {
            return Ok(());
        }
        let outcome = SubmissionOutcome::decode(outcomes).map(|outcome| outcome.outcome);
        let Some(Outcome::Reverted { commit_id }) = outcome else {
            return Ok(());
        };
        let found = record.state_digest;
        let mut newest_first = self.versions.iter().rev();
        match newest_first.find(|(known, _)| *known == commit_id) {
            Some(&(of, then)) if then != found => Err(OtherStateError {
                version: record.version,
                of,
                then,
                found,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{IdempotencyKey, encode_outcomes};

    fn version(version: u64, state: u8) -> CommitRecord {
        CommitRecord {
            version,
            first_sequence: version,
            last_sequence: version,
            state_digest: [state; 32],
            ..CommitRecord::genesis([7; 32])
        }
    }

    fn reverted(record: &CommitRecord, to: &CommitRecord) -> Vec<u8> {
        let outcome = SubmissionOutcome {
            sequence: record.last_sequence,
            submission: [0; 32],
            outcome: Outcome::Reverted {
                commit_id: to.commit_id(),
            },
            idempotency_key: IdempotencyKey::default(),
        };
        encode_outcomes(&[outcome]).0
    }

    #[test]
    fn a_revert_has_the_state_of_the_version_that_it_names_if_that_is_known() {
        let mut known = KnownStates::default();
        let (old, other) = (version(1, 1), version(2, 2));
        known.push(&old);
        known.push(&other);
        let (same, different) = (version(3, 1), version(3, 2));
        assert_eq!(known.check(&same, &reverted(&same, &old)), Ok(()));
        let error = known.check(&different, &reverted(&different, &old));
        let error = error.unwrap_err();
        assert_eq!((error.version, error.of), (3, old.commit_id()));
        assert_eq!((error.then, error.found), ([1; 32], [2; 32]));
        for next in 4..4 + KNOWN_MAX as u64 {
            known.push(&version(next, 9));
        }
        assert_eq!(known.versions.len(), KNOWN_MAX);
        assert_eq!(known.check(&different, &reverted(&different, &old)), Ok(()));
    }
}
