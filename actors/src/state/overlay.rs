//! Accepted writes that the tree has not applied yet, so that callers read their own writes at once.
//!
//! Admission bounds it: an entry lives as long as its submission waits for the tree. Submissions with requirements are
//! not shown, because they may still be refused. Others are refused only if paths collide, which is rare enough to show
//! their writes until then.
//!
//! A large submission is shown as a whole, in a list that every read searches. The writes of small submissions are in a
//! map. So reads and writes are cheap at every size.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::store::key_index::KeyScan;

use super::key_hasher::BuildKeyHasher;

/// The minimum number of writes of a large submission. In the map they would take 100 µs.
const LARGE_WRITES_MIN: usize = 512;
/// The maximum number of large submissions in the list. Each costs a read about 0.1 µs.
const LARGE_MAX: usize = 128;

/// A write of a small submission.
#[derive(Debug)]
struct Small {
    sequence: u64,
    batch: Arc<PreparedBatch>,
    write: u32,
}

/// A large submission.
#[derive(Debug)]
struct Large {
    sequence: u64,
    batch: Arc<PreparedBatch>,
}

/// The newest accepted write of each key that the tree has not applied yet.
///
/// Submissions are hidden in their order. So while the list is locked, the map loses nothing that is newer than the
/// submissions in the list.
#[derive(Debug, Default)]
pub struct Overlay {
    /// The large submissions, in ascending order of sequence numbers.
    large: RwLock<Vec<Large>>,
    large_count: AtomicUsize,
    small: DashMap<Digest, Small, BuildKeyHasher>,
    /// The number of submissions in the map.
    small_count: AtomicUsize,
    /// Bytes of all batches, including those that are not shown.
    bytes: AtomicUsize,
}

impl Overlay {
    /// Shows the writes of a submission. Called in the order of sequence numbers.
    pub fn show(&self, sequence: u64, batch: &Arc<PreparedBatch>) {
        self.bytes
            .fetch_add(batch.memory_bytes(), Ordering::Relaxed);
        if !batch.requirements.is_empty() {
            return;
        }
        if batch.writes.len() >= LARGE_WRITES_MIN && self.show_large(sequence, batch) {
            return;
        }
        self.small_count.fetch_add(1, Ordering::SeqCst);
        for (index, write) in (0..).zip(&batch.writes) {
            let small = Small {
                sequence,
                batch: batch.clone(),
                write: index,
            };
            self.small.insert(write.key_hash, small);
        }
    }

    /// Hides the writes of a submission, unless later ones have replaced them. Called in the order of sequence numbers,
    /// after the tree shows the writes to readers of the present.
    pub fn hide(&self, sequence: u64, batch: &PreparedBatch) {
        self.bytes
            .fetch_sub(batch.memory_bytes(), Ordering::Relaxed);
        if !batch.requirements.is_empty() {
            return;
        }
        if batch.writes.len() >= LARGE_WRITES_MIN && self.hide_large(sequence) {
            return;
        }
        for write in &batch.writes {
            self.small
                .remove_if(&write.key_hash, |_, shown| shown.sequence <= sequence);
        }
        self.small_count.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the bytes that accepted batches take in memory.
    pub fn memory_bytes(&self) -> usize {
        let entry_bytes = size_of::<(Digest, Small)>();
        self.bytes.load(Ordering::Relaxed) + self.small.len() * entry_bytes
    }

    /// Returns the newest accepted write of a key; `Some(None)` is a delete.
    pub fn get(&self, key_hash: &Digest) -> Option<Option<Bytes>> {
        if self.large_count.load(Ordering::SeqCst) == 0 {
            return self.get_small(key_hash, 0);
        }
        // Locked until the map has been searched.
        let large = self.large.read();
        for Large { sequence, batch } in large.iter().rev() {
            if let Some(write) = batch.find(key_hash) {
                let newer = self.get_small(key_hash, *sequence);
                return newer.or_else(|| Some(batch.contents.held_value(write)));
            }
        }
        self.get_small(key_hash, 0)
    }

    /// Returns the first keys of a scan, `count` at most, that accepted writes put. Looks at every write in the overlay.
    pub fn keys(&self, scan: &KeyScan<'_>, count: usize) -> Vec<Bytes> {
        let mut keys: BTreeSet<Bytes> = BTreeSet::new();
        let mut add = |batch: &PreparedBatch, write: usize| {
            let key = batch.key(write);
            if batch.value(write).is_none() || !scan.contains(key) {
                return;
            }
            let last = match scan.is_reverse {
                true => keys.first(),
                false => keys.last(),
            };
            let is_behind = |last: &Bytes| (key < &last[..]) == scan.is_reverse;
            if keys.len() == count && last.is_some_and(is_behind) {
                return;
            }
            keys.insert(Bytes::copy_from_slice(key));
            if keys.len() > count {
                match scan.is_reverse {
                    true => keys.pop_first(),
                    false => keys.pop_last(),
                };
            }
        };
        for Large { batch, .. } in self.large.read().iter() {
            (0..batch.writes.len()).for_each(|write| add(batch, write));
        }
        for small in &self.small {
            add(&small.batch, small.write as usize);
        }
        match scan.is_reverse {
            true => keys.into_iter().rev().collect(),
            false => keys.into_iter().collect(),
        }
    }

    /// Returns the write in the map if it is newer than this submission.
    fn get_small(&self, key_hash: &Digest, than: u64) -> Option<Option<Bytes>> {
        if self.small_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let shown = self.small.get(key_hash)?;
        let value = || shown.batch.contents.held_value(shown.write as usize);
        (shown.sequence > than).then(value)
    }

    /// Adds a submission to the list. Returns false if the list is full.
    fn show_large(&self, sequence: u64, batch: &Arc<PreparedBatch>) -> bool {
        let mut large = self.large.write();
        if large.len() >= LARGE_MAX {
            return false;
        }
        let batch = batch.clone();
        large.push(Large { sequence, batch });
        self.large_count.store(large.len(), Ordering::SeqCst);
        true
    }

    /// Removes a submission from the list. Returns false if it is not there.
    fn hide_large(&self, sequence: u64) -> bool {
        let mut large = self.large.write();
        let Ok(place) = large.binary_search_by_key(&sequence, |large| large.sequence) else {
            return false;
        };
        large.remove(place);
        self.large_count.store(large.len(), Ordering::SeqCst);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use trunkline_core::batch::{Batch, BatchLimits, Requirement};
    use trunkline_core::params::TreeParams;

    use super::*;

    fn key_hash(key: u16) -> Digest {
        TreeParams::default().key_hash(&key.to_le_bytes())
    }

    fn prepared(batch: Batch) -> Arc<PreparedBatch> {
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        Arc::new(prepared.unwrap())
    }

    fn puts(keys: std::ops::Range<u16>, value: &str) -> Batch {
        let mut batch = Batch::new();
        keys.for_each(|key| {
            batch.put(key.to_le_bytes(), value);
        });
        batch
    }

    #[test]
    fn a_write_is_shown_until_it_is_hidden_and_never_hides_a_later_one() {
        for (first, second) in [(1, 1), (600, 1), (1, 600), (600, 600)] {
            let overlay = Overlay::default();
            let first = prepared(puts(0..first, "1"));
            let second = prepared(puts(0..second, "2"));
            overlay.show(1, &first);
            assert_eq!(overlay.get(&key_hash(0)), Some(Some("1".into())));
            overlay.show(2, &second);
            overlay.hide(1, &first);
            assert_eq!(overlay.get(&key_hash(0)), Some(Some("2".into())));
            overlay.hide(2, &second);
            assert_eq!(overlay.get(&key_hash(0)), None);
        }
    }

    #[test]
    fn more_large_submissions_than_the_list_takes_go_into_the_map() {
        let overlay = Overlay::default();
        let batch = prepared(puts(0..LARGE_WRITES_MIN as u16, "v"));
        let last = LARGE_MAX as u64 + 2;
        for sequence in 1..=last {
            overlay.show(sequence, &batch);
        }
        assert_eq!(overlay.small_count.load(Ordering::SeqCst), 2);
        for sequence in 1..=last {
            assert_eq!(overlay.get(&key_hash(0)), Some(Some("v".into())));
            overlay.hide(sequence, &batch);
        }
        assert_eq!(overlay.get(&key_hash(0)), None);
        assert!(overlay.small.is_empty());
    }

    /// True if it is large, the first key, the number of keys of which one is deleted, and true if it has a
    /// requirement.
    type Step = (bool, u16, u16, bool);

    fn batch_of((large, first, deletes, required): Step, value: u64) -> Batch {
        let count = if large { 600 } else { 4 };
        let mut batch = Batch::new();
        for key in first..first + count {
            match key % deletes {
                0 => batch.delete(key.to_le_bytes()),
                _ => batch.put(key.to_le_bytes(), value.to_le_bytes()),
            };
        }
        if required {
            batch.require("other", Requirement::Absent);
        }
        batch
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_keys_of_a_scan_are_the_first_that_were_put_and_are_not_hidden(
            steps in vec((any::<bool>(), 0..900_u16, 2..5_u16, prop::bool::weighted(0.2)), 1..8),
            hidden in 0..3_u64,
            (count, is_reverse, from) in (1..40_usize, any::<bool>(), any::<u16>()),
        ) {
            let (overlay, mut puts) = (Overlay::default(), BTreeSet::new());
            let last = steps.len() as u64;
            for (sequence, step) in (1..).zip(steps) {
                let batch = prepared(batch_of(step, sequence));
                overlay.show(sequence, &batch);
                if sequence + hidden <= last {
                    overlay.hide(sequence, &batch);
                } else if batch.requirements.is_empty() {
                    let writes = (0..batch.writes.len()).filter(|write| batch.value(*write).is_some());
                    puts.extend(writes.map(|write| batch.key(write).to_vec()));
                }
            }
            let from = from.to_le_bytes();
            let scan = KeyScan {
                lower: std::ops::Bound::Included(&from[..]),
                upper: std::ops::Bound::Unbounded,
                is_reverse,
            };
            let mut expected: Vec<_> = puts.into_iter().filter(|key| scan.contains(key)).collect();
            if is_reverse {
                expected.reverse();
            }
            // A key that one submission put and a later one deleted is listed, since it is only a candidate. A write in
            // the map that a later one replaced is not.
            let found = overlay.keys(&scan, count);
            let mut rest = expected.iter();
            prop_assert!(found.iter().all(|key| rest.any(|put| put == key)));
            let shown = |key: &&Vec<u8>| {
                let written = overlay.get(&TreeParams::default().key_hash(key));
                written.is_some_and(|value| value.is_some())
            };
            let shown: Vec<_> = expected.iter().filter(shown).take(count).collect();
            let end = found.last().filter(|_| found.len() == count);
            let is_behind = |key: &[u8]| end.is_some_and(|end| key != &end[..] && (key < &end[..]) == is_reverse);
            prop_assert!(shown.iter().all(|key| is_behind(key) || found.iter().any(|found| found == *key)));
        }

        #[test]
        fn what_is_shown_is_the_newest_write_that_is_not_hidden(
            steps in vec((any::<bool>(), 0..900_u16, 2..5_u16, prop::bool::weighted(0.2)), 1..12),
            waiting in 0..5_usize,
        ) {
            let overlay = Overlay::default();
            let mut shown: VecDeque<(u64, Arc<PreparedBatch>)> = VecDeque::new();
            for (sequence, step) in (1..).zip(steps) {
                let batch = prepared(batch_of(step, sequence));
                overlay.show(sequence, &batch);
                shown.push_back((sequence, batch));
                if shown.len() > waiting && let Some((sequence, batch)) = shown.pop_front() {
                    overlay.hide(sequence, &batch);
                }
                for key in (0..1500).step_by(7) {
                    let visible = shown.iter().rev().filter(|(_, b)| b.requirements.is_empty());
                    let newest = visible.filter_map(|(_, batch)| {
                        let place = batch.find(&key_hash(key))?;
                        Some(batch.value(place).map(Bytes::copy_from_slice))
                    });
                    prop_assert_eq!(overlay.get(&key_hash(key)), newest.take(1).next());
                }
            }
        }
    }
}
