//! Looking at versions of the tree, present and past, from any thread.

use std::sync::Arc;

use super::cells::cell_of;
use super::{Leaf, Shared, SlotView, write};
use crate::hash::Digest;
use crate::params::{WIDTH, slot_of};

/// Reads any version that was sealed and not yet retired; clones read the same tree.
///
/// Asking for another version gives an answer that belongs to no version: whoever drives the tree
/// keeps count of which versions there are.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert_eq!(writer.reader().get(0, &[7; 32]), None);
/// ```
#[derive(Clone, Debug)]
pub struct TreeReader {
    shared: Arc<Shared>,
}

impl TreeReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The leaf of a key hash at a version.
    pub fn get(&self, version: u64, key_hash: &Digest) -> Option<Leaf> {
        self.shared.slots[slot_of(key_hash)]
            .cells()
            .get_at(version, key_hash)
    }

    /// The leaves of one cell of the directory at a version, in path order: the cell that holds
    /// `from`, without the leaves before it. Returns them with the key hash at which the next cell
    /// begins, or `None` after the last one. Cells are small, so this is a bounded step of a walk over
    /// the whole state.
    pub fn leaves_from(&self, version: u64, from: &Digest) -> (Vec<Leaf>, Option<Digest>) {
        let cells = self.shared.slots[slot_of(from)].cells();
        let bits = cells.bits_at(version);
        let mut leaves = cells.leaves_at(version, cell_of(from, bits), bits);
        leaves.retain(|leaf| leaf.key_hash >= *from);
        (leaves, next_prefix(from, crate::params::ROOT_BITS + bits))
    }

    /// Forgets what versions before `oldest` saw. The memory is freed by the caller's thread, outside
    /// of every lock.
    pub fn retire(&self, oldest: u64) {
        for slot in &self.shared.slots {
            let cells = write(&slot.cells).retire(oldest);
            let digests = write(&slot.digests).retire(oldest);
            drop((cells, digests));
        }
    }

    /// One slot as a version saw it; both halves stay locked while the view lives.
    pub(crate) fn slot_view(&self, version: u64, slot: usize) -> SlotView<'_> {
        let slot_shared = &self.shared.slots[slot % WIDTH];
        SlotView::new(slot_shared.cells(), slot_shared.digests(), version)
    }
}

/// The smallest key hash after all those that share the first `depth` bits with this one.
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
