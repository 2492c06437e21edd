use trunkline_core::proof::{Claim, Expected, Proof, verify};
use trunkline_core::record::Root;
use trunkline_testkit::keys::{number_key, path_collisions};
use trunkline_testkit::naive::{Key, NaiveState};
use trunkline_testkit::states::{self, plain};

/// Returns whether a proof differs from another one only in keys, and its claims are true.
fn is_true_of_other_keys(state: &NaiveState, proof: &Proof, original: &Proof) -> bool {
    let mut renamed = proof.clone();
    for (entry, from) in renamed.versions[0]
        .entries
        .iter_mut()
        .zip(&original.versions[0].entries)
    {
        entry.key.clone_from(&from.key);
    }
    renamed == *original
        && proof.versions[0].entries.iter().all(|entry| {
            match (&entry.claim, state.map.get(&entry.key)) {
                (Claim::Absent, None) => true,
                (Claim::Present(claimed), Some(value)) => claimed == value,
                _ => false,
            }
        })
}

fn assert_refused(state: &NaiveState, original: &Proof, bytes: &[u8], expected: &Expected) {
    let Ok(proof) = Proof::decode(bytes) else {
        return;
    };
    if verify(&proof, expected).is_ok() {
        assert!(is_true_of_other_keys(state, &proof, original), "{proof:?}");
    }
}

fn assert_every_change_is_refused(state: &NaiveState, keys: &[Key], masks: &[u8]) {
    let proof = states::prove(state, keys.iter().cloned());
    let bytes = proof.encode().unwrap();
    let expected = Expected::CommitId(states::record(state, 5).commit_id());
    assert!(verify(&proof, &expected).is_ok());
    for index in 0..bytes.len() {
        for mask in masks {
            let mut changed = bytes.clone();
            changed[index] ^= mask;
            assert_refused(state, &proof, &changed, &expected);
        }
        assert!(Proof::decode(&bytes[..index]).is_err());
    }
}

const EVERY_BIT: [u8; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 255];

#[test]
fn a_changed_byte_of_a_present_key_proves_nothing_false() {
    assert_every_change_is_refused(&states::numbered(plain(), 30), &[number_key(3)], &EVERY_BIT);
}

#[test]
fn a_changed_byte_of_an_absent_key_in_an_empty_place_proves_nothing_false() {
    assert_every_change_is_refused(&states::numbered(plain(), 3), &[number_key(3)], &EVERY_BIT);
}

#[test]
fn a_changed_byte_of_an_absent_key_at_another_leaf_proves_nothing_false() {
    let key = states::other_in_slot(&plain());
    let state = states::numbered(plain(), 1);
    assert_every_change_is_refused(&state, &[key], &EVERY_BIT);
}

#[test]
fn a_changed_byte_of_a_bucket_proves_nothing_false() {
    let [one, other] = path_collisions().remove(0);
    let pairs = [(one.clone(), b"1".to_vec()), (other.clone(), b"2".to_vec())];
    let state = NaiveState::of(plain(), pairs);
    assert_every_change_is_refused(&state, &[one, other], &EVERY_BIT);
}

#[test]
fn a_changed_byte_of_several_keys_under_a_salt_proves_nothing_false() {
    let salted = states::params(Default::default(), Some([3; 32]));
    let keys: Vec<Key> = (17..23).map(number_key).collect();
    assert_every_change_is_refused(&states::numbered(salted, 20), &keys, &[1, 16, 128]);
}

#[test]
fn a_changed_byte_of_a_proof_with_a_kzg_top_proves_nothing_false() {
    let state = states::numbered(plain(), 2);
    let (proof, kzg_root) = states::prove_kzg(&state, [number_key(1)]);
    let bytes = proof.encode().unwrap();
    let root = Root::of(&states::record(&state, 5), Some(kzg_root));
    let expected = Expected::Root(root);
    assert!(verify(&proof, &expected).is_ok());
    for index in 0..bytes.len() {
        for mask in [1, 32] {
            let mut changed = bytes.clone();
            changed[index] ^= mask;
            assert_refused(&state, &proof, &changed, &expected);
        }
    }
}
