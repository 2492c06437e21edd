//! The perfect subtrees of a mountain range, and the positions of their digests.
//!
//! This is pure arithmetic on counts, without digests.

/// The `1 << height` items from `first` on, which is a multiple of that number.
///
/// ```
/// use trunkline_core::history::{Subtree, peaks};
/// // 11 items: peaks over 8, 2 and 1 of them.
/// let heights: Vec<u32> = peaks(11).map(|peak| peak.height).collect();
/// assert_eq!(heights, [3, 1, 0]);
/// // Nodes in the order in which they are created: two items, the node above them, an item.
/// let positions = [(0, 0), (1, 0), (0, 1), (2, 0)].map(|(first, height)| {
///     Subtree { first, height }.position()
/// });
/// assert_eq!(positions, [0, 1, 2, 3]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Index of its first item.
    pub first: u64,
    /// Number of levels above the items.
    pub height: u32,
}

impl Subtree {
    /// Returns the number of nodes, including items, that are created before its topmost one (post-order). After item
    /// 2⁶², returns a number that no node has.
    pub fn position(&self) -> u64 {
        let last = self.first + ((1 << self.height) - 1);
        node_count(last).saturating_add(u64::from(self.height))
    }
}

/// Returns the number of nodes, including items, of a range of `count` items. For more than 2⁶² items, returns a number
/// that no file holds.
///
/// ```
/// assert_eq!(trunkline_core::history::node_count(4), 7);
/// ```
pub fn node_count(count: u64) -> u64 {
    count.saturating_mul(2) - u64::from(count.count_ones())
}

/// Returns the subtrees below the peaks of a range, the largest first.
pub fn peaks(count: u64) -> impl Iterator<Item = Subtree> {
    let heights = (0..u64::BITS).rev();
    heights
        .filter(move |height| count >> height & 1 == 1)
        .map(move |height| Subtree {
            // The value of the higher bits.
            first: (count >> height & !1) << height,
            height,
        })
}

/// Returns the subtrees that extend a range of `from` items to one of `to`, in order, each as large as possible. There
/// are none if `from` is 0 or not less than `to`.
///
/// ```
/// use trunkline_core::history::extension;
/// let heights: Vec<u32> = extension(3, 8).map(|subtree| subtree.height).collect();
/// assert_eq!(heights, [0, 2]); // the fourth item, then the last four
/// ```
pub fn extension(from: u64, to: u64) -> impl Iterator<Item = Subtree> {
    let mut first = if from == 0 { to } else { from };
    core::iter::from_fn(move || {
        let left = to.checked_sub(first)?.checked_ilog2()?;
        let subtree = Subtree {
            first,
            height: first.trailing_zeros().min(left),
        };
        first += 1 << subtree.height;
        Some(subtree)
    })
}
