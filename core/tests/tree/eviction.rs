//! Pages that leave memory and come back.

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::ThreadPoolBuilder;
use trunkline_core::batch::{PreparedBatch, Requirement};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Draft, ProveError};
use trunkline_core::tree::{self, BuildError, Leaf, NotInMemory};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::{keys_in_slot, plain};
use trunkline_testkit::tree::{State, Twin, many_near, pick, prepared, random_ops};

use crate::pair::{NOTHING, Pair, built, pool, stored};

fn random_run(seed: u64, policy: CollisionPolicy, shards: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (keys, hashes) = pool(&mut rng);
    let mut pair = Pair::new(policy);
    pair.shards = shards;
    let mut evicted = 0;
    for step in 0..40 {
        let puts = if step % 5 == 4 { 0.1 } else { 0.8 };
        for _ in 0..rng.random_range(0..3) {
            let count = *pick(&mut rng, &[1, 4, 60]);
            let ops = random_ops(&mut rng, &hashes, count, puts);
            let view = rng.random_range(pair.covered..pair.twin.version);
            pair.submit(&ops, view);
        }
        pair.seal();
        let newest = pair.twin.version - 1;
        let covered = rng.random_range(pair.covered..=newest.min(pair.covered + 3));
        pair.cover(covered);
        evicted += pair.writer.evict(covered, *pick(&mut rng, &[0, 50, 5000]));
        pair.check(&mut rng, &keys);
        pair.check_forks(&mut rng, &keys, &hashes);
        if step % 3 == 0 {
            pair.commit_fork(&mut rng, &hashes);
            pair.check(&mut rng, &keys);
        }
    }
    let (restored, clear) = (pair.restored, pair.clear.get());
    assert!(evicted > 60 && restored > 30, "{evicted}, {restored}");
    assert!(clear > 1_000 && pair.forks > 5, "{clear}, {}", pair.forks);
}

#[test]
fn cold_leaves_go_and_come_back_at_random_under_every_policy() {
    random_run(1, CollisionPolicy::Bucket, 1);
    random_run(2, CollisionPolicy::Bucket, 1);
    random_run(3, CollisionPolicy::Overwrite, 1);
}

#[test]
fn cold_leaves_go_and_come_back_for_batches_cut_into_pieces() {
    random_run(4, CollisionPolicy::Bucket, 2);
    random_run(5, CollisionPolicy::Overwrite, 5);
    let mut rng = StdRng::seed_from_u64(6);
    let (keys, mut hashes) = pool(&mut rng);
    hashes.extend(many_near(&mut rng, &[0; 32], 0, 1_500));
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.shards = 3;
    for step in 0..8 {
        let puts = if step % 4 == 3 { 0.2 } else { 0.8 };
        let ops = random_ops(&mut rng, &hashes, 2_000, puts);
        pair.submit(&ops, pair.covered);
        pair.seal();
        assert!(pair.evict_all() > 0);
        pair.check(&mut rng, &keys);
    }
}

#[test]
fn directories_double_around_evicted_pages_and_halve() {
    let mut rng = StdRng::seed_from_u64(9);
    let keys: Vec<Key> = (0..4).map(number_key).collect();
    let hashes = many_near(&mut rng, &naive::plain(&keys[0]), 7, 600);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    for some in hashes.chunks(40) {
        pair.put_all(some, 1);
        pair.seal();
        assert!(pair.evict_all() > 0);
        pair.check(&mut rng, &keys);
        pair.check_forks(&mut rng, &keys, &hashes);
        pair.commit_fork(&mut rng, &hashes[..20]);
    }
    for some in hashes.chunks(90) {
        pair.delete_all(some);
        pair.seal();
        pair.evict_all();
        pair.check(&mut rng, &keys);
        pair.check_forks(&mut rng, &keys, &hashes);
    }
    assert_eq!(pair.writer.key_count(), 0);
    assert!(pair.writer.memory().bytes < 128 * 97 * 4);
}

#[test]
fn a_tree_that_is_built_within_a_budget_starts_with_cold_leaves() {
    let mut rng = StdRng::seed_from_u64(10);
    let (keys, hashes) = pool(&mut rng);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes, 1);
    pair.seal();
    pair.cover(1);
    (pair.writer, pair.hasher) = built(CollisionPolicy::Bucket, &pair.history[1], 1);
    pair.built = 1;
    // All except the few below branches.
    assert!(pair.writer.memory().leaves < 200);
    pair.check(&mut rng, &keys);
    pair.delete_all(&hashes[..50]);
    pair.seal();
    pair.check(&mut rng, &keys);
}

#[test]
fn old_versions_are_proven_while_cells_next_to_what_changed_are_away() {
    let mut rng = StdRng::seed_from_u64(13);
    let keys: Vec<Key> = (0..8_000).map(number_key).collect();
    let slot = naive::slot_of(&naive::plain(&keys[0]));
    let keys: Vec<Key> = keys
        .into_iter()
        .filter(|key| naive::slot_of(&naive::plain(key)) == slot)
        .collect();
    let mut hashes: Vec<Hash> = keys.iter().map(|key| naive::plain(key)).collect();
    hashes.extend(many_near(&mut rng, &hashes[0].clone(), 7, 2_000));
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes, 1);
    pair.seal();
    for _ in 0..3 {
        assert!(pair.evict_all() > 20);
        for _ in 0..6 {
            let ops = random_ops(&mut rng, &hashes, 60, 0.7);
            pair.submit(&ops, pair.covered);
            pair.seal();
            pair.check(&mut rng, &keys);
            pair.check_forks(&mut rng, &keys, &hashes);
        }
    }
}

#[test]
fn leaves_in_hot_parts_of_the_key_space_stay_until_they_are_hot_no_more() {
    let mut rng = StdRng::seed_from_u64(11);
    let base = naive::plain(&number_key(0));
    // Enough for more pages in the slot than it has prefixes.
    let hashes = many_near(&mut rng, &base, 7, 5_000);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes, 1);
    pair.seal();
    let hot = tree::hot_prefix_of(&hashes[0]);
    let (mine, others): (Vec<Hash>, Vec<Hash>) = hashes
        .iter()
        .partition(|key| tree::hot_prefix_of(key) == hot);
    let here = |pair: &Pair, keys: &[Hash]| {
        let reader = pair.writer.reader();
        let found = keys.iter().filter(|key| reader.get(1, key).is_ok());
        found.count()
    };
    pair.writer.keep_hot(&[hot]);
    assert!(pair.evict_all() > 0);
    assert_eq!((here(&pair, &mine), here(&pair, &others)), (mine.len(), 0));
    pair.check(&mut rng, &[number_key(0)]);

    pair.writer.keep_hot(&[hot ^ 1]);
    assert!(pair.evict_all() > 0);
    assert_eq!(here(&pair, &mine), 0);
    pair.check(&mut rng, &[number_key(0)]);
}

#[test]
fn leaves_go_as_far_as_the_present_budget_asks_for_it() {
    let mut rng = StdRng::seed_from_u64(12);
    let hashes = many_near(&mut rng, &naive::plain(&number_key(0)), 0, 2_000);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes, 1);
    pair.seal();
    let whole = pair.writer.memory().bytes;
    pair.writer.set_budget_bytes(whole);
    assert_eq!(pair.evict_all(), 0);
    let less = whole - 40_000;
    pair.writer.set_budget_bytes(less);
    assert!(pair.evict_all() > 0);
    let left = pair.writer.memory().bytes;
    assert!(left <= less && left > less - 40_000, "{left} of {whole}");
    pair.writer.set_budget_bytes(0);
    assert!(pair.evict_all() > 0);
}

#[test]
fn leaves_stay_until_the_store_has_them() {
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&[[1; 32]], 1);
    pair.seal();
    assert_eq!(pair.writer.evict(0, 1000), 0);
    assert_eq!(pair.writer.evict(1, 1000), 1);
    pair.covered = 1;
    pair.put_all(&[[1; 32]], 2);
    pair.seal();
    assert_eq!(pair.writer.evict(1, 1000), 0);
    assert_eq!(pair.writer.evict(2, 1000), 1);
}

#[test]
fn leaves_stay_while_the_store_has_more_than_the_tree() {
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    // Of a single cell: their slot has no other.
    pair.put_all(&[[1; 32], [0; 32]], 1);
    pair.seal();
    pair.delete_all(&[[1; 32]]);
    pair.seal();
    assert_eq!(pair.writer.evict(1, 1000), 0);
    assert_eq!(pair.writer.evict(2, 1000), 1);
}

#[test]
fn leaves_stay_while_the_store_has_a_key_that_another_one_on_its_path_put_out() {
    let mut pair = Pair::new(CollisionPolicy::Overwrite);
    let (old, mut new, beside) = ([1; 32], [1; 32], [0; 32]);
    new[31] = 2;
    pair.put_all(&[old, beside], 1);
    pair.seal();
    pair.put_all(&[new], 1);
    pair.seal();
    pair.delete_all(&[new]);
    pair.seal();
    assert_eq!(pair.writer.evict(1, 1000), 0);
    assert_eq!(pair.writer.evict(2, 1000), 0);
    assert_eq!(pair.writer.evict(3, 1000), 1);
}

#[test]
fn leaves_stay_until_all_readers_see_the_directory_that_they_are_in() {
    let mut rng = StdRng::seed_from_u64(11);
    let hashes = many_near(&mut rng, &[0; 32], 7, 40);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes[..2], 1);
    pair.seal();
    pair.put_all(&hashes[2..], 1);
    pair.delete_all(&hashes[2..]);
    pair.seal();
    assert_eq!(pair.writer.evict(1, 1000), 0);
    assert!(pair.writer.evict(2, 1000) > 0);
}

#[test]
fn a_requirement_brings_its_page_back_and_a_refused_batch_changes_nothing() {
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&[[1; 32]], 1);
    pair.seal();
    assert_eq!(pair.evict_all(), 1);
    let batch = PreparedBatch {
        requirements: vec![([1; 32], Requirement::ValueHash([7; 32]))],
        ..prepared(&[([9; 32], Some([1; 32]))])
    };
    assert_eq!(pair.writer.pages_to_load([&batch]).len(), 1);
    pair.restore(&batch, 1).unwrap();
    let refused = pair.writer.apply(&batch, 2);
    assert!(matches!(refused, Err(Refusal::RequirementFailed { .. })));
    let leaf = pair.writer.reader().get(1, &[1; 32]).unwrap().unwrap();
    assert_eq!((leaf.value_hash, leaf.origin), ([1; 32], 1));
    pair.seal();
    assert_eq!(pair.evict_all(), 1);
}

#[test]
fn what_comes_back_must_be_what_left() {
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    let mut beside = [1; 32];
    beside[6] = 0;
    pair.put_all(&[beside, [1; 32]], 1);
    pair.seal();
    pair.evict_all();
    let batch = prepared(&[([1; 32], Some([3; 32]))]);
    let sound = pair.history[1].clone();
    let changes: [fn(&mut State); 4] = [
        |state| state.get_mut(&[1; 32]).unwrap().0 = [2; 32],
        |state| state.retain(|key, _| *key != [1; 32]),
        |state| state.extend([([0; 32], ([1; 32], 0))]),
        |state| state.clear(),
    ];
    for change in changes {
        pair.history[1] = sound.clone();
        change(&mut pair.history[1]);
        let found = pair.history[1].len() as u32;
        let error = pair.restore(&batch, 1).unwrap_err();
        assert_eq!((error.expected, error.found), (2, found));
        let seen = pair.twin.seen[&1].clone();
        let damaged = &pair.history[1];
        let from_store = |range| Ok::<_, ProveError>(stored(damaged, range, 0));
        let reader = pair.writer.reader();
        // Any key of slot 0: its path ends in the only cell.
        let key = keys_in_slot(&plain(), 0, 0, 1).remove(0);
        let proof = Draft::walk_with(&reader, &seen.roots, &plain(), [&key], from_store);
        assert!(matches!(proof, Err(ProveError::LeavesDiffer(_))));
        let proof = Draft::walk(&reader, &seen.roots, &plain(), [&key]);
        assert!(matches!(proof, Err(ProveError::NotInMemory)));
    }
    pair.history[1] = sound;
    pair.restore(&batch, 1).unwrap();
    pair.check_memory();
}

#[test]
fn without_a_budget_nothing_ever_goes() {
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&[[1; 32]]);
    twin.seal();
    assert_eq!(twin.writer.evict(1, 1000), 0);
    assert_eq!(twin.writer.memory().leaves, 1);
}

#[test]
fn what_is_no_slot_of_a_tree_is_not_built() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let leaf = |byte| Leaf {
        key_hash: [byte; 32],
        value_hash: [1; 32],
        origin: 0,
    };
    for bad in [vec![leaf(1), leaf(1)], vec![leaf(1), leaf(200)]] {
        let leaves = |range: RangeInclusive<Hash>| match range.contains(&[1; 32]) {
            true => Ok::<_, NotInMemory>(bad.clone()),
            false => Ok(Vec::new()),
        };
        let built = tree::build_within(NOTHING, Some(&pool), CollisionPolicy::Bucket, leaves);
        assert!(matches!(built, Err(BuildError::Disorder(first)) if first == [0; 32]));
    }
    let failing = |_| Err(NotInMemory);
    let built = tree::build_within(NOTHING, Some(&pool), CollisionPolicy::Bucket, failing);
    assert!(matches!(built, Err(BuildError::Source(NotInMemory))));
}
