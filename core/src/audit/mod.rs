//! An audit proof: all 128 slot digests of a version, and an opening that ties its two roots together.
//!
//! The state digest and the KZG root are computed from the same slot digests, one by hashing and the other by a
//! commitment. Neither shows the other, and a commitment does not show the degree of its polynomial. An audit proof
//! shows both: the digests themselves, which fold to the state digest, and the value of the committed polynomial at a
//! point that follows from them. `SPEC.md` §16 is the normative text.
//!
//! This module has its types; `wire` has its form in bytes, `verify` its rules, and `prove` (feature `state`) makes it.
//! Proofs of keys show the contents of slots.

#[cfg(feature = "state")]
mod prove;
mod verify;
mod wire;

use alloc::boxed::Box;

pub use verify::{AuditBinding, VerifiedAudit, VerifyAuditError, verify};
pub use wire::ENCODED_BYTES_MAX;

use crate::hash::{AUDIT_POINT, Digest};
use crate::kzg::{Fr, slot_value};
use crate::params::{FORMAT, SETUP_ID, TreeParams, WIDTH};
use crate::record::CommitRecord;

/// The 128 slot digests of a version, and the opening that ties its state digest to its KZG root. It proves nothing
/// until [`verify()`] has accepted it.
///
/// ```
/// use trunkline_core::audit::{AuditBinding, AuditProof, verify};
/// use trunkline_core::proof::Expected;
/// use trunkline_core::kzg::G1Bytes;
/// use trunkline_core::params::TreeParams;
///
/// // The empty state: the zero polynomial is zero everywhere.
/// let params = TreeParams::default();
/// let proof = AuditProof {
///     params,
///     version: 0,
///     record: None,
///     kzg_root: G1Bytes::IDENTITY.0,
///     slots: Box::new([[0; 32]; 128]),
///     opening: G1Bytes::IDENTITY.0,
/// };
/// let received = AuditProof::decode(&proof.encode()?)?;
/// let trusted = Expected::StateDigest { tree_id: params.tree_id(), state_digest: [0; 32] };
/// let verified = verify(&received, &trusted)?;
/// assert_eq!(verified.kzg_root, G1Bytes::IDENTITY.0);
/// assert_eq!(verified.binding, AuditBinding::BothRoots);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditProof {
    /// The parameters of the tree; they give its tree id.
    pub params: TreeParams,
    /// The claimed version. Only a root or a commit id binds it.
    pub version: u64,
    /// The commit record of the version: it ties the state digest to a commit id.
    pub record: Option<CommitRecord>,
    /// The KZG root.
    pub kzg_root: [u8; 48],
    /// The digest of each slot, empty ones as zero.
    pub slots: Box<[Digest; WIDTH]>,
    /// The proof of the polynomial's value at the point that follows from all fields above except version and record.
    pub opening: [u8; 48],
}

/// Returns the point at which the polynomial is evaluated: a hash of everything that the value ties together (Fiat and
/// Shamir, CRYPTO 1986), so that no party chooses it.
///
/// Body: format u16 little-endian, setup id, tree id, KZG root, the 128 slot digests; the digest is read like a slot
/// digest, as a big-endian integer with its top two bits cleared.
fn evaluation_point(tree_id: &Digest, kzg_root: &[u8; 48], slots: &[Digest; WIDTH]) -> Fr {
    slot_value(&AUDIT_POINT.hash_parts(&[
        &FORMAT.to_le_bytes(),
        &SETUP_ID,
        tree_id,
        kzg_root,
        slots.as_flattened(),
    ]))
}
