use trunkline_ethereum::{slot_call_data, slot_code};

use crate::support::{State, data_gas, execute};

/// Returns whether a contract that holds a state's KZG root accepts the input.
fn accepts(root_of: &State, input: &[u8]) -> bool {
    let (output, _) = execute(slot_code(&root_of.versioned_hash()), input);
    match &output[..] {
        [zeros @ .., answer] if zeros == [0; 31] => *answer == 1,
        _ => panic!("a word that is 0 or 1, not {output:?}"),
    }
}

fn input(state: &State, slot: usize) -> Vec<u8> {
    let opening = state.opening(slot);
    slot_call_data(slot as u8, &state.slots[slot], &state.kzg_root, &opening)
}

#[test]
fn a_contract_checks_the_digest_of_every_slot_that_is_asked_for() {
    let state = State::new(1);
    for slot in [0, 1, 2, 63, 64, 85, 126, 127] {
        assert!(accepts(&state, &input(&state, slot)), "slot {slot}");
    }
}

#[test]
fn another_digest_slot_root_or_opening_is_refused() {
    let (state, other) = (State::new(1), State::new(2));
    let sound = input(&state, 3);
    for (what, byte) in [("slot", 31), ("digest", 63), ("top byte", 32)] {
        let mut forged = sound.clone();
        forged[byte] ^= 1;
        assert!(!accepts(&state, &forged), "{what}");
    }
    assert!(!accepts(&state, &input(&other, 3)));
    assert!(!accepts(&other, &sound));
    let opening = state.opening(4);
    let forged = slot_call_data(3, &state.slots[3], &state.kzg_root, &opening);
    assert!(!accepts(&state, &forged));
    assert!(!accepts(&state, &[]));
}

#[test]
fn the_top_two_bits_of_a_digest_are_not_checked_as_no_commitment_holds_them() {
    let state = State::new(1);
    let mut data = input(&state, 3);
    data[32] ^= 0xc0;
    assert!(accepts(&state, &data));
}

#[test]
fn checking_a_slot_digest_takes_the_gas_that_the_documentation_names() {
    let state = State::new(1);
    let data = input(&state, 85);
    let (_, gas) = execute(slot_code(&state.versioned_hash()), &data);
    assert_eq!((gas, data_gas(&data)), (50_527, 2_188));
    assert!(slot_code(&state.versioned_hash()).len() < 700);
}
