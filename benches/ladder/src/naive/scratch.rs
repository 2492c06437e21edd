//! Computes the baseline's tree from scratch out of all its keys, to load it and to check roots.

use trunkline::core::kzg::{CommitmentPoint, Committer, G1Bytes};

use super::node::{DEPTH, Node, Position, value_of_child, value_of_leaf};
use crate::error::LadderError;
use crate::workload::{Key, Value};

/// A function that takes each node as it is made.
pub(super) type Visit<'a> = dyn FnMut(&Position, &Node) -> Result<(), LadderError> + 'a;

/// Returns the position of each key's leaf and the value that is held for it, in path order.
pub(super) fn leaves<'a>(
    pairs: impl Iterator<Item = (&'a Key, &'a Value)>,
) -> Vec<(Position, [u8; 32])> {
    let leaf = |(key, value)| (Position::leaf_of(key), value_of_leaf(key, value));
    let mut leaves: Vec<_> = pairs.map(leaf).collect();
    leaves.sort_unstable();
    leaves
}

/// Returns the root above leaves in path order, and calls `visit` with every node.
pub(super) fn root(
    committer: &Committer,
    leaves: &[(Position, [u8; 32])],
    visit: &mut Visit<'_>,
) -> Result<G1Bytes, LadderError> {
    if leaves.is_empty() {
        return Ok(CommitmentPoint::IDENTITY.to_bytes());
    }
    commit(committer, &Position::ROOT, leaves, visit)
}

fn commit(
    committer: &Committer,
    position: &Position,
    leaves: &[(Position, [u8; 32])],
    visit: &mut Visit<'_>,
) -> Result<G1Bytes, LadderError> {
    let level = position.level();
    let mut node = Node::default();
    for below in leaves.chunk_by(|(a, _), (b, _)| a.digit(level) == b.digit(level)) {
        let (first, leaf) = &below[0];
        let digit = first.digit(level);
        if level + 1 == DEPTH {
            node.set(digit, leaf);
            continue;
        }
        let child = commit(committer, &position.child(digit), below, visit)?;
        node.set(digit, &value_of_child(&child));
    }
    let commitment = node.commit(committer)?;
    visit(position, &node)?;
    Ok(commitment)
}
