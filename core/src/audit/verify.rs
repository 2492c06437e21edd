//! The rules of an audit proof: a total function of the proof and of the client's trusted values.
//!
//! The state digest is folded from the slot digests, and the value that the polynomial should have is computed from
//! them; neither is read. Committing to the digests again would show the same, but would need 128 points of the setup.

use alloc::vec::Vec;

use ark_ff::{Field, Zero, batch_inversion};

use super::{AuditProof, evaluation_point};
use crate::hash::{Digest, INNER, Pair, ZERO};
use crate::kzg::{
    Fr, VerifyOpeningError, encode_scalar, roots_of_unity, slot_value, verify_opening,
};
use crate::params::WIDTH;
use crate::proof::{Expected, same};
use crate::record::CommitRecord;
use crate::wire::{self, FormError};

/// The roots of a verified audit proof that rest on the client's trusted values.
///
/// ```
/// use trunkline_core::audit::AuditBinding;
/// assert_ne!(AuditBinding::BothRoots, AuditBinding::KzgRoot);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditBinding {
    /// The state digest, the KZG root and all slot digests.
    BothRoots,
    /// The KZG root, and the slot digests without their top two bits, which no commitment holds. The state digest,
    /// which covers these bits, is only claimed.
    KzgRoot,
    /// None: the prover chose everything in the proof.
    Nothing,
}

/// An audit proof whose roots belong together, and rest on trusted values as far as [`Self::binding`] says.
///
/// ```
/// use trunkline_core::audit::*;
/// use trunkline_core::proof::Expected;
/// # use trunkline_core::{kzg::G1Bytes, params::TreeParams};
/// # let proof = AuditProof {
/// #     params: TreeParams::default(),
/// #     version: 0,
/// #     record: None,
/// #     kzg_root: G1Bytes::IDENTITY.0,
/// #     slots: Box::new([[0; 32]; 128]),
/// #     opening: G1Bytes::IDENTITY.0,
/// # };
/// // `proof` is of the empty state.
/// let verified = verify(&proof, &Expected::Carried)?;
/// assert_eq!((verified.state_digest, verified.slots[127]), ([0; 32], [0; 32]));
/// assert_eq!(verified.binding, AuditBinding::Nothing);
/// assert_eq!(verified.trusted_version, None);
/// # Ok::<(), VerifyAuditError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedAudit<'a> {
    /// The id of the tree.
    pub tree_id: Digest,
    /// The fold of the slot digests.
    pub state_digest: Digest,
    /// The commitment to the only polynomial of degree below 128 that has these values.
    pub kzg_root: [u8; 48],
    /// The digest of each slot, empty ones as zero.
    pub slots: &'a [Digest; WIDTH],
    /// The roots that rest on the client's trusted values.
    pub binding: AuditBinding,
    /// The version, if a trusted value states it; the proof's own claim is not enough.
    pub trusted_version: Option<u64>,
    /// The carried record, if its commit id is trusted.
    pub trusted_record: Option<&'a CommitRecord>,
}

/// The rule that an audit proof breaks.
///
/// ```
/// use trunkline_core::audit::*;
/// use trunkline_core::proof::Expected;
/// # use trunkline_core::{kzg::G1Bytes, params::TreeParams};
/// # let proof = AuditProof {
/// #     params: TreeParams::default(),
/// #     version: 0,
/// #     record: None,
/// #     kzg_root: G1Bytes::IDENTITY.0,
/// #     slots: Box::new([[0; 32]; 128]),
/// #     opening: G1Bytes::IDENTITY.0,
/// # };
/// // `proof` is of the empty state; with a digest in a slot it is of nothing.
/// let mut forged = proof.clone();
/// forged.slots[3] = [7; 32];
/// assert_eq!(verify(&forged, &Expected::Carried), Err(VerifyAuditError::Opening));
/// let commit_id = Expected::CommitId([1; 32]);
/// assert_eq!(verify(&proof, &commit_id), Err(VerifyAuditError::NeedsRecord));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyAuditError {
    /// A length is out of bounds.
    #[error(transparent)]
    Form(#[from] FormError),

    /// The carried record is of another tree.
    #[error("the carried record is of another tree")]
    RecordTree,
    /// The carried record is of another version.
    #[error("the carried record is of another version")]
    RecordVersion,
    /// The carried record has another state digest than the slot digests give.
    #[error("the carried record has another state digest than the slot digests fold to")]
    RecordState,

    /// The audit proof is of another tree than is trusted.
    #[error("the audit proof is of another tree than is trusted")]
    TrustedTree,
    /// The audit proof is of another version than is trusted.
    #[error("the audit proof is of another version than is trusted")]
    TrustedVersion,
    /// The carried record has another commit id than is trusted.
    #[error("the carried record has another commit id than is trusted")]
    TrustedCommit,
    /// The slot digests fold to another state digest than is trusted.
    #[error("the slot digests fold to another state digest than is trusted")]
    TrustedState,
    /// The audit proof has another KZG root than is trusted.
    #[error("the audit proof is of another KZG root than is trusted")]
    TrustedKzgRoot,
    /// A commit id is trusted, but no record is carried.
    #[error("a commit id is trusted, but the audit proof carries no record; ask for one that does")]
    NeedsRecord,

    /// The point of evaluation is a 128th root of unity.
    #[error("the point of evaluation lies on the domain, which never happens in an honest proof")]
    PointOnDomain,
    /// The KZG root is not the canonical encoding of a point of the subgroup.
    #[error("the KZG root is not a canonical point of G1")]
    KzgRootPoint,
    /// The opening is not the canonical encoding of a point of the subgroup.
    #[error("the opening is not a canonical point of G1")]
    OpeningPoint,
    /// The committed polynomial has another value than the slot digests give.
    #[error("the KZG root is not the commitment to these slot digests")]
    Opening,
}

/// Checks an audit proof against the client's trusted values. Costs 127 hashes and a final pairing check, and needs
/// only `[τ]₂` of the setup.
///
/// ```
/// use trunkline_core::audit::{AuditProof, verify};
/// use trunkline_core::proof::Expected;
/// fn kzg_root_of(bytes: &[u8], commit_id: [u8; 32]) -> Result<[u8; 48], Box<dyn std::error::Error>> {
///     let proof = AuditProof::decode(bytes)?;
///     Ok(verify(&proof, &Expected::CommitId(commit_id))?.kzg_root)
/// }
/// assert!(kzg_root_of(b"no proof", [0; 32]).is_err());
/// ```
pub fn verify<'a>(
    proof: &'a AuditProof,
    trusted: &Expected,
) -> Result<VerifiedAudit<'a>, VerifyAuditError> {
    if let Some(record) = &proof.record {
        wire::check_metadata(record)?;
    }
    let tree_id = proof.params.tree_id();
    let state_digest = fold(&proof.slots);
    check_record(proof, &tree_id, &state_digest)?;
    let binding = check_trusted(proof, &tree_id, &state_digest, trusted)?;
    check_opening(proof, &tree_id)?;
    let is_version_bound = matches!(trusted, Expected::Root(_) | Expected::CommitId(_));
    Ok(VerifiedAudit {
        tree_id,
        state_digest,
        kzg_root: proof.kzg_root,
        slots: &proof.slots,
        binding,
        trusted_version: is_version_bound.then_some(proof.version),
        trusted_record: proof.record.as_ref().filter(|_| is_version_bound),
    })
}

/// Returns the state digest by seven levels of hashes, each level hashed together. Two empty halves make an empty
/// whole; nothing else is compacted.
fn fold(slots: &[Digest; WIDTH]) -> Digest {
    let mut level = slots.to_vec();
    let mut above = Vec::with_capacity(WIDTH / 2);
    while level.len() > 1 {
        let (halves, _) = level.as_chunks::<2>();
        let pairs: Vec<Pair> = halves.iter().map(pair_of).collect();
        INNER.hash_pairs(&pairs, &mut above);
        for (digest, halves) in above.iter_mut().zip(halves) {
            if *halves == [ZERO, ZERO] {
                *digest = ZERO;
            }
        }
        core::mem::swap(&mut level, &mut above);
    }
    level.first().copied().unwrap_or(ZERO)
}

fn pair_of([left, right]: &[Digest; 2]) -> Pair {
    crate::hash::pair(left, right)
}

fn check_record(
    proof: &AuditProof,
    tree_id: &Digest,
    state_digest: &Digest,
) -> Result<(), VerifyAuditError> {
    use VerifyAuditError::{RecordState, RecordTree, RecordVersion};
    let Some(record) = &proof.record else {
        return Ok(());
    };
    same(Some(&record.tree_id), tree_id, RecordTree)?;
    same(Some(record.version), proof.version, RecordVersion)?;
    same(Some(&record.state_digest), state_digest, RecordState)
}

/// Compares the roots with the trusted values, and returns those that are bound. A trusted state digest fixes every bit
/// of the slot digests, and the opening then fixes the KZG root. A trusted KZG root fixes the values of the slots,
/// which are two bits shorter than their digests.
fn check_trusted(
    proof: &AuditProof,
    tree_id: &Digest,
    state_digest: &Digest,
    expected: &Expected,
) -> Result<AuditBinding, VerifyAuditError> {
    use VerifyAuditError as Broken;
    let trusted = expected.trusted();
    same(trusted.tree_id, tree_id, Broken::TrustedTree)?;
    same(trusted.version, proof.version, Broken::TrustedVersion)?;
    match &proof.record {
        Some(record) if trusted.commit_id.is_some() => {
            let commit_id = &record.commit_id();
            same(trusted.commit_id, commit_id, Broken::TrustedCommit)?;
        }
        None if trusted.needs_record => return Err(Broken::NeedsRecord),
        _ => {}
    }
    same(trusted.state_digest, state_digest, Broken::TrustedState)?;
    same(trusted.kzg_root, &proof.kzg_root, Broken::TrustedKzgRoot)?;
    Ok(match expected {
        Expected::Root(_) | Expected::CommitId(_) | Expected::StateDigest { .. } => {
            AuditBinding::BothRoots
        }
        Expected::KzgRoot { .. } => AuditBinding::KzgRoot,
        Expected::Carried => AuditBinding::Nothing,
    })
}

fn check_opening(proof: &AuditProof, tree_id: &Digest) -> Result<(), VerifyAuditError> {
    let z = evaluation_point(tree_id, &proof.kzg_root, &proof.slots);
    let y = evaluate(&proof.slots, z).ok_or(VerifyAuditError::PointOnDomain)?;
    let (z, y) = (encode_scalar(&z), encode_scalar(&y));
    match verify_opening(&proof.kzg_root, &z, &y, &proof.opening) {
        Ok(true) => Ok(()),
        Err(VerifyOpeningError::Commitment) => Err(VerifyAuditError::KzgRootPoint),
        Err(VerifyOpeningError::Proof) => Err(VerifyAuditError::OpeningPoint),
        // z and y were encoded here.
        Ok(false) | Err(VerifyOpeningError::PointOfEvaluation | VerifyOpeningError::Value) => {
            Err(VerifyAuditError::Opening)
        }
    }
}

/// Returns the value at z of the polynomial of degree below 128 that has the value of each slot at its root of unity:
/// (z^128 - 1)/128 · Σ p_i·ω^i/(z - ω^i) (Berrut and Trefethen, SIAM Review 2004, the first form of the barycentric
/// formula). `None` on the domain.
fn evaluate(slots: &[Digest; WIDTH], z: Fr) -> Option<Fr> {
    let vanishing = z.pow([WIDTH as u64]) - Fr::ONE;
    if vanishing.is_zero() {
        return None;
    }
    let roots = roots_of_unity();
    let mut inverses = roots.map(|root| z - root);
    batch_inversion(&mut inverses);
    let weights = roots.iter().zip(&inverses);
    let terms = slots.iter().zip(weights);
    let sum: Fr = terms
        .map(|(digest, (root, inverse))| slot_value(digest) * root * inverse)
        .sum();
    Some(sum * vanishing / Fr::from(WIDTH as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kzg::{Slot, root_of_unity};

    fn digests() -> [Digest; WIDTH] {
        core::array::from_fn(|slot| [slot as u8; 32])
    }

    #[test]
    fn no_value_is_computed_on_the_domain() {
        for slot in Slot::all() {
            assert_eq!(evaluate(&digests(), root_of_unity(slot)), None);
        }
        assert!(evaluate(&digests(), Fr::zero()).is_some());
    }

    #[test]
    fn the_value_is_that_of_the_interpolated_polynomial() {
        // c_j = 1/128 Σ p_i ω^(-ij), and then Σ c_j z^j.
        let (slots, z) = (digests(), Fr::from(12_345));
        let width = Fr::from(WIDTH as u64);
        let coefficient = |j: usize| {
            let term = |i: usize| {
                let root = root_of_unity(Slot::new(i * (WIDTH - j) % WIDTH).expect("a slot"));
                slot_value(&slots[i]) * root
            };
            (0..WIDTH).map(term).sum::<Fr>() / width
        };
        let value: Fr = (0..WIDTH).map(|j| coefficient(j) * z.pow([j as u64])).sum();
        assert_eq!(evaluate(&slots, z), Some(value));
    }
}
