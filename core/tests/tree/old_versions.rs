use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::Leaf;
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::{self, plain};
use trunkline_testkit::tree::{Seen, Twin, expected_leaves, many_near, pick, random_ops, walk};

use crate::support::check_seen;

/// Numbers as keys, some of which are put; and hashes near theirs that make the tree deep.
struct Pool {
    asked: Vec<Key>,
    hashes: Vec<Hash>,
}

impl Pool {
    fn new(rng: &mut StdRng) -> Self {
        let asked: Vec<Key> = (0..60).map(number_key).collect();
        let mut hashes: Vec<Hash> = asked.iter().map(|key| naive::plain(key)).collect();
        for (place, bits) in [(0, 7), (1, 7), (2, 14), (3, 24), (4, 41), (5, 55), (6, 56)] {
            let count = if bits < 55 { 40 } else { 15 };
            let base = hashes[place];
            hashes.extend(many_near(rng, &base, bits, count));
        }
        hashes.extend(many_near(rng, &[0; 32], 0, 60));
        Self { asked, hashes }
    }

    /// Returns a random set of keys, which always includes those with close neighbours.
    fn keys(&self, rng: &mut StdRng) -> Vec<Key> {
        let mut keys = self.asked[..7].to_vec();
        keys.retain(|_| rng.random_bool(0.7));
        let more = rng.random_range(1..8);
        keys.extend((0..more).map(|_| pick(rng, &self.asked).clone()));
        keys
    }
}

fn check_all(twin: &Twin, pool: &Pool, rng: &mut StdRng) {
    for seen in twin.seen.values() {
        check_seen(&twin.reader(), &plain(), seen, &pool.keys(rng));
    }
}

#[test]
fn old_versions_stay_while_newer_ones_are_applied_half_applied_and_retired() {
    let mut rng = StdRng::seed_from_u64(1);
    let pool = Pool::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for step in 0..14 {
        let puts = if step % 5 == 4 { 0.1 } else { 0.8 };
        for _ in 0..2 {
            let ops = random_ops(&mut rng, &pool.hashes, 90, puts);
            twin.submit(&ops).unwrap();
        }
        check_all(&twin, &pool, &mut rng);
        twin.seal();
        if step % 3 == 2 {
            twin.retire(twin.version.saturating_sub(4));
        }
    }
    check_all(&twin, &pool, &mut rng);
}

#[test]
fn old_versions_stay_across_directories_that_double_and_halve() {
    let mut rng = StdRng::seed_from_u64(2);
    let key = number_key(0);
    let base = naive::plain(&key);
    let asked = states::keys_in_slot(&plain(), naive::slot_of(&base), 0, 12);
    let hashes = many_near(&mut rng, &base, 7, 800);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for key in asked.iter().step_by(2) {
        twin.put_all(&[naive::plain(key)]);
    }
    twin.seal();
    let mut cells = Vec::new();
    for range in [0..10, 10..30, 30..200, 200..800] {
        twin.put_all(&hashes[range]);
        twin.seal();
    }
    for range in [0..300, 300..750, 750..800] {
        twin.delete_all(&hashes[range]);
        twin.seal();
    }
    for seen in twin.seen.values() {
        check_seen(&twin.reader(), &plain(), seen, &asked);
        cells.push(walk(&twin.reader(), seen.roots.version).1 - 127);
    }
    assert!(cells[5] >= 64 && cells[8] * 8 <= cells[5], "{cells:?}");
    for oldest in 1..twin.version {
        twin.retire(oldest);
        for seen in twin.seen.values() {
            check_seen(&twin.reader(), &plain(), seen, &asked);
        }
    }
}

#[test]
fn old_versions_stay_while_one_version_doubles_and_halves_several_times() {
    let mut rng = StdRng::seed_from_u64(3);
    let base = naive::plain(&number_key(0));
    let asked = states::keys_in_slot(&plain(), naive::slot_of(&base), 0, 12);
    let hashes = many_near(&mut rng, &base, 7, 400);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(
        &asked
            .iter()
            .map(|key| naive::plain(key))
            .collect::<Vec<_>>(),
    );
    twin.put_all(&hashes[..20]);
    twin.seal();
    twin.delete_all(&hashes[..5]);
    twin.seal();
    for _ in 0..2 {
        for _ in 0..2 {
            twin.put_all(&hashes);
            check_seen(&twin.reader(), &plain(), &twin.seen[&1], &asked);
            twin.delete_all(&hashes[3..]);
            check_seen(&twin.reader(), &plain(), &twin.seen[&2], &asked);
        }
        twin.delete_all(&[naive::plain(&asked[0])]);
        twin.seal();
    }
    for seen in twin.seen.values() {
        check_seen(&twin.reader(), &plain(), seen, &asked);
    }
}

#[test]
fn old_versions_stay_where_only_the_upper_digests_are_kept() {
    let mut rng = StdRng::seed_from_u64(8);
    let base = naive::plain(&number_key(0));
    let asked = states::keys_in_slot(&plain(), naive::slot_of(&base), 0, 24);
    let mut hashes = many_near(&mut rng, &base, 7, 2_500);
    hashes.extend(asked[..16].iter().map(|key| naive::plain(key)));
    // Cells with branches, and buckets.
    hashes.extend(many_near(&mut rng, &naive::plain(&asked[1]), 30, 60));
    hashes.extend(many_near(&mut rng, &naive::plain(&asked[2]), 56, 8));
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&hashes);
    twin.seal();
    for step in 0..24 {
        let puts = if step % 4 == 3 { 0.2 } else { 0.8 };
        let ops = random_ops(&mut rng, &hashes, 120, puts);
        twin.submit(&ops).unwrap();
        let some: Vec<Key> = (0..4).map(|_| pick(&mut rng, &asked).clone()).collect();
        // The newest version before the next is sealed, and occasionally all of them.
        let newest = &twin.seen[&(twin.version - 1)];
        check_seen(&twin.reader(), &plain(), newest, &some);
        twin.seal();
        if step == 11 {
            twin.put_all(&many_near(&mut rng, &base, 7, 3_000));
            twin.seal();
        }
        if step % 6 == 5 {
            for seen in twin.seen.values() {
                check_seen(&twin.reader(), &plain(), seen, &asked);
            }
            twin.retire(twin.version.saturating_sub(10));
        }
    }
}

#[test]
fn versions_stay_while_the_next_one_is_applied_before_they_are_hashed() {
    let mut rng = StdRng::seed_from_u64(4);
    let pool = Pool::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.submit(&random_ops(&mut rng, &pool.hashes, 200, 0.9))
        .unwrap();
    twin.seal();
    let unhashed: Vec<_> = (2..6)
        .map(|version| {
            twin.version = version;
            twin.submit(&random_ops(&mut rng, &pool.hashes, 150, 0.5))
                .unwrap();
            (twin.writer.seal(version), twin.present.clone())
        })
        .collect();
    check_all(&twin, &pool, &mut rng);
    for (sealed, state) in unhashed {
        let roots = twin.hasher.hash(sealed, None);
        let seen = Seen { roots, state };
        twin.seen.insert(seen.roots.version, seen);
        check_all(&twin, &pool, &mut rng);
    }
}

#[test]
fn the_last_version_may_be_retired_before_the_next_is_sealed() {
    let mut rng = StdRng::seed_from_u64(5);
    let pool = Pool::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for _ in 0..10 {
        for _ in 0..4 {
            twin.submit(&random_ops(&mut rng, &pool.hashes, 60, 0.8))
                .unwrap();
            twin.retire(twin.version);
        }
        twin.seal();
        check_all(&twin, &pool, &mut rng);
    }
}

#[test]
fn branches_that_only_the_present_holds_are_hashed_again() {
    let mut rng = StdRng::seed_from_u64(7);
    let crowd = many_near(&mut rng, &[0x2a; 32], 20, 300);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&many_near(&mut rng, &[0x2a; 32], 7, 100));
    twin.put_all(&crowd);
    twin.seal();
    for some in crowd[..60].chunks(3) {
        for one in some {
            twin.delete_all(&[*one]);
            twin.retire(twin.version);
        }
        twin.seal();
    }
}

#[test]
fn a_walk_begins_at_any_place() {
    let mut rng = StdRng::seed_from_u64(6);
    let pool = Pool::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&pool.hashes);
    twin.seal();
    twin.delete_all(&pool.hashes[20..]);
    twin.seal();
    for (version, seen) in &twin.seen {
        let leaves = expected_leaves(&seen.state);
        let some = many_near(&mut rng, &[0; 32], 0, 20);
        for from in some.iter().chain(&pool.hashes).step_by(5) {
            let (cell, next) = twin.reader().leaves_from(*version, from);
            let inside = |leaf: &&Leaf| {
                leaf.key_hash >= *from && next.is_none_or(|next| leaf.key_hash < next)
            };
            let expected: Vec<Leaf> = leaves.iter().filter(inside).copied().collect();
            assert_eq!(cell, Ok(expected));
        }
    }
}
