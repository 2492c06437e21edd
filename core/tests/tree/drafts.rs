use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::kzg::{Committer, Setup, slot_value};
use trunkline_core::params::{CollisionPolicy, KEY_BYTES_MAX, TreeParams};
use trunkline_core::proof::{
    Claim, Draft, ENTRIES_MAX, Expected, Proof, ProveError, Siblings, Top, TopSlots, open_tops,
    verify,
};
use trunkline_core::tree::Roots;
use trunkline_testkit::keys::{number_key, path_collisions};
use trunkline_testkit::naive::{self, Key, NaiveState, Op};
use trunkline_testkit::states;
use trunkline_testkit::tree::{Seen, Twin, many_near};

use crate::support::{Keyed, hash_proof, model_proof};

fn tree_of(state: &NaiveState) -> (Keyed, Roots) {
    let mut keyed = Keyed::new(state.params);
    let pairs = state.map.iter();
    let ops: Vec<Op> = pairs
        .map(|(key, value)| Op::Put(key.clone(), value.clone()))
        .collect();
    if !ops.is_empty() {
        keyed.submit(&ops, &[]).unwrap();
    }
    let roots = keyed.twin.seal();
    (keyed, roots)
}

fn by_state(params: &TreeParams, roots: &Roots) -> Expected {
    Expected::StateDigest {
        tree_id: params.tree_id(),
        state_digest: roots.state_digest,
    }
}

/// Checks that the proof verifies, also after encoding, and that no changed claim does.
fn check_verifies(proof: &Proof, expected: &Expected) {
    let proof = Proof::decode(&proof.encode().unwrap()).unwrap();
    let verified = verify(&proof, expected).unwrap();
    for entry in &proof.versions[0].entries {
        assert_eq!(verified.claim(&entry.key), Some(&entry.claim));
    }
    let falsehoods = [
        Claim::Absent,
        Claim::Present(b"made up".to_vec()),
        Claim::PresentHash([0; 32]),
    ];
    for index in [
        0,
        proof.versions[0].entries.len() / 2,
        proof.versions[0].entries.len() - 1,
    ] {
        let truth = proof.versions[0].entries[index].claim.value_hash();
        for falsehood in &falsehoods {
            if falsehood.value_hash() == truth {
                continue;
            }
            let mut lie = proof.clone();
            lie.versions[0].entries[index].claim = falsehood.clone();
            assert!(verify(&lie, expected).is_err());
        }
    }
}

#[test]
fn drafts_of_every_shape_of_a_tree_verify() {
    for (name, state, keys) in states::shapes() {
        println!("{name}");
        let (keyed, roots) = tree_of(&state);
        let proof = keyed.check_proof(&roots, &keys);
        check_verifies(&proof, &by_state(&state.params, &roots));
    }
}

#[test]
fn drafts_of_random_states_and_keys_verify() {
    for seed in 0..40 {
        let (state, keys) = states::random(seed, 300);
        let (keyed, roots) = tree_of(&state);
        let proof = keyed.check_proof(&roots, &keys);
        check_verifies(&proof, &by_state(&state.params, &roots));
    }
}

#[test]
fn drafts_of_keys_in_deep_branches_and_full_buckets_verify() {
    let params = states::plain();
    let mut rng = StdRng::seed_from_u64(1);
    let [one, other] = path_collisions().remove(0);
    let hash = naive::plain(&one);
    for bits in 7..=56 {
        let mut twin = Twin::new(CollisionPolicy::Bucket);
        let count = if bits == 56 {
            15
        } else {
            rng.random_range(1..60)
        };
        if bits == 55 {
            twin.put_all(&many_near(&mut rng, &hash, 55, 16));
        } else {
            twin.put_all(&many_near(&mut rng, &hash, bits, count));
        }
        if rng.random() {
            twin.put_all(&[hash]);
        }
        let roots = twin.seal();
        let seen: &Seen = &twin.seen[&1];
        for keys in [vec![one.clone()], vec![other.clone(), one.clone()]] {
            let proof = hash_proof(&twin.reader(), &roots, &params, &keys);
            assert_eq!(proof, model_proof(&params, seen, &keys), "{bits} bits");
            check_verifies(&proof, &by_state(&params, &roots));
        }
    }
}

#[test]
fn a_draft_of_a_key_next_to_a_crowd_verifies_however_late_they_part() {
    let params = states::plain();
    let mut rng = StdRng::seed_from_u64(2);
    let [one, other] = path_collisions().remove(1);
    let hash = naive::plain(&one);
    for bits in 7..56 {
        let mut near = hash;
        near[bits / 8] ^= 0x80 >> (bits % 8);
        let mut twin = Twin::new(CollisionPolicy::Bucket);
        let shared = rng.random_range(bits + 1..=bits.max(49) + 1);
        twin.put_all(&many_near(
            &mut rng,
            &near,
            shared,
            48.min(8 << (56 - shared).min(4)),
        ));
        for present in [vec![], vec![hash], vec![naive::plain(&other)]] {
            twin.put_all(&present);
            let roots = twin.seal();
            let keys = [one.clone(), other.clone()];
            let proof = hash_proof(&twin.reader(), &roots, &params, &keys);
            let seen = &twin.seen[&roots.version];
            assert_eq!(proof, model_proof(&params, seen, &keys), "{bits} bits");
            check_verifies(&proof, &by_state(&params, &roots));
        }
    }
}

#[test]
fn drafts_verify_while_a_crowd_around_the_key_comes_and_goes() {
    let params = states::plain();
    let mut rng = StdRng::seed_from_u64(3);
    let keys = path_collisions().concat();
    let hash = naive::plain(&keys[0]);
    for bits in [7, 16, 31, 52] {
        let crowd = many_near(&mut rng, &hash, bits, 40);
        let mut twin = Twin::new(CollisionPolicy::Bucket);
        // Other leaves in the slot keep its directory from being rebuilt.
        twin.put_all(&many_near(&mut rng, &hash, 7, 150));
        let check = |twin: &mut Twin| {
            let roots = twin.seal();
            let proof = hash_proof(&twin.reader(), &roots, &params, &keys);
            let seen = &twin.seen[&roots.version];
            assert_eq!(proof, model_proof(&params, seen, &keys), "{bits} bits");
        };
        for some in crowd.chunks(10) {
            twin.put_all(some);
            check(&mut twin);
        }
        for one in &crowd {
            twin.delete_all(&[*one]);
            check(&mut twin);
        }
    }
}

#[test]
fn drafts_with_kzg_tops_verify() {
    let committer = Committer::new(&Setup::ceremony().unwrap());
    let buckets = states::shapes().pop().unwrap();
    let empty = states::shapes().remove(0);
    let (state, keys) = states::random(3, 60);
    let few: BTreeSet<Key> = keys.into_iter().take(3).collect();
    let few_of_empty = empty.2.into_iter().take(2).collect();
    for (state, keys) in [
        (empty.1, few_of_empty),
        (state, few),
        (buckets.1, buckets.2),
    ] {
        let (keyed, roots) = tree_of(&state);
        let values = std::array::from_fn(|slot| slot_value(&roots.slots[slot]));
        let commitment = committer.commit(&values).to_bytes();
        let reader = keyed.twin.reader();
        let draft = Draft::walk(&reader, &roots, &state.params, &keys).unwrap();
        let slots = TopSlots {
            version: 1,
            kzg_root: commitment,
            values: &values,
            slots: draft.slots(),
        };
        let mut proof = keyed.check_proof(&roots, &keys);
        proof.versions[0].top = Top::Kzg {
            kzg_root: commitment.0,
        };
        proof.opening = open_tops(&committer, &[slots]);
        assert_eq!(proof, states::prove_kzg_at(&state, 1, keys).0);
        let expected = Expected::KzgRoot {
            tree_id: state.params.tree_id(),
            kzg_root: commitment.0,
        };
        check_verifies(&proof, &expected);
    }
}

#[test]
fn a_draft_does_not_verify_against_another_version() {
    let (state, keys) = states::random(4, 100);
    let (mut keyed, roots) = tree_of(&state);
    let proof = keyed.check_proof(&roots, &keys);
    keyed
        .submit(&[Op::Put(b"one more".to_vec(), Vec::new())], &[])
        .unwrap();
    let later = keyed.twin.seal();
    assert!(verify(&proof, &by_state(&state.params, &later)).is_err());
    let proof = keyed.check_proof(&later, &keys);
    check_verifies(&proof, &by_state(&state.params, &later));
}

#[test]
fn keys_may_come_in_any_order_and_more_than_once() {
    let (state, keys) = states::random(5, 100);
    let (keyed, roots) = tree_of(&state);
    let shuffled: Vec<Key> = keys.iter().rev().chain(&keys).cloned().collect();
    let sorted: Vec<Key> = keys.iter().cloned().collect();
    let reader = keyed.twin.reader();
    assert_eq!(
        hash_proof(&reader, &roots, &state.params, &shuffled),
        hash_proof(&reader, &roots, &state.params, &sorted)
    );
}

#[test]
fn keys_that_no_proof_can_hold_have_no_draft() {
    let (keyed, roots) = tree_of(&states::numbered(states::plain(), 3));
    let refused = |keys: &[Vec<u8>]| {
        Draft::walk(&keyed.twin.reader(), &roots, &states::plain(), keys).unwrap_err()
    };
    assert_eq!(refused(&[]), ProveError::Keys(0));
    assert_eq!(refused(&[vec![1], vec![]]), ProveError::KeyBytes(0));
    let long = vec![1; KEY_BYTES_MAX + 1];
    assert_eq!(refused(&[long]), ProveError::KeyBytes(KEY_BYTES_MAX + 1));
    let many: Vec<Key> = (0..=ENTRIES_MAX as u64).map(number_key).collect();
    assert_eq!(refused(&many), ProveError::Keys(ENTRIES_MAX + 1));
}

#[test]
fn no_sibling_is_left_when_every_slot_is_used() {
    let (keyed, roots) = tree_of(&states::numbered(states::plain(), 900));
    let keys: BTreeSet<Key> = keyed.model.map.keys().cloned().collect();
    let proof = keyed.check_proof(&roots, &keys);
    let siblings = Siblings::default();
    assert_eq!(proof.versions[0].top, Top::Hash { siblings });
    check_verifies(&proof, &by_state(&states::plain(), &roots));
}
