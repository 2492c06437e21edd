//! Proofs that an item is in a mountain range: the siblings on its path to its peak, and the other peaks.
//!
//! Source: the audit path of RFC 9162, section 2.1.3, for a range of peaks.

use alloc::vec::Vec;

use super::subtree::{Subtree, peaks};
use super::{RangeDomains, root_digest};
use crate::hash::{self, Digest};

/// Shows that an item is at its index in a range with some digest.
///
/// ```
/// use trunkline_core::history::{HISTORY, Inclusion, MountainRange};
/// let mut range = MountainRange::default();
/// for item in [[1; 32], [2; 32], [3; 32]] {
///     range.append(&HISTORY, &item);
/// }
/// // Item 0 is the sibling of item 1; item 2 is a peak.
/// let inclusion = Inclusion {
///     siblings: vec![HISTORY.leaf_digest(&[1; 32])],
///     peaks: vec![HISTORY.leaf_digest(&[3; 32])],
/// };
/// let digest = range.digest(&HISTORY);
/// assert_eq!(inclusion.verify(&HISTORY, 3, 1, &[2; 32], &digest), Ok(()));
/// assert!(inclusion.verify(&HISTORY, 3, 0, &[2; 32], &digest).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inclusion {
    /// Siblings on the path from the item to its peak, lowest first.
    pub siblings: Vec<Digest>,
    /// The other peaks, largest first.
    pub peaks: Vec<Digest>,
}

/// The reason why a proof does not show that an item is in a range.
///
/// ```
/// use trunkline_core::history::{HISTORY, Inclusion, InclusionError};
/// let alone = Inclusion::default();
/// let error = alone.verify(&HISTORY, 1, 1, &[1; 32], &[0; 32]);
/// assert_eq!(error, Err(InclusionError::Index { index: 1, count: 1 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The range has no such item.
    #[error("there is no item {index} in a range of {count}")]
    Index {
        /// Index of the item, from 0.
        index: u64,
        /// Number of items in the range.
        count: u64,
    },
    /// The number of siblings on the path from the item to its peak is wrong.
    #[error("the item has {expected} siblings on the path to its peak, the proof has {found}")]
    SiblingCount {
        /// The number that follows from index and count.
        expected: usize,
        /// The number in the proof.
        found: usize,
    },
    /// The number of peaks is wrong.
    #[error("the range has {expected} other peaks, the proof has {found}")]
    PeakCount {
        /// The number that follows from the count.
        expected: usize,
        /// The number in the proof.
        found: usize,
    },
    /// The item, siblings and peaks lead to another digest.
    #[error("item, siblings and peaks do not lead to the digest of the range")]
    Digest,
}

impl Inclusion {
    /// Checks that `item` is item `index` of the range of `count` items that has this digest.
    pub fn verify(
        &self,
        domains: &RangeDomains,
        count: u64,
        index: u64,
        item: &[u8],
        digest: &Digest,
    ) -> Result<(), InclusionError> {
        let peak = peak_above(count, index).ok_or(InclusionError::Index { index, count })?;
        let expected = peak.height as usize;
        if self.siblings.len() != expected {
            return Err(InclusionError::SiblingCount {
                expected,
                found: self.siblings.len(),
            });
        }
        let expected = count.count_ones() as usize - 1;
        if self.peaks.len() != expected {
            return Err(InclusionError::PeakCount {
                expected,
                found: self.peaks.len(),
            });
        }
        let (larger, smaller) = self.peaks.split_at(peaks_before(count, &peak));
        let folded = self.fold(domains, index, item);
        let all = [larger, &[folded], smaller].concat();
        match root_digest(domains, count, &all) == *digest {
            true => Ok(()),
            false => Err(InclusionError::Digest),
        }
    }

    /// Returns the digest of the peak above the item. A peak's first index is a multiple of its number of items, so the
    /// bits of the index say on which side each sibling is.
    fn fold(&self, domains: &RangeDomains, index: u64, item: &[u8]) -> Digest {
        let levels = self.siblings.iter().zip(0_u32..);
        levels.fold(domains.leaf.hash(item), |digest, (sibling, level)| {
            let pair = match index.checked_shr(level).unwrap_or(0) & 1 {
                0 => hash::pair(&digest, sibling),
                _ => hash::pair(sibling, &digest),
            };
            domains.node.hash(&pair)
        })
    }

    /// Makes the proof for item `index` of the range of `count` items; `digest` gives the digest of a
    /// subtree of it. If there is no such item, the proof does not verify.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use trunkline_core::history::{HISTORY, Inclusion, MountainRange};
    /// let items = [[1; 32], [2; 32]];
    /// let mut range = MountainRange::default();
    /// items.iter().for_each(|item| range.append(&HISTORY, item));
    /// let leaf = |subtree: trunkline_core::history::Subtree| {
    ///     Ok::<_, Infallible>(HISTORY.leaf_digest(&items[subtree.first as usize]))
    /// };
    /// let inclusion = Inclusion::prove(2, 0, leaf)?;
    /// assert_eq!(inclusion.verify(&HISTORY, 2, 0, &items[0], &range.digest(&HISTORY)), Ok(()));
    /// # Ok::<(), Infallible>(())
    /// ```
    #[cfg(feature = "state")]
    pub fn prove<E>(
        count: u64,
        index: u64,
        mut digest: impl FnMut(Subtree) -> Result<Digest, E>,
    ) -> Result<Self, E> {
        let own = peak_above(count, index);
        let siblings = (0..own.map_or(0, |peak| peak.height)).map(|height| Subtree {
            first: (index >> height ^ 1) << height,
            height,
        });
        Ok(Self {
            siblings: siblings.map(&mut digest).collect::<Result<_, E>>()?,
            peaks: peaks(count)
                .filter(|peak| Some(*peak) != own)
                .map(&mut digest)
                .collect::<Result<_, E>>()?,
        })
    }
}

/// Returns the peak above an item.
fn peak_above(count: u64, index: u64) -> Option<Subtree> {
    peaks(count).find(|peak| index >> peak.height == peak.first >> peak.height)
}

fn peaks_before(count: u64, peak: &Subtree) -> usize {
    peaks(count)
        .take_while(|other| other.height > peak.height)
        .count()
}
