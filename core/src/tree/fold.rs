//! Folding the leaves below a cell into a digest: many hashes at once when a version is hashed, one at a
//! time for proofs.
//!
//! The compaction rule stands in one place, [`Fold`]: an empty subtree is zero, a subtree of one
//! leaf *is* that leaf's digest, anything else is the hash of its halves.
//!
//! To hash many at once, one walk writes every 64-byte input into the list of its binary depth;
//! then the lists are hashed from the deepest up, each as wide as the machine allows, results
//! flowing into the inputs one level above. Not here: the levels above the cells (`digests`).

use std::ops::Range;

use super::node::{Branch, Leaf, Node, bit_of, branch_bits};
use crate::batch::leaf_digest;
use crate::hash::{BUCKET, Digest, INNER, LEAF, Pair, ZERO, pair};
use crate::params::PATH_BITS;

/// The number of leaves that are gathered before they are folded: their data stays within a core's cache.
const GATHERED_LEAVES_MAX: usize = 1 << 10;

/// The digest of a subtree, as its parent must know it. `D` is the form of the digest.
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

    /// Returns the fold of two halves, hashed at once.
    pub(super) fn join(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (Self::One(leaf), Self::Empty) | (Self::Empty, Self::One(leaf)) => Self::One(leaf),
            _ => Self::Many(INNER.hash(&pair(&left.digest(), &right.digest()))),
        }
    }
}

/// Returns the digest of keys that share a whole path: count (u8), then key hash and value hash of each.
pub(super) fn bucket_digest(leaves: &[Pair]) -> Digest {
    let mut body = Vec::with_capacity(1 + 64 * leaves.len());
    body.push(leaves.len() as u8);
    body.extend_from_slice(leaves.as_flattened());
    BUCKET.hash(&body)
}

/// Folds the leaves of one block one hash at a time: for proofs, which need few.
pub(super) fn fold_leaves(leaves: &[Leaf], depth: u32) -> Fold<Digest> {
    match leaves {
        [] => Fold::Empty,
        [leaf] => Fold::One(leaf_digest(&leaf.key_hash, &leaf.value_hash)),
        _ if depth == PATH_BITS => {
            let pairs: Vec<Pair> = leaves
                .iter()
                .map(|leaf| pair(&leaf.key_hash, &leaf.value_hash))
                .collect();
            Fold::Many(bucket_digest(&pairs))
        }
        _ => {
            let (left, right) = halves(leaves, depth);
            Fold::join(fold_leaves(left, depth + 1), fold_leaves(right, depth + 1))
        }
    }
}

/// Returns a subtree, from its kept digest if it has one.
pub(super) fn fold_node(node: &Node, depth: u32) -> Fold<Digest> {
    match node {
        Node::Block(leaves) => fold_leaves(leaves, depth),
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

/// Returns the half of a two-bit branch at `depth`: a subtree at `depth + 1`.
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

/// A digest of a leaf, or the position in the next deeper list where a digest will be.
#[derive(Clone, Copy, Debug)]
enum Source {
    Leaf(u32),
    Bucket(Digest),
    Pending(u32),
}

/// The inputs of one binary depth.
#[derive(Debug, Default)]
struct Level {
    pairs: Vec<Pair>,
    /// The half of an input (twice its position, plus one for the right half), and the position one level deeper of the
    /// digest that belongs there.
    pending: Vec<(u32, u32)>,
    digests: Vec<Digest>,
}

/// A fold of the leaves of many cells at once. Its lists are kept from version to version.
#[derive(Debug)]
pub(super) struct Gather {
    levels: Vec<Level>,
    deepest: usize,
    /// The leaves that wait to be folded: position, path and digest of each.
    places: Vec<u32>,
    paths: Vec<u64>,
    digests: Vec<Digest>,
    /// The end of the leaves of each cell.
    ends: Vec<u32>,
    open: Vec<Fold<Source>>,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            levels: (0..PATH_BITS).map(|_| Level::default()).collect(),
            deepest: 0,
            places: Vec::new(),
            paths: Vec::new(),
            digests: Vec::new(),
            ends: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Folds cells that are all at `depth` into `folds`, in their order. `leaves` has the inputs of leaves' digests,
    /// `cells` the range of each cell among them.
    pub(super) fn fold_cells(
        &mut self,
        leaves: &[Pair],
        cells: impl Iterator<Item = Range<u32>>,
        depth: u32,
        folds: &mut Vec<Fold<Digest>>,
    ) {
        folds.clear();
        for cell in cells {
            self.places.extend(cell);
            self.ends.push(self.places.len() as u32);
            if self.places.len() >= GATHERED_LEAVES_MAX {
                self.fold_gathered(leaves, depth, folds);
            }
        }
        self.fold_gathered(leaves, depth, folds);
    }

    fn fold_gathered(&mut self, leaves: &[Pair], depth: u32, folds: &mut Vec<Fold<Digest>>) {
        LEAF.hash_pairs_at(leaves, &self.places, &mut self.digests);
        let gathered = self.places.iter().map(|place| &leaves[*place as usize]);
        self.paths.clear();
        self.paths.extend(gathered.map(path_of_pair));
        let mut start = 0;
        for cell in 0..self.ends.len() {
            let end = self.ends[cell] as usize;
            let fold = self.leaves(leaves, start..end, depth);
            self.open.push(fold);
            start = end;
        }
        self.hash();
        folds.extend(self.open.iter().map(|fold| match *fold {
            Fold::Empty => Fold::Empty,
            Fold::One(digest) => Fold::One(digest),
            Fold::Many(source) => Fold::Many(self.resolve(source, depth)),
        }));
        self.clear();
    }

    fn clear(&mut self) {
        for level in &mut self.levels[..=self.deepest] {
            level.pairs.clear();
            level.pending.clear();
        }
        self.deepest = 0;
        self.places.clear();
        self.ends.clear();
        self.open.clear();
    }

    fn resolve(&self, source: Source, depth: u32) -> Digest {
        match source {
            Source::Leaf(place) => self.digests[place as usize],
            Source::Bucket(digest) => digest,
            Source::Pending(place) => self.levels[depth as usize].digests[place as usize],
        }
    }

    /// Hashes the lists from the deepest to the highest.
    fn hash(&mut self) {
        for depth in (0..=self.deepest).rev() {
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

    fn leaves(&mut self, leaves: &[Pair], range: Range<usize>, depth: u32) -> Fold<Source> {
        match range.len() {
            0 => Fold::Empty,
            1 => Fold::One(self.digests[range.start]),
            _ if depth == PATH_BITS => {
                let places = self.places[range].iter();
                let members: Vec<Pair> = places.map(|place| leaves[*place as usize]).collect();
                Fold::Many(Source::Bucket(bucket_digest(&members)))
            }
            _ => {
                let bit = |path: &u64| path >> (PATH_BITS - 1 - depth) & 1 == 1;
                let mine = &self.paths[range.clone()];
                let left = mine.iter().position(bit).unwrap_or(mine.len());
                let middle = range.start + left;
                let left = self.half(leaves, range.start..middle, depth + 1);
                let right = self.half(leaves, middle..range.end, depth + 1);
                Fold::Many(self.join(depth, left, right))
            }
        }
    }

    /// Adds one half of a subtree with at least two leaves; `None` if the half is empty.
    fn half(&mut self, leaves: &[Pair], range: Range<usize>, depth: u32) -> Option<Source> {
        if range.len() == 1 {
            return Some(Source::Leaf(range.start as u32));
        }
        match self.leaves(leaves, range, depth) {
            Fold::Many(source) => Some(source),
            Fold::Empty | Fold::One(_) => None,
        }
    }

    /// Adds the subtree of at least two leaves at `depth`, made of two halves.
    fn join(&mut self, depth: u32, left: Option<Source>, right: Option<Source>) -> Source {
        self.deepest = self.deepest.max(depth as usize);
        let level = &mut self.levels[depth as usize];
        let place = level.pairs.len() as u32;
        let mut input = [0; 64];
        for (side, half) in [left, right].into_iter().enumerate() {
            let into = &mut input[32 * side..32 * side + 32];
            match half {
                None => {}
                Some(Source::Leaf(leaf)) => into.copy_from_slice(&self.digests[leaf as usize]),
                Some(Source::Bucket(digest)) => into.copy_from_slice(&digest),
                Some(Source::Pending(deeper)) => {
                    level.pending.push((2 * place + side as u32, deeper));
                }
            }
        }
        level.pairs.push(input);
        Source::Pending(place)
    }
}

/// Returns the path of a leaf given as the input of its digest.
fn path_of_pair(leaf: &Pair) -> u64 {
    let [a, b, c, d, e, f, g, ..] = *leaf;
    u64::from_be_bytes([0, a, b, c, d, e, f, g])
}
