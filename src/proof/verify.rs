//! The rules of a proof: a total function of the proof and of what the client trusts.
//!
//! The digests are folded up from the terminals to the 128 slots, from there to the state digest or
//! to the openings of a KZG root, and that is compared with what the client trusts. Key hashes,
//! slots and evaluation points are computed from the keys and never read from the proof.
//!
//! Deliberately not here: compaction. A verifier that applied it could be told "this side is empty
//! and that inner node is a leaf"; here every level above a terminal is a hash.

use alloc::vec::Vec;

use super::{Claim, Entry, Place, Proof, ProofFormError, ShownLeaf, Siblings, Top};
use crate::hash::{self, BUCKET, Digest, INNER, ZERO};
use crate::kzg::{self, G1Bytes, Opening, Slot};
use crate::params::{CollisionPolicy, PATH_BITS, ROOT_BITS, path_of};
use crate::record::{CommitRecord, Root};

/// What the client trusts, from a source outside the proof.
///
/// A tree id belongs to every root: under another salt every key would be "absent".
///
/// ```
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::Expected;
/// let tree_id = TreeParams::default().tree_id();
/// let expected = Expected::StateDigest { tree_id, state_digest: [0; 32] };
/// assert_ne!(expected, Expected::Carried);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A whole root. Either top is checked against it.
    Root(Root),
    /// The id of a commit. The proof has a hash top and carries the record of that id.
    CommitId(Digest),
    /// A state digest. The proof has a hash top; nothing binds its version.
    StateDigest {
        /// The tree.
        tree_id: Digest,
        /// Its state digest.
        state_digest: Digest,
    },
    /// A KZG root. The proof has a KZG top; nothing binds its version.
    KzgRoot {
        /// The tree.
        tree_id: Digest,
        /// The commitment to its slots.
        kzg_root: [u8; 48],
    },
    /// Nothing: only that the proof agrees with the root and the record that it carries.
    Carried,
}

/// What the claims of a verified proof rest on.
///
/// ```
/// use trunkline_core::proof::BoundTo;
/// assert_ne!(BoundTo::CommitId, BoundTo::Nothing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundTo {
    /// The trusted root: its tree, version and state.
    Root,
    /// The trusted commit id: tree, version and state.
    CommitId,
    /// The trusted state digest: tree and state, but no version.
    StateDigest,
    /// The trusted KZG root: tree and state, but no version.
    KzgRoot,
    /// Nothing that the client trusts: whoever made the proof chose everything in it.
    Nothing,
}

/// The root that the claims of a proof lead to.
///
/// ```
/// use trunkline_core::proof::TopRoot;
/// assert_ne!(TopRoot::StateDigest([0; 32]), TopRoot::Kzg([0; 48]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopRoot {
    /// The state digest that a hash top gives.
    StateDigest(Digest),
    /// The commitment of a KZG top.
    Kzg([u8; 48]),
}

/// A proof whose claims hold, as far as [`Self::bound_to`] says.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// let proof = Proof {
///     params: TreeParams::default(),
///     version: 9,
///     record: None,
///     entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///     terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///     siblings: Siblings::default(),
///     top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// };
/// let verified = verify(&proof, &Expected::Carried)?;
/// assert_eq!(verified.root, TopRoot::StateDigest(ZERO));
/// assert_eq!(verified.bound_to, BoundTo::Nothing);
/// assert_eq!(verified.trusted_version, None);
/// # Ok::<(), VerifyProofError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The tree of the claims.
    pub tree_id: Digest,
    /// The root that they lead to.
    pub root: TopRoot,
    /// Which of the things that the client trusts they rest on.
    pub bound_to: BoundTo,
    /// The version, if what the client trusts says so; the proof's own word for it is not enough.
    pub trusted_version: Option<u64>,
    /// The carried record, if its commit id is what the client trusts.
    pub trusted_record: Option<&'a CommitRecord>,
    /// Keys and claims, ascending by key hash.
    pub entries: &'a [Entry],
    key_hashes: Vec<Digest>,
    proof: &'a Proof,
}

impl<'a> Verified<'a> {
    /// What was shown of a key; `None` if the proof is not about it.
    pub fn claim(&self, key: &[u8]) -> Option<&'a Claim> {
        let key_hash = self.proof.params.key_hash(key);
        let index = self.key_hashes.binary_search(&key_hash).ok()?;
        self.entries.get(index).map(|entry| &entry.claim)
    }
}

/// The rule that a proof breaks. Its claims are then *not proven*; they are not disproven.
///
/// Indices count from 0 in the order of the proof.
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
    /// An entry lies below no terminal.
    #[error("no terminal is left for entry {0}")]
    TerminalMissing(usize),
    /// No entry is left for a terminal.
    #[error("no entry is left for terminal {0}")]
    TerminalUnused(usize),
    /// A terminal reaches over the one before it.
    #[error("terminal {0} contains the one before it")]
    TerminalOverlap(usize),

    /// An entry is claimed present in an empty place.
    #[error("terminal {0} is empty, yet a key below it is claimed present")]
    EmptyWithPresent(usize),
    /// A place with a leaf of its own entries has not exactly one present entry.
    #[error("terminal {0} is the leaf of one present entry, yet another number is claimed present")]
    OwnLeafPresent(usize),
    /// An entry is claimed present below the leaf of another key.
    #[error("terminal {0} is the leaf of another key, yet a key below it is claimed present")]
    OtherLeafWithPresent(usize),
    /// The other leaf is that of an entry claimed absent.
    #[error("terminal {0} shows the leaf of a key that is claimed absent")]
    OtherLeafIsEntry(usize),
    /// The other leaf has another path.
    #[error("the leaf of terminal {0} does not live below it")]
    OtherLeafOutside(usize),
    /// The tree has no buckets.
    #[error("terminal {0} is a bucket, which this tree's collision policy rules out")]
    BucketPolicy(usize),
    /// A bucket stands above the last bit of the path.
    #[error("terminal {0} is a bucket above depth {PATH_BITS}")]
    BucketDepth(usize),
    /// Members do not ascend strictly.
    #[error("the members of bucket {0} do not ascend strictly by key hash")]
    BucketOrder(usize),
    /// A member has another path.
    #[error("a member of bucket {0} does not live in it")]
    BucketMemberOutside(usize),
    /// An entry is claimed present, but is no member.
    #[error("a key claimed present is no member of bucket {0}")]
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
    /// A leaf stands deeper than where it is alone.
    #[error("a leaf below the root node has an empty sibling; it belongs higher up")]
    LeafSiblingEmpty,
    /// The siblings of the top run out.
    #[error("the siblings above the slots run out")]
    TopSiblingMissing,
    /// Siblings of the top are left over.
    #[error("siblings above the slots are left over")]
    TopSiblingUnused,
    /// Not one opening for each used slot.
    #[error("{slots} slots are used, yet there are {openings} openings")]
    OpeningCount {
        /// Slots used.
        slots: usize,
        /// Openings in the proof.
        openings: usize,
    },
    /// A point is invalid, or an opening does not hold.
    #[error("the KZG openings do not hold")]
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

    /// Another tree than expected.
    #[error("the proof is of another tree than expected")]
    ExpectedTree,
    /// Another version than expected.
    #[error("the proof is of another version than expected")]
    ExpectedVersion,
    /// Another state digest than expected.
    #[error("the proof leads to another state digest than expected")]
    ExpectedState,
    /// Another KZG root than expected.
    #[error("the proof is against another KZG root than expected")]
    ExpectedKzgRoot,
    /// Another commit than expected.
    #[error("the carried record has another commit id than expected")]
    ExpectedCommit,
    /// The expected root has no KZG root, or a state digest is expected.
    #[error("no KZG root is trusted to check a KZG top against; ask for a hash top")]
    NeedsHashTop,
    /// A KZG root is expected.
    #[error("only a KZG root is trusted; ask for a KZG top")]
    NeedsKzgTop,
    /// A commit id is expected, but no record is carried.
    #[error(
        "a commit id is trusted, but the proof carries no record that leads to it; ask for a hash top"
    )]
    NeedsRecord,
}

/// Checks a proof against what the client trusts.
///
/// Total, and linear in the size of the proof; the pairing check of a KZG top comes last.
///
/// ```
/// use trunkline_core::proof::{Expected, Proof, Verified, verify};
/// fn check(bytes: &[u8], commit_id: [u8; 32]) -> Result<u64, Box<dyn std::error::Error>> {
///     let proof = Proof::decode(bytes)?;
///     let verified = verify(&proof, &Expected::CommitId(commit_id))?;
///     verified.trusted_version.ok_or("unbound".into())
/// }
/// assert!(check(b"no proof", [0; 32]).is_err());
/// ```
pub fn verify<'a>(proof: &'a Proof, expected: &Expected) -> Result<Verified<'a>, VerifyProofError> {
    proof.check_form()?;
    let key_hashes = hash_keys(proof)?;
    let ends = find_ends(proof, &key_hashes)?;
    let slots = fold_slots(&ends, &proof.siblings)?;
    let tree_id = proof.params.tree_id();
    let root = fold_top(&proof.top, &slots)?;
    check_record(proof, &tree_id, &root)?;
    let bound_to = check_expected(proof, &tree_id, &root, expected)?;
    if let Top::Kzg {
        commitment,
        openings,
    } = &proof.top
    {
        check_openings(commitment, openings, &slots)?;
    }
    Ok(Verified {
        tree_id,
        root,
        bound_to,
        trusted_version: binds_version(bound_to).then_some(proof.version),
        trusted_record: proof.record.as_ref().filter(|_| binds_version(bound_to)),
        entries: &proof.entries,
        key_hashes,
        proof,
    })
}

/// A slot that the entries of a proof use, with what its opening claims.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, Opening, Slot};
/// use trunkline_core::proof::SlotOpening;
/// let opening = Opening {
///     commitment: G1Bytes::IDENTITY,
///     z: [3; 32],
///     y: [0; 32],
///     proof: G1Bytes::IDENTITY,
/// };
/// let of_slot = SlotOpening { slot: Slot::new(5)?, opening };
/// assert_eq!(of_slot.slot.index(), 5);
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotOpening {
    /// The slot.
    pub slot: Slot,
    /// The commitment, the point and value that a verifier computes, and the opening proof.
    pub opening: Opening,
}

/// The openings that [`verify()`] checks, in ascending order of slots, for whoever checks them
/// elsewhere (a point-evaluation precompile, say). A hash top has none.
///
/// Nothing is checked here but that the proof folds to its slots: no opening, no record, no root.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, Slot, slot_point, verify_openings};
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// let proof = Proof {
///     params: TreeParams::default(),
///     version: 0,
///     record: None,
///     entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///     terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///     siblings: Siblings::default(),
///     top: Top::Kzg { commitment: G1Bytes::IDENTITY.0, openings: vec![G1Bytes::IDENTITY.0] },
/// };
/// let openings = slot_openings(&proof)?;
/// let slot = Slot::of_key_hash(&proof.params.key_hash(b"alice"));
/// assert_eq!((openings[0].slot, openings[0].opening.z), (slot, slot_point(slot)));
/// assert_eq!(verify_openings(&[openings[0].opening]), Ok(true));
/// # Ok::<(), VerifyProofError>(())
/// ```
pub fn slot_openings(proof: &Proof) -> Result<Vec<SlotOpening>, VerifyProofError> {
    proof.check_form()?;
    let key_hashes = hash_keys(proof)?;
    let ends = find_ends(proof, &key_hashes)?;
    let slots = fold_slots(&ends, &proof.siblings)?;
    fold_top(&proof.top, &slots)?;
    match &proof.top {
        Top::Kzg {
            commitment,
            openings,
        } => Ok(pair_openings(commitment, openings, &slots).collect()),
        Top::Hash { .. } => Ok(Vec::new()),
    }
}

fn binds_version(bound_to: BoundTo) -> bool {
    matches!(bound_to, BoundTo::Root | BoundTo::CommitId)
}

fn hash_keys(proof: &Proof) -> Result<Vec<Digest>, VerifyProofError> {
    let keys = proof.entries.iter().map(|entry| &entry.key);
    let key_hashes: Vec<Digest> = keys.map(|key| proof.params.key_hash(key)).collect();
    match key_hashes.windows(2).position(|two| two[0] >= two[1]) {
        Some(index) => Err(VerifyProofError::EntryOrder(index + 1)),
        None => Ok(key_hashes),
    }
}

/// A terminal with its place in the tree and its digest.
struct End {
    slot: Slot,
    /// Lowest path below it.
    path: u64,
    depth: u32,
    digest: Digest,
    is_leaf: bool,
}

impl End {
    /// Highest path below it.
    fn last_path(&self) -> u64 {
        self.path | mask_below(self.depth)
    }
}

/// The bits of a path below a depth.
fn mask_below(depth: u32) -> u64 {
    (1 << (PATH_BITS - depth)) - 1
}

/// The entries of one terminal.
struct Below<'a> {
    terminal: usize,
    path: u64,
    depth: u32,
    entries: &'a [Entry],
    key_hashes: &'a [Digest],
}

/// Gives each terminal its entries, in order, and computes its digest.
fn find_ends(proof: &Proof, key_hashes: &[Digest]) -> Result<Vec<End>, VerifyProofError> {
    let mut ends: Vec<End> = Vec::with_capacity(proof.terminals.len());
    let mut first = 0;
    for (index, terminal) in proof.terminals.iter().enumerate() {
        let Some(key_hash) = key_hashes.get(first) else {
            return Err(VerifyProofError::TerminalUnused(index));
        };
        let depth = u32::from(terminal.depth);
        let path = path_of(key_hash) & !mask_below(depth);
        if ends.last().is_some_and(|before| path <= before.last_path()) {
            return Err(VerifyProofError::TerminalOverlap(index));
        }
        let last_path = path | mask_below(depth);
        let rest = &key_hashes[first..];
        let count = rest.partition_point(|key_hash| path_of(key_hash) <= last_path);
        let below = Below {
            terminal: index,
            path,
            depth,
            entries: &proof.entries[first..first + count],
            key_hashes: &rest[..count],
        };
        let digest = below.digest(&terminal.place, proof.params.collision)?;
        let is_leaf = matches!(terminal.place, Place::OwnLeaf | Place::OtherLeaf(_));
        ends.push(End {
            slot: Slot::of_key_hash(key_hash),
            path,
            depth,
            digest,
            is_leaf,
        });
        first += count;
    }
    match first {
        _ if first == key_hashes.len() => Ok(ends),
        _ => Err(VerifyProofError::TerminalMissing(first)),
    }
}

impl Below<'_> {
    fn digest(
        &self,
        place: &Place,
        collision: CollisionPolicy,
    ) -> Result<Digest, VerifyProofError> {
        match place {
            Place::Empty => self.empty(),
            Place::OwnLeaf => self.own_leaf(),
            Place::OtherLeaf(leaf) => self.other_leaf(leaf),
            Place::Bucket(_) if collision != CollisionPolicy::Bucket => {
                Err(VerifyProofError::BucketPolicy(self.terminal))
            }
            Place::Bucket(members) => self.bucket(members),
        }
    }

    /// The entries claimed present, as leaves.
    fn present(&self) -> impl Iterator<Item = ShownLeaf> {
        let claims = self.entries.iter().map(|entry| &entry.claim);
        self.key_hashes
            .iter()
            .zip(claims)
            .filter_map(|(key_hash, claim)| {
                Some(ShownLeaf {
                    key_hash: *key_hash,
                    value_hash: claim.value_hash()?,
                })
            })
    }

    fn holds(&self, leaf: &ShownLeaf) -> bool {
        path_of(&leaf.key_hash) & !mask_below(self.depth) == self.path
    }

    fn empty(&self) -> Result<Digest, VerifyProofError> {
        match self.present().next() {
            Some(_) => Err(VerifyProofError::EmptyWithPresent(self.terminal)),
            None => Ok(ZERO),
        }
    }

    fn own_leaf(&self) -> Result<Digest, VerifyProofError> {
        let mut present = self.present();
        match (present.next(), present.next()) {
            (Some(leaf), None) => Ok(leaf.digest()),
            _ => Err(VerifyProofError::OwnLeafPresent(self.terminal)),
        }
    }

    fn other_leaf(&self, leaf: &ShownLeaf) -> Result<Digest, VerifyProofError> {
        if self.present().next().is_some() {
            return Err(VerifyProofError::OtherLeafWithPresent(self.terminal));
        }
        if self.key_hashes.binary_search(&leaf.key_hash).is_ok() {
            return Err(VerifyProofError::OtherLeafIsEntry(self.terminal));
        }
        if !self.holds(leaf) {
            return Err(VerifyProofError::OtherLeafOutside(self.terminal));
        }
        Ok(leaf.digest())
    }

    fn bucket(&self, members: &[ShownLeaf]) -> Result<Digest, VerifyProofError> {
        if self.depth != PATH_BITS {
            return Err(VerifyProofError::BucketDepth(self.terminal));
        }
        if members
            .windows(2)
            .any(|two| two[0].key_hash >= two[1].key_hash)
        {
            return Err(VerifyProofError::BucketOrder(self.terminal));
        }
        if !members.iter().all(|member| self.holds(member)) {
            return Err(VerifyProofError::BucketMemberOutside(self.terminal));
        }
        for (entry, key_hash) in self.entries.iter().zip(self.key_hashes) {
            self.check_membership(members, key_hash, entry.claim.value_hash())?;
        }
        Ok(bucket_digest(members))
    }

    fn check_membership(
        &self,
        members: &[ShownLeaf],
        key_hash: &Digest,
        value_hash: Option<Digest>,
    ) -> Result<(), VerifyProofError> {
        let member = members.iter().find(|member| member.key_hash == *key_hash);
        match (member.map(|member| member.value_hash), value_hash) {
            (None, None) => Ok(()),
            (Some(shown), Some(claimed)) if shown == claimed => Ok(()),
            (Some(_), Some(_)) => Err(VerifyProofError::BucketValue(self.terminal)),
            (Some(_), None) => Err(VerifyProofError::BucketWithAbsent(self.terminal)),
            (None, Some(_)) => Err(VerifyProofError::BucketWithoutPresent(self.terminal)),
        }
    }
}

fn bucket_digest(members: &[ShownLeaf]) -> Digest {
    let mut body = vec![members.len() as u8];
    for member in members {
        body.extend_from_slice(&member.key_hash);
        body.extend_from_slice(&member.value_hash);
    }
    BUCKET.hash(&body)
}

/// A slot that the entries use.
struct UsedSlot {
    slot: Slot,
    digest: Digest,
}

/// Folds the terminals of each slot up to the slot.
fn fold_slots(ends: &[End], siblings: &Siblings) -> Result<Vec<UsedSlot>, VerifyProofError> {
    let mut siblings = siblings.iter();
    let mut slots = Vec::new();
    for ends in ends.chunk_by(|one, next| one.slot == next.slot) {
        let digest = fold_subtree(ends, ROOT_BITS, &mut siblings)?;
        let slot = ends.first().map(|end| end.slot);
        slots.extend(slot.map(|slot| UsedSlot { slot, digest }));
    }
    match siblings.next() {
        Some(_) => Err(VerifyProofError::SiblingUnused),
        None => Ok(slots),
    }
}

/// The digest of the subtree at `depth` that the terminals, at least one, lie in.
///
/// Terminals are disjoint, so that each level splits them until one is left at its own depth:
/// the recursion ends at depth 56.
fn fold_subtree(
    ends: &[End],
    depth: u32,
    siblings: &mut impl Iterator<Item = Digest>,
) -> Result<Digest, VerifyProofError> {
    match ends {
        [] => return siblings.next().ok_or(VerifyProofError::SiblingMissing),
        [end] if end.depth == depth => return Ok(end.digest),
        _ => {}
    }
    let bit = 1 << (PATH_BITS - 1 - depth);
    let (left, right) = ends.split_at(ends.partition_point(|end| end.path & bit == 0));
    let left_digest = fold_subtree(left, depth + 1, siblings)?;
    let right_digest = fold_subtree(right, depth + 1, siblings)?;
    if is_leaf_at(left, depth + 1) && right_digest == ZERO
        || is_leaf_at(right, depth + 1) && left_digest == ZERO
    {
        return Err(VerifyProofError::LeafSiblingEmpty);
    }
    Ok(INNER.hash(&hash::pair(&left_digest, &right_digest)))
}

fn is_leaf_at(ends: &[End], depth: u32) -> bool {
    matches!(ends, [end] if end.is_leaf && end.depth == depth)
}

/// The root that the slots lead to, if the openings of a KZG top hold.
fn fold_top(top: &Top, slots: &[UsedSlot]) -> Result<TopRoot, VerifyProofError> {
    match top {
        Top::Kzg {
            commitment,
            openings,
        } if openings.len() == slots.len() => Ok(TopRoot::Kzg(*commitment)),
        Top::Kzg { openings, .. } => Err(VerifyProofError::OpeningCount {
            slots: slots.len(),
            openings: openings.len(),
        }),
        Top::Hash { siblings } => {
            let mut siblings = siblings.iter();
            let state_digest = fold_root_node(slots, 0, &mut siblings)?;
            match siblings.next() {
                Some(_) => Err(VerifyProofError::TopSiblingUnused),
                None => Ok(TopRoot::StateDigest(state_digest)),
            }
        }
    }
}

/// The digest at `depth` (0 to 7) of the root node over the slots: only an all-empty half of it
/// is zero, and nothing else is compact.
fn fold_root_node(
    slots: &[UsedSlot],
    depth: u32,
    siblings: &mut impl Iterator<Item = Digest>,
) -> Result<Digest, VerifyProofError> {
    match slots {
        [] => return siblings.next().ok_or(VerifyProofError::TopSiblingMissing),
        [slot] if depth == ROOT_BITS => return Ok(slot.digest),
        _ => {}
    }
    let bit = 1 << (ROOT_BITS - 1 - depth);
    let (left, right) = slots.split_at(slots.partition_point(|slot| slot.slot.index() & bit == 0));
    let left_digest = fold_root_node(left, depth + 1, siblings)?;
    let right_digest = fold_root_node(right, depth + 1, siblings)?;
    if left_digest == ZERO && right_digest == ZERO {
        return Ok(ZERO);
    }
    Ok(INNER.hash(&hash::pair(&left_digest, &right_digest)))
}

fn check_record(proof: &Proof, tree_id: &Digest, root: &TopRoot) -> Result<(), VerifyProofError> {
    let Some(record) = &proof.record else {
        return Ok(());
    };
    if record.tree_id != *tree_id {
        return Err(VerifyProofError::RecordTree);
    }
    if record.version != proof.version {
        return Err(VerifyProofError::RecordVersion);
    }
    match root {
        TopRoot::StateDigest(digest) if *digest != record.state_digest => {
            Err(VerifyProofError::RecordState)
        }
        _ => Ok(()),
    }
}

fn check_expected(
    proof: &Proof,
    tree_id: &Digest,
    root: &TopRoot,
    expected: &Expected,
) -> Result<BoundTo, VerifyProofError> {
    match expected {
        Expected::Root(expected) => {
            check_tree(tree_id, &expected.tree_id)?;
            check_root(proof, root, expected)?;
            Ok(BoundTo::Root)
        }
        Expected::CommitId(commit_id) => {
            check_commit(proof, root, commit_id)?;
            Ok(BoundTo::CommitId)
        }
        Expected::StateDigest {
            tree_id: expected,
            state_digest,
        } => {
            check_tree(tree_id, expected)?;
            check_state(root, state_digest)?;
            Ok(BoundTo::StateDigest)
        }
        Expected::KzgRoot {
            tree_id: expected,
            kzg_root,
        } => {
            check_tree(tree_id, expected)?;
            check_kzg_root(root, kzg_root)?;
            Ok(BoundTo::KzgRoot)
        }
        Expected::Carried => Ok(BoundTo::Nothing),
    }
}

fn check_tree(tree_id: &Digest, expected: &Digest) -> Result<(), VerifyProofError> {
    if tree_id != expected {
        return Err(VerifyProofError::ExpectedTree);
    }
    Ok(())
}

fn check_root(proof: &Proof, root: &TopRoot, expected: &Root) -> Result<(), VerifyProofError> {
    if proof.version != expected.version {
        return Err(VerifyProofError::ExpectedVersion);
    }
    let commit_id = proof.record.as_ref().map(CommitRecord::commit_id);
    if commit_id.is_some_and(|commit_id| commit_id != expected.commit_id) {
        return Err(VerifyProofError::ExpectedCommit);
    }
    match (root, &expected.kzg_root) {
        (TopRoot::StateDigest(_), _) => check_state(root, &expected.state_digest),
        (TopRoot::Kzg(_), Some(kzg_root)) => check_kzg_root(root, kzg_root),
        (TopRoot::Kzg(_), None) => Err(VerifyProofError::NeedsHashTop),
    }
}

/// The record was found to agree with tree id, version and state digest before.
fn check_commit(proof: &Proof, root: &TopRoot, expected: &Digest) -> Result<(), VerifyProofError> {
    let Some(record) = &proof.record else {
        return Err(VerifyProofError::NeedsRecord);
    };
    if record.commit_id() != *expected {
        return Err(VerifyProofError::ExpectedCommit);
    }
    match root {
        TopRoot::StateDigest(_) => Ok(()),
        TopRoot::Kzg(_) => Err(VerifyProofError::NeedsHashTop),
    }
}

fn check_state(root: &TopRoot, expected: &Digest) -> Result<(), VerifyProofError> {
    match root {
        TopRoot::StateDigest(digest) if digest == expected => Ok(()),
        TopRoot::StateDigest(_) => Err(VerifyProofError::ExpectedState),
        TopRoot::Kzg(_) => Err(VerifyProofError::NeedsHashTop),
    }
}

fn check_kzg_root(root: &TopRoot, expected: &[u8; 48]) -> Result<(), VerifyProofError> {
    match root {
        TopRoot::Kzg(commitment) if commitment == expected => Ok(()),
        TopRoot::Kzg(_) => Err(VerifyProofError::ExpectedKzgRoot),
        TopRoot::StateDigest(_) => Err(VerifyProofError::NeedsKzgTop),
    }
}

/// Checks that the commitment has each slot's value at its root of unity.
fn check_openings(
    commitment: &[u8; 48],
    proofs: &[[u8; 48]],
    slots: &[UsedSlot],
) -> Result<(), VerifyProofError> {
    let openings: Vec<Opening> = pair_openings(commitment, proofs, slots)
        .map(|paired| paired.opening)
        .collect();
    match kzg::verify_openings(&openings) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(VerifyProofError::Opening),
    }
}

/// Gives each used slot its opening: point and value come from the slot, never from the proof.
fn pair_openings<'a>(
    commitment: &'a [u8; 48],
    proofs: &'a [[u8; 48]],
    slots: &'a [UsedSlot],
) -> impl Iterator<Item = SlotOpening> + 'a {
    slots.iter().zip(proofs).map(|(used, proof)| SlotOpening {
        slot: used.slot,
        opening: Opening {
            commitment: G1Bytes(*commitment),
            z: kzg::slot_point(used.slot),
            y: kzg::slot_value_bytes(&used.digest),
            proof: G1Bytes(*proof),
        },
    })
}
