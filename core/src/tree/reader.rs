//! Reading versions of the tree, present and past, from any thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cells::cell_of;
use super::cursor::{Loaded, SlotView, Slots};
use super::{Leaf, NotInMemory, Shared, write};
use crate::hash::Digest;
use crate::params::{WIDTH, slot_of};

/// The maximum number of evicted cells that one step of a walk passes.
const PASSED_CELLS_MAX: u32 = 64;

/// The knowledge of a key that the header of its block of leaves gives.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree, tree::Probe};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert_eq!(writer.reader().probe(0, &[7; 32]), Probe::Absent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The key is absent.
    Absent,
    /// The key did not change from this version of this run to the one that was asked for: present or
    /// absent, it is the same at all of these versions.
    UnchangedSince(u64),
    /// The header gives no answer.
    Unknown,
}

/// A key that changed since a version.
///
/// ```
/// use trunkline_core::tree::Change;
/// let change = Change { key_hash: [7; 32], then: None, now: None };
/// assert!(!change.has_effect());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The hash of the key.
    pub key_hash: Digest,
    /// The leaf at the version, if there was one.
    pub then: Option<Leaf>,
    /// The present leaf, if there is one.
    pub now: Option<Leaf>,
}

impl Change {
    /// Returns whether the value of the key was added, changed or removed.
    pub fn has_effect(&self) -> bool {
        let value_hash = |leaf: Option<Leaf>| leaf.map(|leaf| leaf.value_hash);
        value_hash(self.then) != value_hash(self.now)
    }
}

/// Reads any version that was sealed and not yet retired; clones read the same tree.
///
/// The answer for any other version is meaningless. The engine keeps track of which versions exist.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert_eq!(writer.reader().get(0, &[7; 32]), Ok(None));
/// ```
#[derive(Clone, Debug)]
pub struct TreeReader {
    shared: Arc<Shared>,
}

impl TreeReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the bytes of buffers for changes: spare ones, and those on their way to the hasher.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// assert_eq!(writer.reader().buffer_bytes(), 0);
    /// ```
    pub fn buffer_bytes(&self) -> usize {
        self.shared.buffer_bytes.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the leaves and digests that are kept for older versions, and of spare lists for them.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// assert_eq!(writer.reader().replaced_bytes(), 0);
    /// ```
    pub fn replaced_bytes(&self) -> usize {
        let slots = self.shared.slots.iter();
        let bytes = slots.map(|slot| slot.cells().undo_bytes() + slot.digests().versions_bytes());
        bytes.sum()
    }

    /// Returns the leaf of a key hash at a version.
    ///
    /// If the leaf is evicted, its value at this version is the one that the leaf store has at the key hash,
    /// in any view from the version that was `covered` at the eviction to this version.
    pub fn get(&self, version: u64, key_hash: &Digest) -> Result<Option<Leaf>, NotInMemory> {
        self.shared.slots[slot_of(key_hash)]
            .cells()
            .get_at(version, key_hash)
    }

    /// Returns what the header of a key's block tells about the key at a version. This takes half the time of
    /// [`Self::get`], and is enough to see that cached knowledge of the key still holds.
    ///
    /// ```
    /// use trunkline_core::{batch::*, params::TreeParams, tree, tree::Probe};
    /// let params = TreeParams::default();
    /// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
    /// let mut batch = Batch::new();
    /// batch.put("a", "1");
    /// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
    /// writer.apply(&prepared, 5).unwrap();
    /// let reader = writer.reader();
    /// assert_eq!(reader.probe(5, &params.key_hash(b"a")), Probe::UnchangedSince(5));
    /// assert_eq!(reader.probe(5, &params.key_hash(b"b")), Probe::Absent);
    /// assert_eq!(reader.probe(4, &params.key_hash(b"a")), Probe::Unknown);
    /// ```
    pub fn probe(&self, version: u64, key_hash: &Digest) -> Probe {
        self.shared.slots[slot_of(key_hash)]
            .cells()
            .probe(version, key_hash)
    }

    /// Prefetches the memory on the way to these keys, all at a time, so that asking for one after the
    /// other waits less for memory. Pass about sixteen, sorted, so that few locks are taken.
    pub fn read_ahead(&self, key_hashes: &[Digest]) {
        for one_slot in key_hashes.chunk_by(|a, b| slot_of(a) == slot_of(b)) {
            self.shared.slots[slot_of(&one_slot[0])]
                .cells()
                .look_ahead(one_slot.iter());
        }
    }

    /// Returns the leaves of one cell of the directory at a version, in path order: the cell that holds
    /// `from`, without the leaves before it. Returns them with the key hash at which the next cell
    /// begins, or `None` after the last one. Cells are small, so this is a bounded step of a walk over
    /// the whole state.
    ///
    /// One step passes up to 64 evicted cells; their leaves are in the leaf store, as for [`Self::get`].
    pub fn leaves_from(
        &self,
        version: u64,
        from: &Digest,
    ) -> (Result<Vec<Leaf>, NotInMemory>, Option<Digest>) {
        let cells = self.shared.slots[slot_of(from)].cells();
        let bits = cells.bits_at(version);
        let next = |key_hash: &Digest| next_prefix(key_hash, crate::params::ROOT_BITS + bits);
        let cell = cell_of(from, bits);
        if let Ok(mut leaves) = cells.leaves_at(version, cells.paths(cell, bits)) {
            leaves.retain(|leaf| leaf.key_hash >= *from);
            return (Ok(leaves), next(from));
        }
        let others = cell + 1..(1 << bits).min(cell + PASSED_CELLS_MAX);
        let passed = others.take_while(|cell| cells.is_evicted(*cell, bits));
        let end = passed.fold(next(from), |end, _| end.and_then(|end| next(&end)));
        (Err(NotInMemory), end)
    }

    /// Returns the keys of a slot that changed since a version, ascending by key hash. Some of them may have the value
    /// again that they had. The work follows what changed.
    ///
    /// Call it only while the writer rests. Then no key of these is evicted, since it differs between two versions that
    /// can be read.
    ///
    /// ```
    /// use trunkline_core::{batch::*, params::TreeParams, tree};
    /// let params = TreeParams::default();
    /// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
    /// let mut batch = Batch::new();
    /// batch.put("a", "1");
    /// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
    /// writer.apply(&prepared, 1).unwrap();
    /// let reader = writer.reader();
    /// let slots = (0..128).map(|slot| reader.changes_since(0, slot).unwrap());
    /// let changes: Vec<tree::Change> = slots.flatten().collect();
    /// assert!(changes[0].then.is_none() && changes[0].now.is_some());
    /// ```
    pub fn changes_since(&self, version: u64, slot: usize) -> Result<Vec<Change>, NotInMemory> {
        self.shared.slots[slot % WIDTH]
            .cells()
            .changes_since(version)
    }

    /// Retires the versions before `oldest`. The memory is freed by the caller's thread, outside
    /// of every lock.
    pub fn retire(&self, oldest: u64) {
        for slot in &self.shared.slots {
            let cells = write(&slot.cells).retire(oldest);
            let digests = write(&slot.digests).retire(oldest);
            drop((cells, digests));
        }
    }

    /// Returns one slot as a version saw it, with pages that had to be loaded for it; both halves stay locked
    /// while the view lives.
    pub(super) fn slot_view<'a>(
        &'a self,
        version: u64,
        slot: usize,
        loaded: &'a [Loaded],
    ) -> SlotView<'a> {
        let shared = &self.shared.slots[slot % WIDTH];
        SlotView::new(shared.cells(), shared.digests(), version, loaded)
    }

    /// Returns a version, to view its slots.
    pub(crate) fn at(&self, version: u64) -> AtVersion<'_> {
        AtVersion {
            reader: self,
            version,
        }
    }
}

/// A version of the tree.
pub(crate) struct AtVersion<'r> {
    reader: &'r TreeReader,
    version: u64,
}

impl Slots for AtVersion<'_> {
    fn slot_view<'a>(&'a self, slot: usize, loaded: &'a [Loaded]) -> SlotView<'a> {
        self.reader.slot_view(self.version, slot, loaded)
    }
}

/// Returns the smallest key hash after all those that share the first `depth` bits with this one.
fn next_prefix(key_hash: &Digest, depth: u32) -> Option<Digest> {
    let [a, b, c, d, e, f, g, h, ..] = *key_hash;
    let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let step = 1_u64 << (64 - depth);
    let next = (head & !(step - 1)).checked_add(step)?;
    let mut prefix = [0; 32];
    prefix[..8].copy_from_slice(&next.to_be_bytes());
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_prefix_follows_and_the_last_one_has_none() {
        let mut key_hash = [0xff; 32];
        assert_eq!(next_prefix(&key_hash, 9), None);
        key_hash[1] = 0x7f;
        let mut expected = [0; 32];
        expected[..2].copy_from_slice(&[0xff, 0x80]);
        assert_eq!(next_prefix(&key_hash, 9), Some(expected));
    }
}
