//! One slot's digests above its cells: a binary heap in one flat array.
//!
//! Inner node `p` (1 is the top, its halves are `2p` and `2p + 1`) owns the 64 bytes that its two
//! halves' digests fill: exactly the input that is hashed for it, and one cache line. Cells are the
//! nodes `2^bits` to `2^(bits + 1) - 1`. Not here: what lies below a cell (`fold`).

use super::cells::DirtyCells;
use super::fold::{Fold, Gather};
use super::versions::{Found, Retired, Versions};
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

impl From<Fold<Digest>> for Entry {
    fn from(fold: Fold<Digest>) -> Self {
        Self {
            digest: fold.digest(),
            lone: matches!(fold, Fold::One(_)),
        }
    }
}

/// All digests of a slot.
#[derive(Debug)]
struct Heap {
    bits: u32,
    top: Entry,
    /// Input of node `p` at `p`; place 0 is not used.
    pairs: Vec<Pair>,
    /// Two bits for each pair: its left, its right half is a lone leaf.
    lone: Vec<u8>,
}

impl Heap {
    fn new(bits: u32) -> Self {
        Self {
            bits,
            top: EMPTY,
            pairs: vec![[0; 64]; 1 << bits],
            lone: vec![0; 1 << bits],
        }
    }

    fn get(&self, node: u32) -> Entry {
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

    /// What an inner node is if its halves need no hash: nothing, or a lone leaf lifted.
    fn lifted(&self, node: u32) -> Option<Entry> {
        let pair = &self.pairs[node as usize];
        let (left, right) = pair.split_at(32);
        match (left == ZERO, right == ZERO, self.lone[node as usize]) {
            (true, true, _) => Some(EMPTY),
            (false, true, 0b01) => Some(self.get(2 * node)),
            (true, false, 0b10) => Some(self.get(2 * node + 1)),
            _ => None,
        }
    }
}

/// Scratch memory of one hashing thread.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) gather: Gather,
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
    versions: Versions<Entry, Heap>,
}

impl Digests {
    pub(super) fn new() -> Self {
        Self {
            heap: Heap::new(0),
            versions: Versions::new(),
        }
    }

    /// The digest of the whole slot.
    pub(super) fn top(&self) -> Digest {
        self.heap.top.digest
    }

    /// Brings the digests up to a version: folds the dirty cells, then the paths above them, level by
    /// level, each level many hashes at once.
    pub(super) fn update(&mut self, version: u64, dirty: &DirtyCells, scratch: &mut Scratch) {
        scratch.nodes.clear();
        match dirty {
            DirtyCells::Some(cells) => {
                let depth = ROOT_BITS + self.heap.bits;
                // From the highest node down, here and on every level above: what this version
                // replaces is then kept in one descending order and can be searched.
                let nodes = cells.iter().rev().map(|(_, node)| node);
                scratch.gather.fold_nodes(nodes, depth, &mut scratch.folds);
                let first = 1 << self.heap.bits;
                let numbers = cells.iter().rev().map(|(index, _)| first + index);
                scratch.nodes.extend(numbers);
            }
            DirtyCells::All(bits, nodes) => {
                let before = std::mem::replace(&mut self.heap, Heap::new(*bits));
                self.versions.replace_whole(version, before.bits, before);
                let depth = ROOT_BITS + bits;
                scratch
                    .gather
                    .fold_nodes(nodes.iter(), depth, &mut scratch.folds);
                scratch.nodes.extend(1_u32 << bits..2 << bits);
            }
        }
        let keep = matches!(dirty, DirtyCells::Some(_)).then_some(version);
        for (&node, &fold) in scratch.nodes.iter().zip(&scratch.folds) {
            self.set(keep, node, fold.into());
        }
        while scratch.nodes.last().is_some_and(|node| *node > 1) {
            self.ascend(keep, scratch);
        }
    }

    /// From the changed nodes of one level to those of the level above.
    fn ascend(&mut self, keep: Option<u64>, scratch: &mut Scratch) {
        scratch.nodes.iter_mut().for_each(|node| *node /= 2);
        scratch.nodes.dedup();
        let needs_hash = |node: &&u32| self.heap.lifted(**node).is_none();
        scratch.hashed_nodes.clear();
        let hashed_nodes = scratch.nodes.iter().filter(needs_hash);
        scratch.hashed_nodes.extend(hashed_nodes);
        let pairs = &self.heap.pairs;
        INNER.hash_pair_refs(
            scratch
                .hashed_nodes
                .iter()
                .map(|node| &pairs[*node as usize]),
            &mut scratch.hashed,
        );
        // Lifted and hashed nodes in one pass, so that what is kept of them stays in order.
        let mut hashed = scratch.hashed_nodes.iter().zip(&scratch.hashed).peekable();
        for &node in &scratch.nodes {
            let entry = match hashed.next_if(|(hashed, _)| **hashed == node) {
                Some((_, &digest)) => Entry {
                    digest,
                    lone: false,
                },
                None => self.heap.lifted(node).unwrap_or(EMPTY),
            };
            self.set(keep, node, entry);
        }
    }

    fn set(&mut self, keep: Option<u64>, node: u32, entry: Entry) {
        if let Some(version) = keep {
            let before = self.heap.get(node);
            self.versions
                .replace_entry(version, self.heap.bits, node, before);
        }
        self.heap.set(node, entry);
    }

    /// The entry of a node as `version` saw it; the slot had the same directory bits then as
    /// [`Cells::bits_at`](super::cells::Cells::bits_at) says.
    pub(super) fn entry_at(&self, version: u64, node: u32) -> Entry {
        match self.versions.find(version, |_| node) {
            None => self.heap.get(node),
            Some(Found::Entry(entry)) => *entry,
            Some(Found::In(heap, node)) => heap.get(node),
        }
    }

    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let retired: Retired<Entry, Heap> = self.versions.retire(oldest);
        retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::node::{Leaf, Node};

    /// A leaf in the cell `index` of eight, or none.
    fn cell(index: u32, leaves: u8) -> (u32, Node) {
        let leaf = |number: u8| Leaf {
            key_hash: core::array::from_fn(|byte| match byte {
                0 => (index >> 2) as u8,
                1 => (index << 6) as u8 | number,
                _ => 0,
            }),
            value_hash: [number; 32],
            digest: [1 + number; 32],
            origin: 0,
        };
        let leaves: Vec<Leaf> = (0..leaves).map(leaf).collect();
        (index, Node::build(&leaves, ROOT_BITS + 3))
    }

    #[test]
    fn what_a_version_replaces_can_be_searched_even_where_leaves_are_lifted() {
        let mut digests = Digests::new();
        let mut scratch = Scratch::new();
        let nothing = vec![Node::Empty; 8];
        digests.update(0, &DirtyCells::All(3, nothing), &mut scratch);
        let mixed = [2, 0, 3, 3, 0, 1, 2, 2].iter();
        let cells = (0..8)
            .zip(mixed)
            .map(|(index, leaves)| cell(index, *leaves));
        digests.update(1, &DirtyCells::Some(cells.collect()), &mut scratch);
        assert!(digests.versions.is_monotone());
        for node in 1..16 {
            assert_eq!(digests.entry_at(0, node), EMPTY);
        }
        assert!(digests.entry_at(1, 6).lone && digests.entry_at(1, 13).lone);
    }
}
