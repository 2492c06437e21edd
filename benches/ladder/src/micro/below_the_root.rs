//! Compares hashes below the root node with a KZG commitment in every node.
//!
//! With: as in the engine, digests by BLAKE3 and one commitment at the top. Without: the same path compression and the
//! same batch, but each node that the batch touches has its commitment updated with the slots that changed, using the
//! engine's own tables; a child's value is the hash of its commitment.

use std::time::{Duration, Instant};

use trunkline::core::hash::{self, Digest};
use trunkline::core::kzg::{CommitmentPoint, Committer, Setup, Slot, SlotChange, slot_value};
use trunkline::core::params::path_of;

use super::data::{Batches, tree_of};
use super::turns::in_turns;
use super::{Scope, data};
use crate::error::LadderError;
use crate::figures::Comparison;

const TURNS: usize = 3;
const PATH_BITS: u32 = 56;
const DIGIT_BITS: u32 = 7;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let setup = Setup::ceremony().map_err(LadderError::at("check the setup"))?;
    let committer = Committer::new(&setup);
    let levels = levels(scope.keys);
    let (mut writer, mut hasher) = tree_of(scope.keys)?;
    let mut batches = Batches::after(scope.keys);
    let mut slots_before = hasher.hash(writer.seal(0), None).slots;
    let mut version = 0;
    let with = |_| {
        version += 1;
        let batch = data::prepared(batches.next())?;
        writer
            .apply(&batch, version)
            .map_err(LadderError::at("apply"))?;
        let sealed = writer.seal(version);
        let started_at = Instant::now();
        let roots = hasher.hash(sealed, None);
        commit_to_changes(&committer, &slots_before[..], &roots.slots[..]);
        let taken = started_at.elapsed();
        slots_before = roots.slots;
        writer.reader().retire(version);
        Ok(taken)
    };
    let mut others = Batches::after(scope.keys);
    let without = |_| {
        let batch = data::prepared(others.next())?;
        let leaves = batch.writes.iter();
        let leaves = leaves.map(|write| (path_of(&write.key_hash), write.value_hash));
        Ok(commit_to_all(&committer, leaves.collect(), levels))
    };
    let mut comparison = in_turns(TURNS, ("a put", data::BATCH), with, without)?;
    comparison.remark = format!("{levels} levels of nodes at {} keys", scope.keys);
    Ok(comparison)
}

/// Returns the number of levels at which a node of a tree with this many keys has more than one key below it.
fn levels(keys: u64) -> u32 {
    (u64::BITS - keys.leading_zeros()).div_ceil(DIGIT_BITS)
}

fn commit_to_changes(committer: &Committer, before: &[Digest], after: &[Digest]) {
    let changes: Vec<SlotChange> = Slot::all()
        .zip(before.iter().zip(after))
        .filter(|(_, (before, after))| before != after)
        .map(|(slot, (before, after))| change(slot, before, after))
        .collect();
    let point = committer.update(&CommitmentPoint::IDENTITY, &changes);
    std::hint::black_box(point.to_bytes());
}

fn change(slot: Slot, before: &Digest, after: &Digest) -> SlotChange {
    SlotChange {
        slot,
        old: slot_value(before),
        new: slot_value(after),
    }
}

/// Commits to all levels from the deepest up. The children, in path order, become the changes of their parents.
fn commit_to_all(committer: &Committer, mut children: Vec<(u64, Digest)>, levels: u32) -> Duration {
    let started_at = Instant::now();
    for level in (0..levels).rev() {
        let shift = PATH_BITS - DIGIT_BITS * (level + 1);
        let of_node = |child: &(u64, Digest)| (child.0 >> shift).checked_shr(DIGIT_BITS);
        let nodes = children.chunk_by(|a, b| of_node(a) == of_node(b));
        children = nodes
            .map(|below| {
                let point = committer.update(&CommitmentPoint::IDENTITY, &changes(below, shift));
                (below[0].0, hash::hash(&point.to_bytes().0))
            })
            .collect();
    }
    std::hint::black_box(&children);
    started_at.elapsed()
}

/// Returns one change per slot. If several children are in one slot, it takes the last, as if the others were deeper.
fn changes(below: &[(u64, Digest)], shift: u32) -> Vec<SlotChange> {
    let slot = |child: &(u64, Digest)| child.0 >> shift & 0x7f;
    below
        .chunk_by(|a, b| slot(a) == slot(b))
        .filter_map(|same| {
            let last = same.last()?;
            let slot = Slot::new(slot(last) as usize).ok()?;
            Some(change(slot, &hash::hash(&last.1), &last.1))
        })
        .collect()
}
