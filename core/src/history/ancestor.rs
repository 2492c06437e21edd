//! Proofs that a commit id is in the history of a trusted one.
//!
//! A proof against the older commit id shows the content of that version.

use super::{HISTORY, Inclusion, InclusionError};
use crate::hash::Digest;
use crate::record::CommitRecord;

/// Shows that a commit id is that of an older version in the history of a head. It proves nothing until
/// [`Self::verify`] has accepted it.
///
/// ```
/// use trunkline_core::history::{AncestorProof, HISTORY, Inclusion, MountainRange};
/// use trunkline_core::record::CommitRecord;
/// // Version 1 has one version before it: the empty state.
/// let genesis = CommitRecord::genesis([7; 32]);
/// let mut history = MountainRange::default();
/// history.append(&HISTORY, &genesis.commit_id());
/// let mut head = genesis.clone();
/// (head.version, head.history_digest) = (1, history.digest(&HISTORY));
/// head.parent = genesis.commit_id();
/// let trusted = head.commit_id();
///
/// let proof = AncestorProof {
///     head,
///     version: 0,
///     commit_id: genesis.commit_id(),
///     inclusion: Inclusion::default(),
/// };
/// let received = AncestorProof::decode(&proof.encode()?)?;
/// assert_eq!(received.verify(&trusted)?.commit_id, genesis.commit_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AncestorProof {
    /// The record of the head, whose history digest covers all versions before it.
    pub head: CommitRecord,
    /// The older version.
    pub version: u64,
    /// The commit id of the older version.
    pub commit_id: Digest,
    /// The proof that it is among the commit ids of versions 0 to `head.version - 1`.
    pub inclusion: Inclusion,
}

/// The facts that an ancestor proof shows.
///
/// ```
/// use trunkline_core::history::Ancestor;
/// let ancestor = Ancestor { tree_id: [1; 32], version: 3, commit_id: [2; 32], head_version: 9 };
/// assert!(ancestor.version < ancestor.head_version);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The id of the tree of both versions.
    pub tree_id: Digest,
    /// The older version.
    pub version: u64,
    /// The commit id of the older version. It can be trusted from now on.
    pub commit_id: Digest,
    /// Version of the trusted head.
    pub head_version: u64,
}

/// The rule that an ancestor proof breaks. Its claim is then *not proven*; it is not disproven.
///
/// ```
/// use trunkline_core::history::VerifyAncestorError;
/// let error = VerifyAncestorError::NotOlder { version: 5, head: 5 };
/// assert_eq!(error.to_string(), "version 5 is not before version 5, that of the head");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyAncestorError {
    /// The record is not that of the trusted head.
    #[error("the carried record has another commit id than the trusted one")]
    HeadCommit,
    /// The version is not older than the head.
    #[error("version {version} is not before version {head}, that of the head")]
    NotOlder {
        /// The version claimed to be older.
        version: u64,
        /// The version of the head.
        head: u64,
    },
    /// The commit id is not shown to be in the head's history.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
    /// The head's record names another parent than its history has.
    #[error(
        "the head's record names another parent than the version before it in its history; the head contradicts itself"
    )]
    Parent,
}

impl AncestorProof {
    /// Checks the proof against the commit id of the head, which the client trusts.
    pub fn verify(&self, head: &Digest) -> Result<Ancestor, VerifyAncestorError> {
        if self.head.commit_id() != *head {
            return Err(VerifyAncestorError::HeadCommit);
        }
        let count = self.head.version;
        if self.version >= count {
            return Err(VerifyAncestorError::NotOlder {
                version: self.version,
                head: count,
            });
        }
        let (item, digest) = (&self.commit_id, &self.head.history_digest);
        self.inclusion
            .verify(&HISTORY, count, self.version, item, digest)?;
        if self.version == count - 1 && self.commit_id != self.head.parent {
            return Err(VerifyAncestorError::Parent);
        }
        Ok(Ancestor {
            tree_id: self.head.tree_id,
            version: self.version,
            commit_id: self.commit_id,
            head_version: count,
        })
    }
}
