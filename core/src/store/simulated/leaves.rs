//! A leaf store that loses power. Not here: the disk (`disk`).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::random::SplitMix64;
use crate::hash::Digest;
use crate::store::key_index::{self, KeyChange, KeySet};
use crate::store::leaves::{
    Content, Leaf, LeafChange, LeafMap, LeafSnapshot, LeafStore, LeafStoreError, MemorySnapshot,
    apply, ascending, ascending_keys,
};

/// A leaf store in memory that loses power: an unsynced ingestion is kept completely, lost, or kept in part, entry by
/// entry.
///
/// ```
/// use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore};
/// use trunkline_core::store::simulated::SimulatedLeafStore;
/// let store = SimulatedLeafStore::default();
/// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
/// store.ingest(&mut [LeafChange { key_hash: [1; 32], leaf: Some(leaf.borrowed()) }].into_iter())?;
/// store.sync()?;
/// store.crash(7);
/// assert_eq!(store.snapshot()?.get(&[1; 32])?, Some(leaf));
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
#[derive(Default)]
pub struct SimulatedLeafStore {
    state: Mutex<LeafState>,
}

/// The seed that makes the effect of a power loss on keys independent of its effect on leaves.
const KEYS_SEED: u64 = 0x6b65_7973;

#[derive(Default)]
struct LeafState {
    visible: Content,
    durable: LeafMap,
    /// Copies of ingested changes.
    unsynced: Vec<Vec<(Digest, Option<Leaf>)>>,
    durable_keys: KeySet,
    unsynced_keys: Vec<Vec<(Bytes, bool)>>,
    failing_after: Option<u64>,
    failed: bool,
}

impl SimulatedLeafStore {
    /// Makes all calls of `ingest` and `sync` fail after `calls` more, until [`Self::crash`].
    pub fn fail_after(&self, calls: u64) {
        self.lock().failing_after = Some(calls);
    }

    /// Simulates a power loss and starts again. Snapshots stay unchanged: they belong to the past.
    pub fn crash(&self, seed: u64) {
        let state = &mut *self.lock();
        let random = &mut SplitMix64(seed);
        for ingestion in std::mem::take(&mut state.unsynced) {
            let fate = random.below(3);
            for (key_hash, leaf) in &ingestion {
                if fate == 0 || (fate == 1 && random.coin()) {
                    apply(&mut state.durable, change(key_hash, leaf));
                }
            }
        }
        state.crash_keys(seed);
        state.visible = Content {
            leaves: Arc::new(state.durable.clone()),
            keys: Arc::new(state.durable_keys.clone()),
        };
        state.failing_after = None;
        state.failed = false;
    }

    fn lock(&self) -> MutexGuard<'_, LeafState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeafState {
    /// Decides on the effect of a power loss on the index of keys, independently of the leaves.
    fn crash_keys(&mut self, seed: u64) {
        let random = &mut SplitMix64(seed ^ KEYS_SEED);
        for ingestion in std::mem::take(&mut self.unsynced_keys) {
            let fate = random.below(3);
            for (key, is_present) in ingestion {
                if fate == 0 || (fate == 1 && random.coin()) {
                    let key = &*key;
                    key_index::apply(&mut self.durable_keys, KeyChange { key, is_present });
                }
            }
        }
    }

    fn begin(&mut self) -> Result<(), LeafStoreError> {
        match &mut self.failing_after {
            None => {}
            Some(0) => self.failed = true,
            Some(calls) => *calls -= 1,
        }
        if self.failed {
            let error = io::Error::other("simulated failure of the leaf store");
            return Err(LeafStoreError::Backend(Box::new(error)));
        }
        Ok(())
    }
}

fn change<'a>(key_hash: &Digest, leaf: &'a Option<Leaf>) -> LeafChange<'a> {
    LeafChange {
        key_hash: *key_hash,
        leaf: leaf.as_ref().map(Leaf::borrowed),
    }
}

impl LeafStore for SimulatedLeafStore {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let changes = ascending(changes).collect::<Result<Vec<_>, _>>()?;
        let state = &mut *self.lock();
        let begun = state.begin();
        // A failed ingestion may take effect after a crash, completely or in part.
        let copied =
            |change: &LeafChange<'_>| (change.key_hash, change.leaf.map(|leaf| leaf.owned()));
        state.unsynced.push(changes.iter().map(copied).collect());
        begun?;
        let visible = Arc::make_mut(&mut state.visible.leaves);
        for change in changes {
            apply(visible, change);
        }
        Ok(())
    }

    fn ingest_keys(
        &self,
        changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let changes = ascending_keys(changes).collect::<Result<Vec<_>, _>>()?;
        let state = &mut *self.lock();
        let begun = state.begin();
        let copied =
            |change: &KeyChange<'_>| (Bytes::copy_from_slice(change.key), change.is_present);
        let copied = changes.iter().map(copied).collect();
        state.unsynced_keys.push(copied);
        begun?;
        let visible = Arc::make_mut(&mut state.visible.keys);
        for change in changes {
            key_index::apply(visible, change);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        let state = &mut *self.lock();
        state.begin()?;
        for (key_hash, leaf) in state.unsynced.drain(..).flatten() {
            apply(&mut state.durable, change(&key_hash, &leaf));
        }
        for (key, is_present) in state.unsynced_keys.drain(..).flatten() {
            let key = &*key;
            key_index::apply(&mut state.durable_keys, KeyChange { key, is_present });
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        Ok(Arc::new(MemorySnapshot(self.lock().visible.clone())))
    }
}
