//! Forks: private states over a version of the tree, before anything is durable.
//!
//! A fork holds copies of the cells that it changed, and the digests above them. Everything else it reads from the
//! version, which must stay readable meanwhile. Clones of a fork share what neither changes: what a slot holds is copied
//! when one of them changes the slot. The same code as in the tree merges writes into cells ([`Update`]) and folds cells
//! (`fold`). Not here: values, and which versions stay readable.
//!
//! The directory of a slot has as many cells as at the version, whatever the fork adds. Cells that become too full have
//! branches.
//!
//! | file | holds |
//! | --- | --- |
//! | `slot` | the changes of a fork in one slot |
//! | `hash` | the digests of a fork |

mod hash;
pub(super) mod slot;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::cells::cell_of;
use super::cursor::{Loaded, Missing, SlotView, Slots, with_loaded};
use super::eviction::LeavesDiffer;
use super::hasher::Roots;
use super::node::{Leaf, Node};
use super::reader::{Change, TreeReader};
use super::shard::slots_of;
use super::update::Update;
use super::versions::Entries;
use super::writer::Applied;
use crate::batch::{PreparedBatch, Requirement};
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{CollisionPolicy, WIDTH, slot_of};

use hash::Hashing;
use slot::ForkSlot;

/// The number added to the origins of leaves that a fork wrote. No version has so high a number.
const OWN_ORIGINS: u64 = 1 << 63;

/// A private state over a version.
///
/// The answers are correct only while the version is readable: call, check that it still is, and only then use the
/// answer, as with [`TreeReader`].
///
/// ```
/// use trunkline_core::{batch::*, params::TreeParams, tree};
/// let params = TreeParams::default();
/// let (mut writer, mut hasher) = tree::build(params.collision, &[]).unwrap();
/// let roots = hasher.hash(writer.seal(0), None);
///
/// let mut batch = Batch::new();
/// batch.put("a", "1");
/// let prepared = batch.prepare(&params, &BatchLimits::default(), None).unwrap();
/// let mut fork = tree::TreeFork::new(writer.reader(), &roots, params.collision);
/// let no_store = |_| Ok::<_, tree::LeavesDiffer>(Vec::new());
/// fork.apply(&prepared, no_store).unwrap().unwrap();
/// let forked = fork.roots(no_store).unwrap();
///
/// // The same as if the batch had been committed:
/// writer.apply(&prepared, 1).unwrap();
/// assert_eq!(hasher.hash(writer.seal(1), None), forked);
/// ```
#[derive(Clone, Debug)]
pub struct TreeFork {
    reader: TreeReader,
    version: u64,
    policy: CollisionPolicy,
    key_count: u64,
    /// The number of submissions that took effect.
    applied: u64,
    /// The slots that the fork changed.
    slots: Vec<Option<Arc<ForkSlot>>>,
    /// The digests of all slots, up to date except for slots with cells to hash.
    tops: Box<[Digest; WIDTH]>,
}

/// The digests that a fork has computed, for [`TreeHasher::hash_forked`](super::TreeHasher::hash_forked).
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (mut writer, mut hasher) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// let roots = hasher.hash(writer.seal(0), None);
/// let fork = tree::TreeFork::new(writer.reader(), &roots, CollisionPolicy::Bucket);
/// let after = hasher.hash_forked(writer.seal(1), &fork.digests(), None);
/// assert_eq!(after.state_digest, roots.state_digest);
/// ```
#[derive(Clone, Debug)]
pub struct ForkDigests {
    slots: Vec<Option<Arc<ForkSlot>>>,
}

impl ForkDigests {
    /// Returns the digests of a slot that the fork changed, if its directory had this number of bits.
    pub(super) fn of_slot(&self, slot: usize, bits: u32) -> Option<&Entries> {
        let slot = self.slots.get(slot)?.as_deref()?;
        (slot.bits == bits).then_some(&slot.entries)
    }
}

impl TreeFork {
    /// Creates a fork of the version of `roots`, without changes.
    pub fn new(reader: TreeReader, roots: &Roots, policy: CollisionPolicy) -> Self {
        Self {
            reader,
            version: roots.version,
            policy,
            key_count: roots.key_count,
            applied: 0,
            slots: vec![None; WIDTH],
            tops: roots.slots.clone(),
        }
    }

    /// Returns the number of keys present.
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// Returns approximately the bytes that it takes in memory, including those shared with its clones.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.iter().flatten();
        let own = WIDTH * (size_of::<Digest>() + size_of::<usize>());
        own + slots.map(|slot| slot.bytes()).sum::<usize>()
    }

    /// Applies a submission, atomically. `leaves` reads the leaves in a range of key hashes, ascending, from the leaf store
    /// as [`TreeReader::get`] says. No lock is held meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if leaves cannot be read, or are others than the version had; nothing has changed then.
    pub fn apply<E: From<LeavesDiffer>>(
        &mut self,
        batch: &PreparedBatch,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Result<Applied, Refusal>, E> {
        // Everything that can fail, except for a refusal, comes first.
        for (key_hash, requirement) in &batch.requirements {
            let leaf = self.get(key_hash, &leaves)?;
            let holds = match requirement {
                Requirement::Absent => leaf.is_none(),
                Requirement::ValueHash(hash) => leaf.is_some_and(|leaf| leaf.value_hash == *hash),
            };
            if !holds {
                let key_hash = *key_hash;
                return Ok(Err(Refusal::RequirementFailed { key_hash }));
            }
        }
        for (slot, range) in slots_of(&batch.writes, 0..batch.writes.len()) {
            self.copy_cells(slot, batch, range, &leaves)?;
        }
        Ok(self.apply_copied(batch))
    }

    /// Applies a submission to cells that were copied.
    fn apply_copied(&mut self, batch: &PreparedBatch) -> Result<Applied, Refusal> {
        let mut update = Update {
            writes: &batch.writes,
            version: OWN_ORIGINS | self.applied,
            policy: self.policy,
            unchanged: Vec::new(),
            displaced: Vec::new(),
            removed: None,
        };
        let (mut begun, mut gained) = (Vec::new(), 0);
        let mut refused = None;
        for (number, range) in slots_of(&batch.writes, 0..batch.writes.len()) {
            begun.push(number);
            match self.slot_mut(number).apply(&mut update, range) {
                Ok(more) => gained += more,
                Err(refusal) => {
                    refused = Some(refusal);
                    break;
                }
            }
        }
        for number in begun {
            let slot = self.slot_mut(number);
            match refused {
                None => slot.accept(),
                Some(_) => slot.roll_back(update.version),
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        self.applied += 1;
        self.key_count = self.key_count.saturating_add_signed(gained);
        let (mut unchanged, mut displaced) = (update.unchanged, update.displaced);
        unchanged.sort_unstable();
        displaced.sort_unstable();
        Ok(Applied {
            unchanged,
            displaced,
        })
    }

    /// Returns the index of the effective submission that wrote a leaf, from zero; `None` if the leaf is that of the
    /// version.
    ///
    /// ```
    /// use trunkline_core::tree::{Leaf, TreeFork};
    /// let leaf = Leaf { key_hash: [1; 32], value_hash: [2; 32], origin: 7 };
    /// assert_eq!(TreeFork::own_origin(&leaf), None);
    /// ```
    pub fn own_origin(leaf: &Leaf) -> Option<u64> {
        (leaf.origin & OWN_ORIGINS != 0).then_some(leaf.origin & !OWN_ORIGINS)
    }

    /// Returns the leaf of a key hash, or `Some(None)` if it has none, if the fork has a copy of its cell. Otherwise
    /// the key is unchanged since the version.
    pub fn own(&self, key_hash: &Digest) -> Option<Option<Leaf>> {
        self.slots[slot_of(key_hash)].as_ref()?.get(key_hash)
    }

    /// Returns the keys whose value was added, changed or removed since the version, in ascending order of key hashes.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let slots = self.slots.iter().flatten();
        let changes = slots.flat_map(|slot| slot.changes());
        changes.filter(Change::has_effect)
    }

    /// Brings the digests up to date, and returns the top of the tree. Its version is the one after that of the fork.
    /// `leaves` reads as for [`Self::apply`].
    ///
    /// # Errors
    ///
    /// Fails if leaves cannot be read, or are others than the version had.
    pub fn roots<E: From<LeavesDiffer>>(
        &mut self,
        leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Roots, E> {
        let mut hashing = Hashing::new();
        let version = self.reader.at(self.version);
        for (number, (own, top)) in self.slots.iter_mut().zip(&mut self.tops[..]).enumerate() {
            let Some(own) = own.as_mut().filter(|own| !own.unhashed.is_empty()) else {
                continue;
            };
            let own = Arc::make_mut(own);
            let cells = own.unhashed.clone();
            let missing = |view: &SlotView<'_>| view.missing_of(cells.iter().copied());
            let load = |page| load(page, &leaves);
            *top = with_loaded(&version, number, missing, load, |view| {
                hashing.hash(number, own, view)
            })?;
        }
        Ok(Roots::of(
            self.version + 1,
            self.key_count,
            self.tops.clone(),
        ))
    }

    /// Returns the digests that [`Self::roots`] has computed.
    pub fn digests(&self) -> ForkDigests {
        ForkDigests {
            slots: self.slots.clone(),
        }
    }

    /// Returns the leaf of a key hash.
    fn get<E: From<LeavesDiffer>>(
        &self,
        key_hash: &Digest,
        leaves: &impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<Option<Leaf>, E> {
        if let Some(own) = self.own(key_hash) {
            return Ok(own);
        }
        let cell = |view: &SlotView<'_>| cell_of(key_hash, view.bits());
        let missing = |view: &SlotView<'_>| view.missing_of(std::iter::once(cell(view)));
        let (version, load) = (self.reader.at(self.version), |page| load(page, leaves));
        with_loaded(&version, slot_of(key_hash), missing, load, |view| {
            let node = view.cell(cell(view));
            node.get(key_hash, view.depth()).copied()
        })
    }

    /// Copies the cells of some writes that were not copied yet.
    fn copy_cells<E: From<LeavesDiffer>>(
        &mut self,
        slot: usize,
        batch: &PreparedBatch,
        range: Range<usize>,
        leaves: &impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
    ) -> Result<(), E> {
        let key_hashes = batch.writes[range].iter().map(|write| &write.key_hash);
        let own = &mut self.slots[slot];
        let cells = |bits: u32| {
            let mut cells: Vec<u32> = key_hashes.clone().map(|key| cell_of(key, bits)).collect();
            cells.dedup();
            cells
        };
        let missing = |view: &SlotView<'_>| view.missing_of(cells(view.bits()).into_iter());
        let (version, load) = (self.reader.at(self.version), |page| load(page, leaves));
        with_loaded(&version, slot, missing, load, |view| {
            view.read_ahead(key_hashes.clone());
            let own = own.get_or_insert_with(|| Arc::new(ForkSlot::new(view.bits())));
            let own = Arc::make_mut(own);
            let is_same = own.bits == view.bits();
            // A retired version may have another directory. The copies are meaningless then.
            own.copy(&cells(own.bits), |cell| match is_same {
                true => view.cell(cell).clone(),
                false => Node::default(),
            });
        })
    }

    /// Returns a slot that has copied cells.
    fn slot_mut(&mut self, slot: usize) -> &mut ForkSlot {
        let slot = self.slots[slot].as_mut();
        slot.map_or_else(
            || unreachable!("cells are copied before a submission changes them"),
            Arc::make_mut,
        )
    }
}

/// Reads a missing page.
fn load<E: From<LeavesDiffer>>(
    page: Missing,
    leaves: impl Fn(RangeInclusive<Digest>) -> Result<Vec<Leaf>, E>,
) -> Result<Loaded, E> {
    let found = leaves(page.key_hashes())?;
    Ok(page.load(&found)?)
}

impl Slots for TreeFork {
    fn slot_view<'a>(&'a self, slot: usize, loaded: &'a [Loaded]) -> SlotView<'a> {
        let view = self.reader.slot_view(self.version, slot, loaded);
        view.forked(self.slots[slot % WIDTH].as_deref())
    }
}
