//! Checking openings: one, or many with a single pairing check.
//!
//! Always compiled, and free of setup files, tables and polynomials: of the whole ceremony a
//! verifier needs `[τ]₂` alone. Deliberately not here: what an opened value means.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{One, PrimeField, Zero};
use ark_serialize::CanonicalDeserialize;
use once_cell::race::OnceBox;

use super::point::{G1Bytes, decode_g1};
use super::scalar::decode_scalar;
use crate::hash::{Digest, OPENING_BATCH};

/// `[τ]₂` of the ceremony, compressed: its second G2 power.
pub const TAU_G2: [u8; 96] = [
    0xb5, 0xbf, 0xd7, 0xdd, 0x8c, 0xde, 0xb1, 0x28, 0x84, 0x3b, 0xc2, 0x87, 0x23, 0x0a, 0xf3, 0x89,
    0x26, 0x18, 0x70, 0x75, 0xcb, 0xfb, 0xef, 0xa8, 0x10, 0x09, 0xa2, 0xce, 0x61, 0x5a, 0xc5, 0x3d,
    0x29, 0x14, 0xe5, 0x87, 0x0c, 0xb4, 0x52, 0xd2, 0xaf, 0xaa, 0xab, 0x24, 0xf3, 0x49, 0x9f, 0x72,
    0x18, 0x5c, 0xbf, 0xee, 0x53, 0x49, 0x27, 0x14, 0x73, 0x44, 0x29, 0xb7, 0xb3, 0x86, 0x08, 0xe2,
    0x39, 0x26, 0xc9, 0x11, 0xcc, 0xec, 0xea, 0xc9, 0xa3, 0x68, 0x51, 0x47, 0x7b, 0xa4, 0xc6, 0x0b,
    0x08, 0x70, 0x41, 0xde, 0x62, 0x10, 0x00, 0xed, 0xc9, 0x8e, 0xda, 0xda, 0x20, 0xc1, 0xde, 0xf2,
];

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
    /// Value there, 32 bytes big-endian.
    pub y: [u8; 32],
    /// Commitment to the quotient.
    pub proof: G1Bytes,
}

/// Which input of an opening is malformed. A well-formed but false opening is no error.
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
    #[error("the commitment is no canonical point of G1; ask for the root again")]
    Commitment,
    /// z is not below the field's order.
    #[error("the point of evaluation is no canonical field element; use 32 big-endian bytes")]
    PointOfEvaluation,
    /// y is not below the field's order.
    #[error("the value is no canonical field element; use 32 big-endian bytes")]
    Value,
    /// The proof is not a canonical point of the subgroup.
    #[error("the proof is no canonical point of G1; ask for the proof again")]
    Proof,
}

/// The first malformed opening of several.
///
/// ```
/// use trunkline_core::kzg::{BatchError, G1Bytes, Opening, VerifyOpeningError, verify_openings};
/// let identity = G1Bytes::IDENTITY;
/// let good = Opening { commitment: identity, z: [3; 32], y: [0; 32], proof: identity };
/// let bad = Opening { y: [0xff; 32], ..good };
/// let error = BatchError { index: 1, error: VerifyOpeningError::Value };
/// assert_eq!(verify_openings(&[good, bad]), Err(error));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opening {index}: {error}")]
pub struct BatchError {
    /// Its place in the list, from 0.
    pub index: usize,
    /// What is malformed in it.
    pub error: VerifyOpeningError,
}

/// Checks one opening: `e(C - y·G + z·W, H) = e(W, [τ]₂)`.
///
/// `Ok(false)` means well-formed and false. Scalars are canonical (below the field's order) and
/// points are canonical, on the curve and in the subgroup, or there is an error. The same relation
/// and the same strictness as `verify_kzg_proof` of EIP-4844.
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

/// Checks many openings, of one commitment or of several, with two pairings in all.
///
/// `Ok(true)` if every opening holds, which an empty list does. The openings are folded with
/// weights r_i of 128 bits drawn from a hash over every byte of every opening:
/// `e(Σ r_i (C_i - y_i·G + z_i·W_i), H) = e(Σ r_i W_i, [τ]₂)`. A list with a false opening passes
/// with probability at most 2^-127 over that hash (Bellare, Garay, Rabin, EUROCRYPT 1998, small
/// exponents; sound because every point is checked to be in the prime-order subgroup).
///
/// Malformed input is an error that names the first opening it is in.
pub fn verify_openings(openings: &[Opening]) -> Result<bool, BatchError> {
    if openings.is_empty() {
        return Ok(true);
    }
    let weights = Weights::of_openings(openings);
    let mut fold = Fold::with_capacity(openings.len());
    for (index, opening) in openings.iter().enumerate() {
        fold.add(opening, weights.weight(index as u64))
            .map_err(|error| BatchError { index, error })?;
    }
    Ok(fold.holds())
}

/// The weighted sum of openings so far, as bases and scalars that wait for one multiplication.
struct Fold {
    /// Where the base of a commitment stands in `left_bases`: equal ones share it.
    places: BTreeMap<G1Bytes, usize>,
    left_bases: Vec<G1Affine>,
    left_scalars: Vec<Fr>,
    proofs: Vec<G1Affine>,
    proof_weights: Vec<Fr>,
    /// Σ r_i y_i
    value: Fr,
}

impl Fold {
    fn with_capacity(openings: usize) -> Self {
        Self {
            places: BTreeMap::new(),
            left_bases: Vec::with_capacity(2 * openings + 1),
            left_scalars: Vec::with_capacity(2 * openings + 1),
            proofs: Vec::with_capacity(openings),
            proof_weights: Vec::with_capacity(openings),
            value: Fr::zero(),
        }
    }

    fn add(&mut self, opening: &Opening, weight: Fr) -> Result<(), VerifyOpeningError> {
        self.add_commitment(&opening.commitment, weight)?;
        let z = decode_scalar(&opening.z).ok_or(VerifyOpeningError::PointOfEvaluation)?;
        let y = decode_scalar(&opening.y).ok_or(VerifyOpeningError::Value)?;
        let proof = decode_g1(&opening.proof.0).map_err(|_| VerifyOpeningError::Proof)?;
        self.left_bases.push(proof);
        self.left_scalars.push(weight * z);
        self.proofs.push(proof);
        self.proof_weights.push(weight);
        self.value += weight * y;
        Ok(())
    }

    fn add_commitment(&mut self, bytes: &G1Bytes, weight: Fr) -> Result<(), VerifyOpeningError> {
        if let Some(&place) = self.places.get(bytes) {
            self.left_scalars[place] += weight;
            return Ok(());
        }
        let commitment = decode_g1(&bytes.0).map_err(|_| VerifyOpeningError::Commitment)?;
        self.places.insert(*bytes, self.left_bases.len());
        self.left_bases.push(commitment);
        self.left_scalars.push(weight);
        Ok(())
    }

    fn holds(mut self) -> bool {
        self.left_bases.push(G1Affine::generator());
        self.left_scalars.push(-self.value);
        let left = G1Projective::msm_unchecked(&self.left_bases, &self.left_scalars);
        let right = G1Projective::msm_unchecked(&self.proofs, &self.proof_weights);
        pairings_agree(left, right)
    }
}

/// Nonzero 128-bit weights, drawn from a seed that binds everything they are to weigh.
///
/// Seeds are hashed from at least 168 bytes and weights from 40, so neither reads as the other.
pub(super) struct Weights {
    seed: Digest,
}

impl Weights {
    /// Seed: the count as u64 little-endian, then `commitment ‖ z ‖ y ‖ proof` of each.
    fn of_openings(openings: &[Opening]) -> Self {
        let mut bytes = Vec::with_capacity(8 + 160 * openings.len());
        bytes.extend_from_slice(&(openings.len() as u64).to_le_bytes());
        for opening in openings {
            bytes.extend_from_slice(&opening.commitment.0);
            bytes.extend_from_slice(&opening.z);
            bytes.extend_from_slice(&opening.y);
            bytes.extend_from_slice(&opening.proof.0);
        }
        Self::of_bytes(&bytes)
    }

    /// Seed: the hash of the bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self {
            seed: OPENING_BATCH.hash(bytes),
        }
    }

    /// The first 16 bytes, little-endian, of the hash of `seed ‖ index` (u64 little-endian).
    pub(super) fn weight(&self, index: u64) -> Fr {
        let digest = OPENING_BATCH.hash_parts(&[&self.seed, &index.to_le_bytes()]);
        let (low, _) = digest.split_at(16);
        let weight = Fr::from_le_bytes_mod_order(low);
        if weight.is_zero() { Fr::one() } else { weight }
    }
}

type G2Prepared = <Bls12_381 as Pairing>::G2Prepared;

/// The two G2 points of the check, their line coefficients computed once.
struct VerifierKey {
    generator: G2Prepared,
    minus_tau: G2Prepared,
}

/// Made by whoever needs it first. Threads that race for it make it twice and none waits: that takes
/// no `std`.
static VERIFIER_KEY: OnceBox<VerifierKey> = OnceBox::new();

fn verifier_key() -> &'static VerifierKey {
    VERIFIER_KEY.get_or_init(|| {
        Box::new(VerifierKey {
            generator: G2Affine::generator().into(),
            minus_tau: (-tau_g2()).into(),
        })
    })
}

/// The embedded `[τ]₂`. A test holds it to be a point of the subgroup and the ceremony's.
fn tau_g2() -> G2Affine {
    G2Affine::deserialize_compressed_unchecked(&TAU_G2[..])
        .expect("the embedded constant is a point")
}

/// Whether `e(left, H) = e(right, [τ]₂)`: what every check of openings, single or aggregate, ends in.
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

    #[test]
    fn every_byte_and_the_count_change_the_weights() {
        let opening = Opening {
            commitment: G1Bytes::IDENTITY,
            z: [0; 32],
            y: [0; 32],
            proof: G1Bytes::IDENTITY,
        };
        let first_weight = |openings: &[Opening]| Weights::of_openings(openings).weight(0);
        let plain = first_weight(&[opening, opening]);
        assert_ne!(plain, first_weight(&[opening]));
        for byte in 0..160 {
            let mut changed = opening;
            match byte {
                0..48 => changed.commitment.0[byte] ^= 1,
                48..80 => changed.z[byte - 48] ^= 1,
                80..112 => changed.y[byte - 80] ^= 1,
                _ => changed.proof.0[byte - 112] ^= 1,
            }
            assert_ne!(plain, first_weight(&[changed, opening]));
            assert_ne!(plain, first_weight(&[opening, changed]));
        }
    }

    #[test]
    fn weights_have_128_bits_and_differ() {
        let weights = Weights::of_bytes(b"anything");
        let (first, second) = (weights.weight(0), weights.weight(1));
        assert_ne!(first, second);
        assert_eq!(first.into_bigint().0[2..], [0, 0]);
    }
}
