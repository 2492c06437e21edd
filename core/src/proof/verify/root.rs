//! A root that a client keeps, with the slots that earlier proofs opened: later proofs about these slots cost only
//! hashes.
//!
//! It keeps a single root.

use alloc::vec::Vec;

use super::openings::PendingOpenings;
use super::{Expected, ToVerify, Verified, VerifyAllError, VerifyProofError, fold_all};
use crate::kzg::OpenedVersion;
use crate::params::WIDTH;
use crate::proof::Proof;
use crate::record::Root;

/// A trusted root and the values of the slots that proofs against it have shown.
///
/// A proof with a KZG top whose slots are all known is checked without a pairing: its opening is ignored,
/// since nothing depends on it. Proofs with a hash top never need one.
///
/// ```
/// use trunkline_core::kzg::G1Bytes;
/// use trunkline_core::proof::*;
/// use trunkline_core::{params::TreeParams, record::{CommitRecord, Root}};
/// let params = TreeParams::default();
/// let empty_state = CommitRecord::genesis(params.tree_id());
/// let mut root = VerifiedRoot::new(Root::of(&empty_state, Some(G1Bytes::IDENTITY.0)));
/// let proof = Proof {
///     params,
///     versions: vec![VersionProof {
///         version: 0,
///         record: None,
///         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///         siblings: Siblings::default(),
///         top: Top::Kzg { kzg_root: G1Bytes::IDENTITY.0 },
///     }],
///     opening: Some(TopOpening::Single(G1Bytes::IDENTITY)),
/// };
/// root.verify(&proof)?; // a pairing check
/// assert_eq!(root.slots_known(), 1);
/// root.verify(&proof)?; // hashes
/// # Ok::<(), VerifyProofError>(())
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedRoot {
    root: Root,
    /// The known value of each slot: its digest with the top two bits cleared.
    values: [Option<[u8; 32]>; WIDTH],
}

impl VerifiedRoot {
    /// Returns a root that the client trusts, with no slot known yet.
    pub fn new(root: Root) -> Self {
        Self {
            root,
            values: [None; WIDTH],
        }
    }

    /// Returns the root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns the number of known slots, out of 128.
    pub fn slots_known(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// Checks a proof of this version, as [`super::verify()`] does with [`Expected::Root`].
    pub fn verify<'a>(&mut self, proof: &'a Proof) -> Result<Verified<'a>, VerifyProofError> {
        let verified = self.verify_all(&[proof]).map_err(|error| error.error)?;
        // There is one proof, for which one version was expected.
        verified
            .into_iter()
            .next()
            .ok_or(VerifyProofError::ExpectedCount {
                versions: 0,
                expected: 1,
            })
    }

    /// Checks many proofs of this version at once, as [`super::verify_all`]; slots are remembered only if all proofs hold.
    pub fn verify_all<'a>(
        &mut self,
        proofs: &[&'a Proof],
    ) -> Result<Vec<Verified<'a>>, VerifyAllError> {
        let expected = [Expected::Root(self.root)];
        let jobs: Vec<ToVerify<'a, '_>> = proofs
            .iter()
            .map(|proof| ToVerify {
                proof,
                expected: &expected,
            })
            .collect();
        let mut pending = PendingOpenings::default();
        let mut learned = Vec::new();
        let verified = fold_all(&jobs, &mut |index, job, opened| {
            if self.knows(&opened)? {
                return Ok(());
            }
            learned.extend(
                opened
                    .iter()
                    .flat_map(|opened| opened.slots.iter().copied()),
            );
            pending.add(index, opened, job.proof.opening);
            Ok(())
        })?;
        pending.check().map_err(|index| VerifyAllError {
            index,
            error: VerifyProofError::Opening,
        })?;
        for (slot, value) in learned {
            self.values[slot.index()] = Some(value);
        }
        Ok(verified.into_iter().flatten().collect())
    }

    /// Returns whether all these slots are known; an error if one of them is known to have another value.
    fn knows(&self, opened: &[OpenedVersion]) -> Result<bool, VerifyProofError> {
        let mut all = true;
        for (slot, value) in opened.iter().flat_map(|opened| &opened.slots) {
            match &self.values[slot.index()] {
                Some(known) if known == value => {}
                Some(_) => return Err(VerifyProofError::Opening),
                None => all = false,
            }
        }
        Ok(all)
    }
}
