//! Writes that are accepted and not yet applied, so that a caller reads its own writes at once.
//!
//! Bounded by credit: an entry lives as long as its submission waits for the tree. Writes of
//! submissions with requirements are not shown, because they may yet be refused; that others are,
//! for a collision of paths, is rare enough to show them until then.
//!
//! A large submission is shown as it is, in a list that every read searches; the writes of small
//! ones stand in a map. So a read costs little whatever the sizes are, and so does a write.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use dashmap::DashMap;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;

/// Writes from which a submission is shown whole: 100 µs and more in the map.
const WHOLE_WRITES_MIN: usize = 512;
/// Submissions that are shown whole at most: each costs a read about 0.1 µs.
const WHOLE_MAX: usize = 128;

/// A key hash is already spread evenly: its first bytes are its hash.
#[derive(Debug, Default)]
pub struct KeyHashHasher(u64);

impl Hasher for KeyHashHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// A write of a small submission.
#[derive(Debug)]
struct Accepted {
    sequence: u64,
    batch: Arc<PreparedBatch>,
    write: u32,
}

/// A large submission.
#[derive(Debug)]
struct Whole {
    sequence: u64,
    batch: Arc<PreparedBatch>,
}

/// The newest accepted write of each key that the tree has not seen yet.
///
/// Submissions are hidden in their order. Therefore, while the list is locked, nothing that is newer
/// than what it shows can go from the map.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Ascending by sequence number.
    whole: RwLock<Vec<Whole>>,
    whole_count: AtomicUsize,
    scattered: DashMap<Digest, Accepted, BuildHasherDefault<KeyHashHasher>>,
    /// Submissions in the map.
    scattered_count: AtomicUsize,
}

impl Overlay {
    /// Shows the writes of a submission. Called in the order of sequence numbers.
    pub fn show(&self, sequence: u64, batch: &Arc<PreparedBatch>) {
        if !batch.requirements.is_empty() {
            return;
        }
        if batch.writes.len() >= WHOLE_WRITES_MIN && self.show_whole(sequence, batch) {
            return;
        }
        self.scattered_count.fetch_add(1, Ordering::SeqCst);
        for (place, write) in (0..).zip(&batch.writes) {
            let accepted = Accepted {
                sequence,
                batch: batch.clone(),
                write: place,
            };
            self.scattered.insert(write.key_hash, accepted);
        }
    }

    /// Takes the writes of a submission back, unless later ones have replaced them. Called in the
    /// order of sequence numbers, when readers of the present see them without it.
    pub fn hide(&self, sequence: u64, batch: &PreparedBatch) {
        if !batch.requirements.is_empty() {
            return;
        }
        if batch.writes.len() >= WHOLE_WRITES_MIN && self.hide_whole(sequence) {
            return;
        }
        for write in &batch.writes {
            self.scattered
                .remove_if(&write.key_hash, |_, shown| shown.sequence <= sequence);
        }
        self.scattered_count.fetch_sub(1, Ordering::SeqCst);
    }

    /// The newest accepted write of a key: `Some(None)` is a delete.
    pub fn get(&self, key_hash: &Digest) -> Option<Option<Bytes>> {
        if self.whole_count.load(Ordering::SeqCst) == 0 {
            return self.get_scattered(key_hash, 0);
        }
        // Locked until the map has been looked at.
        let whole = self.read();
        for Whole { sequence, batch } in whole.iter().rev() {
            if let Some(write) = batch.find(key_hash) {
                let newer = self.get_scattered(key_hash, *sequence);
                return newer.or_else(|| Some(batch.contents.held_value(write)));
            }
        }
        self.get_scattered(key_hash, 0)
    }

    /// The write in the map if it is newer than a submission.
    fn get_scattered(&self, key_hash: &Digest, than: u64) -> Option<Option<Bytes>> {
        if self.scattered_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let shown = self.scattered.get(key_hash)?;
        let value = || shown.batch.contents.held_value(shown.write as usize);
        (shown.sequence > than).then(value)
    }

    fn show_whole(&self, sequence: u64, batch: &Arc<PreparedBatch>) -> bool {
        let mut whole = self.write();
        if whole.len() >= WHOLE_MAX {
            return false;
        }
        let batch = batch.clone();
        whole.push(Whole { sequence, batch });
        self.whole_count.store(whole.len(), Ordering::SeqCst);
        true
    }

    fn hide_whole(&self, sequence: u64) -> bool {
        let mut whole = self.write();
        let Ok(place) = whole.binary_search_by_key(&sequence, |whole| whole.sequence) else {
            return false;
        };
        whole.remove(place);
        self.whole_count.store(whole.len(), Ordering::SeqCst);
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Whole>> {
        self.whole.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Whole>> {
        self.whole.write().unwrap_or_else(PoisonError::into_inner)
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
        let batch = prepared(puts(0..WHOLE_WRITES_MIN as u16, "v"));
        let last = WHOLE_MAX as u64 + 2;
        for sequence in 1..=last {
            overlay.show(sequence, &batch);
        }
        assert_eq!(overlay.scattered_count.load(Ordering::SeqCst), 2);
        for sequence in 1..=last {
            assert_eq!(overlay.get(&key_hash(0)), Some(Some("v".into())));
            overlay.hide(sequence, &batch);
        }
        assert_eq!(overlay.get(&key_hash(0)), None);
        assert!(overlay.scattered.is_empty());
    }

    /// Size, first key, every how many keys one is deleted, whether something is required.
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
