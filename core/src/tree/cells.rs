//! The directory of a slot: a flat array of cells, one for each prefix of some number of bits.
//!
//! Key hashes are spread evenly. So a directory of `2^bits` cells that doubles as keys are added holds a
//! few leaves in each cell, and the cell of a key is found without following a pointer. Slots double at
//! different fill levels, so that growth is spread over time
//! (the idea of linear hashing: Litwin, VLDB 1980). An evicted cell holds only
//! the number of its leaves. Not here: digests (`digests`), and which cells are evicted when (`eviction`).

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use super::digests::Digests;
use super::dirty::Dirty;
use super::eviction::{CellTotals, LeavesDiffer, NotInMemory, Removals};
use super::fold::fold_leaves;
use super::node::{Leaf, Node};
use super::reader::{Change, Probe};
use super::undo::{Record, Undo};
use super::update::Update;
use crate::batch::Write;
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of};
use crate::prefetch::prefetch;

/// Leaves in an average cell when the first slot doubles its directory; the last slot doubles at
/// twice this.
const CELL_LEAVES_GROW: u64 = 2;
/// A directory halves when its average cell holds less than the growth mark divided by this.
const SHRINK_DIVISOR: u64 = 8;
/// Most bits of a directory: 2^24 cells in each of 128 slots.
const BITS_MAX: u32 = 24;
/// Writes ahead of the current one whose cell is loaded, and whose leaves are: the header of a cell says where they lie.
const CELLS_AHEAD: usize = 32;
const LEAVES_AHEAD: usize = 16;

/// The leaves of one prefix.
#[derive(Debug)]
enum Cell {
    Resident(Node),
    /// The number of leaves, all of them in the leaf store.
    Evicted(u32),
}

const _: () = assert!(
    size_of::<Cell>() == 32,
    "a pointer, a length and sixteen bytes: two to a cache line"
);

impl Cell {
    fn resident(&self) -> Result<&Node, NotInMemory> {
        match self {
            Self::Resident(node) => Ok(node),
            Self::Evicted(_) => Err(NotInMemory),
        }
    }

    /// Returns the node of a cell that is about to change.
    fn resident_mut(&mut self) -> &mut Node {
        match self {
            Self::Resident(node) => node,
            Self::Evicted(_) => unreachable!("cells are restored before a submission touches them"),
        }
    }
}

/// The cells of one slot, and what versions before the present saw.
#[derive(Debug)]
pub(super) struct Cells {
    slot: usize,
    bits: u32,
    cells: Vec<Cell>,
    leaves: u64,
    /// The evicted ones among them.
    evicted: CellTotals,
    undo: Undo,
    /// Versions that changed the number of cells, and how many bits it had before.
    resized: VecDeque<(u64, u32)>,
    /// The last of them, also after it was retired.
    resized_at: u64,
}

/// Returns the cell of a key hash in a directory with a number of bits.
pub(super) fn cell_of(key_hash: &Digest, bits: u32) -> u32 {
    let below_root = path_of(key_hash) & ((1 << (PATH_BITS - ROOT_BITS)) - 1);
    (below_root >> (PATH_BITS - ROOT_BITS - bits)) as u32
}

impl Cells {
    /// Returns the directory of a slot that holds these leaves, sorted by path.
    pub(super) fn build(slot: usize, leaves: &[Leaf]) -> Self {
        let mut cells = Self {
            slot,
            bits: 0,
            cells: Vec::new(),
            leaves: leaves.len() as u64,
            evicted: CellTotals::default(),
            undo: Undo::default(),
            resized: VecDeque::new(),
            resized_at: 0,
        };
        while cells.wants_more() {
            cells.bits += 1;
        }
        cells.cells = spread(leaves, cells.bits, 0);
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

    /// Returns the binary depth of a cell.
    pub(super) fn depth(&self) -> u32 {
        ROOT_BITS + self.bits
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the number of leaves in all cells, evicted or not.
    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Returns the evicted cells and the leaves in them.
    pub(super) fn evicted(&self) -> CellTotals {
        self.evicted
    }

    /// Returns the number of cells of the directory.
    pub(super) fn count(&self) -> u32 {
        1 << self.bits
    }

    /// Applies `writes[range]`, all of this slot, as part of a submission, path by path. After a refusal
    /// the paths before it stay changed until [`Self::roll_back`].
    pub(super) fn apply(
        &mut self,
        update: &mut Update<'_>,
        range: Range<usize>,
        dirty: &mut Dirty,
    ) -> Result<(), Refusal> {
        let (bits, depth) = (self.bits, self.depth());
        let records = self.undo.open(update.version);
        let mut start = range.start;
        let mut ahead = ReadAhead::new(&update.writes[..range.end], start);
        while start < range.end {
            ahead.advance(&self.cells, bits, start);
            let cell = cell_of(&update.writes[start].key_hash, bits);
            let node = self.cells[cell as usize].resident_mut();
            let mark = records.len();
            loop {
                let end = end_of_path(update.writes, start..range.end);
                let gained = update.path(node, depth, start..end, records)?;
                self.leaves = self.leaves.saturating_add_signed(gained);
                start = end;
                if start == range.end || cell_of(&update.writes[start].key_hash, bits) != cell {
                    break;
                }
            }
            if records.len() > mark {
                dirty.push(self.slot, cell, node, depth);
            }
        }
        Ok(())
    }

    /// Loads the leaves of keys that are looked up next.
    pub(super) fn look_ahead<'a>(&self, key_hashes: impl Iterator<Item = &'a Digest> + Clone) {
        let cell = |key_hash: &Digest| &self.cells[cell_of(key_hash, self.bits) as usize];
        key_hashes
            .clone()
            .for_each(|key_hash| prefetch(cell(key_hash)));
        for key_hash in key_hashes {
            if let Cell::Resident(Node::Block(block)) = cell(key_hash) {
                block.likely(key_hash).for_each(prefetch);
            }
        }
    }

    /// Accepts the submission that was being applied.
    pub(super) fn accept(&mut self) {
        self.undo.accept();
    }

    /// Takes back what a refused submission had changed before its refusal.
    pub(super) fn roll_back(&mut self, version: u64) {
        let (bits, depth) = (self.bits, self.depth());
        for record in self.undo.take_open().into_iter().rev() {
            let node = self.cells[cell_of(&record.key_hash, bits) as usize].resident_mut();
            let block = node.block_mut(&record.key_hash, depth);
            let mut leaves = block.take();
            let before = leaves.len() as i64;
            record.put_back(&mut leaves);
            let gained = leaves.len() as i64 - before;
            block.replace(leaves, version);
            node.rebalance(&record.key_hash, depth, version, gained);
            self.leaves = self.leaves.saturating_add_signed(gained);
        }
    }

    /// Returns whether the directory is too full or too empty, and cannot be resized because some cells are evicted.
    pub(super) fn waits_for_resize(&self) -> bool {
        self.evicted.cells > 0 && (self.wants_more() || self.wants_fewer())
    }

    /// Doubles or halves the directory if it is too full or too empty and no cell is evicted. Returns
    /// whether it did.
    pub(super) fn resize(&mut self, version: u64) -> bool {
        if self.evicted.cells > 0 {
            return false;
        }
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
        for cell in self.cells.drain(..) {
            if let Cell::Resident(node) = cell {
                node.collect_leaves(&mut leaves);
            }
        }
        self.cells = spread(&leaves, self.bits, version);
        self.resized.push_back((version, before));
        self.resized_at = version;
        true
    }

    /// Passes all cells of a slot that was built or resized, none of them evicted, to the hasher.
    pub(super) fn push_all(&self, dirty: &mut Dirty) {
        for (number, cell) in (0..).zip(&self.cells) {
            if let Cell::Resident(node) = cell {
                dirty.push(self.slot, number, node, self.depth());
            }
        }
    }

    /// Returns the directory bits as `version` saw them.
    pub(super) fn bits_at(&self, version: u64) -> u32 {
        let later = self.resized.partition_point(|(at, _)| *at <= version);
        self.resized.get(later).map_or(self.bits, |(_, bits)| *bits)
    }

    /// Returns the node of a cell in a directory with a number of bits, if the directory has this number now.
    pub(super) fn node(&self, cell: u32, bits: u32) -> Option<&Node> {
        let same = self.bits == bits;
        same.then(|| self.cells[cell as usize].resident().ok())?
    }

    /// Returns whether some of the leaves that `version` saw in a cell of a directory with a number of bits are not
    /// in memory.
    pub(super) fn is_evicted(&self, cell: u32, bits: u32) -> bool {
        let evicted = |cell: &Cell| matches!(cell, Cell::Evicted(_));
        self.evicted.cells > 0 && self.below(self.paths(cell, bits)).iter().any(evicted)
    }

    /// Returns the leaves that `version` saw in a cell of a directory with a number of bits, in path order.
    pub(super) fn leaves_at(
        &self,
        version: u64,
        cell: u32,
        bits: u32,
    ) -> Result<Vec<Leaf>, NotInMemory> {
        let paths = self.paths(cell, bits);
        let mut leaves = self.present_leaves(&paths)?;
        for record in self.undo.changed_since(version, paths) {
            record.put_back(&mut leaves);
        }
        Ok(leaves)
    }

    /// Returns the leaves that `version` saw in each of those cells of a directory with a number of bits that
    /// changed since, as far as they lie in a range of paths; ascending.
    pub(super) fn changed_since(
        &self,
        version: u64,
        paths: Range<u64>,
        bits: u32,
    ) -> Vec<(u32, Vec<Leaf>)> {
        let cell = |record: &&Record| cell_of(&record.key_hash, bits);
        let records = self.undo.changed_since(version, paths);
        let changed = records.chunk_by(|a, b| cell(a) == cell(b));
        let restored = changed.filter_map(|records| {
            let cell = cell(&records[0]);
            // An evicted cell did not change.
            let mut leaves = self.present_leaves(&self.paths(cell, bits)).ok()?;
            records
                .iter()
                .for_each(|record| record.put_back(&mut leaves));
            Some((cell, leaves))
        });
        restored.collect()
    }

    /// Returns the keys that changed since `version`, ascending by key hash.
    pub(super) fn changes_since(&self, version: u64) -> Result<Vec<Change>, NotInMemory> {
        let records = self.undo.changed_since(version, self.paths(0, 0));
        let changes = records.into_iter().map(|record| {
            Ok(Change {
                key_hash: record.key_hash,
                then: record.leaf(),
                now: self.get(&record.key_hash)?.copied(),
            })
        });
        changes.collect()
    }

    /// Returns the present leaves of a range of paths.
    pub(super) fn present_leaves(&self, paths: &Range<u64>) -> Result<Vec<Leaf>, NotInMemory> {
        let mut leaves = Vec::new();
        for cell in self.below(paths.clone()) {
            cell.resident()?.collect_leaves(&mut leaves);
        }
        leaves.retain(|leaf| paths.contains(&path_of(&leaf.key_hash)));
        Ok(leaves)
    }

    /// Returns the cells of the present that a range of paths lies in.
    fn below(&self, paths: Range<u64>) -> &[Cell] {
        let (first, last) = self.cells_of(&paths).into_inner();
        &self.cells[first as usize..=last as usize]
    }

    fn cells_of(&self, paths: &Range<u64>) -> RangeInclusive<u32> {
        let below_root = |path: u64| path & ((1 << (PATH_BITS - ROOT_BITS)) - 1);
        let place = |path: u64| (below_root(path) >> (PATH_BITS - ROOT_BITS - self.bits)) as u32;
        place(paths.start)..=place(paths.end - 1)
    }

    /// Returns the paths of a cell in a directory with a number of bits.
    pub(super) fn paths(&self, cell: u32, bits: u32) -> Range<u64> {
        let prefix = (self.slot as u64) << bits | u64::from(cell);
        let shift = PATH_BITS - ROOT_BITS - bits;
        prefix << shift..(prefix + 1) << shift
    }

    /// Returns the leaf of a key hash as `version` saw it.
    pub(super) fn get_at(
        &self,
        version: u64,
        key_hash: &Digest,
    ) -> Result<Option<Leaf>, NotInMemory> {
        match self.undo.find(version, key_hash) {
            Some(before) => Ok(before),
            None => Ok(self.get(key_hash)?.copied()),
        }
    }

    /// Returns what the header of a key's block tells about the key.
    pub(super) fn probe(&self, version: u64, key_hash: &Digest) -> Probe {
        match &self.cells[cell_of(key_hash, self.bits) as usize] {
            Cell::Resident(Node::Block(_)) if self.undo.is_after(version) => Probe::Unknown,
            Cell::Resident(Node::Block(block)) if block.definitely_absent(key_hash) => {
                Probe::Absent
            }
            Cell::Resident(Node::Block(block)) => block
                .changed_at()
                .map_or(Probe::Unknown, Probe::UnchangedSince),
            Cell::Resident(Node::Branch(_)) | Cell::Evicted(_) => Probe::Unknown,
        }
    }

    pub(super) fn get(&self, key_hash: &Digest) -> Result<Option<&Leaf>, NotInMemory> {
        let node = self.cells[cell_of(key_hash, self.bits) as usize].resident()?;
        Ok(node.get(key_hash, self.depth()))
    }

    /// Returns the cell of a key hash, if the cell is evicted.
    pub(super) fn evicted_cell(&self, key_hash: &Digest) -> Option<u32> {
        let cell = cell_of(key_hash, self.bits);
        matches!(self.cells[cell as usize], Cell::Evicted(_)).then_some(cell)
    }

    /// Returns all evicted cells, ascending.
    pub(super) fn evicted_cells(&self) -> impl Iterator<Item = u32> {
        let cells = (0..).zip(&self.cells);
        cells.filter_map(|(number, cell)| matches!(cell, Cell::Evicted(_)).then_some(number))
    }

    /// Evicts those of some cells whose leaves the leaf store has had unchanged since `covered`. Returns
    /// what was evicted, and how many cells had leaves to examine.
    pub(super) fn evict(
        &mut self,
        cells: Range<u32>,
        covered: u64,
        removals: &Removals,
    ) -> (CellTotals, usize) {
        let (mut gone, mut examined) = (CellTotals::default(), 0);
        // Older versions see other cells, and the digests of these may not be there yet.
        if self.resized_at > covered {
            return (gone, examined);
        }
        for number in cells {
            // A branch is rare and stays.
            let Cell::Resident(Node::Block(leaves)) = &self.cells[number as usize] else {
                continue;
            };
            if leaves.is_empty() {
                continue;
            }
            examined += 1;
            let is_covered = |leaf: &Leaf| leaf.origin <= covered;
            let paths = self.paths(number, self.bits);
            if leaves.iter().all(is_covered) && !removals.any_after(covered, paths) {
                let count = leaves.len() as u32;
                gone.add(count);
                self.cells[number as usize] = Cell::Evicted(count);
            }
        }
        self.evicted = self.evicted + gone;
        (gone, examined)
    }

    /// Restores all evicted cells of a range of paths, if the leaves are those that were evicted: as many,
    /// with the digest that was kept.
    pub(super) fn restore(
        &mut self,
        paths: &Range<u64>,
        leaves: &[Leaf],
        digests: &Digests,
    ) -> Result<(), LeavesDiffer> {
        let (bits, depth) = (self.bits, self.depth());
        let mut rest = leaves;
        for number in self.cells_of(paths) {
            let paths = self.paths(number, bits);
            let mine = rest.partition_point(|leaf| path_of(&leaf.key_hash) < paths.end);
            let (mine, others) = rest.split_at(mine);
            rest = others;
            let Cell::Evicted(count) = self.cells[number as usize] else {
                continue;
            };
            let digest = digests.cell(bits, number);
            if mine.len() != count as usize || digest != Some(fold_leaves(mine, depth).digest()) {
                return Err(LeavesDiffer::new(&paths, count, mine.len()));
            }
            self.evicted = self.evicted - CellTotals::of(count);
            // They did not change after the latest of their origins.
            let changed_at = mine.iter().map(|leaf| leaf.origin).max().unwrap_or(0);
            self.cells[number as usize] = Cell::Resident(Node::build(mine, depth, changed_at));
        }
        Ok(())
    }

    /// Removes what no version from `oldest` on needs, and returns it, so that the caller can drop it
    /// outside of the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let later = self.resized.partition_point(|(at, _)| *at <= oldest);
        self.resized.drain(..later);
        self.undo.retire(oldest)
    }
}

/// Returns where the writes to the path of the first of `range` end.
fn end_of_path(writes: &[Write], range: Range<usize>) -> usize {
    let path = path_of(&writes[range.start].key_hash);
    (range.start + 1..range.end)
        .find(|index| path_of(&writes[*index].key_hash) != path)
        .unwrap_or(range.end)
}

/// Loads the cells and leaves of keys that are written next.
struct ReadAhead<'a> {
    writes: &'a [Write],
    /// The next writes whose cell and whose leaves are to be loaded.
    cells: usize,
    leaves: usize,
}

impl<'a> ReadAhead<'a> {
    fn new(writes: &'a [Write], start: usize) -> Self {
        let (cells, leaves) = (start, start);
        Self {
            writes,
            cells,
            leaves,
        }
    }

    /// Moves on to a write.
    #[inline]
    fn advance(&mut self, cells: &[Cell], bits: u32, current: usize) {
        let cell = |write: &Write| &cells[cell_of(&write.key_hash, bits) as usize];
        let until = self.writes.len().min(current + CELLS_AHEAD);
        for write in &self.writes[self.cells..until.max(self.cells)] {
            prefetch(cell(write));
        }
        self.cells = until.max(self.cells);
        let until = self.writes.len().min(current + LEAVES_AHEAD);
        for write in &self.writes[self.leaves..until.max(self.leaves)] {
            if let Cell::Resident(Node::Block(block)) = cell(write) {
                block.iter().for_each(prefetch);
            }
        }
        self.leaves = until.max(self.leaves);
    }
}

/// Distributes sorted leaves to cells.
fn spread(leaves: &[Leaf], bits: u32, changed_at: u64) -> Vec<Cell> {
    let mut rest = leaves;
    (0..1_u32 << bits)
        .map(|cell| {
            let mine = rest
                .iter()
                .position(|leaf| cell_of(&leaf.key_hash, bits) > cell)
                .unwrap_or(rest.len());
            let (leaves, others) = rest.split_at(mine);
            rest = others;
            Cell::Resident(Node::build(leaves, ROOT_BITS + bits, changed_at))
        })
        .collect()
}
