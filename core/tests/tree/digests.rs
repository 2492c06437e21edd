use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::CollisionPolicy;
use trunkline_testkit::keys::{number_key, value_of};
use trunkline_testkit::naive::{self, Hash, Key, Op, Require};
use trunkline_testkit::states::{self, plain};
use trunkline_testkit::tree::{Twin, many_near, pick, random_ops, walk};

use crate::support::Keyed;

/// Returns operations on few keys, with repeats and an occasional requirement.
fn submission() -> impl Strategy<Value = (Vec<Op>, Vec<Require>)> {
    let key = || (0..24_u64).prop_map(number_key);
    let value = || (0..3_u64).prop_map(value_of);
    let op = prop_oneof![
        3 => (key(), value()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => key().prop_map(Op::Delete),
    ];
    let require = prop_oneof![
        key().prop_map(Require::Absent),
        (key(), value()).prop_map(|(key, value)| Require::ValueHash(key, naive::plain(&value))),
    ];
    let requires = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(require, 1..3),
    ];
    (prop::collection::vec(op, 1..12), requires)
}

proptest! {
    #![proptest_config(crate::support::fixed_cases())]

    #[test]
    fn any_submissions_over_few_keys_give_the_digests_of_the_model(
        salt in prop::option::of(any::<Hash>()),
        versions in prop::collection::vec(prop::collection::vec(submission(), 0..4), 1..8),
    ) {
        let mut keyed = Keyed::new(states::params(CollisionPolicy::Bucket, salt));
        for submissions in versions {
            for (ops, requires) in submissions {
                let _ = keyed.submit(&ops, &requires);
            }
            keyed.twin.seal();
        }
        keyed.twin.check_leaves();
    }

    #[test]
    fn any_writes_below_shared_prefixes_give_the_digests_of_the_model(
        seed: u64,
        bits in 7..=56_usize,
        counts in prop::collection::vec(1..60_usize, 1..8),
        puts in 0.3..1.0,
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut twin = Twin::new(CollisionPolicy::Bucket);
        let base = rng.random();
        let mut pool = many_near(&mut rng, &base, bits, 50);
        pool.extend(many_near(&mut rng, &base, 7, 20));
        for count in counts {
            let ops = random_ops(&mut rng, &pool, count, puts);
            let _ = twin.submit(&ops);
            twin.seal();
        }
        twin.check_leaves();
    }
}

#[test]
fn many_keys_and_submissions_with_requirements_give_the_digests_of_the_model() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut keyed = Keyed::new(plain());
    for _ in 0..12 {
        for _ in 0..3 {
            let ops: Vec<Op> = (0..rng.random_range(1..80))
                .map(|_| {
                    let key = number_key(rng.random_range(0..400));
                    match rng.random_bool(0.7) {
                        true => Op::Put(key, value_of(rng.random_range(0..4))),
                        false => Op::Delete(key),
                    }
                })
                .collect();
            let key = number_key(rng.random_range(0..400));
            let require = match keyed.model.map.get(&key) {
                Some(value) if rng.random_bool(0.8) => Require::ValueHash(key, naive::plain(value)),
                _ => Require::Absent(key),
            };
            let _ = keyed.submit(&ops, &[require]);
        }
        keyed.twin.seal();
    }
    keyed.twin.check_leaves();
}

#[test]
fn digests_are_those_of_the_model_while_directories_double_and_halve() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let slots: [Hash; 3] = [[0; 32], [0x7f; 32], [0xff; 32]];
    let mut keys: Vec<Hash> = Vec::new();
    let cells_of_version = |twin: &Twin| walk(&twin.reader(), twin.version - 1).1;
    for _ in 0..12 {
        let more: Vec<Hash> = slots
            .iter()
            .flat_map(|slot| many_near(&mut rng, slot, 7, 100))
            .collect();
        twin.put_all(&more);
        keys.extend(more);
        twin.seal();
    }
    assert!(cells_of_version(&twin) > 128 + 3 * 64);
    while !keys.is_empty() {
        let fewer: Vec<Hash> = keys.drain(..keys.len().min(450)).collect();
        twin.delete_all(&fewer);
        twin.seal();
    }
    assert_eq!(cells_of_version(&twin), 128);
    twin.check_leaves();
}

#[test]
fn digests_are_those_of_the_model_when_one_submission_doubles_a_directory_many_times() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let keys = many_near(&mut rng, &[0x42; 32], 7, 2_000);
    twin.put_all(&keys);
    twin.delete_all(&keys[..1_990]);
    twin.put_all(&keys[5..1_000]);
    twin.seal();
    twin.delete_all(&keys);
    twin.put_all(&keys[..3]);
    twin.seal();
    twin.check_leaves();
}

#[test]
fn a_bulk_load_has_the_digests_of_the_model() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let keys: Vec<Hash> = (0..4_000).map(|_| rng.random()).collect();
    twin.put_all(&keys);
    twin.seal();
    twin.delete_all(&keys[1_000..]);
    twin.seal();
    twin.check_leaves();
}

/// Returns numbers, as keys, whose hashes share their first `bits` bits with that of number 0.
fn ground_keys(bits: u32, count: usize) -> Vec<Key> {
    let prefix = |key: &Key| {
        let hash = naive::hash_key(&plain(), key);
        u64::from_be_bytes(hash[..8].try_into().unwrap()) >> (64 - bits)
    };
    let wanted = prefix(&number_key(0));
    let keys = (0..).map(number_key).filter(|key| prefix(key) == wanted);
    keys.take(count).collect()
}

/// Puts keys until cells overflow, then removes them again, with some put back in between.
fn come_and_go(twin: &mut Twin, rng: &mut StdRng, keys: &[Hash]) {
    for some in keys.chunks(7) {
        twin.put_all(some);
        twin.seal();
    }
    for some in keys.chunks(5) {
        twin.delete_all(some);
        let back = *pick(rng, keys);
        twin.put_all(&[back]);
        twin.seal();
    }
    twin.delete_all(keys);
    twin.seal();
    twin.check_leaves();
}

#[test]
fn ground_keys_that_share_14_bits_have_the_digests_of_the_model() {
    let keys = ground_keys(14, 48);
    let hashes: Vec<Hash> = keys.iter().map(|key| naive::plain(key)).collect();
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    come_and_go(&mut twin, &mut StdRng::seed_from_u64(5), &hashes);
    assert!(twin.present.is_empty());
}

#[test]
fn hashes_that_share_20_40_and_54_bits_have_the_digests_of_the_model() {
    for bits in [20, 40, 54] {
        let mut rng = StdRng::seed_from_u64(bits);
        let mut twin = Twin::new(CollisionPolicy::Bucket);
        twin.put_all(&many_near(&mut rng, &[0; 32], 0, 100));
        let base = rng.random();
        let keys = many_near(&mut rng, &base, bits as usize, 40);
        come_and_go(&mut twin, &mut rng, &keys);
        assert_eq!(twin.present.len(), 100);
    }
}
