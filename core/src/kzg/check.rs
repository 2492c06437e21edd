//! Checks many openings and aggregates with a single pairing check.
//!
//! Each of them claims that e(left, H) = e(right, [τ]₂) for two sums of points; the claims are added up with random
//! weights.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ark_bls12_381::{Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr, VariableBaseMSM};
use ark_ff::{One, PrimeField, Zero};

use super::aggregate::{AggregateProof, Combination, OpenedVersion};
use super::point::{G1Bytes, PointError, decode_g1};
use super::scalar::decode_scalar;
use super::verify::{Opening, VerifyOpeningError, pairings_agree};
use crate::hash::{Digest, OPENING_BATCH};

/// Number of points below which they are multiplied one by one.
const SHARED_MULTIPLICATION_MIN: usize = 5;

/// The first malformed opening of several.
///
/// ```
/// use trunkline_core::kzg::{VerifyOpeningsError, G1Bytes, Opening, VerifyOpeningError, verify_openings};
/// let identity = G1Bytes::IDENTITY;
/// let good = Opening { commitment: identity, z: [3; 32], y: [0; 32], proof: identity };
/// let bad = Opening { y: [0xff; 32], ..good };
/// let error = VerifyOpeningsError { index: 1, error: VerifyOpeningError::Value };
/// assert_eq!(verify_openings(&[good, bad]), Err(error));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opening {index}: {error}")]
pub struct VerifyOpeningsError {
    /// Index of the opening in the list, from 0.
    pub index: usize,
    /// The error of the opening.
    pub error: VerifyOpeningError,
}

/// Checks many openings, of one commitment or of several, with two pairings in all.
///
/// Returns `Ok(true)` if every opening holds, also for an empty list, as [`Checks::hold`] does.
pub fn verify_openings(openings: &[Opening]) -> Result<bool, VerifyOpeningsError> {
    let mut checks = Checks::default();
    openings.iter().for_each(|opening| checks.opening(*opening));
    checks.hold()
}

/// Checks one aggregate. `Ok(false)` means well-formed but false.
///
/// The caller must ensure that versions ascend, and the slots of each version.
///
/// ```
/// use trunkline_core::kzg::{AggregateProof, G1Bytes, OpenedVersion, Slot, verify_aggregate};
/// let identity = G1Bytes::IDENTITY;
/// let slots = vec![(Slot::new(1)?, [0; 32]), (Slot::new(2)?, [0; 32])];
/// let empty = OpenedVersion { version: 0, commitment: identity, slots };
/// let proof = AggregateProof { quotient: identity, opening: identity };
/// assert_eq!(verify_aggregate(&[empty.clone()], &proof), Ok(true));
/// let mut full = empty;
/// full.slots[1].1 = [1; 32];
/// assert_eq!(verify_aggregate(&[full], &proof), Ok(false));
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
pub fn verify_aggregate(
    versions: &[OpenedVersion],
    proof: &AggregateProof,
) -> Result<bool, VerifyOpeningError> {
    let mut checks = Checks::default();
    checks.aggregate(versions.to_vec(), *proof);
    checks.hold().map_err(|error| error.error)
}

/// Openings and aggregates that wait for one pairing check.
///
/// ```
/// use trunkline_core::kzg::{Checks, G1Bytes, Opening};
/// let identity = G1Bytes::IDENTITY;
/// let mut checks = Checks::default();
/// checks.opening(Opening { commitment: identity, z: [3; 32], y: [0; 32], proof: identity });
/// assert_eq!(checks.hold(), Ok(true));
/// checks.opening(Opening { commitment: identity, z: [3; 32], y: [1; 32], proof: identity });
/// assert_eq!(checks.hold(), Ok(false));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Checks {
    claims: Vec<Claim>,
}

#[derive(Clone, Debug)]
enum Claim {
    Opening(Opening),
    Aggregate(Vec<OpenedVersion>, AggregateProof),
}

impl Checks {
    /// Adds one opening.
    pub fn opening(&mut self, opening: Opening) {
        self.claims.push(Claim::Opening(opening));
    }

    /// Adds an aggregate. Versions must ascend, and the slots of each version.
    pub fn aggregate(&mut self, versions: Vec<OpenedVersion>, proof: AggregateProof) {
        self.claims.push(Claim::Aggregate(versions, proof));
    }

    /// Returns the number of added claims.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Returns whether no claim was added.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Returns whether all of them hold, with two pairings in total.
    ///
    /// They are added up with weights r_i of 128 bits drawn from a hash over every byte of every claim. A list with a
    /// false claim passes with probability at most 2^-127 over that hash (Bellare, Garay, Rabin, EUROCRYPT 1998, small
    /// exponents; sound because every point is checked to be in the prime-order subgroup).
    ///
    /// Malformed input is an error that names the first malformed claim.
    pub fn hold(&self) -> Result<bool, VerifyOpeningsError> {
        if self.claims.is_empty() {
            return Ok(true);
        }
        let mut fold = Fold::default();
        let weights = Weights::of_claims(&self.claims);
        for (index, claim) in self.claims.iter().enumerate() {
            let weight = match self.claims.len() {
                1 => Fr::one(),
                _ => weights.weight(index as u64),
            };
            let added = match claim {
                Claim::Opening(opening) => fold.add_opening(opening, weight).map(|()| true),
                Claim::Aggregate(versions, proof) => fold.add_aggregate(versions, proof, weight),
            };
            if !added.map_err(|error| VerifyOpeningsError { index, error })? {
                return Ok(false);
            }
        }
        Ok(fold.holds())
    }
}

/// The weighted sum of claims so far, as points and scalars for one multiplication.
#[derive(Default)]
struct Fold {
    left: Sum,
    right: Sum,
    /// The negated scalar of the generator on the left.
    value: Fr,
}

/// Points with their scalars; those added with the same bytes share an index.
#[derive(Default)]
struct Sum {
    places: BTreeMap<G1Bytes, usize>,
    points: Vec<G1Affine>,
    scalars: Vec<Fr>,
}

impl Sum {
    /// Adds a point, and returns its index.
    fn add(&mut self, bytes: &G1Bytes, scalar: Fr) -> Result<usize, PointError> {
        if let Some(&place) = self.places.get(bytes) {
            self.scalars[place] += scalar;
            return Ok(place);
        }
        let point = decode_g1(&bytes.0)?;
        let place = self.points.len();
        self.places.insert(*bytes, place);
        self.add_point(point, scalar);
        Ok(place)
    }

    fn add_point(&mut self, point: G1Affine, scalar: Fr) {
        self.points.push(point);
        self.scalars.push(scalar);
    }

    fn total(&self) -> G1Projective {
        if self.points.len() >= SHARED_MULTIPLICATION_MIN {
            return G1Projective::msm_unchecked(&self.points, &self.scalars);
        }
        let terms = self.points.iter().zip(&self.scalars);
        terms
            .map(|(point, scalar)| match scalar.is_one() {
                true => point.into_group(),
                false => *point * scalar,
            })
            .sum()
    }
}

impl Fold {
    /// e(C - y·G + z·π, H) = e(π, [τ]₂)
    fn add_opening(&mut self, opening: &Opening, weight: Fr) -> Result<(), VerifyOpeningError> {
        self.add_commitment(&opening.commitment, weight)?;
        let z = decode_scalar(&opening.z).ok_or(VerifyOpeningError::PointOfEvaluation)?;
        let y = decode_scalar(&opening.y).ok_or(VerifyOpeningError::Value)?;
        self.add_proof(&opening.proof, z, weight)?;
        self.value += weight * y;
        Ok(())
    }

    /// e(Σ factor_v·C_v - value·G - W + z·W′, H) = e(W′, [τ]₂); `false` if z is refused.
    fn add_aggregate(
        &mut self,
        versions: &[OpenedVersion],
        proof: &AggregateProof,
        weight: Fr,
    ) -> Result<bool, VerifyOpeningError> {
        let mut values = versions.iter().flat_map(|opened| &opened.slots);
        if !values.all(|(_, value)| decode_scalar(value).is_some()) {
            return Err(VerifyOpeningError::Value);
        }
        let combination = Combination::of(versions);
        let Some(at_point) = combination.at_point(versions, &proof.quotient) else {
            return Ok(false);
        };
        for (opened, factor) in versions.iter().zip(&at_point.factors) {
            self.add_commitment(&opened.commitment, weight * factor)?;
        }
        let quotient = self.left.add(&proof.quotient, -weight);
        quotient.map_err(|PointError| VerifyOpeningError::Proof)?;
        self.add_proof(&proof.opening, at_point.z, weight)?;
        self.value += weight * at_point.value;
        Ok(true)
    }

    fn add_commitment(&mut self, bytes: &G1Bytes, weight: Fr) -> Result<(), VerifyOpeningError> {
        let added = self.left.add(bytes, weight);
        added
            .map(drop)
            .map_err(|PointError| VerifyOpeningError::Commitment)
    }

    /// z·π on the left, π on the right.
    fn add_proof(&mut self, bytes: &G1Bytes, z: Fr, weight: Fr) -> Result<(), VerifyOpeningError> {
        let added = self.left.add(bytes, weight * z);
        let place = added.map_err(|PointError| VerifyOpeningError::Proof)?;
        self.right.add_point(self.left.points[place], weight);
        Ok(())
    }

    fn holds(mut self) -> bool {
        self.left.add_point(G1Affine::generator(), -self.value);
        pairings_agree(self.left.total(), self.right.total())
    }
}

/// Nonzero 128-bit weights, drawn from a seed that binds everything that they weigh.
///
/// Seeds are hashed from at least 137 bytes and weights from 40, so neither can be taken for the other.
pub(super) struct Weights {
    seed: Digest,
}

impl Weights {
    /// Seed: the number of claims as u64 little-endian; then of each opening 0 and `commitment ‖ z ‖ y ‖ proof`, of
    /// each aggregate 1, the digest from which its γ is drawn, W, W′.
    fn of_claims(claims: &[Claim]) -> Self {
        let mut bytes = Vec::with_capacity(8 + 161 * claims.len());
        bytes.extend_from_slice(&(claims.len() as u64).to_le_bytes());
        for claim in claims {
            match claim {
                Claim::Opening(opening) => {
                    bytes.push(0);
                    bytes.extend_from_slice(&opening.commitment.0);
                    bytes.extend_from_slice(&opening.z);
                    bytes.extend_from_slice(&opening.y);
                    bytes.extend_from_slice(&opening.proof.0);
                }
                Claim::Aggregate(versions, proof) => {
                    bytes.push(1);
                    bytes.extend_from_slice(&Combination::seed(versions));
                    bytes.extend_from_slice(&proof.quotient.0);
                    bytes.extend_from_slice(&proof.opening.0);
                }
            }
        }
        Self::of_bytes(&bytes)
    }

    /// Draws weights from the hash of bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self {
            seed: OPENING_BATCH.hash(bytes),
        }
    }

    /// Returns the first 16 bytes, little-endian, of the hash of `seed ‖ index` (u64 little-endian).
    pub(super) fn weight(&self, index: u64) -> Fr {
        let digest = OPENING_BATCH.hash_parts(&[&self.seed, &index.to_le_bytes()]);
        let (low, _) = digest.split_at(16);
        let weight = Fr::from_le_bytes_mod_order(low);
        if weight.is_zero() { Fr::one() } else { weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kzg::Slot;

    const IDENTITY: G1Bytes = G1Bytes::IDENTITY;

    fn first_weight(claims: &[Claim]) -> Fr {
        Weights::of_claims(claims).weight(0)
    }

    #[test]
    fn every_byte_of_an_opening_and_the_count_change_the_weights() {
        let opening = Opening {
            commitment: IDENTITY,
            z: [0; 32],
            y: [0; 32],
            proof: IDENTITY,
        };
        let two = |a, b| first_weight(&[Claim::Opening(a), Claim::Opening(b)]);
        let plain = two(opening, opening);
        assert_ne!(plain, first_weight(&[Claim::Opening(opening)]));
        for byte in 0..160 {
            let mut changed = opening;
            match byte {
                0..48 => changed.commitment.0[byte] ^= 1,
                48..80 => changed.z[byte - 48] ^= 1,
                80..112 => changed.y[byte - 80] ^= 1,
                _ => changed.proof.0[byte - 112] ^= 1,
            }
            assert_ne!(plain, two(changed, opening));
            assert_ne!(plain, two(opening, changed));
        }
    }

    #[test]
    fn every_byte_of_an_aggregate_changes_the_weights() {
        let of = |change: &dyn Fn(&mut OpenedVersion, &mut AggregateProof)| {
            let mut opened = OpenedVersion {
                version: 1,
                commitment: IDENTITY,
                slots: [(Slot::new(3).expect("below 128"), [0; 32])].into(),
            };
            let mut proof = AggregateProof {
                quotient: IDENTITY,
                opening: IDENTITY,
            };
            change(&mut opened, &mut proof);
            first_weight(&[Claim::Aggregate([opened].into(), proof)])
        };
        let plain = of(&|_, _| {});
        for byte in 0..48 {
            assert_ne!(plain, of(&|opened, _| opened.commitment.0[byte] ^= 1));
            assert_ne!(plain, of(&|_, proof| proof.quotient.0[byte] ^= 1));
            assert_ne!(plain, of(&|_, proof| proof.opening.0[byte] ^= 1));
        }
        assert_ne!(plain, of(&|opened, _| opened.version = 2));
        assert_ne!(plain, of(&|opened, _| opened.slots[0].1[31] = 1));
        let other = Slot::new(4).expect("below 128");
        assert_ne!(plain, of(&|opened, _| opened.slots[0].0 = other));
    }

    #[test]
    fn weights_have_128_bits_and_differ() {
        let weights = Weights::of_bytes(b"anything");
        let (first, second) = (weights.weight(0), weights.weight(1));
        assert_ne!(first, second);
        assert_eq!(first.into_bigint().0[2..], [0, 0]);
    }
}
