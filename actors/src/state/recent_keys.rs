//! The keys that layers in memory have put, in byte order, which the index of the leaf store may not have yet.
//!
//! Only readers of ranges need them. So the keys of a layer are added by the first of those readers that meets it, and
//! commits pay nothing. The keys are candidates: some have no value at the version of the reader, who looks each up.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use trunkline_core::store::effect::Effect;
use trunkline_core::store::key_index::KeyScan;

use super::layer::Layer;

/// Assumed bytes of a key in memory: an entry of a node that is half full, and the key's own allocation.
const KEY_BYTES_GUESSED: usize = 144;
/// Keys that are added under one lock, while no reader scans.
const ADDED_AT_ONCE: usize = 256;

/// The keys that were put by versions whose layers are in memory.
#[derive(Debug, Default)]
pub struct RecentKeys {
    recent: RwLock<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Each key, and the last version that put it.
    keys: BTreeMap<Bytes, u64>,
    /// The last version all of whose keys were added.
    added: u64,
    /// The last version whose layer was freed.
    freed: u64,
}

impl RecentKeys {
    /// Returns about how many bytes the keys take in memory.
    pub fn memory_bytes(&self) -> usize {
        self.recent.read().keys.len() * KEY_BYTES_GUESSED
    }

    /// Passes the keys within a range to `visit` that versions up to `version` have put, and perhaps some of later ones,
    /// until it returns false. Adds keys that were not added yet: `layers` returns the layers after a version, oldest
    /// first. Readers whose keys were added do not wait for others.
    pub fn scan(
        &self,
        version: u64,
        layers: impl FnOnce(u64) -> Vec<Arc<Layer>>,
        scan: &KeyScan<'_>,
        mut visit: impl FnMut(&Bytes) -> bool,
    ) {
        let mut recent = self.recent.read();
        if recent.added.max(recent.freed) < version {
            drop(recent);
            self.add(version, layers);
            recent = self.recent.read();
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

    /// Adds the keys of all layers that were not added yet. One thread does, and others that need the keys wait.
    fn add(&self, version: u64, layers: impl FnOnce(u64) -> Vec<Arc<Layer>>) {
        let mut recent = self.recent.upgradable_read();
        for layer in layers(recent.added) {
            let puts = layer.effects().filter(|effect| effect.change.is_some());
            let puts: Vec<Effect<'_>> = puts.collect();
            for some in puts.chunks(ADDED_AT_ONCE) {
                recent.with_upgraded(|recent| recent.add(layer.version, some));
            }
            recent.with_upgraded(|recent| recent.added = layer.version);
        }
        // Their layers were freed before they were added.
        recent.with_upgraded(|recent| recent.added = recent.added.max(version));
    }

    /// Frees the keys that no version after `version` has put: every view of the leaf store that is still read has them
    /// in its index, or has them deleted.
    pub fn forget(&self, version: u64) {
        let recent = &mut *self.recent.write();
        if version > recent.freed {
            recent.freed = version;
            recent.keys.retain(|_, put| *put > version);
        }
    }
}

impl Recent {
    fn add(&mut self, version: u64, puts: &[Effect<'_>]) {
        if version <= self.freed {
            return;
        }
        for effect in puts {
            match self.keys.get_mut(effect.key) {
                Some(put) => *put = version,
                // A copy: the key in its batch would keep the whole batch in memory.
                None => {
                    let key = Bytes::copy_from_slice(effect.key);
                    self.keys.insert(key, version);
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
        let newest = layers.last().map_or(0, |layer| layer.version);
        recent.scan(newest, after, &scan, |key| {
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

    #[test]
    fn a_reader_whose_keys_were_added_asks_for_no_layers_and_scans_while_another_does() {
        let (recent, layers) = (RecentKeys::default(), [layer(1, &["a", "b"], &[])]);
        assert_eq!(all(&recent, &layers).len(), 2);
        let scan = KeyScan {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
            is_reverse: false,
        };
        let none = |_| unreachable!("version 1 was added");
        let mut seen = Vec::new();
        recent.scan(1, none, &scan, |outer| {
            // Neither waits for the other.
            recent.scan(0, none, &scan, |inner| {
                seen.push((outer.clone(), inner.clone()));
                true
            });
            true
        });
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_layer_of_many_keys_is_added_in_parts_and_all_of_it_is_there() {
        let keys: Vec<String> = (0..3 * ADDED_AT_ONCE + 1)
            .map(|key| format!("{key}"))
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let recent = RecentKeys::default();
        assert_eq!(all(&recent, &[layer(1, &keys, &[])]).len(), keys.len());
    }
}
