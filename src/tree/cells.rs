//! One slot's directory: a flat array of cells, one for each prefix of so many bits.
//!
//! Key hashes are spread evenly, so a directory of `2^bits` cells that doubles as keys come holds a
//! few leaves in each cell, and a key's cell is found without following a pointer. Slots double at
//! different fill levels, so that growth is spread over time instead of striking all at once
//! (the idea of linear hashing: Litwin, VLDB 1980). Not here: digests (`digests`).

use super::node::{Leaf, Node};
use super::versions::{Found, Retired, Versions};
use crate::hash::Digest;
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of};

/// Leaves in an average cell when the first slot doubles its directory; the last slot doubles at
/// twice this.
const CELL_LEAVES_GROW: u64 = 6;
/// A directory halves when its average cell holds less than the growth mark divided by this.
const SHRINK_DIVISOR: u64 = 8;
/// Most bits of a directory: 2^24 cells in each of 128 slots.
const BITS_MAX: u32 = 24;

/// A subtree and the version that last replaced it.
#[derive(Clone, Debug, Default)]
struct Cell {
    node: Node,
    version: u64,
}

/// The cells of one slot, and what versions before the present saw.
#[derive(Debug)]
pub(super) struct Cells {
    bits: u32,
    cells: Vec<Cell>,
    leaves: u64,
    grow_leaves_per_cell_128: u64,
    versions: Versions<Node, Vec<Cell>>,
}

/// What a version changed in one slot.
#[derive(Clone, Debug)]
pub(super) enum DirtyCells {
    /// These cells, ascending.
    Some(Vec<(u32, Node)>),
    /// The directory was rebuilt with this many bits: all cells.
    All(u32, Vec<Node>),
}

/// The cell of a key hash in a directory of so many bits.
pub(super) fn cell_of(key_hash: &Digest, bits: u32) -> u32 {
    let below_root = path_of(key_hash) & ((1 << (PATH_BITS - ROOT_BITS)) - 1);
    (below_root >> (PATH_BITS - ROOT_BITS - bits)) as u32
}

impl Cells {
    /// The directory of a slot that holds these leaves, sorted by path.
    pub(super) fn build(slot: usize, leaves: &[Leaf]) -> Self {
        let mut cells = Self {
            bits: 0,
            cells: Vec::new(),
            leaves: leaves.len() as u64,
            grow_leaves_per_cell_128: CELL_LEAVES_GROW * (WIDTH + slot) as u64,
            versions: Versions::new(),
        };
        while cells.wants_more() {
            cells.bits += 1;
        }
        cells.cells = spread(leaves, cells.bits, 0);
        cells
    }

    fn wants_more(&self) -> bool {
        self.bits < BITS_MAX && self.leaves * 128 > self.grow_leaves_per_cell_128 << self.bits
    }

    fn wants_fewer(&self) -> bool {
        self.bits > 0
            && self.leaves * 128 * SHRINK_DIVISOR < self.grow_leaves_per_cell_128 << self.bits
    }

    /// Binary depth of a cell.
    pub(super) fn depth(&self) -> u32 {
        ROOT_BITS + self.bits
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Changes a cell as part of a version: `change` says by how many leaves it grew, or that it left
    /// the cell alone. What the version before saw is kept.
    pub(super) fn change<R>(
        &mut self,
        index: u32,
        version: u64,
        change: impl FnOnce(&mut Node) -> (bool, i64, R),
    ) -> R {
        let cell = &mut self.cells[index as usize];
        let before = (cell.version != version).then(|| cell.node.clone());
        let (changed, gained, result) = change(&mut cell.node);
        self.leaves = self.leaves.saturating_add_signed(gained);
        if changed && let Some(before) = before {
            cell.version = version;
            self.versions
                .replace_entry(version, self.bits, index, before);
        }
        result
    }

    /// Doubles or halves the directory if it has become too full or too empty. Says whether it did.
    pub(super) fn resize(&mut self, version: u64) -> bool {
        let before = self.bits;
        while self.wants_more() {
            self.bits += 1;
        }
        while self.wants_fewer() {
            self.bits -= 1;
        }
        if self.bits == before {
            return false;
        }
        let mut leaves = Vec::with_capacity(self.leaves as usize);
        for cell in &self.cells {
            cell.node.collect_leaves(&mut leaves);
        }
        let cells = spread(&leaves, self.bits, version);
        let whole = std::mem::replace(&mut self.cells, cells);
        self.versions.replace_whole(version, before, whole);
        true
    }

    /// The present nodes of cells, for hashing.
    pub(super) fn nodes(&self, indices: &[u32]) -> Vec<(u32, Node)> {
        indices
            .iter()
            .map(|&index| (index, self.cells[index as usize].node.clone()))
            .collect()
    }

    pub(super) fn all_nodes(&self) -> Vec<Node> {
        self.cells.iter().map(|cell| cell.node.clone()).collect()
    }

    /// Directory bits as `version` saw them.
    pub(super) fn bits_at(&self, version: u64) -> u32 {
        self.versions.bits_at(version).unwrap_or(self.bits)
    }

    /// The node as `version` saw it, below the cell that `index_at` names for so many bits.
    pub(super) fn node_at(&self, version: u64, index_at: impl Fn(u32) -> u32) -> &Node {
        match self.versions.find(version, &index_at) {
            None => &self.cells[index_at(self.bits) as usize].node,
            Some(Found::Entry(node)) => node,
            Some(Found::In(whole, index)) => &whole[index as usize].node,
        }
    }

    /// The leaf of a key hash as `version` saw it.
    pub(super) fn get_at(&self, version: u64, key_hash: &Digest) -> Option<&Leaf> {
        let depth = ROOT_BITS + self.bits_at(version);
        self.node_at(version, |bits| cell_of(key_hash, bits))
            .get(key_hash, depth)
    }

    pub(super) fn get(&self, key_hash: &Digest) -> Option<&Leaf> {
        self.cells[cell_of(key_hash, self.bits) as usize]
            .node
            .get(key_hash, self.depth())
    }

    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let retired: Retired<Node, Vec<Cell>> = self.versions.retire(oldest);
        retired
    }
}

/// Deals sorted leaves out to cells.
fn spread(leaves: &[Leaf], bits: u32, version: u64) -> Vec<Cell> {
    let mut rest = leaves;
    (0..1_u32 << bits)
        .map(|index| {
            let mine = rest
                .iter()
                .position(|leaf| cell_of(&leaf.key_hash, bits) > index)
                .unwrap_or(rest.len());
            let (leaves, others) = rest.split_at(mine);
            rest = others;
            Cell {
                node: Node::build(leaves, ROOT_BITS + bits),
                version,
            }
        })
        .collect()
}
