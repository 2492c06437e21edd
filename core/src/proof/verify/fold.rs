//! Folds terminals up to slots, and slots up to a state digest.
//!
//! It applies no compaction: otherwise a proof could claim "this side is empty and that inner node is a leaf". Every
//! level above a terminal is a hash.

use alloc::vec::Vec;

use super::VerifyProofError;
use super::ends::End;
use super::plan::{DigestIndex, Plan};
use crate::hash::Digest;
use crate::kzg::Slot;
use crate::params::{PATH_BITS, ROOT_BITS};
use crate::proof::Siblings;

/// A slot that the entries use.
pub(super) struct UsedSlot {
    pub(super) slot: Slot,
    pub(super) digest: DigestIndex,
}

/// Folds the terminals of each slot up to the slot.
pub(super) fn fold_slots(
    ends: &[End],
    siblings: &Siblings,
    plan: &mut Plan,
) -> Result<Vec<UsedSlot>, VerifyProofError> {
    let mut siblings = siblings.iter();
    let mut slots = Vec::new();
    for ends in ends.chunk_by(|one, next| one.slot == next.slot) {
        let digest = fold_subtree(ends, ROOT_BITS, &mut siblings, plan)?;
        let slot = ends.first().map(|end| end.slot);
        slots.extend(slot.map(|slot| UsedSlot { slot, digest }));
    }
    match siblings.next() {
        Some(_) => Err(VerifyProofError::SiblingUnused),
        None => Ok(slots),
    }
}

/// Returns the digest of the subtree at `depth` that contains the terminals, of which there is at least one.
///
/// Terminals are disjoint, so that each level splits them until one is left at its own depth: the recursion ends at
/// depth 56.
fn fold_subtree(
    ends: &[End],
    depth: u32,
    siblings: &mut impl Iterator<Item = Digest>,
    plan: &mut Plan,
) -> Result<DigestIndex, VerifyProofError> {
    match ends {
        [] => {
            let sibling = siblings.next().ok_or(VerifyProofError::SiblingMissing)?;
            return Ok(plan.known(&sibling));
        }
        [end] if end.depth == depth => return Ok(end.digest),
        _ => {}
    }
    let bit = 1 << (PATH_BITS - 1 - depth);
    let (left, right) = ends.split_at(ends.partition_point(|end| end.path & bit == 0));
    let left_digest = fold_subtree(left, depth + 1, siblings, plan)?;
    let right_digest = fold_subtree(right, depth + 1, siblings, plan)?;
    if is_leaf_at(left, depth + 1) && right_digest == DigestIndex::EMPTY
        || is_leaf_at(right, depth + 1) && left_digest == DigestIndex::EMPTY
    {
        return Err(VerifyProofError::LeafSiblingEmpty);
    }
    Ok(plan.node(depth, left_digest, right_digest))
}

fn is_leaf_at(ends: &[End], depth: u32) -> bool {
    matches!(ends, [end] if end.is_leaf && end.depth == depth)
}

/// Folds the slots up to the state digest.
pub(super) fn fold_root_node(
    slots: &[UsedSlot],
    siblings: &Siblings,
    plan: &mut Plan,
) -> Result<DigestIndex, VerifyProofError> {
    let mut siblings = siblings.iter();
    let state_digest = fold_half(slots, 0, &mut siblings, plan)?;
    match siblings.next() {
        Some(_) => Err(VerifyProofError::TopSiblingUnused),
        None => Ok(state_digest),
    }
}

/// Returns the digest at `depth` (0 to 7) of the root node over the slots: only an all-empty half is zero, and nothing
/// else is compacted.
fn fold_half(
    slots: &[UsedSlot],
    depth: u32,
    siblings: &mut impl Iterator<Item = Digest>,
    plan: &mut Plan,
) -> Result<DigestIndex, VerifyProofError> {
    match slots {
        [] => {
            let sibling = siblings.next().ok_or(VerifyProofError::TopSiblingMissing)?;
            return Ok(plan.known(&sibling));
        }
        [slot] if depth == ROOT_BITS => return Ok(slot.digest),
        _ => {}
    }
    let bit = 1 << (ROOT_BITS - 1 - depth);
    let (left, right) = slots.split_at(slots.partition_point(|slot| slot.slot.index() & bit == 0));
    let left_digest = fold_half(left, depth + 1, siblings, plan)?;
    let right_digest = fold_half(right, depth + 1, siblings, plan)?;
    if left_digest == DigestIndex::EMPTY && right_digest == DigestIndex::EMPTY {
        return Ok(DigestIndex::EMPTY);
    }
    Ok(plan.node(depth, left_digest, right_digest))
}
