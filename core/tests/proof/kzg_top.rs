use trunkline_core::kzg::{AggregateProof, G1Bytes, OpenedVersion, Slot};
use trunkline_core::proof::{
    BoundTo, Claim, Expected, Proof, TopOpening, TopRoot, VerifyProofError, opened_slots, verify,
};
use trunkline_core::record::Root;
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::field_values;
use trunkline_testkit::states::{self, plain, prove_kzg};

const IDENTITY: G1Bytes = G1Bytes::IDENTITY;

fn of_keys(state: u64, keys: std::ops::Range<u64>) -> Proof {
    prove_kzg(&states::numbered(plain(), state), keys.map(number_key)).0
}

fn assert_refused(proof: &Proof, error: VerifyProofError) {
    assert_eq!(verify(proof, &Expected::Carried), Err(error));
}

#[test]
fn a_kzg_top_is_verified_against_a_root_and_against_a_bare_kzg_root() {
    let state = states::numbered(plain(), 90);
    for keys in [80..100, 99..100] {
        let (proof, kzg_root) = prove_kzg(&state, keys.map(number_key));
        let proof = Proof::decode(&proof.encode().unwrap()).unwrap();
        let root = Root::of(&states::record(&state, 5), Some(kzg_root));
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
}

#[test]
fn a_kzg_top_opens_with_two_points_whatever_the_number_of_slots() {
    let bytes_of_opening = |proof: &Proof| match proof.opening {
        Some(TopOpening::Single(_)) => 48,
        Some(TopOpening::Aggregate(_)) => 96,
        None => 0,
    };
    assert_eq!(bytes_of_opening(&of_keys(5, 0..1)), 48);
    assert_eq!(bytes_of_opening(&of_keys(5, 0..2)), 96);
    let all = of_keys(5, 0..900);
    assert_eq!(bytes_of_opening(&all), 96);
    assert_eq!(opened_slots(&all).unwrap()[0].slots.len(), 128);
    assert!(verify(&all, &Expected::Carried).is_ok());
}

#[test]
fn a_kzg_top_opens_at_the_values_that_the_claims_lead_to() {
    let state = states::numbered(plain(), 90);
    let keys = states::set((0..4).map(number_key));
    let (proof, kzg_root) = prove_kzg(&state, keys.clone());
    let values = field_values(&state.leaves());
    let slots = state.slots(&keys).into_iter();
    let opened = OpenedVersion {
        version: 5,
        commitment: G1Bytes(kzg_root),
        slots: slots
            .map(|slot| (Slot::new(slot).unwrap(), values[slot]))
            .collect(),
    };
    assert_eq!(opened_slots(&proof), Ok(vec![opened]));
}

#[test]
fn a_kzg_top_of_the_empty_state_opens_with_identity_points() {
    for keys in [0..1, 0..3] {
        let (proof, kzg_root) = prove_kzg(&states::numbered(plain(), 0), keys.map(number_key));
        assert_eq!(G1Bytes(kzg_root), IDENTITY);
        match proof.opening.unwrap() {
            TopOpening::Single(opening) => assert_eq!(opening, IDENTITY),
            TopOpening::Aggregate(proof) => {
                assert_eq!((proof.quotient, proof.opening), (IDENTITY, IDENTITY));
            }
        }
        assert!(verify(&proof, &Expected::Carried).is_ok());
    }
}

#[test]
fn an_opening_of_another_slot_is_refused() {
    let mut proof = of_keys(9, 0..1);
    proof.opening = of_keys(9, 1..2).opening;
    assert_refused(&proof, VerifyProofError::Opening);
    let mut proof = of_keys(9, 0..3);
    proof.opening = of_keys(9, 1..4).opening;
    assert_refused(&proof, VerifyProofError::Opening);
}

#[test]
fn another_value_is_refused() {
    for keys in [0..1, 0..9] {
        let mut proof = of_keys(9, keys);
        proof.versions[0].entries[0].claim = Claim::Present(b"other".to_vec());
        assert_refused(&proof, VerifyProofError::Opening);
    }
}

#[test]
fn bytes_that_are_no_point_are_refused() {
    let mut proof = of_keys(9, 0..1);
    let no_point = G1Bytes([0xff; 48]);
    proof.opening = Some(TopOpening::Single(no_point));
    assert_refused(&proof, VerifyProofError::Opening);
    let mut proof = of_keys(9, 0..5);
    for (quotient, opening) in [(no_point, IDENTITY), (IDENTITY, no_point)] {
        proof.opening = Some(TopOpening::Aggregate(AggregateProof { quotient, opening }));
        assert_refused(&proof, VerifyProofError::Opening);
    }
}

#[test]
fn an_opening_of_the_wrong_kind_is_refused() {
    let (single, aggregate) = (of_keys(9, 0..1), of_keys(9, 0..2));
    for (proof, slots, wrong) in [
        (&single, 1, [None, aggregate.opening]),
        (&aggregate, 2, [None, single.opening]),
    ] {
        for opening in wrong {
            let odd = Proof {
                opening,
                ..proof.clone()
            };
            assert_refused(&odd, VerifyProofError::OpeningKind { slots });
        }
    }
    let hash_top = states::prove(&states::numbered(plain(), 9), [number_key(0)]);
    let odd = Proof {
        opening: single.opening,
        ..hash_top
    };
    assert_refused(&odd, VerifyProofError::OpeningKind { slots: 0 });
}

#[test]
fn a_kzg_top_opens_the_kzg_root_that_the_client_trusts() {
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root: IDENTITY.0,
    };
    assert_eq!(
        verify(&of_keys(9, 0..1), &expected),
        Err(VerifyProofError::ExpectedKzgRoot)
    );
}
