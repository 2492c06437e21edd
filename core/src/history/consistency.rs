//! Proofs that one history continues another.
//!
//! A client with two heads of one tree learns that nothing before the older head has changed since. Source: RFC 6962,
//! section 2.1.2, and RFC 9162, section 2.1.4. There a proof leads to both roots from nodes that they share; in a
//! mountain range those are the peaks of the older one, to which the later items are appended.

use alloc::vec::Vec;

use super::subtree::extension;
#[cfg(feature = "state")]
use super::subtree::{Subtree, peaks};
use super::{HISTORY, MountainRange};
use crate::hash::Digest;
use crate::record::CommitRecord;

/// Shows that the history of a head begins with that of an older head, followed by the older head itself. It proves
/// nothing until [`Self::verify`] has accepted it.
///
/// ```
/// use trunkline_core::history::{ConsistencyProof, HISTORY, MountainRange};
/// use trunkline_core::record::CommitRecord;
/// let older = CommitRecord::genesis([7; 32]);
/// let mut history = MountainRange::default();
/// history.append(&HISTORY, &older.commit_id());
/// let mut head = older.clone();
/// (head.version, head.history_digest) = (1, history.digest(&HISTORY));
/// head.parent = older.commit_id();
/// let trusted = (older.commit_id(), head.commit_id());
///
/// // The prover did not keep the older record; the client has it.
/// let proof = ConsistencyProof { older: None, head, peaks: vec![], nodes: vec![] };
/// let received = ConsistencyProof::decode(&proof.encode()?)?.with_older(older)?;
/// assert_eq!(received.verify(&trusted.0, &trusted.1)?.older_version, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The record of the older head; `None` if the client adds it.
    pub older: Option<CommitRecord>,
    /// The record of the head.
    pub head: CommitRecord,
    /// The peaks over the older head's history, largest first.
    pub peaks: Vec<Digest>,
    /// Subtrees over the commit ids of the versions after the older head, up to the one before the head,
    /// in order.
    pub nodes: Vec<Digest>,
}

/// The facts that a consistency proof shows.
///
/// ```
/// use trunkline_core::history::Consistent;
/// let consistent = Consistent { tree_id: [1; 32], older_version: 3, head_version: 9 };
/// assert!(consistent.older_version < consistent.head_version);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistent {
    /// The id of the tree of both heads.
    pub tree_id: Digest,
    /// Version of the older head.
    pub older_version: u64,
    /// Version of the head.
    pub head_version: u64,
}

/// The rule that a consistency proof breaks. Its claim is then *not proven*; it is not disproven.
///
/// ```
/// use trunkline_core::history::VerifyConsistencyError;
/// let error = VerifyConsistencyError::NodeCount { expected: 3, found: 0 };
/// assert_eq!(error.to_string(), "the head's history follows in 3 nodes, the proof has 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyConsistencyError {
    /// The older head's record was not supplied.
    #[error("the proof carries no record of the older head; add the one that you hold")]
    NeedsOlder,
    /// The proof carries another record of the older head than the client added.
    #[error("the proof carries another record of the older head than the one given")]
    OtherOlder,
    /// The older record is not that of the older head.
    #[error("the older record has another commit id than the trusted one")]
    OlderCommit,
    /// The record is not that of the head.
    #[error("the head's record has another commit id than the trusted one")]
    HeadCommit,
    /// The two are of different trees.
    #[error("the two heads are of different trees")]
    Tree,
    /// The head is not after the older one.
    #[error("version {older} is not before version {head}, that of the head")]
    NotOlder {
        /// Version of the older head.
        older: u64,
        /// The version of the head.
        head: u64,
    },
    /// The number of peaks of the older history is wrong.
    #[error("the older head's history has {expected} peaks, the proof {found}")]
    PeakCount {
        /// The number that follows from its version.
        expected: usize,
        /// The number in the proof.
        found: usize,
    },
    /// The peaks are not those of the older head.
    #[error("the peaks do not lead to the older head's history digest")]
    OlderHistory,
    /// The number of nodes is wrong.
    #[error("the head's history follows in {expected} nodes, the proof has {found}")]
    NodeCount {
        /// The number that follows from the versions.
        expected: usize,
        /// The number in the proof.
        found: usize,
    },
    /// The nodes do not lead to the head.
    #[error("the older history and the nodes after it do not lead to the head's history digest")]
    HeadHistory,
    /// The head follows the older head, but its record names another parent.
    #[error(
        "the head's record names another parent than the older head, which it follows; the head contradicts itself"
    )]
    Parent,
}

impl ConsistencyProof {
    /// Returns the proof with the record of the older head, which the caller holds.
    ///
    /// # Errors
    ///
    /// Fails if the proof carries another record of the older head.
    pub fn with_older(self, older: CommitRecord) -> Result<Self, VerifyConsistencyError> {
        match &self.older {
            Some(carried) if *carried != older => Err(VerifyConsistencyError::OtherOlder),
            _ => Ok(Self {
                older: Some(older),
                ..self
            }),
        }
    }

    /// Checks the proof against the commit ids of both heads, which the client trusts.
    pub fn verify(
        &self,
        older: &Digest,
        head: &Digest,
    ) -> Result<Consistent, VerifyConsistencyError> {
        use VerifyConsistencyError as Broken;
        let older_record = self.older.as_ref().ok_or(Broken::NeedsOlder)?;
        if older_record.commit_id() != *older {
            return Err(Broken::OlderCommit);
        }
        if self.head.commit_id() != *head {
            return Err(Broken::HeadCommit);
        }
        if older_record.tree_id != self.head.tree_id {
            return Err(Broken::Tree);
        }
        let versions = (older_record.version, self.head.version);
        if versions.0 >= versions.1 {
            let (older, head) = versions;
            return Err(Broken::NotOlder { older, head });
        }
        let range = self.older_range(versions.0)?;
        if range.digest(&HISTORY) != older_record.history_digest {
            return Err(Broken::OlderHistory);
        }
        self.follow(range, older)?;
        Ok(Consistent {
            tree_id: self.head.tree_id,
            older_version: versions.0,
            head_version: versions.1,
        })
    }

    /// Makes the checks that do not need the older head's record: that the head's history has the older version's
    /// commit id at its position. It does not check that the history before it is that of the older head.
    pub fn check_head(
        &self,
        older_version: u64,
        older: &Digest,
    ) -> Result<(), VerifyConsistencyError> {
        if older_version >= self.head.version {
            return Err(VerifyConsistencyError::NotOlder {
                older: older_version,
                head: self.head.version,
            });
        }
        self.follow(self.older_range(older_version)?, older)
    }

    /// Returns the history of the older head.
    fn older_range(&self, version: u64) -> Result<MountainRange, VerifyConsistencyError> {
        let range = MountainRange::from_parts(version, self.peaks.clone());
        range.ok_or(VerifyConsistencyError::PeakCount {
            expected: version.count_ones() as usize,
            found: self.peaks.len(),
        })
    }

    /// Appends the older head and the later nodes, which gives the head's history.
    fn follow(
        &self,
        mut range: MountainRange,
        older: &Digest,
    ) -> Result<(), VerifyConsistencyError> {
        range.append(&HISTORY, older);
        let subtrees = || extension(range.count(), self.head.version);
        let expected = subtrees().count();
        if self.nodes.len() != expected {
            return Err(VerifyConsistencyError::NodeCount {
                expected,
                found: self.nodes.len(),
            });
        }
        for (subtree, node) in subtrees().zip(&self.nodes) {
            range.append_subtree(&HISTORY, subtree.height, *node, |_| {});
        }
        if range.digest(&HISTORY) != self.head.history_digest {
            return Err(VerifyConsistencyError::HeadHistory);
        }
        match self.nodes.is_empty() && self.head.parent != *older {
            true => Err(VerifyConsistencyError::Parent),
            false => Ok(()),
        }
    }

    /// Makes the proof between version `older` and a later head; `digest` gives the digest of a subtree
    /// over commit ids. If the head is not later, the proof does not verify.
    #[cfg(feature = "state")]
    pub fn prove<E>(
        older: u64,
        older_record: Option<CommitRecord>,
        head: CommitRecord,
        mut digest: impl FnMut(Subtree) -> Result<Digest, E>,
    ) -> Result<Self, E> {
        let nodes = extension(older.saturating_add(1), head.version);
        Ok(Self {
            older: older_record,
            peaks: peaks(older).map(&mut digest).collect::<Result<_, E>>()?,
            nodes: nodes.map(&mut digest).collect::<Result<_, E>>()?,
            head,
        })
    }
}
