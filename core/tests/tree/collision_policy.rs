use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree;
use trunkline_testkit::keys::{number_key, path_collisions, value_of};
use trunkline_testkit::naive::{Hash, Key, Op};
use trunkline_testkit::states::{self, set};
use trunkline_testkit::tree::{
    HashedOp, State, Twin, check_roots, leaves_of, many_near, pick, prepared, random_ops,
};

use crate::support::Keyed;

const POLICIES: [CollisionPolicy; 3] = [
    CollisionPolicy::Bucket,
    CollisionPolicy::Overwrite,
    CollisionPolicy::Reject,
];

fn put(key: Hash) -> HashedOp {
    (key, Some([9; 32]))
}

proptest! {
    #![proptest_config(crate::support::fixed_cases())]

    /// Few paths, crowded cells around them, and every policy.
    #[test]
    fn a_path_holds_what_the_model_says(
        seed: u64,
        policy in prop::sample::select(POLICIES.to_vec()),
        members in 2..30_usize,
        crowd in 0..40_usize,
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut twin = Twin::new(policy);
        let base: Hash = rng.random();
        let crowd = many_near(&mut rng, &base, 40, crowd);
        for one in &crowd {
            let _ = twin.submit(&[put(*one)]);
        }
        let mut pool = Vec::new();
        for bits in [0, 48, 55] {
            let path = many_near(&mut rng, &base, bits, 1)[0];
            pool.extend(many_near(&mut rng, &path, 56, members));
        }
        pool.extend(&crowd);
        for _ in 0..5 {
            for _ in 0..3 {
                let count = rng.random_range(1..12);
                let ops = random_ops(&mut rng, &pool, count, 0.75);
                let _ = twin.submit(&ops);
            }
            twin.seal();
        }
        twin.check_leaves();
    }
}

#[test]
fn a_bucket_holds_sixteen_keys_and_no_more() {
    let mut rng = StdRng::seed_from_u64(1);
    let members = many_near(&mut rng, &[0x77; 32], 56, 18);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for member in &members[..16] {
        twin.put_all(&[*member]);
        twin.seal();
    }
    let full = |key_hash| Err(Refusal::BucketFull { key_hash });
    assert_eq!(twin.submit(&[put(members[16])]), full(members[16]));
    assert_eq!(
        twin.submit(&[put(members[17]), (members[0], None), put(members[16])]),
        full(members[16])
    );
    twin.submit(&[put(members[16]), (members[0], None)])
        .unwrap();
    twin.submit(&[put(members[5])]).unwrap();
    twin.seal();
    for member in &members {
        twin.delete_all(&[*member]);
        twin.seal();
    }
    assert!(twin.present.is_empty());
    twin.check_leaves();
}

#[test]
fn overwrite_keeps_the_newest_key_alone() {
    let mut rng = StdRng::seed_from_u64(2);
    let members = many_near(&mut rng, &[0x77; 32], 56, 6);
    let [a, b, c, d, e, f] = members[..] else {
        unreachable!()
    };
    let mut twin = Twin::new(CollisionPolicy::Overwrite);
    let holds = |twin: &mut Twin, ops: &[HashedOp], only: &[Hash]| {
        twin.submit(ops).unwrap();
        let keys: Vec<Hash> = twin.present.keys().copied().collect();
        assert_eq!(keys, only);
        twin.seal();
    };
    holds(&mut twin, &[put(a)], &[a]);
    holds(&mut twin, &[put(b)], &[b]);
    holds(&mut twin, &[put(d), put(c)], &[c]);
    holds(&mut twin, &[put(f), put(e), put(d), put(c)], &[c]);
    holds(&mut twin, &[put(a), (c, None)], &[a]);
    holds(&mut twin, &[(b, None), put(a)], &[a]);
    holds(&mut twin, &[put(b), (b, None)], &[a]);
    holds(&mut twin, &[(a, Some([1; 32])), put(b)], &[b]);
    holds(&mut twin, &[put(c), put(b)], &[b]);
    holds(&mut twin, &[(b, None)], &[]);
    twin.check_leaves();
}

#[test]
fn reject_keeps_one_key_until_it_is_gone() {
    let mut rng = StdRng::seed_from_u64(3);
    let members = many_near(&mut rng, &[0x77; 32], 56, 3);
    let [a, b, c] = members[..] else {
        unreachable!()
    };
    let mut twin = Twin::new(CollisionPolicy::Reject);
    let taken = |key_hash| Err(Refusal::PathTaken { key_hash });
    assert_eq!(twin.submit(&[put(a), put(c), put(b)]), taken(b));
    twin.submit(&[put(a), put(b), (b, None)]).unwrap();
    assert_eq!(twin.submit(&[put(b)]), taken(b));
    twin.submit(&[put(b), (a, None)]).unwrap();
    twin.seal();
    twin.submit(&[(b, None)]).unwrap();
    twin.submit(&[put(c)]).unwrap();
    twin.seal();
    twin.check_leaves();
}

/// Submits random operations on real colliding pairs and a few other keys.
fn collide(policy: CollisionPolicy, seed: u64) -> Keyed {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut keyed = Keyed::new(states::params(policy, None));
    let mut keys: Vec<Key> = path_collisions().concat();
    let pairs = set(keys.clone());
    keys.extend((0..6).map(number_key));
    for _ in 0..10 {
        for _ in 0..3 {
            let ops: Vec<Op> = (0..rng.random_range(1..5))
                .map(|_| {
                    let key = pick(&mut rng, &keys).clone();
                    match rng.random_bool(0.75) {
                        true => Op::Put(key, value_of(rng.random_range(0..2))),
                        false => Op::Delete(key),
                    }
                })
                .collect();
            let _ = keyed.submit(&ops, &[]);
        }
        let roots = keyed.twin.seal();
        keyed.check_proof(&roots, &pairs);
    }
    keyed.twin.check_leaves();
    keyed
}

#[test]
fn real_colliding_keys_follow_the_policy() {
    for policy in POLICIES {
        for seed in 0..6 {
            collide(policy, seed);
        }
    }
}

/// The changes under any policy, replayed as resolved effects, give the same tree.
#[test]
fn resolved_effects_replay_without_the_policy() {
    for policy in POLICIES {
        let mut rng = StdRng::seed_from_u64(4);
        let mut pool = many_near(&mut rng, &[0x21; 32], 0, 40);
        pool.extend(many_near(&mut rng, &[0x21; 32], 56, 20));
        let mut twin = Twin::new(policy);
        let (mut replayed, mut hasher) = tree::build(policy, &[]).unwrap();
        hasher.hash(replayed.seal(0), None);
        for _ in 0..20 {
            let ops = random_ops(&mut rng, &pool, 6, 0.7);
            let before = twin.present.clone();
            // Refused or not: only the content of the log would differ.
            let _ = twin.submit(&ops);
            let value = |state: &State, key: &Hash| state.get(key).map(|leaf| leaf.0);
            let keys: BTreeSet<&Hash> = before.keys().chain(twin.present.keys()).collect();
            let effects: Vec<HashedOp> = keys
                .into_iter()
                .map(|key| (*key, value(&twin.present, key)))
                .filter(|(key, left)| value(&before, key) != *left)
                .collect();
            replayed
                .replay(None, &prepared(&effects).writes, twin.version)
                .unwrap();
            let roots = hasher.hash(replayed.seal(twin.version), None);
            check_roots(&roots, twin.version, &leaves_of(&twin.present));
            twin.seal();
        }
    }
}
