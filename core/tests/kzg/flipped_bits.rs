//! No single bit of an opening can change without an error or a `false`.

use trunkline_core::kzg::{Opening, verify_opening};

use crate::support::{opening_of, slot, values_of};

fn holds(opening: &Opening) -> bool {
    let verdict = verify_opening(
        &opening.commitment.0,
        &opening.z,
        &opening.y,
        &opening.proof.0,
    );
    verdict == Ok(true)
}

/// Checks the opening with each single bit changed of the field that `field` picks.
fn assert_each_bit_counts<const N: usize>(field: fn(&mut Opening) -> &mut [u8; N]) {
    let opening = opening_of(&values_of(11), slot(99));
    assert!(holds(&opening));
    for bit in 0..N * 8 {
        let mut changed = opening;
        field(&mut changed)[bit / 8] ^= 1 << (bit % 8);
        assert!(!holds(&changed), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_in_the_commitment_is_refused() {
    assert_each_bit_counts(|opening| &mut opening.commitment.0);
}

#[test]
fn every_flipped_bit_in_the_point_of_evaluation_is_refused() {
    assert_each_bit_counts(|opening| &mut opening.z);
}

#[test]
fn every_flipped_bit_in_the_value_is_refused() {
    assert_each_bit_counts(|opening| &mut opening.y);
}

#[test]
fn every_flipped_bit_in_the_proof_is_refused() {
    assert_each_bit_counts(|opening| &mut opening.proof.0);
}
