//! The outcome of a submission, and its canonical bytes, which the outcomes digest of the commit record covers.
//!
//! `tree` decides the outcome, and `evidence` proves it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::hash::Digest;
use crate::history::{MountainRange, OUTCOMES};

/// Size of the longest idempotency key in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
/// Size of an encoded outcome without an idempotency key, in bytes.
pub const OUTCOME_BYTES_MIN: usize = LENGTH_AT + 1;
/// Size of the longest encoded outcome in bytes.
pub const OUTCOME_BYTES_MAX: usize = OUTCOME_BYTES_MIN + IDEMPOTENCY_KEY_BYTES_MAX;

/// Offset of the length of the idempotency key in an encoded outcome.
const LENGTH_AT: usize = 8 + 32 + 1 + 32;

/// The reason why a submission had no effect. It keeps its sequence number.
///
/// ```
/// use trunkline_core::outcome::{Outcome, Refusal};
/// fn advice(outcome: &Outcome) -> &'static str {
///     match outcome {
///         Outcome::Applied { .. } | Outcome::Reverted { .. } => "done",
///         Outcome::Refused(Refusal::RequirementFailed { .. }) => "read again and retry",
///         Outcome::Refused(_) => "another key is needed",
///     }
/// }
/// let lost_race = Refusal::RequirementFailed { key_hash: [0xab; 32] };
/// assert_eq!(advice(&Outcome::Refused(lost_race)), "read again and retry");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A requirement did not hold for the state before the submission.
    #[error(
        "a requirement on key hash {} did not hold",
        crate::hash::hex(key_hash)
    )]
    RequirementFailed {
        /// Hash of the key.
        key_hash: Digest,
    },
    /// A bucket would exceed its number of members.
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
        /// Number of keys that newer keys on their paths replaced (only with the policy `overwrite`).
        displaced: u32,
    },
    /// The submission had no effect.
    Refused(Refusal),
    /// The submission restored the state of an older version.
    Reverted {
        /// Commit id of the version whose state was restored.
        commit_id: Digest,
    },
}

impl Outcome {
    /// Returns whether the submission took effect.
    pub fn is_applied(&self) -> bool {
        match self {
            Self::Applied { .. } | Self::Reverted { .. } => true,
            Self::Refused(_) => false,
        }
    }

    /// Returns its code and its detail, as they are encoded.
    pub(crate) fn code_and_detail(&self) -> (u8, Digest) {
        match *self {
            Self::Applied { displaced } => {
                let mut detail = [0; 32];
                detail[..4].copy_from_slice(&displaced.to_le_bytes());
                (0, detail)
            }
            Self::Refused(Refusal::RequirementFailed { key_hash }) => (1, key_hash),
            Self::Refused(Refusal::BucketFull { key_hash }) => (2, key_hash),
            Self::Refused(Refusal::PathTaken { key_hash }) => (3, key_hash),
            Self::Reverted { commit_id } => (4, commit_id),
        }
    }

    /// Returns the outcome with a code and a detail, if there is one.
    pub(crate) fn of_code(code: u8, detail: &Digest) -> Option<Self> {
        let key_hash = *detail;
        Some(match code {
            0 => {
                let (displaced, zeros) = detail.split_first_chunk::<4>()?;
                if zeros.iter().any(|byte| *byte != 0) {
                    return None;
                }
                let displaced = u32::from_le_bytes(*displaced);
                Self::Applied { displaced }
            }
            1 => Self::Refused(Refusal::RequirementFailed { key_hash }),
            2 => Self::Refused(Refusal::BucketFull { key_hash }),
            3 => Self::Refused(Refusal::PathTaken { key_hash }),
            4 => Self::Reverted { commit_id: *detail },
            _ => return None,
        })
    }
}

/// A caller's name for a submission, by which the caller can find out later whether it was accepted. Empty means none.
///
/// An engine remembers the keys of the last submissions (`submit.idempotency_keys_max`), and applies a repeated
/// submission with the same key only once.
///
/// ```
/// use trunkline_core::outcome::IdempotencyKey;
/// let key = IdempotencyKey::new(b"payment 17").ok_or("too long")?;
/// assert_eq!(key.bytes(), b"payment 17");
/// assert!(!key.is_empty());
/// assert_eq!(IdempotencyKey::new(&[0; 65]), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdempotencyKey(Box<[u8]>);

impl IdempotencyKey {
    /// Returns a key with these bytes; `None` if there are more than [`IDEMPOTENCY_KEY_BYTES_MAX`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= IDEMPOTENCY_KEY_BYTES_MAX).then(|| Self(bytes.into()))
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether it is empty, which means none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the BLAKE3 hash of its bytes, by which an engine remembers it.
    pub fn hash(&self) -> Digest {
        crate::hash::hash(&self.0)
    }
}

/// A submission with its sequence number and its outcome.
///
/// Encoding: sequence number u64 little-endian, submission digest, code u8, detail 32, length of the idempotency key u8
/// (0 to 64), idempotency key. Codes: 0 applied (detail: keys displaced, u32 little-endian, then zeros), 1 requirement
/// failed, 2 bucket full, 3 path taken (detail: the key hash), 4 reverted (detail: the commit id of the version whose
/// state was restored).
///
/// ```
/// use trunkline_core::outcome::{IdempotencyKey, Outcome, SubmissionOutcome};
/// let outcome = SubmissionOutcome {
///     sequence: 7,
///     submission: [1; 32],
///     outcome: Outcome::Applied { displaced: 2 },
///     idempotency_key: IdempotencyKey::default(),
/// };
/// assert_eq!(SubmissionOutcome::decode(&outcome.encode()), Some(outcome));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionOutcome {
    /// Sequence number among all submissions.
    pub sequence: u64,
    /// Digest of the submission.
    pub submission: Digest,
    /// The outcome.
    pub outcome: Outcome,
    /// The caller's idempotency key, if there is one.
    pub idempotency_key: IdempotencyKey,
}

impl SubmissionOutcome {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OUTCOME_BYTES_MIN + self.idempotency_key.0.len());
        self.encode_to(&mut bytes);
        bytes
    }

    /// Appends the canonical bytes.
    fn encode_to(&self, out: &mut Vec<u8>) {
        let (code, detail) = self.outcome.code_and_detail();
        let key = self.idempotency_key.bytes();
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.submission);
        out.push(code);
        out.extend_from_slice(&detail);
        out.push(key.len() as u8);
        out.extend_from_slice(key);
    }

    /// Decodes canonical bytes; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (submission, rest) = rest.split_first_chunk::<32>()?;
        let (code, rest) = rest.split_first()?;
        let (detail, rest) = rest.split_first_chunk::<32>()?;
        let (length, key) = rest.split_first()?;
        if key.len() != usize::from(*length) {
            return None;
        }
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            submission: *submission,
            outcome: Outcome::of_code(*code, detail)?,
            idempotency_key: IdempotencyKey::new(key)?,
        })
    }
}

/// Returns the outcomes of one version: their encodings in sequence, and the digest for its record.
pub fn encode_outcomes(outcomes: &[SubmissionOutcome]) -> (Vec<u8>, Digest) {
    let mut bytes = Vec::with_capacity(OUTCOME_BYTES_MIN * outcomes.len());
    let mut range = MountainRange::default();
    for outcome in outcomes {
        let start = bytes.len();
        outcome.encode_to(&mut bytes);
        range.append(&OUTCOMES, &bytes[start..]);
    }
    (bytes, range.digest(&OUTCOMES))
}

/// Decodes a sequence of outcomes, and returns them with their digest; `None` if they cannot be decoded.
pub fn decode_outcomes(bytes: &[u8]) -> Option<(Vec<SubmissionOutcome>, Digest)> {
    let mut range = MountainRange::default();
    let outcomes = split_outcomes(bytes)
        .map(|encoded| {
            range.append(&OUTCOMES, encoded?);
            SubmissionOutcome::decode(encoded?)
        })
        .collect::<Option<Vec<_>>>()?;
    Some((outcomes, range.digest(&OUTCOMES)))
}

/// Splits a sequence of outcomes into their encodings. Ends with `None` if the last one is truncated.
pub(crate) fn split_outcomes(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    core::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let key_bytes = bytes.get(LENGTH_AT).copied().map(usize::from);
        let split = key_bytes.and_then(|key| bytes.split_at_checked(OUTCOME_BYTES_MIN + key));
        let (encoded, rest) = split.unzip();
        bytes = rest.unwrap_or_default();
        Some(encoded)
    })
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
            Outcome::Reverted { commit_id: [8; 32] },
        ]
        .into_iter()
        .zip([0, 1, 63, 64, 0, 7].into_iter().zip(5..))
        .map(|(outcome, (key_bytes, sequence))| SubmissionOutcome {
            sequence,
            submission: [sequence as u8; 32],
            outcome,
            idempotency_key: IdempotencyKey::new(&vec![0x6b; key_bytes]).expect("short"),
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
    fn no_cut_row_of_outcomes_is_read_but_one_that_ends_between_two() {
        let (bytes, _) = encode_outcomes(&all());
        let ends: Vec<usize> = all()
            .iter()
            .scan(0, |end, outcome| {
                *end += outcome.encode().len();
                Some(*end)
            })
            .collect();
        for length in 1..bytes.len() {
            let read = decode_outcomes(&bytes[..length]);
            assert_eq!(read.is_some(), ends.contains(&length), "{length}");
        }
    }

    #[test]
    fn a_longer_idempotency_key_than_64_bytes_is_refused() {
        let mut bytes = all()[0].encode();
        bytes[LENGTH_AT] = 65;
        bytes.extend([0; 65]);
        assert_eq!(SubmissionOutcome::decode(&bytes), None);
        assert_eq!(decode_outcomes(&bytes), None);
    }

    #[test]
    fn every_decoding_is_canonical() {
        for outcome in all() {
            let bytes = outcome.encode();
            for index in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[index] ^= 0x41;
                if let Some(other) = SubmissionOutcome::decode(&changed) {
                    assert_eq!(other.encode(), changed);
                }
            }
        }
    }
}
