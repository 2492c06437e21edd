//! Folding what lies below a cell: many hashes at once when a version is hashed, one at a time for
//! proofs.
//!
//! The compaction rule stands in one place, [`Fold`]: an empty subtree is zero, a subtree of one
//! leaf *is* that leaf's digest, anything else is the hash of its halves.
//!
//! To hash many at once, one walk writes every 64-byte input into the list of its binary depth;
//! then the lists are hashed from the deepest up, each as wide as the machine allows, results
//! flowing into the inputs one level above. Branches that kept their digest are not entered.
//! Not here: the levels above the cells (`digests`).

use std::sync::OnceLock;

use super::node::{Branch, Leaf, Node, bit_of, branch_bits};
use crate::hash::{BUCKET, Digest, INNER, Pair, ZERO, pair};
use crate::params::PATH_BITS;

/// Inputs gathered before they are hashed: bounds the scratch memory of a bulk load to some 10 MB.
const GATHERED_PAIRS_MAX: usize = 1 << 16;

/// What a subtree comes to, as far as its parent must know; `D` is how its digest is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold<D> {
    Empty,
    /// Exactly one leaf, with its digest.
    One(Digest),
    Many(D),
}

impl Fold<Digest> {
    pub(super) fn digest(self) -> Digest {
        match self {
            Self::Empty => ZERO,
            Self::One(digest) | Self::Many(digest) => digest,
        }
    }

    /// The fold of two halves, hashed at once.
    fn join(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (Self::One(leaf), Self::Empty) | (Self::Empty, Self::One(leaf)) => Self::One(leaf),
            _ => Self::Many(INNER.hash(&pair(&left.digest(), &right.digest()))),
        }
    }
}

/// The digest of keys that share a whole path: count (u8), then key hash and value hash of each.
pub(super) fn bucket_digest(leaves: &[Leaf]) -> Digest {
    let mut body = Vec::with_capacity(1 + 64 * leaves.len());
    body.push(leaves.len() as u8);
    for leaf in leaves {
        body.extend_from_slice(&leaf.key_hash);
        body.extend_from_slice(&leaf.value_hash);
    }
    BUCKET.hash(&body)
}

/// Leaves of one block, folded one hash at a time: for proofs, which need few.
pub(super) fn fold_leaves(leaves: &[Leaf], depth: u32) -> Fold<Digest> {
    match leaves {
        [] => Fold::Empty,
        [leaf] => Fold::One(leaf.digest),
        _ if depth == PATH_BITS => Fold::Many(bucket_digest(leaves)),
        _ => {
            let (left, right) = halves(leaves, depth);
            Fold::join(fold_leaves(left, depth + 1), fold_leaves(right, depth + 1))
        }
    }
}

/// A subtree, from its kept digest if it has one.
pub(super) fn fold_node(node: &Node, depth: u32) -> Fold<Digest> {
    match node {
        Node::Empty => Fold::Empty,
        Node::Block(block) => fold_leaves(&block.slice, depth),
        Node::Branch(branch) => Fold::Many(
            *branch
                .digest
                .get_or_init(|| fold_branch(branch, depth).digest()),
        ),
    }
}

pub(super) fn fold_branch(branch: &Branch, depth: u32) -> Fold<Digest> {
    if branch_bits(depth) == 1 {
        let [left, right, ..] = &branch.children;
        return Fold::join(fold_node(left, depth + 1), fold_node(right, depth + 1));
    }
    Fold::join(
        fold_half(branch, depth, false),
        fold_half(branch, depth, true),
    )
}

/// The half of a two-bit branch at `depth`: a subtree at `depth + 1`.
pub(super) fn fold_half(branch: &Branch, depth: u32, right: bool) -> Fold<Digest> {
    let first = 2 * usize::from(right);
    Fold::join(
        fold_node(&branch.children[first], depth + 2),
        fold_node(&branch.children[first + 1], depth + 2),
    )
}

/// Splits leaves in path order at the bit that follows `depth`.
pub(super) fn halves(leaves: &[Leaf], depth: u32) -> (&[Leaf], &[Leaf]) {
    let middle = leaves
        .iter()
        .position(|leaf| bit_of(&leaf.key_hash, depth))
        .unwrap_or(leaves.len());
    leaves.split_at(middle)
}

/// A digest that the walk already knows, or the place in the next deeper list where it will be.
#[derive(Clone, Copy, Debug)]
enum Source {
    Known(Digest),
    Pending(u32),
}

/// The inputs of one binary depth.
#[derive(Debug, Default)]
struct Level {
    pairs: Vec<Pair>,
    /// Half of an input (twice its place, plus one for the right), and the place one level deeper
    /// of the digest that belongs there.
    pending: Vec<(u32, u32)>,
    digests: Vec<Digest>,
}

/// The lists, kept from version to version.
#[derive(Debug)]
pub(super) struct Gather {
    levels: Vec<Level>,
    pairs: usize,
}

/// Where a digest goes once it is known: the place in its depth's list, and the node.
type Awaiting<'a> = (u32, u32, &'a OnceLock<Digest>);

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            levels: (0..PATH_BITS).map(|_| Level::default()).collect(),
            pairs: 0,
        }
    }

    /// Folds nodes that all stand at `depth`, into `folds`, in their order.
    pub(super) fn fold_nodes<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a Node>,
        depth: u32,
        folds: &mut Vec<Fold<Digest>>,
    ) {
        folds.clear();
        let mut awaiting = Vec::new();
        let mut open = Vec::new();
        for node in nodes {
            match self.node(node, depth, &mut awaiting) {
                Fold::Empty => folds.push(Fold::Empty),
                Fold::One(digest) => folds.push(Fold::One(digest)),
                Fold::Many(Source::Known(digest)) => folds.push(Fold::Many(digest)),
                Fold::Many(Source::Pending(place)) => {
                    open.push((folds.len(), place));
                    folds.push(Fold::Empty);
                }
            }
            if self.pairs >= GATHERED_PAIRS_MAX {
                self.settle(depth, &mut awaiting, &mut open, folds);
            }
        }
        self.settle(depth, &mut awaiting, &mut open, folds);
    }

    fn settle(
        &mut self,
        depth: u32,
        awaiting: &mut Vec<Awaiting<'_>>,
        open: &mut Vec<(usize, u32)>,
        folds: &mut [Fold<Digest>],
    ) {
        self.hash();
        for (depth, place, cell) in awaiting.drain(..) {
            let digest = self.levels[depth as usize].digests[place as usize];
            cell.get_or_init(|| digest);
        }
        for (fold, place) in open.drain(..) {
            folds[fold] = Fold::Many(self.levels[depth as usize].digests[place as usize]);
        }
        for level in &mut self.levels {
            level.pairs.clear();
            level.pending.clear();
        }
        self.pairs = 0;
    }

    /// Hashes the lists from the deepest up.
    fn hash(&mut self) {
        for depth in (0..self.levels.len()).rev() {
            let (above, below) = self.levels.split_at_mut(depth + 1);
            let level = &mut above[depth];
            for &(half, place) in &level.pending {
                let start = 32 * (half as usize & 1);
                level.pairs[half as usize >> 1][start..start + 32]
                    .copy_from_slice(&below[0].digests[place as usize]);
            }
            INNER.hash_pairs(&level.pairs, &mut level.digests);
        }
    }

    fn node<'a>(
        &mut self,
        node: &'a Node,
        depth: u32,
        awaiting: &mut Vec<Awaiting<'a>>,
    ) -> Fold<Source> {
        match node {
            Node::Empty => Fold::Empty,
            Node::Block(block) => self.leaves(&block.slice, depth),
            Node::Branch(branch) => match branch.digest.get() {
                Some(digest) => Fold::Many(Source::Known(*digest)),
                None => {
                    let fold = self.branch(branch, depth, awaiting);
                    await_digest(fold, depth, &branch.digest, awaiting)
                }
            },
        }
    }

    fn branch<'a>(
        &mut self,
        branch: &'a Branch,
        depth: u32,
        awaiting: &mut Vec<Awaiting<'a>>,
    ) -> Fold<Source> {
        let [a, b, c, d] = &branch.children;
        if branch_bits(depth) == 1 {
            let left = self.node(a, depth + 1, awaiting);
            let right = self.node(b, depth + 1, awaiting);
            return self.join(depth, left, right);
        }
        let (a, b) = (
            self.node(a, depth + 2, awaiting),
            self.node(b, depth + 2, awaiting),
        );
        let left = self.join(depth + 1, a, b);
        let (c, d) = (
            self.node(c, depth + 2, awaiting),
            self.node(d, depth + 2, awaiting),
        );
        let right = self.join(depth + 1, c, d);
        self.join(depth, left, right)
    }

    fn leaves(&mut self, leaves: &[Leaf], depth: u32) -> Fold<Source> {
        match leaves {
            [] => Fold::Empty,
            [leaf] => Fold::One(leaf.digest),
            _ if depth == PATH_BITS => Fold::Many(Source::Known(bucket_digest(leaves))),
            _ => {
                let (left, right) = halves(leaves, depth);
                let left = self.leaves(left, depth + 1);
                let right = self.leaves(right, depth + 1);
                self.join(depth, left, right)
            }
        }
    }

    /// The subtree at `depth` made of two halves.
    fn join(&mut self, depth: u32, left: Fold<Source>, right: Fold<Source>) -> Fold<Source> {
        match (left, right) {
            (Fold::Empty, Fold::Empty) => return Fold::Empty,
            (Fold::One(leaf), Fold::Empty) | (Fold::Empty, Fold::One(leaf)) => {
                return Fold::One(leaf);
            }
            _ => {}
        }
        let level = &mut self.levels[depth as usize];
        let place = level.pairs.len() as u32;
        let mut input = [0; 64];
        for (side, half) in [left, right].into_iter().enumerate() {
            match half {
                Fold::Empty => {}
                Fold::One(digest) | Fold::Many(Source::Known(digest)) => {
                    input[32 * side..32 * side + 32].copy_from_slice(&digest);
                }
                Fold::Many(Source::Pending(deeper)) => {
                    level.pending.push((2 * place + side as u32, deeper));
                }
            }
        }
        level.pairs.push(input);
        self.pairs += 1;
        Fold::Many(Source::Pending(place))
    }
}

fn await_digest<'a>(
    fold: Fold<Source>,
    depth: u32,
    cell: &'a OnceLock<Digest>,
    awaiting: &mut Vec<Awaiting<'a>>,
) -> Fold<Source> {
    match fold {
        Fold::Many(Source::Pending(place)) => awaiting.push((depth, place, cell)),
        Fold::Many(Source::Known(digest)) => {
            cell.get_or_init(|| digest);
        }
        Fold::Empty | Fold::One(_) => {}
    }
    fold
}
