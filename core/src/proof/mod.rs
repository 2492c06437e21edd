//! A proof: claims about a set of keys at one or several versions, and the evidence for them.
//!
//! One object covers keys that are present (with a value, or with only its hash) and absent (an empty place, another
//! leaf, a complete bucket without the key). This module has its types; [`Proof::decode`] and [`Proof::encode`] are its
//! wire form, and [`verify()`] has its rules. `SPEC.md` is the normative text.
//!
//! [`Draft`] makes proofs from a tree. Proofs over the history are in [`crate::history`].

mod advance;
mod form;
#[cfg(feature = "state")]
mod prove;
mod siblings;
mod verify;
mod wire;

use alloc::vec::Vec;

pub use advance::{AdvanceError, advance};
pub use form::ProofFormError;
#[cfg(feature = "state")]
pub use prove::{Draft, ProveError, TopSlots, open_tops};
pub use siblings::{Siblings, SiblingsError};
pub(crate) use verify::same;
pub use verify::{
    BoundTo, Expected, ToVerify, TopRoot, Verified, VerifiedRoot, VerifyAllError, VerifyProofError,
    opened_slots, verify, verify_all, verify_versions,
};
pub use wire::DecodeProofError;

use crate::hash::{self, Digest, LEAF};
use crate::kzg::{AggregateProof, G1Bytes};
use crate::params::TreeParams;
use crate::record::CommitRecord;

/// Most versions in one proof.
pub const VERSIONS_MAX: usize = 1024;
/// Most entries in one proof, over all its versions.
pub const ENTRIES_MAX: usize = 65_536;
/// Longest encoded proof in bytes.
pub const PROOF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Fewest members of a bucket: a single one is a leaf.
pub const BUCKET_MEMBERS_MIN: usize = 2;

/// Claims about a set of keys, and the evidence for them. It proves nothing until [`verify()`] has accepted it.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::{
///     Claim, Entry, Expected, Place, Proof, Siblings, Terminal, Top, VersionProof,
/// };
///
/// // In the empty state any key is absent.
/// let params = TreeParams::default();
/// let proof = Proof {
///     params,
///     versions: vec![VersionProof {
///         version: 0,
///         record: None,
///         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///         siblings: Siblings::default(),
///         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
///     }],
///     opening: None,
/// };
/// let bytes = proof.encode()?;
/// let received = Proof::decode(&bytes)?;
/// let expected = Expected::StateDigest { tree_id: params.tree_id(), state_digest: ZERO };
/// let verified = trunkline_core::proof::verify(&received, &expected)?;
/// assert_eq!(verified.claim(b"alice"), Some(&Claim::Absent));
/// assert_eq!(verified.claim(b"bob"), None); // not in the proof: nothing is known
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The parameters of the tree; they give its tree id.
    pub params: TreeParams,
    /// The claims at each version, strictly ascending: 1 to [`VERSIONS_MAX`], with 1 to
    /// [`ENTRIES_MAX`] entries in all.
    pub versions: Vec<VersionProof>,
    /// The opening of the KZG roots of all versions that have a KZG top; `None` if no version has one.
    pub opening: Option<TopOpening>,
}

/// The part of a proof that is about one version.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::proof::{Claim, Entry, Place, Siblings, Terminal, Top, VersionProof};
/// let of_the_empty_state = VersionProof {
///     version: 0,
///     record: None,
///     entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///     terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///     siblings: Siblings::default(),
///     top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// };
/// assert_eq!(of_the_empty_state.entries.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionProof {
    /// The claimed version. Only a root or a commit id binds it.
    pub version: u64,
    /// The commit record of the version: it ties a hash top to a commit id.
    pub record: Option<CommitRecord>,
    /// The keys, strictly ascending by key hash.
    pub entries: Vec<Entry>,
    /// The disjoint subtrees in which their paths end, in path order.
    pub terminals: Vec<Terminal>,
    /// The siblings of the paths below the root node: depth first, left before right.
    pub siblings: Siblings,
    /// The part above the slots.
    pub top: Top,
}

/// A key and the claim about it.
///
/// ```
/// use trunkline_core::proof::{Claim, Entry};
/// let entry = Entry { key: b"alice".to_vec(), claim: Claim::Absent };
/// assert_eq!(entry.claim.value_hash(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, of at most [`KEY_BYTES_MAX`](crate::params::KEY_BYTES_MAX) bytes.
    pub key: Vec<u8>,
    /// The claim.
    pub claim: Claim,
}

/// A claim about a key.
///
/// ```
/// use trunkline_core::hash::hash;
/// use trunkline_core::proof::Claim;
/// let value = Claim::Present(b"7".to_vec());
/// assert_eq!(value.value_hash(), Claim::PresentHash(hash(b"7")).value_hash());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key has this value, of at most [`VALUE_BYTES_MAX`](crate::params::VALUE_BYTES_MAX) bytes.
    Present(Vec<u8>),
    /// The key has a value with this hash.
    PresentHash(Digest),
    /// The key has no value.
    Absent,
}

impl Claim {
    /// Returns the hash of the value; `None` if the key is absent.
    pub fn value_hash(&self) -> Option<Digest> {
        match self {
            Self::Present(value) => Some(hash::hash(value)),
            Self::PresentHash(value_hash) => Some(*value_hash),
            Self::Absent => None,
        }
    }
}

/// A subtree in which the paths of one or more entries end.
///
/// Its prefix is not part of it: it is that of the first entry that no earlier terminal covers.
///
/// ```
/// use trunkline_core::proof::{Place, Terminal};
/// let lone_leaf_of_a_slot = Terminal { depth: 7, place: Place::OwnLeaf };
/// assert_eq!(lone_leaf_of_a_slot.depth, 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Number of bits of the path above it: 7 to 56.
    pub depth: u8,
    /// Its content.
    pub place: Place,
}

/// The content of a terminal.
///
/// ```
/// use trunkline_core::proof::{Place, ShownLeaf};
/// let other = ShownLeaf { key_hash: [1; 32], value_hash: [2; 32] };
/// assert_ne!(Place::OtherLeaf(other), Place::OwnLeaf);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing: all its entries are absent.
    Empty,
    /// One leaf, that of the only present entry; the others are absent.
    OwnLeaf,
    /// One leaf that belongs to none of its entries; all of them are absent.
    OtherLeaf(ShownLeaf),
    /// All the leaves that share the whole path, strictly ascending by key hash:
    /// [`BUCKET_MEMBERS_MIN`] to [`BUCKET_MEMBERS_MAX`](crate::params::BUCKET_MEMBERS_MAX). Entries are present if they are among them.
    Bucket(Vec<ShownLeaf>),
}

/// A leaf, given by its hashes. They do not hide a key or a value that can be guessed.
///
/// ```
/// use trunkline_core::hash::{LEAF, pair};
/// use trunkline_core::proof::ShownLeaf;
/// let leaf = ShownLeaf { key_hash: [1; 32], value_hash: [2; 32] };
/// assert_eq!(leaf.digest(), LEAF.hash(&pair(&[1; 32], &[2; 32])));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownLeaf {
    /// Hash of its key.
    pub key_hash: Digest,
    /// Hash of its value.
    pub value_hash: Digest,
}

impl ShownLeaf {
    /// Returns the digest of the leaf.
    pub fn digest(&self) -> Digest {
        LEAF.hash(&hash::pair(&self.key_hash, &self.value_hash))
    }
}

/// The part of a proof above the 128 slots of the root node.
///
/// ```
/// use trunkline_core::kzg::G1Bytes;
/// use trunkline_core::proof::{Siblings, Top};
/// let microseconds = Top::Hash { siblings: Siblings::default() };
/// let milliseconds = Top::Kzg { kzg_root: G1Bytes::IDENTITY.0 };
/// assert_ne!(microseconds, milliseconds);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Top {
    /// A KZG commitment to the slots; the opening of the proof shows each slot that is used.
    Kzg {
        /// The KZG root.
        kzg_root: [u8; 48],
    },
    /// The binary tree over the slots; it gives the state digest.
    Hash {
        /// Siblings of the used slots: depth first, left before right.
        siblings: Siblings,
    },
}

/// The opening of all KZG tops of a proof.
///
/// ```
/// use trunkline_core::kzg::{AggregateProof, G1Bytes};
/// use trunkline_core::proof::TopOpening;
/// let one_slot = TopOpening::Single(G1Bytes::IDENTITY);
/// let any_number = TopOpening::Aggregate(AggregateProof {
///     quotient: G1Bytes::IDENTITY,
///     opening: G1Bytes::IDENTITY,
/// });
/// assert_ne!(one_slot, any_number);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopOpening {
    /// The plain opening of a single slot, in the form for a point-evaluation precompile.
    Single(G1Bytes),
    /// The opening of more than one slot, of one or several versions.
    Aggregate(AggregateProof),
}
