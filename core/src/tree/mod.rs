//! The authenticated tree: which keys are present, with which value hashes, and the digests over them.
//!
//! One [`TreeWriter`] applies submissions and seals versions. One [`TreeHasher`] updates the digests for
//! each sealed version; it may run on another thread. Any number of [`TreeReader`]s read every version
//! that was not retired. An old version costs only what later versions replaced. Not here: keys and
//! values (the tree holds their hashes), storage, and the KZG commitment to the slots.
//!
//! How a submission reaches a leaf:
//!
//! ```text
//! TreeWriter::apply_on   checks the requirements
//!   apply_writes         cuts the writes into shards, collects what they changed
//!     shard::apply       runs the shards, on a pool if that is worth it; then accepts all or rolls all back
//!       Shard::apply     slot by slot: takes the slot's lock
//!         Cells::apply   cell by cell: reads ahead, finds each path's writes, copies the cell for the hasher
//!           Update::path the writes of one path: takes its block, applies the collision policy
//!             Update::write  changes one leaf and records what was there before
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `node` | blocks of leaves and the branches above them, below one cell |
//! | `update` | merging the writes of a submission into blocks |
//! | `undo` | leaves that versions replaced |
//! | `fold` | digests of what is below a cell |
//! | `cells` | the directory of a slot, and its pages |
//! | `digests` | the hashes above the cells of a slot |
//! | `versions` | digests of the upper levels that versions replaced |
//! | `refold` | folding the lower levels of older versions again |
//! | `dirty` | changed cells, on their way from writer to hasher |
//! | `shard` | the part of a submission that one thread applies |
//! | `writer`, `hasher`, `reader` | the three ways into the tree |
//! | `eviction` | which pages stay in memory |
//! | `cursor` | walking one version, or a fork, for proofs |
//! | `fork` | private states over a version |
//! | `stored` | page digests on their way to a file and back |
//! | `whole` | bringing the pages of a tree without a budget back |
//! | `past` | digests of versions that are retired, on their way to a store and back |

mod cells;
mod cursor;
mod digests;
mod dirty;
mod eviction;
mod fold;
mod fork;
mod hasher;
mod node;
mod past;
mod reader;
mod refold;
mod shard;
mod stored;
mod undo;
mod update;
mod versions;
mod whole;
mod writer;

pub use eviction::{
    HOT_PREFIX_BITS, LeavesDiffer, NotInMemory, PageRun, TreeMemory, hot_prefix_of,
};
pub use fork::{ForkDigests, TreeFork};
pub use hasher::{Roots, TreeHasher};
pub use node::Leaf;
pub use past::{PAST_NODES, PastDiffers, PastLeaves, PastSlot, ReplacedDigests};
pub use reader::{Change, Probe, TreeReader};
pub use stored::{ColdTree, OtherPages};
pub use whole::SlotRestorer;
pub use writer::{Applied, SealedChanges, TreeWriter};

pub(crate) use cursor::{Cursor, Missing, SlotView, Slots, View, with_loaded};
pub(crate) use past::PastCursor;

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rayon::prelude::*;

use cells::Cells;
use digests::{Digests, Entry, Scratch};
use dirty::Dirty;
use eviction::key_hashes;

use crate::hash::Digest;
use crate::params::{
    BUCKET_MEMBERS_MAX, CollisionPolicy, PATH_BITS, ROOT_BITS, WIDTH, path_of, slot_of,
};

/// The state that writer, hasher and readers share: the cells of each slot, which only the writer changes,
/// and its digests, which only the hasher changes. A lock is held for one slot's part of a batch at most.
#[derive(Debug)]
struct Shared {
    slots: Vec<Slot>,
    /// Without a budget: slots that are cut into pages, since the tree was built from page digests.
    slots_in_pages: AtomicUsize,
    /// Empty buffers on their way back from hasher to writer, grouped by version.
    spare: Mutex<Vec<Vec<Dirty>>>,
    /// Bytes of the buffers that are spare, or on their way from writer to hasher.
    buffer_bytes: AtomicUsize,
}

/// Versions whose buffers are kept, and the most bytes of the buffers of one version.
const SPARE_VERSIONS_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 32 << 20;

impl Shared {
    /// Returns buffers for a version: at least one.
    fn spare(&self) -> Vec<Dirty> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dirty) = spare.pop() else {
            return vec![Dirty::default()];
        };
        self.buffers_gone(bytes_of(&dirty));
        dirty
    }

    /// Changes that were cloned and hashed twice are gone once.
    fn buffers_gone(&self, bytes: usize) {
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let _ = self
            .buffer_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Notes that the changes of a version are on their way to the hasher.
    fn hand_over(&self, dirty: &[Dirty]) {
        self.buffer_bytes
            .fetch_add(bytes_of(dirty), Ordering::Relaxed);
    }

    fn give_back(&self, mut dirty: Vec<Dirty>) {
        dirty.iter_mut().for_each(Dirty::clear);
        let bytes = bytes_of(&dirty);
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match spare.len() < SPARE_VERSIONS_MAX && bytes <= SPARE_BYTES_MAX {
            true => spare.push(dirty),
            false => self.buffers_gone(bytes),
        }
    }
}

fn bytes_of(dirty: &[Dirty]) -> usize {
    dirty.iter().map(Dirty::bytes).sum()
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

/// Takes a lock even after a panic elsewhere. The engine stops applying after a panic, and versions that
/// were sealed before stay valid.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Returns about how many bytes it takes to keep the version before one that changes a number of leaves.
///
/// ```
/// // The more changes, the more of them share what is kept.
/// assert!(trunkline_core::tree::replaced_bytes(20_000) < 20 * trunkline_core::tree::replaced_bytes(1_000));
/// ```
pub fn replaced_bytes(leaves: usize) -> usize {
    let digests = versions::kept_max(WIDTH, leaves, PATH_BITS);
    leaves * undo::RECORD_BYTES + digests * size_of::<(u32, Entry)>()
}

/// Returns a tree of leaves that are sorted strictly ascending by key hash, with all its digests; `None` if
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
/// let (reader, key_hash) = (writer.reader(), params.key_hash(b"a"));
/// assert!(reader.get(1, &key_hash).unwrap().is_some());
/// assert!(reader.get(0, &key_hash).unwrap().is_none());
/// ```
pub fn build(policy: CollisionPolicy, leaves: &[Leaf]) -> Option<(TreeWriter, TreeHasher)> {
    build_on(None, policy, leaves)
}

/// Works like [`build`], on all threads of a pool if one is given.
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
    if !can_be_built(leaves) {
        return None;
    }
    let slots = build_slots(pool, |buffers, slot| {
        let start = leaves.partition_point(|leaf| slot_of(&leaf.key_hash) < slot);
        let end = leaves.partition_point(|leaf| slot_of(&leaf.key_hash) <= slot);
        Ok::<_, Infallible>(build_slot(slot, &leaves[start..end], 0, buffers))
    });
    Some(halves_of(slots.ok()?, policy, 0))
}

/// The reason why no tree was built from a leaf store.
///
/// ```
/// use trunkline_core::tree::BuildError;
/// let error = BuildError::<std::io::Error>::Disorder([1; 32]);
/// assert!(error.to_string().ends_with("restore the directory from a copy"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: std::error::Error + 'static> {
    /// Leaves could not be read.
    #[error(transparent)]
    Source(#[from] E),
    /// Leaves are not sorted strictly ascending, not in the range asked for, or too many share a path.
    #[error("the leaves from key hash {} on do not form a slot of a tree; restore the directory from a copy", crate::hash::hex(.0))]
    Disorder(Digest),
}

/// Works like [`build_on`], within a budget of bytes (0 for none) from the start. `leaves` reads the
/// leaves in a range of key hashes, which are those of one slot, from a leaf store that the tree can
/// look into later.
///
/// ```
/// use std::convert::Infallible;
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// let nothing = |_| Ok::<_, Infallible>(Vec::new());
/// let (writer, _) = tree::build_within(1 << 20, Some(&pool), CollisionPolicy::Bucket, nothing).unwrap();
/// assert_eq!(writer.key_count(), 0);
/// ```
pub fn build_within<E: std::error::Error + Send + 'static>(
    budget_bytes: u64,
    pool: Option<&rayon::ThreadPool>,
    policy: CollisionPolicy,
    leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E> + Sync,
) -> Result<(TreeWriter, TreeHasher), BuildError<E>> {
    let slots = build_slots(pool, |buffers, slot| {
        let below_root = PATH_BITS - ROOT_BITS;
        let range = key_hashes(&((slot as u64) << below_root..(slot as u64 + 1) << below_root));
        let leaves = leaves(range.clone())?;
        let outside = leaves.iter().any(|leaf| slot_of(&leaf.key_hash) != slot);
        match can_be_built(&leaves) && !outside {
            true => Ok(build_slot(slot, &leaves, budget_bytes, buffers)),
            false => Err(BuildError::Disorder(*range.start())),
        }
    })?;
    Ok(halves_of(slots, policy, budget_bytes))
}

/// Builds every slot, on a pool if one is given.
fn build_slots<E: Send>(
    pool: Option<&rayon::ThreadPool>,
    build: impl Fn(&mut Buffers, usize) -> Result<Slot, E> + Sync,
) -> Result<Vec<Slot>, E> {
    let Some(pool) = pool else {
        let mut buffers = Buffers::default();
        return (0..WIDTH).map(|slot| build(&mut buffers, slot)).collect();
    };
    pool.install(|| {
        let slots = (0..WIDTH).into_par_iter();
        slots.map_init(Buffers::default, &build).collect()
    })
}

/// Memory that building one slot leaves for the next.
struct Buffers {
    dirty: Dirty,
    scratch: Scratch,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            dirty: Dirty::default(),
            scratch: Scratch::new(),
        }
    }
}

fn can_be_built(leaves: &[Leaf]) -> bool {
    let path = |leaf: &Leaf| path_of(&leaf.key_hash);
    let overfull = |leaves: &[Leaf]| path(&leaves[0]) == path(&leaves[BUCKET_MEMBERS_MAX]);
    leaves.is_sorted_by(|a, b| a.key_hash < b.key_hash)
        && !leaves.windows(BUCKET_MEMBERS_MAX + 1).any(overfull)
}

fn build_slot(slot: usize, leaves: &[Leaf], budget_bytes: u64, buffers: &mut Buffers) -> Slot {
    let mut cells = Cells::build(slot, leaves);
    let mut digests = hasher::hash_built(&cells, &mut buffers.dirty, &mut buffers.scratch);
    eviction::trim(&mut cells, &mut digests, budget_bytes);
    Slot {
        cells: RwLock::new(cells),
        digests: RwLock::new(digests),
    }
}

fn halves_of(
    slots: Vec<Slot>,
    policy: CollisionPolicy,
    budget_bytes: u64,
) -> (TreeWriter, TreeHasher) {
    let is_in_pages = |slot: &&Slot| slot.cells().evicted().places > 0;
    let shared = Arc::new(Shared {
        slots_in_pages: AtomicUsize::new(slots.iter().filter(is_in_pages).count()),
        slots,
        spare: Mutex::default(),
        buffer_bytes: AtomicUsize::new(0),
    });
    (
        TreeWriter::new(shared.clone(), policy, budget_bytes),
        TreeHasher::new(shared),
    )
}
