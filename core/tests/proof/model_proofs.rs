use std::collections::{BTreeMap, BTreeSet};

use trunkline_core::params::{CollisionPolicy, PATH_BITS};
use trunkline_core::proof::{Claim, Entry, Expected, Place, Proof, verify};
use trunkline_core::record::Root;
use trunkline_testkit::keys::{number_key, path_collisions, value_of};
use trunkline_testkit::naive::{self, Hash, Key, NaiveState};
use trunkline_testkit::naive_kzg::CEREMONY;
use trunkline_testkit::states::{self, plain, random, set, shapes};

/// Encodes, decodes, and verifies against everything that applies to a hash top.
fn check(name: &str, state: &NaiveState, keys: &BTreeSet<Key>) {
    let record = states::record(state, 5);
    let proof = states::prove(state, keys.iter().cloned());
    let bytes = proof.encode().unwrap();
    let read = Proof::decode(&bytes).unwrap();
    assert_eq!(read, proof, "{name}");
    for expected in [
        Expected::Root(Root::of(&record, None)),
        Expected::CommitId(record.commit_id()),
        states::by_state(state),
        Expected::Carried,
    ] {
        let verified = verify(&read, &expected).unwrap_or_else(|error| panic!("{name}: {error}"));
        for key in keys {
            let claim = match state.map.get(key) {
                Some(value) => Claim::Present(value.clone()),
                None => Claim::Absent,
            };
            assert_eq!(verified.claim(key), Some(&claim), "{name}");
        }
    }
}

#[test]
fn proofs_of_every_shape_of_tree_are_verified() {
    for (name, state, keys) in shapes() {
        check(name, &state, &keys);
    }
}

#[test]
fn proofs_of_random_states_and_keys_are_verified() {
    for seed in 0..24 {
        let (state, keys) = random(seed, 150);
        check(&format!("seed {seed}"), &state, &keys);
    }
}

#[test]
fn proofs_with_value_hashes_in_place_of_values_are_verified() {
    let state = states::numbered(plain(), 50);
    let mut proof = states::prove(&state, (0..60).map(number_key));
    for entry in &mut proof.versions[0].entries {
        if let Claim::Present(value) = &entry.claim {
            entry.claim = Claim::PresentHash(naive::plain(value));
        }
    }
    let read = Proof::decode(&proof.encode().unwrap()).unwrap();
    let verified = verify(&read, &states::by_state(&state)).unwrap();
    let value_hash = naive::plain(&value_of(3));
    assert_eq!(
        verified.claim(&number_key(3)),
        Some(&Claim::PresentHash(value_hash))
    );
}

/// Returns key hashes on the path of `key` that no known key has.
fn made_up_neighbours(key: &Key, count: u8) -> BTreeMap<Hash, Hash> {
    let mut hash = naive::hash_key(&plain(), key);
    let neighbour = |tail: u8| {
        hash[31] = tail;
        hash[30] ^= 0xff;
        (hash, [tail; 32])
    };
    (0..count).map(neighbour).collect()
}

#[test]
fn proofs_of_buckets_of_2_to_16_members_with_and_without_the_key_are_verified() {
    let key = number_key(9);
    let key_hash = naive::hash_key(&plain(), &key);
    for count in 1..=15 {
        let mut leaves = made_up_neighbours(&key, count);
        leaves.extend(states::numbered(plain(), 5).leaves());
        leaves.insert(key_hash, naive::plain(b"v"));
        let claim = Claim::Present(b"v".to_vec());
        check_leaves(&leaves, &key, claim);
        if count > 1 {
            leaves.remove(&key_hash);
            check_leaves(&leaves, &key, Claim::Absent);
        }
    }
}

fn check_leaves(leaves: &naive::Leaves, key: &Key, claim: Claim) {
    let entry = Entry {
        key: key.clone(),
        claim,
    };
    let entries = BTreeMap::from([(naive::hash_key(&plain(), key), entry)]);
    let proof = naive::prove_leaves(&plain(), leaves, 0, &entries);
    assert_eq!(u32::from(proof.versions[0].terminals[0].depth), PATH_BITS);
    assert!(matches!(
        proof.versions[0].terminals[0].place,
        Place::Bucket(_)
    ));
    let expected = Expected::StateDigest {
        tree_id: plain().tree_id(),
        state_digest: naive::state_digest(leaves),
    };
    assert!(verify(&proof, &expected).is_ok());
}

#[test]
fn a_lone_leaf_in_a_slot_takes_no_siblings_below_the_slots() {
    let state = states::numbered(plain(), 1);
    let proof = states::prove(&state, [number_key(0)]);
    assert!(proof.versions[0].siblings.is_empty());
    assert_eq!(proof.versions[0].terminals[0].depth, 7);
}

#[test]
fn a_bucket_takes_49_siblings_that_are_mostly_a_bit_each() {
    let [one, other] = path_collisions().remove(0);
    let state = NaiveState::of(plain(), [(one.clone(), vec![1]), (other, vec![2])]);
    let proof = states::prove(&state, [one]);
    assert_eq!(proof.versions[0].siblings.len(), 49);
    assert!(proof.encode().unwrap().len() < 600);
}

#[test]
fn the_models_tree_id_and_key_hashes_are_those_of_the_crate() {
    let setup_id = naive::setup_id(CEREMONY);
    for collision in [
        CollisionPolicy::Bucket,
        CollisionPolicy::Overwrite,
        CollisionPolicy::Reject,
    ] {
        for salt in [None, Some([0; 32]), Some([9; 32])] {
            let params = states::params(collision, salt);
            assert_eq!(naive::tree_id(&params, &setup_id), params.tree_id());
            assert_eq!(naive::hash_key(&params, b"key"), params.key_hash(b"key"));
        }
    }
}

#[test]
fn one_statement_of_a_state_has_one_proof() {
    // The proof of all keys of a set does not depend on the form of the request.
    let state = states::numbered(plain(), 100);
    let ascending = states::prove(&state, (0..50).map(number_key));
    let descending = states::prove(&state, set((0..50).rev().map(number_key)));
    assert_eq!(ascending.encode(), descending.encode());
}
