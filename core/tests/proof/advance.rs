use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::{AdvanceError, Claim, Proof, VerifyProofError, advance, verify};
use trunkline_testkit::keys::{number_key, path_collisions};
use trunkline_testkit::naive::{self, Key, NaiveState};
use trunkline_testkit::states::{self, keys_sharing, plain, prove, set};

/// Checks that the moved proof is the one that the later state gives for the same keys.
fn check(name: &str, before: &NaiveState, after: &NaiveState, keys: &BTreeSet<Key>) {
    let written = written(before, after);
    if written.is_empty() {
        return;
    }
    let old = before.prove(5, keys);
    let mut change = after.prove(6, &written);
    change.versions[0].record = Some(states::record(after, 6));
    let mut expected = after.prove(6, keys);
    expected.versions[0].record = Some(states::record(after, 6));
    let moved = advance(&old, &change).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(moved, expected, "{name}");
    assert!(verify(&moved, &states::by_state(after)).is_ok(), "{name}");
}

fn written(before: &NaiveState, after: &NaiveState) -> BTreeSet<Key> {
    let keys = before.map.keys().chain(after.map.keys());
    keys.filter(|key| before.map.get(*key) != after.map.get(*key))
        .cloned()
        .collect()
}

fn changed(state: &NaiveState, change: impl FnOnce(&mut NaiveState)) -> NaiveState {
    let mut state = state.clone();
    change(&mut state);
    state
}

#[test]
fn a_proof_is_moved_over_random_changes_of_random_states() {
    for seed in 0..120 {
        let mut rng = StdRng::seed_from_u64(seed);
        let most = [4, 30, 200][seed as usize % 3];
        let (before, keys) = states::random(seed, most);
        let after = changed(&before, |state| {
            for _ in 0..rng.random_range(1..=most / 2) {
                let key = number_key(rng.random_range(0..2 * most));
                match rng.random_bool(0.5) {
                    true => drop(state.map.remove(&key)),
                    false => drop(state.map.insert(key, rng.random::<[u8; 3]>().to_vec())),
                }
            }
        });
        check(&format!("seed {seed}"), &before, &after, &keys);
    }
}

#[test]
fn a_proof_is_moved_over_every_shape_and_each_of_its_keys_coming_and_going() {
    for (name, state, keys) in states::shapes() {
        for key in keys.iter().take(3) {
            let without = changed(&state, |state| drop(state.map.remove(key)));
            let with = changed(&state, |state| {
                state.map.insert(key.clone(), b"new".to_vec());
            });
            check(name, &with, &without, &keys);
            check(name, &without, &with, &keys);
            let others = set(keys.iter().filter(|other| *other != key).cloned());
            if !others.is_empty() {
                check(name, &with, &without, &others);
                check(name, &without, &with, &others);
            }
        }
    }
}

#[test]
fn a_proof_is_moved_when_a_long_chain_grows_and_shrinks_above_the_key() {
    let [one, other] = keys_sharing(&plain(), 22);
    let alone = NaiveState::of(plain(), [(one.clone(), b"v".to_vec())]);
    let both = changed(&alone, |state| {
        drop(state.map.insert(other.clone(), vec![1]))
    });
    for keys in [set([one.clone()]), set([other.clone()]), set([one, other])] {
        check("grows", &alone, &both, &keys);
        check("shrinks", &both, &alone, &keys);
    }
}

#[test]
fn a_proof_is_moved_when_a_leaf_becomes_a_bucket_and_a_leaf_again() {
    let [one, other] = path_collisions().remove(0);
    let alone = NaiveState::of(plain(), [(one.clone(), b"v".to_vec())]);
    let both = changed(&alone, |state| {
        drop(state.map.insert(other.clone(), vec![1]))
    });
    for keys in [set([one.clone()]), set([other.clone()]), set([one, other])] {
        check("a bucket", &alone, &both, &keys);
        check("a leaf", &both, &alone, &keys);
    }
}

#[test]
fn a_proof_is_moved_to_another_root_if_the_change_leaves_out_a_written_key() {
    let before = states::numbered(plain(), 40);
    let after = changed(&before, |state| {
        state.map.insert(number_key(100), vec![1]);
        state.map.insert(number_key(101), vec![1]);
    });
    let old = before.prove(5, &set([number_key(101)]));
    let partial = after.prove(6, &set([number_key(100)]));
    // Either the two do not match, or the result proves nothing about the new root.
    if let Ok(moved) = advance(&old, &partial) {
        assert!(verify(&moved, &states::by_state(&after)).is_err());
    }
}

#[test]
fn a_moved_proof_keeps_a_value_that_the_change_shows_by_its_hash() {
    let before = states::numbered(plain(), 9);
    let after = changed(&before, |state| drop(state.map.remove(&number_key(8))));
    let old = before.prove(5, &set([number_key(3)]));
    let mut change = after.prove(6, &set([number_key(3), number_key(8)]));
    for entry in &mut change.versions[0].entries {
        if let Claim::Present(value) = &entry.claim {
            entry.claim = Claim::PresentHash(naive::plain(value));
        }
    }
    let moved = advance(&old, &change).unwrap();
    assert_eq!(moved, after.prove(6, &set([number_key(3)])));
}

#[test]
fn a_proof_is_not_moved_backwards_nor_between_trees_nor_with_a_kzg_top() {
    let state = states::numbered(plain(), 9);
    let at = |version| state.prove(version, &set([number_key(1)]));
    let refused = |proof: &Proof, change: &Proof| advance(proof, change).unwrap_err();
    let (from, to) = (6, 5);
    assert_eq!(
        refused(&at(6), &at(5)),
        AdvanceError::Backwards { from, to }
    );
    let (from, to) = (5, 5);
    assert_eq!(
        refused(&at(5), &at(5)),
        AdvanceError::Backwards { from, to }
    );
    let other = TreeParams {
        collision: CollisionPolicy::Reject,
        ..plain()
    };
    let foreign = states::numbered(other, 9).prove(6, &set([number_key(1)]));
    assert_eq!(refused(&at(5), &foreign), AdvanceError::Tree);
    let (kzg, _) = states::prove_kzg(&state, [number_key(1)]);
    assert_eq!(refused(&kzg, &at(6)), AdvanceError::NeedsHashTop);
    assert_eq!(refused(&at(4), &kzg), AdvanceError::NeedsHashTop);
    let mut two = at(6);
    two.versions.push(at(7).versions.remove(0));
    assert_eq!(refused(&at(5), &two), AdvanceError::Versions(2));
    assert_eq!(refused(&two, &at(9)), AdvanceError::Versions(2));
}

#[test]
fn the_error_says_which_of_the_two_breaks_a_rule() {
    let state = states::numbered(plain(), 90);
    let good = |version| prove(&state, [number_key(1)]).at(version);
    let bad = |version| {
        let mut proof = good(version);
        proof.versions[0].entries[0].claim = Claim::Absent;
        proof
    };
    let error = VerifyProofError::OwnLeafPresent(0);
    assert_eq!(advance(&bad(5), &good(6)), Err(AdvanceError::Proof(error)));
    assert_eq!(advance(&good(5), &bad(6)), Err(AdvanceError::Change(error)));
}

trait At {
    fn at(self, version: u64) -> Self;
}

impl At for Proof {
    fn at(mut self, version: u64) -> Self {
        self.versions[0].version = version;
        self
    }
}
