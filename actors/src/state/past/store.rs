//! Storing versions, as a step of a checkpoint: before the log is trimmed and before the leaf store changes.
//!
//! One ingestion has everything, in the order of keys: the keys that were deleted, what each version replaced at key hashes, what it replaced of
//! digests, and the versions themselves. So a version is stored as a whole or not at all, and storing it again is
//! harmless.

use std::iter::Peekable;
use std::ops::ControlFlow;
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
use super::{Past, PastBounds, deleted_keys};
use crate::state::layer::Layer;

/// The number of effects that are sorted at once.
const RANGE_EFFECTS: usize = 4096;

/// The options of storing versions.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The bounds of the archive, which determine the size of segments.
    pub bounds: PastBounds,
    /// The time, milliseconds since 1970.
    pub now_ms: u64,
    /// True if there is an index of keys: then deleted keys are stored for ranges.
    pub has_key_order: bool,
}

impl Past {
    /// Stores all versions up to one that are not stored yet. `layers` are those after the leaf store, whose state
    /// `leaves` shows; `in_memory` returns a version that memory still keeps. Keys that were deleted are stored for ranges
    /// if there is an index of keys.
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
        options: &StoreOptions,
    ) -> Result<(), LeafStoreError> {
        let next = self.next();
        if up_to < next {
            return Ok(());
        }
        let mut versions = Vec::with_capacity((up_to - next + 1) as usize);
        for number in next..=up_to {
            // A version leaves one place only after it was added to the other.
            let found = in_memory(number).or_else(|| self.recent.read().get(number));
            let mut version = found.ok_or_else(|| missing(number))?;
            version.began = self.began;
            versions.push(version);
        }
        let replaced = self.replaced(reader, next, up_to);
        let last_ms = versions.last().map_or(0, |version| version.durable_ms);
        let segment = self
            .segments
            .read()
            .to_write(next, &options.bounds, options.now_ms);
        let values = ReplacedValues::new(layers, leaves, next);
        let digests = digest_entries(&replaced);
        let records = versions.iter().map(|version| {
            let key = version_key(version.record.version).to_vec();
            Ok((key, encode_version(version)))
        });
        let deleted = match options.has_key_order {
            true => layers,
            false => &[],
        };
        let deleted = deleted_keys::entries(deleted, next);
        let mut entries = deleted.chain(values).chain(digests).chain(records);
        let store = self.store()?;
        store.ingest(segment, &mut entries)?;
        store.sync()?;
        self.publish_stored(&store.segments()?, (segment, last_ms), up_to);
        Ok(())
    }

    /// Shows the stored entries to readers, and then frees the recent versions.
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
        // There was nothing before the first version.
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

/// The position of an effect: key hash, version, layer and index.
type Place = (Digest, u64, u32, u32);

/// The number of leaves that a scan may pass for each wanted one; with more, point reads are cheaper.
const PASSED_LEAVES_MAX: usize = 8;
/// The bytes of keys and values that a scan reads ahead.
const SCAN_BYTES_MAX: usize = 8 << 20;
/// The number of ranges that are read point by point after a scan that passed too many leaves.
const SPARSE_RANGES: u32 = 32;

/// The leaves before the effects of a range, in the order of key hashes: scanned where they are dense.
struct OldLeaves<'a> {
    leaves: &'a dyn LeafSnapshot,
    /// The contents of entries that a scan has read.
    found: Peekable<IntoIter<(Digest, Vec<u8>)>>,
    /// The end of the scanned key hashes; `None` if the whole range was scanned.
    scanned_before: Option<Digest>,
    /// The number of ranges that are not scanned.
    skipped: u32,
}

impl OldLeaves<'_> {
    /// Scans from the first to the last of some key hashes, which ascend and may repeat.
    fn read_range(&mut self, places: &[Place]) -> Result<(), LeafStoreError> {
        self.found = Vec::new().into_iter().peekable();
        self.scanned_before = Some([0; 32]);
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(());
        };
        if self.skipped > 0 {
            self.skipped -= 1;
            return Ok(());
        }
        let (mut wanted, mut passed, mut bytes) = (places.iter().peekable(), 0, 0);
        let (mut found, mut stopped) = (Vec::with_capacity(places.len()), None);
        self.leaves
            .scan(first.0..=last.0, &mut |key_hash, key, value| {
                passed += 1;
                if passed > PASSED_LEAVES_MAX * places.len() || bytes > SCAN_BYTES_MAX {
                    stopped = Some(*key_hash);
                    return ControlFlow::Break(());
                }
                while wanted.next_if(|place| place.0 < *key_hash).is_some() {}
                if wanted.peek().is_some_and(|place| place.0 == *key_hash) {
                    let mut content = Vec::with_capacity(4 + key.len() + value.len());
                    encode_leaf(Some(LeafRef { key, value }), &mut content);
                    bytes += content.len();
                    found.push((*key_hash, content));
                }
                ControlFlow::Continue(())
            })?;
        if stopped.is_some() && bytes <= SCAN_BYTES_MAX {
            self.skipped = SPARSE_RANGES;
        }
        self.found = found.into_iter().peekable();
        self.scanned_before = stopped;
        Ok(())
    }

    /// Returns the content of the entry about a key hash of the range. Key hashes must be requested in order.
    fn content(&mut self, key_hash: &Digest) -> Result<Vec<u8>, LeafStoreError> {
        let mut content = Vec::new();
        if self.scanned_before.is_some_and(|end| *key_hash >= end) {
            let leaf = self.leaves.get(key_hash)?;
            encode_leaf(leaf.as_ref().map(|leaf| leaf.borrowed()), &mut content);
            return Ok(content);
        }
        while self.found.next_if(|(found, _)| found < key_hash).is_some() {}
        if let Some((_, content)) = self.found.next_if(|(found, _)| found == key_hash) {
            return Ok(content);
        }
        encode_leaf(None, &mut content);
        Ok(content)
    }
}

/// The entries about key hashes: the state before each effect of the versions from `next` on.
struct ReplacedValues<'a> {
    layers: &'a [Arc<Layer>],
    old: OldLeaves<'a>,
    next: u64,
    /// The number of effects read from each layer.
    read: Vec<usize>,
    range: u64,
    ranges: u64,
    places: Peekable<IntoIter<Place>>,
    /// The effect before the next one, if it has the same key hash.
    before: Option<Place>,
}

impl<'a> ReplacedValues<'a> {
    fn new(layers: &'a [Arc<Layer>], leaves: &'a dyn LeafSnapshot, next: u64) -> Self {
        let effects: usize = layers.iter().map(|layer| layer.effects().len()).sum();
        Self {
            layers,
            old: OldLeaves {
                leaves,
                found: Vec::new().into_iter().peekable(),
                scanned_before: None,
                skipped: 0,
            },
            next,
            read: vec![0; layers.len()],
            range: 0,
            ranges: effects.div_ceil(RANGE_EFFECTS) as u64,
            places: Vec::new().into_iter().peekable(),
            before: None,
        }
    }

    /// Reads the effects of the next range of key hashes from every layer.
    fn read_range(&mut self) -> Result<(), LeafStoreError> {
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
        self.old.read_range(&places)?;
        self.places = places.into_iter().peekable();
        Ok(())
    }

    fn next_place(&mut self) -> Result<Option<Place>, LeafStoreError> {
        while self.places.peek().is_none() {
            if self.range == self.ranges {
                return Ok(None);
            }
            self.read_range()?;
        }
        Ok(self.places.next())
    }

    fn effect(&self, (_, _, layer, index): Place) -> Effect<'a> {
        self.layers[layer as usize].effect(index as usize)
    }

    /// Returns the entry about the state that an effect replaced.
    fn entry(&mut self, place: Place, before: Option<Place>) -> Result<PastEntry, LeafStoreError> {
        let (key_hash, version, ..) = place;
        let content = match before {
            Some(before) => {
                let mut content = Vec::new();
                let Effect { key, change, .. } = self.effect(before);
                encode_leaf(change.map(|value| LeafRef { key, value }), &mut content);
                content
            }
            None => self.old.content(&key_hash)?,
        };
        Ok((value_key(&key_hash, version).to_vec(), content))
    }
}

impl Iterator for ReplacedValues<'_> {
    type Item = Result<PastEntry, LeafStoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = match self.next_place() {
                Ok(place) => place?,
                Err(error) => return Some(Err(error)),
            };
            let before = self.before.replace(place);
            let before = before.filter(|before| before.0 == place.0);
            // Versions before `next` are stored already.
            if place.1 >= self.next {
                return Some(self.entry(place, before));
            }
        }
    }
}
