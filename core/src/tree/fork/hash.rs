//! The digests of a fork: many hashes at once, as for a version of the tree.
//!
//! Changed cells are folded, then the paths above them, level by level. An unchanged half comes from the version.

use super::slot::ForkSlot;
use crate::hash::{Digest, INNER, Pair, pair};
use crate::params::ROOT_BITS;
use crate::tree::cursor::SlotView;
use crate::tree::digests::{EMPTY, Entry};
use crate::tree::dirty::Dirty;
use crate::tree::fold::{Fold, Gather};
use crate::tree::versions::Entries;

/// The memory that hashing one slot leaves for the next.
pub(super) struct Hashing {
    dirty: Dirty,
    gather: Gather,
    folds: Vec<Fold<Digest>>,
    nodes: Vec<u32>,
    pairs: Vec<Pair>,
    hashed: Vec<Digest>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self {
            dirty: Dirty::default(),
            gather: Gather::new(),
            folds: Vec::new(),
            nodes: Vec::new(),
            pairs: Vec::new(),
            hashed: Vec::new(),
        }
    }

    /// Brings the digests of a slot up to date, and returns that of the whole slot. `version` is the slot below.
    pub(super) fn hash(
        &mut self,
        slot: usize,
        own: &mut ForkSlot,
        version: &SlotView<'_>,
    ) -> Digest {
        let mut cells = std::mem::take(&mut own.unhashed);
        cells.sort_unstable();
        cells.dedup();
        // A retired version may have another directory. The result is meaningless then.
        let below = (version.bits() == own.bits).then_some(version);
        let entry_below = |node| below.map_or(EMPTY, |version| version.entry(node));
        let mut fresh = self.fold_cells(slot, own, &cells);
        let mut level = 0..fresh.len();
        while fresh[level.start..]
            .first()
            .is_some_and(|(node, _)| *node > 1)
        {
            if let Some(version) = below {
                self.nodes.clear();
                self.nodes
                    .extend(fresh[level.clone()].iter().map(|(node, _)| node));
                version.read_digests_ahead(&self.nodes);
            }
            self.ascend(&mut fresh, level.clone(), |node| {
                own.entry(node).unwrap_or_else(|| entry_below(node))
            });
            level = level.end..fresh.len();
        }
        own.entries = merged(std::mem::take(&mut own.entries), fresh);
        own.entry(1).unwrap_or_else(|| entry_below(1)).digest
    }

    /// Returns the entries of some cells, given in ascending order, descending.
    fn fold_cells(&mut self, slot: usize, own: &ForkSlot, cells: &[u32]) -> Entries {
        let depth = ROOT_BITS + own.bits;
        self.dirty.clear();
        for cell in cells {
            if let Some(node) = own.cell(*cell) {
                self.dirty.push(slot, *cell, node, depth);
            }
        }
        let dirty = &self.dirty;
        let highest_first = || dirty.cells.iter().rev();
        let blocks = highest_first().filter_map(|cell| Some(cell.start..cell.start + cell.count?));
        self.gather
            .fold_cells(&dirty.leaves, blocks, depth, &mut self.folds);
        let mut folds = self.folds.iter();
        let entries = highest_first().map(|cell| {
            let fold = match cell.count {
                Some(_) => folds.next().copied().unwrap_or(Fold::Empty),
                None => Fold::Many(dirty.folded[cell.start as usize]),
            };
            ((1 << own.bits) + cell.cell, Entry::from(fold))
        });
        entries.collect()
    }

    /// Appends the entries of the level above those of a level. `other` returns the entry of a node that is not among them.
    fn ascend(
        &mut self,
        fresh: &mut Entries,
        level: std::ops::Range<usize>,
        other: impl Fn(u32) -> Entry,
    ) {
        self.pairs.clear();
        let end = level.end;
        let mut next = level.start;
        // Places of entries that wait to be hashed.
        let mut pending = Vec::with_capacity(level.len());
        while next < end {
            let parent = fresh[next].0 / 2;
            let mut half = |node: u32| match fresh[..end].get(next) {
                Some((other, entry)) if *other == node => {
                    next += 1;
                    *entry
                }
                _ => other(node),
            };
            // From the highest node down.
            let (right, left) = (half(2 * parent + 1), half(2 * parent));
            let entry = match (left, right) {
                (EMPTY, EMPTY) => Some(EMPTY),
                (Entry { lone: true, .. }, EMPTY) => Some(left),
                (EMPTY, Entry { lone: true, .. }) => Some(right),
                _ => None,
            };
            if entry.is_none() {
                pending.push(fresh.len() as u32);
                self.pairs.push(pair(&left.digest, &right.digest));
            }
            fresh.push((parent, entry.unwrap_or(EMPTY)));
        }
        INNER.hash_pairs(&self.pairs, &mut self.hashed);
        for (place, digest) in pending.into_iter().zip(&self.hashed) {
            fresh[place as usize].1 = Entry {
                digest: *digest,
                lone: false,
            };
        }
    }
}

/// Returns the entries of two lists in descending order; for a node in both, that of the fresh one.
fn merged(old: Entries, fresh: Entries) -> Entries {
    if old.is_empty() {
        return fresh;
    }
    let mut all = Entries::with_capacity(old.len() + fresh.len());
    let mut old = old.into_iter().peekable();
    for (node, entry) in fresh {
        while let Some(kept) = old.next_if(|(other, _)| *other > node) {
            all.push(kept);
        }
        old.next_if(|(other, _)| *other == node);
        all.push((node, entry));
    }
    all.extend(old);
    all
}
