//! A cache of values that were read from the leaf store, within a budget of bytes.
//!
//! An entry says at which versions its key had the value. It begins with the version that wrote the value, which the
//! tree knows for every key in memory, or with a later one before the next write. It ends with the last version at which
//! the value was seen. So an entry is never wrong and never has to be removed; entries that are not used make room for
//! new ones.
//!
//! Entries that were evicted recently are remembered, so that a miss can tell whether a larger cache would have had it.
//! `values` looks after values in memory, and `adaptive` decides how large the cache is.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};
use trunkline_core::hash::Digest;
use trunkline_core::tree::Leaf;

use super::key_hasher::BuildKeyHasher;

/// The bytes of an entry in addition to its value: the entry, its slot in the table, its allocation.
const ENTRY_BYTES: u64 = 192;
/// The assumed bytes of an entry while there is none.
const ENTRY_BYTES_GUESSED: u64 = 320;
/// The maximum number of entries for which an empty cache allocates.
const ENTRIES_GUESSED_MAX: u64 = 1 << 20;
/// The reciprocal of the part of the cache's size for which evicted entries are remembered.
const NEAR_PART: u64 = 8;
/// The maximum number of remembered evicted entries, 8 bytes each. A cache of more than eight times as many entries
/// remembers less than an eighth.
const NEAR_ENTRIES_MAX: u64 = 1 << 17;

/// A value that a key had.
#[derive(Clone, Debug)]
pub struct Kept {
    /// A version at which the key had the value: the one that wrote it, if the leaf was in memory.
    pub origin: u64,
    /// The last version at which the key was seen to have the value.
    pub seen: u64,
    /// The value.
    pub value: Bytes,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Digest, Kept> for ByBytes {
    fn weight(&self, _: &Digest, kept: &Kept) -> u64 {
        ENTRY_BYTES + kept.value.len() as u64
    }
}

/// The entries that were evicted last.
///
/// Key hash and origin give each entry one slot, and the next entry of the slot replaces it. So about as many entries
/// are remembered as there are slots: after `d` evictions an entry is still there with probability
/// `(1 - 1 / slots)^d`, and the sum of that over all `d` is the number of slots.
#[derive(Debug)]
struct RecentlyEvicted(RwLock<Box<[AtomicU64]>>);

impl RecentlyEvicted {
    /// Creates the slots for a cache of this many entries.
    fn new(entries: u64) -> Self {
        Self(RwLock::new(empty_slots(slot_count(entries))))
    }

    fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Starts again with other slots if their number is wrong by more than a factor of two: forgetting everything is not
    /// worth it for less.
    fn resize(&self, entries: u64) {
        let (now, wanted) = (self.len(), slot_count(entries));
        if now / 2 > wanted || now < wanted / 2 {
            *self.0.write() = empty_slots(wanted);
        }
    }

    /// Returns an entry's slot, and the content of the slot if the entry is remembered.
    fn slot(&self, key_hash: &Digest, origin: u64) -> (MappedRwLockReadGuard<'_, AtomicU64>, u64) {
        let tail = key_hash.last_chunk().copied().map_or(0, u64::from_be_bytes);
        let mark = tail.wrapping_add(origin) | 1;
        let slot = RwLockReadGuard::map(self.0.read(), |slots| {
            &slots[(mark >> 1) as usize & (slots.len() - 1)]
        });
        (slot, mark)
    }

    fn add(&self, key_hash: &Digest, origin: u64) {
        let (slot, mark) = self.slot(key_hash, origin);
        slot.store(mark, Ordering::Relaxed);
    }

    fn contains(&self, key_hash: &Digest, origin: u64) -> bool {
        let (slot, mark) = self.slot(key_hash, origin);
        slot.load(Ordering::Relaxed) == mark
    }
}

fn slot_count(entries: u64) -> usize {
    let slots = (entries / NEAR_PART).clamp(64, NEAR_ENTRIES_MAX);
    slots.next_power_of_two() as usize
}

fn empty_slots(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Remembers evicted entries, and frees their values after the cache has released its own lock.
#[derive(Clone, Debug)]
struct OnEvict(Arc<RecentlyEvicted>);

impl Lifecycle<Digest, Kept> for OnEvict {
    type RequestState = [Bytes; 2];

    fn begin_request(&self) -> Self::RequestState {
        Default::default()
    }

    /// Not called for an entry that another one of its key replaces.
    fn before_evict(&self, _: &mut Self::RequestState, key_hash: &Digest, kept: &mut Kept) {
        self.0.add(key_hash, kept.origin);
    }

    fn on_evict(&self, state: &mut Self::RequestState, _: Digest, kept: Kept) {
        if let Some(free) = state.iter_mut().find(|held| held.is_empty()) {
            *free = kept.value;
        }
    }
}

/// A cache of one value for each key.
#[derive(Debug)]
pub struct ValueCache {
    entries: Cache<Digest, Kept, ByBytes, BuildKeyHasher, OnEvict>,
    evicted: Arc<RecentlyEvicted>,
    bytes_max: AtomicU64,
}

impl ValueCache {
    /// Creates a cache of this many bytes, including the overhead of entries. With 0 nothing is cached.
    pub fn new(bytes_max: u64) -> Self {
        let entries = (bytes_max / ENTRY_BYTES_GUESSED).min(ENTRIES_GUESSED_MAX);
        let evicted = Arc::new(RecentlyEvicted::new(entries));
        let (hasher, on_evict) = (BuildKeyHasher::default(), OnEvict(evicted.clone()));
        Self {
            entries: Cache::with(entries as usize, bytes_max, ByBytes, hasher, on_evict),
            evicted,
            bytes_max: AtomicU64::new(bytes_max),
        }
    }

    /// Returns the bytes that the cache may take.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Returns the bytes that the cache takes, including what remembers evicted entries.
    pub fn bytes(&self) -> u64 {
        self.entries.weight() + (self.evicted.len() * size_of::<AtomicU64>()) as u64
    }

    /// Sets the bytes that the cache may take.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.evicted.resize(bytes_max / self.entry_bytes());
        self.entries.set_capacity(bytes_max);
    }

    /// Returns the average bytes of an entry.
    fn entry_bytes(&self) -> u64 {
        match self.entries.len() as u64 {
            0 => ENTRY_BYTES_GUESSED,
            entries => (self.entries.weight() / entries).max(1),
        }
    }

    /// Returns the additional bytes of cache that would have turned near misses into hits: those of the remembered
    /// entries, if they are as large as the present ones.
    ///
    /// Also adapts the number of remembered entries to their present size. The controller calls this once in a window.
    pub fn near_bytes(&self) -> u64 {
        let entry_bytes = self.entry_bytes();
        let near_bytes = (self.evicted.len() as u64).saturating_mul(entry_bytes);
        self.evicted.resize(self.bytes_max() / entry_bytes);
        near_bytes
    }

    /// Returns whether the value of a leaf, which is not in the cache, was evicted recently.
    pub fn is_near_miss(&self, leaf: &Leaf) -> bool {
        self.evicted.contains(&leaf.key_hash, leaf.origin)
    }

    /// Returns the value that a key had at all of these versions, if the cache has it and it was seen at one of them.
    pub fn get(&self, key_hash: &Digest, at: RangeInclusive<u64>) -> Option<Kept> {
        if self.bytes_max() == 0 {
            return None;
        }
        let kept = self.entries.get(key_hash)?;
        (kept.origin <= *at.end() && kept.seen >= *at.start()).then_some(kept)
    }

    /// Caches the value of a leaf that was seen at a version, unless the cache has one of the key that was seen later.
    pub fn keep(&self, leaf: &Leaf, seen: u64, value: &Bytes) {
        let seen_later = |kept: Kept| kept.seen > seen;
        if self.bytes_max() == 0 || self.entries.peek(&leaf.key_hash).is_some_and(seen_later) {
            return;
        }
        let kept = Kept {
            origin: leaf.origin,
            seen,
            value: value.clone(),
        };
        self.entries.insert(leaf.key_hash, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(key: u64, origin: u64) -> Leaf {
        Leaf {
            key_hash: trunkline_core::hash::hash(&key.to_le_bytes()),
            value_hash: [0; 32],
            origin,
        }
    }

    fn is_cached(cache: &ValueCache, key: u64, origin: u64) -> bool {
        value_of(cache, &leaf(key, origin), origin..=origin).is_some()
    }

    fn value_of(cache: &ValueCache, leaf: &Leaf, at: RangeInclusive<u64>) -> Option<Bytes> {
        cache.get(&leaf.key_hash, at).map(|kept| kept.value)
    }

    #[test]
    fn a_value_holds_from_its_origin_to_the_version_at_which_it_was_seen() {
        let cache = ValueCache::new(1 << 20);
        let leaf = leaf(1, 7);
        cache.keep(&leaf, 9, &"v".into());
        for at in [7..=7, 8..=8, 9..=9, 0..=7, 9..=20, 8..=20, 0..=20] {
            assert_eq!(value_of(&cache, &leaf, at), Some("v".into()));
        }
        // Before it was written and after it was seen, the key may have had another value.
        for at in [0..=6, 6..=6, 10..=10, 10..=20] {
            assert_eq!(value_of(&cache, &leaf, at), None);
        }
    }

    #[test]
    fn of_one_key_the_value_that_was_seen_last_stays() {
        let cache = ValueCache::new(1 << 20);
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        cache.keep(&leaf(1, 9), 9, &"nine".into());
        // A read of an older version does not replace the present value.
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        assert_eq!(value_of(&cache, &leaf(1, 9), 9..=9), Some("nine".into()));
        assert_eq!(value_of(&cache, &leaf(1, 7), 7..=8), None);
        assert_eq!(value_of(&cache, &leaf(2, 9), 9..=9), None);
        // Seen again later, it is known up to then.
        cache.keep(&leaf(1, 9), 12, &"nine".into());
        assert_eq!(value_of(&cache, &leaf(1, 9), 11..=11), Some("nine".into()));
    }

    #[test]
    fn a_value_that_a_later_one_replaced_is_no_near_miss() {
        let cache = ValueCache::new(1 << 20);
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        cache.keep(&leaf(1, 7), 9, &"seven".into());
        cache.keep(&leaf(1, 10), 10, &"ten".into());
        assert!(!cache.is_near_miss(&leaf(1, 7)));
    }

    #[test]
    fn it_stays_within_its_budget_and_without_one_it_caches_nothing() {
        let cache = ValueCache::new(100_000);
        for key in 0..10_000 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 100]));
        }
        let kept = (0..10_000).filter(|key| is_cached(&cache, *key, 1));
        let kept = kept.count() as u64;
        assert!(
            kept > 100 && kept * (100 + ENTRY_BYTES) <= 100_000,
            "{kept}"
        );

        // It also stays within a changed budget.
        cache.set_bytes_max(50_000);
        let kept = (0..10_000).filter(|key| is_cached(&cache, *key, 1));
        assert!(kept.count() as u64 * (100 + ENTRY_BYTES) <= 50_000);

        let none = ValueCache::new(0);
        none.keep(&leaf(1, 1), 1, &"v".into());
        assert!(!is_cached(&none, 1, 1));
    }

    #[test]
    fn a_recently_evicted_value_is_a_near_miss_and_an_unknown_one_is_not() {
        let cache = ValueCache::new(200_000);
        for key in 0..1_000 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 100]));
        }
        let gone: Vec<u64> = (0..1_000)
            .filter(|key| !is_cached(&cache, *key, 1))
            .collect();
        let near = gone
            .iter()
            .filter(|key| cache.is_near_miss(&leaf(**key, 1)));
        // Of 128 slots, some were overwritten, and some hold entries that are cached again.
        assert!((48..=128).contains(&near.count()));
        assert!((1_000..2_000).all(|key| !cache.is_near_miss(&leaf(key, 1))));

        // A cache of four times the size remembers four times as many.
        cache.set_bytes_max(800_000);
        for key in 0..4_000 {
            cache.keep(&leaf(key, 2), 2, &Bytes::from(vec![0; 100]));
        }
        let gone = (0..4_000).filter(|key| !is_cached(&cache, *key, 2));
        let near = gone.filter(|key| cache.is_near_miss(&leaf(*key, 2)));
        assert!((200..=512).contains(&near.count()));
    }

    #[test]
    fn of_large_values_as_many_are_remembered_as_fill_an_eighth() {
        let bytes_max = 4 << 20;
        let cache = ValueCache::new(bytes_max);
        let fill = |origin| {
            for key in 0..4_000 {
                cache.keep(&leaf(key, origin), origin, &Bytes::from(vec![0; 4096]));
            }
        };
        fill(1);
        // So far the number of remembered entries fits smaller values.
        assert!(cache.near_bytes() > bytes_max);
        let near_bytes = cache.near_bytes();
        assert!((bytes_max / 16..=bytes_max / 4).contains(&near_bytes));
        // The number stays, and about as many misses are near.
        fill(2);
        assert_eq!(cache.near_bytes(), near_bytes);
        let gone = (0..4_000).filter(|key| !is_cached(&cache, *key, 2));
        let near = gone.filter(|key| cache.is_near_miss(&leaf(*key, 2)));
        let near = near.count() as u64 * (4096 + ENTRY_BYTES);
        assert!((near_bytes / 3..=near_bytes).contains(&near), "{near}");
    }

    #[test]
    fn a_huge_cache_remembers_less_than_an_eighth_and_says_so() {
        let bytes_max = 4 << 30;
        let cache = ValueCache::new(bytes_max);
        for key in 0..100 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 128]));
        }
        assert_eq!(cache.near_bytes(), NEAR_ENTRIES_MAX * 320);
        assert!(cache.near_bytes() < bytes_max / 100);
    }
}
