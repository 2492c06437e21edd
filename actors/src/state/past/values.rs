//! Keys and values that a past version saw.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::hash::{Digest, hash};
use trunkline_core::store::effect::Effect;
use trunkline_core::store::past::{PastKey, decode_leaf, value_key};
use trunkline_core::tree::Leaf;

use super::{Past, PastError};
use crate::state::layer::Layer;
use crate::state::values::{FetchError, StoreView, Values};

/// The bytes of keys and values that one step of a walk reads from each source.
const STEP_BYTES_MAX: usize = 256 << 10;
/// The bytes of a step that an entry without a value counts as.
const ENTRY_BYTES: usize = 64;

/// A key hash, and the key and the value there.
pub type PastPair = (Digest, (Bytes, Bytes));

/// Some keys and values in order, and the key hash at which the next ones begin.
pub type PastStep = (Vec<PastPair>, Option<Digest>);

/// The key and the value at a key hash, if there is one.
pub(super) type Found = Option<(Bytes, Bytes)>;

impl Past {
    /// Returns the key and the value at a key hash as a version saw them.
    ///
    /// # Errors
    ///
    /// Fails if the version is too old, or if a store cannot be read.
    pub fn get(
        &self,
        values: &Values,
        version: u64,
        key_hash: &Digest,
    ) -> Result<Found, PastError> {
        self.check(version)?;
        let found = self.look(values, version, key_hash);
        self.check(version)?;
        found
    }

    fn look(&self, values: &Values, version: u64, key_hash: &Digest) -> Result<Found, PastError> {
        // The view comes first: whatever is stored later has the state before.
        let (view, layers) = values.layers_up_to(version);
        for layer in layers.iter().rev() {
            if let Some(effect) = layer.find(key_hash) {
                let pair = |value| {
                    (
                        Bytes::copy_from_slice(effect.key),
                        Bytes::copy_from_slice(value),
                    )
                };
                return Ok(effect.change.map(pair));
            }
        }
        if let Some(found) = self.first_after(version, key_hash)? {
            return Ok(found);
        }
        let found = view.leaves().map_err(closed)?.get(key_hash)?;
        Ok(found.map(|leaf| (leaf.key, leaf.value)))
    }

    /// Returns the content of the first stored entry about a key hash after a version, if there is one.
    fn first_after(&self, version: u64, key_hash: &Digest) -> Result<Option<Found>, PastError> {
        let Some(after) = version.checked_add(1) else {
            return Ok(None);
        };
        let range = value_key(key_hash, after).to_vec()..=value_key(key_hash, u64::MAX).to_vec();
        let mut found = None;
        self.scan_from(after, range, &mut |_, content| {
            found = Some(decode_leaf(content).map(|leaf| {
                leaf.map(|leaf| {
                    let leaf = leaf.owned();
                    (leaf.key, leaf.value)
                })
            }));
            ControlFlow::Break(())
        })?;
        found
            .map(|leaf| leaf.ok_or_else(|| damaged(version)))
            .transpose()
    }

    /// Returns the first keys and values in a range of key hashes as a version saw them, and the key hash at which the
    /// next ones begin.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn scan(
        &self,
        values: &Values,
        version: u64,
        range: RangeInclusive<Digest>,
    ) -> Result<PastStep, PastError> {
        self.check(version)?;
        let (view, layers) = values.layers_up_to(version);
        let mut step = Step::new(version, range);
        step.read_stored(self)?;
        step.read_leaves(&view)?;
        step.read_layers(&layers);
        self.check(version)?;
        Ok(step.finish())
    }

    /// Returns the leaves in a range of key hashes as a version saw them.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn leaves(
        &self,
        values: &Values,
        version: u64,
        range: RangeInclusive<Digest>,
    ) -> Result<Vec<Leaf>, PastError> {
        let (mut leaves, end) = (Vec::new(), *range.end());
        let mut next = Some(*range.start());
        while let Some(from) = next {
            let (pairs, following) = self.scan(values, version, from..=end)?;
            leaves.extend(pairs.iter().map(|(key_hash, (_, value))| Leaf {
                key_hash: *key_hash,
                value_hash: hash(value),
                origin: 0,
            }));
            next = following;
        }
        Ok(leaves)
    }
}

/// One step of a walk. Each source is read up to a number of bytes, and the step ends where the first of them ended.
pub(super) struct Step {
    version: u64,
    pub(super) range: RangeInclusive<Digest>,
    /// The first key hash that was not read.
    next: Option<Digest>,
    /// The state that the version saw, by key hash: `None` stands for an absent key.
    pub(super) found: BTreeMap<Digest, Found>,
}

impl Step {
    pub(super) fn new(version: u64, range: RangeInclusive<Digest>) -> Self {
        Self {
            version,
            range,
            next: None,
            found: BTreeMap::new(),
        }
    }

    fn end_before(&mut self, key_hash: Digest) {
        self.next = Some(self.next.map_or(key_hash, |next| next.min(key_hash)));
    }

    pub(super) fn is_beyond(&self, key_hash: &Digest) -> bool {
        self.next.is_some_and(|next| *key_hash >= next)
    }

    /// Reads the first entry after the version of each key hash. Older segments have the earlier entries.
    pub(super) fn read_stored(&mut self, past: &Past) -> Result<(), PastError> {
        let Some(after) = self.version.checked_add(1) else {
            return Ok(());
        };
        let (start, end) = (*self.range.start(), *self.range.end());
        let keys = || value_key(&start, 0).to_vec()..=value_key(&end, u64::MAX).to_vec();
        let store = past.store()?;
        for segment in past.segments_from(after) {
            let (mut bytes, mut damage, mut last) = (0, false, None);
            let mut visit = |key: &[u8], content: &[u8]| {
                let Some(PastKey::Value { key_hash, version }) = PastKey::decode(key) else {
                    damage = true;
                    return ControlFlow::Break(());
                };
                if self.is_beyond(&key_hash) {
                    return ControlFlow::Break(());
                }
                if version < after || last == Some(key_hash) {
                    return ControlFlow::Continue(());
                }
                if bytes > STEP_BYTES_MAX {
                    self.end_before(key_hash);
                    return ControlFlow::Break(());
                }
                last = Some(key_hash);
                bytes += content.len() + ENTRY_BYTES;
                let Some(leaf) = decode_leaf(content) else {
                    damage = true;
                    return ControlFlow::Break(());
                };
                self.found.entry(key_hash).or_insert_with(|| {
                    leaf.map(|leaf| {
                        let leaf = leaf.owned();
                        (leaf.key, leaf.value)
                    })
                });
                ControlFlow::Continue(())
            };
            store.scan(segment, keys(), &mut visit)?;
            if damage {
                return Err(damaged(self.version));
            }
        }
        Ok(())
    }

    /// Reads the leaves that did not change since.
    fn read_leaves(&mut self, view: &StoreView) -> Result<(), PastError> {
        let (leaves, mut bytes) = (view.leaves().map_err(closed)?, 0);
        leaves.scan(self.range.clone(), &mut |key_hash, key, value| {
            if self.is_beyond(key_hash) {
                return ControlFlow::Break(());
            }
            if bytes > STEP_BYTES_MAX {
                self.end_before(*key_hash);
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len() + ENTRY_BYTES;
            self.found.entry(*key_hash).or_insert_with(|| {
                Some((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)))
            });
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    /// Reads the changes of versions after the leaf store and up to this one, the newest first.
    fn read_layers(&mut self, layers: &[Arc<Layer>]) {
        let mut seen = BTreeSet::new();
        let read = self.each_effect(layers.iter().rev(), |step, effect| {
            if !seen.insert(effect.key_hash) {
                return Ok(0);
            }
            let pair = |value: &[u8]| {
                (
                    Bytes::copy_from_slice(effect.key),
                    Bytes::copy_from_slice(value),
                )
            };
            step.found.insert(effect.key_hash, effect.change.map(pair));
            Ok(effect.key.len() + effect.change.map_or(0, <[u8]>::len))
        });
        debug_assert!(read.is_ok(), "reading memory does not fail");
    }

    /// Passes the effects of layers in the range to `read`, which returns how many bytes it has taken.
    pub(super) fn each_effect<'a>(
        &mut self,
        layers: impl Iterator<Item = &'a Arc<Layer>>,
        mut read: impl FnMut(&mut Self, Effect<'a>) -> Result<usize, PastError>,
    ) -> Result<(), PastError> {
        let (start, mut bytes) = (*self.range.start(), 0);
        for layer in layers {
            for effect in layer.effects_from(&start) {
                let key_hash = effect.key_hash;
                if key_hash > *self.range.end() || self.is_beyond(&key_hash) {
                    break;
                }
                if bytes > STEP_BYTES_MAX {
                    // Effects of the other layers below it are still read, and those above it are dropped.
                    self.end_before(key_hash);
                    bytes = 0;
                    break;
                }
                bytes += ENTRY_BYTES + read(self, effect)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> PastStep {
        let (found, next) = self.split();
        let present = found.into_iter();
        let present = present.filter_map(|(key_hash, pair)| Some((key_hash, pair?)));
        (present.collect(), next)
    }

    /// Returns what was found before the first key hash that is not read, and that one.
    pub(super) fn split(self) -> (Vec<(Digest, Found)>, Option<Digest>) {
        let next = self.next;
        let found = self.found.into_iter();
        let read = found.take_while(|(key_hash, _)| next.is_none_or(|next| *key_hash < next));
        (read.collect(), next)
    }
}

fn damaged(version: u64) -> PastError {
    PastError::Damaged {
        version,
        what: "an entry of a value",
    }
}

pub(super) fn closed(error: FetchError) -> PastError {
    match error {
        FetchError::Store(error) => error.into(),
        _ => PastError::Closed,
    }
}
