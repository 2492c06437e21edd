//! Walking one slot of one version, or of a fork of it, a binary level at a time, as proofs see it, independent of the
//! memory layout. Evicted pages are loaded before, without a lock.

use std::cell::OnceCell;
use std::ops::RangeInclusive;
use std::sync::RwLockReadGuard;

use super::cells::{Cells, page_level};
use super::digests::{Digests, Entry};
use super::eviction::{LeavesDiffer, NotInMemory, key_hashes};
use super::fold::{fold_half, fold_leaves, halves};
use super::fork::slot::ForkSlot;
use super::node::{Branch, Leaf, Node, bit_of, branch_bits};
use super::refold::{Subtree, entry_at};
use super::versions::{LOWEST_KEPT_MAX, is_kept, lowest_kept};
use crate::hash::{Digest, ZERO};
use crate::params::{PATH_BITS, ROOT_BITS, path_of};
use crate::store::pages_file::{SlotPages, StoredPage};

/// One slot as a version saw it.
#[derive(Debug)]
pub(crate) struct SlotView<'a> {
    cells: RwLockReadGuard<'a, Cells>,
    digests: RwLockReadGuard<'a, Digests>,
    version: u64,
    bits: u32,
    /// The loaded pages, in ascending order of nodes.
    loaded: &'a [Loaded],
    /// The changes of a fork on top of the version.
    forked: Option<&'a ForkSlot>,
    /// The cells that changed since the version, as it saw them; restored when a cursor reaches them.
    restored: OnceCell<Box<Restored>>,
    /// The changes since the version, by the lowest kept node above them; looked up when a cursor reaches them.
    subtrees: [OnceCell<Box<Subtree>>; LOWEST_KEPT_MAX],
}

/// An evicted page of a version that a walk needs.
#[derive(Debug)]
pub(crate) struct Missing {
    /// The node of the page in the heap.
    page: u32,
    depth: u32,
    digest: Digest,
    paths: std::ops::Range<u64>,
}

impl Missing {
    pub(crate) fn page(&self) -> u32 {
        self.page
    }

    /// Returns the range in which the leaf store has the leaves of the page.
    pub(crate) fn key_hashes(&self) -> RangeInclusive<Digest> {
        key_hashes(&self.paths)
    }

    /// Takes the leaves of the leaf store, if they have the version's digest.
    pub(crate) fn load(self, leaves: &[Leaf]) -> Result<Loaded, LeavesDiffer> {
        if fold_leaves(leaves, self.depth).digest() != self.digest {
            let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
            return Err(LeavesDiffer::new(&self.paths, count, leaves.len()));
        }
        Ok(Loaded {
            page: self.page,
            node: Node::build(leaves, self.depth, 0),
        })
    }
}

/// A page of a version that was read from the leaf store.
#[derive(Debug)]
pub(crate) struct Loaded {
    page: u32,
    node: Node,
}

/// A version, or a fork of one, whose slots can be viewed.
pub(crate) trait Slots {
    /// Returns one slot, with the pages loaded for it, in ascending order of nodes. Both halves of the slot stay locked
    /// while the view lives.
    fn slot_view<'a>(&'a self, slot: usize, loaded: &'a [Loaded]) -> SlotView<'a>;
}

/// Does work with the view of a slot, after all pages that the view lacks for it were loaded. No lock is held while
/// pages are loaded.
pub(crate) fn with_loaded<T, E>(
    slots: &impl Slots,
    slot: usize,
    missing: impl Fn(&SlotView<'_>) -> Vec<Missing>,
    load: impl Fn(Missing) -> Result<Loaded, E>,
    work: impl FnOnce(&SlotView<'_>) -> T,
) -> Result<T, E> {
    let mut loaded = Vec::new();
    // A page that was in memory may be evicted in the meantime.
    loop {
        let view = slots.slot_view(slot, &loaded);
        let missing = missing(&view);
        if missing.is_empty() {
            return Ok(work(&view));
        }
        drop(view);
        for page in missing {
            loaded.push(load(page)?);
        }
        loaded.sort_unstable_by_key(|loaded: &Loaded| loaded.page);
    }
}

/// A restored cell, in a list that grows behind shared references.
#[derive(Debug)]
struct Restored {
    cell: u32,
    node: Node,
    next: OnceCell<Box<Restored>>,
}

impl<'a> SlotView<'a> {
    pub(super) fn new(
        cells: RwLockReadGuard<'a, Cells>,
        digests: RwLockReadGuard<'a, Digests>,
        version: u64,
        loaded: &'a [Loaded],
    ) -> Self {
        let bits = cells.bits_at(version);
        Self {
            cells,
            digests,
            version,
            bits,
            loaded,
            forked: None,
            restored: OnceCell::new(),
            subtrees: [const { OnceCell::new() }; LOWEST_KEPT_MAX],
        }
    }

    /// Shows a fork of the version instead, if it has changes. They are ignored if the fork has another directory: its
    /// version was retired, and the view is meaningless.
    pub(super) fn forked(self, forked: Option<&'a ForkSlot>) -> Self {
        let forked = forked.filter(|forked| forked.bits == self.bits);
        Self { forked, ..self }
    }

    /// Returns the bits of the directory.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the binary depth of a cell.
    pub(super) fn depth(&self) -> u32 {
        ROOT_BITS + self.bits
    }

    /// Returns the entry of a node of the heap.
    pub(super) fn entry(&self, node: u32) -> Entry {
        let forked = self.forked.and_then(|forked| forked.entry(node));
        forked.unwrap_or_else(|| self.entry_below(node))
    }

    /// Returns the entry of a node of the heap as the version saw it.
    fn entry_below(&self, node: u32) -> Entry {
        if let Some(leaves) = self.loaded_leaves(node) {
            return fold_leaves(&leaves, ROOT_BITS + node.ilog2()).into();
        }
        let (cells, digests, version) = (&self.cells, &self.digests, self.version);
        let refolded = match is_kept(node) || !digests.is_after(version) {
            true => None,
            false => self.subtree(node).entry(cells, digests, version, node),
        };
        refolded.unwrap_or_else(|| entry_at(cells, digests, version, node))
    }

    /// Returns the directory of the version, without its pages.
    pub(super) fn no_pages(&self) -> SlotPages {
        SlotPages {
            bits: self.bits as u8,
            level: page_level(self.bits) as u8,
            pages: Vec::new(),
        }
    }

    /// Adds the pages of the version below a node of the heap, in path order, with evicted pages unchanged.
    pub(super) fn add_pages(
        &self,
        node: u32,
        pages: &mut Vec<StoredPage>,
    ) -> Result<(), NotInMemory> {
        let levels_above = page_level(self.bits) - node.ilog2();
        let leaves = match self.cells.evicted_leaves(node) {
            Some(leaves) => leaves,
            None if levels_above > 0 => {
                self.add_pages(2 * node, pages)?;
                return self.add_pages(2 * node + 1, pages);
            }
            None => self.count_leaves(node)?,
        };
        let digest = match leaves {
            0 => ZERO,
            _ => self.entry(node).digest,
        };
        let levels_above = levels_above as u8;
        pages.push(StoredPage {
            levels_above,
            leaves,
            digest,
        });
        Ok(())
    }

    /// Returns the number of leaves of the version below a node of the heap.
    fn count_leaves(&self, node: u32) -> Result<u32, NotInMemory> {
        let subtree = self.subtree(node);
        let below = self.bits - node.ilog2();
        let cells = (node << below..(node + 1) << below).map(|cell| cell - (1 << self.bits));
        let count = |cell| match subtree.leaves(cell) {
            Some(leaves) => Ok(leaves.len()),
            None => self.cells.leaf_count(cell, self.bits),
        };
        Ok(cells.map(count).sum::<Result<usize, _>>()? as u32)
    }

    /// Returns a cursor at the top of the slot.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            slot: self,
            place: Position::Heap(1),
            depth: ROOT_BITS,
        }
        .enter()
    }

    /// Returns the page in which the path to a key hash ends, if it has leaves and they must be loaded.
    pub(crate) fn missing(&self, key_hash: &Digest) -> Option<Missing> {
        self.missing_page(self.last_page(key_hash)?)
    }

    /// Returns the pages of some cells that must be loaded.
    pub(super) fn missing_of(&self, cells: impl Iterator<Item = u32>) -> Vec<Missing> {
        let pages = cells.filter_map(|cell| self.page_of((1 << self.bits) + cell));
        let mut pages: Vec<u32> = pages.collect();
        pages.sort_unstable();
        pages.dedup();
        let missing = pages.into_iter().filter_map(|page| self.missing_page(page));
        missing.collect()
    }

    /// Returns an evicted page, unless it was loaded.
    fn missing_page(&self, page: u32) -> Option<Missing> {
        if self.loaded(page).is_some() {
            return None;
        }
        let level = page.ilog2();
        Some(Missing {
            page,
            depth: ROOT_BITS + level,
            digest: self.entry_below(page).digest,
            paths: self.cells.paths(page - (1 << level), level),
        })
    }

    /// Returns the evicted page whose top is a node of the heap, or that contains it.
    fn page_of(&self, node: u32) -> Option<u32> {
        if self.cells.evicted().places == 0 {
            return None;
        }
        let mut upwards = std::iter::successors(Some(node), |node| (*node > 1).then_some(node / 2));
        upwards.find(|node| self.cells.is_evicted_page(*node))
    }

    /// Returns the evicted page of a key hash, or that of the only leaf of a subtree on the path to it; `None` if the
    /// path ends in an empty subtree or in memory.
    fn last_page(&self, key_hash: &Digest) -> Option<u32> {
        if self.cells.evicted().places == 0 {
            return None;
        }
        let mut node = 1;
        while !self.cells.is_evicted_page(node) {
            if node >> self.bits != 0 {
                return None;
            }
            let found = self.entry(node);
            if found.digest == ZERO {
                return None;
            }
            let right = match found.lone {
                true => self.entry(2 * node).digest == ZERO,
                false => bit_of(key_hash, ROOT_BITS + node.ilog2()),
            };
            node = 2 * node + u32::from(right);
        }
        Some(node)
    }

    /// Returns a loaded page by its node in the heap.
    fn loaded(&self, page: u32) -> Option<&Node> {
        let place = self
            .loaded
            .binary_search_by_key(&page, |loaded| loaded.page);
        Some(&self.loaded[place.ok()?].node)
    }

    /// Returns the leaves below a node of the heap that is or lies in an evicted page, if the page was loaded.
    fn loaded_leaves(&self, node: u32) -> Option<Vec<Leaf>> {
        if self.loaded.is_empty() {
            return None;
        }
        let page = self.page_of(node)?;
        let mut leaves = Vec::new();
        self.loaded(page)?.collect_leaves(&mut leaves);
        let level = node.ilog2();
        let paths = self.cells.paths(node - (1 << level), level);
        leaves.retain(|leaf| paths.contains(&path_of(&leaf.key_hash)));
        Some(leaves)
    }

    /// Returns the subtree of a cell, which is in memory or was loaded.
    pub(super) fn cell(&self, cell: u32) -> &Node {
        self.node((1 << self.bits) + cell)
    }

    /// Loads the digests next to nodes of the heap, which are looked up next.
    pub(super) fn read_digests_ahead(&self, nodes: &[u32]) {
        self.digests.read_ahead(nodes);
    }

    /// Loads the leaves of keys that are looked up next.
    pub(super) fn read_ahead<'k>(&self, key_hashes: impl Iterator<Item = &'k Digest> + Clone) {
        self.cells.look_ahead(key_hashes);
    }

    /// Returns the subtree below a heap node at the depth of the cells, which is in memory or was loaded.
    fn node(&self, heap_node: u32) -> &Node {
        let cell = heap_node - (1 << self.bits);
        if let Some(node) = self.forked.and_then(|forked| forked.cell(cell)) {
            return node;
        }
        let changed = match self.cells.is_after(self.version) {
            true => self.subtree(heap_node).leaves(cell),
            false => None,
        };
        match self.cells.node(cell, self.bits) {
            Some(node) if changed.is_none() => node,
            _ => self.restored(cell, changed),
        }
    }

    /// Returns a cell of other leaves than the present one, or of another directory.
    fn restored(&self, cell: u32, changed: Option<&[Leaf]>) -> &Node {
        let paths = self.cells.paths(cell, self.bits);
        let restore = || {
            let present = || {
                let loaded = self.loaded_leaves((1 << self.bits) + cell);
                loaded.unwrap_or_else(|| self.cells.present_leaves(&paths).unwrap_or_default())
            };
            let present = changed.is_none().then(present).unwrap_or_default();
            let leaves = changed.unwrap_or(&present);
            Box::new(Restored {
                cell,
                node: Node::build(leaves, ROOT_BITS + self.bits, 0),
                next: OnceCell::new(),
            })
        };
        let mut found = self.restored.get_or_init(restore);
        while found.cell != cell {
            found = found.next.get_or_init(restore);
        }
        &found.node
    }

    /// Returns the changes below the lowest kept node on the way to a node of the heap.
    fn subtree(&self, node: u32) -> &Subtree {
        let top = lowest_kept(node);
        let subtree = &self.subtrees[(top ^ 1 << top.ilog2()) as usize];
        subtree.get_or_init(|| Box::new(Subtree::new(&self.cells, self.version, top)))
    }
}

/// A subtree at a binary depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    slot: &'a SlotView<'a>,
    place: Position<'a>,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
enum Position<'a> {
    /// A node of the slot's heap above the cells.
    Heap(u32),
    /// An evicted page. The proof shows no leaf of it, so its digest is enough.
    Evicted(u32),
    Branch(&'a Branch),
    /// One half of a two-bit branch, one level above.
    Half(&'a Branch, bool),
    Leaves(&'a [Leaf]),
}

/// The content of a subtree, as a proof shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Empty,
    Leaf(&'a Leaf),
    Bucket(&'a [Leaf]),
    /// More than one leaf, above the last level.
    Fork,
}

impl<'a> Cursor<'a> {
    fn with(&self, place: Position<'a>, depth: u32) -> Self {
        Self {
            slot: self.slot,
            place,
            depth,
        }
    }

    /// Enters the subtree of an evicted page or of a cell, if the cursor is at the top of one.
    fn enter(self) -> Self {
        let Position::Heap(node) = self.place else {
            return self;
        };
        let forked = self.slot.forked.and_then(|forked| forked.entry(node));
        if forked.is_none() {
            if let Some(found) = self.slot.loaded(node) {
                return self.with_node(found, self.depth);
            }
            if self.slot.cells.is_evicted_page(node) {
                return self.with(Position::Evicted(node), self.depth);
            }
        }
        match node >> self.slot.bits {
            0 => self,
            _ => self.with_node(self.slot.node(node), self.depth),
        }
    }

    fn with_node(&self, node: &'a Node, depth: u32) -> Self {
        let place = match node {
            Node::Block(leaves) => Position::Leaves(leaves),
            Node::Branch(branch) => Position::Branch(branch),
        };
        self.with(place, depth)
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Returns the digest of the subtree.
    pub(crate) fn digest(&self) -> Digest {
        match self.place {
            Position::Heap(node) | Position::Evicted(node) => self.slot.entry(node).digest,
            Position::Branch(branch) => fold_branch_digest(branch, self.depth),
            Position::Half(branch, right) => fold_half(branch, self.depth - 1, right).digest(),
            Position::Leaves(leaves) => fold_leaves(leaves, self.depth).digest(),
        }
    }

    pub(crate) fn view(&self) -> View<'a> {
        match self.place {
            Position::Heap(node) => {
                let entry = self.slot.entry(node);
                if entry.digest == ZERO {
                    View::Empty
                } else if entry.lone {
                    self.lone_leaf()
                } else {
                    View::Fork
                }
            }
            // No proof shows a page that was not loaded, and a page without leaves is never evicted.
            Position::Evicted(_) => View::Empty,
            Position::Branch(_) => View::Fork,
            Position::Half(branch, right) => view_half(branch, right),
            Position::Leaves([]) => View::Empty,
            Position::Leaves([leaf]) => View::Leaf(leaf),
            Position::Leaves(leaves) if self.depth == PATH_BITS => View::Bucket(leaves),
            Position::Leaves(_) => View::Fork,
        }
    }

    /// Returns the only leaf below a heap node, following the side that is not empty.
    fn lone_leaf(&self) -> View<'a> {
        let mut cursor = *self;
        while let Position::Heap(_) = cursor.place {
            let (left, right) = cursor.halves();
            cursor = if left.digest() == ZERO { right } else { left };
        }
        cursor.view()
    }

    /// Returns the two halves of a fork.
    pub(crate) fn halves(&self) -> (Self, Self) {
        let depth = self.depth + 1;
        match self.place {
            Position::Heap(node) => (
                self.with(Position::Heap(2 * node), depth).enter(),
                self.with(Position::Heap(2 * node + 1), depth).enter(),
            ),
            Position::Evicted(node) => (
                self.with(Position::Evicted(node), depth),
                self.with(Position::Evicted(node), depth),
            ),
            Position::Branch(branch) if branch_bits(self.depth) == 2 => (
                self.with(Position::Half(branch, false), depth),
                self.with(Position::Half(branch, true), depth),
            ),
            Position::Branch(branch) => (
                self.with_node(&branch.children[0], depth),
                self.with_node(&branch.children[1], depth),
            ),
            Position::Half(branch, right) => {
                let first = 2 * usize::from(right);
                (
                    self.with_node(&branch.children[first], depth),
                    self.with_node(&branch.children[first + 1], depth),
                )
            }
            Position::Leaves(leaves) => {
                let (left, right) = halves(leaves, self.depth);
                (
                    self.with(Position::Leaves(left), depth),
                    self.with(Position::Leaves(right), depth),
                )
            }
        }
    }
}

fn fold_branch_digest(branch: &Branch, depth: u32) -> Digest {
    *branch
        .digest
        .get_or_init(|| super::fold::fold_branch(branch, depth).digest())
}

/// Returns the view of half a branch: a fork, unless its children together hold at most one leaf.
fn view_half(branch: &Branch, right: bool) -> View<'_> {
    let first = 2 * usize::from(right);
    match [&branch.children[first], &branch.children[first + 1]] {
        [Node::Block(left), Node::Block(right)] => match (&left[..], &right[..]) {
            ([], []) => View::Empty,
            ([leaf], []) | ([], [leaf]) => View::Leaf(leaf),
            _ => View::Fork,
        },
        _ => View::Fork,
    }
}
