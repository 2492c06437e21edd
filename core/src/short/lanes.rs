//! The compression function over many inputs: lane *i* of register *w* holds word *w* of input *i*.
//!
//! It is compiled only with `state`: a verifier has no `unsafe`.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::array::from_fn;

use bytemuck::cast;

use super::{BLOCK_LEN, Digest, INITIAL_WORDS, Mode};

/// The message words that the steps of each round use.
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
            let mix = |v: &mut [$Register; 16], [a, b, c, d]: [usize; 4], x: usize, y: usize| {
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
