//! The subtree below one cell of the directory: almost always one block of leaves.
//!
//! A block is one allocation with its leaves in path order. A changed value is written in place; only adding
//! or removing a leaf reallocates. A cell holds branches above its blocks only if far more keys share a
//! prefix than chance allows, so that no key costs more than a path. What roots mean does not depend on any of this (see
//! `fold`). Not here: which cell a key belongs to (`cells`), how writes change nodes (`update`), what
//! older versions saw (`undo`) and how digests are folded (`fold`).

use std::sync::OnceLock;

use crate::hash::Digest;
use crate::params::{PATH_BITS, path_of};

/// The maximum number of leaves of a block above depth 56. With one more, the block becomes a branch.
pub(super) const BLOCK_LEAVES_MAX: usize = 32;
/// The maximum number of leaves with which a branch becomes a block again. It is less than the maximum of a block, so
/// that adding and removing one key does not split and merge each time.
const MERGE_LEAVES_MAX: u64 = 16;

/// A present key.
///
/// ```
/// use trunkline_core::tree::Leaf;
/// let leaf = Leaf { key_hash: [1; 32], value_hash: [2; 32], origin: 7 };
/// assert_eq!(leaf.origin, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The hash of the key; its first 56 bits are the path.
    pub key_hash: Digest,
    /// The hash of the value.
    pub value_hash: Digest,
    /// The version that last wrote the value, by which readers find the value.
    pub origin: u64,
}

/// A subtree. Blocks have no kept digest: a block is folded when it changes.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Block(Block),
    Branch(Box<Branch>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Block(Block::default())
    }
}

/// Leaves in path order, in an allocation that is just large enough.
///
/// The header holds a fingerprint, one byte of the key hash, for each of the first few leaves. It almost
/// always tells that a key is absent, or which leaf is the right one, before the leaves are loaded from
/// memory. The version of the last change tells whether cached knowledge of a key still holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    leaves: Box<[Leaf]>,
    changed_at: ChangedAt,
    fingerprints: [u8; FINGERPRINTS],
    _tag: Tag,
}

/// A byte with only one value. The enums around a block store their discriminants in its other values, so that they
/// take no more memory than the block.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
enum Tag {
    #[default]
    Block,
}

/// The number of leaves of a block that have a fingerprint in its header.
const FINGERPRINTS: usize = 9;

/// The version of a block's last change, in six bytes: nothing changed after it. A refused change may count.
#[derive(Clone, Copy, Debug, Default)]
struct ChangedAt([u8; 6]);

impl ChangedAt {
    /// This version and all later ones.
    const LATE: u64 = (1 << 48) - 1;

    fn new(version: u64) -> Self {
        let [a, b, c, d, e, f, ..] = version.min(Self::LATE).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl Block {
    fn new(leaves: &[Leaf], changed_at: u64) -> Self {
        let mut block = Self {
            leaves: leaves.into(),
            changed_at: ChangedAt::new(changed_at),
            ..Self::default()
        };
        block.fingerprint();
        block
    }

    fn fingerprint(&mut self) {
        for (fingerprint, leaf) in self.fingerprints.iter_mut().zip(&self.leaves) {
            *fingerprint = fingerprint_of(&leaf.key_hash);
        }
    }

    /// Returns the leaf of a key hash. Compares few others.
    pub(super) fn find(&self, key_hash: &Digest) -> Option<&Leaf> {
        let is_it = |leaf: &&Leaf| leaf.key_hash == *key_hash;
        let mut likely = self.likely(key_hash);
        likely
            .find(is_it)
            .or_else(|| self.leaves.get(FINGERPRINTS..)?.iter().find(is_it))
    }

    /// Returns those of the first few leaves whose fingerprint matches a key hash.
    pub(super) fn likely(&self, key_hash: &Digest) -> impl Iterator<Item = &Leaf> {
        let fingerprint = fingerprint_of(key_hash);
        let fingerprinted = self.leaves.iter().zip(&self.fingerprints);
        fingerprinted.filter_map(move |(leaf, other)| (*other == fingerprint).then_some(leaf))
    }

    /// Returns whether the header alone proves that a key hash is absent.
    pub(super) fn definitely_absent(&self, key_hash: &Digest) -> bool {
        let fingerprint = fingerprint_of(key_hash);
        let fingerprints = self.fingerprints.iter().take(self.leaves.len());
        self.leaves.len() <= FINGERPRINTS
            && fingerprints.fold(true, |definitely_absent, other| {
                definitely_absent & (*other != fingerprint)
            })
    }

    /// Returns the version of the last change, unless it is too late for the header.
    pub(super) fn changed_at(&self) -> Option<u64> {
        let version = self.changed_at.get();
        (version < ChangedAt::LATE).then_some(version)
    }

    /// Takes the leaves out, to change them and give them to [`Self::replace`] or [`Self::put_back`].
    pub(super) fn take(&mut self) -> Vec<Leaf> {
        std::mem::take(&mut self.leaves).into_vec()
    }

    /// Stores leaves that a version changed.
    pub(super) fn replace(&mut self, leaves: Vec<Leaf>, version: u64) {
        self.put_back(leaves);
        self.changed_at = ChangedAt::new(self.changed_at.get().max(version));
        self.fingerprint();
    }

    /// Stores the leaves again that were taken out, unchanged.
    pub(super) fn put_back(&mut self, leaves: Vec<Leaf>) {
        self.leaves = leaves.into_boxed_slice();
    }
}

impl std::ops::Deref for Block {
    type Target = [Leaf];

    fn deref(&self) -> &[Leaf] {
        &self.leaves
    }
}

/// Returns the fingerprint of a key hash: a byte beyond its path, of which the leaves of a cell share a part.
fn fingerprint_of(key_hash: &Digest) -> u8 {
    key_hash[PATH_BITS as usize / 8 + 1]
}

/// Four subtrees (two at depth 55, where one bit of path is left), in path order.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) children: [Node; 4],
    /// The number of leaves below: always more than [`MERGE_LEAVES_MAX`].
    pub(super) count: u64,
    /// The digest; cleared by every change below, and set on demand.
    pub(super) digest: OnceLock<Digest>,
}

/// Returns the number of binary levels of a branch at `depth`.
pub(super) fn branch_bits(depth: u32) -> u32 {
    (PATH_BITS - depth).min(2)
}

/// Returns the index of the child of a branch at `depth` that a key hash belongs to.
pub(super) fn child_of(key_hash: &Digest, depth: u32) -> usize {
    let bits = branch_bits(depth);
    (path_of(key_hash) >> (PATH_BITS - depth - bits)) as usize & ((1 << bits) - 1)
}

/// Returns the bit of a key hash's path that distinguishes the halves of a subtree at `depth`.
pub(super) fn bit_of(key_hash: &Digest, depth: u32) -> bool {
    path_of(key_hash) >> (PATH_BITS - 1 - depth) & 1 == 1
}

/// Returns the position of a key hash among sorted leaves, or the position where it belongs.
pub(super) fn position_of(leaves: &[Leaf], key_hash: &Digest) -> Result<usize, usize> {
    let head = head_of(key_hash);
    for (place, leaf) in leaves.iter().enumerate() {
        let other = head_of(&leaf.key_hash);
        if other < head {
            continue;
        }
        if other > head {
            return Err(place);
        }
        // Heads of eight bytes that are equal are almost always one key.
        match leaf.key_hash.cmp(key_hash) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(place),
            std::cmp::Ordering::Greater => return Err(place),
        }
    }
    Err(leaves.len())
}

/// Returns whether a key hash comes before another one, most often by one comparison of integers.
pub(super) fn precedes(left: &Digest, right: &Digest) -> bool {
    match head_of(left).cmp(&head_of(right)) {
        std::cmp::Ordering::Equal => left < right,
        order => order.is_lt(),
    }
}

fn head_of(key_hash: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key_hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Node {
    /// Returns the subtree of leaves in path order that share their first `depth` bits. They did not change
    /// after `changed_at`.
    pub(super) fn build(leaves: &[Leaf], depth: u32, changed_at: u64) -> Self {
        if leaves.len() <= BLOCK_LEAVES_MAX || depth == PATH_BITS {
            return Self::Block(Block::new(leaves, changed_at));
        }
        let mut children: [Self; 4] = Default::default();
        let mut rest = leaves;
        for (index, child) in children.iter_mut().enumerate() {
            let mine = rest.partition_point(|leaf| child_of(&leaf.key_hash, depth) <= index);
            let (leaves, others) = rest.split_at(mine);
            *child = Self::build(leaves, depth + branch_bits(depth), changed_at);
            rest = others;
        }
        Self::Branch(Box::new(Branch {
            children,
            count: leaves.len() as u64,
            digest: OnceLock::new(),
        }))
    }

    /// Returns the leaf of a key hash.
    pub(super) fn get(&self, key_hash: &Digest, depth: u32) -> Option<&Leaf> {
        let mut node = self;
        let mut depth = depth;
        loop {
            match node {
                Self::Block(block) => return block.find(key_hash),
                Self::Branch(branch) => {
                    node = &branch.children[child_of(key_hash, depth)];
                    depth += branch_bits(depth);
                }
            }
        }
    }

    /// Returns the block that a key hash belongs to.
    #[inline]
    pub(super) fn block_mut(&mut self, key_hash: &Digest, depth: u32) -> &mut Block {
        let (mut node, mut depth) = (self, depth);
        loop {
            match node {
                Self::Block(block) => return block,
                Self::Branch(branch) => {
                    node = &mut branch.children[child_of(key_hash, depth)];
                    depth += branch_bits(depth);
                }
            }
        }
    }

    /// Updates the branches above a block that a version changed, and splits or merges those that have become too large
    /// or too small. `gained` is the number of leaves by which the block grew.
    pub(super) fn rebalance(&mut self, key_hash: &Digest, depth: u32, version: u64, gained: i64) {
        match self {
            Self::Block(block) if block.len() > BLOCK_LEAVES_MAX && depth < PATH_BITS => {
                *self = Self::build(block, depth, version);
            }
            Self::Block(_) => {}
            Self::Branch(branch) => {
                let child = &mut branch.children[child_of(key_hash, depth)];
                child.rebalance(key_hash, depth + branch_bits(depth), version, gained);
                branch.count = branch.count.saturating_add_signed(gained);
                branch.digest = OnceLock::new();
                if branch.count <= MERGE_LEAVES_MAX {
                    let mut leaves = Vec::with_capacity(MERGE_LEAVES_MAX as usize);
                    self.collect_leaves(&mut leaves);
                    *self = Self::build(&leaves, depth, version);
                }
            }
        }
    }

    /// Returns the number of leaves below.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Self::Block(block) => block.len(),
            Self::Branch(branch) => branch.count as usize,
        }
    }

    /// Appends all leaves below, in path order.
    pub(super) fn collect_leaves(&self, leaves: &mut Vec<Leaf>) {
        match self {
            Self::Block(block) => leaves.extend_from_slice(block),
            Self::Branch(branch) => branch
                .children
                .iter()
                .for_each(|child| child.collect_leaves(leaves)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one of a few leaves with few different bytes in the header.
    fn leaf(number: u8) -> Leaf {
        let mut key_hash = [0; 32];
        key_hash[7] = number;
        key_hash[8] = number % 3;
        Leaf {
            key_hash,
            value_hash: [number; 32],
            origin: 0,
        }
    }

    fn check(block: &Block, present: impl Fn(u8) -> bool) {
        for number in 0..100 {
            let found = block.find(&leaf(number).key_hash).copied();
            assert!(found.is_none() || !block.definitely_absent(&leaf(number).key_hash));
            assert_eq!(found, present(number).then(|| leaf(number)));
        }
    }

    #[test]
    fn a_block_finds_its_leaves_and_no_others_however_many_look_alike() {
        for count in [0, 1, 6, 8, 9, 10, 32] {
            let leaves: Vec<Leaf> = (0..count).map(leaf).collect();
            check(&Block::new(&leaves, 0), |number| number < count);
        }
    }

    #[test]
    fn a_block_says_when_it_changed_unless_that_is_too_late() {
        let latest = ChangedAt::LATE - 1;
        for version in [0, 1, 255, 1 << 40, latest] {
            assert_eq!(Block::new(&[], version).changed_at(), Some(version));
        }
        for version in [ChangedAt::LATE, u64::MAX] {
            assert_eq!(Block::new(&[], version).changed_at(), None);
        }
        let mut block = Block::new(&[], 5);
        let leaves = block.take();
        block.put_back(leaves);
        assert_eq!(block.changed_at(), Some(5));
        for (version, changed_at) in [(8, 8), (7, 8)] {
            let leaves = block.take();
            block.replace(leaves, version);
            assert_eq!(block.changed_at(), Some(changed_at));
        }
    }

    #[test]
    fn a_block_that_changed_finds_what_is_there_now() {
        let mut block = Block::default();
        let change = |block: &mut Block, change: &dyn Fn(&mut Vec<Leaf>)| {
            let mut leaves = block.take();
            change(&mut leaves);
            block.replace(leaves, 1);
        };
        for number in (0..20).rev() {
            change(&mut block, &|leaves| leaves.insert(0, leaf(number)));
            check(&block, |other| (number..20).contains(&other));
        }
        for number in 0..20 {
            change(&mut block, &|leaves| leaves[0] = leaf(number));
            check(&block, |other| (number..20).contains(&other));
            change(&mut block, &|leaves| {
                leaves.remove(0);
            });
            check(&block, |other| (number + 1..20).contains(&other));
        }
    }
}
