//! The rules that a proof can break.
//!
//! The other modules check them.

use crate::params::PATH_BITS;
use crate::proof::ProofFormError;

/// The rule that a proof breaks. Its claims are then *not proven*; they are not disproven.
///
/// Indices count from 0 in the order of the proof.
///
/// ```
/// use trunkline_core::proof::*;
/// # use trunkline_core::{hash::ZERO, params::TreeParams};
/// # let proof = Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version: 0,
/// #         record: None,
/// #         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// // `proof` says that "alice" is absent from the empty state; the client trusts another one.
/// let tree_id = proof.params.tree_id();
/// let expected = Expected::StateDigest { tree_id, state_digest: [1; 32] };
/// assert_eq!(verify(&proof, &expected), Err(VerifyProofError::ExpectedState));
/// // A commit id binds a version too, so it takes a proof that carries its record.
/// assert_eq!(verify(&proof, &Expected::CommitId([1; 32])), Err(VerifyProofError::NeedsRecord));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyProofError {
    /// A count, length or depth is out of bounds.
    #[error(transparent)]
    Form(#[from] ProofFormError),

    /// Key hashes do not ascend strictly.
    #[error("entry {0} does not follow the one before it in the order of key hashes")]
    EntryOrder(usize),
    /// No terminal is left for an entry.
    #[error("no terminal is left for entry {0}")]
    TerminalMissing(usize),
    /// No entry is left for a terminal.
    #[error("no entry is left for terminal {0}")]
    TerminalUnused(usize),
    /// A terminal contains the previous one.
    #[error("terminal {0} contains the one before it")]
    TerminalOverlap(usize),

    /// An entry is claimed present in an empty place.
    #[error("terminal {0} is empty, yet a key below it is claimed present")]
    EmptyWithPresent(usize),
    /// A terminal with its own leaf does not have exactly one present entry.
    #[error("terminal {0} is the leaf of one present entry, yet another number is claimed present")]
    OwnLeafPresent(usize),
    /// An entry is claimed present below the leaf of another key.
    #[error("terminal {0} is the leaf of another key, yet a key below it is claimed present")]
    OtherLeafWithPresent(usize),
    /// The other leaf belongs to an entry that is claimed absent.
    #[error("terminal {0} shows the leaf of a key that is claimed absent")]
    OtherLeafIsEntry(usize),
    /// The other leaf has a path outside the terminal.
    #[error("the leaf of terminal {0} does not belong below it")]
    OtherLeafOutside(usize),
    /// The tree has no buckets.
    #[error("terminal {0} is a bucket, which this tree's collision policy rules out")]
    BucketPolicy(usize),
    /// A bucket is above the last bit of the path.
    #[error("terminal {0} is a bucket above depth {PATH_BITS}")]
    BucketDepth(usize),
    /// Members do not ascend strictly.
    #[error("the members of bucket {0} do not ascend strictly by key hash")]
    BucketOrder(usize),
    /// A member has a path outside the bucket.
    #[error("a member of bucket {0} does not belong in it")]
    BucketMemberOutside(usize),
    /// An entry is claimed present, but is not a member.
    #[error("a key claimed present is not a member of bucket {0}")]
    BucketWithoutPresent(usize),
    /// An entry is claimed absent, but is a member.
    #[error("a key claimed absent is a member of bucket {0}")]
    BucketWithAbsent(usize),
    /// A member has another value than claimed.
    #[error("a member of bucket {0} has another value than is claimed")]
    BucketValue(usize),

    /// The siblings run out.
    #[error("the siblings below the slots run out")]
    SiblingMissing,
    /// Siblings are left over.
    #[error("siblings below the slots are left over")]
    SiblingUnused,
    /// A leaf is deeper than where it is alone.
    #[error("a leaf below the root node has an empty sibling; it belongs higher up")]
    LeafSiblingEmpty,
    /// The siblings of the top run out.
    #[error("the siblings above the slots run out")]
    TopSiblingMissing,
    /// Siblings of the top are left over.
    #[error("siblings above the slots are left over")]
    TopSiblingUnused,
    /// Versions do not ascend strictly.
    #[error("version {0} of the proof does not follow the one before it")]
    VersionOrder(usize),
    /// KZG tops have no opening, or the opening has no KZG tops or is of the wrong kind.
    #[error(
        "{slots} slots of KZG roots are used: no slot needs no opening, one slot a plain opening, more slots an aggregate"
    )]
    OpeningKind {
        /// Number of slots used, over all versions with a KZG top.
        slots: usize,
    },
    /// A point is invalid, or the opening does not hold.
    #[error("the KZG opening does not hold")]
    Opening,

    /// The carried record is of another tree.
    #[error("the carried record is of another tree")]
    RecordTree,
    /// The carried record is of another version.
    #[error("the carried record is of another version")]
    RecordVersion,
    /// The carried record has another state digest than the proof leads to.
    #[error("the carried record has another state digest")]
    RecordState,

    /// The number of trusted roots differs from the number of versions.
    #[error(
        "the proof is of {versions} versions, yet {expected} trusted roots are given; give one for each"
    )]
    ExpectedCount {
        /// Number of versions in the proof.
        versions: usize,
        /// Number of trusted roots.
        expected: usize,
    },
    /// The proof is of another tree than expected.
    #[error("the proof is of another tree than expected")]
    ExpectedTree,
    /// The proof is of another version than expected.
    #[error("the proof is of another version than expected")]
    ExpectedVersion,
    /// The proof leads to another state digest than expected.
    #[error("the proof leads to another state digest than expected")]
    ExpectedState,
    /// The proof has another KZG root than expected.
    #[error("the proof is against another KZG root than expected")]
    ExpectedKzgRoot,
    /// The carried record has another commit id than expected.
    #[error("the carried record has another commit id than expected")]
    ExpectedCommit,
    /// The proof has a KZG top, but no KZG root is trusted.
    #[error("no KZG root is trusted to check a KZG top against; ask for a hash top")]
    NeedsHashTop,
    /// The proof has a hash top, but only a KZG root is trusted.
    #[error("only a KZG root is trusted; ask for a KZG top")]
    NeedsKzgTop,
    /// A commit id is expected, but no record is carried.
    #[error(
        "a commit id is trusted, but the proof carries no record that leads to it; ask for a hash top"
    )]
    NeedsRecord,
}
