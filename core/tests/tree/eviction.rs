//! A tree within a budget, compared with one without: whatever is evicted and restored, both show the same.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::{ThreadPool, ThreadPoolBuilder};
use trunkline_core::batch::{PreparedBatch, Requirement};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Claim, Draft, ProveError};
use trunkline_core::tree::{self, BuildError, Leaf, LeavesDiffer, NotInMemory, Probe, TreeWriter};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::{keys_in_slot, plain};
use trunkline_testkit::tree::{
    HashedOp, Seen, State, Twin, expected_leaves, many_near, pick, prepared, random_ops,
};

use crate::support::{model_proof, of_version};

/// Fewer bytes than any tree needs.
const NOTHING: u64 = 1;

/// A tree whose cold leaves are evicted, and a twin that keeps all of its own. The leaf store has at each version what
/// the twin had.
struct Pair {
    twin: Twin,
    writer: TreeWriter,
    hasher: tree::TreeHasher,
    /// The state of every version, readable or not.
    history: Vec<State>,
    covered: u64,
    restored: u64,
    /// The version at which the tree was built.
    built: u64,
    /// The number of probes with a clear result.
    clear: Cell<u64>,
    /// The number of shards of a submission, unlike the twin's.
    shards: usize,
    pool: ThreadPool,
}

impl Pair {
    fn new(policy: CollisionPolicy) -> Self {
        let twin = Twin::new(policy);
        let (writer, hasher) = built(policy, &State::new(), 0);
        Self {
            history: vec![State::new()],
            twin,
            writer,
            hasher,
            covered: 0,
            restored: 0,
            built: 0,
            clear: Cell::default(),
            shards: 1,
            pool: ThreadPoolBuilder::new().num_threads(2).build().unwrap(),
        }
    }

    /// Restores the pages that a batch touches, from the store as of a version that a reader may see.
    fn restore(&mut self, batch: &PreparedBatch, view: u64) -> Result<(), LeavesDiffer> {
        for run in self.writer.pages_to_load([batch]) {
            let leaves = stored(&self.history[view as usize], run.key_hashes(), self.covered);
            self.restored += self.writer.restore(&run, &leaves)?;
        }
        Ok(())
    }

    fn submit(&mut self, ops: &[HashedOp], view: u64) {
        let batch = prepared(ops);
        self.restore(&batch, view).unwrap();
        let pool = Some((&self.pool, self.shards));
        let applied = self.writer.apply_on(pool, &batch, self.twin.version);
        assert_eq!(applied, self.twin.submit(ops));
        assert_eq!(self.writer.key_count(), self.twin.writer.key_count());
    }

    fn put_all(&mut self, keys: &[Hash], value: u8) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, Some([value; 32]))).collect();
        self.submit(&ops, self.covered);
    }

    fn delete_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, None)).collect();
        self.submit(&ops, self.covered);
    }

    fn seal(&mut self) {
        let sealed = self.writer.seal(self.twin.version);
        let roots = self.hasher.hash(sealed, Some((&self.pool, self.shards)));
        assert_eq!(roots, self.twin.seal());
        self.history.push(self.twin.present.clone());
        self.history.truncate(self.twin.version as usize);
    }

    /// Notes that the store has everything up to a version, and that no reader looks at older ones.
    fn cover(&mut self, covered: u64) {
        self.covered = covered;
        self.writer.reader().retire(covered);
        self.twin.retire(covered);
    }

    /// Notes that everything up to the last version is in the store, and evicts as much as possible.
    fn evict_all(&mut self) -> u64 {
        self.cover(self.twin.version - 1);
        self.writer.evict(self.covered, usize::MAX)
    }

    /// Returns the state in which leaves of a version are looked up: one between `covered` and the version.
    fn view(&self, rng: &mut StdRng, version: u64) -> &State {
        &self.history[rng.random_range(self.covered..=version) as usize]
    }

    fn check(&self, rng: &mut StdRng, keys: &[Key]) {
        for seen in self.twin.seen.values() {
            self.check_gets(rng, seen, keys);
            self.check_glances(seen, keys);
            self.check_walk(rng, seen);
            let keys: BTreeSet<Key> = (0..6).map(|_| pick(rng, keys).clone()).collect();
            self.check_proof(rng, seen, &keys.into_iter().collect::<Vec<_>>());
        }
        self.check_memory();
    }

    fn check_gets(&self, rng: &mut StdRng, seen: &Seen, keys: &[Key]) {
        let version = seen.roots.version;
        for key in keys {
            let key_hash = naive::hash_key(&plain(), key);
            let expected = seen.state.get(&key_hash).map(|(value, _)| *value);
            let found = match self.writer.reader().get(version, &key_hash) {
                Ok(leaf) => leaf.map(|leaf| self.checked(&leaf, version)),
                Err(NotInMemory) => self.view(rng, version).get(&key_hash).map(|leaf| leaf.0),
            };
            assert_eq!(found, expected);
        }
    }

    /// Checks that the result of a probe holds at every version that it covers.
    fn check_glances(&self, seen: &Seen, keys: &[Key]) {
        let version = seen.roots.version;
        let key_hashes = keys.iter().map(|key| naive::hash_key(&plain(), key));
        for key_hash in key_hashes.chain(seen.state.keys().copied()) {
            let then = match self.writer.reader().probe(version, &key_hash) {
                Probe::Absent => {
                    assert!(!seen.state.contains_key(&key_hash));
                    version..version
                }
                Probe::UnchangedSince(since) => since.max(self.built)..version,
                Probe::Unknown => continue,
            };
            self.clear.set(self.clear.get() + 1);
            let value = |state: &State| state.get(&key_hash).map(|leaf| leaf.0);
            for then in then {
                let then = &self.history[then as usize];
                assert_eq!(value(then), value(&seen.state));
            }
        }
    }

    /// Returns the value hash of a leaf. Its origin must not be later than any view of its readers or than the version
    /// itself, and the key must have had this value then.
    fn checked(&self, leaf: &Leaf, version: u64) -> Hash {
        assert!(leaf.origin <= version);
        let then = &self.history.get(leaf.origin as usize);
        let then = then.unwrap_or(&self.twin.present).get(&leaf.key_hash);
        assert_eq!(then.map(|then| then.0), Some(leaf.value_hash));
        leaf.value_hash
    }

    fn check_walk(&self, rng: &mut StdRng, seen: &Seen) {
        let version = seen.roots.version;
        let reader = self.writer.reader();
        let mut leaves = Vec::new();
        let mut from = Some([0; 32]);
        while let Some(start) = from {
            let (found, next) = reader.leaves_from(version, &start);
            match found {
                Ok(found) => leaves.extend(found),
                Err(NotInMemory) => {
                    let in_store = stored(self.view(rng, version), start..=[0xff; 32], 0);
                    let before_next = |leaf: &Leaf| next.is_none_or(|next| leaf.key_hash < next);
                    leaves.extend(in_store.into_iter().filter(before_next));
                }
            }
            from = next;
        }
        let hashes = |leaves: Vec<Leaf>| -> Vec<(Hash, Hash)> {
            let hashes = |leaf: &Leaf| (leaf.key_hash, leaf.value_hash);
            leaves.iter().map(hashes).collect()
        };
        assert_eq!(hashes(leaves), hashes(expected_leaves(&seen.state)));
    }

    fn check_proof(&self, rng: &mut StdRng, seen: &Seen, keys: &[Key]) {
        let view = self.view(rng, seen.roots.version);
        let from_store = |range| Ok::<_, ProveError>(stored(view, range, 0));
        let reader = self.writer.reader();
        let draft = Draft::walk_with(&reader, &seen.roots, &plain(), keys, from_store).unwrap();
        let claim = |leaf: Option<&Leaf>| {
            leaf.map_or(Claim::Absent, |leaf| Claim::PresentHash(leaf.value_hash))
        };
        let claims = draft.entries().map(|(_, leaf)| claim(leaf)).collect();
        let top = draft.hash_top(&seen.roots);
        assert_eq!(
            of_version(&plain(), draft.finish(claims, None, top)),
            model_proof(&plain(), seen, keys)
        );
    }

    /// Checks that the count of leaves in memory is the number of leaves found there.
    fn check_memory(&self) {
        let reader = self.writer.reader();
        let here = |key: &&Hash| reader.get(self.twin.version, key).is_ok();
        let here = self.twin.present.keys().filter(here).count() as u64;
        let memory = self.writer.memory();
        assert_eq!(memory.leaves, here);
        assert!(memory.bytes >= 128 * 89 + 72 * here);
    }
}

fn stored(state: &State, range: RangeInclusive<Hash>, origin: u64) -> Vec<Leaf> {
    let leaf = |(key_hash, (value_hash, _)): (&Hash, &(Hash, u64))| Leaf {
        key_hash: *key_hash,
        value_hash: *value_hash,
        origin,
    };
    state.range(range).map(leaf).collect()
}

fn built(policy: CollisionPolicy, state: &State, origin: u64) -> (TreeWriter, tree::TreeHasher) {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let leaves = |range| Ok::<_, std::convert::Infallible>(stored(state, range, origin));
    tree::build_within(NOTHING, Some(&pool), policy, leaves).unwrap()
}

/// Returns keys that can be read, and hashes near theirs that make the tree deep.
fn pool(rng: &mut StdRng) -> (Vec<Key>, Vec<Hash>) {
    let keys: Vec<Key> = (0..60).map(number_key).collect();
    let mut hashes: Vec<Hash> = keys.iter().map(|key| naive::plain(key)).collect();
    for (place, bits) in [(0, 7), (1, 7), (2, 14), (3, 24), (5, 55), (6, 56)] {
        let count = if bits < 55 { 40 } else { 12 };
        let base = hashes[place];
        hashes.extend(many_near(rng, &base, bits, count));
    }
    hashes.extend(many_near(rng, &[0; 32], 0, 60));
    (keys, hashes)
}

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
    }
    let (restored, clear) = (pair.restored, pair.clear.get());
    assert!(evicted > 60 && restored > 30, "{evicted}, {restored}");
    assert!(clear > 1_000, "{clear}");
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
    }
    for some in hashes.chunks(90) {
        pair.delete_all(some);
        pair.seal();
        pair.evict_all();
        pair.check(&mut rng, &keys);
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
