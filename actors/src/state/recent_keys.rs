//! The keys that layers in memory have put, in byte order: what the index of the leaf store may not have yet.
//!
//! Only readers of ranges need them. So the keys of a layer are added by the first of those readers that meets it, and
//! commits pay nothing. The keys are candidates: some have no value at the version of the reader, who looks each up.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use trunkline_core::store::key_index::KeyScan;

use super::layer::Layer;

/// Assumed bytes of a key in memory: an entry of a node that is half full, and the key's own allocation.
const KEY_BYTES_GUESSED: usize = 144;

/// Keys that were put by versions whose layers are in memory.
#[derive(Debug, Default)]
pub struct RecentKeys {
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Each key, and the last version that put it.
    keys: BTreeMap<Bytes, u64>,
    /// The last version whose keys were added.
    added: u64,
    /// The last version whose layer was freed.
    freed: u64,
}

impl RecentKeys {
    /// Returns about how many bytes the keys take in memory.
    pub fn memory_bytes(&self) -> usize {
        self.recent.lock().keys.len() * KEY_BYTES_GUESSED
    }

    /// Adds the keys of layers that were not added yet, and passes all keys within a range to `visit`, until it returns
    /// false. `layers` returns the layers after a version, oldest first.
    pub fn scan(
        &self,
        layers: impl FnOnce(u64) -> Vec<Arc<Layer>>,
        scan: &KeyScan<'_>,
        mut visit: impl FnMut(&Bytes) -> bool,
    ) {
        let recent = &mut *self.recent.lock();
        for layer in layers(recent.added) {
            recent.add(&layer);
        }
        if scan.is_empty() {
            return;
        }
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (scan.lower, scan.upper);
        let mut range = recent.keys.range::<[u8], _>(bounds);
        let next = || match scan.is_reverse {
            true => range.next_back(),
            false => range.next(),
        };
        for (key, _) in std::iter::from_fn(next) {
            if !visit(key) {
                return;
            }
        }
    }

    /// Frees the keys that no version after `version` has put: every view of the leaf store that is still read has them
    /// in its index, or has them deleted.
    pub fn forget(&self, version: u64) {
        let recent = &mut *self.recent.lock();
        if version > recent.freed {
            recent.freed = version;
            recent.keys.retain(|_, put| *put > version);
        }
    }
}

impl Recent {
    fn add(&mut self, layer: &Layer) {
        self.added = layer.version;
        if layer.version <= self.freed {
            return;
        }
        for effect in layer.effects() {
            if effect.change.is_none() {
                continue;
            }
            match self.keys.get_mut(effect.key) {
                Some(put) => *put = layer.version,
                // A copy: the key in its batch would keep all of the batch in memory.
                None => {
                    let key = Bytes::copy_from_slice(effect.key);
                    self.keys.insert(key, layer.version);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_core::batch::{Batch, BatchLimits};
    use trunkline_core::params::TreeParams;

    use super::*;
    use crate::state::layer::Part;

    fn layer(version: u64, puts: &[&str], deletes: &[&str]) -> Arc<Layer> {
        let mut batch = Batch::new();
        for key in puts {
            batch.put(key, "value");
        }
        for key in deletes {
            batch.delete(key);
        }
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        let part = Part::whole(Arc::new(prepared.unwrap()));
        Arc::new(Layer::new(version, vec![part]))
    }

    fn all(recent: &RecentKeys, layers: &[Arc<Layer>]) -> Vec<Bytes> {
        let scan = KeyScan {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            is_reverse: false,
        };
        let after = |version| {
            let later = layers.iter().filter(|layer| layer.version > version);
            later.cloned().collect()
        };
        let mut keys = Vec::new();
        recent.scan(after, &scan, |key| {
            keys.push(key.clone());
            true
        });
        keys
    }

    #[test]
    fn keys_stay_until_the_layer_of_their_last_put_is_freed() {
        let recent = RecentKeys::default();
        let layers = [layer(1, &["c", "a"], &[]), layer(2, &["b", "c"], &["a"])];
        assert_eq!(all(&recent, &layers), ["a", "b", "c"]);
        recent.forget(1);
        assert_eq!(all(&recent, &layers[1..]), ["b", "c"]);
        recent.forget(2);
        assert!(all(&recent, &[]).is_empty());
    }

    #[test]
    fn a_layer_that_was_freed_before_it_was_added_adds_nothing() {
        let recent = RecentKeys::default();
        recent.forget(1);
        assert!(all(&recent, &[layer(1, &["a"], &[])]).is_empty());
    }
}
