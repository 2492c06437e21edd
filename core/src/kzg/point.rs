//! Points of G1 as 48 bytes: ZCash's compressed form, exactly one for each point.
//!
//! The encoder is our own, so that "decode, encode, compare" checks one implementation against another.

use core::fmt;

use ark_bls12_381::G1Affine;
use ark_ec::AffineRepr;
use ark_ff::PrimeField;
use ark_serialize::CanonicalDeserialize;

use crate::hash;

// Flags in the first byte of a compressed point.
const COMPRESSED: u8 = 1 << 7;
const INFINITY: u8 = 1 << 6;
const LARGER_Y: u8 = 1 << 5;

/// A compressed point of G1 that is not decoded yet: a commitment or an opening proof.
///
/// Shown as 96 hexadecimal digits.
///
/// ```
/// use trunkline_core::kzg::G1Bytes;
/// assert!(G1Bytes::IDENTITY.to_string().starts_with("c000"));
/// assert_eq!(G1Bytes::from([0xab; 48]).to_string(), "ab".repeat(48));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct G1Bytes(pub [u8; 48]);

impl G1Bytes {
    /// The identity: the commitment to the empty state, and the proof of a constant polynomial.
    pub const IDENTITY: Self = {
        let mut bytes = [0; 48];
        bytes[0] = COMPRESSED | INFINITY;
        Self(bytes)
    };
}

impl From<[u8; 48]> for G1Bytes {
    fn from(bytes: [u8; 48]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for G1Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for G1Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}

impl fmt::Debug for G1Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "G1Bytes({self})")
    }
}

/// The error of bytes that are not the canonical encoding of a point of the prime-order subgroup.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, PointError, decode_g1};
/// let mut bytes = G1Bytes::IDENTITY.0;
/// assert!(decode_g1(&bytes).is_ok());
/// bytes[47] = 1; // would be a second encoding of the identity
/// assert_eq!(decode_g1(&bytes), Err(PointError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the compressed encoding of a point of G1; use the 48 bytes as the engine returned them"
)]
pub struct PointError;

/// Decodes a point: on the curve, in the prime-order subgroup, in its canonical encoding. The identity is a point.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, PointError, decode_g1, encode_g1};
/// let identity = decode_g1(&G1Bytes::IDENTITY.0)?;
/// assert_eq!(encode_g1(&identity), G1Bytes::IDENTITY.0);
/// assert_eq!(decode_g1(&[0xff; 48]), Err(PointError));
/// # Ok::<(), PointError>(())
/// ```
pub fn decode_g1(bytes: &[u8; 48]) -> Result<G1Affine, PointError> {
    let point = G1Affine::deserialize_compressed(&bytes[..]).map_err(|_| PointError)?;
    if encode_g1(&point) != *bytes {
        return Err(PointError);
    }
    Ok(point)
}

/// Returns the 48 bytes of a point.
pub fn encode_g1(point: &G1Affine) -> [u8; 48] {
    let Some((x, y)) = point.xy() else {
        return G1Bytes::IDENTITY.0;
    };
    let mut bytes = [0; 48];
    for (chunk, limb) in bytes
        .chunks_exact_mut(8)
        .zip(x.into_bigint().0.iter().rev())
    {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    bytes[0] |= COMPRESSED;
    if y > -y {
        bytes[0] |= LARGER_Y;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use ark_bls12_381::{Fq, Fr, G1Projective};
    use ark_ec::{CurveGroup, PrimeGroup};
    use ark_ff::{AdditiveGroup, Zero};

    use super::*;

    // The prime factors of the cofactor (x - 1)² / 3; all but 3 divide it twice.
    const COFACTOR_PRIMES: [u64; 5] = [3, 11, 10_177, 859_267, 52_437_899];

    /// Multiplies by doubling and adding, without endomorphisms, which are wrong outside the subgroup.
    fn multiply(point: &G1Affine, scalar: &[u64]) -> G1Projective {
        let mut sum = G1Projective::zero();
        for limb in scalar.iter().rev() {
            for bit in (0..64).rev() {
                sum.double_in_place();
                if limb >> bit & 1 == 1 {
                    sum += point;
                }
            }
        }
        sum
    }

    /// Returns points of the curve by ascending x, of any subgroup.
    fn points_of_the_curve() -> impl Iterator<Item = G1Affine> {
        (0_u64..).filter_map(|x| G1Affine::get_point_from_x_unchecked(Fq::from(x), x % 2 == 0))
    }

    #[test]
    fn multiples_of_the_generator_survive_the_round_trip() {
        for scalar in 0_u64..40 {
            let point = (G1Projective::generator() * Fr::from(scalar)).into_affine();
            assert_eq!(decode_g1(&encode_g1(&point)), Ok(point));
        }
    }

    #[test]
    fn points_of_the_curve_outside_of_the_subgroup_are_refused() {
        for point in points_of_the_curve().take(20) {
            let inside = multiply(&point, &Fr::MODULUS.0).is_zero();
            assert_eq!(decode_g1(&encode_g1(&point)).is_ok(), inside);
        }
    }

    #[test]
    fn points_with_a_part_of_small_order_are_refused() {
        let generator = G1Affine::generator();
        for prime in COFACTOR_PRIMES {
            let small = points_of_the_curve()
                .map(|point| small_part(&point, prime))
                .find(|small| !small.is_zero())
                .expect("most points have one");
            assert!(
                multiply(&small.into_affine(), &[prime]).is_zero(),
                "{prime}"
            );
            for point in [small, small + generator, small.double() - generator] {
                let bytes = encode_g1(&point.into_affine());
                assert_eq!(decode_g1(&bytes), Err(PointError), "order {prime}");
            }
        }
    }

    /// Returns the part of a point whose order is `prime`, by multiplying the rest away.
    fn small_part(point: &G1Affine, prime: u64) -> G1Projective {
        let mut part = multiply(point, &Fr::MODULUS.0);
        for other in COFACTOR_PRIMES.into_iter().filter(|&other| other != prime) {
            // Twice, if the square divides the cofactor; once too often does no harm.
            part = multiply(&part.into_affine(), &[other]);
            part = multiply(&part.into_affine(), &[other]);
        }
        loop {
            let next = multiply(&part.into_affine(), &[prime]);
            if next.is_zero() {
                return part;
            }
            part = next;
        }
    }

    #[test]
    fn a_second_encoding_of_a_point_is_refused() {
        let generator = encode_g1(&G1Affine::generator());
        let mut uncompressed = generator;
        uncompressed[0] &= !COMPRESSED;
        let mut flagged_infinite = generator;
        flagged_infinite[0] |= INFINITY;
        let mut signed_identity = G1Bytes::IDENTITY.0;
        signed_identity[0] |= LARGER_Y;
        let mut tailed_identity = G1Bytes::IDENTITY.0;
        tailed_identity[47] = 1;
        for bytes in [
            uncompressed,
            flagged_infinite,
            signed_identity,
            tailed_identity,
            [0; 48],
        ] {
            assert_eq!(decode_g1(&bytes), Err(PointError));
        }
    }

    #[test]
    fn an_x_coordinate_at_or_above_the_modulus_is_refused() {
        // The same point with x + p: still below 2^381, so only the field's bound detects it.
        let point = points_of_the_curve()
            .map(|point| point.clear_cofactor())
            .find(|point| encode_g1(point)[0] & 0x1f < 4)
            .expect("one in six has a small x");
        let modulus = Fq::MODULUS.0;
        let x = point.x.into_bigint().0;
        let mut limbs = [0_u64; 6];
        let mut carry = 0;
        for (limb, (a, b)) in limbs.iter_mut().zip(x.iter().zip(&modulus)) {
            let sum = u128::from(*a) + u128::from(*b) + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
        let mut bytes = [0; 48];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs.iter().rev()) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        assert!(bytes[0] < 0x20);
        bytes[0] |= encode_g1(&point)[0] & 0xe0;
        assert_eq!(decode_g1(&bytes), Err(PointError));
    }
}
