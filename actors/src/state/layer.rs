//! The effects of one version on its keys, for readers, the log and checkpoints.
//!
//! A layer contains the batches themselves. Unless it is one batch whose writes all took effect, it also lists the
//! effective writes. Nothing is copied. `values` decides how long a layer is kept.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::batch::{PreparedBatch, find_ascending, head};
use trunkline_core::hash::Digest;
use trunkline_core::store::effect::Effect;
use trunkline_core::tree;

/// The maximum number of writes, for each effective one, in a batch that is kept whole. From other batches the
/// effective writes are copied.
const WRITES_PER_EFFECT_MAX: usize = 4;
/// The batch number in places of displaced keys.
const DISPLACED: u32 = u32::MAX;

/// A key that was removed because a newer one took its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Hash of the key.
    pub key_hash: Digest,
    /// The key.
    pub key: Bytes,
}

/// A submission of the version, and its changes.
#[derive(Clone, Debug)]
pub struct Part {
    /// The submission.
    pub batch: Arc<PreparedBatch>,
    /// The positions of its writes that changed nothing, in ascending order. All others took effect.
    pub unchanged: Vec<u32>,
    /// The keys that it displaced, in ascending order of key hashes. None of them is among the effective writes.
    pub displaced: Vec<Displaced>,
}

/// The place of an effect: a write of a batch, or a displaced key if `batch` is [`DISPLACED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    batch: u32,
    write: u32,
}

/// The effects of one version, ascending by key hash.
#[derive(Debug)]
pub struct Layer {
    /// Number of the version.
    pub version: u64,
    batches: Vec<Arc<PreparedBatch>>,
    displaced: Vec<Displaced>,
    /// The effects in order; `None` if they are all writes of the one batch.
    places: Option<Vec<Place>>,
    bytes: usize,
}

impl Layer {
    /// Creates a layer of the submissions that took effect, in their order. If several of them changed the same key,
    /// the last one counts.
    pub fn new(version: u64, mut parts: Vec<Part>) -> Self {
        parts.retain(|part| part.count() > 0);
        parts.iter_mut().for_each(Part::compact);
        let is_whole = matches!(&parts[..], [part] if part.is_whole());
        let mut layer = Self {
            version,
            batches: Vec::with_capacity(parts.len()),
            displaced: Vec::new(),
            places: None,
            bytes: 0,
        };
        let mut places = Vec::new();
        // The newest first.
        for part in parts.into_iter().rev() {
            if !is_whole {
                let batch = layer.batches.len() as u32;
                places.extend(part.writes().map(|write| Place { batch, write }));
            }
            for displaced in part.displaced {
                let (batch, write) = (DISPLACED, layer.displaced.len() as u32);
                places.push(Place { batch, write });
                layer.displaced.push(displaced);
            }
            layer.batches.push(part.batch);
        }
        // The writes of one batch are in order already.
        if layer.batches.len() > 1 || !layer.displaced.is_empty() {
            places = sorted_by_key_hash(places, |place| layer.key_hash_at(place));
        }
        layer.places = (!is_whole).then_some(places);
        layer.bytes = layer.memory_bytes();
        layer
    }

    /// Returns the bytes that the layer holds in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns approximately the bytes that it costs to keep the version before this one readable.
    pub fn replaced_bytes(&self) -> usize {
        self.bytes + tree::replaced_bytes(self.len())
    }

    /// Returns the bytes of keys and values in the batches, which is about the size of the effects in the log.
    pub fn payload_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    fn len(&self) -> usize {
        match &self.places {
            None => self.batches[0].writes.len(),
            Some(places) => places.len(),
        }
    }

    /// Returns the effects in order.
    pub fn effects(&self) -> impl ExactSizeIterator<Item = Effect<'_>> {
        (0..self.len()).map(|index| self.effect(index))
    }

    /// Returns one of the effects.
    pub fn effect(&self, index: usize) -> Effect<'_> {
        let Place { batch, write } = self.place(index);
        let write = write as usize;
        if batch == DISPLACED {
            let displaced = &self.displaced[write];
            return Effect {
                key_hash: displaced.key_hash,
                key: &displaced.key,
                change: None,
            };
        }
        let batch = &self.batches[batch as usize];
        Effect {
            key_hash: batch.writes[write].key_hash,
            key: batch.key(write),
            change: batch.value(write),
        }
    }

    /// Returns the key hash of an effect.
    pub fn key_hash(&self, index: usize) -> &Digest {
        self.key_hash_at(self.place(index))
    }

    /// Returns a key and its value if this version wrote one. The value shares the memory of its batch.
    pub fn get(&self, key_hash: &Digest) -> Option<(&[u8], Bytes)> {
        let index = find_ascending(self.len(), |index| self.key_hash(index), key_hash)?;
        let Place { batch, write } = self.place(index);
        let write = write as usize;
        // `None` if the key was displaced.
        let batch = self.batches.get(batch as usize)?;
        Some((batch.key(write), batch.contents.held_value(write)?))
    }

    /// Returns the effect on a key hash, if there is one.
    pub fn find(&self, key_hash: &Digest) -> Option<Effect<'_>> {
        let index = find_ascending(self.len(), |index| self.key_hash(index), key_hash)?;
        Some(self.effect(index))
    }

    /// Returns the effects from a key hash on, in order.
    pub fn effects_from(&self, key_hash: &Digest) -> impl Iterator<Item = Effect<'_>> {
        let (mut start, mut end) = (0, self.len());
        while start < end {
            let middle = start.midpoint(end);
            match self.key_hash(middle) < key_hash {
                true => start = middle + 1,
                false => end = middle,
            }
        }
        (start..self.len()).map(|index| self.effect(index))
    }

    fn key_hash_at(&self, Place { batch, write }: Place) -> &Digest {
        match batch {
            DISPLACED => &self.displaced[write as usize].key_hash,
            batch => &self.batches[batch as usize].writes[write as usize].key_hash,
        }
    }

    fn place(&self, index: usize) -> Place {
        match &self.places {
            None => Place {
                batch: 0,
                write: index as u32,
            },
            Some(places) => places[index],
        }
    }

    fn memory_bytes(&self) -> usize {
        let places = self.places.as_ref().map_or(0, Vec::capacity);
        let batches = self.batches.iter().map(|batch| batch.memory_bytes());
        let displaced = self.displaced.iter();
        let displaced = displaced.map(|one| size_of::<Displaced>() + one.key.len());
        size_of::<Self>()
            + places * size_of::<Place>()
            + batches.sum::<usize>()
            + displaced.sum::<usize>()
    }
}

/// Sorts items by key hash and keeps the first of those with the same one.
fn sorted_by_key_hash<'a, T: Copy>(items: Vec<T>, key_hash: impl Fn(T) -> &'a Digest) -> Vec<T> {
    // Comparing the first bytes is nearly always enough.
    let headed = items.into_iter().map(|item| (head(key_hash(item)), item));
    let mut headed: Vec<(u64, T)> = headed.collect();
    // Stable, and fast for items that consist of sorted runs.
    headed.sort_by(|a, b| {
        let whole = || key_hash(a.1).cmp(key_hash(b.1));
        a.0.cmp(&b.0).then_with(whole)
    });
    headed.dedup_by(|a, b| a.0 == b.0 && key_hash(a.1) == key_hash(b.1));
    headed.into_iter().map(|(_, item)| item).collect()
}

impl Part {
    /// Creates a part of a batch whose writes all took effect.
    pub fn whole(batch: Arc<PreparedBatch>) -> Self {
        Self {
            batch,
            unchanged: Vec::new(),
            displaced: Vec::new(),
        }
    }

    /// Returns the number of effects.
    fn count(&self) -> usize {
        self.batch.writes.len() - self.unchanged.len() + self.displaced.len()
    }

    fn is_whole(&self) -> bool {
        self.unchanged.is_empty() && self.displaced.is_empty()
    }

    /// Returns the writes that took effect.
    fn writes(&self) -> impl Iterator<Item = u32> {
        let mut unchanged = self.unchanged.iter().copied().peekable();
        let all = 0..self.batch.writes.len() as u32;
        all.filter(move |write| unchanged.next_if_eq(write).is_none())
    }

    /// Copies the effective writes and releases the batch, if they are few of its writes.
    fn compact(&mut self) {
        let total = self.batch.writes.len();
        if (total - self.unchanged.len()) * WRITES_PER_EFFECT_MAX < total {
            self.batch = Arc::new(self.batch.selected(self.writes()));
            self.unchanged = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_core::batch::{Batch, BatchLimits};
    use trunkline_core::params::TreeParams;

    use super::*;

    fn key_hash(key: u8) -> Digest {
        TreeParams::default().key_hash(&[key])
    }

    /// Returns a part that puts these keys, all with the same value.
    fn part(keys: impl IntoIterator<Item = u8>, value: &str) -> Part {
        let mut batch = Batch::new();
        keys.into_iter().for_each(|key| {
            batch.put([key], value);
        });
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        Part::whole(Arc::new(prepared.unwrap()))
    }

    /// Returns the effect of a layer on each key, and checks that lookups and iteration agree.
    fn effects(layer: &Layer) -> Vec<(u8, Option<String>)> {
        let all: Vec<Effect<'_>> = layer.effects().collect();
        assert!(all.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        let mut effects = Vec::new();
        for (index, effect) in all.iter().enumerate() {
            assert_eq!(effect.key_hash, key_hash(effect.key[0]));
            assert_eq!(layer.key_hash(index), &effect.key_hash);
            assert_eq!(layer.effect(index), *effect);
            let found = layer.get(&effect.key_hash);
            let found = found.as_ref().map(|(key, value)| (*key, &value[..]));
            assert_eq!(found, effect.change.map(|value| (effect.key, value)));
            let value = effect
                .change
                .map(|value| String::from_utf8(value.to_vec()).unwrap());
            effects.push((effect.key[0], value));
        }
        effects.sort();
        effects
    }

    fn puts(keys: impl IntoIterator<Item = u8>, value: &str) -> Vec<(u8, Option<String>)> {
        keys.into_iter()
            .map(|key| (key, Some(value.to_owned())))
            .collect()
    }

    #[test]
    fn a_single_batch_that_took_effect_needs_no_list() {
        let layer = Layer::new(1, vec![part(0..100, "a")]);
        assert!(layer.places.is_none());
        assert_eq!(effects(&layer), puts(0..100, "a"));
        assert_eq!(layer.get(&key_hash(100)), None);
    }

    #[test]
    fn writes_that_changed_nothing_are_left_out() {
        let mut single = part(0..100, "a");
        single.unchanged = (0..100).filter(|write| write % 3 == 0).collect();
        let gone: Vec<u8> = single
            .unchanged
            .iter()
            .map(|write| single.batch.key(*write as usize)[0])
            .collect();
        let kept = (0..100).filter(|key| !gone.contains(key));
        let layer = Layer::new(1, vec![single]);
        assert_eq!(effects(&layer), puts(kept, "a"));
        assert_eq!(layer.get(&key_hash(gone[0])), None);
    }

    #[test]
    fn of_several_submissions_the_last_write_to_a_key_counts() {
        let layer = Layer::new(
            1,
            vec![part(0..60, "a"), part(40..80, "b"), part(50..55, "c")],
        );
        let expected = [
            puts(0..40, "a"),
            puts(40..50, "b"),
            puts(50..55, "c"),
            puts(55..80, "b"),
        ];
        assert_eq!(effects(&layer), expected.concat());
    }

    #[test]
    fn a_displaced_key_is_deleted_and_a_later_put_restores_it() {
        let displaced = |key: u8| Displaced {
            key_hash: key_hash(key),
            key: vec![key].into(),
        };
        let mut second = part([3], "b");
        second.displaced = vec![displaced(1), displaced(2)];
        second.displaced.sort_by_key(|displaced| displaced.key_hash);
        let layer = Layer::new(1, vec![part([1, 2], "a"), second, part([2], "c")]);
        let some = |value: &str| Some(value.to_owned());
        assert_eq!(effects(&layer), [(1, None), (2, some("c")), (3, some("b"))]);
    }

    #[test]
    fn a_batch_that_changed_little_is_released() {
        let mut nothing = part(0..100, "a");
        nothing.unchanged = (0..100).collect();
        let mut little = part(0..100, "a");
        little.unchanged = (1..100).collect();
        let key = little.batch.key(0)[0];
        let held = [
            Arc::downgrade(&nothing.batch),
            Arc::downgrade(&little.batch),
        ];
        let layer = Layer::new(1, vec![nothing, little]);
        assert!(held.iter().all(|batch| batch.strong_count() == 0));
        assert_eq!(effects(&layer), puts([key], "a"));
        assert!(layer.bytes() < 2000);
        assert_eq!(Layer::new(1, Vec::new()).len(), 0);
    }
}
