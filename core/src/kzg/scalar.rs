//! Slots and field elements: turns a digest into a value, and a slot into a point of evaluation.
//!
//! A verifier needs only this file and `point`.

use core::fmt;

use ark_bls12_381::Fr;
use ark_ff::{BigInt, Field, MontFp, PrimeField};

use crate::hash::Digest;
use crate::params::{self, WIDTH};

/// ω = 7^((r-1)/128): a primitive 128th root of unity.
const OMEGA: Fr =
    MontFp!("47309214877430199588914062438791732591241783999377560080318349803002842391998");

/// Digests lose their two highest bits: 2^254 is below the field's order, 2^255 is not.
const TOP_BYTE_MASK: u8 = 0x3f;

/// One of the 128 slots of the root node.
///
/// ```
/// use trunkline_core::kzg::Slot;
/// assert_eq!(Slot::new(127)?.index(), 127);
/// assert!(Slot::new(128).is_err());
/// assert_eq!(Slot::of_key_hash(&[0xff; 32]).index(), 127);
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

/// The error of a slot number that the root node does not have.
///
/// ```
/// use trunkline_core::kzg::{Slot, SlotError};
/// let error = Slot::new(128).unwrap_err();
/// assert_eq!(error, SlotError(128));
/// assert_eq!(error.to_string(), "slot 128 does not exist: a root node has 128 slots, counted from 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {0} does not exist: a root node has {WIDTH} slots, counted from 0")]
pub struct SlotError(pub usize);

impl Slot {
    /// Returns the slot with that number, which must be below [`WIDTH`].
    pub const fn new(index: usize) -> Result<Self, SlotError> {
        if index >= WIDTH {
            return Err(SlotError(index));
        }
        Ok(Self(index as u8))
    }

    /// Returns the slot that a key hash belongs to.
    pub fn of_key_hash(key_hash: &Digest) -> Self {
        Self(params::slot_of(key_hash) as u8)
    }

    /// Returns all slots, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..WIDTH as u8).map(Self)
    }

    /// Returns the number of the slot, below [`WIDTH`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<usize> for Slot {
    type Error = SlotError;

    fn try_from(index: usize) -> Result<Self, SlotError> {
        Self::new(index)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the field element of a slot digest.
///
/// ```
/// use trunkline_core::kzg::{encode_scalar, slot_value, slot_value_bytes};
/// let digest = [0xff; 32];
/// assert_eq!(slot_value_bytes(&digest)[..2], [0x3f, 0xff]);
/// assert_eq!(encode_scalar(&slot_value(&digest)), slot_value_bytes(&digest));
/// ```
pub fn slot_value(digest: &Digest) -> Fr {
    // Below 2^254, so below the order: `new` need not reduce.
    Fr::new(integer(&slot_value_bytes(digest)))
}

/// Returns the same field element as its 32 canonical bytes: the digest with its top two bits cleared.
pub fn slot_value_bytes(digest: &Digest) -> [u8; 32] {
    let mut bytes = *digest;
    bytes[0] &= TOP_BYTE_MASK;
    bytes
}

/// Decodes 32 big-endian bytes; `None` at or above the field's order.
pub fn decode_scalar(bytes: &[u8; 32]) -> Option<Fr> {
    Fr::from_bigint(integer(bytes))
}

/// Returns the 32 big-endian bytes of a field element.
pub fn encode_scalar(scalar: &Fr) -> [u8; 32] {
    let mut bytes = [0; 32];
    let limbs = scalar.into_bigint().0;
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs.iter().rev()) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    bytes
}

/// Returns ω^slot, the point at which the polynomial has the value of that slot.
pub fn root_of_unity(slot: Slot) -> Fr {
    OMEGA.pow([u64::from(slot.0)])
}

/// Returns the points of evaluation of all slots, with one multiplication each.
///
/// ```
/// use trunkline_core::kzg::{Slot, root_of_unity, roots_of_unity};
/// assert_eq!(roots_of_unity()[5], root_of_unity(Slot::new(5)?));
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
pub fn roots_of_unity() -> [Fr; WIDTH] {
    let mut next = Fr::ONE;
    core::array::from_fn(|_| {
        let root = next;
        next *= OMEGA;
        root
    })
}

/// Returns the same point of evaluation as its 32 canonical bytes.
///
/// ```
/// use trunkline_core::kzg::{Slot, slot_point};
/// let one = slot_point(Slot::new(0)?);
/// assert_eq!((one[0], one[31]), (0, 1));
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
pub fn slot_point(slot: Slot) -> [u8; 32] {
    encode_scalar(&root_of_unity(slot))
}

fn integer(bytes: &[u8; 32]) -> BigInt<4> {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_be_bytes(*chunk);
    }
    BigInt::new(limbs)
}

#[cfg(test)]
mod tests {
    use ark_ff::{BigInteger, One};

    use super::*;

    #[test]
    fn omega_is_seven_to_the_order_minus_one_over_128() {
        let mut exponent = Fr::MODULUS;
        exponent.sub_with_borrow(&BigInt::one());
        assert_eq!(OMEGA, Fr::from(7).pow(exponent >> 7));
    }

    #[test]
    fn the_roots_of_unity_are_128_different_ones() {
        let mut roots: Vec<_> = Slot::all().map(slot_point).collect();
        assert_eq!(roots[0], encode_scalar(&Fr::one()));
        roots.sort_unstable();
        roots.dedup();
        assert_eq!(roots.len(), WIDTH);
        assert!(OMEGA.pow([WIDTH as u64]).is_one());
    }

    #[test]
    fn scalars_below_the_order_and_no_others_are_read() {
        let mut highest = -Fr::one();
        let bytes = encode_scalar(&highest);
        assert_eq!(decode_scalar(&bytes), Some(highest));
        let mut order = bytes;
        order[31] += 1;
        assert_eq!(decode_scalar(&order), None);
        assert_eq!(decode_scalar(&[0xff; 32]), None);
        highest += Fr::one();
        assert_eq!(decode_scalar(&[0; 32]), Some(highest));
    }

    #[test]
    fn a_digest_keeps_all_but_its_two_highest_bits() {
        let mut digest = [0; 32];
        digest[0] = 0xc0;
        digest[31] = 5;
        assert_eq!(slot_value(&digest), Fr::from(5));
        let highest = slot_value(&[0xff; 32]);
        assert_eq!(highest, Fr::from(2).pow([254]) - Fr::one());
    }
}
