//! The plan of a verification: groups the digests that are hashed together. Many proofs are hashed at a time, level by
//! level, so that all lanes are used.
//!
//! The caller says which digests form a node.

use alloc::vec::Vec;

use crate::hash::{self, Digest, INNER, LEAF, Pair, ZERO};
use crate::params::PATH_BITS;
use crate::proof::ShownLeaf;

/// Number of nodes that are planned before they are hashed: enough to fill lanes, but few enough for the caches.
const NODES_AT_ONCE: usize = 4096;
/// Number of pairs for one call: few enough to stay in the nearest cache.
const PAIRS_AT_ONCE: usize = 128;

/// The index of a digest in a plan, whether known or still to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proof) struct DigestIndex(u32);

impl DigestIndex {
    /// The empty subtree. Nothing else has this index: no hash is zero.
    pub(in crate::proof) const EMPTY: Self = Self(0);
}

/// Digests, some of which are still to be hashed from others.
pub(in crate::proof) struct Plan {
    digests: Vec<Digest>,
    leaves: Vec<Pair>,
    leaf_places: Vec<DigestIndex>,
    nodes: Vec<Node>,
    pairs: Vec<Pair>,
    hashed: Vec<Digest>,
}

#[derive(Clone, Copy)]
struct Node {
    depth: u8,
    left: DigestIndex,
    right: DigestIndex,
    place: DigestIndex,
}

impl Plan {
    pub(in crate::proof) fn new() -> Self {
        Self {
            digests: [ZERO].into(),
            leaves: Vec::new(),
            leaf_places: Vec::new(),
            nodes: Vec::new(),
            pairs: Vec::new(),
            hashed: Vec::new(),
        }
    }

    /// Discards everything, but keeps the memory.
    pub(in crate::proof) fn clear(&mut self) {
        self.digests.truncate(1);
        self.leaves.clear();
        self.leaf_places.clear();
        self.nodes.clear();
    }

    /// Returns the number of digests.
    pub(in crate::proof) fn len(&self) -> usize {
        self.digests.len()
    }

    /// Adds a known digest.
    pub(in crate::proof) fn known(&mut self, digest: &Digest) -> DigestIndex {
        match *digest {
            ZERO => DigestIndex::EMPTY,
            _ => self.push(digest),
        }
    }

    /// Adds the digest of a leaf.
    pub(in crate::proof) fn leaf(&mut self, leaf: &ShownLeaf) -> DigestIndex {
        let place = self.push(&ZERO);
        self.leaves
            .push(hash::pair(&leaf.key_hash, &leaf.value_hash));
        self.leaf_places.push(place);
        place
    }

    /// Adds the digest of the node at a depth below 56 over two halves one level below. It replaces one half; neither
    /// half can be read again.
    pub(in crate::proof) fn node(
        &mut self,
        depth: u32,
        left: DigestIndex,
        right: DigestIndex,
    ) -> DigestIndex {
        let place = match (left, right) {
            (DigestIndex::EMPTY, DigestIndex::EMPTY) => self.push(&ZERO),
            (DigestIndex::EMPTY, place) | (place, _) => place,
        };
        self.push_node(depth, left, right, place)
    }

    /// Works like [`Self::node`], but keeps both halves.
    pub(in crate::proof) fn node_beside(
        &mut self,
        depth: u32,
        left: DigestIndex,
        right: DigestIndex,
    ) -> DigestIndex {
        let place = self.push(&ZERO);
        self.push_node(depth, left, right, place)
    }

    fn push_node(
        &mut self,
        depth: u32,
        left: DigestIndex,
        right: DigestIndex,
        place: DigestIndex,
    ) -> DigestIndex {
        if self.nodes.len() == NODES_AT_ONCE {
            // Halves are planned before the node over them, so that all of these can be hashed.
            self.run();
        }
        self.nodes.push(Node {
            depth: depth as u8,
            left,
            right,
            place,
        });
        place
    }

    fn push(&mut self, digest: &Digest) -> DigestIndex {
        let place = DigestIndex(self.digests.len() as u32);
        self.digests.push(*digest);
        place
    }

    /// Hashes everything that is still to be hashed: leaves, then nodes, the deepest first.
    pub(in crate::proof) fn run(&mut self) {
        LEAF.hash_pairs(&self.leaves, &mut self.hashed);
        for (place, digest) in self.leaf_places.iter().zip(&self.hashed) {
            self.digests[place.0 as usize] = *digest;
        }
        deepest_first(&mut self.nodes);
        for level in self.nodes.chunk_by(|a, b| a.depth == b.depth) {
            for nodes in level.chunks(PAIRS_AT_ONCE) {
                let digest = |place: DigestIndex| &self.digests[place.0 as usize];
                let pair = |node: &Node| hash::pair(digest(node.left), digest(node.right));
                self.pairs.clear();
                self.pairs.extend(nodes.iter().map(pair));
                INNER.hash_pairs(&self.pairs, &mut self.hashed);
                for (node, digest) in nodes.iter().zip(&self.hashed) {
                    self.digests[node.place.0 as usize] = *digest;
                }
            }
        }
        self.leaves.clear();
        self.leaf_places.clear();
        self.nodes.clear();
    }

    /// Returns a digest. Call it after [`Self::run`].
    pub(in crate::proof) fn digest(&self, place: DigestIndex) -> Digest {
        self.digests[place.0 as usize]
    }
}

/// Sorts by depth in two passes. Nodes that are already in order, such as a single path, cost one pass.
fn deepest_first(nodes: &mut Vec<Node>) {
    if nodes.is_sorted_by(|a, b| a.depth >= b.depth) {
        return;
    }
    let mut starts = [0; PATH_BITS as usize + 1];
    for node in nodes.iter() {
        starts[node.depth as usize] += 1;
    }
    let mut start = 0;
    for count in starts.iter_mut().rev() {
        start += core::mem::replace(count, start);
    }
    let mut sorted = nodes.clone();
    for node in nodes.iter() {
        let place = &mut starts[node.depth as usize];
        sorted[*place] = *node;
        *place += 1;
    }
    *nodes = sorted;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_hashed_after_what_they_are_hashed_of() {
        let mut plan = Plan::new();
        let [a, b, c, d, e] = [1, 2, 2, 3, 1].map(|byte| plan.known(&[byte; 32]));
        // One chain upwards, then another that begins deeper.
        let one = plan.node(30, a, b);
        let one = plan.node(29, one, DigestIndex::EMPTY);
        let other = plan.node(55, c, d);
        let other = plan.node(29, other, e);
        let top = plan.node(28, one, other);
        let kept = plan.node_beside(27, top, DigestIndex::EMPTY);
        plan.run();
        let join = |left: &Digest, right: &Digest| INNER.hash(&hash::pair(left, right));
        let one = join(&join(&[1; 32], &[2; 32]), &ZERO);
        let other = join(&join(&[2; 32], &[3; 32]), &[1; 32]);
        assert_eq!(plan.digest(top), join(&one, &other));
        assert_eq!(plan.digest(kept), join(&plan.digest(top), &ZERO));
    }

    #[test]
    fn more_nodes_than_are_hashed_at_once_are_hashed_in_between() {
        let mut plan = Plan::new();
        let chains = NODES_AT_ONCE / 20;
        let tops: Vec<DigestIndex> = (0..chains)
            .map(|chain| {
                let leaf = plan.known(&hash::hash(&chain.to_le_bytes()));
                let up = |place, depth| plan.node(depth, DigestIndex::EMPTY, place);
                (7..56).rev().fold(leaf, up)
            })
            .collect();
        plan.run();
        for (chain, top) in tops.into_iter().enumerate() {
            let leaf = hash::hash(&chain.to_le_bytes());
            let up = |digest: Digest, _| INNER.hash(&hash::pair(&ZERO, &digest));
            assert_eq!(plan.digest(top), (7..56).fold(leaf, up));
        }
        assert_eq!(plan.len(), 1 + chains);
    }

    #[test]
    fn a_zero_digest_is_the_empty_place_and_nothing_else_is() {
        let mut plan = Plan::new();
        assert_eq!(plan.known(&ZERO), DigestIndex::EMPTY);
        let leaf = ShownLeaf {
            key_hash: [1; 32],
            value_hash: [2; 32],
        };
        let place = plan.leaf(&leaf);
        assert_ne!(place, DigestIndex::EMPTY);
        plan.run();
        assert_eq!(plan.digest(place), leaf.digest());
        plan.clear();
        assert_eq!(plan.digest(DigestIndex::EMPTY), ZERO);
    }
}
