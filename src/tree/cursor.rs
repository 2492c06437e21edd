//! Walking a hashed tree one binary level at a time, as proofs see it, whatever the memory layout.

use super::digest::{Fold, fold_half, fold_leaves, fold_node, halves};
use super::node::{Branch, Leaf, Node, branch_bits};
use crate::hash::Digest;
use crate::params::PATH_BITS;

/// A subtree at a binary depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    place: Place<'a>,
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Node(&'a Node),
    Leaves(&'a [Leaf]),
    /// One half of a branch that stands one level above.
    Half(&'a Branch, bool),
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
    pub(super) fn at(node: &'a Node, depth: u32) -> Self {
        let place = match node {
            Node::Block(block) => Place::Leaves(&block.slice),
            _ => Place::Node(node),
        };
        Self { place, depth }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// The digest of the subtree.
    pub(crate) fn digest(&self) -> Digest {
        self.fold().digest()
    }

    fn fold(&self) -> Fold<Digest> {
        match self.place {
            Place::Node(node) => fold_node(node, self.depth),
            Place::Leaves(leaves) => fold_leaves(leaves, self.depth),
            Place::Half(branch, right) => fold_half(branch, self.depth - 1, right),
        }
    }

    pub(crate) fn view(&self) -> View<'a> {
        match self.place {
            Place::Node(Node::Empty) => View::Empty,
            Place::Node(_) => View::Fork,
            Place::Leaves([]) => View::Empty,
            Place::Leaves([leaf]) => View::Leaf(leaf),
            Place::Leaves(leaves) if self.depth == PATH_BITS => View::Bucket(leaves),
            Place::Leaves(_) => View::Fork,
            Place::Half(branch, right) => view_half(branch, right),
        }
    }

    /// The two halves of a fork.
    pub(crate) fn halves(&self) -> (Self, Self) {
        let depth = self.depth + 1;
        match self.place {
            Place::Leaves(leaves) => {
                let (left, right) = halves(leaves, self.depth);
                let half = |leaves| Self {
                    place: Place::Leaves(leaves),
                    depth,
                };
                (half(left), half(right))
            }
            Place::Node(Node::Branch(branch)) if branch_bits(self.depth) == 2 => {
                let half = |right| Self {
                    place: Place::Half(branch, right),
                    depth,
                };
                (half(false), half(true))
            }
            Place::Node(Node::Branch(branch)) => (
                Self::at(&branch.children[0], depth),
                Self::at(&branch.children[1], depth),
            ),
            Place::Half(branch, right) => {
                let first = 2 * usize::from(right);
                (
                    Self::at(&branch.children[first], depth),
                    Self::at(&branch.children[first + 1], depth),
                )
            }
            Place::Node(node) => (Self::at(node, depth), Self::at(node, depth)),
        }
    }
}

/// Half a branch is a fork unless one of its two children is empty and the other holds one leaf.
fn view_half(branch: &Branch, right: bool) -> View<'_> {
    let first = 2 * usize::from(right);
    let children = [&branch.children[first], &branch.children[first + 1]];
    match children {
        [Node::Empty, Node::Empty] => View::Empty,
        [Node::Block(block), Node::Empty] | [Node::Empty, Node::Block(block)] => {
            match &block.slice[..] {
                [leaf] => View::Leaf(leaf),
                _ => View::Fork,
            }
        }
        _ => View::Fork,
    }
}
