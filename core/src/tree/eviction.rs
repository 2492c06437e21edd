//! Keeping the tree within a memory budget: pages that did not change lately are evicted.
//!
//! A page can be evicted if the leaf store has the same leaves: no leaf was written or removed after the
//! version that every reader's view of the store has reached. Its digest stays, so nothing above it
//! changes, and restored leaves are compared with it. The engine reads the store:
//! [`TreeWriter::pages_to_load`] names the pages that a batch touches, and [`TreeWriter::restore`] takes
//! their leaves. A tree that was built from page digests ([`ColdTree`](super::ColdTree)) begins with all pages evicted.
//! Not here: the pages themselves (`cells`, `digests`), and reading the store.

use std::collections::BTreeMap;
use std::ops::{Add, Range, RangeInclusive, Sub};
use std::sync::atomic::Ordering;

use super::cells::{Cells, Page, page_level};
use super::digests::{Digests, PAGE_POINTER_BYTES};
use super::node::{Leaf, Node};
use super::shard::slots_of;
use super::{TreeWriter, read, write};
use crate::batch::PreparedBatch;
use crate::hash::{Digest, Pair, hex};
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of, slot_of};

/// The bytes of a page, evicted or not: its two places, its digest and that of an inner node above it, and their flags.
const PAGE_BYTES: u64 = (size_of::<Page>() + PAGE_POINTER_BYTES + size_of::<Pair>() + 1) as u64;
/// The bytes of a cell in memory: its header, its digest and that of an inner node above it, and their flags.
const CELL_BYTES: u64 = (size_of::<Node>() + size_of::<Pair>() + 1) as u64;
/// The bytes of a leaf in memory, without the allocator's overhead.
const LEAF_BYTES: u64 = size_of::<Leaf>() as u64;
/// The number of pages that the hand examines while it holds the locks of a slot.
const HAND_PAGES: u32 = 16;
/// The number of pages without leaves in memory that the hand passes for each one with leaves that it may examine.
const PASSED_PAGES: usize = 64;
/// The maximum number of pages of one scan.
const RUN_PAGES_MAX: u32 = 64;

/// The number of bits of a path that name a part of the key space to keep in memory.
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

/// The leaf store returned other leaves than the evicted ones.
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
    /// The number of evicted leaves.
    pub expected: u32,
    /// The number of leaves that the store returned.
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

/// Pages side by side that one scan of the leaf store restores.
///
/// ```
/// use trunkline_core::{batch::PreparedBatch, params::CollisionPolicy, tree};
/// let (writer, _) = tree::build(CollisionPolicy::Bucket, &[]).unwrap();
/// assert!(writer.pages_to_load([&PreparedBatch::default()]).is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRun {
    slot: usize,
    paths: Range<u64>,
    pages: u32,
}

impl PageRun {
    /// Returns the key hashes to scan.
    pub fn key_hashes(&self) -> RangeInclusive<Digest> {
        key_hashes(&self.paths)
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    pub(super) fn paths(&self) -> &Range<u64> {
        &self.paths
    }

    fn takes(&self, slot: usize, start: u64) -> bool {
        self.slot == slot && self.paths.end == start && self.pages < RUN_PAGES_MAX
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

/// The evicted pages, counted by the places that they fill in the directory, and their leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EvictedTotals {
    pub(super) places: u64,
    pub(super) leaves: u64,
}

impl EvictedTotals {
    pub(super) fn of(leaves: u32, places: u64) -> Self {
        let leaves = u64::from(leaves);
        Self { places, leaves }
    }
}

impl Add for EvictedTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            places: self.places + other.places,
            leaves: self.leaves + other.leaves,
        }
    }
}

impl Sub for EvictedTotals {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            places: self.places - other.places,
            leaves: self.leaves - other.leaves,
        }
    }
}

/// The paths that lost a leaf, each with the last version in which one did. After a deletion, the cell itself does not
/// show that the leaf store has more leaves than the tree.
#[derive(Debug, Default)]
pub(super) struct Removals {
    paths: BTreeMap<u64, u64>,
    /// The version up to which paths are forgotten.
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
    /// Leaves, headers and digests, bytes: 72 a leaf and 97 a cell in memory, 89 a page in memory or not.
    pub bytes: u64,
    /// The number of leaves in memory.
    pub leaves: u64,
}

impl TreeMemory {
    /// Returns the memory of a slot.
    fn of(cells: &Cells) -> Self {
        let leaves = cells.leaves() - cells.evicted().leaves;
        Self {
            bytes: u64::from(cells.page_count()) * PAGE_BYTES
                + cells.resident_cells() * CELL_BYTES
                + leaves * LEAF_BYTES,
            leaves,
        }
    }
}

/// The state of eviction.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// The budget; 0 if there is none.
    pub(super) budget_bytes: u64,
    removals: Removals,
    /// The slot and the page to examine next.
    hand: (usize, u32),
    /// The parts of the key space whose pages stay, in ascending order.
    hot: Vec<u16>,
}

impl Eviction {
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
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

/// Evicts pages of a slot that was just built from the leaf store until it is within its part of a budget.
pub(super) fn trim(cells: &mut Cells, digests: &mut Digests, budget_bytes: u64) {
    let budget = budget_bytes / WIDTH as u64;
    let mut next = 0;
    while budget_bytes > 0 && next < cells.page_count() && TreeMemory::of(cells).bytes > budget {
        let end = cells.page_count().min(next + HAND_PAGES);
        cells.evict(next..end, u64::MAX, &Removals::default(), digests);
        next = end;
    }
}

impl TreeWriter {
    /// Returns the memory of the tree, without the part for older versions.
    pub fn memory(&self) -> TreeMemory {
        let mut memory = TreeMemory::default();
        for slot in &self.shared.slots {
            let slot = TreeMemory::of(&slot.cells());
            memory.bytes += slot.bytes;
            memory.leaves += slot.leaves;
        }
        memory
    }

    /// Evicts pages until the tree is within its budget, or until enough of them were examined: all of them, or
    /// `pages_max` with leaves in memory and more without. Call it between versions. Returns the number of evicted
    /// pages.
    ///
    /// Every reader's view of the leaf store must have all changes up to the version `covered`, which must be hashed,
    /// and no reader may ask for an earlier version.
    pub fn evict(&mut self, covered: u64, pages_max: usize) -> u64 {
        if self.eviction.budget_bytes == 0 {
            return 0;
        }
        self.eviction.removals.forget(covered);
        let memory = self.memory();
        let mut surplus = memory.bytes.saturating_sub(self.eviction.budget_bytes);
        let mut work = pages_max.saturating_mul(PASSED_PAGES);
        let mut turn = self.page_count();
        let mut evicted = 0;
        while surplus > 0 && work > 0 && turn > 0 {
            let (gone, freed_bytes, examined, passed) = self.move_hand(covered);
            evicted += gone;
            surplus = surplus.saturating_sub(freed_bytes);
            work = work.saturating_sub((examined * PASSED_PAGES).max(passed));
            turn = turn.saturating_sub(passed.max(1) as u64);
        }
        evicted
    }

    /// Sets another budget; a tree without a budget keeps having none.
    pub fn set_budget_bytes(&mut self, budget_bytes: u64) {
        if self.eviction.budget_bytes > 0 {
            self.eviction.budget_bytes = budget_bytes.max(1);
        }
    }

    /// Sets the parts of the key space ([`hot_prefix_of`]) whose pages stay in memory, and replaces the earlier ones.
    pub fn keep_hot(&mut self, prefixes: &[u16]) {
        self.eviction.hot = prefixes.to_vec();
        self.eviction.hot.sort_unstable();
    }

    /// Returns the number of places for pages in all directories.
    fn page_count(&self) -> u64 {
        let level = |bits: &u8| page_level(u32::from(*bits));
        self.bits.iter().map(|bits| 1 << level(bits)).sum()
    }

    /// Evicts as many of the next few pages as possible. Returns the number of evicted pages, the freed bytes, the
    /// number of examined pages, and the number of all pages.
    fn move_hand(&mut self, covered: u64) -> (u64, u64, usize, usize) {
        let (slot, first) = self.eviction.hand;
        let mut cells = write(&self.shared.slots[slot].cells);
        let mut digests = write(&self.shared.slots[slot].digests);
        let end = cells.page_count().min(first.saturating_add(HAND_PAGES));
        let before = TreeMemory::of(&cells).bytes;
        let (mut gone, mut examined) = (0, 0);
        for cold in cold_of(
            &self.eviction.hot,
            slot,
            page_level(cells.bits()),
            first..end,
        ) {
            let evicted = cells.evict(cold, covered, &self.eviction.removals, &mut digests);
            gone += evicted.0;
            examined += evicted.1;
        }
        self.eviction.hand = match end == cells.page_count() {
            true => ((slot + 1) % WIDTH, 0),
            false => (slot, end),
        };
        let freed_bytes = before - TreeMemory::of(&cells).bytes;
        (
            gone,
            freed_bytes,
            examined,
            end.saturating_sub(first) as usize,
        )
    }

    /// Returns whether pages may be evicted: always within a budget, and otherwise until all slots of a tree that was
    /// built from page digests are complete.
    pub fn may_have_evicted(&self) -> bool {
        self.eviction.budget_bytes > 0 || self.shared.slots_in_pages.load(Ordering::Acquire) > 0
    }

    /// Returns the pages to restore before these batches are applied in sequence: every evicted page that they touch,
    /// and all evicted pages of a slot whose directory must be halved.
    pub fn pages_to_load<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a PreparedBatch>,
    ) -> Vec<PageRun> {
        let mut wanted = Vec::new();
        if !self.may_have_evicted() {
            return wanted_runs(wanted);
        }
        for batch in batches {
            for (slot, range) in slots_of(&batch.writes, 0..batch.writes.len()) {
                let cells = read(&self.shared.slots[slot].cells);
                let found = |paths: Range<u64>| (slot, paths.start, paths.end);
                if cells.waits_for_resize() {
                    wanted.extend(cells.evicted_pages().map(found));
                } else if cells.evicted().places > 0 {
                    let writes = batch.writes[range].iter();
                    let evicted = writes.filter_map(|write| cells.evicted_page(&write.key_hash));
                    wanted.extend(evicted.map(found));
                }
            }
            for (key_hash, _) in &batch.requirements {
                let slot = slot_of(key_hash);
                let evicted = read(&self.shared.slots[slot].cells).evicted_page(key_hash);
                wanted.extend(evicted.map(|paths| (slot, paths.start, paths.end)));
            }
        }
        wanted_runs(wanted)
    }

    /// Restores a run of pages from the leaves that the leaf store has there, in ascending order. Their origin is any
    /// version from the one that was `covered` at the eviction to the present one. Returns the number of restored
    /// pages.
    pub fn restore(&mut self, run: &PageRun, leaves: &[Leaf]) -> Result<u64, LeavesDiffer> {
        let slot = &self.shared.slots[run.slot];
        let before = self.restored.len();
        let mut cells = write(&slot.cells);
        cells.restore(&run.paths, leaves, &slot.digests(), &mut self.restored)?;
        Ok((self.restored.len() - before) as u64)
    }
}

/// Returns the parts of a range of pages that no hot prefix touches. If a directory has fewer pages than a
/// slot has prefixes, no page counts as hot: such a directory is small.
fn cold_of(hot: &[u16], slot: usize, level: u32, pages: Range<u32>) -> Vec<Range<u32>> {
    let prefix_bits = HOT_PREFIX_BITS - ROOT_BITS;
    let Some(shift) = level.checked_sub(prefix_bits) else {
        return vec![pages];
    };
    let first_prefix = (slot as u16) << prefix_bits;
    let mine = hot.partition_point(|prefix| *prefix < first_prefix);
    let mut cold = Vec::new();
    let mut next = pages.start;
    for prefix in &hot[mine..] {
        let within = u32::from(prefix - first_prefix);
        if within >> prefix_bits > 0 || within << shift >= pages.end {
            break;
        }
        let (begin, end) = (within << shift, (within + 1) << shift);
        if begin > next {
            cold.push(next..begin);
        }
        next = next.max(end);
    }
    if next < pages.end {
        cold.push(next..pages.end);
    }
    cold
}

/// Groups pages (slot, first path, end of their paths) into runs, each of which is one scan.
pub(super) fn wanted_runs(mut wanted: Vec<(usize, u64, u64)>) -> Vec<PageRun> {
    wanted.sort_unstable();
    wanted.dedup();
    let mut runs: Vec<PageRun> = Vec::new();
    for (slot, start, end) in wanted {
        match runs.last_mut() {
            Some(run) if run.takes(slot, start) => {
                run.paths.end = end;
                run.pages += 1;
            }
            _ => runs.push(PageRun {
                slot,
                paths: start..end,
                pages: 1,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_next_to_one_another_are_one_scan() {
        let wanted = vec![(1, 8, 12), (1, 4, 8), (1, 4, 8), (1, 16, 20), (2, 20, 24)];
        let spans = |run: &PageRun| (run.slot, run.paths.clone());
        let found: Vec<_> = wanted_runs(wanted).iter().map(spans).collect();
        assert_eq!(found, [(1, 4..12), (1, 16..20), (2, 20..24)]);
        let many = (0..150).map(|page| (0, page, page + 1)).collect();
        assert_eq!(wanted_runs(many).len(), 3);
    }

    #[test]
    fn hot_prefixes_are_left_out() {
        let hot = [3 << 7, 3 << 7 | 2, 4 << 7];
        let cold = |slot, level, pages| -> Vec<(u32, u32)> {
            let cold = cold_of(&hot, slot, level, pages).into_iter();
            cold.map(|pages| (pages.start, pages.end)).collect()
        };
        // Four pages a prefix.
        assert_eq!(cold(3, 9, 0..256), [(4, 8), (12, 256)]);
        assert_eq!(cold(3, 9, 2..10), [(4, 8)]);
        assert_eq!(cold(3, 9, 256..512), [(256, 512)]);
        assert_eq!(cold(4, 9, 0..256), [(4, 256)]);
        assert_eq!(cold(2, 9, 0..256), [(0, 256)]);
        assert_eq!(cold(3, 9, 1..3), []);
        // A directory with fewer pages than prefixes.
        assert_eq!(cold(3, 5, 0..32), [(0, 32)]);
    }

    #[test]
    fn a_run_spans_the_key_hashes_of_its_pages() {
        // The last three quarters of the last slot.
        let quarter = 1 << (PATH_BITS - ROOT_BITS - 2);
        let run = PageRun {
            slot: 127,
            paths: 509 * quarter..512 * quarter,
            pages: 3,
        };
        let (first, last) = run.key_hashes().into_inner();
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
