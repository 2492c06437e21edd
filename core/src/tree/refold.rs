//! Folds the subtrees of an older version again, below the levels whose replaced digests are kept.
//!
//! Where leaves changed since the version, they are put back and folded. Everywhere else the present digests are those
//! of the version. So the work depends on the changes within one subtree. The digest at its top equals the kept one.
//! Not here: the kept levels (`versions`).

use std::cell::OnceCell;

use super::cells::Cells;
use super::digests::{Digests, Entry};
use super::fold::fold_leaves;
use super::node::Leaf;
use super::versions::{Entries, find};
use crate::params::ROOT_BITS;

/// Returns the entry of a node as `version` saw it, if the node is kept or nothing below it changed since. Parts that
/// are not in memory, since their page was evicted, are folded from the leaves of the page, which are restored.
pub(super) fn entry_at(cells: &Cells, digests: &Digests, version: u64, node: u32) -> Entry {
    digests.entry_at(version, node).unwrap_or_else(|| {
        let level = node.ilog2();
        let paths = cells.paths(node - (1 << level), level);
        let Ok(leaves) = cells.leaves_at(version, paths) else {
            unreachable!("nobody asks for what is below the top of an evicted page")
        };
        fold_leaves(&leaves, ROOT_BITS + level).into()
    })
}

/// The changes since a version below a node whose replaced digests are kept.
#[derive(Debug)]
pub(super) struct Subtree {
    top: u32,
    /// The directory bits at the version.
    bits: u32,
    /// The changed cells with the leaves that the version saw, in ascending order.
    cells: Vec<(u32, Vec<Leaf>)>,
    /// The nodes above the cells, as the version saw them.
    entries: OnceCell<Entries>,
}

impl Subtree {
    pub(super) fn new(cells: &Cells, version: u64, top: u32) -> Self {
        let bits = cells.bits_at(version);
        let level = top.ilog2();
        let paths = cells.paths(top - (1 << level), level);
        Self {
            top,
            bits,
            cells: cells.changed_since(version, paths, bits),
            entries: OnceCell::new(),
        }
    }

    /// Returns the leaves that the version saw in a cell, if any of them changed since.
    pub(super) fn leaves(&self, cell: u32) -> Option<&[Leaf]> {
        let place = self.cells.binary_search_by_key(&cell, |(cell, _)| *cell);
        place.ok().map(|place| &self.cells[place].1[..])
    }

    /// Returns the entry of a node as the version saw it, if anything below it changed since.
    pub(super) fn entry(
        &self,
        cells: &Cells,
        digests: &Digests,
        version: u64,
        node: u32,
    ) -> Option<Entry> {
        let refold = || self.refold(cells, digests, version);
        find(self.entries.get_or_init(refold), node)
    }

    /// Folds the changed cells, then the paths above them, from the highest node down on every level.
    fn refold(&self, cells: &Cells, digests: &Digests, version: u64) -> Entries {
        let folded = self.cells.iter().rev().map(|(cell, leaves)| {
            let fold = fold_leaves(leaves, ROOT_BITS + self.bits);
            ((1 << self.bits) + cell, Entry::from(fold))
        });
        let mut entries: Entries = folded.collect();
        let mut next = 0;
        while let Some(&(node, entry)) = entries.get(next)
            && node > self.top
        {
            next += 1;
            let sibling = match entries.get(next) {
                Some(&(other, entry)) if other == node ^ 1 => {
                    next += 1;
                    entry
                }
                _ => entry_at(cells, digests, version, node ^ 1),
            };
            let parent = match node & 1 {
                0 => Entry::join(entry, sibling),
                _ => Entry::join(sibling, entry),
            };
            entries.push((node / 2, parent));
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Write;
    use crate::hash::hash;
    use crate::params::CollisionPolicy;
    use crate::tree::versions::LOWEST_KEPT_MAX;
    use crate::tree::{TreeHasher, TreeWriter, build};

    /// Returns the key hashes of slot 5 with some numbers, in no order.
    fn key_hash(number: u64) -> [u8; 32] {
        let mut key_hash = hash(&number.to_le_bytes());
        key_hash[0] = 5 << 1 | key_hash[0] & 1;
        key_hash
    }

    fn apply(
        writer: &mut TreeWriter,
        hasher: &mut TreeHasher,
        version: u64,
        keys: impl Iterator<Item = u64>,
        put: bool,
    ) {
        let mut writes: Vec<Write> = keys
            .map(|number| Write {
                key_hash: key_hash(number),
                value_hash: if put {
                    hash(&version.to_le_bytes())
                } else {
                    [0; 32]
                },
                order: 0,
            })
            .collect();
        writes.sort_unstable_by_key(|write| write.key_hash);
        writer.replay(None, &writes, version).unwrap();
        hasher.hash(writer.seal(version), None);
    }

    /// Compares refolded digests with the kept ones. Returns the number of nodes.
    fn compare(writer: &TreeWriter, version: u64) -> usize {
        let slot = &writer.shared.slots[5];
        let (cells, digests) = (slot.cells(), slot.digests());
        let tops = LOWEST_KEPT_MAX as u32..2 * LOWEST_KEPT_MAX as u32;
        let folded = tops.filter_map(|top| {
            let subtree = Subtree::new(&cells, version, top);
            let entry = subtree.entry(&cells, &digests, version, top)?;
            assert_eq!(Some(entry), digests.entry_at(version, top));
            Some(subtree.entries.get()?.len())
        });
        folded.sum()
    }

    #[test]
    fn what_is_folded_again_has_the_digest_that_was_kept() {
        let (mut writer, mut hasher) = build(CollisionPolicy::Bucket, &[]).unwrap();
        let mut step = |version, keys: std::ops::Range<u64>, by, put| {
            apply(&mut writer, &mut hasher, version, keys.step_by(by), put);
            (1..=version)
                .map(|version| compare(&writer, version))
                .sum::<usize>()
        };
        assert_eq!(step(1, 0..3_000, 1, true), 0);
        // New values, fewer keys, more keys.
        assert!(step(2, 0..3_000, 7, true) > 1_000);
        assert!(step(3, 1_000..2_000, 2, false) > 2_000);
        assert!(step(4, 2_500..4_000, 3, true) > 3_000);
        // The directory doubles, then halves.
        assert!(step(5, 4_000..9_000, 1, true) > 4_000);
        assert!(step(6, 5_000..9_000, 5, true) > 5_000);
        assert!(step(7, 200..9_000, 1, false) > 6_000);
    }
}
