//! Makes a proof: one walk over the slots of the keys, then claims and a top.
//!
//! Only the walk needs the tree, and it holds one slot's locks at a time; values and openings, which take longer, come
//! after it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{
    Claim, ENTRIES_MAX, Entry, Place, ShownLeaf, Siblings, Terminal, Top, TopOpening, VersionProof,
};
use crate::hash::Digest;
use crate::kzg::{Committer, Fr, G1Bytes, OpenedVersion, Slot, encode_scalar};
use crate::params::{KEY_BYTES_MAX, ROOT_BITS, TreeParams, WIDTH, slot_of};
use crate::record::CommitRecord;
use crate::tree::{
    Cursor, Leaf, LeavesDiffer, Missing, PastCursor, PastDiffers, PastSlot, Roots, SlotView, Slots,
    TreeFork, TreeReader, View, with_loaded,
};

/// The reason why no proof can be made of a set of keys.
///
/// ```
/// use trunkline_core::{params::TreeParams, proof::{Draft, ProveError}, tree};
/// let params = TreeParams::default();
/// let (mut writer, mut hasher) = tree::build(params.collision, &[]).unwrap();
/// let roots = hasher.hash(writer.seal(0), None);
/// let key = [b'k'; 5000];
/// let error = Draft::walk(&writer.reader(), &roots, &params, [key]).unwrap_err();
/// assert_eq!(error, ProveError::KeyBytes(5000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// There is no key, or there are more than one proof can hold.
    #[error("a proof is made of 1 to {ENTRIES_MAX} keys, not {0}; split it")]
    Keys(usize),
    /// A key is longer than any tree's, or empty.
    #[error("a key of {0} bytes cannot be proven: keys have 1 to {KEY_BYTES_MAX} bytes")]
    KeyBytes(usize),
    /// A leaf that the proof shows is not in memory.
    #[error("a leaf that the proof shows is not in memory; walk with the leaf store")]
    NotInMemory,
    /// The leaf store does not have the leaves that the tree had.
    #[error(transparent)]
    LeavesDiffer(#[from] LeavesDiffer),
    /// The archived data of a version does not fold to its digests.
    #[error(transparent)]
    PastDiffers(#[from] PastDiffers),
}

/// A version of a proof without claims and top: the result of the walk over the tree.
///
/// ```
/// use trunkline_core::{params::TreeParams, proof::{self, Draft, Expected}, tree};
/// let params = TreeParams::default();
/// let (mut writer, mut hasher) = tree::build(params.collision, &[]).unwrap();
/// let roots = hasher.hash(writer.seal(0), None);
/// let draft = Draft::walk(&writer.reader(), &roots, &params, ["alice"]).unwrap();
/// assert!(draft.entries().all(|(_, leaf)| leaf.is_none()));
/// let top = draft.hash_top(&roots);
/// let version = draft.finish(vec![proof::Claim::Absent], None, top);
/// let proof = proof::Proof { params, versions: vec![version], opening: None };
/// let expected = Expected::StateDigest { tree_id: params.tree_id(), state_digest: [0; 32] };
/// assert!(proof::verify(&proof, &expected).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    version: u64,
    targets: Vec<Target>,
    terminals: Vec<Terminal>,
    siblings: Siblings,
}

/// A subtree at a binary depth, in the form for a proof.
trait Subtree: Copy {
    fn depth(&self) -> u32;
    fn digest(&self) -> Digest;
    fn view(&self) -> View<'_>;
    fn halves(&self) -> (Self, Self);
}

impl Subtree for Cursor<'_> {
    fn depth(&self) -> u32 {
        self.depth()
    }

    fn digest(&self) -> Digest {
        self.digest()
    }

    fn view(&self) -> View<'_> {
        self.view()
    }

    fn halves(&self) -> (Self, Self) {
        self.halves()
    }
}

impl Subtree for PastCursor<'_> {
    fn depth(&self) -> u32 {
        self.depth()
    }

    fn digest(&self) -> Digest {
        self.digest()
    }

    fn view(&self) -> View<'_> {
        self.view()
    }

    fn halves(&self) -> (Self, Self) {
        self.halves()
    }
}

/// A key to be proven, with its leaf once found.
#[derive(Clone, Debug)]
struct Target {
    key_hash: Digest,
    key: Vec<u8>,
    leaf: Option<Leaf>,
}

impl Draft {
    /// Walks the tree at the version of `roots`. Keys may come in any order and more than once, up to [`ENTRIES_MAX`]
    /// of them. For a tree without a budget, which is completely in memory.
    pub fn walk<K: AsRef<[u8]>>(
        reader: &TreeReader,
        roots: &Roots,
        params: &TreeParams,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self, ProveError> {
        let nowhere = |_| Err(ProveError::NotInMemory);
        Self::walk_with(reader, roots, params, keys, nowhere)
    }

    /// Works like [`Self::walk`]. `leaves` reads the leaves in a range of key hashes, ascending, from the leaf store,
    /// as described at [`TreeReader::get`]. No lock is held meanwhile.
    pub fn walk_with<K: AsRef<[u8]>, E: From<ProveError>>(
        reader: &TreeReader,
        roots: &Roots,
        params: &TreeParams,
        keys: impl IntoIterator<Item = K>,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Self, E> {
        Self::walk_slots(
            &reader.at(roots.version),
            roots.version,
            params,
            keys,
            leaves,
        )
    }

    /// Works like [`Self::walk_with`] in a fork whose digests are up to date: `roots` are what [`TreeFork::roots`] returned
    /// after its last change.
    pub fn walk_fork<K: AsRef<[u8]>, E: From<ProveError>>(
        fork: &TreeFork,
        roots: &Roots,
        params: &TreeParams,
        keys: impl IntoIterator<Item = K>,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Self, E> {
        Self::walk_slots(fork, roots.version, params, keys, leaves)
    }

    fn walk_slots<K: AsRef<[u8]>, E: From<ProveError>>(
        slots: &impl Slots,
        version: u64,
        params: &TreeParams,
        keys: impl IntoIterator<Item = K>,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Self, E> {
        let mut draft = Self {
            version,
            targets: targets(params, keys)?,
            terminals: Vec::new(),
            siblings: Siblings::default(),
        };
        let load = |page: Missing| {
            let found = leaves(page.key_hashes())?;
            Ok::<_, E>(page.load(&found).map_err(ProveError::from)?)
        };
        let mut targets = std::mem::take(&mut draft.targets);
        for targets in targets.chunk_by_mut(|a, b| slot_of(&a.key_hash) == slot_of(&b.key_hash)) {
            let slot = slot_of(&targets[0].key_hash);
            let key_hashes: Vec<Digest> = targets.iter().map(|target| target.key_hash).collect();
            let missing = |view: &SlotView<'_>| missing(view, &key_hashes);
            with_loaded(slots, slot, missing, load, |view| {
                draft.descend(view.cursor(), targets);
            })?;
        }
        draft.targets = targets;
        Ok(draft)
    }

    /// Works like [`Self::walk_with`] at a version that the tree no longer has. `slots` returns a slot of the version,
    /// and `leaves` the leaves of the version in a range of key hashes, ascending.
    pub fn walk_past<K: AsRef<[u8]>, E: From<ProveError>>(
        roots: &Roots,
        params: &TreeParams,
        keys: impl IntoIterator<Item = K>,
        slots: impl Fn(usize) -> Result<Arc<PastSlot>, E>,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Self, E> {
        let mut draft = Self {
            version: roots.version,
            targets: Vec::new(),
            terminals: Vec::new(),
            siblings: Siblings::default(),
        };
        let mut targets = targets(params, keys)?;
        for targets in targets.chunk_by_mut(|a, b| slot_of(&a.key_hash) == slot_of(&b.key_hash)) {
            let slot = slots(slot_of(&targets[0].key_hash))?;
            let missing = targets
                .iter()
                .filter_map(|target| slot.missing(&target.key_hash));
            let mut missing: Vec<_> = missing.collect();
            missing.dedup();
            let mut loaded = Vec::with_capacity(missing.len());
            for (node, range) in missing {
                let found = slot.load(node, leaves(range)?).map_err(ProveError::from)?;
                loaded.push(found);
            }
            draft.descend(slot.cursor(&loaded), targets);
        }
        draft.targets = targets;
        Ok(draft)
    }

    fn descend(&mut self, cursor: impl Subtree, targets: &mut [Target]) {
        if targets.is_empty() {
            self.siblings.push(&cursor.digest());
            return;
        }
        let place = match cursor.view() {
            View::Fork => {
                let (left, right) = cursor.halves();
                let middle =
                    targets.partition_point(|target| !bit(&target.key_hash, cursor.depth()));
                let (below_left, below_right) = targets.split_at_mut(middle);
                self.descend(left, below_left);
                return self.descend(right, below_right);
            }
            View::Empty => Place::Empty,
            View::Leaf(leaf) => {
                if find(targets, leaf) {
                    Place::OwnLeaf
                } else {
                    Place::OtherLeaf(shown(leaf))
                }
            }
            View::Bucket(leaves) => {
                leaves.iter().for_each(|leaf| {
                    find(targets, leaf);
                });
                Place::Bucket(leaves.iter().map(shown).collect())
            }
        };
        self.terminals.push(Terminal {
            depth: cursor.depth() as u8,
            place,
        });
    }

    /// Returns the keys, ascending by key hash, each with its leaf if it is present. Claims must be in the same order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&Leaf>)> {
        self.targets
            .iter()
            .map(|target| (&target.key[..], target.leaf.as_ref()))
    }

    /// Returns the slots of the keys, ascending.
    pub fn slots(&self) -> Vec<Slot> {
        let slots = self.targets.iter();
        let mut slots: Vec<Slot> = slots
            .map(|target| Slot::of_key_hash(&target.key_hash))
            .collect();
        slots.dedup();
        slots
    }

    /// Returns a hash top: the siblings of the used slots.
    pub fn hash_top(&self, roots: &Roots) -> Top {
        let mut siblings = Siblings::default();
        top_siblings(roots, 1, &self.slots(), &mut siblings);
        Top::Hash { siblings }
    }

    /// Returns the part of the proof about this version, with one claim for each entry in the order of
    /// [`Self::entries`].
    pub fn finish(
        self,
        claims: Vec<Claim>,
        record: Option<CommitRecord>,
        top: Top,
    ) -> VersionProof {
        let entries = self
            .targets
            .into_iter()
            .zip(claims)
            .map(|(target, claim)| Entry {
                key: target.key,
                claim,
            })
            .collect();
        VersionProof {
            version: self.version,
            record,
            entries,
            terminals: self.terminals,
            siblings: self.siblings,
            top,
        }
    }
}

/// The slots to open for one version with a KZG top.
///
/// ```
/// use trunkline_core::kzg::{Committer, Setup, Slot, slot_value};
/// use trunkline_core::proof::{TopOpening, TopSlots, open_tops};
/// let committer = Committer::new(&Setup::ceremony()?);
/// let values = [slot_value(&[7; 32]); 128];
/// let top = TopSlots {
///     version: 1,
///     kzg_root: committer.commit(&values).to_bytes(),
///     values: &values,
///     slots: vec![Slot::new(3)?, Slot::new(4)?],
/// };
/// assert!(matches!(open_tops(&committer, &[top]), Some(TopOpening::Aggregate(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TopSlots<'a> {
    /// The version.
    pub version: u64,
    /// Its KZG root.
    pub kzg_root: G1Bytes,
    /// The values of all its slots.
    pub values: &'a [Fr; WIDTH],
    /// The slots to open, ascending.
    pub slots: Vec<Slot>,
}

/// Opens the KZG tops of a proof, versions ascending. Costs about one commitment for a single slot, two for any larger
/// number, nothing for none.
pub fn open_tops(committer: &Committer, tops: &[TopSlots<'_>]) -> Option<TopOpening> {
    let slots: usize = tops.iter().map(|top| top.slots.len()).sum();
    if slots == 0 {
        return None;
    }
    if slots == 1 {
        let mut single = tops
            .iter()
            .flat_map(|top| top.slots.iter().map(|slot| (top.values, *slot)));
        return single
            .next()
            .map(|(values, slot)| TopOpening::Single(committer.open(values, slot)));
    }
    let opened: Vec<OpenedVersion> = tops.iter().map(TopSlots::opened).collect();
    let values: Vec<&[Fr; WIDTH]> = tops.iter().map(|top| top.values).collect();
    Some(TopOpening::Aggregate(committer.aggregate(&opened, &values)))
}

impl TopSlots<'_> {
    fn opened(&self) -> OpenedVersion {
        let value = |slot: &Slot| (*slot, encode_scalar(&self.values[slot.index()]));
        OpenedVersion {
            version: self.version,
            commitment: self.kzg_root,
            slots: self.slots.iter().map(value).collect(),
        }
    }
}

/// Returns the cells that must be loaded to show whether some keys of a slot are present.
fn missing(view: &SlotView<'_>, key_hashes: &[Digest]) -> Vec<Missing> {
    let missing = key_hashes
        .iter()
        .filter_map(|key_hash| view.missing(key_hash));
    let mut missing: Vec<Missing> = missing.collect();
    missing.sort_unstable_by_key(Missing::page);
    missing.dedup_by_key(|missing| missing.page());
    missing
}

fn targets<K: AsRef<[u8]>>(
    params: &TreeParams,
    keys: impl IntoIterator<Item = K>,
) -> Result<Vec<Target>, ProveError> {
    let mut targets = Vec::new();
    for key in keys {
        let key = key.as_ref();
        if targets.len() == ENTRIES_MAX {
            return Err(ProveError::Keys(ENTRIES_MAX + 1));
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(ProveError::KeyBytes(key.len()));
        }
        targets.push(Target {
            key_hash: params.key_hash(key),
            key: key.to_vec(),
            leaf: None,
        });
    }
    targets.sort_unstable_by_key(|target| target.key_hash);
    targets.dedup_by_key(|target| target.key_hash);
    if targets.is_empty() {
        return Err(ProveError::Keys(0));
    }
    Ok(targets)
}

/// Stores a leaf in the target to which it belongs, if there is one. Returns whether there is.
fn find(targets: &mut [Target], leaf: &Leaf) -> bool {
    match targets.binary_search_by_key(&leaf.key_hash, |target| target.key_hash) {
        Ok(place) => {
            targets[place].leaf = Some(*leaf);
            true
        }
        Err(_) => false,
    }
}

fn shown(leaf: &Leaf) -> ShownLeaf {
    ShownLeaf {
        key_hash: leaf.key_hash,
        value_hash: leaf.value_hash,
    }
}

fn bit(key_hash: &Digest, depth: u32) -> bool {
    key_hash[depth as usize / 8] >> (7 - depth % 8) & 1 == 1
}

/// Pushes the siblings of the used slots below a position of the root node's heap.
fn top_siblings(roots: &Roots, place: usize, used: &[Slot], siblings: &mut Siblings) {
    if used.is_empty() {
        siblings.push(roots.digest(place));
        return;
    }
    if place >= WIDTH {
        return;
    }
    let (left, right) = (2 * place, 2 * place + 1);
    // The first slot below the right half.
    let first = (right << (ROOT_BITS - right.ilog2())) - WIDTH;
    let (used_left, used_right) = used.split_at(used.partition_point(|slot| slot.index() < first));
    top_siblings(roots, left, used_left, siblings);
    top_siblings(roots, right, used_right, siblings);
}
