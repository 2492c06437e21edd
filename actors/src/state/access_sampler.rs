//! Which parts of the key space are access_sampler: one touch in many, gathered until a window ends. Only where the tree
//! is bounded, since all of it is in memory otherwise.
//!
//! Not here: which of them are hot (`control::hot_prefixes`), and what follows from it (`core::tree`).

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use trunkline_core::hash::Digest;
use trunkline_core::tree::hot_prefix_of;

/// Touches of a thread of which one is taken.
const STRIDE: u32 = 32;
/// Samples of one window that are kept.
const SAMPLES_MAX: usize = 4096;

thread_local! {
    static TOUCHES: Cell<u32> = const { Cell::new(0) };
}

/// Samples of one window: the first bits of the paths.
#[derive(Debug)]
pub struct AccessSampler {
    is_on: bool,
    prefixes: Mutex<Vec<u16>>,
}

impl AccessSampler {
    pub fn new(is_on: bool) -> Self {
        Self {
            is_on,
            prefixes: Mutex::default(),
        }
    }

    /// A key was read or written.
    pub fn touch(&self, key_hash: &Digest) {
        if !self.is_on {
            return;
        }
        let touches = TOUCHES.get().wrapping_add(1);
        TOUCHES.set(touches);
        if !touches.is_multiple_of(STRIDE) {
            return;
        }
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if prefixes.len() < SAMPLES_MAX {
            prefixes.push(hot_prefix_of(key_hash));
        }
    }

    /// Keys were written.
    pub fn touch_all<'a>(&self, key_hashes: impl Iterator<Item = &'a Digest>) {
        if self.is_on {
            key_hashes.for_each(|key_hash| self.touch(key_hash));
        }
    }

    /// The samples since the last call.
    pub fn take(&self) -> Vec<u16> {
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *prefixes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_touch_in_many_is_taken_and_no_more_than_there_is_room_for() {
        let access_sampler = AccessSampler::new(true);
        let mut key_hash = [0; 32];
        key_hash[..2].copy_from_slice(&[0b1010_1010, 0b1111_1100]);
        for _ in 0..STRIDE * 10 {
            access_sampler.touch(&key_hash);
        }
        assert_eq!(access_sampler.take(), [0b10_1010_1011_1111; 10]);
        for _ in 0..STRIDE as usize * (SAMPLES_MAX + 10) {
            access_sampler.touch(&key_hash);
        }
        assert_eq!(access_sampler.take().len(), SAMPLES_MAX);
    }

    #[test]
    fn nothing_is_taken_where_all_is_in_memory() {
        let access_sampler = AccessSampler::new(false);
        for _ in 0..1000 {
            access_sampler.touch(&[7; 32]);
        }
        assert!(access_sampler.take().is_empty());
    }
}
