//! Page digests on their way to a file and back: taking those of a version, and building a tree from them alone.
//!
//! Such a tree begins with all pages evicted, and reads leaves from the leaf store when they are touched. Not here: the
//! file (`store::pages_file`).

use std::sync::RwLock;

use super::cells::Cells;
use super::digests::{Digests, Scratch};
use super::eviction::{NotInMemory, wanted_runs};
use super::fold::Fold;
use super::reader::TreeReader;
use super::shard::slots_of;
use super::versions::KEPT_LEVEL;
use super::{
    Buffers, Leaf, PageRun, Roots, Slot, TreeHasher, TreeWriter, build_slot, halves_of, write,
};
use crate::batch::PreparedBatch;
use crate::hash::Digest;
use crate::params::{CollisionPolicy, WIDTH};
use crate::store::pages_file::{SlotPages, StoredPage};

impl TreeReader {
    /// Returns the pages of a slot as a version saw them that is not retired. The locks of the slot are held for a small
    /// part of it at a time.
    ///
    /// ```
    /// use trunkline_core::{params::CollisionPolicy, tree};
    /// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    /// let pages = writer.reader().pages_at(0, 127)?;
    /// assert_eq!((pages.pages.len(), pages.leaves()), (1, 0));
    /// # Ok::<(), tree::NotInMemory>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the version was retired meanwhile.
    pub fn pages_at(&self, version: u64, slot: usize) -> Result<SlotPages, NotInMemory> {
        let mut pages = self.slot_view(version, slot, &[]).no_pages();
        let level = u32::from(pages.level).min(KEPT_LEVEL);
        for node in 1 << level..2 << level {
            let view = self.slot_view(version, slot, &[]);
            view.add_pages(node, &mut pages.pages)?;
        }
        Ok(pages)
    }
}

impl StoredPage {
    fn fold(&self) -> Fold<Digest> {
        match self.leaves {
            0 => Fold::Empty,
            1 => Fold::One(self.digest),
            _ => Fold::Many(self.digest),
        }
    }
}

/// The stored pages do not fit the directories of this build.
///
/// ```
/// assert!(trunkline_core::tree::OtherPages { slot: 3 }.to_string().contains("slot 3"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pages of slot {slot} are divided in a way that this build does not know; remove the file `PAGES`, and opening reads the leaves"
)]
pub struct OtherPages {
    /// The slot.
    pub slot: usize,
}

/// A tree that was built from the digests of its pages, before any change.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree::{self, ColdTree}};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// let mut cold = ColdTree::default();
/// for slot in 0..128 {
///     cold.push(&writer.reader().pages_at(0, slot)?)?;
/// }
/// assert_eq!(cold.roots(0).state_digest, [0; 32]); // compare this with what is known of the state
/// let (writer, hasher) = cold.finish(CollisionPolicy::Bucket, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct ColdTree {
    slots: Vec<Slot>,
    scratch: Option<Scratch>,
    reread: Vec<usize>,
    pages: u64,
}

impl ColdTree {
    /// Adds the next slot.
    ///
    /// # Errors
    ///
    /// Fails if the pages do not fit a directory.
    pub fn push(&mut self, stored: &SlotPages) -> Result<(), OtherPages> {
        let slot = self.slots.len();
        let cells = Cells::evicted_from(slot, stored).filter(|_| slot < WIDTH);
        let cells = cells.ok_or(OtherPages { slot })?;
        let mut place = 1_u32 << stored.level;
        let pages = stored.pages.iter().map(|page| {
            let node = place >> page.levels_above;
            place += 1 << page.levels_above;
            (node, page.fold())
        });
        let scratch = self.scratch.get_or_insert_with(Scratch::new);
        let digests = Digests::of_pages(cells.bits(), pages, scratch);
        self.pages += stored.pages.len() as u64;
        self.slots.push(Slot {
            cells: RwLock::new(cells),
            digests: RwLock::new(digests),
        });
        Ok(())
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns the top of the tree as a version.
    pub fn roots(&self, version: u64) -> Roots {
        let top = |slot: usize| {
            self.slots
                .get(slot)
                .map_or([0; 32], |slot| slot.digests().top())
        };
        let key_count = self.slots.iter().map(|slot| slot.cells().leaves()).sum();
        Roots::of(version, key_count, Box::new(std::array::from_fn(top)))
    }

    /// Returns the pages that a batch touches, to [reread](Self::reread).
    pub fn pages_of(&self, batch: &PreparedBatch) -> Vec<PageRun> {
        let mut wanted = Vec::new();
        for (slot, range) in slots_of(&batch.writes, 0..batch.writes.len()) {
            let Some(cells) = self.slots.get(slot).map(Slot::cells) else {
                continue;
            };
            let writes = batch.writes[range].iter();
            let evicted = writes.filter_map(|write| cells.evicted_page(&write.key_hash));
            wanted.extend(evicted.map(|paths| (slot, paths.start, paths.end)));
        }
        wanted_runs(wanted)
    }

    /// Replaces the stored pages of a run by the leaves that the leaf store has there: it may have changed since. A
    /// page that was stored without leaves stays empty: its new leaves come with the replay of the log.
    pub fn reread(&mut self, run: &PageRun, leaves: &[Leaf]) {
        let Some(slot) = self.slots.get(run.slot()) else {
            return;
        };
        let (mut cells, mut digests) = (write(&slot.cells), write(&slot.digests));
        cells.reread(run.paths(), leaves, |page, fold| {
            digests.replace_page(page, fold)
        });
        if self.reread.last() != Some(&run.slot()) {
            self.reread.push(run.slot());
        }
    }

    /// Returns the two halves of the tree, within a budget of bytes, or 0 for none. Missing slots are empty.
    pub fn finish(
        mut self,
        policy: CollisionPolicy,
        budget_bytes: u64,
    ) -> (TreeWriter, TreeHasher) {
        let mut buffers = Buffers::default();
        for slot in self.slots.len()..WIDTH {
            self.slots.push(build_slot(slot, &[], 0, &mut buffers));
        }
        let scratch = &mut buffers.scratch;
        for slot in self.reread {
            write(&self.slots[slot].digests).fold_above_pages(scratch);
        }
        halves_of(self.slots, policy, budget_bytes)
    }
}
