use trunkline_core::kzg::G1Bytes;
use trunkline_core::proof::{
    Claim, Proof, TopOpening, VerifiedRoot, VerifyAllError, VerifyProofError,
};
use trunkline_core::record::Root;
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::NaiveState;
use trunkline_testkit::states::{self, plain, prove_kzg};

fn state() -> NaiveState {
    states::numbered(plain(), 60)
}

fn root() -> VerifiedRoot {
    let (_, kzg_root) = prove_kzg(&state(), [number_key(0)]);
    VerifiedRoot::new(Root::of(&states::record(&state(), 5), Some(kzg_root)))
}

fn proof_of(keys: std::ops::Range<u64>) -> Proof {
    prove_kzg(&state(), keys.map(number_key)).0
}

/// Returns the proof with an invalid opening, which must not be used.
fn without_opening(mut proof: Proof) -> Proof {
    proof.opening = Some(TopOpening::Single(G1Bytes([0xff; 48])));
    proof
}

#[test]
fn a_slot_is_opened_once() {
    let mut root = root();
    let error = root.verify(&without_opening(proof_of(3..4))).unwrap_err();
    assert_eq!((error, root.slots_known()), (VerifyProofError::Opening, 0));
    root.verify(&proof_of(3..4)).unwrap();
    assert_eq!(root.slots_known(), 1);
    let again = without_opening(proof_of(3..4));
    let verified = root.verify(&again).unwrap();
    assert!(matches!(
        verified.claim(&number_key(3)),
        Some(Claim::Present(_))
    ));
}

#[test]
fn another_value_of_a_known_slot_is_refused() {
    let mut root = root();
    root.verify(&proof_of(3..4)).unwrap();
    let mut proof = proof_of(3..4);
    proof.versions[0].entries[0].claim = Claim::PresentHash([9; 32]);
    assert_eq!(root.verify(&proof), Err(VerifyProofError::Opening));
}

#[test]
fn slots_are_remembered_from_many_proofs_at_once() {
    let mut root = root();
    let proofs: Vec<Proof> = (0..9).map(|number| proof_of(number..number + 2)).collect();
    let all: Vec<&Proof> = proofs.iter().collect();
    assert_eq!(root.verify_all(&all).unwrap().len(), 9);
    let known = root.slots_known();
    assert!(known > 5);
    let single = without_opening(proof_of(9..10));
    root.verify(&single).unwrap();
    assert_eq!(root.slots_known(), known);
}

#[test]
fn nothing_is_remembered_from_a_list_with_a_false_proof() {
    let mut root = root();
    let (good, bad) = (proof_of(3..4), without_opening(proof_of(4..5)));
    let error = VerifyProofError::Opening;
    let verdict = root.verify_all(&[&good, &bad]);
    assert_eq!(verdict, Err(VerifyAllError { index: 1, error }));
    assert_eq!(root.slots_known(), 0);
}

#[test]
fn hash_tops_are_checked_as_ever() {
    let mut root = root();
    let proof = states::prove(&state(), [number_key(1)]);
    root.verify(&proof).unwrap();
    assert_eq!(root.slots_known(), 0);
    let other = states::prove(&states::numbered(plain(), 61), [number_key(1)]);
    let error = VerifyProofError::ExpectedCommit;
    assert_eq!(root.verify(&other), Err(error));
    let stray = Proof {
        opening: Some(TopOpening::Single(G1Bytes::IDENTITY)),
        ..proof
    };
    let error = VerifyProofError::OpeningKind { slots: 0 };
    assert_eq!(root.verify(&stray), Err(error));
}
