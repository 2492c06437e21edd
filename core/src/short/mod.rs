//! BLAKE3 of short inputs: at most one block each, with several inputs in the lanes of vector registers.
//!
//! `blake3` hashes many inputs at once only if each consists of whole blocks, and keys and values rarely do. The
//! compression function takes the length of a block, so it costs the same for every length up to 64 bytes: here 16
//! lanes (AVX-512) or 8 (AVX2) compress 16 or 8 inputs together, in a fifth of the time or less. Other processors hash
//! them one by one. Names and constants are those of the BLAKE3 paper, section 2.2.

#[cfg(all(feature = "state", target_arch = "x86_64"))]
mod lanes;

use blake3::BLOCK_LEN;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};

use crate::hash::Digest;

pub(crate) const CHUNK_START: u8 = 1 << 0;
pub(crate) const CHUNK_END: u8 = 1 << 1;
pub(crate) const ROOT: u8 = 1 << 3;
pub(crate) const KEYED_HASH: u8 = 1 << 4;

/// The chaining value with which unkeyed hashing begins.
const INITIAL_WORDS: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Unkeyed hashing, or hashing under a key.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    words: [u32; 8],
    flags: u8,
}

impl Mode {
    /// Hashing without a key.
    pub(crate) const UNKEYED: Self = Self {
        words: INITIAL_WORDS,
        flags: CHUNK_START | CHUNK_END | ROOT,
    };

    /// Returns the mode of hashing under a key.
    pub(crate) fn keyed(key: &[u8; 32]) -> Self {
        Self {
            words: words_from_le_bytes_32(key),
            flags: Self::UNKEYED.flags | KEYED_HASH,
        }
    }

    /// Hashes an input of at most one block with a single compression. The library's own function keeps state for
    /// inputs of any length, and takes 85 ns instead of 70.
    pub(crate) fn hash(&self, platform: Platform, input: &[u8]) -> Digest {
        let mut block = [0; BLOCK_LEN];
        block[..input.len()].copy_from_slice(input);
        self.compress(platform, &block, input.len() as u32)
    }

    fn compress(&self, platform: Platform, block: &[u8; BLOCK_LEN], bytes: u32) -> Digest {
        let mut words = self.words;
        platform.compress_in_place(&mut words, block, bytes as u8, 0, self.flags);
        le_bytes_from_words_32(&words)
    }
}

/// Gathers short inputs, and hashes them together.
#[cfg(feature = "state")]
pub(crate) struct Group {
    mode: Mode,
    blocks: [[u8; BLOCK_LEN]; Self::INPUTS],
    lengths: [u32; Self::INPUTS],
    /// The index of each input's digest.
    places: [usize; Self::INPUTS],
    count: usize,
}

#[cfg(feature = "state")]
impl Group {
    /// Number of inputs in a group: one for each lane of the widest registers.
    const INPUTS: usize = 16;
    /// Least number of inputs for which all lanes are used: one compression of all lanes takes as long as two to three
    /// single ones.
    #[cfg(target_arch = "x86_64")]
    const LANES_USED_MIN: usize = 3;

    /// Returns an empty group.
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            blocks: [[0; BLOCK_LEN]; Self::INPUTS],
            lengths: [0; Self::INPUTS],
            places: [0; Self::INPUTS],
            count: 0,
        }
    }

    /// Adds an input of at most one block. If that fills the group, its digests are written to their indices.
    pub(crate) fn push(&mut self, place: usize, input: &[u8], digests: &mut [Digest]) {
        let block = &mut self.blocks[self.count];
        // Copying a length that is known to the compiler is much cheaper, and 32 bytes is the usual one.
        let copied = match input.first_chunk::<32>() {
            Some(half) => {
                block[..32].copy_from_slice(half);
                32
            }
            None => 0,
        };
        let rest = &input[copied..];
        if !rest.is_empty() {
            block[copied..input.len()].copy_from_slice(rest);
        }
        block[input.len()..].fill(0);
        self.lengths[self.count] = input.len() as u32;
        self.places[self.count] = place;
        self.count += 1;
        if self.count == Self::INPUTS {
            self.finish(digests);
        }
    }

    /// Writes the digests of the gathered inputs to their indices, and empties the group.
    pub(crate) fn finish(&mut self, digests: &mut [Digest]) {
        let mut first = 0;
        while first < self.count {
            first += self.hash_some(first, digests);
        }
        self.count = 0;
    }

    /// Hashes inputs from `first` on, and returns their number.
    fn hash_some(&self, first: usize, digests: &mut [Digest]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.count - first >= Self::LANES_USED_MIN {
            let (blocks, lengths) = (&self.blocks[first..], &self.lengths[first..]);
            if let Some(hashed) = lanes::hash_16(&self.mode, blocks, lengths) {
                return self.place(first, &hashed, digests);
            }
            if let Some(hashed) = lanes::hash_8(&self.mode, blocks, lengths) {
                return self.place(first, &hashed, digests);
            }
        }
        let (block, bytes) = (&self.blocks[first], self.lengths[first]);
        let hashed = self.mode.compress(Platform::detect(), block, bytes);
        self.place(first, &[hashed], digests)
    }

    fn place(&self, first: usize, hashed: &[Digest], digests: &mut [Digest]) -> usize {
        let places = &self.places[first..self.count];
        for (place, digest) in places.iter().zip(hashed) {
            digests[*place] = *digest;
        }
        hashed.len()
    }
}

#[cfg(all(test, feature = "state"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::ZERO;

    /// Hashes inputs in successive groups, as many as `hash_first` takes.
    fn all_of(mode: Mode, inputs: &[Vec<u8>]) -> Vec<Digest> {
        let mut digests = vec![ZERO; inputs.len()];
        let mut group = Group::new(mode);
        for (place, input) in inputs.iter().enumerate() {
            group.push(place, input, &mut digests);
        }
        group.finish(&mut digests);
        digests
    }

    fn inputs() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let input = prop::collection::vec(any::<u8>(), 0..=BLOCK_LEN);
        prop::collection::vec(input, 0..50)
    }

    proptest! {
        #[test]
        fn inputs_of_a_group_have_the_digests_of_the_library(inputs in inputs(), key: [u8; 32]) {
            let unkeyed = inputs.iter().map(|input| *blake3::hash(input).as_bytes());
            prop_assert!(all_of(Mode::UNKEYED, &inputs).into_iter().eq(unkeyed));
            let keyed = inputs.iter().map(|input| *blake3::keyed_hash(&key, input).as_bytes());
            prop_assert!(all_of(Mode::keyed(&key), &inputs).into_iter().eq(keyed));
        }
    }

    #[test]
    fn every_length_and_every_kind_of_lanes_agree_with_the_library() {
        for bytes in 0..=BLOCK_LEN {
            let mut blocks = [[0; BLOCK_LEN]; 16];
            for (lane, block) in blocks.iter_mut().enumerate() {
                block[..bytes].fill(lane as u8 ^ 0xa5);
            }
            let expected = blocks.map(|block| *blake3::hash(&block[..bytes]).as_bytes());
            let alone = blocks.map(|block| Mode::UNKEYED.hash(Platform::Portable, &block[..bytes]));
            assert_eq!(alone, expected);
            #[cfg(target_arch = "x86_64")]
            {
                let lengths = [bytes as u32; 16];
                if let Some(wide) = lanes::hash_16(&Mode::UNKEYED, &blocks, &lengths) {
                    assert_eq!(wide, expected);
                }
                if let Some(half) = lanes::hash_8(&Mode::UNKEYED, &blocks[8..], &lengths) {
                    assert_eq!(half, expected[8..]);
                }
            }
        }
    }
}
