//! Makes an audit proof: one opening of the KZG root off the domain.

use super::{AuditProof, evaluation_point};
use crate::kzg::{Committer, slot_value};
use crate::params::TreeParams;
use crate::record::CommitRecord;
use crate::tree::Roots;

impl AuditProof {
    /// Makes the audit proof of a version. Costs one commitment.
    ///
    /// `kzg_root` is the commitment to the slots of `roots`, and the record, if there is one, is that of the version;
    /// otherwise the proof fails verification.
    ///
    /// ```
    /// use trunkline_core::audit::{AuditProof, verify};
    /// use trunkline_core::proof::Expected;
    /// use trunkline_core::kzg::{Committer, G1Bytes, Setup};
    /// use trunkline_core::{params::TreeParams, record::CommitRecord, record::Root, tree};
    /// let params = TreeParams::default();
    /// let (mut writer, mut hasher) = tree::build(params.collision, &[]).unwrap();
    /// let roots = hasher.hash(writer.seal(0), None);
    /// let genesis = CommitRecord::genesis(params.tree_id());
    ///
    /// let committer = Committer::new(&Setup::ceremony()?);
    /// let kzg_root = G1Bytes::IDENTITY.0;
    /// let proof = AuditProof::make(&committer, &params, &roots, Some(genesis.clone()), kzg_root);
    /// let verified = verify(&proof, &Expected::Root(Root::of(&genesis, None)))?;
    /// assert_eq!(verified.kzg_root, kzg_root);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn make(
        committer: &Committer,
        params: &TreeParams,
        roots: &Roots,
        record: Option<CommitRecord>,
        kzg_root: [u8; 48],
    ) -> Self {
        let values = core::array::from_fn(|slot| slot_value(&roots.slots[slot]));
        // One digest in 2^247 is a point of the domain, which the verifier would refuse.
        let z = evaluation_point(&params.tree_id(), &kzg_root, &roots.slots);
        let (_, opening) = committer.open_at(&values, z);
        Self {
            params: *params,
            version: roots.version,
            record,
            kzg_root,
            slots: roots.slots.clone(),
            opening: opening.0,
        }
    }
}
