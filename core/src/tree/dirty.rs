//! Changed cells of a version, on their way from the writer to the hasher.
//!
//! The tree keeps changing while a version is hashed, so the hasher gets copies: the leaves of each changed cell as the
//! inputs of their digests, in sequence. Not here: folding them (`fold`, `digests`).

use super::fold::fold_node;
use super::node::Node;
use crate::hash::{Digest, Pair, pair};

/// A cell that a version changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirtyCell {
    pub(super) slot: u8,
    pub(super) cell: u32,
    /// The index of its first leaf among the copies, or of its digest among the folded ones.
    pub(super) start: u32,
    /// The number of its leaves; `None` if it was too large for a block and is already folded.
    pub(super) count: Option<u32>,
}

impl DirtyCell {
    fn place(&self) -> (u8, u32) {
        (self.slot, self.cell)
    }
}

/// The changed cells of one version.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) cells: Vec<DirtyCell>,
    /// The key hash and value hash of each leaf.
    pub(super) leaves: Vec<Pair>,
    pub(super) folded: Vec<Digest>,
}

/// The lengths of the lists before a submission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    cells: usize,
    leaves: usize,
    folded: usize,
}

impl Dirty {
    /// Copies the present state of a cell; a later copy of the cell replaces an earlier one.
    pub(super) fn push(&mut self, slot: usize, cell: u32, node: &Node, depth: u32) {
        let (start, count) = match node {
            Node::Block(leaves) => {
                let start = self.leaves.len();
                self.leaves.extend(
                    leaves
                        .iter()
                        .map(|leaf| pair(&leaf.key_hash, &leaf.value_hash)),
                );
                (start, Some(leaves.len() as u32))
            }
            Node::Branch(_) => {
                self.folded.push(fold_node(node, depth).digest());
                (self.folded.len() - 1, None)
            }
        };
        self.cells.push(DirtyCell {
            slot: slot as u8,
            cell,
            start: start as u32,
            count,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            cells: self.cells.len(),
            leaves: self.leaves.len(),
            folded: self.folded.len(),
        }
    }

    /// Forgets the copies made since a mark.
    pub(super) fn truncate(&mut self, mark: Mark) {
        self.cells.truncate(mark.cells);
        self.leaves.truncate(mark.leaves);
        self.folded.truncate(mark.folded);
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.leaves.clear();
        self.folded.clear();
    }

    /// Forgets the copies of a slot's cells.
    pub(super) fn drop_slot(&mut self, slot: usize) {
        self.cells.retain(|cell| usize::from(cell.slot) != slot);
    }

    /// Sorts the cells, and keeps the last copy of each.
    pub(super) fn sort(&mut self) {
        if self
            .cells
            .windows(2)
            .all(|two| two[0].place() < two[1].place())
        {
            return;
        }
        self.cells.reverse();
        self.cells.sort_by_key(DirtyCell::place);
        self.cells.dedup_by_key(|cell| cell.place());
    }

    /// Returns the bytes that the buffers hold.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<DirtyCell>()
            + self.leaves.capacity() * size_of::<Pair>()
            + self.folded.capacity() * size_of::<Digest>()
    }
}
