use std::collections::BTreeMap;

use trunkline_core::proof::{Claim, Place, Proof, ShownLeaf, Siblings, VerifyProofError, verify};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, NaiveState};
use trunkline_testkit::states::{self, by_state, plain, random};

/// Checks that the model's proof of another state does not hold for this one.
fn refused(other: &NaiveState, true_state: &NaiveState, key: u64) {
    let proof = other.prove(5, &states::set([number_key(key)]));
    assert_eq!(
        verify(&proof, &by_state(true_state)),
        Err(VerifyProofError::ExpectedState)
    );
}

#[test]
fn a_claim_that_is_proven_of_a_state_that_differs_in_one_key_fails() {
    for seed in 0..10 {
        let (state, _) = random(seed, 60);
        for key in 0..state.map.len() as u64 {
            let mut removed = state.clone();
            removed.map.remove(&number_key(key));
            refused(&removed, &state, key);
            let mut changed = state.clone();
            changed.map.insert(number_key(key), b"another".to_vec());
            refused(&changed, &state, key);
        }
        let mut added = state.clone();
        let key = state.map.len() as u64;
        added.map.insert(number_key(key), b"new".to_vec());
        refused(&added, &state, key);
    }
}

#[test]
fn an_inner_node_passed_off_as_a_lone_leaf_with_an_empty_side_fails() {
    // Two keys are in one slot, so the slot is an inner node. A compacting verifier would take the hidden half for the
    // whole.
    let keys = states::keys_in_slot(&plain(), 3, 0, 3);
    let pairs = keys[..2].iter().map(|key| (key.clone(), b"v".to_vec()));
    let state = NaiveState::of(plain(), pairs);
    let honest = states::prove(&state, [keys[2].clone()]);
    for depth in 7..=56 {
        let mut forged = honest.clone();
        forged.versions[0].terminals[0].depth = depth;
        forged.versions[0].terminals[0].place = Place::Empty;
        let inner = naive::slot_digests(&state.leaves())[3];
        let mut siblings = vec![[0; 32]; usize::from(depth) - 7];
        if let Some(last) = siblings.last_mut() {
            *last = inner;
        }
        forged.versions[0].siblings = Siblings::from_iter(siblings);
        forged.versions[0].record = None;
        let error = verify(&forged, &by_state(&state)).unwrap_err();
        assert_eq!(error, VerifyProofError::ExpectedState);
    }
}

#[test]
fn a_leaf_shown_deeper_or_higher_than_it_stands_fails() {
    let state = states::numbered(plain(), 300);
    let honest = state.prove(5, &states::set([number_key(4)]));
    let depth = honest.versions[0].terminals[0].depth;
    // The slots are full, so that no rule about empty siblings applies first.
    let siblings = honest.versions[0]
        .siblings
        .iter()
        .map(|digest| if digest == [0; 32] { [1; 32] } else { digest });
    let siblings: Vec<_> = siblings.collect();
    for other in (7..=56).filter(|other| *other != depth) {
        let mut forged = honest.clone();
        forged.versions[0].terminals[0].depth = other;
        let mut fitting = siblings.clone();
        fitting.resize(usize::from(other) - 7, [1; 32]);
        forged.versions[0].siblings = Siblings::from_iter(fitting);
        let error = verify(&forged, &by_state(&state)).unwrap_err();
        assert_eq!(error, VerifyProofError::ExpectedState);
    }
}

#[test]
fn a_present_key_hidden_behind_any_shown_leaf_fails() {
    let state = states::numbered(plain(), 40);
    let keys: BTreeMap<_, _> = state.leaves();
    let honest = state.prove(5, &states::set([number_key(4)]));
    let own = plain().key_hash(&number_key(4));
    for tail in 0..=255 {
        let mut key_hash = own;
        key_hash[31] = tail;
        let mut forged: Proof = honest.clone();
        forged.versions[0].entries[0].claim = Claim::Absent;
        forged.versions[0].terminals[0].place = Place::OtherLeaf(ShownLeaf {
            key_hash,
            value_hash: keys[&own],
        });
        let error = verify(&forged, &by_state(&state)).unwrap_err();
        let expected = match key_hash == own {
            true => VerifyProofError::OtherLeafIsEntry(0),
            false => VerifyProofError::ExpectedState,
        };
        assert_eq!(error, expected);
    }
}
