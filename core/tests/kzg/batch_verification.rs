//! One pairing check for many openings is as strict as one for each.

use trunkline_core::kzg::{
    Fr, Opening, VerifyOpeningError, VerifyOpeningsError, decode_g1, decode_scalar, encode_g1,
    encode_scalar, verify_openings,
};

use crate::support::{opening_of, openings_of, slot, values_of};

/// Adds to the claimed value of an opening.
fn shift(opening: &mut Opening, by: Fr) {
    let y = decode_scalar(&opening.y).expect("canonical") + by;
    opening.y = encode_scalar(&y);
}

#[test]
fn true_openings_of_one_commitment_and_of_several_hold() {
    let mut openings = openings_of(&values_of(12), 9);
    assert_eq!(verify_openings(&openings), Ok(true));
    openings.extend(openings_of(&values_of(13), 3));
    openings.push(openings[0]);
    assert_eq!(verify_openings(&openings), Ok(true));
}

#[test]
fn one_false_value_at_any_place_is_refused() {
    let openings = openings_of(&values_of(14), 12);
    for place in 0..openings.len() {
        let mut changed = openings.clone();
        shift(&mut changed[place], Fr::from(1));
        assert_eq!(verify_openings(&changed), Ok(false), "place {place}");
    }
}

#[test]
fn two_false_values_that_cancel_under_equal_weights_are_refused() {
    let mut openings = openings_of(&values_of(15), 6);
    let by = Fr::from(1234);
    shift(&mut openings[1], by);
    shift(&mut openings[4], -by);
    assert_eq!(verify_openings(&openings), Ok(false));
}

#[test]
fn two_false_proofs_that_cancel_under_equal_weights_are_refused() {
    // W + D and W - D at the same point: with equal weights both sides of the check would be unchanged.
    let opening = opening_of(&values_of(16), slot(8));
    let proof = decode_g1(&opening.proof.0).expect("canonical");
    let delta = decode_g1(&opening.commitment.0).expect("canonical");
    let with = |proof| Opening {
        proof: encode_g1(&proof).into(),
        ..opening
    };
    let plus = with((proof + delta).into());
    let minus = with((proof - delta).into());
    assert_eq!(verify_openings(&[opening, plus, minus]), Ok(false));
}

#[test]
fn the_same_false_opening_many_times_is_refused() {
    let mut opening = opening_of(&values_of(17), slot(8));
    shift(&mut opening, Fr::from(1));
    assert_eq!(verify_openings(&[opening; 16]), Ok(false));
}

#[test]
fn two_true_openings_with_their_proofs_or_commitments_swapped_are_refused() {
    let first = opening_of(&values_of(18), slot(1));
    let second = opening_of(&values_of(19), slot(2));
    let mut proofs = [first, second];
    (proofs[0].proof, proofs[1].proof) = (second.proof, first.proof);
    assert_eq!(verify_openings(&proofs), Ok(false));
    let mut commitments = [first, second];
    (commitments[0].commitment, commitments[1].commitment) = (second.commitment, first.commitment);
    assert_eq!(verify_openings(&commitments), Ok(false));
}

#[test]
fn malformed_inputs_are_named() {
    let openings = openings_of(&values_of(20), 4);
    let refused = |change: fn(&mut Opening), error| {
        let mut changed = openings.clone();
        change(&mut changed[2]);
        assert_eq!(
            verify_openings(&changed),
            Err(VerifyOpeningsError { index: 2, error })
        );
    };
    refused(
        |opening| opening.commitment.0 = [0; 48],
        VerifyOpeningError::Commitment,
    );
    refused(
        |opening| opening.z = [0xff; 32],
        VerifyOpeningError::PointOfEvaluation,
    );
    refused(|opening| opening.y = [0xff; 32], VerifyOpeningError::Value);
    refused(
        |opening| opening.proof.0 = [0xff; 48],
        VerifyOpeningError::Proof,
    );
}
