//! One slot's digests above its cells: a binary heap in one flat array.
//!
//! Inner node `p` (1 is the top, its halves are `2p` and `2p + 1`) owns the 64 bytes that its two
//! halves' digests fill: exactly the input that is hashed for it, and one cache line. Cells are the
//! nodes `2^bits` to `2^(bits + 1) - 1`. Not here: what lies below a cell (`fold`).

use std::ops::RangeInclusive;

use super::dirty::{Dirty, DirtyCell};
use super::fold::{Fold, Gather};
use super::versions::{Entries, Versions, is_kept, kept_max};
use crate::hash::{Digest, INNER, Pair, ZERO};
use crate::params::ROOT_BITS;

/// A digest, and whether it is that of a lone leaf (which its parent may have to lift).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) lone: bool,
}

const EMPTY: Entry = Entry {
    digest: ZERO,
    lone: false,
};

impl Entry {
    /// Returns the entry of a node from those of its halves.
    pub(super) fn join(left: Self, right: Self) -> Self {
        Fold::join(left.into(), right.into()).into()
    }
}

impl From<Entry> for Fold<Digest> {
    fn from(entry: Entry) -> Self {
        match entry {
            EMPTY => Self::Empty,
            Entry { digest, lone: true } => Self::One(digest),
            Entry { digest, .. } => Self::Many(digest),
        }
    }
}

impl From<Fold<Digest>> for Entry {
    fn from(fold: Fold<Digest>) -> Self {
        Self {
            digest: fold.digest(),
            lone: matches!(fold, Fold::One(_)),
        }
    }
}

/// All digests of a slot at one time.
#[derive(Debug)]
pub(super) struct Heap {
    bits: u32,
    top: Entry,
    /// Input of node `p` at `p`; place 0 is not used.
    pairs: Vec<Pair>,
    /// Two bits for each pair: its left, its right half is a lone leaf.
    lone: Vec<u8>,
}

impl Heap {
    pub(super) fn new(bits: u32) -> Self {
        Self {
            bits,
            top: EMPTY,
            pairs: vec![[0; 64]; 1 << bits],
            lone: vec![0; 1 << bits],
        }
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    pub(super) fn get(&self, node: u32) -> Entry {
        if node == 1 {
            return self.top;
        }
        let (pair, right) = (node as usize / 2, node as usize & 1);
        let mut digest = ZERO;
        digest.copy_from_slice(&self.pairs[pair][32 * right..32 * right + 32]);
        Entry {
            digest,
            lone: self.lone[pair] >> right & 1 == 1,
        }
    }

    fn set(&mut self, node: u32, entry: Entry) {
        if node == 1 {
            self.top = entry;
            return;
        }
        let (pair, right) = (node as usize / 2, node as usize & 1);
        self.pairs[pair][32 * right..32 * right + 32].copy_from_slice(&entry.digest);
        self.lone[pair] = self.lone[pair] & !(1 << right) | u8::from(entry.lone) << right;
    }

    /// Returns the entry of an inner node that needs no hash: empty, or a lone leaf lifted.
    fn lifted(&self, node: u32) -> Option<Entry> {
        let (left, right) = self.pairs[node as usize].split_at(32);
        match (is_zero(left), is_zero(right), self.lone[node as usize]) {
            (false, false, _) => None,
            (true, true, _) => Some(EMPTY),
            (false, true, 0b01) => Some(self.get(2 * node)),
            (true, false, 0b10) => Some(self.get(2 * node + 1)),
            _ => None,
        }
    }

    /// Loads nodes independently of one another, so that their cache misses overlap.
    fn read_ahead(&self, nodes: &[u32]) {
        let touched = nodes.iter().fold(0, |touched, node| {
            touched ^ self.pairs[*node as usize / 2][0]
        });
        std::hint::black_box(touched);
    }
}

/// Returns whether half a pair is zero. The first bytes of almost every digest tell that it is not.
fn is_zero(half: &[u8]) -> bool {
    half.first_chunk() == Some(&[0_u8; 8]) && half == ZERO
}

/// Scratch memory of one hashing thread.
#[derive(Debug)]
pub(super) struct Scratch {
    gather: Gather,
    folds: Vec<Fold<Digest>>,
    nodes: Vec<u32>,
    hashed_nodes: Vec<u32>,
    hashed: Vec<Digest>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            gather: Gather::new(),
            folds: Vec::new(),
            nodes: Vec::new(),
            hashed_nodes: Vec::new(),
            hashed: Vec::new(),
        }
    }
}

/// The digests of one slot, and what versions before the present saw.
#[derive(Debug)]
pub(super) struct Digests {
    heap: Heap,
    versions: Versions,
}

impl Digests {
    pub(super) fn new() -> Self {
        Self {
            heap: Heap::new(0),
            versions: Versions::default(),
        }
    }

    /// Computes all digests of a slot whose cells were just built.
    pub(super) fn build(&mut self, bits: u32, dirty: &Dirty, scratch: &mut Scratch) {
        self.heap = Heap::new(bits);
        self.raise(&dirty.cells, dirty, scratch, &mut None);
    }

    /// Returns the digest of a cell of a directory with a number of bits, if it has this number now.
    pub(super) fn cell(&self, bits: u32, cell: u32) -> Option<Digest> {
        (bits == self.heap.bits).then(|| self.heap.get((1 << bits) + cell).digest)
    }

    /// Returns the digest of the whole slot.
    pub(super) fn top(&self) -> Digest {
        self.heap.top.digest
    }

    /// Brings the digests up to a version. `bits` are those of the directory at the version; if they
    /// changed, `cells` are all of them.
    pub(super) fn update(
        &mut self,
        version: u64,
        bits: u32,
        cells: &[DirtyCell],
        dirty: &Dirty,
        scratch: &mut Scratch,
    ) {
        if bits != self.heap.bits {
            let before = std::mem::replace(&mut self.heap, Heap::new(bits));
            self.versions.replaced_whole(version, before);
            self.raise(cells, dirty, scratch, &mut None);
            return;
        }
        let mut replaced = self.versions.list();
        replaced.reserve(kept_max(1, cells.len(), bits));
        let mut replaced = Some(replaced);
        self.raise(cells, dirty, scratch, &mut replaced);
        self.versions
            .replaced(version, replaced.unwrap_or_default());
    }

    /// Folds changed cells, then the paths above them, level by level, each level many hashes at once.
    ///
    /// Works from the highest node down on every level, so that replaced entries are in one descending
    /// order and can be searched.
    fn raise(
        &mut self,
        cells: &[DirtyCell],
        dirty: &Dirty,
        scratch: &mut Scratch,
        replaced: &mut Option<Entries>,
    ) {
        let bits = self.heap.bits;
        let highest_first = || cells.iter().rev();
        scratch.nodes.clear();
        scratch
            .nodes
            .extend(highest_first().map(|cell| (1 << bits) + cell.cell));
        self.heap.read_ahead(&scratch.nodes);
        let blocks = highest_first().filter_map(|cell| Some(cell.start..cell.start + cell.count?));
        scratch
            .gather
            .fold_cells(&dirty.leaves, blocks, ROOT_BITS + bits, &mut scratch.folds);
        let mut folds = scratch.folds.iter();
        for (cell, &node) in highest_first().zip(&scratch.nodes) {
            let fold = match cell.count {
                Some(_) => folds.next().copied().unwrap_or(Fold::Empty),
                None => Fold::Many(dirty.folded[cell.start as usize]),
            };
            replace(&mut self.heap, replaced, node, fold.into());
        }
        while scratch.nodes.last().is_some_and(|node| *node > 1) {
            self.ascend(scratch, replaced);
        }
    }

    /// Moves from the changed nodes of one level to those of the level above.
    fn ascend(&mut self, scratch: &mut Scratch, replaced: &mut Option<Entries>) {
        scratch.nodes.iter_mut().for_each(|node| *node /= 2);
        scratch.nodes.dedup();
        self.heap.read_ahead(&scratch.nodes);
        let needs_hash = |node: &&u32| self.heap.lifted(**node).is_none();
        scratch.hashed_nodes.clear();
        let hashed_nodes = scratch.nodes.iter().filter(needs_hash);
        scratch.hashed_nodes.extend(hashed_nodes);
        INNER.hash_pairs_at(&self.heap.pairs, &scratch.hashed_nodes, &mut scratch.hashed);
        // Lifted and hashed nodes in one pass, so that replaced entries stay in order.
        let mut hashed = scratch.hashed_nodes.iter().zip(&scratch.hashed).peekable();
        for &node in &scratch.nodes {
            let entry = match hashed.next_if(|(hashed, _)| **hashed == node) {
                Some((_, &digest)) => Entry {
                    digest,
                    lone: false,
                },
                None => self.heap.lifted(node).unwrap_or(EMPTY),
            };
            replace(&mut self.heap, replaced, node, entry);
        }
    }

    /// Returns whether anything changed since `version`.
    pub(super) fn is_after(&self, version: u64) -> bool {
        self.versions.is_after(version)
    }

    /// Returns the entry of a node as `version` saw it, if the node is kept or nothing below it changed since
    /// ([`refold`](super::refold) has the others); the slot had the directory bits that
    /// [`Cells::bits_at`](super::cells::Cells::bits_at) says.
    pub(super) fn entry_at(&self, version: u64, node: u32) -> Entry {
        self.versions
            .find(version, node)
            .unwrap_or_else(|| self.heap.get(node))
    }

    /// Returns the bits of the directory as `version` saw it.
    pub(super) fn bits_at(&self, version: u64) -> u32 {
        self.versions.bits_at(version).unwrap_or(self.heap.bits)
    }

    /// Passes each kept entry that a version of a range replaced: the version, the bits of the directory until then, the
    /// node and its entry.
    pub(super) fn replaced_by(
        &self,
        versions: &RangeInclusive<u64>,
        take: impl FnMut(u64, u32, u32, Entry),
    ) {
        self.versions.replaced_by(versions, self.heap.bits, take);
    }

    /// Removes what no version from `oldest` on needs, and returns it, so that the caller can drop it
    /// outside of the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        self.versions.retire(oldest)
    }
}

fn replace(heap: &mut Heap, replaced: &mut Option<Entries>, node: u32, entry: Entry) {
    if let Some(replaced) = replaced
        && is_kept(node)
    {
        replaced.push((node, heap.get(node)));
    }
    heap.set(node, entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::node::{Leaf, Node};

    /// Leaves of the cell `index` of eight.
    fn push_cell(dirty: &mut Dirty, index: u32, leaves: u8) {
        let leaf = |number: u8| Leaf {
            key_hash: core::array::from_fn(|byte| match byte {
                0 => (index >> 2) as u8,
                1 => (index << 6) as u8 | number,
                _ => 0,
            }),
            value_hash: [number; 32],
            origin: 0,
        };
        let leaves: Vec<Leaf> = (0..leaves).map(leaf).collect();
        let depth = ROOT_BITS + 3;
        dirty.push(0, index, &Node::build(&leaves, depth, 0), depth);
    }

    fn update(digests: &mut Digests, version: u64, leaves: [u8; 8]) {
        let mut dirty = Dirty::default();
        for (index, leaves) in (0..).zip(leaves) {
            push_cell(&mut dirty, index, leaves);
        }
        digests.update(version, 3, &dirty.cells, &dirty, &mut Scratch::new());
    }

    #[test]
    fn what_a_version_replaces_can_be_searched_even_where_leaves_are_lifted() {
        let mut digests = Digests::new();
        update(&mut digests, 0, [0; 8]);
        update(&mut digests, 1, [2, 0, 3, 3, 0, 1, 2, 2]);
        for node in 1..16 {
            assert_eq!(digests.entry_at(0, node), EMPTY);
        }
        assert!(digests.entry_at(1, 6).lone && digests.entry_at(1, 13).lone);
    }
}
