//! The authenticated tree: which keys are there, with which values' hashes, and what they fold to.
//!
//! One [`TreeWriter`] applies submissions and seals versions; one [`TreeHasher`] brings the digests
//! up to each sealed version, on another thread if need be; any number of [`TreeReader`]s look at
//! every version that has not been retired. Old versions cost what later ones replaced, nothing
//! more. Not here: keys and values themselves (the tree knows their hashes), storage, the KZG
//! commitment over the slots.
//!
//! From the bottom up: `node` is what hangs below a cell of the directory, `update` merges writes
//! into it, `fold` folds it; `cells` is the directory of a slot, `digests` the hashes above it,
//! `versions` what both keep for older versions; `writer`, `hasher` and `reader` are the three ways
//! in, and `cursor` walks one version for proofs.

mod cells;
mod cursor;
mod digests;
mod fold;
mod hasher;
mod node;
mod reader;
mod update;
mod versions;
mod writer;

pub use hasher::{Roots, TreeHasher};
pub use node::Leaf;
pub use reader::TreeReader;
pub use writer::{Changed, SealedChanges, TreeWriter};

pub(crate) use cursor::{Cursor, SlotView, View};

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cells::Cells;
use digests::Digests;

use crate::params::{BUCKET_MEMBERS_MAX, CollisionPolicy, WIDTH, path_of};

/// What writer, hasher and readers share: each slot's cells, written by the writer alone, and its
/// digests, written by the hasher alone. A lock is held for one slot's part of a batch at most.
#[derive(Debug)]
struct Shared {
    slots: Vec<Slot>,
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

/// A tree of leaves that are sorted strictly ascending by key hash; `None` if they are not,
/// or if more of them share a path than a bucket holds. The hasher has not hashed them yet: the first
/// version it is given brings all digests.
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
    let path = |leaf: &Leaf| path_of(&leaf.key_hash);
    let overfull = |leaves: &[Leaf]| path(&leaves[0]) == path(&leaves[BUCKET_MEMBERS_MAX]);
    if !leaves.is_sorted_by(|a, b| a.key_hash < b.key_hash)
        || leaves.windows(BUCKET_MEMBERS_MAX + 1).any(overfull)
    {
        return None;
    }
    let mut rest = leaves;
    let slots = (0..WIDTH)
        .map(|slot| {
            let mine = rest.partition_point(|leaf| crate::params::slot_of(&leaf.key_hash) <= slot);
            let (leaves, others) = rest.split_at(mine);
            rest = others;
            Slot {
                cells: RwLock::new(Cells::build(slot, leaves)),
                digests: RwLock::new(Digests::new()),
            }
        })
        .collect();
    let shared = std::sync::Arc::new(Shared { slots });
    Some((
        TreeWriter::new(shared.clone(), policy, leaves.len() as u64),
        TreeHasher::new(shared),
    ))
}
