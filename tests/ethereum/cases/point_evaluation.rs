use revm::precompile::PrecompileHalt;
use revm::precompile::kzg_point_evaluation::{GAS_COST, run};
use trunkline_core::kzg::slot_point;
use trunkline_ethereum::FIELD_ORDER;

use crate::support::{Input, State, of};

const GAS: u64 = 50_000;

fn refusal(input: &Input) -> PrecompileHalt {
    run(&input.bytes(), GAS).expect_err("a forged opening is refused")
}

#[test]
fn the_precompile_accepts_openings_for_its_gas_and_with_its_two_constants() {
    let state = State::new(1);
    for slot in [0, 1, 64, 127] {
        let output = run(&state.input(slot).bytes(), GAS).expect("a true opening");
        assert_eq!((output.gas_used, GAS_COST), (GAS, GAS));
        // 4096 field elements in a blob, and the order of the field.
        let mut elements = [0; 32];
        elements[30] = 0x10;
        assert_eq!(output.bytes[..], [elements, FIELD_ORDER].concat());
    }
}

#[test]
fn the_precompile_refuses_less_gas() {
    let input = State::new(1).input(3).bytes();
    assert_eq!(run(&input, GAS - 1), Err(PrecompileHalt::OutOfGas));
}

#[test]
fn the_precompile_accepts_the_empty_state_with_identity_points() {
    let mut input = State::new(1).input(0);
    (input.commitment, input.opening) = ([0; 48], [0; 48]);
    (input.commitment[0], input.opening[0]) = (0xc0, 0xc0);
    input.versioned_hash =
        revm::precompile::kzg_point_evaluation::kzg_to_versioned_hash(&input.commitment);
    assert_eq!(input.y, [0; 32]);
    assert!(run(&input.bytes(), GAS).is_ok());
}

#[test]
fn the_precompile_refuses_another_value() {
    let mut input = State::new(1).input(3);
    input.y[31] ^= 1;
    assert_eq!(refusal(&input), PrecompileHalt::BlobVerifyKzgProofFailed);
}

#[test]
fn the_precompile_refuses_a_digest_whose_top_bits_were_left_in_place() {
    let state = State::new(1);
    let whole = (0..128).find(|slot| state.slots[*slot][0] >= 0x80);
    let slot = whole.expect("half of all digests are like that");
    let mut input = state.input(slot);
    input.y = state.slots[slot];
    assert_eq!(refusal(&input), PrecompileHalt::BlobVerifyKzgProofFailed);
}

#[test]
fn the_precompile_refuses_another_slot() {
    let mut input = State::new(1).input(3);
    input.z = slot_point(of(4));
    assert_eq!(refusal(&input), PrecompileHalt::BlobVerifyKzgProofFailed);
}

#[test]
fn the_precompile_refuses_another_state() {
    let (mut input, other) = (State::new(1).input(3), State::new(2));
    input.commitment = other.kzg_root;
    assert_eq!(refusal(&input), PrecompileHalt::BlobMismatchedVersion);
    input.versioned_hash = other.versioned_hash();
    assert_eq!(refusal(&input), PrecompileHalt::BlobVerifyKzgProofFailed);
}
