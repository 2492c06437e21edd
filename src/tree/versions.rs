//! What a version replaced, kept so that older versions stay readable.
//!
//! The present lies in flat arrays that are changed in place; whatever a version overwrites goes
//! into that version's items first. A reader of version N looks through the items of the versions
//! after N, oldest first: the first hit is what N saw, no hit means that nothing changed since.
//! Versions form one line, so nothing here is counted: items are dropped from the old end.

use std::collections::VecDeque;

/// What one version replaced in an array of `1 << bits` entries.
#[derive(Debug)]
struct Item<E, A> {
    version: u64,
    bits: u32,
    replaced: Replaced<E, A>,
}

#[derive(Debug)]
enum Replaced<E, A> {
    /// Single entries; `monotone` (all ascending or all descending) unless several submissions of
    /// one version came in between.
    Entries { list: Vec<(u32, E)>, monotone: bool },
    /// The whole array, when the number of entries changed.
    Whole(A),
}

/// An older state of an entry.
pub(super) enum Found<'a, E, A> {
    Entry(&'a E),
    /// The entry of this number in a whole array that was replaced.
    In(&'a A, u32),
}

/// The items of all versions that a reader may still ask about, oldest first.
#[derive(Debug)]
pub(super) struct Versions<E, A> {
    items: VecDeque<Item<E, A>>,
}

impl<E, A> Versions<E, A> {
    pub(super) fn new() -> Self {
        Self {
            items: VecDeque::new(),
        }
    }

    /// Keeps an entry that `version` is about to overwrite for the first time.
    pub(super) fn replace_entry(&mut self, version: u64, bits: u32, index: u32, entry: E) {
        if let Some(Item {
            version: last,
            bits: last_bits,
            replaced: Replaced::Entries { list, monotone },
        }) = self.items.back_mut()
            && *last == version
            && *last_bits == bits
        {
            *monotone &= continues(list, index);
            list.push((index, entry));
            return;
        }
        self.items.push_back(Item {
            version,
            bits,
            replaced: Replaced::Entries {
                list: vec![(index, entry)],
                monotone: true,
            },
        });
    }

    /// Keeps the whole array that `version` replaces.
    pub(super) fn replace_whole(&mut self, version: u64, bits: u32, whole: A) {
        self.items.push_back(Item {
            version,
            bits,
            replaced: Replaced::Whole(whole),
        });
    }

    /// What `version` saw at an entry, if it was overwritten since. `index_at` gives the number of
    /// the entry in an array of so many bits.
    pub(super) fn find(
        &self,
        version: u64,
        index_at: impl Fn(u32) -> u32,
    ) -> Option<Found<'_, E, A>> {
        let first = self.items.partition_point(|item| item.version <= version);
        for item in self.items.range(first..) {
            let index = index_at(item.bits);
            match &item.replaced {
                Replaced::Whole(whole) => return Some(Found::In(whole, index)),
                Replaced::Entries { list, monotone } => {
                    if let Some(entry) = find_entry(list, *monotone, index) {
                        return Some(Found::Entry(entry));
                    }
                }
            }
        }
        None
    }

    /// How many bits the array had at `version`, if that changed since.
    pub(super) fn bits_at(&self, version: u64) -> Option<u32> {
        let first = self.items.partition_point(|item| item.version <= version);
        self.items.get(first).map(|item| item.bits)
    }

    /// Whether every list of entries can be searched by halving.
    #[cfg(test)]
    pub(super) fn is_monotone(&self) -> bool {
        self.items.iter().all(|item| match &item.replaced {
            Replaced::Entries { monotone, .. } => *monotone,
            Replaced::Whole(_) => true,
        })
    }

    /// Takes out what no version from `oldest` on needs, to be dropped where it stalls nobody.
    pub(super) fn retire(&mut self, oldest: u64) -> Retired<E, A> {
        let keep_from = self.items.partition_point(|item| item.version <= oldest);
        Retired {
            _items: self.items.drain(..keep_from).collect(),
        }
    }
}

/// Items on their way out; dropping this frees them.
#[derive(Debug)]
pub(super) struct Retired<E, A> {
    _items: Vec<Item<E, A>>,
}

/// Whether an index goes on in the direction that the list has.
fn continues<E>(list: &[(u32, E)], index: u32) -> bool {
    match list {
        [] | [_] => true,
        [(first, _), (second, _), ..] => {
            let last = list[list.len() - 1].0;
            (first < second) == (last < index)
        }
    }
}

fn find_entry<E>(list: &[(u32, E)], monotone: bool, index: u32) -> Option<&E> {
    let descending = matches!(list, [(first, _), (second, _), ..] if first > second);
    let place = match (monotone, descending) {
        (false, _) => list.iter().position(|(entry, _)| *entry == index),
        (true, false) => list.binary_search_by(|(entry, _)| entry.cmp(&index)).ok(),
        (true, true) => list.binary_search_by(|(entry, _)| index.cmp(entry)).ok(),
    };
    place.map(|place| &list[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(
        versions: &Versions<&'static str, Vec<&'static str>>,
        version: u64,
        top: u32,
    ) -> String {
        match versions.find(version, |bits| top >> (4 - bits)) {
            None => "present".into(),
            Some(Found::Entry(entry)) => (*entry).into(),
            Some(Found::In(whole, index)) => whole[index as usize].into(),
        }
    }

    #[test]
    fn a_reader_finds_what_its_version_saw() {
        let mut versions = Versions::new();
        versions.replace_entry(2, 1, 0, "a1");
        versions.replace_entry(4, 1, 0, "a3");
        versions.replace_whole(4, 1, vec!["gone", "b3"]);
        versions.replace_entry(4, 2, 3, "not of version 3");
        assert_eq!(seen(&versions, 1, 0), "a1");
        assert_eq!(seen(&versions, 2, 0), "a3");
        assert_eq!(seen(&versions, 3, 0), "a3");
        assert_eq!(seen(&versions, 1, 8), "b3");
        assert_eq!(seen(&versions, 4, 0), "present");
        assert_eq!(versions.bits_at(3), Some(1));
        assert_eq!(versions.bits_at(4), None);
    }

    #[test]
    fn retired_versions_are_gone_and_the_rest_stays() {
        let mut versions = Versions::new();
        for version in 1..=4 {
            versions.replace_entry(version, 1, 0, "old");
        }
        drop(versions.retire(2));
        assert_eq!(versions.items.len(), 2);
        assert_eq!(seen(&versions, 2, 0), "old");
    }

    #[test]
    fn entries_in_any_order_are_found() {
        for order in [[1, 5, 9, 11], [11, 9, 5, 1], [5, 1, 9, 11], [9, 11, 5, 1]] {
            let mut versions: Versions<u32, ()> = Versions::new();
            for index in order {
                versions.replace_entry(1, 4, index, index * 10);
            }
            for index in order {
                assert!(matches!(
                    versions.find(0, |_| index),
                    Some(Found::Entry(entry)) if *entry == index * 10
                ));
            }
            assert!(versions.find(0, |_| 6).is_none());
        }
    }
}
