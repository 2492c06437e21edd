//! Keeping the tree within a memory budget: cells that did not change lately are evicted.
//!
//! A cell can be evicted if the leaf store has the same leaves: no leaf was written or removed after the
//! version that every reader's view of the store has reached. Its digest stays, so nothing above it
//! changes, and restored leaves are compared with it. The engine reads the store:
//! [`TreeWriter::cells_to_load`] names the cells that a batch touches, and [`TreeWriter::restore`] takes
//! their leaves. Not here: the cells themselves (`cells`), and reading the store.

use std::collections::BTreeMap;
use std::ops::{Add, Range, RangeInclusive, Sub};

use super::cells::Cells;
use super::node::{Leaf, Node};
use super::shard::slots_of;
use super::{TreeWriter, read, write};
use crate::batch::PreparedBatch;
use crate::hash::{Digest, Pair, hex};
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of, slot_of};

/// Bytes of a cell, evicted or not: its header, its digest and that of an inner node above it, and the bits
/// that mark lone leaves.
const CELL_BYTES: u64 = (size_of::<Node>() + size_of::<Pair>() + 1) as u64;
/// Bytes of a leaf in memory, without the allocator's part.
const LEAF_BYTES: u64 = size_of::<Leaf>() as u64;
/// Cells that the hand examines while it holds the lock of a slot.
const HAND_CELLS: u32 = 256;
/// Cells without leaves in memory that the hand passes for each one with leaves that it may examine.
const PASSED_CELLS: usize = 64;
/// Most cells between two cells to load for which one scan costs less than two.
const GAP_CELLS_MAX: u32 = 4;
/// Most cells of one scan.
const RUN_CELLS_MAX: u32 = 1 << 10;

/// Bits of a path that name a part of the key space to keep in memory.
pub const HOT_PREFIX_BITS: u32 = 14;

/// Returns the part of the key space that a key hash is in: its first [`HOT_PREFIX_BITS`] bits.
///
/// ```
/// let key_hash = [0xff; 32];
/// assert_eq!(trunkline_core::tree::hot_prefix_of(&key_hash), 0x3fff);
/// ```
pub fn hot_prefix_of(key_hash: &Digest) -> u16 {
    (path_of(key_hash) >> (PATH_BITS - HOT_PREFIX_BITS)) as u16
}

/// The leaves around a key hash are not in memory; the leaf store has them.
///
/// ```
/// let message = trunkline_core::tree::NotInMemory.to_string();
/// assert!(message.ends_with("look into the leaf store"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leaves around this key hash are not in memory; look into the leaf store")]
pub struct NotInMemory;

/// The leaf store returned other leaves than those that were evicted.
///
/// ```
/// use trunkline_core::tree::LeavesDiffer;
/// let error = LeavesDiffer { first: [0; 32], expected: 2, found: 1 };
/// assert!(error.to_string().ends_with("restore the directory from a copy"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the leaf store has {found} leaves from key hash {} on that are not the {expected} evicted ones; restore the directory from a copy",
    hex(first)
)]
pub struct LeavesDiffer {
    /// The first key hash of their cell.
    pub first: Digest,
    /// How many were evicted.
    pub expected: u32,
    /// How many the store returned.
    pub found: u32,
}

impl LeavesDiffer {
    pub(super) fn new(paths: &Range<u64>, expected: u32, found: usize) -> Self {
        Self {
            first: *key_hashes(paths).start(),
            expected,
            found: u32::try_from(found).unwrap_or(u32::MAX),
        }
    }
}

/// Cells side by side that one scan of the leaf store restores.
///
/// ```
/// use trunkline_core::{batch::PreparedBatch, params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert!(writer.cells_to_load([&PreparedBatch::default()]).is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRun {
    slot: usize,
    bits: u32,
    first: u32,
    last: u32,
}

impl CellRun {
    /// Returns the key hashes to scan.
    pub fn key_hashes(&self) -> RangeInclusive<Digest> {
        key_hashes(&self.paths())
    }

    fn paths(&self) -> Range<u64> {
        let shift = PATH_BITS - ROOT_BITS - self.bits;
        let prefix = |cell: u32| (self.slot as u64) << self.bits | u64::from(cell);
        prefix(self.first) << shift..(prefix(self.last) + 1) << shift
    }

    fn takes(&self, slot: usize, cell: u32) -> bool {
        self.slot == slot && cell - self.last <= GAP_CELLS_MAX && cell - self.first < RUN_CELLS_MAX
    }
}

/// Returns the key hashes of a range of paths, which is not empty.
pub(super) fn key_hashes(paths: &Range<u64>) -> RangeInclusive<Digest> {
    let bytes = |path: u64, rest: u8| {
        let mut key_hash = [rest; 32];
        key_hash[..7].copy_from_slice(&path.to_be_bytes()[1..]);
        key_hash
    };
    bytes(paths.start, 0)..=bytes(paths.end - 1, 0xff)
}

/// Cells, and the leaves in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CellTotals {
    pub(super) cells: u64,
    pub(super) leaves: u64,
}

impl CellTotals {
    pub(super) fn of(leaves: u32) -> Self {
        Self {
            cells: 1,
            leaves: u64::from(leaves),
        }
    }

    pub(super) fn add(&mut self, leaves: u32) {
        *self = *self + Self::of(leaves);
    }
}

impl Add for CellTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cells: self.cells + other.cells,
            leaves: self.leaves + other.leaves,
        }
    }
}

impl Sub for CellTotals {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            cells: self.cells - other.cells,
            leaves: self.leaves - other.leaves,
        }
    }
}

/// Paths that lost a leaf, each with the last version in which one did. A deletion leaves nothing in a
/// cell that would tell that the leaf store has more leaves than the tree.
#[derive(Debug, Default)]
pub(super) struct Removals {
    paths: BTreeMap<u64, u64>,
    /// Those up to this version are forgotten.
    covered: u64,
}

impl Removals {
    fn note(&mut self, paths: Vec<u64>, version: u64) {
        self.paths
            .extend(paths.into_iter().map(|path| (path, version)));
    }

    fn forget(&mut self, covered: u64) {
        if covered > self.covered {
            self.paths.retain(|_, version| *version > covered);
            self.covered = covered;
        }
    }

    pub(super) fn any_after(&self, covered: u64, paths: Range<u64>) -> bool {
        let mut removed = self.paths.range(paths);
        removed.any(|(_, version)| *version > covered)
    }
}

/// The memory that the tree takes for its present.
///
/// ```
/// use trunkline_core::{params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert_eq!(writer.memory().leaves, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeMemory {
    /// Leaves, headers and digests, bytes: 72 a leaf, 97 a cell.
    pub bytes: u64,
    /// Leaves in memory.
    pub leaves: u64,
}

/// Returns the bytes of a number of cells and of the leaves in them.
fn bytes_of(cells: u64, leaves: u64) -> u64 {
    cells * CELL_BYTES + leaves * LEAF_BYTES
}

/// The state of eviction.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// 0 for none.
    pub(super) budget_bytes: u64,
    evicted: CellTotals,
    removals: Removals,
    /// The slot and the cell to examine next.
    hand: (usize, u32),
    /// Parts of the key space whose cells stay, ascending.
    hot: Vec<u16>,
}

impl Eviction {
    pub(super) fn new(budget_bytes: u64, evicted: CellTotals) -> Self {
        Self {
            budget_bytes,
            evicted,
            ..Self::default()
        }
    }

    /// Returns an empty list for the paths that lose leaves; `None` without a budget.
    pub(super) fn removed(&self) -> Option<Vec<u64>> {
        (self.budget_bytes > 0).then(Vec::new)
    }

    pub(super) fn note(&mut self, removed: Option<Vec<u64>>, version: u64) {
        self.removals.note(removed.unwrap_or_default(), version);
    }
}

/// Evicts cells of a slot that was just built from the leaf store until it takes no more than its part of
/// a budget.
pub(super) fn trim(cells: &mut Cells, budget_bytes: u64) {
    let budget = budget_bytes / WIDTH as u64;
    let mut next = 0;
    while budget_bytes > 0 && next < cells.count() {
        let here = cells.leaves() - cells.evicted().leaves;
        if bytes_of(u64::from(cells.count()), here) <= budget {
            return;
        }
        let end = cells.count().min(next + HAND_CELLS);
        cells.evict(next..end, u64::MAX, &Removals::default());
        next = end;
    }
}

impl TreeWriter {
    /// Returns what the tree takes in memory, without what it keeps for older versions.
    pub fn memory(&self) -> TreeMemory {
        let leaves = self.key_count() - self.eviction.evicted.leaves;
        TreeMemory {
            bytes: bytes_of(self.cell_count(), leaves),
            leaves,
        }
    }

    /// Evicts cells until the tree is within its budget, or until enough of them were examined: all of them,
    /// or `cells_max` with leaves in memory and more without. Call it between versions. Returns how many
    /// cells were evicted.
    ///
    /// Every reader's view of the leaf store must have all changes up to the version `covered`, which must
    /// be hashed, and no reader may ask for an earlier version.
    pub fn evict(&mut self, covered: u64, cells_max: usize) -> u64 {
        if self.eviction.budget_bytes == 0 {
            return 0;
        }
        self.eviction.removals.forget(covered);
        let memory = self.memory();
        let mut surplus = memory.bytes.saturating_sub(self.eviction.budget_bytes);
        let mut work = cells_max.saturating_mul(PASSED_CELLS);
        let mut turn = self.cell_count();
        let before = self.eviction.evicted.cells;
        while surplus > 0 && work > 0 && turn > 0 {
            let (gone, examined, passed) = self.move_hand(covered);
            self.eviction.evicted = self.eviction.evicted + gone;
            surplus = surplus.saturating_sub(gone.leaves * LEAF_BYTES);
            work = work.saturating_sub((examined * PASSED_CELLS).max(passed));
            turn = turn.saturating_sub(passed.max(1) as u64);
        }
        self.eviction.evicted.cells - before
    }

    /// Sets another budget; a tree without a budget keeps having none.
    pub fn set_budget_bytes(&mut self, budget_bytes: u64) {
        if self.eviction.budget_bytes > 0 {
            self.eviction.budget_bytes = budget_bytes.max(1);
        }
    }

    /// Sets the parts of the key space ([`hot_prefix_of`]) whose cells stay in memory, and replaces those set
    /// before.
    pub fn keep_hot(&mut self, prefixes: &[u16]) {
        self.eviction.hot = prefixes.to_vec();
        self.eviction.hot.sort_unstable();
    }

    /// Returns the cells of all directories.
    fn cell_count(&self) -> u64 {
        self.bits.iter().map(|bits| 1 << bits).sum()
    }

    /// Evicts what it can of the next few cells. Returns what was evicted, how many cells were examined, and
    /// how many there were.
    fn move_hand(&mut self, covered: u64) -> (CellTotals, usize, usize) {
        let (slot, first) = self.eviction.hand;
        let mut cells = write(&self.shared.slots[slot].cells);
        let end = cells.count().min(first.saturating_add(HAND_CELLS));
        let (mut gone, mut examined) = (CellTotals::default(), 0);
        for cold in cold_of(&self.eviction.hot, slot, cells.bits(), first..end) {
            let evicted = cells.evict(cold, covered, &self.eviction.removals);
            gone = gone + evicted.0;
            examined += evicted.1;
        }
        self.eviction.hand = match end == cells.count() {
            true => ((slot + 1) % WIDTH, 0),
            false => (slot, end),
        };
        (gone, examined, end.saturating_sub(first) as usize)
    }

    /// Returns the cells to restore before these batches are applied, one after the other: every evicted cell
    /// that they touch, and all evicted cells of a slot whose directory has to be resized.
    pub fn cells_to_load<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a PreparedBatch>,
    ) -> Vec<CellRun> {
        if self.eviction.evicted.cells == 0 {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        for batch in batches {
            for (slot, range) in slots_of(&batch.writes, 0..batch.writes.len()) {
                let cells = read(&self.shared.slots[slot].cells);
                let found = |cell| (slot, cells.bits(), cell);
                if cells.waits_for_resize() {
                    wanted.extend(cells.evicted_cells().map(found));
                } else if cells.evicted().cells > 0 {
                    let writes = batch.writes[range].iter();
                    let evicted = writes.filter_map(|write| cells.evicted_cell(&write.key_hash));
                    wanted.extend(evicted.map(found));
                }
            }
            for (key_hash, _) in &batch.requirements {
                let slot = slot_of(key_hash);
                let cells = read(&self.shared.slots[slot].cells);
                let evicted = cells.evicted_cell(key_hash);
                wanted.extend(evicted.map(|cell| (slot, cells.bits(), cell)));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        runs(&wanted)
    }

    /// Restores a run of cells from the leaves that the leaf store has there, ascending. Their origin is any
    /// version from the one that was `covered` at the eviction to the one that is now. Returns how many
    /// cells were restored.
    pub fn restore(&mut self, run: &CellRun, leaves: &[Leaf]) -> Result<u64, LeavesDiffer> {
        let slot = &self.shared.slots[run.slot];
        let mut cells = write(&slot.cells);
        let before = cells.evicted();
        let restored = cells.restore(&run.paths(), leaves, &slot.digests());
        let back = before - cells.evicted();
        self.eviction.evicted = self.eviction.evicted - back;
        restored.map(|()| back.cells)
    }
}

/// Returns the parts of a range of cells that no hot prefix touches. If a directory has fewer cells than a
/// slot has prefixes, no cell counts as hot: such a directory is small.
fn cold_of(hot: &[u16], slot: usize, bits: u32, cells: Range<u32>) -> Vec<Range<u32>> {
    let prefix_bits = HOT_PREFIX_BITS - ROOT_BITS;
    let Some(shift) = bits.checked_sub(prefix_bits) else {
        return vec![cells];
    };
    let first_prefix = (slot as u16) << prefix_bits;
    let mine = hot.partition_point(|prefix| *prefix < first_prefix);
    let mut cold = Vec::new();
    let mut next = cells.start;
    for prefix in &hot[mine..] {
        let within = u32::from(prefix - first_prefix);
        if within >> prefix_bits > 0 || within << shift >= cells.end {
            break;
        }
        let (begin, end) = (within << shift, (within + 1) << shift);
        if begin > next {
            cold.push(next..begin);
        }
        next = next.max(end);
    }
    if next < cells.end {
        cold.push(next..cells.end);
    }
    cold
}

/// Groups cells (slot, directory bits, cell) into runs, where one scan serves several.
fn runs(wanted: &[(usize, u32, u32)]) -> Vec<CellRun> {
    let mut runs: Vec<CellRun> = Vec::new();
    for &(slot, bits, cell) in wanted {
        match runs.last_mut() {
            Some(run) if run.takes(slot, cell) => run.last = cell,
            _ => runs.push(CellRun {
                slot,
                bits,
                first: cell,
                last: cell,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_close_to_one_another_are_one_scan() {
        let wanted = [(1, 4, 3), (1, 4, 7), (1, 4, 12), (2, 0, 0)];
        let spans = |run: &CellRun| (run.slot, run.first, run.last);
        let found: Vec<_> = runs(&wanted).iter().map(spans).collect();
        assert_eq!(found, [(1, 3, 7), (1, 12, 12), (2, 0, 0)]);
        let many: Vec<_> = (0..3000).map(|cell| (0, 12, cell)).collect();
        assert_eq!(runs(&many).len(), 3);
    }

    #[test]
    fn hot_prefixes_are_left_out() {
        let hot = [3 << 7, 3 << 7 | 2, 4 << 7];
        let cold = |slot, bits, cells| -> Vec<(u32, u32)> {
            let cold = cold_of(&hot, slot, bits, cells).into_iter();
            cold.map(|cells| (cells.start, cells.end)).collect()
        };
        // Four cells a prefix.
        assert_eq!(cold(3, 9, 0..256), [(4, 8), (12, 256)]);
        assert_eq!(cold(3, 9, 2..10), [(4, 8)]);
        assert_eq!(cold(3, 9, 256..512), [(256, 512)]);
        assert_eq!(cold(4, 9, 0..256), [(4, 256)]);
        assert_eq!(cold(2, 9, 0..256), [(0, 256)]);
        assert_eq!(cold(3, 9, 1..3), []);
        // A directory with fewer cells than prefixes.
        assert_eq!(cold(3, 5, 0..32), [(0, 32)]);
    }

    #[test]
    fn a_run_spans_the_key_hashes_of_its_cells() {
        let run = CellRun {
            slot: 127,
            bits: 2,
            first: 1,
            last: 3,
        };
        let (first, last) = run.key_hashes().into_inner();
        // Seven bits of the slot, then the two of the cell.
        assert_eq!(first[..2], [0b1111_1110, 0b1000_0000]);
        assert_eq!(last, [0xff; 32]);
        assert!(first[2..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn removals_are_forgotten_once_they_are_covered() {
        let mut removals = Removals::default();
        removals.note(vec![5, 9], 3);
        removals.note(vec![5], 4);
        assert!(removals.any_after(3, 0..6) && !removals.any_after(3, 6..10));
        removals.forget(3);
        assert_eq!(removals.paths.len(), 1);
        assert!(removals.any_after(0, 5..6));
        removals.forget(4);
        assert!(removals.paths.is_empty());
    }
}
