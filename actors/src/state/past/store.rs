//! Storing versions, as a step of a checkpoint: before the log is trimmed and before the leaf store changes.
//!
//! One ingestion has everything, in the order of keys: what each version replaced at key hashes, what it replaced of
//! digests, and the versions themselves. So a version is stored as a whole or not at all, and storing it again is
//! harmless.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use trunkline_core::batch::head;
use trunkline_core::hash::Digest;
use trunkline_core::store::effect::Effect;
use trunkline_core::store::leaves::{LeafRef, LeafSnapshot, LeafStoreError};
use trunkline_core::store::past::{
    PastDigest, PastEntry, PastVersion, Segment, TOP_NODE, digest_key, encode_digest, encode_leaf,
    encode_version, value_key, version_key,
};
use trunkline_core::tree::{ReplacedDigests, TreeReader};

use super::segments::Stored;
use super::{Past, PastBounds};
use crate::state::layer::Layer;

/// Effects whose order is made at once.
const RANGE_EFFECTS: usize = 4096;

impl Past {
    /// Stores all versions up to one that are not stored yet. `layers` are those after the leaf store, whose state
    /// `leaves` shows; `in_memory` returns a version that memory still keeps.
    ///
    /// # Errors
    ///
    /// Fails if the leaf store cannot be read, or if the store cannot be written. Then nothing is stored.
    pub fn store_versions(
        &self,
        up_to: u64,
        reader: &TreeReader,
        layers: &[Arc<Layer>],
        leaves: &dyn LeafSnapshot,
        in_memory: impl Fn(u64) -> Option<PastVersion>,
        (bounds, now_ms): (&PastBounds, u64),
    ) -> Result<(), LeafStoreError> {
        let next = self.next();
        if up_to < next {
            return Ok(());
        }
        let mut versions = Vec::with_capacity((up_to - next + 1) as usize);
        for number in next..=up_to {
            // A version leaves the one place only after it was added to the other.
            let found = in_memory(number).or_else(|| self.recent.read().get(number));
            let mut version = found.ok_or_else(|| missing(number))?;
            version.began = self.began;
            versions.push(version);
        }
        let replaced = self.replaced(reader, next, up_to);
        let last_ms = versions.last().map_or(0, |version| version.durable_ms);
        let segment = self.segments.read().to_write(next, bounds, now_ms);
        let values = ReplacedValues::new(layers, leaves, next);
        let digests = digest_entries(&replaced);
        let records = versions.iter().map(|version| {
            let key = version_key(version.record.version).to_vec();
            Ok((key, encode_version(version)))
        });
        let mut entries = values.chain(digests).chain(records);
        let store = self.store()?;
        store.ingest(segment, &mut entries)?;
        store.sync()?;
        self.publish_stored(&store.segments()?, (segment, last_ms), up_to);
        Ok(())
    }

    /// Lets readers see what was stored, and then frees the recent versions.
    fn publish_stored(&self, sizes: &[Segment], (segment, last_ms): (u64, u64), up_to: u64) {
        let mut segments = self.segments.write();
        if segments
            .stored
            .last()
            .is_none_or(|last| last.first != segment)
        {
            segments.stored.push(Stored {
                first: segment,
                bytes: 0,
                last_ms,
            });
        }
        for stored in &mut segments.stored {
            let size = sizes.iter().find(|size| size.number == stored.first);
            stored.bytes = size.map_or(stored.bytes, |size| size.bytes);
        }
        if let Some(last) = segments.stored.last_mut() {
            last.last_ms = last_ms;
        }
        drop(segments);
        self.next.store(up_to + 1, Ordering::SeqCst);
        self.recent.write().forget_before(up_to + 1);
        self.show_metrics();
    }

    /// Returns the digests that versions replaced: captured, or still in the tree.
    fn replaced(&self, reader: &TreeReader, next: u64, up_to: u64) -> Vec<ReplacedDigests> {
        let recent = self.recent.read();
        let captured = recent.replaced_after(next.saturating_sub(1));
        let captured = captured.take_while(|replaced| replaced.version <= up_to);
        let mut replaced: Vec<_> = captured.cloned().collect();
        let from = recent.captured().max(next.saturating_sub(1)) + 1;
        if from <= up_to {
            replaced.extend(reader.replaced(from..=up_to));
        }
        // Nothing was there before the first version.
        replaced.retain(|replaced| replaced.version > self.began);
        replaced
    }
}

fn missing(version: u64) -> LeafStoreError {
    let message = format!("version {version} is neither in memory nor stored");
    LeafStoreError::Backend(message.into())
}

/// Returns the entries of digests, in the order of their keys.
fn digest_entries(
    replaced: &[ReplacedDigests],
) -> impl Iterator<Item = Result<PastEntry, LeafStoreError>> {
    let mut all: Vec<([u8; 11], PastDigest)> = Vec::new();
    for replaced in replaced {
        let version = replaced.version;
        let tops = replaced.tops.iter();
        all.extend(tops.map(|(slot, top)| (digest_key(*slot, TOP_NODE, version), *top)));
        let nodes = replaced.nodes.iter();
        all.extend(nodes.map(|(slot, node, digest)| (digest_key(*slot, *node, version), *digest)));
    }
    all.sort_unstable_by_key(|(key, _)| *key);
    let entry =
        |(key, digest): ([u8; 11], PastDigest)| Ok((key.to_vec(), encode_digest(&digest).to_vec()));
    all.into_iter().map(entry)
}

/// An effect by its place: key hash, version, layer and index.
type Place = (Digest, u64, u32, u32);

/// The entries about key hashes: what was there before each effect of the versions from `next` on.
struct ReplacedValues<'a> {
    layers: &'a [Arc<Layer>],
    leaves: &'a dyn LeafSnapshot,
    next: u64,
    /// How far each layer is read.
    read: Vec<usize>,
    range: u64,
    ranges: u64,
    places: Peekable<IntoIter<Place>>,
    /// The effect before the next one, if it is of the same key hash.
    before: Option<Place>,
}

impl<'a> ReplacedValues<'a> {
    fn new(layers: &'a [Arc<Layer>], leaves: &'a dyn LeafSnapshot, next: u64) -> Self {
        let effects: usize = layers.iter().map(|layer| layer.effects().len()).sum();
        Self {
            layers,
            leaves,
            next,
            read: vec![0; layers.len()],
            range: 0,
            ranges: effects.div_ceil(RANGE_EFFECTS) as u64,
            places: Vec::new().into_iter().peekable(),
            before: None,
        }
    }

    /// Reads the effects of the next range of key hashes from every layer.
    fn read_range(&mut self) {
        let mut places = Vec::with_capacity(2 * RANGE_EFFECTS);
        for (index, (layer, read)) in self.layers.iter().zip(&mut self.read).enumerate() {
            let count = layer.effects().len();
            while *read < count {
                let key_hash = layer.key_hash(*read);
                let range = (u128::from(head(key_hash)) * u128::from(self.ranges)) >> u64::BITS;
                if range as u64 != self.range {
                    break;
                }
                places.push((*key_hash, layer.version, index as u32, *read as u32));
                *read += 1;
            }
        }
        places.sort_unstable();
        self.range += 1;
        self.places = places.into_iter().peekable();
    }

    fn next_place(&mut self) -> Option<Place> {
        while self.places.peek().is_none() {
            if self.range == self.ranges {
                return None;
            }
            self.read_range();
        }
        self.places.next()
    }

    fn effect(&self, (_, _, layer, index): Place) -> Effect<'a> {
        self.layers[layer as usize].effect(index as usize)
    }

    /// Returns the entry about what an effect replaced.
    fn entry(&self, place: Place, before: Option<Place>) -> Result<PastEntry, LeafStoreError> {
        let (key_hash, version, ..) = place;
        let mut content = Vec::new();
        match before {
            Some(before) => {
                let Effect { key, change, .. } = self.effect(before);
                encode_leaf(change.map(|value| LeafRef { key, value }), &mut content);
            }
            None => {
                let leaf = self.leaves.get(&key_hash)?;
                encode_leaf(leaf.as_ref().map(|leaf| leaf.borrowed()), &mut content);
            }
        }
        Ok((value_key(&key_hash, version).to_vec(), content))
    }
}

impl Iterator for ReplacedValues<'_> {
    type Item = Result<PastEntry, LeafStoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = self.next_place()?;
            let before = self.before.replace(place);
            let before = before.filter(|before| before.0 == place.0);
            // Versions before `next` are stored already.
            if place.1 >= self.next {
                return Some(self.entry(place, before));
            }
        }
    }
}
