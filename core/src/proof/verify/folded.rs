//! One version of a proof, from claims to a root: planned, hashed, folded.
//!
//! `expected` compares the root with the client's, and `openings` checks openings.

use alloc::vec::Vec;

use super::ends::find_ends;
use super::fold::{UsedSlot, fold_root_node, fold_slots};
use super::plan::{DigestIndex, Plan};
use super::{TopRoot, VerifyProofError};
use crate::hash::Digest;
use crate::kzg::{G1Bytes, OpenedVersion, Slot, slot_value_bytes};
use crate::params::TreeParams;
use crate::proof::{Top, VersionProof};

/// A version whose digests are planned but not hashed yet.
pub(super) struct PlannedVersion {
    key_hashes: Vec<Digest>,
    slots: Vec<UsedSlot>,
    /// The state digest of a hash top.
    state_digest: Option<DigestIndex>,
}

/// The result of folding the claims of a version.
pub(super) struct FoldedVersion {
    pub(super) key_hashes: Vec<Digest>,
    pub(super) root: TopRoot,
    /// Slots and values that a KZG top must open.
    pub(super) opened: Option<OpenedVersion>,
}

impl PlannedVersion {
    pub(super) fn of(
        params: &TreeParams,
        proof: &VersionProof,
        plan: &mut Plan,
    ) -> Result<Self, VerifyProofError> {
        let key_hashes = hash_keys(params, proof)?;
        let ends = find_ends(params, proof, &key_hashes, plan)?;
        let slots = fold_slots(&ends, &proof.siblings, plan)?;
        let state_digest = match &proof.top {
            Top::Kzg { .. } => None,
            Top::Hash { siblings } => Some(fold_root_node(&slots, siblings, plan)?),
        };
        Ok(Self {
            key_hashes,
            slots,
            state_digest,
        })
    }

    /// Takes the digests out of a finished plan.
    pub(super) fn fold(self, proof: &VersionProof, plan: &Plan) -> FoldedVersion {
        let (root, opened) = match &proof.top {
            Top::Kzg { kzg_root } => {
                let value = |used: &UsedSlot| -> (Slot, [u8; 32]) {
                    (used.slot, slot_value_bytes(&plan.digest(used.digest)))
                };
                let opened = OpenedVersion {
                    version: proof.version,
                    commitment: G1Bytes(*kzg_root),
                    slots: self.slots.iter().map(value).collect(),
                };
                (TopRoot::Kzg(*kzg_root), Some(opened))
            }
            Top::Hash { .. } => {
                let state_digest = self.state_digest.unwrap_or(DigestIndex::EMPTY);
                (TopRoot::StateDigest(plan.digest(state_digest)), None)
            }
        };
        FoldedVersion {
            key_hashes: self.key_hashes,
            root,
            opened,
        }
    }
}

/// Returns the hashes of the keys, which must ascend strictly.
pub(in crate::proof) fn hash_keys(
    params: &TreeParams,
    proof: &VersionProof,
) -> Result<Vec<Digest>, VerifyProofError> {
    let keys = proof.entries.iter().map(|entry| &entry.key);
    let key_hashes: Vec<Digest> = keys.map(|key| params.key_hash(key)).collect();
    match key_hashes.windows(2).position(|two| two[0] >= two[1]) {
        Some(index) => Err(VerifyProofError::EntryOrder(index + 1)),
        None => Ok(key_hashes),
    }
}
