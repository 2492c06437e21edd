//! Digests of a slot that versions replaced, kept so that older versions stay readable.
//!
//! The present lies in a flat array that is changed in place; whatever a version overwrites goes into
//! that version's items first. A reader of version N looks through the items of the versions after N,
//! oldest first: the first hit is what N saw, no hit means that nothing changed since. Versions form
//! one line, so nothing here is counted: items are dropped from the old end. Not here: leaves (`undo`).

use std::collections::VecDeque;

use super::digests::{Entry, Heap};

/// Nodes and their former entries, descending by node.
pub(super) type Entries = Vec<(u32, Entry)>;

/// The digests that one version replaced.
#[derive(Debug)]
struct Item {
    version: u64,
    replaced: Replaced,
}

#[derive(Debug)]
enum Replaced {
    Entries(Entries),
    /// All of them, when the directory below was resized.
    Whole(Heap),
}

/// The items of all versions that a reader may still ask about, oldest first.
#[derive(Debug, Default)]
pub(super) struct Versions {
    items: VecDeque<Item>,
    /// Emptied lists of retired versions, for those to come: freeing and faulting in the same memory
    /// again and again costs more than filling it.
    spare: Vec<Entries>,
}

/// Lists kept for reuse, and the largest capacity of one of them, entries.
const SPARE_LISTS_MAX: usize = 32;
const SPARE_ENTRIES_MAX: usize = 1 << 12;

impl Versions {
    /// Returns an empty list to fill.
    pub(super) fn list(&mut self) -> Entries {
        self.spare.pop().unwrap_or_default()
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

    /// Returns what `version` saw at a node, if the node was overwritten since.
    pub(super) fn find(&self, version: u64, node: u32) -> Option<Entry> {
        let newer = self.items.iter().rev();
        let count = newer.take_while(|item| item.version > version).count();
        let after = self.items.range(self.items.len() - count..);
        after.into_iter().find_map(|item| match &item.replaced {
            Replaced::Whole(heap) => Some(heap.get(node)),
            Replaced::Entries(entries) => {
                let place = entries.binary_search_by(|(other, _)| node.cmp(other));
                place.ok().map(|place| entries[place].1)
            }
        })
    }

    /// Removes what no version from `oldest` on needs, and returns it, so that the caller can drop it
    /// outside of the locks.
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
        let seen = |version, node| versions.find(version, node).map(|entry| entry.digest[0]);
        assert_eq!(seen(1, 3), Some(1));
        assert_eq!(seen(1, 2), Some(11));
        assert_eq!(seen(2, 3), Some(3));
        assert_eq!(seen(2, 2), Some(0), "of the whole that came later");
        assert_eq!(seen(5, 7), Some(5));
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
        assert_eq!(versions.find(2, 1), Some(entry(3)));
        assert!(versions.list().is_empty());
    }
}
