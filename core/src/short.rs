//! BLAKE3 of short inputs: one block at most, several inputs side by side in the lanes of vector registers.
//!
//! `blake3` hashes many inputs at once only if each consists of whole blocks, and keys and values seldom do. The
//! compression function takes the length of a block, so it costs the same for every length up to 64 bytes: here 16
//! lanes (AVX-512) or 8 (AVX2) compress 16 or 8 inputs together, at a fifth of the time and less. Other processors hash
//! them one by one. Names and constants are those of the BLAKE3 paper, section 2.2.

use blake3::BLOCK_LEN;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};

use crate::hash::Digest;

pub(crate) const CHUNK_START: u8 = 1 << 0;
pub(crate) const CHUNK_END: u8 = 1 << 1;
pub(crate) const ROOT: u8 = 1 << 3;
pub(crate) const KEYED_HASH: u8 = 1 << 4;

/// The chaining value that unkeyed hashing begins with.
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

    /// Hashes an input of at most one block, in the one compression that it takes. The library's own way keeps state
    /// for inputs of any length: 85 ns instead of 70.
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
    /// The place of each input's digest.
    places: [usize; Self::INPUTS],
    count: usize,
}

#[cfg(feature = "state")]
impl Group {
    /// Inputs of a group: as many as the widest registers have lanes.
    const INPUTS: usize = 16;
    /// One compression of all lanes takes as long as two to three of one input.
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

    /// Adds an input of at most one block. If that fills the group, its digests are written to their places.
    pub(crate) fn push(&mut self, place: usize, input: &[u8], digests: &mut [Digest]) {
        let block = &mut self.blocks[self.count];
        // Copying a length that the compiler knows is much cheaper, and 32 bytes is the usual one.
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

    /// Writes the digests of what was gathered to their places, and empties the group.
    pub(crate) fn finish(&mut self, digests: &mut [Digest]) {
        let mut first = 0;
        while first < self.count {
            first += self.hash_some(first, digests);
        }
        self.count = 0;
    }

    /// Hashes inputs from `first` on, and returns how many.
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

/// The compression function over many inputs: lane *i* of register *w* holds word *w* of input *i*.
#[cfg(all(feature = "state", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod lanes {
    use core::arch::x86_64::*;
    use core::array::from_fn;

    use bytemuck::cast;

    use super::{BLOCK_LEN, Digest, INITIAL_WORDS, Mode};

    /// The message words that the steps of each round take.
    const SCHEDULE: [[usize; 16]; 7] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
        [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
        [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
        [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
        [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
        [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
    ];

    /// Hashes the first 16 blocks, if the processor has AVX-512.
    pub(super) fn hash_16(
        mode: &Mode,
        blocks: &[[u8; BLOCK_LEN]],
        lengths: &[u32],
    ) -> Option<[Digest; 16]> {
        let (blocks, lengths) = (blocks.first_chunk()?, lengths.first_chunk()?);
        // SAFETY: the processor has what the function is compiled for.
        is_x86_feature_detected!("avx512f").then(|| unsafe { avx512(mode, blocks, lengths) })
    }

    /// Hashes the first 8 blocks, if the processor has AVX2.
    pub(super) fn hash_8(
        mode: &Mode,
        blocks: &[[u8; BLOCK_LEN]],
        lengths: &[u32],
    ) -> Option<[Digest; 8]> {
        let (blocks, lengths) = (blocks.first_chunk()?, lengths.first_chunk()?);
        // SAFETY: the processor has what the function is compiled for.
        is_x86_feature_detected!("avx2").then(|| unsafe { avx2(mode, blocks, lengths) })
    }

    /// Defines the compression function for one kind of register by its operations.
    macro_rules! compression {
        (
            $name:ident, $feature:literal, $Register:ty, $lanes:literal,
            $set:ident, $add:ident, $xor:ident, $rotate:ident, $transpose:ident
        ) => {
            #[target_feature(enable = $feature)]
            fn $name(
                mode: &Mode,
                blocks: &[[u8; BLOCK_LEN]; $lanes],
                lengths: &[u32; $lanes],
            ) -> [Digest; $lanes] {
                let message = $transpose(blocks);
                let all = |word: u32| $set(word.cast_signed());
                let mut v: [$Register; 16] = from_fn(|word| match word {
                    0..8 => all(mode.words[word]),
                    8..12 => all(INITIAL_WORDS[word - 8]),
                    12 | 13 => all(0),
                    14 => cast(*lengths),
                    _ => all(mode.flags.into()),
                });
                let mix =
                    |v: &mut [$Register; 16], [a, b, c, d]: [usize; 4], x: usize, y: usize| {
                        v[a] = $add($add(v[a], v[b]), message[x]);
                        v[d] = $rotate::<16, 16>($xor(v[d], v[a]));
                        v[c] = $add(v[c], v[d]);
                        v[b] = $rotate::<12, 20>($xor(v[b], v[c]));
                        v[a] = $add($add(v[a], v[b]), message[y]);
                        v[d] = $rotate::<8, 24>($xor(v[d], v[a]));
                        v[c] = $add(v[c], v[d]);
                        v[b] = $rotate::<7, 25>($xor(v[b], v[c]));
                    };
                for m in &SCHEDULE {
                    mix(&mut v, [0, 4, 8, 12], m[0], m[1]);
                    mix(&mut v, [1, 5, 9, 13], m[2], m[3]);
                    mix(&mut v, [2, 6, 10, 14], m[4], m[5]);
                    mix(&mut v, [3, 7, 11, 15], m[6], m[7]);
                    mix(&mut v, [0, 5, 10, 15], m[8], m[9]);
                    mix(&mut v, [1, 6, 11, 12], m[10], m[11]);
                    mix(&mut v, [2, 7, 8, 13], m[12], m[13]);
                    mix(&mut v, [3, 4, 9, 14], m[14], m[15]);
                }
                let mut digests = [[0; 32]; $lanes];
                for word in 0..8 {
                    let lanes: [u32; $lanes] = cast($xor(v[word], v[word + 8]));
                    for (digest, word_of_lane) in digests.iter_mut().zip(lanes) {
                        digest[4 * word..][..4].copy_from_slice(&word_of_lane.to_le_bytes());
                    }
                }
                digests
            }
        };
    }

    compression!(
        avx512,
        "avx512f",
        __m512i,
        16,
        _mm512_set1_epi32,
        _mm512_add_epi32,
        _mm512_xor_si512,
        rotate_16,
        transpose_16
    );
    compression!(
        avx2,
        "avx2",
        __m256i,
        8,
        _mm256_set1_epi32,
        _mm256_add_epi32,
        _mm256_xor_si256,
        rotate_8,
        transpose_8
    );

    #[target_feature(enable = "avx512f")]
    fn rotate_16<const RIGHT: i32, const LEFT: i32>(words: __m512i) -> __m512i {
        _mm512_ror_epi32::<RIGHT>(words)
    }

    #[target_feature(enable = "avx2")]
    fn rotate_8<const RIGHT: i32, const LEFT: i32>(words: __m256i) -> __m256i {
        _mm256_or_si256(
            _mm256_srli_epi32::<RIGHT>(words),
            _mm256_slli_epi32::<LEFT>(words),
        )
    }

    /// Turns 16 blocks into 16 registers of a word each.
    #[target_feature(enable = "avx512f")]
    fn transpose_16(blocks: &[[u8; BLOCK_LEN]; 16]) -> [__m512i; 16] {
        let rows: [__m512i; 16] = from_fn(|lane| cast(blocks[lane]));
        // Words of two rows side by side, then of four.
        let twos: [__m512i; 16] = from_fn(|i| match i % 2 {
            0 => _mm512_unpacklo_epi32(rows[i], rows[i + 1]),
            _ => _mm512_unpackhi_epi32(rows[i - 1], rows[i]),
        });
        let fours: [__m512i; 16] = from_fn(|i| match i % 4 {
            0 => _mm512_unpacklo_epi64(twos[i], twos[i + 2]),
            1 => _mm512_unpackhi_epi64(twos[i - 1], twos[i + 1]),
            2 => _mm512_unpacklo_epi64(twos[i - 1], twos[i + 1]),
            _ => _mm512_unpackhi_epi64(twos[i - 2], twos[i]),
        });
        // Quarter q of `fours[4r + w]` holds word 4q + w of rows 4r to 4r + 3.
        from_fn(|word| {
            let (quarter, w) = (word / 4, word % 4);
            let quarters = |a: usize, b: usize| match quarter % 2 {
                0 => _mm512_shuffle_i32x4::<0x88>(fours[a + w], fours[b + w]),
                _ => _mm512_shuffle_i32x4::<0xdd>(fours[a + w], fours[b + w]),
            };
            let (low, high) = (quarters(0, 4), quarters(8, 12));
            match quarter / 2 {
                0 => _mm512_shuffle_i32x4::<0x88>(low, high),
                _ => _mm512_shuffle_i32x4::<0xdd>(low, high),
            }
        })
    }

    /// Turns 8 blocks into 16 registers of a word each.
    #[target_feature(enable = "avx2")]
    fn transpose_8(blocks: &[[u8; BLOCK_LEN]; 8]) -> [__m256i; 16] {
        let halves: [[__m256i; 2]; 8] = from_fn(|lane| cast(blocks[lane]));
        let [first, second] = from_fn(|half| transpose_halves(halves.map(|row| row[half])));
        from_fn(|word| {
            if word < 8 {
                first[word]
            } else {
                second[word - 8]
            }
        })
    }

    #[target_feature(enable = "avx2")]
    fn transpose_halves(rows: [__m256i; 8]) -> [__m256i; 8] {
        let twos: [__m256i; 8] = from_fn(|i| match i % 2 {
            0 => _mm256_unpacklo_epi32(rows[i], rows[i + 1]),
            _ => _mm256_unpackhi_epi32(rows[i - 1], rows[i]),
        });
        let fours: [__m256i; 8] = from_fn(|i| match i % 4 {
            0 => _mm256_unpacklo_epi64(twos[i], twos[i + 2]),
            1 => _mm256_unpackhi_epi64(twos[i - 1], twos[i + 1]),
            2 => _mm256_unpacklo_epi64(twos[i - 1], twos[i + 1]),
            _ => _mm256_unpackhi_epi64(twos[i - 2], twos[i]),
        });
        from_fn(|word| match word {
            0..4 => _mm256_permute2x128_si256::<0x20>(fours[word], fours[word + 4]),
            _ => _mm256_permute2x128_si256::<0x31>(fours[word - 4], fours[word]),
        })
    }
}

#[cfg(all(test, feature = "state"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::ZERO;

    /// Hashes inputs as one group after the other, as far as `hash_first` takes them.
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
