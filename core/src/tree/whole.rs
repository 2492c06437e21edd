//! Restores the pages of a tree that was built from page digests and has no budget, while it is written and read.
//!
//! One slot at a time: its leaves are read, distributed and hashed without a lock. Then the slot takes the leaves of
//! the pages that are still evicted, and its cells and digests are contiguous again. That moves only pages that were
//! restored in the meantime. Without a budget no page is evicted again, so an evicted page is unchanged since the tree
//! was built.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cells::Cells;
use super::eviction::key_hashes;
use super::hasher::hash_built;
use super::{Buffers, Leaf, LeavesDiffer, Shared, TreeWriter, write};
use crate::hash::Digest;

/// The restorer of the slots of a tree. There is one for each tree.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert!(writer.slot_restorer().next().is_none()); // all of it is in memory
/// ```
pub struct SlotRestorer {
    shared: Arc<Shared>,
    /// The remaining slots, the next one last.
    slots: Vec<usize>,
    buffers: Buffers,
}

impl TreeWriter {
    /// Returns the restorer of evicted pages; within a budget it has nothing to do.
    pub fn slot_restorer(&self) -> SlotRestorer {
        let has_budget = self.eviction.budget_bytes > 0;
        let slots = (0..self.shared.slots.len()).rev();
        let is_in_pages =
            |slot: &usize| !has_budget && self.shared.slots[*slot].cells().evicted().places > 0;
        SlotRestorer {
            slots: slots.filter(is_in_pages).collect(),
            shared: self.shared.clone(),
            buffers: Buffers::default(),
        }
    }
}

impl SlotRestorer {
    /// Returns the key hashes of the next slot, whose leaves [`Self::restore`] takes; `None` after the last one.
    pub fn next(&self) -> Option<RangeInclusive<Digest>> {
        let slot = *self.slots.last()?;
        Some(key_hashes(&self.shared.slots[slot].cells().paths(0, 0)))
    }

    /// Returns the number of remaining slots.
    pub fn left(&self) -> usize {
        self.slots.len()
    }

    /// Takes the leaves of the next slot, ascending, from any view of the leaf store since the tree was built; their origin
    /// is as for [`TreeWriter::restore`]. Returns whether the slot is whole: not if its directory was resized meanwhile.
    /// Then try again.
    ///
    /// # Errors
    ///
    /// Fails if they are not those that were evicted.
    pub fn restore(&mut self, leaves: &[Leaf]) -> Result<bool, LeavesDiffer> {
        let Some(&number) = self.slots.last() else {
            return Ok(true);
        };
        let slot = &self.shared.slots[number];
        let (bits, evicted) = {
            let (cells, digests) = (slot.cells(), slot.digests());
            let evicted = cells.all_evicted().into_iter();
            let with_digest = |page: (u32, u32)| (page, digests.node(page.0));
            let evicted: Vec<_> = evicted.map(with_digest).collect();
            (cells.bits(), evicted)
        };
        let whole = Cells::whole(number, bits, leaves);
        let Buffers { dirty, scratch } = &mut self.buffers;
        let whole_digests = hash_built(&whole, dirty, scratch);
        for (page, digest) in evicted {
            let has_digest = whole_digests.node(page.0) == digest;
            whole.check_page(page, leaves, has_digest)?;
        }
        let mut cells = write(&slot.cells);
        let mut digests = write(&slot.digests);
        if cells.bits() != bits || digests.bits() != bits {
            return Ok(false);
        }
        let replaced = (cells.complete(whole), digests.complete(whole_digests));
        drop((cells, digests));
        drop(replaced);
        self.slots.pop();
        self.shared.slots_in_pages.fetch_sub(1, Ordering::Release);
        Ok(true)
    }
}
