//! Updating the digests, version by version.

use std::sync::Arc;

use super::cells::Cells;
use super::digests::{Digests, Scratch};
use super::dirty::{Dirty, DirtyCell};
use super::fork::ForkDigests;
use super::{Shared, read, write};
use crate::hash::{Digest, INNER, ZERO, pair};
use crate::parallel::{each, shards_for};
use crate::params::WIDTH;
use crate::tree::SealedChanges;

/// The top of the tree at one version, which a root commits to.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (mut writer, mut hasher) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// let roots = hasher.hash(writer.seal(0), None);
/// assert!(roots.slots.iter().all(|slot| *slot == [0; 32]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The version.
    pub version: u64,
    /// The number of keys present.
    pub key_count: u64,
    /// The digests of the 128 slots of the root node.
    pub slots: Box<[Digest; WIDTH]>,
    /// The digest of the whole state: equal digests mean equal states.
    pub state_digest: Digest,
    /// The digests of the root node above the slots, as a heap: 1 is the state digest, `i` is above `2i` and `2i + 1`,
    /// and the slots follow from 128 on.
    above: Box<[Digest; WIDTH]>,
}

impl Roots {
    /// Folds the slots: every level hashed, but two empty halves stay empty.
    ///
    /// ```
    /// use trunkline_core::tree::Roots;
    /// let roots = Roots::of(7, 0, Box::new([[0; 32]; 128]));
    /// assert_eq!(roots.state_digest, [0; 32]);
    /// ```
    pub fn of(version: u64, key_count: u64, slots: Box<[Digest; WIDTH]>) -> Self {
        let mut above = Box::new([ZERO; WIDTH]);
        let mut pairs = Vec::with_capacity(WIDTH / 2);
        let mut hashed = Vec::with_capacity(WIDTH / 2);
        for level in (0..WIDTH.ilog2()).rev() {
            let width = 1 << level;
            let below = match level + 1 == WIDTH.ilog2() {
                true => &slots[..],
                false => &above[2 * width..4 * width],
            };
            pairs.clear();
            pairs.extend(below.chunks_exact(2).map(|two| pair(&two[0], &two[1])));
            INNER.hash_pairs(&pairs, &mut hashed);
            for ((digest, hashed), halves) in above[width..].iter_mut().zip(&hashed).zip(&pairs) {
                let is_empty = *halves == [0; 64];
                *digest = if is_empty { ZERO } else { *hashed };
            }
        }
        Self {
            version,
            key_count,
            state_digest: above[1],
            slots,
            above,
        }
    }

    /// Returns a digest of the root node by its position in the heap: 1 to 127, then the slots.
    pub(crate) fn digest(&self, place: usize) -> &Digest {
        match place.checked_sub(WIDTH) {
            None => &self.above[place],
            Some(slot) => &self.slots[slot],
        }
    }
}

/// The hasher of sealed versions. There is one for each tree; it may live on another thread than the writer, and while
/// it hashes version N the writer may apply N + 1.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (mut writer, mut hasher) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// assert_eq!(hasher.hash(writer.seal(0), Some((&pool, 2))).version, 0);
/// ```
#[derive(Debug)]
pub struct TreeHasher {
    shared: Arc<Shared>,
    /// The scratch memory of each shard that a version was ever divided into: at least one.
    scratch: Vec<Scratch>,
    slots: Box<[Digest; WIDTH]>,
}

impl TreeHasher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let top = |slot: usize| read(&shared.slots[slot].digests).top();
        Self {
            slots: Box::new(std::array::from_fn(top)),
            shared,
            scratch: vec![Scratch::new()],
        }
    }

    /// Computes every digest that a version changed, on several threads: the calling one, and others of a pool. Call it
    /// in the order in which versions were sealed.
    ///
    /// Without a pool, or with one thread, all work is done on the calling thread.
    pub fn hash(
        &mut self,
        changes: SealedChanges,
        pool: Option<(&rayon::ThreadPool, usize)>,
    ) -> Roots {
        self.hash_with(changes, None, pool)
    }

    /// Works like [`Self::hash`] for a version whose changes are those of a fork of the version before it: takes over the
    /// digests that the fork has computed, slot by slot where they are all there, and computes the others.
    ///
    /// The digests of a fork of any other state make a tree of wrong digests.
    pub fn hash_forked(
        &mut self,
        changes: SealedChanges,
        forked: &ForkDigests,
        pool: Option<(&rayon::ThreadPool, usize)>,
    ) -> Roots {
        self.hash_with(changes, Some(forked), pool)
    }

    fn hash_with(
        &mut self,
        changes: SealedChanges,
        forked: Option<&ForkDigests>,
        pool: Option<(&rayon::ThreadPool, usize)>,
    ) -> Roots {
        let (shared, version) = (&self.shared, changes.version);
        let slots: Vec<(&Dirty, &[DirtyCell])> = changes.dirty.iter().flat_map(slots_of).collect();
        let count = shards_for(pool).min(WIDTH);
        if self.scratch.len() < count {
            self.scratch.resize_with(count, Scratch::new);
        }
        let width = slots.len().div_ceil(count).max(1);
        let mut shards: Vec<_> = self.scratch.iter_mut().zip(slots.chunks(width)).collect();
        each(pool, &mut shards, |(scratch, slots)| {
            for (dirty, cells) in *slots {
                let slot = usize::from(cells[0].slot);
                let bits = u32::from(changes.bits[slot]);
                let mut digests = write(&shared.slots[slot].digests);
                let forked = forked.and_then(|forked| forked.of_slot(slot, bits));
                if !forked.is_some_and(|forked| digests.install(version, bits, cells, forked)) {
                    digests.update(version, bits, cells, dirty, scratch);
                }
            }
        });
        for (_, cells) in slots {
            let slot = usize::from(cells[0].slot);
            self.slots[slot] = read(&self.shared.slots[slot].digests).top();
        }
        let key_count = changes.key_count;
        self.shared.give_back(changes.dirty);
        Roots::of(version, key_count, self.slots.clone())
    }
}

/// Returns the changed cells of each slot.
fn slots_of(dirty: &Dirty) -> impl Iterator<Item = (&Dirty, &[DirtyCell])> {
    let slots = dirty.cells.chunk_by(|a, b| a.slot == b.slot);
    slots.map(move |cells| (dirty, cells))
}

/// Computes all digests of a slot that was just built.
pub(super) fn hash_built(cells: &Cells, dirty: &mut Dirty, scratch: &mut Scratch) -> Digests {
    dirty.clear();
    cells.push_all(dirty);
    let mut digests = Digests::new();
    digests.build(cells.bits(), dirty, scratch);
    digests
}
