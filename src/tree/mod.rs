//! The authenticated tree: which keys are there, with which values' hashes, and what they fold to.
//!
//! One [`TreeWriter`] applies submissions and seals versions; one [`TreeHasher`] brings the digests
//! up to each sealed version, on another thread if need be; any number of [`TreeReader`]s look at
//! every version that has not been retired. Old versions cost what later ones replaced, nothing
//! more. Not here: keys and values themselves (the tree knows their hashes), storage, the KZG
//! commitment over the slots.
//!
//! From the bottom up: `node` is what hangs below a cell of the directory, `update` merges writes
//! into it, `undo` keeps what they replaced, `fold` folds it; `cells` is the directory of a slot,
//! `digests` the hashes above it, `versions` what those keep for older versions; `dirty` is what goes
//! from writer to hasher; `writer`, `hasher` and `reader` are the three ways in, and `cursor` walks one
//! version for proofs.

mod cells;
mod cursor;
mod digests;
mod dirty;
mod fold;
mod hasher;
mod node;
mod reader;
mod undo;
mod update;
mod versions;
mod writer;

pub use hasher::{Roots, TreeHasher};
pub use node::Leaf;
pub use reader::TreeReader;
pub use writer::{Applied, SealedChanges, TreeWriter};

pub(crate) use cursor::{Cursor, SlotView, View};

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rayon::prelude::*;

use cells::Cells;
use digests::{Digests, Scratch};
use dirty::Dirty;

use crate::params::{BUCKET_MEMBERS_MAX, CollisionPolicy, WIDTH, path_of, slot_of};

/// What writer, hasher and readers share: each slot's cells, written by the writer alone, and its
/// digests, written by the hasher alone. A lock is held for one slot's part of a batch at most.
#[derive(Debug)]
struct Shared {
    slots: Vec<Slot>,
    /// Emptied buffers on their way back from hasher to writer.
    spare: Mutex<Vec<Dirty>>,
}

/// Buffers kept between versions, and the most that one may hold on to, bytes.
const SPARE_BUFFERS_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 32 << 20;

impl Shared {
    fn spare(&self) -> Dirty {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    fn give_back(&self, mut dirty: Dirty) {
        dirty.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX && dirty.bytes() <= SPARE_BYTES_MAX {
            spare.push(dirty);
        }
    }
}

#[derive(Debug)]
struct Slot {
    cells: RwLock<Cells>,
    digests: RwLock<Digests>,
}

impl Slot {
    fn cells(&self) -> RwLockReadGuard<'_, Cells> {
        read(&self.cells)
    }

    fn digests(&self) -> RwLockReadGuard<'_, Digests> {
        read(&self.digests)
    }
}

/// Locks are taken even after a panic elsewhere: whoever drives the tree stops using its present
/// after one, and versions that were sealed before stay true.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// A tree of leaves that are sorted strictly ascending by key hash, with all its digests; `None` if
/// they are not sorted, or if more of them share a path than a bucket holds.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, mut hasher) = tree::build(params.collision, &[]).unwrap();
/// assert_eq!(hasher.hash(writer.seal(0), None).state_digest, [0; 32]);
///
/// let mut batch = Batch::new();
/// batch.put("a", "1");
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// writer.apply(&prepared, 1).unwrap();
/// let roots = hasher.hash(writer.seal(1), None);
/// assert_eq!(roots.key_count, 1);
/// assert!(writer.reader().get(1, &params.key_hash(b"a")).is_some());
/// assert!(writer.reader().get(0, &params.key_hash(b"a")).is_none());
/// ```
pub fn build(policy: CollisionPolicy, leaves: &[Leaf]) -> Option<(TreeWriter, TreeHasher)> {
    build_on(None, policy, leaves)
}

/// As [`build`], by all threads of a pool if one is given.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// assert!(tree::build_on(Some(&pool), CollisionPolicy::Bucket, &[]).is_some());
/// ```
pub fn build_on(
    pool: Option<&rayon::ThreadPool>,
    policy: CollisionPolicy,
    leaves: &[Leaf],
) -> Option<(TreeWriter, TreeHasher)> {
    let path = |leaf: &Leaf| path_of(&leaf.key_hash);
    let overfull = |leaves: &[Leaf]| path(&leaves[0]) == path(&leaves[BUCKET_MEMBERS_MAX]);
    if !leaves.is_sorted_by(|a, b| a.key_hash < b.key_hash)
        || leaves.windows(BUCKET_MEMBERS_MAX + 1).any(overfull)
    {
        return None;
    }
    let slot = |slot: usize| {
        let start = leaves.partition_point(|leaf| slot_of(&leaf.key_hash) < slot);
        let end = leaves.partition_point(|leaf| slot_of(&leaf.key_hash) <= slot);
        Slot {
            cells: RwLock::new(Cells::build(slot, &leaves[start..end])),
            digests: RwLock::new(Digests::new()),
        }
    };
    let shared = |slots| Shared {
        slots,
        spare: Mutex::default(),
    };
    let hash = |shared: &Shared, (dirty, scratch): &mut (Dirty, Scratch), slot: usize| {
        hasher::hash_built(shared, slot, dirty, scratch);
    };
    let buffers = || (Dirty::default(), Scratch::new());
    let shared = match pool {
        Some(pool) => pool.install(|| {
            let shared = shared((0..WIDTH).into_par_iter().map(slot).collect());
            (0..WIDTH)
                .into_par_iter()
                .for_each_init(buffers, |buffers, slot| hash(&shared, buffers, slot));
            shared
        }),
        None => {
            let shared = shared((0..WIDTH).map(slot).collect());
            let mut buffers = buffers();
            (0..WIDTH).for_each(|slot| hash(&shared, &mut buffers, slot));
            shared
        }
    };
    let shared = Arc::new(shared);
    Some((
        TreeWriter::new(shared.clone(), policy),
        TreeHasher::new(shared),
    ))
}
