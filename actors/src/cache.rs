//! Values that were read from the leaf store, kept within a budget of bytes.
//!
//! An entry is named by key hash and by a version at which the key has the value: the one that wrote it,
//! which the tree knows for every key in memory, or a later one before the next write. So an entry is never
//! stale and never has to be removed; what is not asked for any more makes room for what is. Not here: values in memory that no checkpoint covers (`values`).

use std::hash::{BuildHasherDefault, Hash, Hasher};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use trunkline_core::hash::Digest;
use trunkline_core::tree::Leaf;

use crate::overlay::KeyHashHasher;

/// What an entry costs beside its value, bytes: itself, its place in the table, its allocation.
const ENTRY_BYTES: u64 = 192;
/// The size of a value that the table is laid out for at first, bytes.
const VALUE_BYTES_GUESSED: u64 = 320;

/// Which value: a key, and a version at which it has this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    key_hash: Digest,
    origin: u64,
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Other bytes than those of the path, which batches of neighbours share.
        let [.., a, b, c, d, e, f, g, h] = self.key_hash;
        let tail = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        state.write(&tail.wrapping_add(self.origin).to_le_bytes());
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Name, Bytes> for ByBytes {
    fn weight(&self, _: &Name, value: &Bytes) -> u64 {
        ENTRY_BYTES + value.len() as u64
    }
}

/// Values by key and version.
#[derive(Debug)]
pub(crate) struct ValueCache {
    values: Option<Cache<Name, Bytes, ByBytes, BuildHasherDefault<KeyHashHasher>>>,
}

impl ValueCache {
    /// With room for so many bytes, what the entries themselves take included; 0 for no cache.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = (bytes_max / VALUE_BYTES_GUESSED).min(1 << 20) as usize;
        let cache = || {
            let hasher = BuildHasherDefault::default();
            Cache::with(entries, bytes_max, ByBytes, hasher, Default::default())
        };
        Self {
            values: (bytes_max > 0).then(cache),
        }
    }

    /// The value of a leaf, if it is here.
    pub(crate) fn get(&self, leaf: &Leaf) -> Option<Bytes> {
        self.values.as_ref()?.get(&Name::of(leaf))
    }

    /// Keeps the value of a leaf.
    pub(crate) fn keep(&self, leaf: &Leaf, value: &Bytes) {
        if let Some(values) = &self.values {
            values.insert(Name::of(leaf), value.clone());
        }
    }
}

impl Name {
    fn of(leaf: &Leaf) -> Self {
        Self {
            key_hash: leaf.key_hash,
            origin: leaf.origin,
        }
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

    #[test]
    fn values_of_one_key_from_different_versions_are_told_apart() {
        let cache = ValueCache::new(1 << 20);
        cache.keep(&leaf(1, 7), &"seven".into());
        cache.keep(&leaf(1, 9), &"nine".into());
        assert_eq!(cache.get(&leaf(1, 7)), Some("seven".into()));
        assert_eq!(cache.get(&leaf(1, 9)), Some("nine".into()));
        assert_eq!(cache.get(&leaf(1, 8)), None);
        assert_eq!(cache.get(&leaf(2, 7)), None);
    }

    #[test]
    fn it_stays_within_its_budget_and_without_one_it_keeps_nothing() {
        let cache = ValueCache::new(100_000);
        for key in 0..10_000 {
            cache.keep(&leaf(key, 1), &Bytes::from(vec![0; 100]));
        }
        let kept = (0..10_000).filter(|key| cache.get(&leaf(*key, 1)).is_some());
        let kept = kept.count() as u64;
        assert!(
            kept > 100 && kept * (100 + ENTRY_BYTES) <= 100_000,
            "{kept}"
        );

        let none = ValueCache::new(0);
        none.keep(&leaf(1, 1), &"v".into());
        assert_eq!(none.get(&leaf(1, 1)), None);
    }
}
