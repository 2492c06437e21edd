//! A sample of the keys that are read and written, gathered until a window ends.
//!
//! Samples are taken only if memory is bounded, since otherwise the whole tree is in memory. `adaptive` finds the hot
//! prefixes among them, and the tree keeps those in memory.

use std::cell::Cell;

use parking_lot::Mutex;
use trunkline_core::hash::Digest;
use trunkline_core::tree::hot_prefix_of;

/// The number of accesses of a thread of which one is sampled.
const STRIDE: u32 = 32;
/// The maximum number of samples of one window.
const SAMPLES_MAX: usize = 4096;

thread_local! {
    static ACCESSES: Cell<u32> = const { Cell::new(0) };
}

/// The samples of one window.
#[derive(Debug)]
pub struct AccessSampler {
    is_on: bool,
    /// The first bits of the sampled paths.
    prefixes: Mutex<Vec<u16>>,
}

impl AccessSampler {
    /// Creates a sampler; without `is_on` it takes no samples.
    pub fn new(is_on: bool) -> Self {
        Self {
            is_on,
            prefixes: Mutex::default(),
        }
    }

    /// Records that a key was read or written.
    pub fn touch(&self, key_hash: &Digest) {
        if !self.is_on {
            return;
        }
        let accesses = ACCESSES.get().wrapping_add(1);
        ACCESSES.set(accesses);
        if !accesses.is_multiple_of(STRIDE) {
            return;
        }
        let mut prefixes = self.prefixes.lock();
        if prefixes.len() < SAMPLES_MAX {
            prefixes.push(hot_prefix_of(key_hash));
        }
    }

    /// Records that keys were read or written.
    pub fn touch_all<'a>(&self, key_hashes: impl Iterator<Item = &'a Digest>) {
        if self.is_on {
            key_hashes.for_each(|key_hash| self.touch(key_hash));
        }
    }

    /// Returns the samples since the last call.
    pub fn take(&self) -> Vec<u16> {
        std::mem::take(&mut *self.prefixes.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_access_in_many_is_sampled_up_to_a_limit() {
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
    fn a_sampler_that_is_off_takes_no_samples() {
        let access_sampler = AccessSampler::new(false);
        for _ in 0..1000 {
            access_sampler.touch(&[7; 32]);
        }
        assert!(access_sampler.take().is_empty());
    }
}
