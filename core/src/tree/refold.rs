//! Folding again what an older version saw below the levels whose replaced digests are kept.
//!
//! Where leaves changed since the version, they are put back and folded. Everywhere else the digests of the
//! present are those of the version. So the work follows what changed, within one subtree. The digest of its
//! top comes out as it was kept. Not here: the kept levels (`versions`).

use std::cell::OnceCell;

use super::cells::Cells;
use super::digests::{Digests, Entry};
use super::fold::fold_leaves;
use super::node::Leaf;
use super::versions::{Entries, find};
use crate::params::ROOT_BITS;

/// What changed, since a version, below a node whose replaced digests are kept.
#[derive(Debug)]
pub(super) struct Subtree {
    top: u32,
    /// Directory bits at the version.
    bits: u32,
    /// The changed cells with the leaves that the version saw, ascending.
    cells: Vec<(u32, Vec<Leaf>)>,
    /// The nodes above them, as the version saw them.
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

    /// Returns the leaves that the version saw in a cell, if something in it changed since.
    pub(super) fn leaves(&self, cell: u32) -> Option<&[Leaf]> {
        let place = self.cells.binary_search_by_key(&cell, |(cell, _)| *cell);
        place.ok().map(|place| &self.cells[place].1[..])
    }

    /// Returns the entry of a node as the version saw it, if something below it changed since.
    pub(super) fn entry(&self, digests: &Digests, version: u64, node: u32) -> Option<Entry> {
        let entries = self.entries.get_or_init(|| self.refold(digests, version));
        find(entries, node)
    }

    /// Folds the changed cells, then the paths above them, from the highest node down on every level.
    fn refold(&self, digests: &Digests, version: u64) -> Entries {
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
                _ => digests.entry_at(version, node ^ 1),
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
