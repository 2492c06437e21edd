//! Digests of a slot that versions replaced, kept so that older versions stay readable.
//!
//! The present lies in a flat array that is changed in place; what a version overwrites in the upper
//! levels goes into that version's items first. A reader of version N looks through the items of the
//! versions after N, oldest first: the first hit is what N saw, no hit means that nothing changed since.
//! Versions form one line, so nothing here is counted: items are dropped from the old end. Not here: the
//! lower levels, which are folded again (`refold`), and leaves (`undo`).

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::digests::{Entry, Heap};
use crate::hash::Pair;

/// The lowest level of a slot's heap whose replaced digests are kept.
///
/// The writes of a group share the nodes of the upper levels, and hardly any of the lower ones: 20,000 writes
/// change 11,500 nodes of this level, 15,000 of the next one, and almost 20,000 of each level from there on.
pub(super) const KEPT_LEVEL: u32 = 7;

/// The maximum number of adjacent nodes below which digests are folded again.
pub(super) const LOWEST_KEPT_MAX: usize = 1 << KEPT_LEVEL;

/// Nodes and their entries, descending by node.
pub(super) type Entries = Vec<(u32, Entry)>;

/// Returns the lowest node on the way to a node whose replaced digests are kept.
pub(super) fn lowest_kept(node: u32) -> u32 {
    node >> node.ilog2().saturating_sub(KEPT_LEVEL)
}

/// Returns whether the replaced digests of a node are kept.
pub(super) fn is_kept(node: u32) -> bool {
    node < 2 << KEPT_LEVEL
}

/// Returns the maximum number of nodes with kept digests above a number of changed cells of some slots.
pub(super) fn kept_max(slots: usize, cells: usize, bits: u32) -> usize {
    (0..=bits.min(KEPT_LEVEL))
        .map(|level| cells.min(slots << level))
        .sum()
}

/// Returns the entry of a node.
pub(super) fn find(entries: &Entries, node: u32) -> Option<Entry> {
    let place = entries.binary_search_by(|(other, _)| node.cmp(other));
    place.ok().map(|place| entries[place].1)
}

/// The digests that one version replaced.
#[derive(Debug)]
struct Item {
    version: u64,
    replaced: Replaced,
}

#[derive(Debug)]
enum Replaced {
    Entries(Entries),
    /// All digests, if the directory below was resized.
    Whole(Heap),
}

/// The items of all versions that a reader may still ask about, oldest first.
#[derive(Debug, Default)]
pub(super) struct Versions {
    items: VecDeque<Item>,
    /// Emptied lists of retired versions, for later ones: freeing and faulting in the same memory repeatedly costs more
    /// than filling it.
    spare: Vec<Entries>,
}

/// The maximum number of lists kept for reuse, and the maximum capacity of one of them, in entries.
const SPARE_LISTS_MAX: usize = 32;
const SPARE_ENTRIES_MAX: usize = 1 << 12;

impl Versions {
    /// Returns the bytes of all entries, and of the lists that are kept for reuse.
    pub(super) fn memory_bytes(&self) -> usize {
        let kept = self.items.iter().map(|item| match &item.replaced {
            Replaced::Entries(entries) => entries.capacity() * size_of::<(u32, Entry)>(),
            Replaced::Whole(heap) => size_of::<Pair>() << heap.bits(),
        });
        let spare = self.spare.iter().map(Vec::capacity);
        kept.sum::<usize>() + spare.sum::<usize>() * size_of::<(u32, Entry)>()
    }

    /// Returns an empty list to fill.
    pub(super) fn list(&mut self) -> Entries {
        self.spare.pop().unwrap_or_default()
    }

    /// Returns whether a version after this one replaced any digest.
    pub(super) fn is_after(&self, version: u64) -> bool {
        self.items
            .back()
            .is_some_and(|newest| newest.version > version)
    }

    /// Keeps the entries that `version` has overwritten.
    pub(super) fn replaced(&mut self, version: u64, entries: Entries) {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 > b.0));
        self.items.push_back(Item {
            version,
            replaced: Replaced::Entries(entries),
        });
    }

    /// Keeps all digests that `version` replaces.
    pub(super) fn replaced_whole(&mut self, version: u64, whole: Heap) {
        self.items.push_back(Item {
            version,
            replaced: Replaced::Whole(whole),
        });
    }

    /// Returns the entry that `version` saw at a node that is kept, or below which nothing changed since; `None` if it
    /// equals the present one. `Some(None)` stands for an entry that was not in memory.
    pub(super) fn find(&self, version: u64, node: u32) -> Option<Option<Entry>> {
        let newer = self.items.iter().rev();
        let count = newer.take_while(|item| item.version > version).count();
        let after = self.items.range(self.items.len() - count..);
        after.into_iter().find_map(|item| match &item.replaced {
            Replaced::Whole(heap) => Some(heap.get(node)),
            Replaced::Entries(entries) if is_kept(node) => find(entries, node).map(Some),
            Replaced::Entries(_) => None,
        })
    }

    /// Returns the bits of the directory as `version` saw it, if it was resized since.
    pub(super) fn bits_at(&self, version: u64) -> Option<u32> {
        let mut later = self.items.iter().filter(|item| item.version > version);
        later.find_map(|item| match &item.replaced {
            Replaced::Whole(heap) => Some(heap.bits()),
            Replaced::Entries(_) => None,
        })
    }

    /// Passes each kept entry that a version of a range replaced. `bits` are those of the present directory.
    pub(super) fn replaced_by(
        &self,
        versions: &RangeInclusive<u64>,
        bits: u32,
        mut take: impl FnMut(u64, u32, u32, Entry),
    ) {
        let mut bits = bits;
        let to_range = self.items.iter().rev();
        for item in to_range.take_while(|item| item.version >= *versions.start()) {
            let is_wanted = versions.contains(&item.version);
            match &item.replaced {
                Replaced::Entries(entries) if is_wanted => {
                    let kept = entries.iter();
                    kept.for_each(|(node, entry)| take(item.version, bits, *node, *entry));
                }
                Replaced::Entries(_) => {}
                Replaced::Whole(heap) => {
                    bits = heap.bits();
                    let nodes = (1..2 << bits).take_while(|node| is_kept(*node));
                    if is_wanted {
                        let held = nodes.filter_map(|node| Some((node, heap.get(node)?)));
                        held.for_each(|(node, entry)| take(item.version, bits, node, entry));
                    }
                }
            }
        }
    }

    /// Removes data that no version from `oldest` on needs, and returns it, so that the caller can drop it outside of
    /// the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let keep_from = self.items.partition_point(|item| item.version <= oldest);
        let mut retired = Vec::new();
        for item in self.items.drain(..keep_from) {
            match item.replaced {
                Replaced::Entries(mut entries)
                    if entries.capacity() <= SPARE_ENTRIES_MAX
                        && self.spare.len() < SPARE_LISTS_MAX =>
                {
                    entries.clear();
                    self.spare.push(entries);
                }
                replaced => retired.push(replaced),
            }
        }
        retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        Entry {
            digest: [byte; 32],
            lone: false,
        }
    }

    #[test]
    fn a_reader_finds_what_its_version_saw() {
        let mut versions = Versions::default();
        versions.replaced(2, vec![(3, entry(1)), (2, entry(11))]);
        versions.replaced(4, vec![(3, entry(3))]);
        versions.replaced_whole(5, Heap::new(2));
        versions.replaced(6, vec![(7, entry(5))]);
        let first_byte = |entry: Entry| entry.digest[0];
        let seen = |version, node| Some(versions.find(version, node)?.map(first_byte));
        assert_eq!(seen(1, 3), Some(Some(1)));
        assert_eq!(seen(1, 2), Some(Some(11)));
        assert_eq!(seen(2, 3), Some(Some(3)));
        assert_eq!(seen(2, 2), Some(None), "not in the whole that came later");
        assert_eq!(seen(5, 7), Some(Some(5)));
        assert_eq!(seen(5, 3), None);
        assert_eq!(seen(6, 7), None);
    }

    #[test]
    fn retired_versions_are_gone_and_the_rest_stays() {
        let mut versions = Versions::default();
        for version in 1..=4 {
            versions.replaced(version, vec![(1, entry(version as u8))]);
        }
        drop(versions.retire(2));
        assert_eq!(versions.items.len(), 2);
        assert_eq!(versions.find(2, 1), Some(Some(entry(3))));
        assert!(versions.list().is_empty());
    }
}
