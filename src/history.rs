//! Merkle mountain ranges: an append-only list of digests, summed up by its peaks.
//!
//! Used twice: over the earlier commit ids (the history digest) and over the outcomes of one
//! version. Not here: proofs over them, and storage of anything but the peaks.
//! Source: Todd, "Merkle Mountain Ranges" (opentimestamps, 2012).

use alloc::vec::Vec;

use crate::hash::{self, Digest, Domain};

/// The three domains of one use of a mountain range.
///
/// ```
/// use trunkline_core::history::{HISTORY, MountainRange, OUTCOMES};
/// let [history, outcomes] = [HISTORY, OUTCOMES].map(|domains| {
///     let mut range = MountainRange::default();
///     range.append(&domains, b"the same item");
///     range.digest(&domains)
/// });
/// assert_ne!(history, outcomes); // so neither passes for the other
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RangeDomains {
    leaf: Domain,
    node: Domain,
    root: Domain,
}

/// Domains of the history digest. An item is a commit id.
pub const HISTORY: RangeDomains = RangeDomains {
    leaf: hash::HISTORY_LEAF,
    node: hash::HISTORY_NODE,
    root: hash::HISTORY_ROOT,
};

/// Domains of the outcomes' digest. An item is an encoded outcome.
pub const OUTCOMES: RangeDomains = RangeDomains {
    leaf: hash::OUTCOME_LEAF,
    node: hash::OUTCOME_NODE,
    root: hash::OUTCOMES_ROOT,
};

/// The peaks of a mountain range, the largest (oldest) first: one for each set bit of `count`.
///
/// ```
/// use trunkline_core::history::{HISTORY, MountainRange};
/// let mut range = MountainRange::default();
/// let empty = range.digest(&HISTORY);
/// range.append(&HISTORY, &[1; 32]);
/// assert_ne!(range.digest(&HISTORY), empty);
/// assert_eq!(range.count(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountainRange {
    count: u64,
    peaks: Vec<Digest>,
}

impl MountainRange {
    /// Restores a range from what [`Self::count`] and [`Self::peaks`] gave; `None` if the number of
    /// peaks does not fit the count.
    pub fn from_parts(count: u64, peaks: Vec<Digest>) -> Option<Self> {
        (peaks.len() == count.count_ones() as usize).then_some(Self { count, peaks })
    }

    /// Items appended so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The peaks, largest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Appends an item: two peaks of one height become one, as in a binary counter.
    pub fn append(&mut self, domains: &RangeDomains, item: &[u8]) {
        let mut peak = domains.leaf.hash(item);
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = domains.node.hash(&hash::pair(&left, &peak));
            }
        }
        self.peaks.push(peak);
        self.count += 1;
    }

    /// Count (u64 little-endian) and peaks, hashed.
    pub fn digest(&self, domains: &RangeDomains) -> Digest {
        domains
            .root
            .hash_parts(&[&self.count.to_le_bytes(), self.peaks.as_flattened()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(items: &[Digest]) -> Vec<Digest> {
        let Some(height) = items.len().checked_ilog2() else {
            return Vec::new();
        };
        fn perfect(items: &[Digest]) -> Digest {
            match items {
                [item] => HISTORY.leaf.hash(item),
                _ => {
                    let (left, right) = items.split_at(items.len() / 2);
                    HISTORY
                        .node
                        .hash(&hash::pair(&perfect(left), &perfect(right)))
                }
            }
        }
        let (first, rest) = items.split_at(1 << height);
        let mut peaks = vec![perfect(first)];
        peaks.extend(naive(rest));
        peaks
    }

    #[test]
    fn peaks_equal_those_of_perfect_trees_built_apart() {
        let items: Vec<Digest> = (0..40_u8).map(|i| [i; 32]).collect();
        let mut range = MountainRange::default();
        for count in 0..items.len() {
            assert_eq!(range.peaks(), naive(&items[..count]));
            range.append(&HISTORY, &items[count]);
        }
    }

    #[test]
    fn parts_with_a_wrong_number_of_peaks_are_refused() {
        assert!(MountainRange::from_parts(3, vec![[0; 32]]).is_none());
    }
}
