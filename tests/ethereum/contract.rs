//! Contracts that check trunkline's roots, as bytecode: a slot of a KZG root, and one compression of BLAKE3.
//!
//! `docs/ETHEREUM.md` describes them. The tests run them in an EVM.

#![forbid(unsafe_code)]

mod assembler;
mod compression;

pub use compression::code as compression_code;

use assembler::{ADD, AND, CALLDATALOAD, Code, MUL, MULMOD, SHR, STATICCALL};
use trunkline_core::kzg::{Slot, slot_point};

/// The gas of the precompile. If it refuses, it consumes all gas of the call, so the call gets no more.
const PRECOMPILE_GAS: u64 = 50_000;
/// The address of the precompile.
const PRECOMPILE: u64 = 0x0a;
/// Length of its input in bytes.
const INPUT_BYTES: u64 = 192;

/// The order of the field, which the precompile returns as well.
pub const FIELD_ORDER: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05,
    0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// Returns the input of the slot contract: slot (a word), slot digest (a word), commitment, opening.
///
/// ```
/// let input = trunkline_ethereum::slot_call_data(5, &[7; 32], &[0xc0; 48], &[0xc0; 48]);
/// assert_eq!((input.len(), input[31], input[32]), (160, 5, 7));
/// ```
pub fn slot_call_data(
    slot: u8,
    digest: &[u8; 32],
    commitment: &[u8; 48],
    opening: &[u8; 48],
) -> Vec<u8> {
    let mut word = [0; 32];
    word[31] = slot;
    [&word[..], digest, commitment, opening].concat()
}

/// Returns the code of a contract that returns 1 if the slot of the KZG root with this versioned hash has the
/// digest, and 0 if that is not shown.
///
/// ```
/// let code = trunkline_ethereum::slot_code(&[1; 32]);
/// assert!(code.len() < 24_576); // the most that EIP-170 allows
/// ```
pub fn slot_code(versioned_hash: &[u8; 32]) -> Vec<u8> {
    let mut mask = [0xff; 32];
    mask[0] = 0x3f;
    let mut code = Code::default();
    // Memory: versioned hash ‖ z ‖ y ‖ commitment ‖ opening, as the precompile takes it. y is the digest
    // with its top two bits cleared.
    code.push_bytes(versioned_hash).save(0);
    push_point(&mut code);
    code.save(32);
    code.push(32).op(CALLDATALOAD, 1);
    code.push_bytes(&mask).op(AND, 2).save(64);
    code.copy_call_data(64, 96, 96);
    // Its output is constant, so its success is the answer.
    code.push(0).push(0).push(INPUT_BYTES).push(0);
    code.push(PRECOMPILE).push(PRECOMPILE_GAS);
    code.op(STATICCALL, 6).save(0).return_word();
    code.into_bytes()
}

/// Pushes ω^slot, from the lowest 7 bits of the first word of the call's data: the product over its bits j of
/// 1 + bit·(ω^(2^j) - 1).
fn push_point(code: &mut Code) {
    code.push(1);
    for bit in 0..7 {
        code.push_bytes(&FIELD_ORDER).swap();
        code.push_bytes(&power_minus_one(1 << bit));
        code.push(1).push(0).op(CALLDATALOAD, 1).shift(SHR, bit);
        code.op(AND, 2).op(MUL, 2);
        code.push(1).op(ADD, 2).op(MULMOD, 3);
    }
}

/// Returns ω^slot - 1 as an integer.
fn power_minus_one(slot: usize) -> [u8; 32] {
    let Ok(slot) = Slot::new(slot) else {
        unreachable!("a power of two up to 64")
    };
    let mut bytes = slot_point(slot);
    for byte in bytes.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            break;
        }
    }
    bytes
}
