//! Evidence from a receipt: it shows that a submission has the promised position, and its outcome.
//!
//! A client that received a provisional root when a submission was accepted, and that trusts the commit id of its
//! version, needs nothing else. (A client that trusts a later commit id gets to that one with an
//! [`AncestorProof`](crate::history::AncestorProof).) Evidence does not show what the submission did to the state.

use alloc::vec::Vec;

use prost::Message;

use crate::hash::{self, Digest, PROVISIONAL};
use crate::history::{Inclusion, InclusionError, OUTCOMES};
#[cfg(feature = "state")]
use crate::history::{MountainRange, Subtree};
#[cfg(feature = "state")]
use crate::outcome::split_outcomes;
use crate::outcome::{IdempotencyKey, Outcome, SubmissionOutcome};
use crate::params::FORMAT;
use crate::record::CommitRecord;
use crate::wire::{self, DecodeError, FormError};

/// The generated messages. They are private, so that no unchecked evidence leaves this module.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/evidence/trunkline.proof.v1.rs"));
}

/// Most later submissions in the version, of 32 bytes each.
pub const LATER_MAX: usize = 1 << 20;
/// Length of the longest encoded evidence in bytes. [`Evidence::encode`] returns none that is longer.
pub const EVIDENCE_BYTES_MAX: usize = 32 * LATER_MAX + 8 * 1024;

/// Shows the position and the outcome of a submission. It proves nothing until [`Self::verify`] has accepted it.
///
/// ```
/// use trunkline_core::evidence::Evidence;
/// use trunkline_core::hash::{PROVISIONAL, pair};
/// use trunkline_core::history::Inclusion;
/// use trunkline_core::outcome::{IdempotencyKey, Outcome, SubmissionOutcome, encode_outcomes};
/// use trunkline_core::record::CommitRecord;
/// // A version with a single submission.
/// let outcome = SubmissionOutcome {
///     sequence: 9,
///     submission: [5; 32],
///     outcome: Outcome::Applied { displaced: 0 },
///     idempotency_key: IdempotencyKey::default(),
/// };
/// let promised = PROVISIONAL.hash(&pair(&[4; 32], &outcome.submission));
/// let record = CommitRecord {
///     first_sequence: 9,
///     last_sequence: 9,
///     provisional_root: promised,
///     outcomes_digest: encode_outcomes(core::slice::from_ref(&outcome)).1,
///     ..CommitRecord::genesis([7; 32])
/// };
/// let trusted = record.commit_id();
///
/// let evidence = Evidence {
///     record,
///     outcome,
///     inclusion: Inclusion::default(),
///     provisional_before: [4; 32],
///     later: vec![],
/// };
/// let received = Evidence::decode(&evidence.encode()?)?;
/// let verified = received.verify(&promised, &trusted)?;
/// assert_eq!((verified.sequence, verified.outcome), (9, Outcome::Applied { displaced: 0 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The record of the submission's version.
    pub record: CommitRecord,
    /// The position, digest and outcome of the submission.
    pub outcome: SubmissionOutcome,
    /// The proof that the outcome is among those of the version.
    pub inclusion: Inclusion,
    /// The provisional root before the submission. The client's own provisional root was computed from it. Nothing ties
    /// it to the previous version: a new chain begins each time the tree is opened.
    pub provisional_before: Digest,
    /// Digests of the submissions of the version after this one, in order.
    pub later: Vec<Digest>,
}

/// The facts that evidence shows. They do not include that the submissions before it are those of the previous version.
///
/// ```
/// use trunkline_core::evidence::VerifiedEvidence;
/// use trunkline_core::outcome::{IdempotencyKey, Outcome};
/// let verified = VerifiedEvidence {
///     tree_id: [1; 32],
///     version: 2,
///     sequence: 9,
///     index: 0,
///     submission: [5; 32],
///     outcome: Outcome::Applied { displaced: 0 },
///     idempotency_key: IdempotencyKey::default(),
/// };
/// assert!(verified.outcome.is_applied());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEvidence {
    /// The id of the tree.
    pub tree_id: Digest,
    /// The version that the submission is part of.
    pub version: u64,
    /// Its sequence number among all submissions to the tree.
    pub sequence: u64,
    /// Its index among those of the version, from 0.
    pub index: u64,
    /// Its digest, which covers its writes and requirements.
    pub submission: Digest,
    /// The outcome.
    pub outcome: Outcome,
    /// The idempotency key of its caller, if any.
    pub idempotency_key: IdempotencyKey,
}

/// The rule that evidence breaks. Its claim is then *not proven*; it is not disproven.
///
/// ```
/// use trunkline_core::evidence::VerifyEvidenceError;
/// let error = VerifyEvidenceError::LaterCount { expected: 2, found: 0 };
/// assert_eq!(error.to_string(), "2 submissions of the version follow, the evidence has 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyEvidenceError {
    /// The record is not that of the trusted commit.
    #[error("the carried record has another commit id than the trusted one")]
    Commit,
    /// The version does not have the submission.
    #[error("submission {sequence} is not among {first} to {last}, those of the version")]
    Sequence {
        /// The sequence number of the submission.
        sequence: u64,
        /// The sequence number of the version's first submission.
        first: u64,
        /// The sequence number of the version's last submission.
        last: u64,
    },
    /// The outcome is not shown to be the version's.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    /// The submission does not lead to the client's provisional root.
    #[error("the submission does not lead from the provisional root before it to the given one")]
    ProvisionalRoot,
    /// The number of later submissions is wrong.
    #[error("{expected} submissions of the version follow, the evidence has {found}")]
    LaterCount {
        /// The number that follows from the record.
        expected: u64,
        /// The number in the evidence.
        found: usize,
    },
    /// The later submissions do not lead to the record's provisional root.
    #[error("the later submissions do not lead to the provisional root of the version")]
    Chain,
}

impl Evidence {
    /// Checks the evidence against the provisional root that the client received when the submission was accepted, and
    /// against the commit id of its version, which the client trusts.
    pub fn verify(
        &self,
        provisional_root: &Digest,
        commit_id: &Digest,
    ) -> Result<VerifiedEvidence, VerifyEvidenceError> {
        use VerifyEvidenceError as Broken;
        if self.record.commit_id() != *commit_id {
            return Err(Broken::Commit);
        }
        let position = Position::of(self.outcome.sequence, &self.record)?;
        let (item, digest) = (self.outcome.encode(), &self.record.outcomes_digest);
        self.inclusion
            .verify(&OUTCOMES, position.count, position.index, &item, digest)?;
        if follow(&self.provisional_before, &self.outcome.submission) != *provisional_root {
            return Err(Broken::ProvisionalRoot);
        }
        let expected = position.later();
        if self.later.len() as u64 != expected {
            return Err(Broken::LaterCount {
                expected,
                found: self.later.len(),
            });
        }
        let later = self.later.iter();
        let last = later.fold(*provisional_root, |root, later| follow(&root, later));
        if last != self.record.provisional_root {
            return Err(Broken::Chain);
        }
        Ok(VerifiedEvidence {
            tree_id: self.record.tree_id,
            version: self.record.version,
            sequence: self.outcome.sequence,
            index: position.index,
            submission: self.outcome.submission,
            outcome: self.outcome.outcome,
            idempotency_key: self.outcome.idempotency_key.clone(),
        })
    }

    /// Decodes evidence. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let format = |message: &proto::Evidence| message.format;
        let message = wire::decode_canonical(bytes, EVIDENCE_BYTES_MAX, format)?;
        Ok(Self {
            record: CommitRecord::decode(&message.record)?,
            outcome: SubmissionOutcome::decode(&message.outcome).ok_or(DecodeError::Outcome)?,
            inclusion: Inclusion::decode(&message.siblings, &message.peaks)?,
            provisional_before: wire::array(&message.provisional_before, "a provisional root")?,
            later: wire::digests(&message.later, LATER, LATER_MAX)?,
        })
    }

    /// Returns the canonical bytes, or the bound that the evidence exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, FormError> {
        let (siblings, peaks) = self.inclusion.encode()?;
        let message = proto::Evidence {
            format: u32::from(FORMAT),
            record: wire::record(&self.record)?,
            outcome: self.outcome.encode(),
            siblings,
            peaks,
            provisional_before: self.provisional_before.to_vec(),
            later: wire::row(&self.later, LATER, LATER_MAX)?,
        };
        Ok(message.encode_to_vec())
    }
}

/// The name of [`Evidence::later`] in errors.
const LATER: &str = "later submissions";

/// Returns the provisional root after a submission.
fn follow(provisional_root: &Digest, submission: &Digest) -> Digest {
    PROVISIONAL.hash(&hash::pair(provisional_root, submission))
}

/// The position of a submission in its version.
#[derive(Clone, Copy)]
struct Position {
    index: u64,
    count: u64,
}

impl Position {
    fn of(sequence: u64, record: &CommitRecord) -> Result<Self, VerifyEvidenceError> {
        let (first, last) = (record.first_sequence, record.last_sequence);
        let count = last.checked_sub(first).and_then(|more| more.checked_add(1));
        match (count, sequence.checked_sub(first)) {
            (Some(count), Some(index)) if index < count => Ok(Self { index, count }),
            _ => Err(VerifyEvidenceError::Sequence {
                sequence,
                first,
                last,
            }),
        }
    }

    fn later(&self) -> u64 {
        self.count - 1 - self.index
    }
}

/// The reason why no evidence was made.
///
/// ```
/// use trunkline_core::evidence::{LATER_MAX, ProveEvidenceError};
/// let error = ProveEvidenceError::TooManyLater { sequence: 5, later: 2_000_000 };
/// assert!(error.to_string().ends_with("set group.operations_max lower"));
/// ```
#[cfg(feature = "state")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveEvidenceError {
    /// The version does not have the submission.
    #[error(transparent)]
    NotInVersion(#[from] VerifyEvidenceError),
    /// Too many submissions of the version follow.
    #[error(
        "{later} submissions follow submission {sequence} in its version, and evidence holds at most {LATER_MAX}: set group.operations_max lower"
    )]
    TooManyLater {
        /// The sequence number of the submission.
        sequence: u64,
        /// The number of later submissions.
        later: u64,
    },
    /// The outcomes are not those of the version.
    #[error("the outcomes are not those of version {version}")]
    Outcomes {
        /// The version.
        version: u64,
    },
}

#[cfg(feature = "state")]
impl Evidence {
    /// Makes the evidence about a submission from all outcomes of its version, encoded in a row, and the
    /// provisional root before the version's first submission.
    ///
    /// ```
    /// use trunkline_core::evidence::Evidence;
    /// use trunkline_core::hash::{PROVISIONAL, pair};
    /// use trunkline_core::outcome::{IdempotencyKey, Outcome, SubmissionOutcome, encode_outcomes};
    /// use trunkline_core::record::CommitRecord;
    /// let outcomes = [1, 2, 3].map(|sequence| SubmissionOutcome {
    ///     sequence,
    ///     submission: [sequence as u8; 32],
    ///     outcome: Outcome::Applied { displaced: 0 },
    ///     idempotency_key: IdempotencyKey::default(),
    /// });
    /// let promised = outcomes.iter().scan([0; 32], |root, outcome| {
    ///     *root = PROVISIONAL.hash(&pair(root, &outcome.submission));
    ///     Some(*root)
    /// });
    /// let promised: Vec<_> = promised.collect();
    /// let (encoded, outcomes_digest) = encode_outcomes(&outcomes);
    /// let record = CommitRecord {
    ///     first_sequence: 1,
    ///     last_sequence: 3,
    ///     provisional_root: promised[2],
    ///     outcomes_digest,
    ///     ..CommitRecord::genesis([7; 32])
    /// };
    /// let evidence = Evidence::prove(&record, &encoded, &[0; 32], 2)?;
    /// assert_eq!(evidence.verify(&promised[1], &record.commit_id())?.index, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove(
        record: &CommitRecord,
        outcomes: &[u8],
        provisional_before: &Digest,
        sequence: u64,
    ) -> Result<Self, ProveEvidenceError> {
        let version = record.version;
        let other = ProveEvidenceError::Outcomes { version };
        let position = Position::of(sequence, record)?;
        let encoded: Option<Vec<&[u8]>> = split_outcomes(outcomes).collect();
        let encoded = encoded.ok_or(other)?;
        if encoded.len() as u64 != position.count {
            return Err(other);
        }
        let later = position.later();
        if later > LATER_MAX as u64 {
            return Err(ProveEvidenceError::TooManyLater { sequence, later });
        }
        let (before, rest) = encoded.split_at(position.index as usize);
        let (own, after) = rest.split_first().ok_or(other)?;
        let submission =
            |encoded: &&[u8]| SubmissionOutcome::decode(encoded).map(|outcome| outcome.submission);
        let provisional_before = before
            .iter()
            .try_fold(*provisional_before, |root, encoded| {
                Some(follow(&root, &submission(encoded)?))
            });
        let later: Option<Vec<Digest>> = after.iter().map(submission).collect();
        let subtree = |subtree| perfect(&encoded, subtree).ok_or(other);
        Ok(Self {
            record: record.clone(),
            outcome: SubmissionOutcome::decode(own).ok_or(other)?,
            inclusion: Inclusion::prove(position.count, position.index, subtree)?,
            provisional_before: provisional_before.ok_or(other)?,
            later: later.ok_or(other)?,
        })
    }
}

/// Returns the digest of a perfect subtree over outcomes.
#[cfg(feature = "state")]
fn perfect(outcomes: &[&[u8]], subtree: Subtree) -> Option<Digest> {
    let first = usize::try_from(subtree.first).ok()?;
    let items = outcomes.get(first..)?.get(..1 << subtree.height)?;
    let mut range = MountainRange::default();
    for item in items {
        range.append(&OUTCOMES, item);
    }
    range.peaks().first().copied()
}
