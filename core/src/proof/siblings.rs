//! The siblings of the paths of a proof: a bitmap of the empty ones, and the others in full.
//!
//! The position of each one follows from the walk that takes them.

use alloc::vec::Vec;

use crate::hash::{Digest, ZERO};

/// The siblings in the order in which a verifier takes them. Empty ones cost one bit each.
///
/// Each sequence has exactly one form: no listed digest is zero.
///
/// ```
/// use trunkline_core::{hash::ZERO, proof::Siblings};
/// let siblings = Siblings::from_iter([[7; 32], ZERO, ZERO]);
/// assert_eq!(siblings.len(), 3);
/// assert!(siblings.iter().eq([[7; 32], ZERO, ZERO]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Siblings {
    /// One bit per sibling, set if it is empty; least significant bit first. Unused bits are zero.
    empty: Vec<u8>,
    /// The digests that are not empty.
    digests: Vec<Digest>,
    count: usize,
}

/// The reason why a bitmap and a list of digests are not siblings.
///
/// ```
/// use trunkline_core::proof::*;
/// # use trunkline_core::{hash::ZERO, params::TreeParams};
/// # let proof = Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version: 0,
/// #         record: None,
/// #         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// // `proof` ends with the bitmap of seven empty siblings and the nonce, a field of 18 bytes.
/// let mut bytes = proof.encode()?;
/// let bitmap = bytes.len() - 19;
/// assert_eq!(bytes[bitmap], 0b0111_1111);
/// bytes[bitmap] = 0b1111_1110; // seven still, but not the first seven bits
/// let error = SiblingsError::Bitmap { bitmap_bytes: 1, count: 7 };
/// assert_eq!(Proof::decode(&bytes), Err(DecodeProofError::Siblings(error)));
/// # Ok::<(), ProofFormError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiblingsError {
    /// The list ends within a digest.
    #[error("{0} bytes are not a whole number of 32-byte siblings")]
    Length(usize),
    /// The bitmap does not match the number of bits set and digests listed.
    #[error("a bitmap of {bitmap_bytes} bytes does not fit {count} siblings")]
    Bitmap {
        /// Size of the bitmap in bytes.
        bitmap_bytes: usize,
        /// Number of bits set and digests listed.
        count: usize,
    },
    /// A listed digest is zero, which must be a bit instead.
    #[error("sibling digest {0} is zero; an empty sibling is a bit, not a digest")]
    Zero(usize),
}

impl Siblings {
    /// Adds the next digest.
    pub fn push(&mut self, digest: &Digest) {
        let bit = self.count % 8;
        if bit == 0 {
            self.empty.push(0);
        }
        match self.empty.last_mut() {
            Some(byte) if *digest == ZERO => *byte |= 1 << bit,
            _ => self.digests.push(*digest),
        }
        self.count += 1;
    }

    /// Returns the number of siblings, including empty ones.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the digests in order, empty ones as [`ZERO`].
    pub fn iter(&self) -> impl Iterator<Item = Digest> {
        let mut digests = self.digests.iter();
        let bits = self
            .empty
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
        bits.take(self.count).map_while(move |empty| match empty {
            1 => Some(ZERO),
            _ => digests.next().copied(),
        })
    }

    /// Returns the bitmap, as on the wire.
    pub(super) fn bitmap(&self) -> &[u8] {
        &self.empty
    }

    /// Returns the digests that are not empty, as on the wire.
    pub(super) fn listed(&self) -> &[u8] {
        self.digests.as_flattened()
    }

    /// Decodes the only form of a sequence; anything else is an error.
    pub(super) fn from_wire(bitmap: Vec<u8>, listed: &[u8]) -> Result<Self, SiblingsError> {
        let (digests, rest) = listed.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(SiblingsError::Length(listed.len()));
        }
        if let Some(index) = digests.iter().position(|digest| *digest == ZERO) {
            return Err(SiblingsError::Zero(index));
        }
        let count = bits_set(&bitmap) + digests.len();
        if bitmap.len() != count.div_ceil(8) || has_bits_from(&bitmap, count) {
            return Err(SiblingsError::Bitmap {
                bitmap_bytes: bitmap.len(),
                count,
            });
        }
        Ok(Self {
            empty: bitmap,
            digests: digests.to_vec(),
            count,
        })
    }
}

/// Returns the number of bits set in a bitmap.
pub(super) fn bits_set(bitmap: &[u8]) -> usize {
    bitmap.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// Returns whether a bit at or after `count` is set in a bitmap whose last byte holds bit `count - 1`.
fn has_bits_from(bitmap: &[u8], count: usize) -> bool {
    match (bitmap.last(), count % 8) {
        (Some(_), 0) | (None, _) => false,
        (Some(last), used) => last >> used != 0,
    }
}

impl FromIterator<Digest> for Siblings {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        let mut siblings = Self::default();
        for digest in digests {
            siblings.push(&digest);
        }
        siblings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(pattern: u32, count: usize) -> Siblings {
        (0..count)
            .map(|i| {
                if pattern >> i & 1 == 1 {
                    ZERO
                } else {
                    [i as u8 + 1; 32]
                }
            })
            .collect()
    }

    #[test]
    fn every_short_sequence_survives_the_wire() {
        for count in 0..11 {
            for pattern in 0..1 << count {
                let siblings = some(pattern, count);
                assert_eq!(siblings.iter().count(), count);
                let read = Siblings::from_wire(siblings.bitmap().to_vec(), siblings.listed());
                assert_eq!(read, Ok(siblings));
            }
        }
    }

    #[test]
    fn whatever_is_read_is_written_again() {
        for bitmap in 0..=u8::MAX {
            for listed in 0..10 {
                let listed = vec![1; listed * 32];
                if let Ok(read) = Siblings::from_wire(vec![bitmap], &listed) {
                    let again: Siblings = read.iter().collect();
                    assert_eq!(
                        (again.bitmap(), again.listed()),
                        (&[bitmap][..], &listed[..])
                    );
                }
            }
        }
    }

    #[test]
    fn a_listed_zero_is_refused() {
        let listed = [[1; 32], ZERO].concat();
        assert_eq!(
            Siblings::from_wire(vec![0], &listed),
            Err(SiblingsError::Zero(1))
        );
    }

    #[test]
    fn a_cut_digest_is_refused() {
        assert_eq!(
            Siblings::from_wire(vec![0], &[1; 33]),
            Err(SiblingsError::Length(33))
        );
    }

    #[test]
    fn an_unused_bit_is_refused() {
        let error = SiblingsError::Bitmap {
            bitmap_bytes: 1,
            count: 2,
        };
        assert_eq!(Siblings::from_wire(vec![4], &[1; 32]), Err(error));
    }
}
