//! The outcome of a submission, and its fixed-width form, which the outcomes digest of the commit record
//! covers.
//!
//! Not here: deciding the outcome (`tree`), and proving it (`evidence`).

use alloc::vec::Vec;

use crate::hash::Digest;
use crate::history::{MountainRange, OUTCOMES};

/// Bytes of an encoded outcome.
pub const OUTCOME_BYTES: usize = 8 + 32 + 1 + 32;

/// The reason why a submission had no effect. It keeps its place in the sequence.
///
/// ```
/// use trunkline_core::outcome::{Outcome, Refusal};
/// fn advice(outcome: &Outcome) -> &'static str {
///     match outcome {
///         Outcome::Applied { .. } => "done",
///         Outcome::Refused(Refusal::RequirementFailed { .. }) => "read again and retry",
///         Outcome::Refused(_) => "another key is needed",
///     }
/// }
/// let lost_race = Refusal::RequirementFailed { key_hash: [0xab; 32] };
/// assert_eq!(advice(&Outcome::Refused(lost_race)), "read again and retry");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A requirement did not hold of the state before the submission.
    #[error(
        "a requirement on key hash {} did not hold",
        crate::hash::hex(key_hash)
    )]
    RequirementFailed {
        /// Hash of the key.
        key_hash: Digest,
    },
    /// A bucket would get one member too many.
    #[error("the bucket of key hash {} is full", crate::hash::hex(key_hash))]
    BucketFull {
        /// Hash of the newest key of the bucket.
        key_hash: Digest,
    },
    /// Another key has the path, and the policy is `reject`.
    #[error(
        "the path of key hash {} is taken by another key",
        crate::hash::hex(key_hash)
    )]
    PathTaken {
        /// Hash of the newest key on the path.
        key_hash: Digest,
    },
}

/// The outcome of a submission.
///
/// ```
/// use trunkline_core::outcome::Outcome;
/// assert!(Outcome::Applied { displaced: 0 }.is_applied());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The submission took effect.
    Applied {
        /// Keys that newer keys on their paths replaced (policy `overwrite` alone).
        displaced: u32,
    },
    /// The submission had no effect.
    Refused(Refusal),
}

impl Outcome {
    /// Returns whether the submission took effect.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }
}

/// A submission with its place and its outcome.
///
/// Encoding: sequence number u64 little-endian, submission digest, code u8, detail 32. Codes: 0
/// applied (detail: keys displaced, u32 little-endian, then zeros), 1 requirement failed, 2 bucket
/// full, 3 path taken (detail: the key hash).
///
/// ```
/// use trunkline_core::outcome::{Outcome, SubmissionOutcome};
/// let outcome = SubmissionOutcome {
///     sequence: 7,
///     submission: [1; 32],
///     outcome: Outcome::Applied { displaced: 2 },
/// };
/// assert_eq!(SubmissionOutcome::decode(&outcome.encode()), Some(outcome));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmissionOutcome {
    /// Place in the sequence of all submissions.
    pub sequence: u64,
    /// Digest of the submission.
    pub submission: Digest,
    /// The outcome.
    pub outcome: Outcome,
}

impl SubmissionOutcome {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> [u8; OUTCOME_BYTES] {
        let (code, detail) = match self.outcome {
            Outcome::Applied { displaced } => {
                let mut detail = [0; 32];
                detail[..4].copy_from_slice(&displaced.to_le_bytes());
                (0, detail)
            }
            Outcome::Refused(Refusal::RequirementFailed { key_hash }) => (1, key_hash),
            Outcome::Refused(Refusal::BucketFull { key_hash }) => (2, key_hash),
            Outcome::Refused(Refusal::PathTaken { key_hash }) => (3, key_hash),
        };
        let mut bytes = [0; OUTCOME_BYTES];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.submission);
        bytes[40] = code;
        bytes[41..].copy_from_slice(&detail);
        bytes
    }

    /// Reads canonical bytes; `None` for anything else.
    pub fn decode(bytes: &[u8; OUTCOME_BYTES]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (submission, rest) = rest.split_first_chunk::<32>()?;
        let (code, detail) = rest.split_first_chunk::<1>()?;
        let key_hash: Digest = detail.try_into().ok()?;
        let outcome = match code[0] {
            0 => {
                let (displaced, zeros) = detail.split_first_chunk::<4>()?;
                if zeros.iter().any(|byte| *byte != 0) {
                    return None;
                }
                let displaced = u32::from_le_bytes(*displaced);
                Outcome::Applied { displaced }
            }
            1 => Outcome::Refused(Refusal::RequirementFailed { key_hash }),
            2 => Outcome::Refused(Refusal::BucketFull { key_hash }),
            3 => Outcome::Refused(Refusal::PathTaken { key_hash }),
            _ => return None,
        };
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            submission: *submission,
            outcome,
        })
    }
}

/// Returns the outcomes of one version: their encodings in a row, and the digest for its record.
pub fn encode_outcomes(outcomes: &[SubmissionOutcome]) -> (Vec<u8>, Digest) {
    let mut bytes = Vec::with_capacity(OUTCOME_BYTES * outcomes.len());
    let mut range = MountainRange::default();
    for outcome in outcomes {
        let encoded = outcome.encode();
        range.append(&OUTCOMES, &encoded);
        bytes.extend_from_slice(&encoded);
    }
    (bytes, range.digest(&OUTCOMES))
}

/// Reads outcomes in a row, and returns them with their digest; `None` if they cannot be read.
pub fn decode_outcomes(bytes: &[u8]) -> Option<(Vec<SubmissionOutcome>, Digest)> {
    let (chunks, rest) = bytes.as_chunks::<OUTCOME_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let mut range = MountainRange::default();
    let outcomes = chunks
        .iter()
        .map(|chunk| {
            range.append(&OUTCOMES, chunk);
            SubmissionOutcome::decode(chunk)
        })
        .collect::<Option<Vec<_>>>()?;
    Some((outcomes, range.digest(&OUTCOMES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<SubmissionOutcome> {
        let key_hash = [9; 32];
        [
            Outcome::Applied { displaced: 0 },
            Outcome::Applied { displaced: 3 },
            Outcome::Refused(Refusal::RequirementFailed { key_hash }),
            Outcome::Refused(Refusal::BucketFull { key_hash }),
            Outcome::Refused(Refusal::PathTaken { key_hash }),
        ]
        .into_iter()
        .zip(5..)
        .map(|(outcome, sequence)| SubmissionOutcome {
            sequence,
            submission: [sequence as u8; 32],
            outcome,
        })
        .collect()
    }

    #[test]
    fn outcomes_survive_their_encoding() {
        let outcomes = all();
        let (bytes, digest) = encode_outcomes(&outcomes);
        assert_eq!(decode_outcomes(&bytes), Some((outcomes, digest)));
        assert_eq!(decode_outcomes(&bytes[1..]), None);
    }

    #[test]
    fn every_decoding_is_canonical() {
        for outcome in all() {
            let bytes = outcome.encode();
            for index in 0..OUTCOME_BYTES {
                let mut changed = bytes;
                changed[index] ^= 0x41;
                if let Some(other) = SubmissionOutcome::decode(&changed) {
                    assert_eq!(other.encode(), changed);
                }
            }
        }
    }
}
