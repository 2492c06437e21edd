//! A proof: what is claimed of a set of keys at one version, and what shows it.
//!
//! One object for keys present (with a value, or with its hash alone) and absent (an empty place,
//! another leaf, a complete bucket without the key). Here are its nouns; [`Proof::decode`] and
//! [`Proof::encode`] are its wire form and [`verify()`] its rules. `SPEC.md` is the normative text.
//!
//! [`Draft`] makes proofs from a tree. Deliberately not here: proofs over the history.

#[cfg(feature = "state")]
mod prove;
mod siblings;
mod verify;
mod wire;

#[cfg(feature = "state")]
pub use prove::{Draft, ProveError};
pub use siblings::{Siblings, SiblingsError};
pub use verify::{
    BoundTo, Expected, SlotOpening, TopRoot, Verified, VerifyProofError, slot_openings, verify,
};
pub use wire::DecodeProofError;

use alloc::vec::Vec;

use crate::hash::{self, Digest, LEAF};
use crate::params::{
    BUCKET_MEMBERS_MAX, KEY_BYTES_MAX, METADATA_BYTES_MAX, PATH_BITS, ROOT_BITS, TreeParams,
    VALUE_BYTES_MAX,
};
use crate::record::CommitRecord;

/// Most entries of one proof.
pub const ENTRIES_MAX: usize = 65_536;
/// Longest encoded proof, bytes.
pub const PROOF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Fewest members of a bucket: a single one is a leaf.
pub const BUCKET_MEMBERS_MIN: usize = 2;

/// What is claimed of a set of keys, and what shows it. It proves nothing before [`verify()`] has
/// accepted it.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::{Claim, Entry, Expected, Place, Proof, Siblings, Terminal, Top};
///
/// // In the empty state any key is absent.
/// let params = TreeParams::default();
/// let proof = Proof {
///     params,
///     version: 0,
///     record: None,
///     entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///     terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///     siblings: Siblings::default(),
///     top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
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
    /// The version that is claimed. Only a root or a commit id binds it.
    pub version: u64,
    /// The commit record of the version: it ties a hash top to a commit id.
    pub record: Option<CommitRecord>,
    /// The keys, strictly ascending by key hash: 1 to [`ENTRIES_MAX`].
    pub entries: Vec<Entry>,
    /// Where their paths end: disjoint subtrees, in path order.
    pub terminals: Vec<Terminal>,
    /// The digests beside the paths below the root node: depth first, left before right.
    pub siblings: Siblings,
    /// What stands above the slots.
    pub top: Top,
}

/// A key and what is claimed of it.
///
/// ```
/// use trunkline_core::proof::{Claim, Entry};
/// let entry = Entry { key: b"alice".to_vec(), claim: Claim::Absent };
/// assert_eq!(entry.claim.value_hash(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, at most [`KEY_BYTES_MAX`].
    pub key: Vec<u8>,
    /// The claim.
    pub claim: Claim,
}

/// What is claimed of a key.
///
/// ```
/// use trunkline_core::hash::hash;
/// use trunkline_core::proof::Claim;
/// let value = Claim::Present(b"7".to_vec());
/// assert_eq!(value.value_hash(), Claim::PresentHash(hash(b"7")).value_hash());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It has this value, at most [`VALUE_BYTES_MAX`].
    Present(Vec<u8>),
    /// It has a value of this hash.
    PresentHash(Digest),
    /// It has no value.
    Absent,
}

impl Claim {
    /// The hash of the value; `None` if the key is absent.
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
/// Its prefix is not part of it: the first entry that no earlier terminal covers gives it.
///
/// ```
/// use trunkline_core::proof::{Place, Terminal};
/// let lone_leaf_of_a_slot = Terminal { depth: 7, place: Place::OwnLeaf };
/// assert_eq!(lone_leaf_of_a_slot.depth, 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Bits of the path above it: 7 to 56.
    pub depth: u8,
    /// What lives in it.
    pub place: Place,
}

/// What lives in a terminal.
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
    /// [`BUCKET_MEMBERS_MIN`] to [`BUCKET_MEMBERS_MAX`]. Entries are present if they are among them.
    Bucket(Vec<ShownLeaf>),
}

/// A leaf given by its hashes. They hide neither a key nor a value that can be guessed.
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
    /// The digest of the leaf.
    pub fn digest(&self) -> Digest {
        LEAF.hash(&hash::pair(&self.key_hash, &self.value_hash))
    }
}

/// What stands above the 128 slots of the root node.
///
/// ```
/// use trunkline_core::proof::{Siblings, Top};
/// let microseconds = Top::Hash { siblings: Siblings::default() };
/// let identity = core::array::from_fn(|byte| if byte == 0 { 0xc0 } else { 0 });
/// let milliseconds = Top::Kzg { commitment: identity, openings: vec![identity] };
/// assert_ne!(microseconds, milliseconds);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Top {
    /// A KZG commitment to the slots, opened at each slot that is used.
    Kzg {
        /// The KZG root.
        commitment: [u8; 48],
        /// One proof for each slot that the entries use, in ascending order.
        openings: Vec<[u8; 48]>,
    },
    /// The binary tree over the slots; it gives the state digest.
    Hash {
        /// Digests beside the used slots: depth first, left before right.
        siblings: Siblings,
    },
}

/// A proof outside the bounds of its form.
///
/// ```
/// use trunkline_core::proof::*;
/// # use trunkline_core::{hash::ZERO, params::TreeParams};
/// # let proof = Proof {
/// #     params: TreeParams::default(),
/// #     version: 0,
/// #     record: None,
/// #     entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #     terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #     siblings: Siblings::default(),
/// #     top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// # };
/// // `proof` says that "alice" is absent.
/// let mut too_high = proof.clone();
/// too_high.terminals[0].depth = 6;
/// assert_eq!(too_high.encode(), Err(ProofFormError::Depth(6)));
/// let no_terminal = Proof { terminals: Vec::new(), ..proof };
/// assert_eq!(no_terminal.encode(), Err(ProofFormError::Terminals(0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFormError {
    /// No entry, or too many.
    #[error("a proof has 1 to {ENTRIES_MAX} entries, not {0}; split it")]
    Entries(usize),
    /// No terminal, or more than there are entries.
    #[error("a proof has at least one terminal and none without an entry, not {0}")]
    Terminals(usize),
    /// A key is too long.
    #[error("a key of {0} bytes is longer than {KEY_BYTES_MAX}")]
    KeyBytes(usize),
    /// A value is too long.
    #[error("a value of {0} bytes is longer than {VALUE_BYTES_MAX}; claim its hash instead")]
    ValueBytes(usize),
    /// The metadata of the carried record is too long.
    #[error("commit metadata of {0} bytes is longer than {METADATA_BYTES_MAX}")]
    MetadataBytes(usize),
    /// A terminal stands above the root node's slots or below the last bit of the path.
    #[error("a terminal has a depth of {ROOT_BITS} to {PATH_BITS}, not {0}")]
    Depth(u32),
    /// Too few or too many members.
    #[error("a bucket has {BUCKET_MEMBERS_MIN} to {BUCKET_MEMBERS_MAX} members, not {0}")]
    BucketMembers(usize),
    /// The encoded proof is too long.
    #[error("a proof of {0} bytes is longer than {PROOF_BYTES_MAX}; split it")]
    Bytes(usize),
}

impl Proof {
    /// Checks what the types leave open: counts, lengths and depths.
    fn check_form(&self) -> Result<(), ProofFormError> {
        check_counts(self.entries.len(), self.terminals.len())?;
        let metadata_bytes = self
            .record
            .as_ref()
            .map_or(0, |record| record.metadata.len());
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(ProofFormError::MetadataBytes(metadata_bytes));
        }
        self.entries.iter().try_for_each(Entry::check_form)?;
        self.terminals.iter().try_for_each(Terminal::check_form)
    }
}

fn check_counts(entries: usize, terminals: usize) -> Result<(), ProofFormError> {
    if !(1..=ENTRIES_MAX).contains(&entries) {
        return Err(ProofFormError::Entries(entries));
    }
    if !(1..=entries).contains(&terminals) {
        return Err(ProofFormError::Terminals(terminals));
    }
    Ok(())
}

impl Entry {
    fn check_form(&self) -> Result<(), ProofFormError> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(ProofFormError::KeyBytes(self.key.len()));
        }
        match &self.claim {
            Claim::Present(value) if value.len() > VALUE_BYTES_MAX => {
                Err(ProofFormError::ValueBytes(value.len()))
            }
            _ => Ok(()),
        }
    }
}

impl Terminal {
    fn check_form(&self) -> Result<(), ProofFormError> {
        let depth = u32::from(self.depth);
        if !(ROOT_BITS..=PATH_BITS).contains(&depth) {
            return Err(ProofFormError::Depth(depth));
        }
        match &self.place {
            Place::Bucket(members) => check_members(members.len()),
            _ => Ok(()),
        }
    }
}

fn check_members(count: usize) -> Result<(), ProofFormError> {
    if !(BUCKET_MEMBERS_MIN..=BUCKET_MEMBERS_MAX).contains(&count) {
        return Err(ProofFormError::BucketMembers(count));
    }
    Ok(())
}
