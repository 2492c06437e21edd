//! Merkle mountain ranges: an append-only list of digests, summed up by its peaks.
//!
//! They are used twice: over the earlier commit ids (the history digest) and over the outcomes of one version.
//! [`Inclusion`] shows an item in a range, [`AncestorProof`] an older commit id below a trusted one,
//! [`ConsistencyProof`] that one history continues another.
//!
//! `store::history_file` stores the other nodes. Source: Todd, "Merkle Mountain Ranges" (opentimestamps, 2012).

mod ancestor;
mod consistency;
mod inclusion;
mod subtree;
mod wire;

use alloc::vec::Vec;

pub use ancestor::{Ancestor, AncestorProof, VerifyAncestorError};
pub use consistency::{ConsistencyProof, Consistent, VerifyConsistencyError};
pub use inclusion::{Inclusion, InclusionError};
pub use subtree::{Subtree, extension, node_count, peaks};
pub use wire::HISTORY_PROOF_BYTES_MAX;

use crate::hash::{self, Digest, Domain};

/// Most peaks of a range: one for each bit of its count.
pub const PEAKS_MAX: usize = 64;

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

impl RangeDomains {
    /// Returns the digest of an item: a peak of height 0.
    ///
    /// ```
    /// use trunkline_core::history::{HISTORY, MountainRange};
    /// let mut range = MountainRange::default();
    /// range.append(&HISTORY, &[1; 32]);
    /// assert_eq!(range.peaks(), [HISTORY.leaf_digest(&[1; 32])]);
    /// ```
    pub fn leaf_digest(&self, item: &[u8]) -> Digest {
        self.leaf.hash(item)
    }

    /// Returns the digest of the node above two peaks of one height.
    ///
    /// ```
    /// use trunkline_core::history::{HISTORY, MountainRange};
    /// let mut range = MountainRange::default();
    /// [[1; 32], [2; 32]].iter().for_each(|item| range.append(&HISTORY, item));
    /// let [left, right] = [[1; 32], [2; 32]].map(|item| HISTORY.leaf_digest(&item));
    /// assert_eq!(range.peaks(), [HISTORY.node_digest(&left, &right)]);
    /// ```
    pub fn node_digest(&self, left: &Digest, right: &Digest) -> Digest {
        self.node.hash(&hash::pair(left, right))
    }
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
    /// Restores a range from the results of [`Self::count`] and [`Self::peaks`]; `None` if the number of peaks does not
    /// match the count.
    pub fn from_parts(count: u64, peaks: Vec<Digest>) -> Option<Self> {
        (peaks.len() == count.count_ones() as usize).then_some(Self { count, peaks })
    }

    /// Returns the number of appended items.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the peaks, largest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Appends an item: two peaks of one height become one, as in a binary counter.
    pub fn append(&mut self, domains: &RangeDomains, item: &[u8]) {
        self.append_noting(domains, item, |_| {});
    }

    /// Appends an item, and passes the nodes that this creates above it to `note`, lowest first.
    ///
    /// ```
    /// use trunkline_core::history::{HISTORY, MountainRange};
    /// let mut range = MountainRange::default();
    /// let mut nodes = Vec::new();
    /// for item in [[1; 32], [2; 32]] {
    ///     range.append_noting(&HISTORY, &item, |node| nodes.push(*node));
    /// }
    /// assert_eq!(range.peaks(), nodes); // the one node is the one peak
    /// ```
    pub fn append_noting(
        &mut self,
        domains: &RangeDomains,
        item: &[u8],
        note: impl FnMut(&Digest),
    ) {
        self.append_subtree(domains, 0, domains.leaf.hash(item), note);
    }

    /// Appends the `1 << height` items of a perfect subtree at once. No peak may be lower than it.
    fn append_subtree(
        &mut self,
        domains: &RangeDomains,
        height: u32,
        mut peak: Digest,
        mut note: impl FnMut(&Digest),
    ) {
        for _ in 0..(self.count >> height).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = domains.node_digest(&left, &peak);
                note(&peak);
            }
        }
        self.peaks.push(peak);
        self.count += 1 << height;
    }

    /// Returns the hash of the count (u64 little-endian) and the peaks.
    pub fn digest(&self, domains: &RangeDomains) -> Digest {
        root_digest(domains, self.count, &self.peaks)
    }
}

fn root_digest(domains: &RangeDomains, count: u64, peaks: &[Digest]) -> Digest {
    domains
        .root
        .hash_parts(&[&count.to_le_bytes(), peaks.as_flattened()])
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
