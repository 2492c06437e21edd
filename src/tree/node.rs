//! What hangs below one cell of the directory: almost always one block of leaves.
//!
//! A block is one allocation with its leaves side by side in path order, so that copying it for a
//! new version is one `memcpy`. Only where far more keys share a prefix than chance allows does a
//! cell hold branches above its blocks, so that no key costs more than a path. What roots mean does
//! not depend on any of this (see `fold`). Not here: which cell a key belongs to (`cells`), how
//! writes change nodes (`update`) and how digests are folded (`fold`).

use std::sync::OnceLock;

use triomphe::{Arc, ThinArc};

use crate::hash::Digest;
use crate::params::{PATH_BITS, path_of};

/// Leaves of a block above depth 56; one more and it becomes a branch.
pub(super) const BLOCK_LEAVES_MAX: usize = 32;
/// A branch with no more leaves than this becomes a block again. Less than the maximum of a block,
/// so that a key that comes and goes does not split and merge each time.
pub(super) const MERGE_LEAVES_MAX: u64 = 16;

/// A present key.
///
/// ```
/// use trunkline_core::tree::Leaf;
/// let leaf = Leaf { key_hash: [1; 32], value_hash: [2; 32], digest: [3; 32], origin: 7 };
/// assert_eq!(leaf.origin, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Hash of the key; its first 56 bits are the path.
    pub key_hash: Digest,
    /// Hash of the value.
    pub value_hash: Digest,
    /// Leaf digest of both.
    pub digest: Digest,
    /// Version that last wrote the value: tells readers where the value lies.
    pub origin: u64,
}

/// A subtree. Clones share it, and no digest of a block is kept: a block is folded when it changes.
#[derive(Clone, Debug, Default)]
pub(super) enum Node {
    #[default]
    Empty,
    Block(ThinArc<(), Leaf>),
    Branch(Arc<Branch>),
}

/// Four subtrees (two at depth 55, where one bit of path is left), in path order.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) children: [Node; 4],
    /// Leaves below: always more than [`MERGE_LEAVES_MAX`].
    pub(super) count: u64,
    /// Set once, when the version that made the branch is hashed.
    pub(super) digest: OnceLock<Digest>,
}

/// Binary levels that a branch at `depth` takes.
pub(super) fn branch_bits(depth: u32) -> u32 {
    (PATH_BITS - depth).min(2)
}

/// Which child of a branch at `depth` a key hash belongs to.
pub(super) fn child_of(key_hash: &Digest, depth: u32) -> usize {
    let bits = branch_bits(depth);
    (path_of(key_hash) >> (PATH_BITS - depth - bits)) as usize & ((1 << bits) - 1)
}

/// The bit of a key hash's path that tells the halves of a subtree at `depth` apart.
pub(super) fn bit_of(key_hash: &Digest, depth: u32) -> bool {
    path_of(key_hash) >> (PATH_BITS - 1 - depth) & 1 == 1
}

impl Node {
    /// The subtree of leaves in path order that share their first `depth` bits.
    pub(super) fn build(leaves: &[Leaf], depth: u32) -> Self {
        if leaves.is_empty() {
            return Self::Empty;
        }
        if leaves.len() <= BLOCK_LEAVES_MAX || depth == PATH_BITS {
            return Self::Block(ThinArc::from_header_and_slice((), leaves));
        }
        let mut children: [Self; 4] = Default::default();
        let mut rest = leaves;
        for (index, child) in children.iter_mut().enumerate() {
            let mine = rest.partition_point(|leaf| child_of(&leaf.key_hash, depth) <= index);
            let (leaves, others) = rest.split_at(mine);
            *child = Self::build(leaves, depth + branch_bits(depth));
            rest = others;
        }
        Self::Branch(Arc::new(Branch {
            children,
            count: leaves.len() as u64,
            digest: OnceLock::new(),
        }))
    }

    /// The leaf of a key hash.
    pub(super) fn get(&self, key_hash: &Digest, depth: u32) -> Option<&Leaf> {
        let mut node = self;
        let mut depth = depth;
        loop {
            match node {
                Self::Empty => return None,
                Self::Block(block) => {
                    return block.slice.iter().find(|leaf| leaf.key_hash == *key_hash);
                }
                Self::Branch(branch) => {
                    node = &branch.children[child_of(key_hash, depth)];
                    depth += branch_bits(depth);
                }
            }
        }
    }

    /// Appends all leaves below, in path order.
    pub(super) fn collect_leaves(&self, leaves: &mut Vec<Leaf>) {
        match self {
            Self::Empty => {}
            Self::Block(block) => leaves.extend_from_slice(&block.slice),
            Self::Branch(branch) => branch
                .children
                .iter()
                .for_each(|child| child.collect_leaves(leaves)),
        }
    }
}
