//! Walking one slot of one version a binary level at a time, as proofs see it, whatever the memory
//! layout.

use std::cell::OnceCell;
use std::sync::RwLockReadGuard;

use super::cells::Cells;
use super::digests::Digests;
use super::fold::{fold_half, fold_leaves, halves};
use super::node::{Branch, Leaf, Node, branch_bits};
use crate::hash::{Digest, ZERO};
use crate::params::{PATH_BITS, ROOT_BITS};

/// One slot as a version saw it.
#[derive(Debug)]
pub(crate) struct SlotView<'a> {
    cells: RwLockReadGuard<'a, Cells>,
    digests: RwLockReadGuard<'a, Digests>,
    version: u64,
    bits: u32,
    /// Cells that changed since the version, as it saw them: made when a cursor gets there.
    restored: OnceCell<Box<Restored>>,
}

/// A list that grows behind shared references.
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
    ) -> Self {
        let bits = cells.bits_at(version);
        Self {
            cells,
            digests,
            version,
            bits,
            restored: OnceCell::new(),
        }
    }

    /// A cursor at the top of the slot.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            slot: self,
            place: Place::Heap(1),
            depth: ROOT_BITS,
        }
        .settled()
    }

    fn node(&self, heap_node: u32) -> &Node {
        let cell = heap_node - (1 << self.bits);
        match self.cells.unchanged_node(self.version, cell) {
            Some(node) => node,
            None => self.restored(cell),
        }
    }

    fn restored(&self, cell: u32) -> &Node {
        let restore = || {
            let leaves = self.cells.leaves_at(self.version, cell, self.bits);
            Box::new(Restored {
                cell,
                node: Node::build(&leaves, ROOT_BITS + self.bits),
                next: OnceCell::new(),
            })
        };
        let mut found = self.restored.get_or_init(restore);
        while found.cell != cell {
            found = found.next.get_or_init(restore);
        }
        &found.node
    }
}

/// A subtree at a binary depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    slot: &'a SlotView<'a>,
    place: Place<'a>,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// A node of the slot's heap above the cells.
    Heap(u32),
    Branch(&'a Branch),
    /// One half of a two-bit branch that stands one level above.
    Half(&'a Branch, bool),
    Leaves(&'a [Leaf]),
}

/// What a proof shows of a subtree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Empty,
    Leaf(&'a Leaf),
    Bucket(&'a [Leaf]),
    /// More than one leaf, above the last level.
    Fork,
}

impl<'a> Cursor<'a> {
    fn with(&self, place: Place<'a>, depth: u32) -> Self {
        Self {
            slot: self.slot,
            place,
            depth,
        }
    }

    /// At the depth of the cells, goes over from the heap to what hangs below it.
    fn settled(self) -> Self {
        match self.place {
            Place::Heap(node) if node >> self.slot.bits != 0 => {
                self.with_node(self.slot.node(node), self.depth)
            }
            _ => self,
        }
    }

    fn with_node(&self, node: &'a Node, depth: u32) -> Self {
        let place = match node {
            Node::Block(leaves) => Place::Leaves(leaves),
            Node::Branch(branch) => Place::Branch(branch),
        };
        self.with(place, depth)
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// The digest of the subtree.
    pub(crate) fn digest(&self) -> Digest {
        match self.place {
            Place::Heap(node) => self.slot.digests.entry_at(self.slot.version, node).digest,
            Place::Branch(branch) => fold_branch_digest(branch, self.depth),
            Place::Half(branch, right) => fold_half(branch, self.depth - 1, right).digest(),
            Place::Leaves(leaves) => fold_leaves(leaves, self.depth).digest(),
        }
    }

    pub(crate) fn view(&self) -> View<'a> {
        match self.place {
            Place::Heap(node) => {
                let entry = self.slot.digests.entry_at(self.slot.version, node);
                if entry.digest == ZERO {
                    View::Empty
                } else if entry.lone {
                    self.lone_leaf()
                } else {
                    View::Fork
                }
            }
            Place::Branch(_) => View::Fork,
            Place::Half(branch, right) => view_half(branch, right),
            Place::Leaves([]) => View::Empty,
            Place::Leaves([leaf]) => View::Leaf(leaf),
            Place::Leaves(leaves) if self.depth == PATH_BITS => View::Bucket(leaves),
            Place::Leaves(_) => View::Fork,
        }
    }

    /// The only leaf below a heap node: on the side that is not empty, all the way down.
    fn lone_leaf(&self) -> View<'a> {
        let mut cursor = *self;
        while let Place::Heap(_) = cursor.place {
            let (left, right) = cursor.halves();
            cursor = if left.digest() == ZERO { right } else { left };
        }
        cursor.view()
    }

    /// The two halves of a fork.
    pub(crate) fn halves(&self) -> (Self, Self) {
        let depth = self.depth + 1;
        match self.place {
            Place::Heap(node) => (
                self.with(Place::Heap(2 * node), depth).settled(),
                self.with(Place::Heap(2 * node + 1), depth).settled(),
            ),
            Place::Branch(branch) if branch_bits(self.depth) == 2 => (
                self.with(Place::Half(branch, false), depth),
                self.with(Place::Half(branch, true), depth),
            ),
            Place::Branch(branch) => (
                self.with_node(&branch.children[0], depth),
                self.with_node(&branch.children[1], depth),
            ),
            Place::Half(branch, right) => {
                let first = 2 * usize::from(right);
                (
                    self.with_node(&branch.children[first], depth),
                    self.with_node(&branch.children[first + 1], depth),
                )
            }
            Place::Leaves(leaves) => {
                let (left, right) = halves(leaves, self.depth);
                (
                    self.with(Place::Leaves(left), depth),
                    self.with(Place::Leaves(right), depth),
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

/// Half a branch is a fork unless one of its two children is empty and the other holds one leaf.
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
