//! The empty state and constant polynomials: the identity is a commitment and a proof.

use trunkline_core::kzg::{
    CommitmentPoint, Fr, G1Bytes, encode_scalar, slot_point, verify_opening, verify_openings,
};

use crate::support::{COMMITTER, opening_of, slot, values_of};

#[test]
fn the_empty_state_has_the_identity_as_root_and_as_every_proof() {
    let empty = [Fr::default(); 128];
    assert_eq!(COMMITTER.commit(&empty), CommitmentPoint::IDENTITY);
    let opening = opening_of(&empty, slot(42));
    assert_eq!(opening.commitment, G1Bytes::IDENTITY);
    assert_eq!(opening.proof, G1Bytes::IDENTITY);
    let identity = &G1Bytes::IDENTITY.0;
    let verdict = verify_opening(identity, &opening.z, &opening.y, identity);
    assert_eq!(verdict, Ok(true));
}

#[test]
fn a_constant_is_proven_by_the_identity() {
    let value = values_of(10)[0];
    let opening = opening_of(&[value; 128], slot(7));
    assert_ne!(opening.commitment, G1Bytes::IDENTITY);
    assert_eq!(opening.proof, G1Bytes::IDENTITY);
    assert_eq!(verify_openings(&[opening]), Ok(true));
}

#[test]
fn the_identity_proves_no_value_that_is_not_there() {
    let identity = &G1Bytes::IDENTITY.0;
    let one = encode_scalar(&Fr::from(1));
    let verdict = verify_opening(identity, &slot_point(slot(0)), &one, identity);
    assert_eq!(verdict, Ok(false));
}

#[test]
fn no_openings_at_all_hold() {
    assert_eq!(verify_openings(&[]), Ok(true));
}
