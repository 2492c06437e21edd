//! The directory of a slot: cells, one for each prefix of some number of bits, sixteen side by side on a page.
//!
//! Key hashes are spread evenly. So a directory of `2^bits` cells that doubles as keys are added holds a
//! few leaves in each cell, and the cell of a key is found by its prefix. Slots double at
//! different fill levels, so that growth is spread over time
//! (the idea of linear hashing: Litwin, VLDB 1980). Pages leave memory as a whole. Of an evicted page the directory
//! holds the number of its leaves and the level that it had in the heap: when the directory doubles, the page stays
//! as it is, and fills several places (the idea of extendible hashing: Fagin et al., TODS 1979). Not here: digests
//! (`digests`), and which pages are evicted when (`eviction`).

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use super::digests::Digests;
use super::dirty::Dirty;
use super::eviction::{EvictedTotals, LeavesDiffer, NotInMemory, Removals};
use super::fold::{Fold, fold_leaves};
use super::node::{Leaf, Node};
use super::reader::{Change, Probe};
use super::undo::{Record, Undo};
use super::update::Update;
use super::versions::KEPT_LEVEL;
use crate::batch::Write;
use crate::hash::Digest;
use crate::outcome::Refusal;
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH, path_of};
use crate::prefetch::prefetch;
use crate::store::pages_file::SlotPages;

/// The number of leaves in an average cell when the first slot doubles its directory; the last slot doubles at twice
/// this number.
const CELL_LEAVES_GROW: u64 = 2;
/// A directory halves when its average cell contains less than the growth mark divided by this.
const SHRINK_DIVISOR: u64 = 8;
/// The maximum number of bits of a directory: 2^24 cells in each of 128 slots.
const BITS_MAX: u32 = 24;
/// Writes ahead of the current one whose cell is loaded, and whose leaves are: the header of a cell says where they lie.
const CELLS_AHEAD: usize = 32;
const LEAVES_AHEAD: usize = 16;

const _: () = assert!(
    size_of::<Node>() == 32,
    "a pointer, a length and sixteen bytes: two cells to a cache line"
);

/// Adjacent cells that leave memory together.
#[derive(Debug)]
pub(super) enum Page {
    Resident(Box<[Node]>),
    /// All its leaves are in the leaf store.
    Evicted {
        /// The number of its leaves.
        leaves: u32,
        /// The level of its node in the heap. If it is above that of the pages, the page fills several places.
        level: u8,
    },
}

const _: () = assert!(size_of::<Page>() == 16, "four to a cache line");

/// The binary levels of a page in a directory that is large enough.
const PAGE_BITS: u32 = 4;

/// Returns the level of the pages of a directory with a number of bits: not above that of the digests that are kept for
/// older versions, which stay in memory.
pub(super) fn page_level(bits: u32) -> u32 {
    bits.saturating_sub(PAGE_BITS).max(bits.min(KEPT_LEVEL))
}

/// Returns the binary levels of a page of a directory with a number of bits.
fn page_bits(bits: u32) -> u32 {
    bits - page_level(bits)
}

/// The cells of a directory. As long as nothing was evicted, they lie side by side as if on one page, so that a cell is
/// found without following a pointer.
#[derive(Debug)]
struct Directory {
    pages: Vec<Page>,
    /// The binary levels of each page.
    page_bits: u32,
}

impl Directory {
    /// Returns a directory of cells that are all in memory.
    fn whole(leaves: &[Leaf], bits: u32, changed_at: u64) -> Self {
        Self {
            pages: spread(leaves, bits, bits, 0..1, changed_at).collect(),
            page_bits: bits,
        }
    }

    /// Returns the position of a cell: its page, and its index there.
    #[inline(always)]
    fn place(&self, cell: u32) -> (usize, usize) {
        let within = (1 << self.page_bits) - 1;
        (cell as usize >> self.page_bits, cell as usize & within)
    }

    #[inline(always)]
    fn node(&self, cell: u32) -> Result<&Node, NotInMemory> {
        let (page, place) = self.place(cell);
        match &self.pages[page] {
            Page::Resident(cells) => Ok(&cells[place]),
            Page::Evicted { .. } => Err(NotInMemory),
        }
    }

    /// Returns a cell that is about to change.
    #[inline(always)]
    fn node_mut(&mut self, cell: u32) -> &mut Node {
        let (page, place) = self.place(cell);
        match &mut self.pages[page] {
            Page::Resident(cells) => &mut cells[place],
            Page::Evicted { .. } => {
                unreachable!("pages are restored before a submission touches them")
            }
        }
    }

    /// Divides adjacent cells into pages.
    fn cut(&mut self, page_bits: u32) {
        if self.page_bits == page_bits {
            return;
        }
        self.page_bits = page_bits;
        let Some(Page::Resident(cells)) = self.pages.pop() else {
            return;
        };
        let mut cells = cells.into_vec().into_iter();
        let pages = 0..cells.len() >> page_bits;
        self.pages = pages
            .map(|_| Page::Resident(cells.by_ref().take(1 << page_bits).collect()))
            .collect();
    }
}

/// The cells of one slot, with the leaves that earlier versions saw.
#[derive(Debug)]
pub(super) struct Cells {
    slot: usize,
    bits: u32,
    directory: Directory,
    leaves: u64,
    evicted: EvictedTotals,
    undo: Undo,
    /// The versions that changed the number of cells, each with the bits before it.
    resized: VecDeque<(u64, u32)>,
    /// The last of these versions, even after it was retired.
    resized_at: u64,
}

/// Returns the cell of a key hash in a directory with a number of bits.
pub(super) fn cell_of(key_hash: &Digest, bits: u32) -> u32 {
    let below_root = path_of(key_hash) & ((1 << (PATH_BITS - ROOT_BITS)) - 1);
    (below_root >> (PATH_BITS - ROOT_BITS - bits)) as u32
}

impl Cells {
    /// Returns the bytes of what is kept for older versions.
    pub(super) fn undo_bytes(&self) -> usize {
        self.undo.memory_bytes()
    }

    /// Returns the directory of a slot that holds these leaves, sorted by path.
    pub(super) fn build(slot: usize, leaves: &[Leaf]) -> Self {
        let mut cells = Self {
            slot,
            bits: 0,
            directory: Directory::whole(&[], 0, 0),
            leaves: leaves.len() as u64,
            evicted: EvictedTotals::default(),
            undo: Undo::default(),
            resized: VecDeque::new(),
            resized_at: 0,
        };
        while cells.wants_more() {
            cells.bits += 1;
        }
        cells.directory = Directory::whole(leaves, cells.bits, 0);
        cells
    }

    /// Returns the directory of a slot whose pages are all evicted; `None` if this build has no such directory.
    pub(super) fn evicted_from(slot: usize, stored: &SlotPages) -> Option<Self> {
        let bits = u32::from(stored.bits);
        if bits > BITS_MAX || u32::from(stored.level) != page_level(bits) {
            return None;
        }
        let page_bits = page_bits(bits);
        let (mut pages, mut evicted) = (Vec::new(), EvictedTotals::default());
        for page in &stored.pages {
            let (places, leaves) = (1 << page.levels_above, page.leaves);
            let level = stored.level.checked_sub(page.levels_above)?;
            if leaves == 0 {
                // A page without leaves is never evicted.
                let empty =
                    || Page::Resident((0..1 << page_bits).map(|_| Node::default()).collect());
                pages.extend((0..places).map(|_| empty()));
                continue;
            }
            evicted = evicted + EvictedTotals::of(leaves, places);
            pages.extend((0..places).map(|_| Page::Evicted { leaves, level }));
        }
        let is_full = pages.len() == 1 << stored.level;
        is_full.then(|| Self {
            slot,
            bits,
            directory: Directory { pages, page_bits },
            leaves: stored.leaves(),
            evicted,
            undo: Undo::default(),
            resized: VecDeque::new(),
            resized_at: 0,
        })
    }

    /// Returns a directory with a number of bits, whose cells have these leaves and lie side by side.
    pub(super) fn whole(slot: usize, bits: u32, leaves: &[Leaf]) -> Self {
        // They did not change after the latest of their origins.
        let changed_at = leaves.iter().map(|leaf| leaf.origin).max().unwrap_or(0);
        Self {
            bits,
            directory: Directory::whole(leaves, bits, changed_at),
            ..Self::build(slot, &[])
        }
    }

    /// Takes the cells of `whole`, which has the same bits, for those in evicted pages, so that all of them are in memory
    /// and lie side by side. Returns what they replace.
    pub(super) fn complete(&mut self, whole: Self) -> impl Sized + use<> {
        let mut before = std::mem::replace(&mut self.directory, whole.directory);
        match (&mut self.directory.pages[..], &mut before.pages[..]) {
            // It was resized when nothing was evicted.
            (whole, [Page::Resident(_)]) => whole.swap_with_slice(&mut before.pages),
            ([Page::Resident(cells)], pages) => {
                let places = cells.chunks_exact_mut(1 << before.page_bits);
                for (place, page) in places.zip(pages) {
                    if let Page::Resident(cells) = page {
                        place.swap_with_slice(cells);
                    }
                }
            }
            _ => {}
        }
        self.evicted = EvictedTotals::default();
        before
    }

    /// Returns the evicted pages by their nodes in the heap, with the number of their leaves.
    pub(super) fn all_evicted(&self) -> Vec<(u32, u32)> {
        self.evicted_in(&self.paths(0, 0))
    }

    /// Checks a page, by its node in the heap, whose leaves are among sorted ones: it must have had as many when it was
    /// evicted, and `has_digest` says whether they fold to its digest.
    pub(super) fn check_page(
        &self,
        (page, count): (u32, u32),
        leaves: &[Leaf],
        has_digest: bool,
    ) -> Result<(), LeavesDiffer> {
        let mine = self.leaves_of(page, leaves);
        if mine.len() == count as usize && has_digest {
            return Ok(());
        }
        let level = page.ilog2();
        let paths = self.paths(page - (1 << level), level);
        Err(LeavesDiffer::new(&paths, count, mine.len()))
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

    /// Returns the number of leaves in all pages, evicted or not.
    pub(super) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Returns the evicted pages and the leaves in them.
    pub(super) fn evicted(&self) -> EvictedTotals {
        self.evicted
    }

    /// Returns the number of places for pages in the directory.
    pub(super) fn page_count(&self) -> u32 {
        1 << page_level(self.bits)
    }

    /// Returns the number of cells in memory.
    pub(super) fn resident_cells(&self) -> u64 {
        (u64::from(self.page_count()) - self.evicted.places) << page_bits(self.bits)
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
            ahead.advance(&self.directory, bits, start);
            let cell = cell_of(&update.writes[start].key_hash, bits);
            let node = self.directory.node_mut(cell);
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
        let cell = |key_hash: &Digest| self.directory.node(cell_of(key_hash, self.bits));
        for node in key_hashes.clone().flat_map(cell) {
            prefetch(node);
        }
        for key_hash in key_hashes {
            if let Ok(Node::Block(block)) = cell(key_hash) {
                block.likely(key_hash).for_each(prefetch);
            }
        }
    }

    /// Accepts the submission that was being applied.
    pub(super) fn accept(&mut self) {
        self.undo.accept();
    }

    /// Undoes the changes of a refused submission before its refusal.
    pub(super) fn roll_back(&mut self, version: u64) {
        let (bits, depth) = (self.bits, self.depth());
        for record in self.undo.take_open().into_iter().rev() {
            let node = self.directory.node_mut(cell_of(&record.key_hash, bits));
            let gained = record.roll_back(node, depth, version);
            self.leaves = self.leaves.saturating_add_signed(gained);
        }
    }

    /// Returns whether the directory has to be resized, and cannot be because some pages are evicted.
    pub(super) fn waits_for_resize(&self) -> bool {
        let may_double = self.bits >= KEPT_LEVEL;
        self.evicted.places > 0 && (self.wants_fewer() || self.wants_more() && !may_double)
    }

    /// Doubles the directory if it is too full, or halves it if it is too empty. If some pages are evicted, only a
    /// directory doubles whose pages are not above the kept digests. Returns whether it did.
    pub(super) fn resize(&mut self, version: u64) -> bool {
        if self.waits_for_resize() {
            return false;
        }
        let before = self.bits;
        while self.wants_more() {
            self.bits += 1;
        }
        while self.evicted.places == 0 && self.wants_fewer() {
            self.bits -= 1;
        }
        if self.bits == before {
            return false;
        }
        if self.evicted.places > 0 {
            self.double(before, version);
        } else {
            let mut leaves = Vec::with_capacity(self.leaves as usize);
            for page in self.directory.pages.drain(..) {
                page.collect_leaves(&mut leaves);
            }
            self.directory = Directory::whole(&leaves, self.bits, version);
        }
        self.resized.push_back((version, before));
        self.resized_at = version;
        true
    }

    /// Spreads the pages of a directory that had fewer bits before, and leaves evicted ones as they are.
    fn double(&mut self, before: u32, version: u64) {
        let levels = page_level(self.bits) - page_level(before);
        let page_bits = page_bits(self.bits);
        let mut pages = Vec::with_capacity(1 << page_level(self.bits));
        let mut leaves = Vec::new();
        for (number, page) in (0..).zip(self.directory.pages.drain(..)) {
            if let Page::Evicted { leaves, level } = page {
                pages.extend((0..1 << levels).map(|_| Page::Evicted { leaves, level }));
                continue;
            }
            leaves.clear();
            page.collect_leaves(&mut leaves);
            let places = number << levels..(number + 1) << levels;
            pages.extend(spread(&leaves, self.bits, page_bits, places, version));
        }
        self.evicted.places <<= levels;
        self.directory = Directory { pages, page_bits };
    }

    /// Passes all cells in memory, of a slot that was built or resized, to the hasher.
    pub(super) fn push_all(&self, dirty: &mut Dirty) {
        self.push_cells(0..1 << self.bits, dirty);
    }

    /// Passes all cells of what was a page, now on one or several, to the hasher; `page` is its node in the heap.
    pub(super) fn push_restored(&self, page: u32, dirty: &mut Dirty) {
        let (places, page_bits) = (self.places_of(page), page_bits(self.bits));
        self.push_cells(places.start << page_bits..places.end << page_bits, dirty);
    }

    fn push_cells(&self, cells: Range<u32>, dirty: &mut Dirty) {
        for cell in cells {
            if let Ok(node) = self.directory.node(cell) {
                dirty.push(self.slot, cell, node, self.depth());
            }
        }
    }

    /// Returns the places of a page by its node in the heap.
    fn places_of(&self, page: u32) -> Range<u32> {
        let level = page.ilog2();
        let (first, below) = (page - (1 << level), page_level(self.bits) - level);
        first << below..(first + 1) << below
    }

    /// Returns the directory bits as `version` saw them.
    pub(super) fn bits_at(&self, version: u64) -> u32 {
        let later = self.resized.partition_point(|(at, _)| *at <= version);
        self.resized.get(later).map_or(self.bits, |(_, bits)| *bits)
    }

    /// Returns the node of a cell in a directory with a number of bits, if the directory has this number now.
    pub(super) fn node(&self, cell: u32, bits: u32) -> Option<&Node> {
        let same = self.bits == bits;
        same.then(|| self.directory.node(cell).ok())?
    }

    /// Returns whether some of the leaves of a cell of a directory with a number of bits are not in memory.
    pub(super) fn is_evicted(&self, cell: u32, bits: u32) -> bool {
        if self.evicted.places == 0 {
            return false;
        }
        let (first, last) = self.cells_of(&self.paths(cell, bits)).into_inner();
        let (first, last) = (self.directory.place(first).0, self.directory.place(last).0);
        let evicted = |page: &Page| matches!(page, Page::Evicted { .. });
        self.directory.pages[first..=last].iter().any(evicted)
    }

    /// Returns whether a node of the heap is the top of an evicted page.
    pub(super) fn is_evicted_page(&self, node: u32) -> bool {
        self.evicted_leaves(node).is_some()
    }

    /// Returns the number of leaves of an evicted page by its node in the heap, if it is one.
    pub(super) fn evicted_leaves(&self, node: u32) -> Option<u32> {
        let level = node.ilog2();
        if self.evicted.places == 0 || level > page_level(self.bits) {
            return None;
        }
        let first = self.places_of(node).start as usize;
        match self.directory.pages[first] {
            Page::Evicted { leaves, level: own } if u32::from(own) == level => Some(leaves),
            _ => None,
        }
    }

    /// Returns the number of present leaves of a cell of a directory with a number of bits.
    pub(super) fn leaf_count(&self, cell: u32, bits: u32) -> Result<usize, NotInMemory> {
        match self.node(cell, bits) {
            Some(Node::Block(leaves)) => Ok(leaves.len()),
            Some(Node::Branch(branch)) => Ok(branch.count as usize),
            None => Ok(self.present_leaves(&self.paths(cell, bits))?.len()),
        }
    }

    /// Returns the leaves that `version` saw on a range of paths.
    pub(super) fn leaves_at(
        &self,
        version: u64,
        paths: Range<u64>,
    ) -> Result<Vec<Leaf>, NotInMemory> {
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
            // An evicted page did not change.
            let mut leaves = self.present_leaves(&self.paths(cell, bits)).ok()?;
            records
                .iter()
                .for_each(|record| record.put_back(&mut leaves));
            Some((cell, leaves))
        });
        restored.collect()
    }

    /// Returns whether any leaf changed since `version`.
    pub(super) fn is_after(&self, version: u64) -> bool {
        self.undo.is_after(version)
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
        for cell in self.cells_of(paths) {
            self.directory.node(cell)?.collect_leaves(&mut leaves);
        }
        leaves.retain(|leaf| paths.contains(&path_of(&leaf.key_hash)));
        Ok(leaves)
    }

    /// Returns the cells of the present that a range of paths lies in.
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
        match self.directory.node(cell_of(key_hash, self.bits)) {
            Ok(Node::Block(_)) if self.undo.is_after(version) => Probe::Unknown,
            Ok(Node::Block(block)) if block.definitely_absent(key_hash) => Probe::Absent,
            Ok(Node::Block(block)) => block
                .changed_at()
                .map_or(Probe::Unknown, Probe::UnchangedSince),
            Ok(Node::Branch(_)) | Err(NotInMemory) => Probe::Unknown,
        }
    }

    pub(super) fn get(&self, key_hash: &Digest) -> Result<Option<&Leaf>, NotInMemory> {
        let node = self.directory.node(cell_of(key_hash, self.bits))?;
        Ok(node.get(key_hash, self.depth()))
    }

    /// Returns the paths of the page of a key hash, if the page is evicted.
    pub(super) fn evicted_page(&self, key_hash: &Digest) -> Option<Range<u64>> {
        let (place, _) = self.directory.place(cell_of(key_hash, self.bits));
        self.evicted_paths(place)
    }

    /// Returns the paths of all evicted pages, ascending; of a page that fills several places several times.
    pub(super) fn evicted_pages(&self) -> impl Iterator<Item = Range<u64>> {
        (0..self.directory.pages.len()).filter_map(|place| self.evicted_paths(place))
    }

    /// Returns the paths of the page at a place, if the page is evicted.
    fn evicted_paths(&self, place: usize) -> Option<Range<u64>> {
        let Page::Evicted { level, .. } = self.directory.pages[place] else {
            return None;
        };
        let level = u32::from(level);
        Some(self.paths(place as u32 >> (page_level(self.bits) - level), level))
    }

    /// Evicts those of some pages whose leaves the leaf store has had unchanged since `covered`, with the digests below
    /// their tops. Returns how many were evicted, and how many had leaves to examine.
    pub(super) fn evict(
        &mut self,
        pages: Range<u32>,
        covered: u64,
        removals: &Removals,
        digests: &mut Digests,
    ) -> (u64, usize) {
        let (mut gone, mut examined) = (0, 0);
        // Older versions see other cells, whose digests may not exist yet.
        if self.resized_at > covered {
            return (gone, examined);
        }
        self.directory.cut(page_bits(self.bits));
        let level = page_level(self.bits);
        for number in pages {
            let Some(leaves) = self.directory.pages[number as usize].leaves_up_to(covered) else {
                continue;
            };
            examined += 1;
            let paths = self.paths(number, level);
            let (Some(leaves), false) = (leaves, removals.any_after(covered, paths)) else {
                continue;
            };
            // A page that was restored and is not hashed yet has no digests by which it could be found.
            if digests.forget_page(self.bits, number) {
                self.evicted = self.evicted + EvictedTotals::of(leaves, 1);
                gone += 1;
                let level = level as u8;
                self.directory.pages[number as usize] = Page::Evicted { leaves, level };
            }
        }
        (gone, examined)
    }

    /// Restores all evicted pages of a range of paths, if the leaves are those that were evicted: as many,
    /// with the digest that was kept. Adds their nodes in the heap to `restored`.
    pub(super) fn restore(
        &mut self,
        paths: &Range<u64>,
        leaves: &[Leaf],
        digests: &Digests,
        restored: &mut Vec<(usize, u32)>,
    ) -> Result<(), LeavesDiffer> {
        for (page, count) in self.evicted_in(paths) {
            let (mine, fold) = self.fold_page(page, leaves);
            let has_digest = digests.node(page) == Some(fold.digest());
            self.check_page((page, count), leaves, has_digest)?;
            self.put_in(page, mine, count);
            restored.push((self.slot, page));
        }
        Ok(())
    }

    /// Replaces what is known of the evicted pages of a range of paths by what the leaf store has there. They stay evicted,
    /// except those without leaves. Passes the node of each page in the heap, with its new digest.
    pub(super) fn reread(
        &mut self,
        paths: &Range<u64>,
        leaves: &[Leaf],
        mut changed: impl FnMut(u32, Fold<Digest>),
    ) {
        for (page, before) in self.evicted_in(paths) {
            let (mine, fold) = self.fold_page(page, leaves);
            let count = mine.len() as u32;
            changed(page, fold);
            self.leaves = self.leaves - u64::from(before) + u64::from(count);
            if mine.is_empty() {
                self.put_in(page, mine, before);
                continue;
            }
            let (leaves, level) = (count, page.ilog2() as u8);
            let change = |leaves| EvictedTotals::of(leaves, 0);
            self.evicted = self.evicted - change(before) + change(count);
            for place in self.places_of(page) {
                self.directory.pages[place as usize] = Page::Evicted { leaves, level };
            }
        }
    }

    /// Returns the evicted pages of a range of paths by their nodes in the heap, with the number of their leaves.
    fn evicted_in(&self, paths: &Range<u64>) -> Vec<(u32, u32)> {
        let (first, last) = self.cells_of(paths).into_inner();
        let last = self.directory.place(last).0;
        let mut place = self.directory.place(first).0;
        let mut evicted = Vec::new();
        while place <= last {
            let Page::Evicted { leaves, level } = self.directory.pages[place] else {
                place += 1;
                continue;
            };
            let level = u32::from(level);
            let page = (1 << level) + (place as u32 >> (page_level(self.bits) - level));
            evicted.push((page, leaves));
            place = self.places_of(page).end as usize;
        }
        evicted
    }

    /// Returns those of some sorted leaves that belong to a page, and folds them.
    fn fold_page<'a>(&self, page: u32, leaves: &'a [Leaf]) -> (&'a [Leaf], Fold<Digest>) {
        let mine = self.leaves_of(page, leaves);
        (mine, fold_leaves(mine, ROOT_BITS + page.ilog2()))
    }

    /// Returns those of some sorted leaves that belong to a page.
    fn leaves_of<'a>(&self, page: u32, leaves: &'a [Leaf]) -> &'a [Leaf] {
        let level = page.ilog2();
        let paths = self.paths(page - (1 << level), level);
        let before = |end: u64| leaves.partition_point(|leaf| path_of(&leaf.key_hash) < end);
        &leaves[before(paths.start)..before(paths.end)]
    }

    /// Inserts the leaves of an evicted page.
    fn put_in(&mut self, page: u32, leaves: &[Leaf], count: u32) {
        let places = self.places_of(page);
        // They did not change after the latest of their origins.
        let changed_at = leaves.iter().map(|leaf| leaf.origin).max().unwrap_or(0);
        self.evicted = self.evicted - EvictedTotals::of(count, places.len() as u64);
        let page_bits = self.directory.page_bits;
        let spread = spread(leaves, self.bits, page_bits, places.clone(), changed_at);
        for (place, page) in places.zip(spread) {
            self.directory.pages[place as usize] = page;
        }
    }

    /// Removes data that no version from `oldest` on needs, and returns it, so that the caller can drop it outside of
    /// the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let later = self.resized.partition_point(|(at, _)| *at <= oldest);
        self.resized.drain(..later);
        self.undo.retire(oldest)
    }
}

impl Page {
    /// Appends all leaves of a page in memory, in path order.
    fn collect_leaves(&self, leaves: &mut Vec<Leaf>) {
        if let Self::Resident(cells) = self {
            cells.iter().for_each(|node| node.collect_leaves(leaves));
        }
    }

    /// Returns the number of leaves if the page is in memory and has some, and in it `None` if one of them was written
    /// after a version.
    fn leaves_up_to(&self, covered: u64) -> Option<Option<u32>> {
        let Self::Resident(cells) = self else {
            return None;
        };
        let mut count = 0;
        for node in cells {
            // A branch is rare and stays.
            let Node::Block(leaves) = node else {
                return None;
            };
            if leaves.iter().any(|leaf| leaf.origin > covered) {
                return Some(None);
            }
            count += leaves.len() as u32;
        }
        (count > 0).then_some(Some(count))
    }
}

/// Returns the end of the writes to the path of the first of `range`.
pub(super) fn end_of_path(writes: &[Write], range: Range<usize>) -> usize {
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

    /// Advances to a write.
    #[inline]
    fn advance(&mut self, directory: &Directory, bits: u32, current: usize) {
        let cell = |write: &Write| directory.node(cell_of(&write.key_hash, bits));
        let until = self.writes.len().min(current + CELLS_AHEAD);
        for write in &self.writes[self.cells..until.max(self.cells)] {
            if let Ok(node) = cell(write) {
                prefetch(node);
            }
        }
        self.cells = until.max(self.cells);
        let until = self.writes.len().min(current + LEAVES_AHEAD);
        for write in &self.writes[self.leaves..until.max(self.leaves)] {
            if let Ok(Node::Block(block)) = cell(write) {
                block.iter().for_each(prefetch);
            }
        }
        self.leaves = until.max(self.leaves);
    }
}

/// Distributes sorted leaves to the cells of some pages.
fn spread(
    leaves: &[Leaf],
    bits: u32,
    page_bits: u32,
    pages: Range<u32>,
    changed_at: u64,
) -> impl Iterator<Item = Page> {
    let mut rest = leaves;
    pages.map(move |page| {
        let cells = (page << page_bits..(page + 1) << page_bits).map(|cell| {
            let mine = rest
                .iter()
                .position(|leaf| cell_of(&leaf.key_hash, bits) > cell)
                .unwrap_or(rest.len());
            let (leaves, others) = rest.split_at(mine);
            rest = others;
            Node::build(leaves, ROOT_BITS + bits, changed_at)
        });
        Page::Resident(cells.collect())
    })
}
