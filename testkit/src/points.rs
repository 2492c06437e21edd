//! Points of G1 that are not in the group of order r, or not encoded canonically.

use ark_bls12_381::{Fq, Fr, G1Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

/// 48 bytes that may be a point.
pub type Point = [u8; 48];

/// The identity.
pub const IDENTITY: Point = {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
};

/// Returns the same point plus one of another order, which no pairing distinguishes from it.
pub fn outside_of_the_group(point: &Point) -> Point {
    let on_curve = |x: u64| G1Affine::get_point_from_x_unchecked(Fq::from(x), false);
    let other_orders = (1..).filter_map(on_curve).map(|point| {
        let cleared = point.mul_bigint(Fr::MODULUS);
        cleared.into_affine()
    });
    let other = other_orders.into_iter().find(|point| !point.is_zero());
    let point = G1Affine::deserialize_compressed_unchecked(&point[..]).unwrap();
    let mut bytes = [0; 48];
    (point + other.unwrap())
        .into_affine()
        .serialize_compressed(&mut bytes[..])
        .unwrap();
    bytes
}

/// Returns the next x that is not that of any point.
pub fn off_the_curve(point: &Point) -> Point {
    let mut bytes = *point;
    while G1Affine::deserialize_compressed_unchecked(&bytes[..]).is_ok() {
        bytes[47] = bytes[47].wrapping_add(1);
    }
    bytes
}

/// Returns a point with the field's modulus added to x; `None` if that has more than 381 bits.
pub fn above_the_modulus(point: &Point) -> Option<Point> {
    const FLAGS: u8 = 0b1110_0000;
    let mut sum = [0; 48];
    let mut carry = 0;
    for (place, byte) in Fq::MODULUS.to_bytes_be().into_iter().enumerate().rev() {
        let x = if place == 0 {
            point[0] & !FLAGS
        } else {
            point[place]
        };
        let total = u16::from(byte) + u16::from(x) + carry;
        sum[place] = total as u8;
        carry = total >> 8;
    }
    let fits = sum[0] & FLAGS == 0;
    sum[0] |= point[0] & FLAGS;
    fits.then_some(sum)
}
