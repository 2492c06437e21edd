//! Digests of a version: only of what changed, and many at once.
//!
//! A node that has no digest yet is new in this version, and so is everything above it: one walk
//! from the root through such nodes finds all the work and touches nothing else. The walk writes
//! every 64-byte input into the list of its binary depth; then the lists are hashed from the
//! deepest up, each as wide as the machine allows, results flowing into the inputs one level above.
//!
//! The compaction rule stands in one place, [`Fold`]: an empty subtree is zero, a subtree of one
//! leaf *is* that leaf's digest, anything else is the hash of its halves.
//!
//! Not here: which thread does it, beyond the number of pieces that the work is cut into.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::node::{Branch, Leaf, Node, bit_of, branch_bits};
use super::{HashedTree, Tree};
use crate::hash::{BUCKET, Digest, INNER, Pair, ZERO, pair};
use crate::params::{PATH_BITS, ROOT_BITS, WIDTH};

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
        Node::Block(block) => match &block.slice[..] {
            [leaf] => Fold::One(leaf.digest),
            leaves => Fold::Many(
                *block
                    .header
                    .header
                    .digest
                    .get_or_init(|| fold_leaves(leaves, depth).digest()),
            ),
        },
        Node::Branch(branch) => Fold::Many(
            *branch
                .digest
                .get_or_init(|| fold_branch(branch, depth).digest()),
        ),
    }
}

fn fold_branch(branch: &Branch, depth: u32) -> Fold<Digest> {
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

/// The 7-level fold of the root node: every level hashed, but two empty halves stay empty.
pub(super) fn state_digest(slots: &[Digest; WIDTH]) -> Digest {
    let mut level = slots.to_vec();
    let mut pairs = Vec::with_capacity(WIDTH / 2);
    let mut hashed = Vec::with_capacity(WIDTH / 2);
    while level.len() > 1 {
        pairs.clear();
        pairs.extend(level.chunks_exact(2).map(|two| pair(&two[0], &two[1])));
        INNER.hash_pairs(&pairs, &mut hashed);
        for (digest, halves) in hashed.iter_mut().zip(level.chunks_exact(2)) {
            if halves == [ZERO, ZERO] {
                *digest = ZERO;
            }
        }
        std::mem::swap(&mut level, &mut hashed);
    }
    level[0]
}

/// A digest that the walk already knows, or the place in the next deeper list where it will be.
#[derive(Clone, Copy)]
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

/// Scratch memory for the digests of one piece of the tree, kept from version to version.
#[derive(Debug)]
struct Gather {
    levels: Vec<Level>,
    pairs: usize,
}

/// Where a digest goes once it is known: the place in its depth's list, and the node.
type Awaiting<'a> = (u32, u32, &'a OnceLock<Digest>);

impl Gather {
    fn new() -> Self {
        Self {
            levels: (0..PATH_BITS).map(|_| Level::default()).collect(),
            pairs: 0,
        }
    }

    /// Digests of the slots of one piece of the root.
    fn slots(&mut self, nodes: &[Node], digests: &mut [Digest]) {
        let mut awaiting = Vec::new();
        let mut slots = Vec::new();
        for (node, digest) in nodes.iter().zip(digests) {
            match self.node(node, ROOT_BITS, &mut awaiting) {
                Fold::Empty => *digest = ZERO,
                Fold::One(known) | Fold::Many(Source::Known(known)) => *digest = known,
                Fold::Many(Source::Pending(place)) => slots.push((place, digest)),
            }
            if self.pairs >= GATHERED_PAIRS_MAX {
                self.settle(&mut awaiting, &mut slots);
            }
        }
        self.settle(&mut awaiting, &mut slots);
    }

    fn settle(&mut self, awaiting: &mut Vec<Awaiting<'_>>, slots: &mut Vec<(u32, &mut Digest)>) {
        self.hash();
        for (depth, place, cell) in awaiting.drain(..) {
            let digest = self.levels[depth as usize].digests[place as usize];
            cell.get_or_init(|| digest);
        }
        for (place, digest) in slots.drain(..) {
            *digest = self.levels[ROOT_BITS as usize].digests[place as usize];
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
            Node::Block(block) => {
                let cell = &block.header.header.digest;
                match (&block.slice[..], cell.get()) {
                    ([leaf], _) => Fold::One(leaf.digest),
                    (_, Some(digest)) => Fold::Many(Source::Known(*digest)),
                    (leaves, None) => {
                        let fold = self.leaves(leaves, depth);
                        await_digest(fold, depth, cell, awaiting)
                    }
                }
            }
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

/// Makes hashed trees out of trees, and keeps the scratch memory for it.
///
/// ```
/// use trunkline_core::params::CollisionPolicy;
/// use trunkline_core::tree::{Tree, TreeHasher};
/// let empty = Tree::new(CollisionPolicy::Bucket);
/// assert_eq!(TreeHasher::new(1).hash(empty, None).state_digest(), &[0; 32]);
/// ```
#[derive(Debug)]
pub struct TreeHasher {
    pieces: Vec<Gather>,
}

impl TreeHasher {
    /// Cuts the work into a number of pieces (1 to 128), one thread each.
    pub fn new(pieces: usize) -> Self {
        Self {
            pieces: (0..pieces.clamp(1, WIDTH)).map(|_| Gather::new()).collect(),
        }
    }

    /// Computes every digest that is missing in the tree.
    ///
    /// Without a pool, or with one piece, all work is done on the calling thread.
    pub fn hash(&mut self, tree: Tree, pool: Option<&rayon::ThreadPool>) -> HashedTree {
        let mut slots = Box::new([ZERO; WIDTH]);
        match pool {
            Some(pool) if self.pieces.len() > 1 => {
                let width = WIDTH.div_ceil(self.pieces.len());
                pool.install(|| {
                    self.pieces
                        .par_iter_mut()
                        .zip(tree.slots.par_chunks(width))
                        .zip(slots.par_chunks_mut(width))
                        .for_each(|((gather, nodes), digests)| gather.slots(nodes, digests));
                });
            }
            _ => self.pieces[0].slots(&tree.slots[..], &mut slots[..]),
        }
        let state_digest = state_digest(&slots);
        HashedTree {
            tree,
            slots,
            state_digest,
        }
    }
}
