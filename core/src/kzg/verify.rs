//! Checks one opening, and has the pairing check with which every other check ends.
//!
//! It is always compiled, and uses no setup files, tables or polynomials: of the whole ceremony a verifier needs only
//! `[τ]₂`. `check` handles many openings at once.

use alloc::boxed::Box;

use ark_bls12_381::{Bls12_381, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Zero;
use ark_serialize::CanonicalDeserialize;
use once_cell::race::OnceBox;

use super::point::{G1Bytes, decode_g1};
use super::scalar::decode_scalar;
use crate::hash::from_hex;

/// `[τ]₂` of the ceremony, compressed: its second G2 power.
pub const TAU_G2: [u8; 96] = from_hex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d\
     2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e2\
     3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2",
);

/// The claim that the polynomial behind `commitment` has the value `y` at `z`, and its proof.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, Opening, verify_openings};
/// // The zero polynomial is zero everywhere.
/// let opening = Opening {
///     commitment: G1Bytes::IDENTITY,
///     z: [3; 32],
///     y: [0; 32],
///     proof: G1Bytes::IDENTITY,
/// };
/// assert_eq!(verify_openings(&[opening, opening]), Ok(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Commitment to the polynomial.
    pub commitment: G1Bytes,
    /// Point of evaluation, 32 bytes big-endian.
    pub z: [u8; 32],
    /// Value at this point, 32 bytes big-endian.
    pub y: [u8; 32],
    /// Commitment to the quotient.
    pub proof: G1Bytes,
}

/// The malformed input of an opening. A well-formed but false opening is not an error.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, VerifyOpeningError, verify_opening};
/// let identity = G1Bytes::IDENTITY.0;
/// let of = |commitment, y| verify_opening(commitment, &[3; 32], y, &identity);
/// assert_eq!(of(&identity, &[1; 32]), Ok(false)); // well-formed and false
/// assert_eq!(of(&[0; 48], &[1; 32]), Err(VerifyOpeningError::Commitment));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyOpeningError {
    /// The commitment is not a canonical point of the subgroup.
    #[error("the commitment is not a canonical point of G1; ask for the root again")]
    Commitment,
    /// z is not below the field's order.
    #[error("the point of evaluation is not a canonical field element; use 32 big-endian bytes")]
    PointOfEvaluation,
    /// y is not below the field's order.
    #[error("the value is not a canonical field element; use 32 big-endian bytes")]
    Value,
    /// The proof is not a canonical point of the subgroup.
    #[error("the proof is not a canonical point of G1; ask for the proof again")]
    Proof,
}

/// Checks one opening: `e(C - y·G + z·W, H) = e(W, [τ]₂)`.
///
/// `Ok(false)` means well-formed but false. It is an error if a scalar is not canonical (below the field's order), or
/// if a point is not canonical, on the curve and in the subgroup. The same relation and the same strictness as
/// `verify_kzg_proof` of EIP-4844.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, VerifyOpeningError, verify_opening};
/// let identity = G1Bytes::IDENTITY.0;
/// assert_eq!(verify_opening(&identity, &[3; 32], &[0; 32], &identity), Ok(true));
/// assert_eq!(verify_opening(&identity, &[3; 32], &[1; 32], &identity), Ok(false));
/// assert_eq!(
///     verify_opening(&identity, &[3; 32], &[0xff; 32], &identity),
///     Err(VerifyOpeningError::Value)
/// );
/// ```
pub fn verify_opening(
    commitment: &[u8; 48],
    z: &[u8; 32],
    y: &[u8; 32],
    proof: &[u8; 48],
) -> Result<bool, VerifyOpeningError> {
    let commitment = decode_g1(commitment).map_err(|_| VerifyOpeningError::Commitment)?;
    let z = decode_scalar(z).ok_or(VerifyOpeningError::PointOfEvaluation)?;
    let y = decode_scalar(y).ok_or(VerifyOpeningError::Value)?;
    let proof = decode_g1(proof).map_err(|_| VerifyOpeningError::Proof)?;
    let left = proof * z - G1Affine::generator() * y + commitment;
    Ok(pairings_agree(left, proof.into_group()))
}

type G2Prepared = <Bls12_381 as Pairing>::G2Prepared;

/// The two G2 points of the check, with their precomputed line coefficients.
struct VerifierKey {
    generator: G2Prepared,
    minus_tau: G2Prepared,
}

/// Created on first use. Threads that race for it each create it, and none waits: that works without `std`.
static VERIFIER_KEY: OnceBox<VerifierKey> = OnceBox::new();

fn verifier_key() -> &'static VerifierKey {
    VERIFIER_KEY.get_or_init(|| {
        Box::new(VerifierKey {
            generator: G2Affine::generator().into(),
            minus_tau: (-tau_g2()).into(),
        })
    })
}

/// Returns the embedded `[τ]₂`. A test checks that it is a point of the subgroup and the ceremony's.
fn tau_g2() -> G2Affine {
    G2Affine::deserialize_compressed_unchecked(&TAU_G2[..])
        .expect("the embedded constant is a point")
}

/// Returns whether `e(left, H) = e(right, [τ]₂)`. Every check of openings, single or aggregate, ends with this.
///
/// Both points must lie in the prime-order subgroup, as sums of decoded points do.
///
/// ```
/// use ark_bls12_381::G1Projective;
/// use trunkline_core::kzg::pairings_agree;
/// assert!(pairings_agree(G1Projective::default(), G1Projective::default()));
/// ```
pub fn pairings_agree(left: G1Projective, right: G1Projective) -> bool {
    let points = G1Projective::normalize_batch(&[left, right]);
    let key = verifier_key();
    let lines = [key.generator.clone(), key.minus_tau.clone()];
    let product = Bls12_381::multi_miller_loop(points, lines);
    Bls12_381::final_exponentiation(product).is_some_and(|output| output.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn the_embedded_tau_is_the_second_g2_power_of_the_ceremony() {
        let ceremony = include_str!("../../data/ceremony-128.txt");
        let line = ceremony.lines().nth(2 + 128 + 1);
        assert_eq!(line, Some(hash::hex(&TAU_G2).as_str()));
        assert!(G2Affine::deserialize_compressed(&TAU_G2[..]).is_ok());
    }
}
