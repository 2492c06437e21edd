//! One slot's digests above its cells: a binary heap, cut into pages as the cells are.
//!
//! Inner node `p` (1 is the top, its halves are `2p` and `2p + 1`) owns the 64 bytes that its two
//! halves' digests fill: exactly the input that is hashed for it, and one cache line. Cells are the
//! nodes `2^bits` to `2^(bits + 1) - 1`. The nodes above the pages lie in one array, those of a page in one
//! allocation that leaves memory with its cells. The levels whose digests are kept for older versions are above all pages. Not here: what lies below a cell (`fold`).

use std::ops::RangeInclusive;

use super::cells::page_level;
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

pub(super) const EMPTY: Entry = Entry {
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

/// Two bits for each half of a pair: it is a lone leaf, and its entry is held. The left half has the lower bit.
const LONE: u8 = 0b01;
const HELD: u8 = 0b01_00;

/// The digests of a page below its top. Its nodes are numbered like those of a heap, from 1; the pair of node `p` is at
/// `p - 1`, and the last one is unused.
#[derive(Clone, Debug)]
struct PageDigests {
    pairs: [Pair; 16],
    flags: [u8; 16],
}

const NO_DIGESTS: PageDigests = PageDigests {
    pairs: [[0; 64]; 16],
    flags: [0; 16],
};

/// The bytes of a page's digests other than those of its cells and of the nodes above it.
pub(super) const PAGE_POINTER_BYTES: usize = size_of::<Option<Box<PageDigests>>>();

/// All digests of a slot at one time that are in memory.
#[derive(Debug)]
pub(super) struct Heap {
    bits: u32,
    top: Entry,
    /// The input of node `p` above the pages at `p - 1`; the last one is unused. As long as no page was forgotten, all
    /// nodes count as above the pages, so that a node is found without following a pointer.
    pairs: Vec<Pair>,
    flags: Vec<u8>,
    pages: Vec<Option<Box<PageDigests>>>,
}

/// The position of a pair.
enum Place {
    Above(usize),
    Page(usize, usize),
}

impl Heap {
    pub(super) fn new(bits: u32) -> Self {
        Self {
            bits,
            top: EMPTY,
            pairs: vec![[0; 64]; 1 << bits],
            flags: vec![0; 1 << bits],
            pages: Vec::new(),
        }
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns an empty heap that is cut into pages.
    fn in_pages(bits: u32) -> Self {
        let pages = 1 << page_level(bits);
        Self {
            bits,
            top: EMPTY,
            pairs: vec![[0; 64]; pages],
            flags: vec![0; pages],
            pages: vec![None; pages],
        }
    }

    /// Cuts a heap into pages.
    fn cut(&mut self) {
        if !self.pages.is_empty() {
            return;
        }
        let mut cut = Self::in_pages(self.bits);
        let above = cut.pairs.len() - 1;
        cut.pairs[..above].copy_from_slice(&self.pairs[..above]);
        cut.flags[..above].copy_from_slice(&self.flags[..above]);
        cut.top = self.top;
        for node in 2 * (above as u32 + 1)..2 << self.bits {
            if let Some(entry) = self.get(node) {
                cut.set(node, entry);
            }
        }
        *self = cut;
    }

    /// Returns the heap of a directory with another number of bits, with the digests of what was above the pages and
    /// still is.
    fn resized(&self, bits: u32) -> Self {
        let mut resized = match self.pages.is_empty() {
            true => return Self::new(bits),
            false => Self::in_pages(bits),
        };
        let common = self.pairs.len().min(resized.pairs.len()) - 1;
        resized.pairs[..common].copy_from_slice(&self.pairs[..common]);
        resized.flags[..common].copy_from_slice(&self.flags[..common]);
        resized.top = self.top;
        resized
    }

    /// Replaces entries by those that another heap of the same bits has in memory.
    fn take_from(&mut self, other: &Self) {
        self.top = other.top;
        let above = 2..2 * other.pairs.len() as u32;
        let level = other.pages.len().max(1).ilog2();
        let pages = (0..).zip(&other.pages).filter(|(_, page)| page.is_some());
        let below = pages.flat_map(|(page, _): (u32, _)| {
            let page = (1 << level) + page;
            (level + 1..=other.bits).flat_map(move |deep| {
                let below = deep - level;
                page << below..(page + 1) << below
            })
        });
        for node in above.chain(below) {
            if let Some(entry) = other.get(node) {
                self.set(node, entry);
            }
        }
    }

    #[inline(always)]
    fn place(&self, pair: u32) -> Place {
        if (pair as usize) < self.pairs.len() {
            return Place::Above(pair as usize - 1);
        }
        let pages = self.pages.len() as u32;
        let below = pair.ilog2() - pages.ilog2();
        let local = 1 << below | pair & ((1 << below) - 1);
        Place::Page(((pair >> below) - pages) as usize, local as usize - 1)
    }

    /// Returns the input of a node, followed by another one, and the flags; `None` if they are not in memory.
    #[inline(always)]
    fn pair(&self, node: u32) -> Option<(&[Pair; 2], &u8)> {
        let (pairs, flags, place) = match self.place(node) {
            Place::Above(place) => (&self.pairs[..], &self.flags[..], place),
            Place::Page(page, place) => {
                let page = self.pages[page].as_deref()?;
                (&page.pairs[..], &page.flags[..], place)
            }
        };
        Some((pairs.get(place..)?.first_chunk()?, &flags[place]))
    }

    /// Returns the entry of a node, if it is in memory.
    pub(super) fn get(&self, node: u32) -> Option<Entry> {
        if node == 1 {
            return Some(self.top);
        }
        let ([pair, _], flags) = self.pair(node / 2)?;
        let right = node as usize & 1;
        if flags & HELD << right == 0 {
            return None;
        }
        let mut digest = ZERO;
        digest.copy_from_slice(&pair[32 * right..32 * right + 32]);
        Some(Entry {
            digest,
            lone: flags & LONE << right != 0,
        })
    }

    fn set(&mut self, node: u32, entry: Entry) {
        if node == 1 {
            self.top = entry;
            return;
        }
        let right = node as usize & 1;
        let (pair, flags) = match self.place(node / 2) {
            Place::Above(place) => (&mut self.pairs[place], &mut self.flags[place]),
            Place::Page(page, place) => {
                let page = self.pages[page].get_or_insert_with(|| Box::new(NO_DIGESTS));
                (&mut page.pairs[place], &mut page.flags[place])
            }
        };
        pair[32 * right..32 * right + 32].copy_from_slice(&entry.digest);
        *flags = *flags & !(LONE << right) | HELD << right | u8::from(entry.lone) << right;
    }

    /// Returns the entry of an inner node whose halves are in memory and that needs no hash: empty, or a lone leaf
    /// lifted.
    fn lifted(&self, node: u32) -> Option<Entry> {
        let ([pair, _], flags) = self.pair(node)?;
        let (left, right) = pair.split_at(32);
        match (is_zero(left), is_zero(right)) {
            (false, false) => None,
            (true, true) => Some(EMPTY),
            (false, true) if flags & LONE != 0 => self.get(2 * node),
            (true, false) if flags & LONE << 1 != 0 => self.get(2 * node + 1),
            _ => None,
        }
    }

    /// Loads nodes independently of one another, so that their cache misses overlap.
    fn read_ahead(&self, nodes: &[u32]) {
        let mut touched = 0;
        for node in nodes.iter().filter(|node| **node > 1) {
            touched ^= self.pair(*node / 2).map_or(0, |([pair, _], _)| pair[0]);
        }
        std::hint::black_box(touched);
    }
}

/// Returns whether half a pair is zero. For almost every digest, the first bytes already show that it is not.
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

/// The digests of one slot, with those that earlier versions saw.
#[derive(Debug)]
pub(super) struct Digests {
    heap: Heap,
    versions: Versions,
}

impl Digests {
    /// Loads the siblings of nodes of one level independently of one another, so that their cache misses overlap. An
    /// older version may have had a deeper heap.
    pub(super) fn read_ahead(&self, nodes: &[u32]) {
        let is_deeper = |node: &u32| node.ilog2() > self.heap.bits;
        if !nodes.first().is_some_and(is_deeper) {
            self.heap.read_ahead(nodes);
        }
    }

    /// Returns the bytes of what is kept for older versions.
    pub(super) fn versions_bytes(&self) -> usize {
        self.versions.memory_bytes()
    }

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

    /// Returns the digests of a slot of which nothing is known but the digests of its pages, by their nodes in the heap.
    pub(super) fn of_pages(
        bits: u32,
        pages: impl Iterator<Item = (u32, Fold<Digest>)>,
        scratch: &mut Scratch,
    ) -> Self {
        let mut digests = Self {
            heap: Heap::in_pages(bits),
            versions: Versions::default(),
        };
        pages.for_each(|(node, fold)| digests.heap.set(node, fold.into()));
        digests.fold_above_pages(scratch);
        digests
    }

    /// Replaces the digest of a page, before [`Self::fold_above_pages`].
    pub(super) fn replace_page(&mut self, node: u32, fold: Fold<Digest>) {
        self.heap.set(node, fold.into());
    }

    /// Takes the entries of `whole`, which has the digests of the same directory side by side, where none is in memory.
    /// Returns what they replace; `None` if the directories differ.
    pub(super) fn complete(&mut self, whole: Self) -> Option<impl Sized + use<>> {
        if self.heap.bits != whole.heap.bits {
            return None;
        }
        let mut heap = whole.heap;
        heap.take_from(&self.heap);
        Some(std::mem::replace(&mut self.heap, heap))
    }

    /// Returns the bits of the directory at the last version that was hashed.
    pub(super) fn bits(&self) -> u32 {
        self.heap.bits
    }

    /// Folds everything above the pages.
    pub(super) fn fold_above_pages(&mut self, scratch: &mut Scratch) {
        for level in (0..page_level(self.heap.bits)).rev() {
            // What is below the top of a page that fills several places is not in memory.
            let is_above = |node: &u32| self.heap.get(2 * node).is_some();
            scratch.nodes.clear();
            let nodes = (1 << level..2 << level).rev();
            scratch.nodes.extend(nodes.filter(is_above));
            self.fold(scratch, &mut None);
        }
    }

    /// Returns the digest of a node of the heap at the last version that was hashed, if it is in memory.
    pub(super) fn node(&self, node: u32) -> Option<Digest> {
        self.heap.get(node).map(|entry| entry.digest)
    }

    /// Forgets the digests below the top of a page of a directory with a number of bits. Returns whether they were in
    /// memory.
    pub(super) fn forget_page(&mut self, bits: u32, page: u32) -> bool {
        if bits != self.heap.bits {
            return false;
        }
        self.heap.cut();
        // A cell that is a page has nothing below its top.
        bits == page_level(bits) || self.heap.pages[page as usize].take().is_some()
    }

    /// Returns the digest of the whole slot.
    pub(super) fn top(&self) -> Digest {
        self.heap.top.digest
    }

    /// Brings the digests up to a version. `bits` are those of the directory at the version; if they
    /// changed, `cells` are all of them that are in memory. Of a page that was restored, `cells` are all of the page.
    pub(super) fn update(
        &mut self,
        version: u64,
        bits: u32,
        cells: &[DirtyCell],
        dirty: &Dirty,
        scratch: &mut Scratch,
    ) {
        if bits != self.heap.bits {
            let resized = self.heap.resized(bits);
            let before = std::mem::replace(&mut self.heap, resized);
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

    /// Takes over what a fork of the version before has computed above changed cells, if the directory was not resized
    /// and all of it is there. Returns whether it did.
    pub(super) fn install(
        &mut self,
        version: u64,
        bits: u32,
        cells: &[DirtyCell],
        forked: &Entries,
    ) -> bool {
        if bits != self.heap.bits {
            return false;
        }
        let own = |cell: &DirtyCell| (1 << bits) + cell.cell;
        let mut nodes: Vec<u32> = cells.iter().rev().map(own).collect();
        let mut taken = Entries::with_capacity(forked.len());
        // Both descend from the lowest level to the top.
        let mut forked = forked.iter();
        loop {
            for node in &nodes {
                match forked.find(|(other, _)| other <= node) {
                    Some(found) if found.0 == *node => taken.push(*found),
                    _ => return false,
                }
            }
            if nodes.last().is_none_or(|node| *node == 1) {
                break;
            }
            nodes.iter_mut().for_each(|node| *node /= 2);
            nodes.dedup();
        }
        let mut replaced = Some(self.versions.list());
        for (node, entry) in taken {
            replace(&mut self.heap, &mut replaced, node, entry);
        }
        self.versions
            .replaced(version, replaced.unwrap_or_default());
        true
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
        self.fold(scratch, replaced);
    }

    /// Folds nodes of one level from their halves.
    fn fold(&mut self, scratch: &mut Scratch, replaced: &mut Option<Entries>) {
        self.heap.read_ahead(&scratch.nodes);
        let needs_hash = |node: &&u32| self.heap.lifted(**node).is_none();
        scratch.hashed_nodes.clear();
        let hashed_nodes = scratch.nodes.iter().filter(needs_hash);
        scratch.hashed_nodes.extend(hashed_nodes);
        let inputs = scratch
            .hashed_nodes
            .iter()
            .map(|node| match self.heap.pair(*node) {
                Some((pairs, _)) => pairs,
                None => unreachable!("a node is hashed after one of its halves was set"),
            });
        INNER.hash_first_pairs(inputs, &mut scratch.hashed);
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
    /// ([`refold`](super::refold) has the others, and those that are not in memory); the slot had the directory bits
    /// that [`Cells::bits_at`](super::cells::Cells::bits_at) says.
    pub(super) fn entry_at(&self, version: u64, node: u32) -> Option<Entry> {
        let found = self.versions.find(version, node);
        found.unwrap_or_else(|| self.heap.get(node))
    }

    /// Returns the entry of a node of the kept levels as `version` saw it.
    pub(super) fn kept_at(&self, version: u64, node: u32) -> Entry {
        let Some(entry) = self.entry_at(version, node) else {
            unreachable!("the kept levels are above all pages")
        };
        entry
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

    /// Removes data that no version from `oldest` on needs, and returns it, so that the caller can drop it outside of
    /// the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        self.versions.retire(oldest)
    }
}

fn replace(heap: &mut Heap, replaced: &mut Option<Entries>, node: u32, entry: Entry) {
    if let Some(replaced) = replaced
        && is_kept(node)
        && let Some(before) = heap.get(node)
    {
        replaced.push((node, before));
    }
    heap.set(node, entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::node::{Leaf, Node};

    /// Pushes the leaves of the cell `index` of eight.
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
            assert_eq!(digests.entry_at(0, node), Some(EMPTY));
        }
        let lone = |node| digests.entry_at(1, node).unwrap().lone;
        assert!(lone(6) && lone(13));
    }
}
