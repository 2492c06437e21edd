//! The index of keys in byte order that a leaf store may keep: changes, scans, and the index in memory.
//!
//! The index contains only keys. Values are found by key hash, in the leaves. Not here: the keys of a version; the
//! index lists the keys to look up.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow, RangeBounds};

use bytes::Bytes;

/// The change of an ingestion at one key.
///
/// ```
/// use trunkline_core::store::key_index::KeyChange;
/// let gone = KeyChange { key: b"alice", is_present: false };
/// assert!(!gone.is_present);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyChange<'a> {
    /// The key.
    pub key: &'a [u8],
    /// True if the index has the key from now on.
    pub is_present: bool,
}

/// A range of keys in byte order, and the direction in which a scan visits them.
///
/// ```
/// use std::ops::Bound;
/// use trunkline_core::store::key_index::KeyScan;
/// let scan = KeyScan { lower: Bound::Included(b"b"), upper: Bound::Excluded(b"a"), is_reverse: false };
/// assert!(scan.is_empty());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScan<'a> {
    /// The beginning of the range.
    pub lower: Bound<&'a [u8]>,
    /// The end of the range.
    pub upper: Bound<&'a [u8]>,
    /// True if the last key is visited first.
    pub is_reverse: bool,
}

impl KeyScan<'_> {
    /// Returns whether a key is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        RangeBounds::<[u8]>::contains(&(self.lower, self.upper), key)
    }

    /// Returns whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        use Bound::{Excluded, Included, Unbounded};
        match (self.lower, self.upper) {
            (Unbounded, _) | (_, Unbounded) => false,
            (Included(lower), Included(upper)) => lower > upper,
            (Included(lower) | Excluded(lower), Included(upper) | Excluded(upper)) => {
                lower >= upper
            }
        }
    }
}

/// The callback of a scan for each key. `Break` ends the scan.
pub type KeyVisitor<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// An index in memory.
pub(super) type KeySet = BTreeSet<Bytes>;

/// Applies one change to an index in memory.
pub(super) fn apply(keys: &mut KeySet, change: KeyChange<'_>) {
    match change.is_present {
        true => keys.insert(Bytes::copy_from_slice(change.key)),
        false => keys.remove(change.key),
    };
}

/// Visits the keys of an index in memory.
pub(super) fn scan(keys: &KeySet, scan: &KeyScan<'_>, visit: &mut KeyVisitor<'_>) {
    if scan.is_empty() {
        return;
    }
    let mut range = keys.range::<[u8], _>((scan.lower, scan.upper));
    let next = || match scan.is_reverse {
        true => range.next_back(),
        false => range.next(),
    };
    for key in std::iter::from_fn(next) {
        if visit(key).is_break() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Bound::{Excluded, Included, Unbounded};

    fn found(scanned: KeyScan<'_>) -> Vec<u8> {
        let keys: KeySet = [b"a", b"b", b"c"].map(|key| Bytes::from_static(key)).into();
        let mut found = Vec::new();
        scan(&keys, &scanned, &mut |key| {
            found.push(key[0]);
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn a_scan_visits_its_range_in_either_direction_and_an_empty_range_visits_nothing() {
        let scan = |lower, upper, is_reverse| KeyScan {
            lower,
            upper,
            is_reverse,
        };
        assert_eq!(found(scan(Unbounded, Unbounded, false)), b"abc");
        assert_eq!(found(scan(Unbounded, Excluded(b"c"), true)), b"ba");
        assert_eq!(found(scan(Excluded(b"a"), Included(b"b"), false)), b"b");
        assert_eq!(found(scan(Excluded(b"a"), Excluded(b"a"), false)), b"");
        assert_eq!(found(scan(Included(b"c"), Included(b"a"), true)), b"");
    }
}
