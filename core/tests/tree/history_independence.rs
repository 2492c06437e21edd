use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::{self, Roots};
use trunkline_testkit::naive::Hash;
use trunkline_testkit::tree::{HashedOp, State, Twin, expected_leaves, many_near};

/// Returns keys of every kind: far apart, in one slot, below long prefixes, in buckets.
fn keys(rng: &mut StdRng) -> Vec<Hash> {
    let mut keys = many_near(rng, &[0; 32], 0, 200);
    keys.extend(many_near(rng, &[0x11; 32], 7, 150));
    keys.extend(many_near(rng, &[0x22; 32], 20, 45));
    keys.extend(many_near(rng, &[0x33; 32], 55, 20));
    keys.extend(many_near(rng, &[0x44; 32], 56, 16));
    keys
}

/// Returns keys that are removed in the end; none in the full bucket.
fn others(rng: &mut StdRng) -> Vec<Hash> {
    let mut keys = many_near(rng, &[0; 32], 0, 300);
    keys.extend(many_near(rng, &[0x11; 32], 7, 900));
    keys.extend(many_near(rng, &[0x22; 32], 20, 45));
    keys.extend(many_near(rng, &[0x55; 32], 56, 16));
    keys
}

fn put(key: &Hash, value: u8) -> HashedOp {
    (*key, Some([value; 32]))
}

fn in_random_order(seed: u64, keys: &[Hash]) -> Twin {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut keys = keys.to_vec();
    keys.shuffle(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    while !keys.is_empty() {
        let some = keys.split_off(keys.len() - rng.random_range(1..=keys.len()).min(120));
        let ops: Vec<HashedOp> = some.iter().map(|key| put(key, 7)).collect();
        twin.submit(&ops).unwrap();
        if rng.random() {
            twin.seal();
        }
    }
    twin
}

fn by_detours(seed: u64, keys: &[Hash]) -> Twin {
    let mut rng = StdRng::seed_from_u64(1_000 + seed);
    let others = others(&mut rng);
    let mut ops: Vec<HashedOp> = others.iter().map(|key| put(key, 1)).collect();
    ops.extend(keys.iter().map(|key| put(key, 2)));
    ops.shuffle(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.submit(&ops).unwrap();
    twin.seal();
    let mut ops: Vec<HashedOp> = others.iter().map(|key| (*key, None)).collect();
    ops.extend(keys.iter().map(|key| put(key, 7)));
    ops.shuffle(&mut rng);
    for some in ops.chunks(400) {
        twin.submit(some).unwrap();
        twin.seal();
    }
    twin
}

fn built(state: &State) -> Roots {
    let (mut writer, mut hasher) =
        tree::build(CollisionPolicy::Bucket, &expected_leaves(state)).unwrap();
    hasher.hash(writer.seal(9), None)
}

#[test]
fn digests_depend_on_the_leaves_alone() {
    let keys = keys(&mut StdRng::seed_from_u64(1));
    let mut all = Vec::new();
    for seed in 0..3 {
        let mut twin = in_random_order(seed, &keys);
        all.push(twin.seal());
        let mut twin = by_detours(seed, &keys);
        all.push(twin.seal());
        all.push(built(&twin.present));
    }
    assert!(all.windows(2).all(|two| two[0].slots == two[1].slots));
    assert!(
        all.windows(2)
            .all(|two| two[0].state_digest == two[1].state_digest)
    );
    assert!(all.iter().all(|roots| roots.key_count == keys.len() as u64));
}

#[test]
fn a_built_tree_continues_like_one_that_grew() {
    let keys = keys(&mut StdRng::seed_from_u64(2));
    let mut grown = by_detours(1, &keys);
    let (writer, hasher) =
        tree::build(CollisionPolicy::Bucket, &expected_leaves(&grown.present)).unwrap();
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    (twin.writer, twin.hasher) = (writer, hasher);
    (twin.present, twin.version) = (grown.present.clone(), grown.version);
    twin.seen.clear();
    twin.seal();
    grown.seal();
    for some in keys.chunks(100) {
        twin.delete_all(some);
        grown.delete_all(some);
        assert_eq!(twin.seal(), grown.seal());
    }
    twin.check_leaves();
    grown.check_leaves();
}

#[test]
fn a_deleted_key_was_never_there() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let empty = twin.seal();
    for key in keys(&mut rng).iter().step_by(9) {
        let before = twin.seal();
        twin.put_all(&[*key]);
        twin.seal();
        twin.delete_all(&[*key]);
        assert_eq!(twin.seal().slots, before.slots);
        twin.put_all(&[*key]);
    }
    let all: Vec<Hash> = twin.present.keys().copied().collect();
    twin.delete_all(&all);
    let roots = twin.seal();
    assert_eq!(roots.slots, empty.slots);
    assert_eq!(roots.state_digest, [0; 32]);
}

#[test]
fn leaves_that_are_not_sorted_are_no_tree() {
    let twin = in_random_order(0, &keys(&mut StdRng::seed_from_u64(4)));
    let mut leaves = expected_leaves(&twin.present);
    leaves.swap(7, 8);
    assert!(tree::build(CollisionPolicy::Bucket, &leaves).is_none());
    leaves[7] = leaves[8];
    assert!(tree::build(CollisionPolicy::Bucket, &leaves).is_none());
}
