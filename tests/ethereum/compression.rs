//! Keyed BLAKE3 of 64 bytes, one compression, in the opcodes of the EVM.
//!
//! The four rows of the state are four words, each with four 32-bit words in lanes of 64 bits. So one opcode serves
//! four columns, and a lane has spare bits for an addition or rotation, which the mask then clears. It handles a single
//! block.

use crate::assembler::{ADD, AND, CALLDATALOAD, Code, MUL, OR, SHL, SHR, XOR};

/// The initial value (BLAKE3 paper, section 2.2).
const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/// The flags CHUNK_START, CHUNK_END, ROOT and KEYED_HASH.
const FLAGS: u32 = 1 | 2 | 8 | 16;
const BLOCK_BYTES: u32 = 64;

/// The low half of each lane.
const LANES: [u8; 32] = {
    let mut mask = [0; 32];
    let mut byte = 0;
    while byte < 32 {
        mask[byte] = if byte % 8 < 4 { 0 } else { 0xff };
        byte += 1;
    }
    mask
};

/// Returns the code of a contract that returns keyed BLAKE3 of the 64 bytes that it is called with.
///
/// ```
/// let code = trunkline_ethereum::compression_code(trunkline_core::hash::INNER.key());
/// assert!(code.len() < 24_576); // the most that EIP-170 allows
/// ```
pub fn code(key: &[u8; 32]) -> Vec<u8> {
    let mut code = Code::default();
    save_message(&mut code);
    push_state(&mut code, key);
    let mut words: [usize; 16] = std::array::from_fn(|word| word);
    for _ in 0..7 {
        round(&mut code, &words);
        words = PERMUTATION.map(|word| words[word]);
    }
    push_output(&mut code);
    code.save(0).return_word();
    code.into_bytes()
}

/// Stores each word of the message in a word of memory.
fn save_message(code: &mut Code) {
    for half in 0..2 {
        code.push(32 * half).op(CALLDATALOAD, 1);
        swap_bytes(code);
        code.name("half");
        for word in 0..8 {
            code.dup("half").shift(SHR, 32 * (7 - word));
            code.push(0xffff_ffff).op(AND, 2);
            code.save(32 * (8 * half + word));
        }
        code.pop();
    }
}

/// Reverses the bytes of each 32-bit word of the top entry: neighbours first, then pairs.
fn swap_bytes(code: &mut Code) {
    for (bits, bytes) in [(8, 1), (16, 2)] {
        let mask: [u8; 32] = std::array::from_fn(|byte| match byte % (2 * bytes) < bytes {
            true => 0,
            false => 0xff,
        });
        code.name("swapped").dup("swapped").shift(SHR, bits);
        code.push_bytes(&mask).op(AND, 2).swap();
        code.push_bytes(&mask).op(AND, 2).shift(SHL, bits).op(OR, 2);
    }
}

/// Pushes the mask, the factor that doubles a lane, and the rows a, b, c, d.
fn push_state(code: &mut Code, key: &[u8; 32]) {
    let key: [u32; 8] = std::array::from_fn(|word| {
        let byte = |byte| u32::from(key[4 * word + byte]) << (8 * byte);
        byte(0) | byte(1) | byte(2) | byte(3)
    });
    let [a0, a1, a2, a3, b0, b1, b2, b3] = key;
    code.push_bytes(&LANES).name("lanes");
    code.push((1 << 32) + 1).name("twice");
    code.push_bytes(&row([a0, a1, a2, a3])).name("a");
    code.push_bytes(&row([b0, b1, b2, b3])).name("b");
    code.push_bytes(&row(IV)).name("c");
    // The counter is 0.
    code.push_bytes(&row([0, 0, BLOCK_BYTES, FLAGS])).name("d");
}

/// Returns four words in lanes, the first one lowest.
fn row(words: [u32; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (lane, word) in bytes.chunks_exact_mut(8).rev().zip(words) {
        lane[4..].copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

fn round(code: &mut Code, words: &[usize; 16]) {
    let [columns, diagonals] = [0, 8].map(|first| {
        let even = std::array::from_fn(|column| words[first + 2 * column]);
        let odd = std::array::from_fn(|column| words[first + 2 * column + 1]);
        (even, odd)
    });
    mix(code, columns);
    turn(code, ["b", "c", "d"]);
    mix(code, diagonals);
    turn(code, ["d", "c", "b"]);
}

/// Applies G to the four columns.
fn mix(code: &mut Code, (even, odd): ([usize; 4], [usize; 4])) {
    mix_half(code, even, 16, 12);
    mix_half(code, odd, 8, 7);
}

fn mix_half(code: &mut Code, words: [usize; 4], first_bits: u64, second_bits: u64) {
    code.dup("a").dup("b").op(ADD, 2);
    push_words(code, words);
    code.op(ADD, 2).dup("lanes").op(AND, 2).store("a");
    mix_in(code, "d", "a", first_bits);
    code.dup("c").dup("d").op(ADD, 2);
    code.dup("lanes").op(AND, 2).store("c");
    mix_in(code, "b", "c", second_bits);
}

/// Pushes four words of the message in lanes.
fn push_words(code: &mut Code, words: [usize; 4]) {
    for (lane, word) in words.into_iter().enumerate() {
        code.load(32 * word as u64);
        if lane > 0 {
            code.shift(SHL, 64 * lane as u64).op(OR, 2);
        }
    }
}

/// Replaces a row by its XOR with another, rotated to the right. For this, each lane holds its word twice.
fn mix_in(code: &mut Code, row: &'static str, other: &'static str, bits: u64) {
    code.dup(row).dup(other).op(XOR, 2);
    code.dup("twice").op(MUL, 2).shift(SHR, bits);
    code.dup("lanes").op(AND, 2).store(row);
}

/// Rotates the lanes of three rows by one, two and three.
fn turn(code: &mut Code, rows: [&'static str; 3]) {
    for (row, lanes) in rows.into_iter().zip([1, 2, 3]) {
        code.dup(row).shift(SHR, 64 * lanes);
        code.dup(row).shift(SHL, 256 - 64 * lanes);
        code.op(OR, 2).store(row);
    }
}

/// Pushes the first eight words of the output, as bytes.
fn push_output(code: &mut Code) {
    for (half, (row, other)) in [("a", "c"), ("b", "d")].into_iter().enumerate() {
        code.dup(row).dup(other).op(XOR, 2).name("output");
        for lane in 0..4 {
            code.dup("output").shift(SHR, 64 * lane);
            code.push(0xffff_ffff).op(AND, 2);
            code.shift(SHL, 32 * (7 - 4 * half as u64 - lane));
            if lane > 0 {
                code.op(OR, 2);
            }
        }
        code.store("output").name("half");
        if half > 0 {
            code.op(OR, 2);
        }
    }
    swap_bytes(code);
}
