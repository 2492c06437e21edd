use trunkline_core::proof::{
    BoundTo, Claim, Expected, Proof, Top, TopRoot, VerifyProofError, verify,
};
use trunkline_core::record::Root;

use crate::fixture::{self, number_key, plain};
use crate::naive::{NaiveState, field_values};
use crate::naive_kzg::NaiveKzg;

const IDENTITY: [u8; 48] = {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
};

fn kzg_proof(state: &NaiveState, keys: std::ops::Range<u64>) -> (Proof, [u8; 48]) {
    let kzg = NaiveKzg::new(fixture::CEREMONY, &field_values(&state.leaves()));
    let keys = fixture::set(keys.map(number_key));
    let proof = state.prove_kzg(5, &keys, kzg.commitment(), |slot| kzg.open(slot));
    (proof, kzg.commitment())
}

fn openings(proof: &mut Proof) -> &mut Vec<[u8; 48]> {
    match &mut proof.top {
        Top::Kzg { openings, .. } => openings,
        Top::Hash { .. } => panic!("a KZG top was made"),
    }
}

#[test]
fn and_is_verified_against_a_root_and_against_a_bare_kzg_root() {
    let state = fixture::numbered(plain(), 90);
    let (proof, kzg_root) = kzg_proof(&state, 80..100);
    let proof = Proof::decode(&proof.encode().unwrap()).unwrap();
    let root = Root::of(&fixture::record(&state, 5), Some(kzg_root));
    let verified = verify(&proof, &Expected::Root(root)).unwrap();
    assert_eq!(verified.trusted_version, Some(5));
    assert_eq!(verified.root, TopRoot::Kzg(kzg_root));
    assert_eq!(verified.claim(&number_key(99)), Some(&Claim::Absent));
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root,
    };
    let verified = verify(&proof, &expected).unwrap();
    assert_eq!(verified.bound_to, BoundTo::KzgRoot);
    assert_eq!(verified.trusted_version, None);
    assert!(verify(&proof, &Expected::Carried).is_ok());
}

#[test]
fn of_the_empty_state_with_identity_points() {
    let state = fixture::numbered(plain(), 0);
    let (mut proof, kzg_root) = kzg_proof(&state, 0..3);
    assert_eq!(kzg_root, IDENTITY);
    assert_eq!(openings(&mut proof)[0], IDENTITY);
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root,
    };
    assert!(verify(&proof, &expected).is_ok());
}

#[test]
fn so_an_opening_of_another_slot_is_refused() {
    let (mut proof, _) = kzg_proof(&fixture::numbered(plain(), 9), 0..9);
    openings(&mut proof).swap(0, 1);
    assert_eq!(
        verify(&proof, &Expected::Carried),
        Err(VerifyProofError::Opening)
    );
}

#[test]
fn so_another_value_is_refused() {
    let (mut proof, _) = kzg_proof(&fixture::numbered(plain(), 9), 0..9);
    proof.entries[0].claim = Claim::Present(b"other".to_vec());
    assert_eq!(
        verify(&proof, &Expected::Carried),
        Err(VerifyProofError::Opening)
    );
}

#[test]
fn so_bytes_that_are_no_point_are_refused() {
    let (mut proof, _) = kzg_proof(&fixture::numbered(plain(), 1), 0..1);
    openings(&mut proof)[0] = [0xff; 48];
    assert_eq!(
        verify(&proof, &Expected::Carried),
        Err(VerifyProofError::Opening)
    );
}

#[test]
fn so_too_few_and_too_many_openings_are_refused() {
    let (mut proof, _) = kzg_proof(&fixture::numbered(plain(), 9), 0..1);
    openings(&mut proof).push(IDENTITY);
    let error = VerifyProofError::OpeningCount {
        slots: 1,
        openings: 2,
    };
    assert_eq!(verify(&proof, &Expected::Carried), Err(error));
    openings(&mut proof).clear();
    let error = VerifyProofError::OpeningCount {
        slots: 1,
        openings: 0,
    };
    assert_eq!(verify(&proof, &Expected::Carried), Err(error));
}

#[test]
fn against_the_kzg_root_that_the_client_trusts() {
    let (proof, _) = kzg_proof(&fixture::numbered(plain(), 9), 0..1);
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root: IDENTITY,
    };
    assert_eq!(
        verify(&proof, &expected),
        Err(VerifyProofError::ExpectedKzgRoot)
    );
}
