//! Leaves of a slot that versions replaced, kept so that older versions stay readable.
//!
//! The tree is changed in place. For each leaf that a version changes, it keeps one record of the former
//! leaf. A reader of version N looks through the records of the versions after N, oldest
//! first: the first hit is what N saw, no hit means that nothing changed since. The same records roll
//! back a refused submission. Not here: digests (`versions`).

use std::collections::VecDeque;

use super::node::{Leaf, Node, position_of, precedes};
use crate::hash::Digest;
use crate::params::path_of;

/// A changed key with its former leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) key_hash: Digest,
    pub(super) before: Option<Before>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) value_hash: Digest,
    pub(super) origin: u64,
}

impl From<&Leaf> for Before {
    fn from(leaf: &Leaf) -> Self {
        Self {
            value_hash: leaf.value_hash,
            origin: leaf.origin,
        }
    }
}

impl Record {
    /// Returns the former leaf.
    pub(super) fn leaf(&self) -> Option<Leaf> {
        self.before.map(|before| Leaf {
            key_hash: self.key_hash,
            value_hash: before.value_hash,
            origin: before.origin,
        })
    }

    /// Restores the former leaf, among sorted leaves.
    pub(super) fn put_back(&self, leaves: &mut Vec<Leaf>) {
        match (position_of(leaves, &self.key_hash), self.leaf()) {
            (Ok(place), Some(leaf)) => leaves[place] = leaf,
            (Ok(place), None) => {
                leaves.remove(place);
            }
            (Err(place), Some(leaf)) => leaves.insert(place, leaf),
            (Err(_), None) => {}
        }
    }

    /// Undoes the change of a leaf by `version`, below a node at `depth`. Returns the number of leaves by which that
    /// grew.
    pub(super) fn roll_back(&self, node: &mut Node, depth: u32, version: u64) -> i64 {
        let block = node.block_mut(&self.key_hash, depth);
        let mut leaves = block.take();
        let before = leaves.len() as i64;
        self.put_back(&mut leaves);
        let gained = leaves.len() as i64 - before;
        block.replace(leaves, version);
        node.rebalance(&self.key_hash, depth, version, gained);
        gained
    }
}

/// The bytes that a version keeps for each leaf that it changed: a record, in a list that is two thirds full.
pub(super) const RECORD_BYTES: usize = size_of::<Record>() * 3 / 2;

/// The records of one version.
#[derive(Clone, Debug)]
struct Item {
    version: u64,
    /// The records in ascending order of key hashes, each key once, up to `accepted`; then those of the submission that
    /// is being applied, in the order of its changes.
    records: Vec<Record>,
    accepted: usize,
}

impl Item {
    fn find(&self, key_hash: &Digest) -> Option<&Record> {
        let (accepted, open) = self.records.split_at(self.accepted);
        accepted
            .binary_search_by(|record| record.key_hash.cmp(key_hash))
            .ok()
            .map(|place| &accepted[place])
            .or_else(|| open.iter().find(|record| record.key_hash == *key_hash))
    }

    /// Returns the records of paths in a range, the oldest first.
    fn oldest_first(&self, paths: std::ops::Range<u64>) -> impl Iterator<Item = &Record> {
        let (accepted, open) = self.records.split_at(self.accepted);
        let path = |record: &Record| path_of(&record.key_hash);
        let start = accepted.partition_point(|record| path(record) < paths.start);
        let end = paths.end;
        let accepted = accepted[start..].iter();
        let accepted = accepted.take_while(move |record| path(record) < end);
        accepted.chain(
            open.iter()
                .filter(move |record| paths.contains(&path(record))),
        )
    }
}

/// The records of all versions that a reader may still look back across, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Undo {
    items: VecDeque<Item>,
    /// Emptied lists of retired versions, for later ones: freeing and faulting in the same memory repeatedly costs more
    /// than filling it.
    spare: Vec<Vec<Record>>,
}

/// The maximum number of lists kept for reuse, and the maximum capacity of one of them, in records.
const SPARE_LISTS_MAX: usize = 32;
const SPARE_RECORDS_MAX: usize = 1 << 10;

impl Undo {
    /// Returns the bytes of all records, and of the lists that are kept for reuse.
    pub(super) fn memory_bytes(&self) -> usize {
        let kept = self.items.iter().map(|item| item.records.capacity());
        let spare = self.spare.iter().map(Vec::capacity);
        kept.chain(spare).sum::<usize>() * size_of::<Record>()
    }

    /// Returns the records of a version that is being made.
    pub(super) fn open(&mut self, version: u64) -> &mut Vec<Record> {
        if self.items.back().is_none_or(|item| item.version != version) {
            self.items.push_back(Item {
                version,
                records: self.spare.pop().unwrap_or_default(),
                accepted: 0,
            });
        }
        let last = self.items.len() - 1;
        &mut self.items[last].records
    }

    /// Accepts the submission that was being applied: its records join the others of the version.
    pub(super) fn accept(&mut self) {
        let Some(item) = self.items.back_mut() else {
            return;
        };
        let ascends = |two: &[Record]| precedes(&two[0].key_hash, &two[1].key_hash);
        let from = item.accepted.saturating_sub(1);
        if !item.records[from..].windows(2).all(ascends) {
            // Stable: of several records of a key, the first one has the leaf before all of them.
            item.records.sort_by_key(|record| record.key_hash);
            item.records.dedup_by_key(|record| record.key_hash);
        }
        item.accepted = item.records.len();
    }

    /// Takes out the records of the submission that was being applied, in the order of its changes.
    pub(super) fn take_open(&mut self) -> Vec<Record> {
        self.items
            .back_mut()
            .map(|item| item.records.split_off(item.accepted))
            .unwrap_or_default()
    }

    /// Returns what `version` saw at a key, a leaf or none, if the key changed since.
    pub(super) fn find(&self, version: u64, key_hash: &Digest) -> Option<Option<Leaf>> {
        // Readers ask about recent versions: most often nothing changed since.
        if !self.is_after(version) {
            return None;
        }
        let record = self.after(version).find_map(|item| item.find(key_hash));
        record.map(Record::leaf)
    }

    /// Returns whether anything changed since `version`.
    pub(super) fn is_after(&self, version: u64) -> bool {
        self.items
            .back()
            .is_some_and(|newest| newest.version > version)
    }

    /// Returns what `version` saw at each key in a range of paths that changed since, ascending by key hash.
    pub(super) fn changed_since(&self, version: u64, paths: std::ops::Range<u64>) -> Vec<&Record> {
        let items = self.after(version);
        let records = items.flat_map(|item| item.oldest_first(paths.clone()));
        let mut records: Vec<&Record> = records.collect();
        // Stable: of several records of a key, the oldest one has the leaf that the version saw.
        records.sort_by_key(|record| record.key_hash);
        records.dedup_by_key(|record| record.key_hash);
        records
    }

    fn after(&self, version: u64) -> impl Iterator<Item = &Item> {
        let newer = self.items.iter().rev();
        let count = newer.take_while(|item| item.version > version).count();
        self.items.range(self.items.len() - count..)
    }

    /// Removes data that no version from `oldest` on needs, and returns it, so that the caller can drop it outside of
    /// the locks.
    pub(super) fn retire(&mut self, oldest: u64) -> impl Sized + use<> {
        let keep_from = self.items.partition_point(|item| item.version <= oldest);
        let mut retired = Vec::new();
        for item in self.items.drain(..keep_from) {
            let mut records = item.records;
            records.clear();
            let fits = records.capacity() <= SPARE_RECORDS_MAX;
            match fits && self.spare.len() < SPARE_LISTS_MAX {
                true => self.spare.push(records),
                false => retired.push(records),
            }
        }
        retired
    }
}
