//! Values that were read from the leaf store, kept within a budget of bytes.
//!
//! An entry says at which versions its key had the value: from the one that wrote it, which the tree knows for every
//! key in memory, or a later one before the next write, to the last at which that was seen. So an entry is never wrong
//! and never has to be removed; what is not asked for any more makes room for what is. What left not long ago is
//! remembered, so that a miss can tell whether more room would have been a hit. Not here: values in memory that no
//! checkpoint covers (`values`), and how much room there is (`control::caches`).

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};
use trunkline_core::hash::Digest;
use trunkline_core::tree::Leaf;

/// What an entry costs beside its value, bytes: itself, its place in the table, its allocation.
const ENTRY_BYTES: u64 = 192;
/// What an entry is taken to weigh while there is none, bytes.
const ENTRY_BYTES_GUESSED: u64 = 320;
/// Part of the cache's room that entries would have had that left: one in so many.
const NEAR_PART: u64 = 8;
/// Most entries that left are remembered, 8 bytes each: of a cache with more than eight times as many it is less than
/// that part.
const NEAR_ENTRIES_MAX: u64 = 1 << 17;

/// A value that a key had.
#[derive(Clone, Debug)]
pub struct Kept {
    /// A version at which it had it: if the leaf was in memory, the one that wrote it.
    pub origin: u64,
    /// The last version at which it was seen to have it.
    pub seen: u64,
    pub value: Bytes,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Digest, Kept> for ByBytes {
    fn weight(&self, _: &Digest, kept: &Kept) -> u64 {
        ENTRY_BYTES + kept.value.len() as u64
    }
}

/// A key hash is spread evenly; these are other bytes than those of the path, which batches of neighbours share.
#[derive(Debug, Default)]
struct TailHasher(u64);

impl Hasher for TailHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(tail) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*tail);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// What says which entries left last, each in the one place that its key hash and origin give it: the next entry of
/// that place takes it over. So about as many are remembered as there are places: one is remembered `d` departures
/// later with probability `(1 - 1 / places)^d`, which is a sum of `places` over all of them.
#[derive(Debug)]
struct Departed(RwLock<Box<[AtomicU64]>>);

impl Departed {
    /// Of a cache with room for so many entries.
    fn new(entries: u64) -> Self {
        Self(RwLock::new(places(place_count(entries))))
    }

    fn len(&self) -> usize {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.len()
    }

    /// Begins anew if the cache has room for another order of entries now: less is not worth forgetting.
    fn fit(&self, entries: u64) {
        let (now, wanted) = (self.len(), place_count(entries));
        if now / 2 > wanted || now < wanted / 2 {
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            *current = places(wanted);
        }
    }

    fn at<T>(&self, key_hash: &Digest, origin: u64, look: impl FnOnce(&AtomicU64, u64) -> T) -> T {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let [.., a, b, c, d, e, f, g, h] = *key_hash;
        let mark = u64::from_be_bytes([a, b, c, d, e, f, g, h]).wrapping_add(origin) | 1;
        look(&places[(mark >> 1) as usize & (places.len() - 1)], mark)
    }

    fn note(&self, key_hash: &Digest, origin: u64) {
        self.at(key_hash, origin, |place, mark| {
            place.store(mark, Ordering::Relaxed);
        });
    }

    fn has(&self, key_hash: &Digest, origin: u64) -> bool {
        self.at(key_hash, origin, |place, mark| {
            place.load(Ordering::Relaxed) == mark
        })
    }
}

/// Entries that a cache is laid out for at first.
fn entries_guessed(bytes_max: u64) -> u64 {
    (bytes_max / ENTRY_BYTES_GUESSED).min(1 << 20)
}

fn place_count(entries: u64) -> usize {
    let places = (entries / NEAR_PART).clamp(64, NEAR_ENTRIES_MAX);
    places.next_power_of_two() as usize
}

fn places(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Notes what leaves, and frees it when the cache's own lock is given back.
#[derive(Clone, Debug)]
struct NotesDeparted(Arc<Departed>);

impl Lifecycle<Digest, Kept> for NotesDeparted {
    type RequestState = [Bytes; 2];

    fn begin_request(&self) -> Self::RequestState {
        Default::default()
    }

    /// Not called for an entry that another one of its key takes over.
    fn before_evict(&self, _: &mut Self::RequestState, key_hash: &Digest, kept: &mut Kept) {
        self.0.note(key_hash, kept.origin);
    }

    fn on_evict(&self, state: &mut Self::RequestState, _: Digest, kept: Kept) {
        let free = state.iter_mut().find(|held| held.is_empty());
        if let Some(free) = free {
            *free = kept.value;
        }
    }
}

type Values = Cache<Digest, Kept, ByBytes, BuildHasherDefault<TailHasher>, NotesDeparted>;

/// Values by key, one of each.
#[derive(Debug)]
pub struct ValueCache {
    values: Values,
    departed: Arc<Departed>,
    bytes_max: AtomicU64,
}

impl ValueCache {
    /// With room for so many bytes, what the entries themselves take included; 0 for no cache.
    pub fn new(bytes_max: u64) -> Self {
        let entries = entries_guessed(bytes_max);
        let departed = Arc::new(Departed::new(entries));
        let hasher = BuildHasherDefault::default();
        let notes = NotesDeparted(departed.clone());
        Self {
            values: Cache::with(entries as usize, bytes_max, ByBytes, hasher, notes),
            departed,
            bytes_max: AtomicU64::new(bytes_max),
        }
    }

    /// Bytes that it may take.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// More or less room from now on.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.departed.fit(bytes_max / self.entry_bytes());
        self.values.set_capacity(bytes_max);
    }

    /// What an entry weighs on average, bytes.
    fn entry_bytes(&self) -> u64 {
        match self.values.len() as u64 {
            0 => ENTRY_BYTES_GUESSED,
            entries => (self.values.weight() / entries).max(1),
        }
    }

    /// How much more room near misses stand for, bytes: that of the entries remembered, if they weighed what those do
    /// that are here. Asked for once a window, which is also when as many are remembered as these weights call for.
    pub fn near_bytes(&self) -> u64 {
        let entry_bytes = self.entry_bytes();
        let near_bytes = (self.departed.len() as u64).saturating_mul(entry_bytes);
        self.departed.fit(self.bytes_max() / entry_bytes);
        near_bytes
    }

    /// Whether the value of a leaf, which is not here, left not long ago.
    pub fn is_near_miss(&self, leaf: &Leaf) -> bool {
        self.departed.has(&leaf.key_hash, leaf.origin)
    }

    /// The value that a key had at all of some versions, if it is here and was seen at one of them.
    pub fn get(&self, key_hash: &Digest, at: RangeInclusive<u64>) -> Option<Kept> {
        if self.bytes_max() == 0 {
            return None;
        }
        let kept = self.values.get(key_hash)?;
        (kept.origin <= *at.end() && kept.seen >= *at.start()).then_some(kept)
    }

    /// Keeps the value of a leaf that was seen at a version, unless what is here of the key was seen later.
    pub fn keep(&self, leaf: &Leaf, seen: u64, value: &Bytes) {
        let seen_later = |kept: Kept| kept.seen > seen;
        if self.bytes_max() == 0 || self.values.peek(&leaf.key_hash).is_some_and(seen_later) {
            return;
        }
        let kept = Kept {
            origin: leaf.origin,
            seen,
            value: value.clone(),
        };
        self.values.insert(leaf.key_hash, kept);
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

    fn is_here(cache: &ValueCache, key: u64, origin: u64) -> bool {
        value_of(cache, &leaf(key, origin), origin..=origin).is_some()
    }

    fn value_of(cache: &ValueCache, leaf: &Leaf, at: RangeInclusive<u64>) -> Option<Bytes> {
        cache.get(&leaf.key_hash, at).map(|kept| kept.value)
    }

    #[test]
    fn a_value_is_that_of_the_versions_from_its_origin_to_where_it_was_seen() {
        let cache = ValueCache::new(1 << 20);
        let leaf = leaf(1, 7);
        cache.keep(&leaf, 9, &"v".into());
        for at in [7..=7, 8..=8, 9..=9, 0..=7, 9..=20, 8..=20, 0..=20] {
            assert_eq!(value_of(&cache, &leaf, at), Some("v".into()));
        }
        // Before it was written, and after it was seen, the key may have had any other.
        for at in [0..=6, 6..=6, 10..=10, 10..=20] {
            assert_eq!(value_of(&cache, &leaf, at), None);
        }
    }

    #[test]
    fn of_one_key_the_value_that_was_seen_last_stays() {
        let cache = ValueCache::new(1 << 20);
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        cache.keep(&leaf(1, 9), 9, &"nine".into());
        // Who reads an older version does not push the present out.
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        assert_eq!(value_of(&cache, &leaf(1, 9), 9..=9), Some("nine".into()));
        assert_eq!(value_of(&cache, &leaf(1, 7), 7..=8), None);
        assert_eq!(value_of(&cache, &leaf(2, 9), 9..=9), None);
        // Seen anew, it is known up to now.
        cache.keep(&leaf(1, 9), 12, &"nine".into());
        assert_eq!(value_of(&cache, &leaf(1, 9), 11..=11), Some("nine".into()));
    }

    #[test]
    fn what_another_value_of_its_key_takes_over_has_not_left_for_want_of_room() {
        let cache = ValueCache::new(1 << 20);
        cache.keep(&leaf(1, 7), 8, &"seven".into());
        cache.keep(&leaf(1, 7), 9, &"seven".into());
        cache.keep(&leaf(1, 10), 10, &"ten".into());
        assert!(!cache.is_near_miss(&leaf(1, 7)));
    }

    #[test]
    fn it_stays_within_its_budget_and_without_one_it_keeps_nothing() {
        let cache = ValueCache::new(100_000);
        for key in 0..10_000 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 100]));
        }
        let kept = (0..10_000).filter(|key| is_here(&cache, *key, 1));
        let kept = kept.count() as u64;
        assert!(
            kept > 100 && kept * (100 + ENTRY_BYTES) <= 100_000,
            "{kept}"
        );

        // Moved, it keeps to what it may take now.
        cache.set_bytes_max(50_000);
        let kept = (0..10_000).filter(|key| is_here(&cache, *key, 1));
        assert!(kept.count() as u64 * (100 + ENTRY_BYTES) <= 50_000);

        let none = ValueCache::new(0);
        none.keep(&leaf(1, 1), 1, &"v".into());
        assert!(!is_here(&none, 1, 1));
    }

    #[test]
    fn what_left_last_is_a_near_miss_and_what_never_was_is_none() {
        let cache = ValueCache::new(200_000);
        for key in 0..1_000 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 100]));
        }
        let away: Vec<u64> = (0..1_000).filter(|key| !is_here(&cache, *key, 1)).collect();
        let near = away
            .iter()
            .filter(|key| cache.is_near_miss(&leaf(**key, 1)));
        // 128 places, of which some are taken over and some hold what came back.
        assert!((48..=128).contains(&near.count()));
        assert!((1_000..2_000).all(|key| !cache.is_near_miss(&leaf(key, 1))));

        // With four times the room, four times as many are remembered.
        cache.set_bytes_max(800_000);
        for key in 0..4_000 {
            cache.keep(&leaf(key, 2), 2, &Bytes::from(vec![0; 100]));
        }
        let away = (0..4_000).filter(|key| !is_here(&cache, *key, 2));
        let near = away.filter(|key| cache.is_near_miss(&leaf(*key, 2)));
        assert!((200..=512).contains(&near.count()));
    }

    #[test]
    fn of_large_values_as_many_are_remembered_as_an_eighth_holds() {
        let bytes_max = 4 << 20;
        let cache = ValueCache::new(bytes_max);
        let fill = |origin| {
            for key in 0..4_000 {
                cache.keep(&leaf(key, origin), origin, &Bytes::from(vec![0; 4096]));
            }
        };
        fill(1);
        // What was remembered up to now was laid out for smaller ones, and is called what it was.
        assert!(cache.near_bytes() > bytes_max);
        let near_bytes = cache.near_bytes();
        assert!((bytes_max / 16..=bytes_max / 4).contains(&near_bytes));
        // As few they stay, and it is so many misses that are near.
        fill(2);
        assert_eq!(cache.near_bytes(), near_bytes);
        let away = (0..4_000).filter(|key| !is_here(&cache, *key, 2));
        let near = away.filter(|key| cache.is_near_miss(&leaf(*key, 2)));
        let near = near.count() as u64 * (4096 + ENTRY_BYTES);
        assert!((near_bytes / 3..=near_bytes).contains(&near), "{near}");
    }

    #[test]
    fn of_a_huge_cache_less_than_an_eighth_is_remembered_and_no_more_is_claimed() {
        let bytes_max = 4 << 30;
        let cache = ValueCache::new(bytes_max);
        for key in 0..100 {
            cache.keep(&leaf(key, 1), 1, &Bytes::from(vec![0; 128]));
        }
        assert_eq!(cache.near_bytes(), NEAR_ENTRIES_MAX * 320);
        assert!(cache.near_bytes() < bytes_max / 100);
    }
}
