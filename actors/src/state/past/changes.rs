//! Key hashes that changed since a past version, with the state that the version saw.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::tree::TreeReader;

use super::values::{Found, Step, closed};
use super::{OpenedVersion, Past, PastError};
use crate::state::layer::Layer;
use crate::state::values::{StoreView, Values};

/// Some key hashes in order, each with the key and the value there, or none, and the key hash at which the next ones
/// begin.
pub type PastChanges = (Vec<(Digest, Found)>, Option<Digest>);

impl Past {
    /// Returns the ranges of key hashes of a slot in which the tree at `now`, a version that memory keeps, differs from an
    /// opened version.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn differences(
        &self,
        reader: &TreeReader,
        opened: &OpenedVersion,
        slot: usize,
        now: u64,
    ) -> Result<Vec<RangeInclusive<Digest>>, PastError> {
        let (then, top) = (opened.top(slot), reader.top_at(now, slot));
        if (then.digest, then.lone) == (top.digest, top.lone) {
            return Ok(Vec::new());
        }
        let slot = self.opened_slot(reader, opened, slot)?;
        Ok(slot.differences(reader, now))
    }

    /// Returns the first key hashes of a range that versions after one have written, with the state that the version
    /// saw, and the key hash at which the next ones begin. Some of them may have the same value as then.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn changes_since(
        &self,
        values: &Values,
        version: u64,
        range: RangeInclusive<Digest>,
    ) -> Result<PastChanges, PastError> {
        self.check(version)?;
        // The view comes first: whatever is stored later has the state before.
        let (view, layers) = values.layers_up_to(u64::MAX);
        let older = layers.partition_point(|layer| layer.version <= version);
        let (older, later) = layers.split_at(older);
        let mut step = Step::new(version, range);
        step.read_stored(self)?;
        step.read_written(later, &view)?;
        step.read_again(older);
        self.check(version)?;
        Ok(step.split())
    }
}

impl Step {
    /// Adds the writes of later layers that no entry has: the leaf store has the state before them.
    fn read_written(&mut self, later: &[Arc<Layer>], view: &StoreView) -> Result<(), PastError> {
        let leaves = view.leaves().map_err(closed)?;
        self.each_effect(later.iter(), |step, effect| {
            let key_hash = effect.key_hash;
            if step.found.contains_key(&key_hash) {
                return Ok(0);
            }
            let leaf = leaves.get(&key_hash)?;
            let bytes = leaf
                .as_ref()
                .map_or(0, |leaf| leaf.key.len() + leaf.value.len());
            let pair = leaf.map(|leaf| (leaf.key, leaf.value));
            step.found.insert(key_hash, pair);
            Ok(bytes)
        })
    }

    /// Replaces the found values by the writes of layers up to the version, the newest first.
    fn read_again(&mut self, older: &[Arc<Layer>]) {
        let (mut seen, start) = (BTreeSet::new(), *self.range.start());
        for layer in older.iter().rev() {
            for effect in layer.effects_from(&start) {
                let key_hash = effect.key_hash;
                if key_hash > *self.range.end() || self.is_beyond(&key_hash) {
                    break;
                }
                if let Some(found) = self.found.get_mut(&key_hash)
                    && seen.insert(key_hash)
                {
                    *found = effect.change.map(|value| {
                        let key = Bytes::copy_from_slice(effect.key);
                        (key, Bytes::copy_from_slice(value))
                    });
                }
            }
        }
    }
}
