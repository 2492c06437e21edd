//! One opening for many slots of several commitments: two points of G1, however many slots there are.
//!
//! The scheme of Boneh, Drake, Fisch, Gabizon, "Efficient polynomial commitment schemes for multiple points and
//! polynomials" (ePrint 2020/081), section 4.1, which needs [τ]₂ alone. With p_v the polynomial of version v, S_v its
//! opened points, Z_v their vanishing polynomial and r_v the values interpolated on them, the prover commits to
//!
//! `h(X) = Σ_v γ^v·(p_v(X) - r_v(X))/Z_v(X)`, as W, and with z drawn after it, to `(Σ_v γ^v·(p_v(X) - r_v(z))/Z_v(z) -
//! h(X))/(X - z)`, as W′.
//!
//! (The paper's numerator multiplied by 1/Z_T(z): no vanishing polynomial of all points is needed.) Everything is
//! computed in weights of single slots: 1/Z_v(X) = Σ_i 1/(Z_v′(ω^i)·(X - ω^i)).
//!
//! The caller chooses the slots, and `check` has the pairings.

use alloc::vec::Vec;

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, Field, batch_inversion};

use super::point::G1Bytes;
use super::scalar::{Slot, decode_scalar, roots_of_unity, slot_value};
use crate::hash::{AGGREGATE_POINT, AGGREGATE_WEIGHT, Digest};
use crate::params::{FORMAT, SETUP_ID, WIDTH};

/// The claims of an aggregate about one version: the values of some of its slots.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, OpenedVersion, Slot};
/// let opened = OpenedVersion {
///     version: 7,
///     commitment: G1Bytes::IDENTITY,
///     slots: vec![(Slot::new(3)?, [0; 32]), (Slot::new(90)?, [0; 32])],
/// };
/// assert!(opened.slots.is_sorted_by_key(|(slot, _)| *slot));
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedVersion {
    /// The version.
    pub version: u64,
    /// The commitment to its slots.
    pub commitment: G1Bytes,
    /// Slots, ascending, with their values: slot digests with the top two bits cleared.
    pub slots: Vec<(Slot, [u8; 32])>,
}

/// The opening of many slots of one or several commitments.
///
/// ```
/// use trunkline_core::kzg::*;
/// let committer = Committer::new(&Setup::ceremony()?);
/// let digests: [[u8; 32]; 128] = core::array::from_fn(|slot| [slot as u8; 32]);
/// let values = digests.each_ref().map(slot_value);
/// let slots = [Slot::new(5)?, Slot::new(77)?];
/// let opened = OpenedVersion {
///     version: 1,
///     commitment: committer.commit(&values).to_bytes(),
///     slots: slots.map(|slot| (slot, slot_value_bytes(&digests[slot.index()]))).to_vec(),
/// };
/// let proof = committer.aggregate(&[opened.clone()], &[&values]);
/// assert_eq!(verify_aggregate(&[opened], &proof), Ok(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateProof {
    /// W: the commitment to the combined quotient.
    pub quotient: G1Bytes,
    /// W′: the opening of the combined polynomial at the point that W determines.
    pub opening: G1Bytes,
}

/// The numbers that prover and verifier both derive before W is known.
pub(super) struct Combination {
    /// Digest from which γ was drawn. It binds every version, commitment, slot and value.
    pub(super) seed: Digest,
    /// γ^v/Z_v′(ω^i) for each version and each of its slots.
    pub(super) weights: Vec<Vec<Fr>>,
}

/// The numbers that follow from z.
pub(super) struct AtPoint {
    pub(super) z: Fr,
    /// 1/(z - ω^i), which the prover needs later.
    #[cfg(feature = "state")]
    pub(super) inverses: [Fr; WIDTH],
    /// γ^v/Z_v(z): the factor of each commitment.
    pub(super) factors: Vec<Fr>,
    /// Σ_v γ^v·r_v(z)/Z_v(z)
    pub(super) value: Fr,
}

impl Combination {
    pub(super) fn of(versions: &[OpenedVersion]) -> Self {
        let seed = Self::seed(versions);
        let gamma = slot_value(&seed);
        let roots = roots_of_unity();
        let mut power = Fr::ONE;
        let mut weights = Vec::with_capacity(versions.len());
        for opened in versions {
            let mut inverses = vanishing_derivatives(&opened.slots, &roots);
            batch_inversion(&mut inverses);
            inverses.iter_mut().for_each(|weight| *weight *= power);
            weights.push(inverses);
            power *= gamma;
        }
        Self { seed, weights }
    }

    /// Format u16, setup id, number of versions u64; for each its number u64, commitment, number of slots
    /// u64, and for each slot its number u8 and its value. Integers little-endian.
    pub(super) fn seed(versions: &[OpenedVersion]) -> Digest {
        let slots: usize = versions.iter().map(|opened| opened.slots.len()).sum();
        let mut bytes = Vec::with_capacity(2 + 32 + 8 + 64 * versions.len() + 33 * slots);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&SETUP_ID);
        bytes.extend_from_slice(&(versions.len() as u64).to_le_bytes());
        for opened in versions {
            bytes.extend_from_slice(&opened.version.to_le_bytes());
            bytes.extend_from_slice(&opened.commitment.0);
            bytes.extend_from_slice(&(opened.slots.len() as u64).to_le_bytes());
            for (slot, value) in &opened.slots {
                bytes.push(slot.index() as u8);
                bytes.extend_from_slice(value);
            }
        }
        AGGREGATE_WEIGHT.hash(&bytes)
    }

    /// Draws z after W; `None` if z is one of the points that can be opened, which no prover can cause and no verifier
    /// accepts, or if a value is not a canonical field element.
    pub(super) fn at_point(
        &self,
        versions: &[OpenedVersion],
        quotient: &G1Bytes,
    ) -> Option<AtPoint> {
        let z = slot_value(&AGGREGATE_POINT.hash_parts(&[&self.seed, &quotient.0]));
        let mut inverses = roots_of_unity().map(|root| z - root);
        if inverses.contains(&Fr::ZERO) {
            return None;
        }
        batch_inversion(&mut inverses);
        let mut value = Fr::ZERO;
        let mut factors = Vec::with_capacity(versions.len());
        for (opened, weights) in versions.iter().zip(&self.weights) {
            let mut factor = Fr::ZERO;
            for ((slot, y), weight) in opened.slots.iter().zip(weights) {
                let term = *weight * inverses[slot.index()];
                factor += term;
                value += term * decode_scalar(y)?;
            }
            factors.push(factor);
        }
        Some(AtPoint {
            z,
            #[cfg(feature = "state")]
            inverses,
            factors,
            value,
        })
    }
}

/// Z′(ω^i) of the polynomial that vanishes on the slots, at each of them: the product of the
/// differences to the others, or 128·ω^-i through those to the slots left out, whichever are fewer.
fn vanishing_derivatives(slots: &[(Slot, [u8; 32])], roots: &[Fr; WIDTH]) -> Vec<Fr> {
    if slots.len() <= WIDTH / 2 {
        let differences = |i: Slot| {
            let others = slots.iter().filter(move |(j, _)| *j != i);
            others.map(move |(j, _)| roots[i.index()] - roots[j.index()])
        };
        return slots
            .iter()
            .map(|(i, _)| differences(*i).product())
            .collect();
    }
    let mut left_out: Vec<Slot> = Slot::all().collect();
    left_out.retain(|slot| slots.binary_search_by_key(slot, |(used, _)| *used).is_err());
    let mut products: Vec<Fr> = slots
        .iter()
        .map(|(i, _)| {
            let differences = left_out.iter().map(|j| roots[i.index()] - roots[j.index()]);
            differences.product()
        })
        .collect();
    batch_inversion(&mut products);
    let width = Fr::from(WIDTH as u64);
    for ((slot, _), product) in slots.iter().zip(&mut products) {
        *product *= width * roots[(WIDTH - slot.index()) % WIDTH];
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_the_derivative_agree() {
        let roots = roots_of_unity();
        for count in [1, 2, 63, 64, 65, 100, 127, 128] {
            let slots: Vec<_> = Slot::all()
                .filter(|slot| slot.index() * 37 % WIDTH < count)
                .map(|slot| (slot, [0; 32]))
                .collect();
            assert_eq!(slots.len(), count);
            let derivatives = vanishing_derivatives(&slots, &roots);
            for ((i, _), derivative) in slots.iter().zip(derivatives) {
                let others = slots.iter().filter(|(j, _)| j != i);
                let plain: Fr = others
                    .map(|(j, _)| roots[i.index()] - roots[j.index()])
                    .product();
                assert_eq!(derivative, plain, "{count} slots");
            }
        }
    }

    #[test]
    fn everything_that_is_claimed_decides_the_seed() {
        let opened = |version, commitment, slot, value| OpenedVersion {
            version,
            commitment: G1Bytes([commitment; 48]),
            slots: [(Slot::new(slot).expect("below 128"), [value; 32])].into(),
        };
        let plain = Combination::seed(&[opened(1, 2, 3, 4)]);
        for other in [
            opened(9, 2, 3, 4),
            opened(1, 9, 3, 4),
            opened(1, 2, 9, 4),
            opened(1, 2, 3, 9),
        ] {
            assert_ne!(Combination::seed(&[other]), plain);
        }
        assert_ne!(
            Combination::seed(&[opened(1, 2, 3, 4), opened(2, 2, 3, 4)]),
            plain
        );
    }
}
