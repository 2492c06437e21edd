//! What one version did to its keys, as readers, the log and checkpoints want it.
//!
//! A layer holds the batches themselves and, unless it is one batch that took effect to the last
//! write, a list of which writes of them count. Nothing is copied. Not here: how long a layer is
//! kept (`values`).

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::batch::{PreparedBatch, find_ascending, head};
use trunkline_core::hash::Digest;
use trunkline_core::store::effect::Effect;
use trunkline_core::store::leaves::{LeafChange, LeafRef};

/// What an effect replaces in the tree, bytes: a leaf and, about, eight digests of its path.
const REPLACED_BYTES: usize = 400;
/// A batch is held whole if at least one of so many of its writes took effect; else those that did
/// are copied.
const WRITES_FOR_ONE_MAX: usize = 4;
/// Stands for the batch in places of displaced keys.
const DISPLACED: u32 = u32::MAX;

/// A key that went because a newer one took its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    pub key_hash: Digest,
    pub key: Bytes,
}

/// A submission of the version, and what the tree said of it.
#[derive(Clone, Debug)]
pub struct Part {
    pub batch: Arc<PreparedBatch>,
    /// Its writes that changed nothing, ascending; every other one took effect.
    pub unchanged: Vec<u32>,
    /// Ascending by key hash; none of them is among the writes that took effect.
    pub displaced: Vec<Displaced>,
}

/// Where an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Which batch, or [`DISPLACED`].
    batch: u32,
    write: u32,
}

#[derive(Debug)]
enum Order {
    /// The writes of the one batch there is.
    Whole,
    Listed(Vec<Place>),
}

/// The effects of one version, ascending by key hash.
#[derive(Debug)]
pub struct Layer {
    pub version: u64,
    batches: Vec<Arc<PreparedBatch>>,
    displaced: Vec<Displaced>,
    order: Order,
    bytes: usize,
}

impl Layer {
    /// Of the submissions that took effect, in their order; of several effects on one key the last
    /// counts.
    pub fn new(version: u64, mut parts: Vec<Part>) -> Self {
        parts.retain(|part| part.count() > 0);
        parts.iter_mut().for_each(Part::let_go);
        let order = match &parts[..] {
            [part] if part.is_whole() => Order::Whole,
            _ => Order::Listed(Vec::new()),
        };
        let mut layer = Self {
            version,
            batches: Vec::with_capacity(parts.len()),
            displaced: Vec::new(),
            order,
            bytes: 0,
        };
        let mut places = Vec::new();
        // The newest first.
        for part in parts.into_iter().rev() {
            if let Order::Listed(_) = layer.order {
                let batch = layer.batches.len() as u32;
                places.extend(part.writes().map(|write| Place { batch, write }));
            }
            for displaced in part.displaced {
                places.push(Place {
                    batch: DISPLACED,
                    write: layer.displaced.len() as u32,
                });
                layer.displaced.push(displaced);
            }
            layer.batches.push(part.batch);
        }
        if let Order::Listed(_) = layer.order {
            layer.order = Order::Listed(layer.sorted(places));
        }
        layer.bytes = layer.count_bytes();
        layer
    }

    /// Places by key hash; of those with the same the first alone.
    fn sorted(&self, places: Vec<Place>) -> Vec<Place> {
        if self.batches.len() == 1 && self.displaced.is_empty() {
            return places;
        }
        let mut headed: Vec<(u64, Place)> = places
            .into_iter()
            .map(|place| (head(self.key_hash_at(place)), place))
            .collect();
        // Stable: batches come in as runs that are sorted already, the newest first.
        headed.sort_by(|a, b| {
            let whole = || self.key_hash_at(a.1).cmp(self.key_hash_at(b.1));
            a.0.cmp(&b.0).then_with(whole)
        });
        headed.dedup_by(|a, b| a.0 == b.0 && self.key_hash_at(a.1) == self.key_hash_at(b.1));
        headed.into_iter().map(|(_, place)| place).collect()
    }

    /// Bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the version before this one costs in memory if it stays readable, about.
    pub fn replaced_bytes(&self) -> usize {
        self.bytes + self.len() * REPLACED_BYTES
    }

    /// Bytes of keys and values that came with its batches: about what its effects take when written.
    pub fn payload_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Effects.
    pub fn len(&self) -> usize {
        match &self.order {
            Order::Whole => self.batches[0].writes.len(),
            Order::Listed(places) => places.len(),
        }
    }

    /// The effects in their order.
    pub fn effects(&self) -> impl ExactSizeIterator<Item = Effect<'_>> {
        (0..self.len()).map(|index| self.effect(index))
    }

    /// The key hash of an effect.
    pub fn key_hash(&self, index: usize) -> &Digest {
        self.key_hash_at(self.place(index))
    }

    fn key_hash_at(&self, Place { batch, write }: Place) -> &Digest {
        match batch {
            DISPLACED => &self.displaced[write as usize].key_hash,
            batch => &self.batches[batch as usize].writes[write as usize].key_hash,
        }
    }

    /// What an effect does to the leaf store.
    pub fn leaf_change(&self, index: usize) -> LeafChange<'_> {
        let Effect {
            key_hash,
            key,
            change,
        } = self.effect(index);
        LeafChange {
            key_hash,
            leaf: change.map(|value| LeafRef { key, value }),
        }
    }

    /// The value that a key has from this version on, to hold.
    pub fn value(&self, key_hash: &Digest) -> Option<Bytes> {
        let (batch, write) = self.find(key_hash)?;
        batch.contents.held_value(write)
    }

    /// As [`Self::value`], with the key.
    pub fn key_and_value(&self, key_hash: &Digest) -> Option<(Bytes, Bytes)> {
        let (batch, write) = self.find(key_hash)?;
        let value = batch.contents.held_value(write)?;
        Some((Bytes::copy_from_slice(batch.key(write)), value))
    }

    fn effect(&self, index: usize) -> Effect<'_> {
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

    fn place(&self, index: usize) -> Place {
        match &self.order {
            Order::Whole => Place {
                batch: 0,
                write: index as u32,
            },
            Order::Listed(places) => places[index],
        }
    }

    /// The batch and the write that put a key or removed it.
    fn find(&self, key_hash: &Digest) -> Option<(&PreparedBatch, usize)> {
        let index = find_ascending(self.len(), |index| self.key_hash(index), key_hash)?;
        let Place { batch, write } = self.place(index);
        // Not there if the key was displaced.
        Some((self.batches.get(batch as usize)?, write as usize))
    }

    fn count_bytes(&self) -> usize {
        let displaced = |displaced: &Displaced| size_of::<Displaced>() + displaced.key.len();
        let places = match &self.order {
            Order::Whole => 0,
            Order::Listed(places) => places.capacity() * size_of::<Place>(),
        };
        let batches = self.batches.iter().map(|batch| batch.memory_bytes());
        size_of::<Self>()
            + places
            + batches.sum::<usize>()
            + self.displaced.iter().map(displaced).sum::<usize>()
    }
}

impl Part {
    /// A batch that took effect to the last write.
    pub fn whole(batch: Arc<PreparedBatch>) -> Self {
        Self {
            batch,
            unchanged: Vec::new(),
            displaced: Vec::new(),
        }
    }

    /// Effects.
    fn count(&self) -> usize {
        self.batch.writes.len() - self.unchanged.len() + self.displaced.len()
    }

    fn is_whole(&self) -> bool {
        self.unchanged.is_empty() && self.displaced.is_empty()
    }

    /// The writes that took effect.
    fn writes(&self) -> impl Iterator<Item = u32> {
        let mut unchanged = self.unchanged.iter().copied().peekable();
        let all = 0..self.batch.writes.len() as u32;
        all.filter(move |write| unchanged.next_if_eq(write).is_none())
    }

    /// Lets go of a batch most of whose writes changed nothing.
    fn let_go(&mut self) {
        let total = self.batch.writes.len();
        if (total - self.unchanged.len()) * WRITES_FOR_ONE_MAX < total {
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

    /// Puts of these keys, all with the same value.
    fn part(keys: impl IntoIterator<Item = u8>, value: &str) -> Part {
        let mut batch = Batch::new();
        keys.into_iter().for_each(|key| {
            batch.put([key], value);
        });
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        Part::whole(Arc::new(prepared.unwrap()))
    }

    /// What a layer does to each key, looked up and walked over.
    fn effects(layer: &Layer) -> Vec<(u8, Option<String>)> {
        let all: Vec<Effect<'_>> = layer.effects().collect();
        assert!(all.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        let mut effects = Vec::new();
        for (index, effect) in all.iter().enumerate() {
            assert_eq!(effect.key_hash, key_hash(effect.key[0]));
            assert_eq!(layer.value(&effect.key_hash).as_deref(), effect.change);
            let change = layer.leaf_change(index);
            let leaf = change.leaf.map(|leaf| (leaf.key, leaf.value));
            assert_eq!(change.key_hash, effect.key_hash);
            assert_eq!(leaf, effect.change.map(|value| (effect.key, value)));
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
        assert!(matches!(layer.order, Order::Whole));
        assert_eq!(effects(&layer), puts(0..100, "a"));
        assert_eq!(layer.value(&key_hash(100)), None);
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
        assert_eq!(layer.value(&key_hash(gone[0])), None);
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
    fn an_evicted_key_is_gone_and_a_later_put_brings_it_back() {
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
    fn a_batch_that_changed_little_is_not_held() {
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
