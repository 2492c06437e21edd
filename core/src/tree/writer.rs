//! Changing the tree: applying submissions atomically, and sealing versions.

use std::sync::Arc;

use rayon::ThreadPool;

use super::dirty::Dirty;
use super::eviction::Eviction;
use super::reader::TreeReader;
use super::shard::{self, Shard, bounds, shard_of};
use super::update::Update;
use super::{Shared, read};
use crate::batch::{PreparedBatch, Requirement, Write};
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::parallel::shards_for;
use crate::params::{CollisionPolicy, WIDTH, slot_of};

/// The changes of a submission that took effect.
///
/// ```
/// use trunkline_core::{batch::{Batch, BatchLimits}, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
/// let mut batch = Batch::new();
/// batch.put("a", "1").delete("never there");
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// let applied = writer.apply(&prepared, 1).unwrap();
/// let unchanged = prepared.writes.iter().position(|write| write.is_delete()).unwrap();
/// assert_eq!(applied.unchanged, [unchanged as u32]);
/// assert!(applied.displaced.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The positions of prepared writes that changed nothing, in ascending order: a put of the present value, a delete
    /// of an absent key, a put of a new key that a newer one displaced at once. Every other write changed something.
    pub unchanged: Vec<u32>,
    /// The hashes of keys that had a value before and that a newer key on their path displaced, in ascending order.
    pub displaced: Vec<Digest>,
}

/// The changes of a version, to pass to the hasher in order of versions.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (mut writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// let sealed = writer.seal(1);
/// assert_eq!(sealed.version(), 1);
/// assert!(sealed.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct SealedChanges {
    pub(super) version: u64,
    pub(super) key_count: u64,
    /// The changed cells of each shard of slots, in ascending order of slots and cells.
    pub(super) dirty: Vec<Dirty>,
    /// The directory bits of every slot.
    pub(super) bits: Box<[u8; WIDTH]>,
}

impl SealedChanges {
    /// Returns the version that was sealed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether the version left every leaf unchanged.
    pub fn is_empty(&self) -> bool {
        self.dirty.iter().all(Dirty::is_empty)
    }
}

/// The writer that applies submissions. There is one for each tree.
///
/// ```
/// use trunkline_core::{batch::*, outcome::Refusal, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
/// let mut batch = Batch::new();
/// batch.put("a", "1").require("a", Requirement::value(b"0"));
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// assert!(matches!(writer.apply(&prepared, 1), Err(Refusal::RequirementFailed { .. })));
/// assert_eq!(writer.key_count(), 0);
/// ```
#[derive(Debug)]
pub struct TreeWriter {
    pub(super) shared: Arc<Shared>,
    policy: CollisionPolicy,
    key_count: u64,
    /// The changes since the last seal, one list for each shard into which the version is divided: at least one.
    dirty: Vec<Dirty>,
    /// The slots whose directory was resized since the last seal.
    resized: Vec<usize>,
    /// The pages that were restored since the last seal: their slots, and their nodes in the heap.
    pub(super) restored: Vec<(usize, u32)>,
    pub(super) bits: Box<[u8; WIDTH]>,
    pub(super) eviction: Eviction,
}

impl TreeWriter {
    /// Returns a writer with a budget of bytes, 0 for none.
    pub(super) fn new(shared: Arc<Shared>, policy: CollisionPolicy, budget_bytes: u64) -> Self {
        let cells = |slot: usize| read(&shared.slots[slot].cells);
        Self {
            eviction: Eviction::new(budget_bytes),
            key_count: (0..WIDTH).map(|slot| cells(slot).leaves()).sum(),
            bits: Box::new(std::array::from_fn(|slot| cells(slot).bits() as u8)),
            shared,
            policy,
            dirty: vec![Dirty::default()],
            resized: Vec::new(),
            restored: Vec::new(),
        }
    }

    /// Returns the number of keys present.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// Returns a reader of the same tree.
    pub fn reader(&self) -> TreeReader {
        TreeReader::new(self.shared.clone())
    }

    /// Applies a submission as part of a version, atomically. Versions ascend, and each is sealed before
    /// the next begins.
    ///
    /// # Panics
    ///
    /// If a page that [`Self::pages_to_load`] names was not restored.
    pub fn apply(&mut self, batch: &PreparedBatch, version: u64) -> Result<Applied, Refusal> {
        self.apply_on(None, batch, version)
    }

    /// Works like [`Self::apply`], on a number of threads: the calling one, and others of a pool; the result is the
    /// same. Without a pool, with one thread, or if a batch is too small to be worth it, all work is done on the calling
    /// thread.
    ///
    /// A version is cut once: after the first submission that took effect, later ones use its shards.
    ///
    /// ```
    /// use trunkline_core::{batch::*, params::TreeParams, tree};
    /// let params = TreeParams::default();
    /// let (mut writer, _) = tree::build(params.collision, &[]).unwrap();
    /// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    /// let mut batch = Batch::new();
    /// batch.put("a", "1");
    /// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
    /// writer.apply_on(Some((&pool, 2)), &prepared, 1).unwrap();
    /// assert_eq!(writer.key_count(), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// Like [`Self::apply`].
    pub fn apply_on(
        &mut self,
        pool: Option<(&ThreadPool, usize)>,
        batch: &PreparedBatch,
        version: u64,
    ) -> Result<Applied, Refusal> {
        self.check(&batch.requirements)?;
        self.apply_writes(pool, &batch.writes, version, self.policy)
    }

    /// Applies effects that were resolved before, as a commit log holds them. `writes` are sorted
    /// strictly ascending by key hash.
    ///
    /// A log of policy `overwrite` or `reject` never leads to two keys of one path, so the most
    /// permissive policy replays all three; a refusal means that the log is not one of this tree.
    ///
    /// # Panics
    ///
    /// Like [`Self::apply`].
    pub fn replay(
        &mut self,
        pool: Option<(&ThreadPool, usize)>,
        writes: &[Write],
        version: u64,
    ) -> Result<(), Refusal> {
        self.apply_writes(pool, writes, version, CollisionPolicy::Bucket)
            .map(drop)
    }

    /// Ends a version, and returns its changes for the hasher.
    pub fn seal(&mut self, version: u64) -> SealedChanges {
        let resized = std::mem::take(&mut self.resized);
        // The digests of a restored page are not in memory, and any change of it needs all of them.
        for (slot, page) in std::mem::take(&mut self.restored) {
            if !resized.contains(&slot) {
                let shard = shard_of(slot, self.dirty.len());
                let cells = read(&self.shared.slots[slot].cells);
                cells.push_restored(page, &mut self.dirty[shard]);
            }
        }
        for slot in resized {
            let cells = read(&self.shared.slots[slot].cells);
            self.bits[slot] = cells.bits() as u8;
            let shard = shard_of(slot, self.dirty.len());
            self.dirty[shard].drop_slot(slot);
            cells.push_all(&mut self.dirty[shard]);
        }
        self.dirty.iter_mut().for_each(Dirty::sort);
        self.shared.hand_over(&self.dirty);
        SealedChanges {
            version,
            key_count: self.key_count,
            dirty: std::mem::replace(&mut self.dirty, self.shared.spare()),
            bits: self.bits.clone(),
        }
    }

    fn check(&self, requirements: &[(Digest, Requirement)]) -> Result<(), Refusal> {
        for &(key_hash, requirement) in requirements {
            let cells = self.shared.slots[slot_of(&key_hash)].cells();
            let Ok(leaf) = cells.get(&key_hash) else {
                unreachable!("pages are restored before a submission asks for them")
            };
            let holds = match requirement {
                Requirement::Absent => leaf.is_none(),
                Requirement::ValueHash(value_hash) => {
                    leaf.is_some_and(|leaf| leaf.value_hash == value_hash)
                }
            };
            if !holds {
                return Err(Refusal::RequirementFailed { key_hash });
            }
        }
        Ok(())
    }

    fn apply_writes(
        &mut self,
        pool: Option<(&ThreadPool, usize)>,
        writes: &[Write],
        version: u64,
        policy: CollisionPolicy,
    ) -> Result<Applied, Refusal> {
        if self.dirty.iter().all(Dirty::is_empty) {
            let count = shards_for(pool).min(WIDTH);
            self.dirty.resize_with(count, Dirty::default);
        }
        let update = || Update {
            writes,
            version,
            policy,
            unchanged: Vec::new(),
            displaced: Vec::new(),
            removed: self.eviction.removed(),
        };
        let (mut one, mut several);
        let shards = match &mut self.dirty[..] {
            [dirty] => {
                one = [Shard::new(&self.shared, update(), 0..writes.len(), dirty)];
                &mut one[..]
            }
            dirty => {
                several = Vec::with_capacity(dirty.len());
                for (range, dirty) in bounds(writes, dirty.len()).zip(dirty) {
                    several.push(Shard::new(&self.shared, update(), range, dirty));
                }
                &mut several[..]
            }
        };
        shard::apply(shards, pool)?;
        let mut applied = Applied::default();
        for shard in shards {
            self.key_count = self.key_count.saturating_add_signed(shard.gained);
            for slot in shard.resized.drain(..) {
                if !self.resized.contains(&slot) {
                    self.resized.push(slot);
                }
            }
            let update = &mut shard.update;
            self.eviction.note(update.removed.take(), version);
            take_over(&mut applied.unchanged, &mut update.unchanged);
            take_over(&mut applied.displaced, &mut update.displaced);
        }
        if !applied.unchanged.is_sorted() {
            applied.unchanged.sort_unstable();
        }
        applied.displaced.sort_unstable();
        Ok(applied)
    }
}

/// Moves the items of one list to the end of another.
fn take_over<T>(all: &mut Vec<T>, more: &mut Vec<T>) {
    match all.is_empty() {
        true => std::mem::swap(all, more),
        false => all.append(more),
    }
}
