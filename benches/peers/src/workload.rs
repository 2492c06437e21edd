//! The writes: keys, values and their order, the same for every engine, derived from counters alone.
//!
//! A key is a function of its index, a value of the number of the write that brought it, so that what a key must hold
//! can be told afterwards by counting again; nothing is kept for it while time is taken.

use std::collections::HashMap;
use std::ops::Range;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A key: 32 bytes that look random.
pub(crate) type Key = [u8; 32];

/// A value: 32 bytes that look random, all different.
pub(crate) type Value = [u8; 32];

/// One put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    /// The key.
    pub(crate) key: Key,
    /// The value.
    pub(crate) value: Value,
}

const KEYS: u64 = 0x6b65_7973_0000_0001;
const VALUES: u64 = 0x7661_6c75_6573_0001;
const CHOICES: u64 = 0x6368_6f69_6365_0001;
const SAMPLES: u64 = 0x7361_6d70_6c65_0001;

/// The first index that is never written.
const ABSENT: u64 = 1 << 48;

/// The increment of SplitMix64, and its finalizer: Steele, Lea, Flood, "Fast splittable pseudorandom number generators"
/// (2014). The finalizer is a bijection, so different counters give different keys.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn expanded(stream: u64, counter: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = mixed(stream.wrapping_add(counter));
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(STEP);
        word.copy_from_slice(&mixed(state).to_be_bytes());
    }
    bytes
}

/// Returns the key of an index.
pub(crate) fn key(index: u64) -> Key {
    expanded(KEYS, index)
}

/// Returns a key that is never written.
pub(crate) fn absent_key(index: u64) -> Key {
    key(ABSENT + index)
}

/// Returns the value of write `number`. The preload's writes are numbered by their keys' indices.
pub(crate) fn value(number: u64) -> Value {
    expanded(VALUES, number)
}

/// Numbers below a bound, uniform, from a counter.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    state: u64,
}

impl Choices {
    /// Numbers of their own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        let state = mixed(CHOICES.wrapping_add(seed));
        Self { state }
    }

    /// The next number.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let wide = u128::from(mixed(self.state)) * u128::from(bound);
        (wide >> 64) as u64
    }
}

/// Fills a batch with the preload of indices `from..to`.
pub(crate) fn fill_preload(batch: &mut Vec<Write>, from: u64, to: u64) {
    batch.clear();
    batch.extend((from..to).map(|index| Write {
        key: key(index),
        value: value(index),
    }));
}

/// The puts whose keys never existed before.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fresh {
    /// Every other put: the state grows.
    #[default]
    Half,
    /// No put: the state keeps its size, for long runs.
    None,
}

/// The updates after the preload: alternately an existing key, chosen uniformly, and a fresh one, or existing keys
/// alone. No key occurs twice in a batch, since not every engine accepts that.
#[derive(Clone, Debug)]
pub(crate) struct Updates {
    choices: Choices,
    fresh: Fresh,
    /// The number of keys that existed before the batch; their indices count from 0.
    present: u64,
    /// The number of writes so far, including the preload.
    written: u64,
    /// One bit for each key present: true if it was chosen in this batch.
    chosen: Vec<u64>,
    chosen_here: Vec<u64>,
}

impl Updates {
    /// Returns the updates after a preload of this many keys.
    pub(crate) fn after_preload(keys: u64, fresh: Fresh) -> Self {
        Self {
            choices: Choices { state: CHOICES },
            fresh,
            present: keys,
            written: keys,
            chosen: Vec::new(),
            chosen_here: Vec::new(),
        }
    }

    /// Returns the number of keys present after all batches so far.
    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// Fills the next batch.
    pub(crate) fn fill(&mut self, batch: &mut Vec<Write>, operations: u64) {
        batch.clear();
        self.visit(operations, |index, number| {
            batch.push(Write {
                key: key(index),
                value: value(number),
            });
        });
    }

    /// Passes the next batch as indices of keys and numbers of writes. Its operations on existing keys must not exceed
    /// the number of keys.
    fn visit(&mut self, operations: u64, mut visit: impl FnMut(u64, u64)) {
        self.chosen.resize(self.present.div_ceil(64) as usize, 0);
        let mut fresh = self.present;
        for turn in 0..operations {
            let index = if turn % 2 == 0 || self.fresh == Fresh::None {
                self.choose()
            } else {
                fresh += 1;
                fresh - 1
            };
            visit(index, self.written);
            self.written += 1;
        }
        for index in self.chosen_here.drain(..) {
            self.chosen[(index / 64) as usize] = 0;
        }
        self.present = fresh;
    }

    fn choose(&mut self) -> u64 {
        loop {
            let index = self.choices.below(self.present);
            let word = &mut self.chosen[(index / 64) as usize];
            let bit = 1 << (index % 64);
            if *word & bit == 0 {
                *word |= bit;
                self.chosen_here.push(index);
                return index;
            }
        }
    }
}

/// The single puts of one task: alternately an existing key, chosen uniformly, and a fresh one, or existing keys alone.
/// No two tasks put the same key.
#[derive(Clone, Debug)]
pub(crate) struct SinglePuts {
    choices: Choices,
    fresh: Fresh,
    keys: u64,
    task: u64,
    tasks: u64,
    turns: Range<u64>,
}

impl SinglePuts {
    /// Returns this many puts of one of the tasks, after a preload of `keys`. There are at most as many tasks as keys.
    pub(crate) fn of_task(task: u64, tasks: u64, puts: u64, keys: u64, fresh: Fresh) -> Self {
        Self {
            choices: Choices {
                state: mixed(CHOICES + task),
            },
            fresh,
            keys,
            task,
            tasks,
            turns: 0..puts,
        }
    }
}

impl Iterator for SinglePuts {
    type Item = Write;

    fn next(&mut self) -> Option<Write> {
        let turn = self.turns.next()?;
        let index = if turn % 2 == 0 || self.fresh == Fresh::None {
            self.choices.below(self.keys / self.tasks) * self.tasks + self.task
        } else {
            self.keys + turn * self.tasks + self.task
        };
        Some(Write {
            key: key(index),
            value: value(self.keys + turn * self.tasks + self.task),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.turns.size_hint()
    }
}

impl ExactSizeIterator for SinglePuts {}

/// Returns keys that are present after a preload and batches of this many operations, chosen uniformly, each with the
/// value that it must have.
pub(crate) fn sample(
    keys: u64,
    fresh: Fresh,
    batches: impl Iterator<Item = u64>,
    count: usize,
) -> Vec<Write> {
    let mut updates = Updates::after_preload(keys, fresh);
    let batches: Vec<u64> = batches.collect();
    let fresh_in = |operations: &u64| match fresh {
        Fresh::Half => operations / 2,
        Fresh::None => 0,
    };
    let present = keys + batches.iter().map(fresh_in).sum::<u64>();
    let mut choices = Choices { state: SAMPLES };
    let indices: Vec<u64> = (0..count).map(|_| choices.below(present)).collect();
    let mut numbers: HashMap<u64, u64> = indices.iter().map(|&index| (index, index)).collect();
    for operations in batches {
        updates.visit(operations, |index, number| {
            if let Some(last) = numbers.get_mut(&index) {
                *last = number;
            }
        });
    }
    debug_assert_eq!(updates.present(), present);
    let written = |index: u64| Write {
        key: key(index),
        value: value(numbers[&index]),
    };
    indices.into_iter().map(written).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn half_of_a_batch_is_fresh_and_no_key_comes_twice() {
        let mut updates = Updates::after_preload(1000, Fresh::Half);
        let mut batch = Vec::new();
        for _ in 0..5 {
            let before = updates.present();
            updates.fill(&mut batch, 1000);
            assert_eq!(updates.present(), before + 500);
            let keys: BTreeSet<Key> = batch.iter().map(|write| write.key).collect();
            assert_eq!(keys.len(), 1000);
            let present = (0..before).filter(|&index| keys.contains(&key(index)));
            assert_eq!(present.count(), 500);
        }
    }

    #[test]
    fn a_sample_holds_what_was_written_last() {
        for fresh in [Fresh::Half, Fresh::None] {
            let mut state = BTreeMap::new();
            let mut batch = Vec::new();
            fill_preload(&mut batch, 0, 300);
            state.extend(batch.iter().map(|write| (write.key, write.value)));
            let mut updates = Updates::after_preload(300, fresh);
            for _ in 0..20 {
                updates.fill(&mut batch, 100);
                state.extend(batch.iter().map(|write| (write.key, write.value)));
            }
            for write in sample(300, fresh, std::iter::repeat_n(100, 20), 500) {
                assert_eq!(state.get(&write.key), Some(&write.value));
            }
            assert!((0..500).all(|index| !state.contains_key(&absent_key(index))));
        }
    }

    #[test]
    fn no_two_tasks_put_the_same_key() {
        let mut tasks_of_keys = BTreeMap::new();
        for task in 0..7 {
            let puts: Vec<Write> = SinglePuts::of_task(task, 7, 100, 30, Fresh::Half).collect();
            assert_eq!(puts.len(), 100);
            let present = (0..30).map(key).collect::<BTreeSet<Key>>();
            let of_present = puts.iter().filter(|write| present.contains(&write.key));
            assert_eq!(of_present.count(), 50);
            for write in puts {
                assert_eq!(*tasks_of_keys.entry(write.key).or_insert(task), task);
            }
        }
    }

    #[test]
    fn without_fresh_keys_the_state_does_not_grow() {
        let mut updates = Updates::after_preload(100, Fresh::None);
        let mut batch = Vec::new();
        for _ in 0..3 {
            updates.fill(&mut batch, 100);
            let keys: BTreeSet<Key> = batch.iter().map(|write| write.key).collect();
            assert_eq!(keys, (0..100).map(key).collect());
        }
    }
}
