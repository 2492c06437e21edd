//! One slot's directory: a flat array of cells, one for each prefix of so many bits.
//!
//! Key hashes are spread evenly, so a directory of `2^bits` cells that doubles as keys come holds a
//! few leaves in each cell, and a key's cell is found without following a pointer. Slots double at
//! different fill levels, so that growth is spread over time instead of striking all at once
//! (the idea of linear hashing: Litwin, VLDB 1980). Not here: digests (`digests`).

use std::collections::VecDeque;
use std::ops::Range;

use super::dirty::Dirty;
use super::node::{Leaf, Node};
use super::undo::Undo;
use super::update::Update;
use crate::batch::Write;
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of};

/// Leaves in an average cell when the first slot doubles its directory; the last slot doubles at
/// twice this.
const CELL_LEAVES_GROW: u64 = 2;
/// A directory halves when its average cell holds less than the growth mark divided by this.
const SHRINK_DIVISOR: u64 = 8;
/// Most bits of a directory: 2^24 cells in each of 128 slots.
const BITS_MAX: u32 = 24;
/// Writes whose cells are touched before the first of them is worked on, so that their cache misses
/// overlap instead of following one another.
const READ_AHEAD_WRITES: usize = 16;

/// The cells of one slot, and what versions before the present saw.
#[derive(Debug)]
pub(super) struct Cells {
    slot: usize,
    bits: u32,
    cells: Vec<Node>,
    leaves: u64,
    undo: Undo,
    /// Versions that changed the number of cells, and how many bits it had before.
    resized: VecDeque<(u64, u32)>,
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
            slot,
            bits: 0,
            cells: Vec::new(),
            leaves: leaves.len() as u64,
            undo: Undo::default(),
            resized: VecDeque::new(),
        };
        while cells.wants_more() {
            cells.bits += 1;
        }
        cells.cells = spread(leaves, cells.bits);
        cells
    }

    fn grow_leaves_per_cell_128(&self) -> u64 {
        CELL_LEAVES_GROW * (WIDTH + self.slot) as u64
    }

    fn wants_more(&self) -> bool {
        self.bits < BITS_MAX && self.leaves * 128 > self.grow_leaves_per_cell_128() << self.bits
    }

    fn wants_fewer(&self) -> bool {
        self.bits > 0
            && self.leaves * 128 * SHRINK_DIVISOR < self.grow_leaves_per_cell_128() << self.bits
    }

    /// Binary depth of a cell.
    pub(super) fn depth(&self) -> u32 {
        ROOT_BITS + self.bits
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Leaves in all cells.
    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Applies `writes[range]`, all of this slot, as part of a submission. What is refused half way
    /// stays half done until [`Self::roll_back`].
    pub(super) fn apply(
        &mut self,
        update: &mut Update<'_>,
        range: Range<usize>,
        dirty: &mut Dirty,
    ) -> Result<(), Refusal> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + READ_AHEAD_WRITES);
            self.read_ahead(&update.writes[start..end]);
            start = self.apply_some(update, start..end, range.end, dirty)?;
        }
        Ok(())
    }

    /// Applies writes up to the end of the cell that the last one of `range` belongs to; `end` is
    /// where the slot's writes end. Returns how far it came.
    fn apply_some(
        &mut self,
        update: &mut Update<'_>,
        range: Range<usize>,
        end: usize,
        dirty: &mut Dirty,
    ) -> Result<usize, Refusal> {
        let (bits, depth) = (self.bits, self.depth());
        let records = self.undo.open(update.version);
        let mut start = range.start;
        while start < range.end {
            let cell = cell_of(&update.writes[start].key_hash, bits);
            let mine = (start + 1..end)
                .find(|index| cell_of(&update.writes[*index].key_hash, bits) != cell)
                .unwrap_or(end);
            let (mark, mut gained) = (records.len(), 0);
            let node = &mut self.cells[cell as usize];
            let outcome = update.cell(node, depth, start..mine, records, &mut gained);
            self.leaves = self.leaves.saturating_add_signed(gained);
            outcome?;
            if records.len() > mark {
                dirty.push(self.slot, cell, node, depth);
            }
            start = mine;
        }
        Ok(start)
    }

    /// Touches the blocks of writes that come next. A prefetch in safe code: loads that do not depend
    /// on one another are under way at the same time.
    fn read_ahead(&self, writes: &[Write]) {
        let mut touched = 0;
        let cell = |write: &Write| &self.cells[cell_of(&write.key_hash, self.bits) as usize];
        for node in writes.iter().map(cell) {
            touched ^= usize::from(matches!(node, Node::Block(leaves) if leaves.is_empty()));
        }
        for node in writes.iter().map(cell) {
            if let Node::Block(leaves) = node {
                touched = leaves.iter().fold(touched, |touched, leaf| {
                    touched ^ usize::from(leaf.key_hash[31])
                });
            }
        }
        std::hint::black_box(touched);
    }

    /// The submission that was being applied takes effect.
    pub(super) fn settle(&mut self) {
        self.undo.settle();
    }

    /// Takes back what a refused submission had changed before its refusal.
    pub(super) fn roll_back(&mut self) {
        let (bits, depth) = (self.bits, self.depth());
        for record in self.undo.take_open().into_iter().rev() {
            let node = &mut self.cells[cell_of(&record.key_hash, bits) as usize];
            let mut put_back = |leaves: &mut Vec<Leaf>| {
                let before = leaves.len() as i64;
                record.put_back(leaves);
                Ok::<_, std::convert::Infallible>((leaves.len() as i64 - before, true))
            };
            let Ok((gained, _)) = node.change_block(&record.key_hash, depth, &mut put_back);
            self.leaves = self.leaves.saturating_add_signed(gained);
        }
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
        for node in self.cells.drain(..) {
            node.collect_leaves(&mut leaves);
        }
        self.cells = spread(&leaves, self.bits);
        self.resized.push_back((version, before));
        true
    }

    /// Hands all cells over for hashing.
    pub(super) fn push_all(&self, dirty: &mut Dirty) {
        for (cell, node) in (0..).zip(&self.cells) {
            dirty.push(self.slot, cell, node, self.depth());
        }
    }

    /// Directory bits as `version` saw them.
    pub(super) fn bits_at(&self, version: u64) -> u32 {
        let later = self.resized.partition_point(|(at, _)| *at <= version);
        self.resized.get(later).map_or(self.bits, |(_, bits)| *bits)
    }

    /// The node of a cell, if nothing below it changed since `version`, which had as many cells.
    pub(super) fn unchanged_node(&self, version: u64, cell: u32) -> Option<&Node> {
        let same = self.bits_at(version) == self.bits
            && !self.undo.touched(version, self.paths(cell, self.bits));
        same.then(|| &self.cells[cell as usize])
    }

    /// The leaves that `version` saw in a cell of a directory of so many bits, in path order.
    pub(super) fn leaves_at(&self, version: u64, cell: u32, bits: u32) -> Vec<Leaf> {
        let paths = self.paths(cell, bits);
        let mut leaves = Vec::new();
        let place = |path: u64| (path >> (PATH_BITS - ROOT_BITS - self.bits)) as usize;
        let below_root = |path: u64| path & ((1 << (PATH_BITS - ROOT_BITS)) - 1);
        let first = place(below_root(paths.start));
        let last = place(below_root(paths.end - 1));
        for node in &self.cells[first..=last] {
            node.collect_leaves(&mut leaves);
        }
        leaves.retain(|leaf| paths.contains(&path_of(&leaf.key_hash)));
        self.undo.take_back(version, paths, &mut leaves);
        leaves
    }

    /// The paths of a cell in a directory of so many bits.
    fn paths(&self, cell: u32, bits: u32) -> Range<u64> {
        let prefix = (self.slot as u64) << bits | u64::from(cell);
        let shift = PATH_BITS - ROOT_BITS - bits;
        prefix << shift..(prefix + 1) << shift
    }

    /// The leaf of a key hash as `version` saw it.
    pub(super) fn get_at(&self, version: u64, key_hash: &Digest) -> Option<Leaf> {
        match self.undo.find(version, key_hash) {
            Some(before) => before,
            None => self.get(key_hash).copied(),
        }
    }

    pub(super) fn get(&self, key_hash: &Digest) -> Option<&Leaf> {
        self.cells[cell_of(key_hash, self.bits) as usize].get(key_hash, self.depth())
    }

    /// Takes out what no version from `oldest` on needs, to be dropped where it stalls nobody.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let later = self.resized.partition_point(|(at, _)| *at <= oldest);
        self.resized.drain(..later);
        self.undo.retire(oldest)
    }
}

/// Deals sorted leaves out to cells.
fn spread(leaves: &[Leaf], bits: u32) -> Vec<Node> {
    let mut rest = leaves;
    (0..1_u32 << bits)
        .map(|cell| {
            let mine = rest
                .iter()
                .position(|leaf| cell_of(&leaf.key_hash, bits) > cell)
                .unwrap_or(rest.len());
            let (leaves, others) = rest.split_at(mine);
            rest = others;
            Node::build(leaves, ROOT_BITS + bits)
        })
        .collect()
}
