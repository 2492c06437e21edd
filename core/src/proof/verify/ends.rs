//! Terminals: assigns the entries to each, checks that its content matches their claims, and computes its digest.
//!
//! `fold` handles the levels above terminals.

use alloc::vec;
use alloc::vec::Vec;

use super::VerifyProofError;
use super::plan::{DigestIndex, Plan};
use crate::hash::{BUCKET, Digest};
use crate::kzg::Slot;
use crate::params::{CollisionPolicy, PATH_BITS, TreeParams, path_of};
use crate::proof::{self, Entry, ShownLeaf, VersionProof};

/// A terminal with its position in the tree and its digest.
pub(in crate::proof) struct End {
    pub(in crate::proof) slot: Slot,
    /// Lowest path below it.
    pub(in crate::proof) path: u64,
    pub(in crate::proof) depth: u32,
    pub(in crate::proof) digest: DigestIndex,
    pub(in crate::proof) is_leaf: bool,
}

impl End {
    /// Returns the highest path below the terminal.
    fn last_path(&self) -> u64 {
        self.path | mask_below(self.depth)
    }
}

/// Returns the mask of the bits of a path below a depth.
fn mask_below(depth: u32) -> u64 {
    (1 << (PATH_BITS - depth)) - 1
}

/// The entries of one terminal.
struct Below<'a> {
    terminal: usize,
    path: u64,
    depth: u32,
    entries: &'a [Entry],
    key_hashes: &'a [Digest],
}

/// Assigns each terminal its entries, in order, and computes its digest.
pub(in crate::proof) fn find_ends(
    params: &TreeParams,
    proof: &VersionProof,
    key_hashes: &[Digest],
    plan: &mut Plan,
) -> Result<Vec<End>, VerifyProofError> {
    let mut ends: Vec<End> = Vec::with_capacity(proof.terminals.len());
    let mut first = 0;
    for (index, terminal) in proof.terminals.iter().enumerate() {
        let Some(key_hash) = key_hashes.get(first) else {
            return Err(VerifyProofError::TerminalUnused(index));
        };
        let depth = u32::from(terminal.depth);
        let path = path_of(key_hash) & !mask_below(depth);
        if ends.last().is_some_and(|before| path <= before.last_path()) {
            return Err(VerifyProofError::TerminalOverlap(index));
        }
        let last_path = path | mask_below(depth);
        let rest = &key_hashes[first..];
        let count = rest.partition_point(|key_hash| path_of(key_hash) <= last_path);
        let below = Below {
            terminal: index,
            path,
            depth,
            entries: &proof.entries[first..first + count],
            key_hashes: &rest[..count],
        };
        let digest = below.digest(&terminal.place, params.collision, plan)?;
        let is_leaf = matches!(
            terminal.place,
            proof::Place::OwnLeaf | proof::Place::OtherLeaf(_)
        );
        ends.push(End {
            slot: Slot::of_key_hash(key_hash),
            path,
            depth,
            digest,
            is_leaf,
        });
        first += count;
    }
    match first {
        _ if first == key_hashes.len() => Ok(ends),
        _ => Err(VerifyProofError::TerminalMissing(first)),
    }
}

impl Below<'_> {
    fn digest(
        &self,
        place: &proof::Place,
        collision: CollisionPolicy,
        plan: &mut Plan,
    ) -> Result<DigestIndex, VerifyProofError> {
        match place {
            proof::Place::Empty => self.empty(),
            proof::Place::OwnLeaf => Ok(plan.leaf(&self.own_leaf()?)),
            proof::Place::OtherLeaf(leaf) => Ok(plan.leaf(self.other_leaf(leaf)?)),
            proof::Place::Bucket(_) if collision != CollisionPolicy::Bucket => {
                Err(VerifyProofError::BucketPolicy(self.terminal))
            }
            proof::Place::Bucket(members) => Ok(plan.known(&self.bucket(members)?)),
        }
    }

    /// Returns the entries that are claimed present, as leaves.
    fn present(&self) -> impl Iterator<Item = ShownLeaf> {
        let claims = self.entries.iter().map(|entry| &entry.claim);
        self.key_hashes
            .iter()
            .zip(claims)
            .filter_map(|(key_hash, claim)| {
                Some(ShownLeaf {
                    key_hash: *key_hash,
                    value_hash: claim.value_hash()?,
                })
            })
    }

    fn holds(&self, leaf: &ShownLeaf) -> bool {
        path_of(&leaf.key_hash) & !mask_below(self.depth) == self.path
    }

    fn empty(&self) -> Result<DigestIndex, VerifyProofError> {
        match self.present().next() {
            Some(_) => Err(VerifyProofError::EmptyWithPresent(self.terminal)),
            None => Ok(DigestIndex::EMPTY),
        }
    }

    fn own_leaf(&self) -> Result<ShownLeaf, VerifyProofError> {
        let mut present = self.present();
        match (present.next(), present.next()) {
            (Some(leaf), None) => Ok(leaf),
            _ => Err(VerifyProofError::OwnLeafPresent(self.terminal)),
        }
    }

    fn other_leaf<'a>(&self, leaf: &'a ShownLeaf) -> Result<&'a ShownLeaf, VerifyProofError> {
        if self.present().next().is_some() {
            return Err(VerifyProofError::OtherLeafWithPresent(self.terminal));
        }
        if self.key_hashes.binary_search(&leaf.key_hash).is_ok() {
            return Err(VerifyProofError::OtherLeafIsEntry(self.terminal));
        }
        if !self.holds(leaf) {
            return Err(VerifyProofError::OtherLeafOutside(self.terminal));
        }
        Ok(leaf)
    }

    fn bucket(&self, members: &[ShownLeaf]) -> Result<Digest, VerifyProofError> {
        if self.depth != PATH_BITS {
            return Err(VerifyProofError::BucketDepth(self.terminal));
        }
        if members
            .windows(2)
            .any(|two| two[0].key_hash >= two[1].key_hash)
        {
            return Err(VerifyProofError::BucketOrder(self.terminal));
        }
        if !members.iter().all(|member| self.holds(member)) {
            return Err(VerifyProofError::BucketMemberOutside(self.terminal));
        }
        for (entry, key_hash) in self.entries.iter().zip(self.key_hashes) {
            self.check_membership(members, key_hash, entry.claim.value_hash())?;
        }
        Ok(bucket_digest(members))
    }

    fn check_membership(
        &self,
        members: &[ShownLeaf],
        key_hash: &Digest,
        value_hash: Option<Digest>,
    ) -> Result<(), VerifyProofError> {
        let member = members.iter().find(|member| member.key_hash == *key_hash);
        match (member.map(|member| member.value_hash), value_hash) {
            (None, None) => Ok(()),
            (Some(shown), Some(claimed)) if shown == claimed => Ok(()),
            (Some(_), Some(_)) => Err(VerifyProofError::BucketValue(self.terminal)),
            (Some(_), None) => Err(VerifyProofError::BucketWithAbsent(self.terminal)),
            (None, Some(_)) => Err(VerifyProofError::BucketWithoutPresent(self.terminal)),
        }
    }
}

fn bucket_digest(members: &[ShownLeaf]) -> Digest {
    let mut body = vec![members.len() as u8];
    for member in members {
        body.extend_from_slice(&member.key_hash);
        body.extend_from_slice(&member.value_hash);
    }
    BUCKET.hash(&body)
}
