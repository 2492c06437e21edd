//! Values: in memory until a checkpoint covers them, then in the leaf store.
//!
//! The effects of every version stay in memory as a layer. A leaf of the tree says which version wrote it, so one look
//! tells whether its value is in that version's layer or in the leaf store. Keys that are absent are never looked up
//! here. A version reads the leaf store through the newest view that is not ahead of it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::RwLock;
use trunkline_core::hash::{Digest, ZERO, hex};
use trunkline_core::store::leaves::{LeafSnapshot, LeafStoreError};
use trunkline_core::tree::Leaf;

use crate::metrics::Metrics;
use crate::runtime::wait::yield_point;
use crate::state::cold_leaves::ScanError;
use crate::state::layer::Layer;
use crate::state::value_cache::ValueCache;

/// The maximum length of a key that a cached value may keep in memory, bytes.
const HELD_KEY_BYTES_MAX: usize = 64;

/// The leaf store as of a version.
///
/// Shutting the engine down closes all views, so that nobody keeps the store open.
pub struct StoreView {
    /// The version of the checkpoint.
    pub version: u64,
    leaves: RwLock<Option<Arc<dyn LeafSnapshot>>>,
}

impl StoreView {
    /// Creates a view.
    pub fn new(version: u64, leaves: Arc<dyn LeafSnapshot>) -> Self {
        Self {
            version,
            leaves: RwLock::new(Some(leaves)),
        }
    }

    /// Returns the leaves, for a scan.
    ///
    /// # Errors
    ///
    /// Fails if the view was closed.
    pub fn leaves(&self) -> Result<Arc<dyn LeafSnapshot>, FetchError> {
        self.leaves.read().clone().ok_or(FetchError::Closed)
    }

    fn get(&self, key_hash: &Digest) -> Result<Option<(Bytes, Bytes)>, FetchError> {
        let found = self.leaves()?.get(key_hash)?;
        Ok(found.map(|found| (found.key, found.value)))
    }
}

impl std::fmt::Debug for StoreView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoreView")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The reason for which a value was not read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The leaf store failed, or an entry in it is damaged.
    #[error(transparent)]
    Store(#[from] LeafStoreError),
    /// A range of the leaf store could not be read as leaves of the tree.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A value of a key in the tree cannot be found.
    #[error("the value at key hash {} is missing from the leaf store", hex(.0))]
    Missing(Digest),
    /// The engine was shut down.
    #[error("the engine was shut down, and the value is not in memory")]
    Closed,
}

impl FetchError {
    /// Returns whether the store was read and holds wrong content, so that reading it again cannot help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) | Self::Scan(ScanError::Store(error)) => {
                matches!(error, LeafStoreError::Damaged { .. })
            }
            Self::Scan(_) | Self::Missing(_) => true,
            Self::Closed => false,
        }
    }
}

/// The place of a leaf's value.
enum Located {
    Memory(Arc<Layer>),
    Store(Arc<StoreView>),
}

#[derive(Debug)]
struct Layers {
    /// The layers, one for each version, in ascending order without gaps.
    by_version: VecDeque<Arc<Layer>>,
    /// The view of the last checkpoint.
    store: Arc<StoreView>,
    /// All views that a reader may still hold.
    views: Vec<Weak<StoreView>>,
    unflushed_bytes: usize,
}

/// The values of all versions that can be read.
#[derive(Debug)]
pub struct Values {
    layers: RwLock<Layers>,
    /// The last version that has a layer, or that of the checkpoint before the first layer.
    newest: AtomicU64,
    /// The version of the last checkpoint.
    checkpointed: AtomicU64,
    cache: ValueCache,
    metrics: Arc<Metrics>,
}

impl Values {
    /// Starts with a view of the leaf store, no layers, and an empty cache of this many bytes.
    pub fn new(store: Arc<StoreView>, cache_bytes_max: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            newest: AtomicU64::new(store.version),
            checkpointed: AtomicU64::new(store.version),
            cache: ValueCache::new(cache_bytes_max),
            layers: RwLock::new(Layers {
                by_version: VecDeque::new(),
                views: vec![Arc::downgrade(&store)],
                store,
                unflushed_bytes: 0,
            }),
            metrics,
        }
    }

    /// Returns the bytes that the cache may take.
    pub fn cache_bytes_max(&self) -> u64 {
        self.cache.bytes_max()
    }

    /// Returns the additional bytes of cache that would have turned its near misses into hits.
    pub fn cache_near_bytes(&self) -> u64 {
        self.cache.near_bytes()
    }

    /// Sets the bytes that the cache may take.
    pub fn set_cache_bytes_max(&self, bytes: u64) {
        self.cache.set_bytes_max(bytes);
    }

    /// Adds the layer of the next version, and then makes that the newest.
    pub fn push(&self, layer: Arc<Layer>) {
        let version = layer.version;
        let mut layers = self.layers.write();
        layers.unflushed_bytes += layer.bytes();
        layers.by_version.push_back(layer);
        self.metrics.unflushed(layers.unflushed_bytes);
        drop(layers);
        self.newest.store(version, Ordering::SeqCst);
    }

    /// Returns the last version that was pushed, or that of the checkpoint if there is none.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    /// Returns the leaf store as of the last checkpoint.
    pub fn store(&self) -> Arc<StoreView> {
        self.layers.read().store.clone()
    }

    /// Returns the bytes of layers that the last checkpoint does not cover.
    pub fn unflushed_bytes(&self) -> usize {
        self.layers.read().unflushed_bytes
    }

    /// Returns the bytes of all layers.
    pub fn layers_bytes(&self) -> usize {
        let layers = &self.layers.read().by_version;
        layers.iter().map(|layer| layer.bytes()).sum()
    }

    /// Returns the bytes that the cache takes.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Returns the layers of versions after the last checkpoint, up to `version`.
    pub fn unflushed(&self, version: u64) -> Vec<Arc<Layer>> {
        let layers = self.layers.read();
        let wanted = layers.store.version + 1..=version;
        let unflushed = layers.by_version.iter();
        let unflushed = unflushed.filter(|layer| wanted.contains(&layer.version));
        unflushed.cloned().collect()
    }

    /// Returns the layers of versions after `version` that are in memory, oldest first.
    pub fn layers_after(&self, version: u64) -> Vec<Arc<Layer>> {
        let layers = &self.layers.read().by_version;
        let known = layers.partition_point(|layer| layer.version <= version);
        layers.range(known..).cloned().collect()
    }

    /// Returns the view of the last checkpoint with the layers of versions after it, up to `version`.
    pub fn layers_up_to(&self, version: u64) -> (Arc<StoreView>, Vec<Arc<Layer>>) {
        let layers = self.layers.read();
        let count = |version| {
            let is_older = |layer: &Arc<Layer>| layer.version <= version;
            layers.by_version.partition_point(is_older)
        };
        let (start, end) = (count(layers.store.version), count(version));
        let some = layers.by_version.range(start.min(end)..end);
        (layers.store.clone(), some.cloned().collect())
    }

    /// Makes the view of a finished checkpoint the one that new reads use.
    pub fn checkpointed(&self, store: Arc<StoreView>) {
        let mut layers = self.layers.write();
        let later = layers.by_version.iter();
        let later = later.filter(|layer| layer.version > store.version);
        layers.unflushed_bytes = later.map(|layer| layer.bytes()).sum();
        layers.views.retain(|view| view.strong_count() > 0);
        layers.views.push(Arc::downgrade(&store));
        self.checkpointed.store(store.version, Ordering::Relaxed);
        layers.store = store;
        self.metrics.unflushed(layers.unflushed_bytes);
    }

    /// Frees the layers up to `version`, which no reader needs any more, on the caller's thread.
    pub fn forget(&self, version: u64) {
        let mut layers = self.layers.write();
        let count = layers
            .by_version
            .partition_point(|layer| layer.version <= version);
        let forgotten: Vec<_> = layers.by_version.drain(..count).collect();
        // Freeing takes long: not under the lock.
        drop(layers);
        drop(forgotten);
    }

    /// Closes all views of the leaf store.
    pub fn close(&self) {
        let views = std::mem::take(&mut self.layers.write().views);
        for view in views.iter().filter_map(Weak::upgrade) {
            *view.leaves.write() = None;
        }
    }

    /// Returns the key and the value of a leaf that a version shows. `view` returns that version's view of the leaf
    /// store.
    ///
    /// # Errors
    ///
    /// Fails if the leaf store cannot be read, or does not have the value.
    pub fn key_and_value(
        &self,
        leaf: &Leaf,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<(Bytes, Bytes), FetchError> {
        let found = match self.locate(leaf, view)? {
            Located::Memory(layer) => {
                self.metrics.memory_hit();
                let found = layer.get(&leaf.key_hash);
                found.map(|(key, value)| (Bytes::copy_from_slice(key), value))
            }
            Located::Store(store) => {
                self.metrics.store_read();
                store.get(&leaf.key_hash)?
            }
        };
        found.ok_or(FetchError::Missing(leaf.key_hash))
    }

    /// Returns the value of a leaf that `version` shows, and caches it if it came from the leaf store. `view` returns
    /// the version's view of the leaf store.
    ///
    /// # Errors
    ///
    /// As [`Self::key_and_value`].
    pub fn value(
        &self,
        leaf: &Leaf,
        version: u64,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<Bytes, FetchError> {
        // A value that is not in the store yet cannot be in the cache.
        let checkpointed = self.checkpointed.load(Ordering::Relaxed);
        if leaf.origin <= checkpointed
            && let Some(kept) = self.cache.get(&leaf.key_hash, leaf.origin..=version)
        {
            self.metrics.cache_hit();
            // A later `seen` makes the next lookup shorter: it is enough to know that the block did not change since.
            if kept.seen < checkpointed.min(version) {
                self.cache.keep(leaf, version, &kept.value);
            }
            return Ok(kept.value);
        }
        let found = match self.locate(leaf, view)? {
            Located::Memory(layer) => {
                self.metrics.memory_hit();
                layer.get(&leaf.key_hash).map(|(_, value)| value)
            }
            Located::Store(store) => {
                self.count_miss(leaf);
                let found = store.get(&leaf.key_hash)?;
                found.map(|(key, value)| match store.version <= version {
                    true => self.keep(leaf, version, &key, value),
                    // The store may hold a later value of the key than the one that this version shows.
                    false => value,
                })
            }
        };
        found.ok_or(FetchError::Missing(leaf.key_hash))
    }

    /// Returns the value of a key that did not change at these versions, if it is in the cache. Does not count the hit.
    pub fn cached(&self, key_hash: &Digest, at: RangeInclusive<u64>) -> Option<Bytes> {
        // A value that changed after the last checkpoint is most often in memory.
        if *at.start() > self.checkpointed.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.cache.get(key_hash, at)?.value)
    }

    /// Returns the value of a key whose leaf is not in memory, as a view of the leaf store has it. Caches it under the
    /// version of the view.
    ///
    /// # Errors
    ///
    /// Fails if the leaf store cannot be read.
    pub fn evicted_value(
        &self,
        key_hash: &Digest,
        store: &StoreView,
    ) -> Result<Option<Bytes>, FetchError> {
        let version = store.version;
        if let Some(kept) = self.cache.get(key_hash, version..=version) {
            self.metrics.cache_hit();
            return Ok(Some(kept.value));
        }
        let leaf = Leaf {
            key_hash: *key_hash,
            value_hash: ZERO,
            origin: version,
        };
        self.count_miss(&leaf);
        let found = store.get(key_hash)?;
        Ok(found.map(|(key, value)| self.keep(&leaf, version, &key, value)))
    }

    /// Counts a read that missed the cache and goes to the leaf store.
    fn count_miss(&self, leaf: &Leaf) {
        self.metrics.cache_miss();
        self.metrics.store_read();
        if self.cache.is_near_miss(leaf) {
            self.metrics.cache_near_miss();
        }
    }

    /// Caches a value and returns it. Copies it first if it shares its memory with a long key.
    fn keep(&self, leaf: &Leaf, seen: u64, key: &Bytes, value: Bytes) -> Bytes {
        let value = match key.len() > HELD_KEY_BYTES_MAX {
            true => Bytes::copy_from_slice(&value),
            false => value,
        };
        self.cache.keep(leaf, seen, &value);
        value
    }

    /// Finds the place of a leaf's value. A layer is freed only after every version that shows it reads from a view that
    /// covers it. So if a layer is gone, `view` returns a newer view than before.
    fn locate(
        &self,
        leaf: &Leaf,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<Located, FetchError> {
        let mut store = view();
        while leaf.origin > store.version {
            yield_point();
            if let Some(layer) = self.layer(leaf.origin) {
                return Ok(Located::Memory(layer));
            }
            let seen = std::mem::replace(&mut store, view());
            if store.version == seen.version {
                return Err(FetchError::Missing(leaf.key_hash));
            }
        }
        Ok(Located::Store(store))
    }

    fn layer(&self, version: u64) -> Option<Arc<Layer>> {
        let layers = &self.layers.read().by_version;
        let place = version.checked_sub(layers.front()?.version)?;
        layers.get(usize::try_from(place).ok()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_apart_from_a_store_that_fails() {
        let damaged = || LeafStoreError::Damaged { key_hash: vec![1] };
        let failing = || LeafStoreError::Backend("not now".into());
        let damage = [
            FetchError::Missing([1; 32]),
            damaged().into(),
            ScanError::Misplaced([1; 32]).into(),
            ScanError::Store(damaged()).into(),
        ];
        assert!(damage.iter().all(FetchError::is_damage));
        let no_damage = [
            FetchError::Closed,
            failing().into(),
            ScanError::Store(failing()).into(),
        ];
        assert!(!no_damage.iter().any(FetchError::is_damage));
    }
}
