//! Where values are: in memory until a checkpoint covers them, then in the leaf store.
//!
//! Every version's effects stay in memory as a layer. A leaf of the tree says which version
//! wrote it, so one look says whether its value is in that layer or in the leaf store; keys that
//! are absent never get here. Older versions read the leaf store through the snapshot that was
//! current when they became durable. Not here: what is accepted but not applied yet (`overlay`).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use bytes::Bytes;
use trunkline_core::hash::{Digest, ZERO, hex};
use trunkline_core::store::leaves::{LeafSnapshot, LeafStoreError};
use trunkline_core::tree::Leaf;

use crate::metrics::Metrics;
use crate::state::cold_leaves::ScanError;
use crate::state::layer::Layer;
use crate::state::value_cache::ValueCache;

/// Longest key that a value in the cache may hold in memory beside itself, bytes.
const HELD_KEY_BYTES_MAX: usize = 64;

/// The leaf store as of a version, until the engine is shut down: then the store is let go, whoever
/// still holds a view.
pub struct StoreView {
    pub version: u64,
    leaves: RwLock<Option<Arc<dyn LeafSnapshot>>>,
}

impl StoreView {
    pub fn new(version: u64, leaves: Arc<dyn LeafSnapshot>) -> Self {
        Self {
            version,
            leaves: RwLock::new(Some(leaves)),
        }
    }

    /// What is in it, to scan.
    pub fn leaves(&self) -> Result<Arc<dyn LeafSnapshot>, FetchError> {
        let leaves = self.leaves.read().unwrap_or_else(PoisonError::into_inner);
        leaves.clone().ok_or(FetchError::Closed)
    }

    fn get(&self, key_hash: &Digest) -> Result<(Bytes, Bytes), FetchError> {
        let found = self.find(key_hash)?;
        found.ok_or(FetchError::Missing(*key_hash))
    }

    fn find(&self, key_hash: &Digest) -> Result<Option<(Bytes, Bytes)>, FetchError> {
        let found = self.leaves()?.get(key_hash)?;
        Ok(found.map(|found| (found.key, found.value)))
    }

    fn close(&self) {
        let mut leaves = self.leaves.write().unwrap_or_else(PoisonError::into_inner);
        *leaves = None;
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

/// Why a value was not read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Store(#[from] LeafStoreError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("the value at key hash {} is missing from the leaf store", hex(.0))]
    Missing(Digest),
    #[error("the engine was shut down, and the value is not in memory")]
    Closed,
}

impl FetchError {
    /// Whether the store was read and is not what it should be, so that it won't be any more.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => is_damaged(error),
            Self::Scan(ScanError::Store(error)) => is_damaged(error),
            Self::Scan(ScanError::Misplaced(_) | ScanError::Differ(_)) | Self::Missing(_) => true,
            Self::Closed => false,
        }
    }
}

fn is_damaged(error: &LeafStoreError) -> bool {
    matches!(error, LeafStoreError::Damaged { .. })
}

#[derive(Debug)]
struct Inner {
    /// One for each version, without gaps.
    layers: VecDeque<Arc<Layer>>,
    store: Arc<StoreView>,
    /// All views that somebody may hold still.
    views: Vec<Weak<StoreView>>,
    unflushed_bytes: usize,
}

/// The values of all versions that can be read.
#[derive(Debug)]
pub struct Values {
    inner: RwLock<Inner>,
    /// The version of the last checkpoint.
    checkpointed: AtomicU64,
    cache: ValueCache,
    metrics: Arc<Metrics>,
}

impl Values {
    pub fn new(store: Arc<StoreView>, metrics: Arc<Metrics>) -> Self {
        Self {
            checkpointed: AtomicU64::new(store.version),
            cache: ValueCache::new(0),
            inner: RwLock::new(Inner {
                layers: VecDeque::new(),
                views: vec![Arc::downgrade(&store)],
                store,
                unflushed_bytes: 0,
            }),
            metrics,
        }
    }

    /// Bytes that the cache may take.
    pub fn cache_bytes_max(&self) -> u64 {
        self.cache.bytes_max()
    }

    /// How much more room in the cache its near misses stand for, bytes.
    pub fn cache_near_bytes(&self) -> u64 {
        self.cache.near_bytes()
    }

    /// More or less room in the cache from now on.
    pub fn set_cache_bytes_max(&self, bytes: u64) {
        self.cache.set_bytes_max(bytes);
    }

    /// With room for so many bytes of values that were read from the leaf store.
    pub fn with_cache(self, bytes_max: u64) -> Self {
        Self {
            cache: ValueCache::new(bytes_max),
            ..self
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the layer of the next version.
    pub fn push(&self, layer: Arc<Layer>) {
        let mut inner = self.write();
        inner.unflushed_bytes += layer.bytes();
        inner.layers.push_back(layer);
        self.metrics.unflushed(inner.unflushed_bytes);
    }

    /// The leaf store as of the last checkpoint.
    pub fn store(&self) -> Arc<StoreView> {
        self.read().store.clone()
    }

    /// Bytes that the last checkpoint does not cover.
    pub fn unflushed_bytes(&self) -> usize {
        self.read().unflushed_bytes
    }

    /// The layers of versions after the last checkpoint, up to `version`.
    pub fn unflushed(&self, version: u64) -> Vec<Arc<Layer>> {
        let inner = self.read();
        let wanted = inner.store.version + 1..=version;
        inner
            .layers
            .iter()
            .filter(|layer| wanted.contains(&layer.version))
            .cloned()
            .collect()
    }

    /// A checkpoint is done: what reads the present looks into this view from now on.
    pub fn checkpointed(&self, store: Arc<StoreView>) {
        let mut inner = self.write();
        inner.unflushed_bytes = inner
            .layers
            .iter()
            .filter(|layer| layer.version > store.version)
            .map(|layer| layer.bytes())
            .sum();
        inner.views.retain(|view| view.strong_count() > 0);
        inner.views.push(Arc::downgrade(&store));
        self.checkpointed.store(store.version, Ordering::Relaxed);
        inner.store = store;
        self.metrics.unflushed(inner.unflushed_bytes);
    }

    /// Forgets the layers up to `version`, which no reader needs any more. The caller's thread frees
    /// them, outside of the lock.
    pub fn forget(&self, version: u64) {
        let mut inner = self.write();
        let count = inner
            .layers
            .iter()
            .take_while(|layer| layer.version <= version)
            .count();
        let forgotten: Vec<_> = inner.layers.drain(..count).collect();
        drop(inner);
        drop(forgotten);
    }

    /// Lets go of the leaf store.
    pub fn close(&self) {
        let views = std::mem::take(&mut self.write().views);
        for view in views.iter().filter_map(Weak::upgrade) {
            view.close();
        }
    }

    /// The key and value of a leaf that a version shows; `view` gives that version's view of the leaf
    /// store, asked anew when a checkpoint moves it: values leave memory only after that.
    pub fn key_and_value(
        &self,
        leaf: &Leaf,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<(Bytes, Bytes), FetchError> {
        match self.locate(leaf, view)? {
            Located::Memory(layer) => {
                self.metrics.memory_hit();
                let found = layer.key_and_value(&leaf.key_hash);
                found.ok_or(FetchError::Missing(leaf.key_hash))
            }
            Located::Store(store) => {
                self.metrics.store_read();
                store.get(&leaf.key_hash)
            }
        }
    }

    /// The value of a leaf that `version` shows. What comes from the leaf store is kept in the cache.
    pub fn value(
        &self,
        leaf: &Leaf,
        version: u64,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<Bytes, FetchError> {
        // What is not in the store yet can't be in the cache.
        let checkpointed = self.checkpointed.load(Ordering::Relaxed);
        if leaf.origin <= checkpointed
            && let Some(kept) = self.cache.get(&leaf.key_hash, leaf.origin..=version)
        {
            self.metrics.cache_hit();
            // So that a probe at a block that changed up to the checkpoint is enough next time.
            if kept.seen < checkpointed.min(version) {
                self.cache.keep(leaf, version, &kept.value);
            }
            return Ok(kept.value);
        }
        match self.locate(leaf, view)? {
            Located::Memory(layer) => {
                self.metrics.memory_hit();
                let found = layer.value(&leaf.key_hash);
                found.ok_or(FetchError::Missing(leaf.key_hash))
            }
            Located::Store(store) => {
                self.miss(leaf);
                let (key, mut value) = store.get(&leaf.key_hash)?;
                // A store that is ahead of the version may hold a later value of the key.
                if store.version <= version {
                    value = self.keep(leaf, version, &key, value);
                }
                Ok(value)
            }
        }
    }

    /// Returns the value of a key that did not change at these versions, if it is in the cache. Does not count the hit.
    pub fn cached(&self, key_hash: &Digest, at: RangeInclusive<u64>) -> Option<Bytes> {
        // A value that changed after the last checkpoint is most often in memory.
        if *at.start() > self.checkpointed.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.cache.get(key_hash, at)?.value)
    }

    /// The value of a key whose leaf is not in memory: what a view of the leaf store that whoever asks
    /// may look into has, if anything. What it has is kept in the cache under the view's version.
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
        self.miss(&leaf);
        let found = store.find(key_hash)?;
        Ok(found.map(|(key, value)| self.keep(&leaf, version, &key, value)))
    }

    /// A value is not in the cache, and is read from the leaf store.
    fn miss(&self, leaf: &Leaf) {
        self.metrics.cache_miss();
        self.metrics.store_read();
        if self.cache.is_near_miss(leaf) {
            self.metrics.cache_near_miss();
        }
    }

    /// Keeps a value in the cache, by itself if it lies beside a long key.
    fn keep(&self, leaf: &Leaf, seen: u64, key: &Bytes, value: Bytes) -> Bytes {
        let value = match key.len() > HELD_KEY_BYTES_MAX {
            true => Bytes::copy_from_slice(&value),
            false => value,
        };
        self.cache.keep(leaf, seen, &value);
        value
    }

    fn locate(
        &self,
        leaf: &Leaf,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<Located, FetchError> {
        let mut store = view();
        while leaf.origin > store.version {
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
        let inner = self.read();
        let first = inner.layers.front()?.version;
        let place = usize::try_from(version.checked_sub(first)?).ok()?;
        inner.layers.get(place).cloned()
    }
}

/// Where the value of a leaf is.
enum Located {
    Memory(Arc<Layer>),
    Store(Arc<StoreView>),
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
