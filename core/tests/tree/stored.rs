//! Trees that are built from page digests.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::{ColdTree, LeavesDiffer, SlotRestorer};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash};
use trunkline_testkit::tree::{HashedOp, State, many_near, pick, prepared, random_ops};

use crate::pair::{NOTHING, Pair, pool, stored};

/// Restores the next slot as some view of the store has it. Returns whether there was one.
fn restore_slot(pair: &Pair, restorer: &mut SlotRestorer, rng: &mut StdRng) -> bool {
    let Some(range) = restorer.next() else {
        return false;
    };
    let view = rng.random_range(pair.covered..pair.twin.version);
    let leaves = stored(&pair.history[view as usize], range, pair.covered);
    let _ = restorer.restore(&leaves).unwrap();
    true
}

/// Random submissions to a tree that is opened from its page digests again and again.
fn random_run(seed: u64, policy: CollisionPolicy, budget_bytes: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (keys, mut hashes) = pool(&mut rng);
    // A slot of more than 128 cells.
    hashes.extend(many_near(&mut rng, &naive::plain(&keys[7]), 7, 900));
    let mut pair = Pair::new(policy);
    let mut restorer = pair.writer.slot_restorer();
    let mut slots_restored = 0;
    for step in 0..60 {
        let puts = if step % 10 > 7 { 0.1 } else { 0.8 };
        for _ in 0..rng.random_range(0..3) {
            let count = *pick(&mut rng, &[1, 4, 300]);
            let ops = random_ops(&mut rng, &hashes, count, puts);
            let view = rng.random_range(pair.covered..pair.twin.version);
            pair.submit(&ops, view);
            // Between a page that came back and the digests of its leaves, too.
            for _ in 0..*pick(&mut rng, &[0, 0, 1, 3]) {
                slots_restored += u64::from(restore_slot(&pair, &mut restorer, &mut rng));
            }
        }
        pair.seal();
        let newest = pair.twin.version - 1;
        if rng.random_range(0..5) == 0 {
            pair.reopen(budget_bytes);
            restorer = pair.writer.slot_restorer();
        } else {
            let covered = rng.random_range(pair.covered..=newest.min(pair.covered + 3));
            pair.cover(covered);
            pair.writer.evict(covered, *pick(&mut rng, &[0, 50, 5000]));
        }
        pair.check(&mut rng, &keys);
    }
    assert!(pair.restored > 30, "{}", pair.restored);
    assert_eq!(slots_restored > 0, budget_bytes == 0);
}

#[test]
fn a_tree_of_page_digests_shows_what_the_tree_before_showed() {
    random_run(31, CollisionPolicy::Bucket, NOTHING);
    random_run(32, CollisionPolicy::Overwrite, NOTHING);
}

#[test]
fn without_a_budget_slots_come_back_while_the_tree_is_written() {
    random_run(33, CollisionPolicy::Bucket, 0);
    random_run(34, CollisionPolicy::Bucket, 0);
    random_run(35, CollisionPolicy::Overwrite, 0);
}

/// A pair with one deep slot and a few keys elsewhere, opened from its page digests.
fn opened(rng: &mut StdRng) -> (Pair, Vec<Hash>) {
    let mut hashes = many_near(rng, &naive::plain(&number_key(0)), 7, 3_000);
    hashes.extend(many_near(rng, &[0; 32], 0, 300));
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    pair.put_all(&hashes, 1);
    pair.seal();
    pair.reopen(0);
    (pair, hashes)
}

#[test]
fn everything_comes_back_and_lies_side_by_side() {
    let mut rng = StdRng::seed_from_u64(36);
    let (mut pair, hashes) = opened(&mut rng);
    assert_eq!(pair.writer.memory().leaves, 0);
    assert!(pair.writer.may_have_evicted());
    let mut restorer = pair.writer.slot_restorer();
    pair.put_all(&hashes[..40], 2);
    while restore_slot(&pair, &mut restorer, &mut rng) {}
    assert!(!pair.writer.may_have_evicted() && restorer.left() == 0);
    assert_eq!(pair.writer.memory().leaves, hashes.len() as u64);
    assert!(
        pair.writer
            .pages_to_load([&prepared(&[(hashes[0], None)])])
            .is_empty()
    );
    pair.seal();
    pair.delete_all(&hashes[20..90]);
    pair.seal();
    pair.check(&mut rng, &[number_key(0), number_key(1)]);
}

#[test]
fn a_slot_whose_directory_doubles_meanwhile_comes_back_later() {
    let mut rng = StdRng::seed_from_u64(37);
    let (mut pair, _) = opened(&mut rng);
    let mut restorer = pair.writer.slot_restorer();
    let deep = naive::slot_of(&naive::plain(&number_key(0)));
    while restorer
        .next()
        .is_some_and(|range| naive::slot_of(range.start()) < deep)
    {
        assert!(restore_slot(&pair, &mut restorer, &mut rng));
    }
    let more = many_near(&mut rng, &naive::plain(&number_key(0)), 7, 4_000);
    pair.put_all(&more, 3);
    // The cells are of the doubled directory, and the digests are not.
    let left = restorer.left();
    assert!(restore_slot(&pair, &mut restorer, &mut rng));
    assert_eq!(restorer.left(), left);
    pair.seal();
    pair.check(&mut rng, &[number_key(0)]);
    while restore_slot(&pair, &mut restorer, &mut rng) {}
    pair.check(&mut rng, &[number_key(0)]);
}

#[test]
fn other_leaves_than_those_of_the_digests_are_refused() {
    let mut rng = StdRng::seed_from_u64(38);
    let (mut pair, hashes) = opened(&mut rng);
    let mut state = pair.history[1].clone();
    state.get_mut(&hashes[5]).unwrap().0 = [9; 32];
    let run = &pair.writer.pages_to_load([&prepared(&[(hashes[5], None)])])[0];
    let leaves = stored(&state, run.key_hashes(), 1);
    let refused = pair.writer.restore(run, &leaves);
    assert!(matches!(refused, Err(LeavesDiffer { .. })));
    let mut restorer = pair.writer.slot_restorer();
    let refused = loop {
        let range = restorer.next().unwrap();
        match restorer.restore(&stored(&state, range, 1)) {
            Ok(_) => {}
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.expected, refused.found);
}

/// The leaf store is ahead of the digests, as after a checkpoint that was interrupted.
#[test]
fn pages_that_may_have_changed_are_read_again() {
    let mut rng = StdRng::seed_from_u64(39);
    let (keys, mut hashes) = pool(&mut rng);
    hashes.extend(many_near(&mut rng, &naive::plain(&keys[7]), 7, 900));
    for round in 0..12 {
        let mut pair = Pair::new(CollisionPolicy::Bucket);
        let half = hashes.len() / 2;
        pair.put_all(&hashes[..half], 1);
        pair.seal();
        let mut cold: ColdTree = pair.stored_at(1);
        let batches: Vec<Vec<HashedOp>> = (0..3)
            .map(|_| {
                random_ops(
                    &mut rng,
                    &hashes,
                    100,
                    if round % 2 == 0 { 0.5 } else { 0.05 },
                )
            })
            .collect();
        for ops in &batches {
            pair.submit(ops, pair.covered);
            pair.seal();
        }
        // Each leaf is that of either version, where the two differ.
        let (old, new) = (&pair.history[1], &pair.history[4]);
        let either = |rng: &mut StdRng| -> State {
            let all = old.keys().chain(new.keys()).copied();
            let some = all.filter_map(|key| {
                let state = if rng.random_range(0..2) == 0 {
                    old
                } else {
                    new
                };
                Some((key, *state.get(&key)?))
            });
            some.collect()
        };
        let mixture = either(&mut rng);
        for ops in &batches {
            for run in cold.pages_of(&prepared(ops)) {
                cold.reread(&run, &stored(&mixture, run.key_hashes(), 1));
            }
        }
        let budget_bytes = round % 3 % 2;
        let (mut writer, mut hasher) = cold.finish(CollisionPolicy::Bucket, budget_bytes);
        hasher.hash(writer.seal(1), None);
        for (version, ops) in (2..).zip(&batches) {
            let batch = prepared(ops);
            for run in writer.pages_to_load([&batch]) {
                writer
                    .restore(&run, &stored(&mixture, run.key_hashes(), 1))
                    .unwrap();
            }
            writer.replay(None, &batch.writes, version).unwrap();
            let roots = hasher.hash(writer.seal(version), None);
            if version == 4 {
                assert_eq!(roots, pair.twin.seen[&4].roots);
            }
        }
    }
}
