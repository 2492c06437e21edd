//! A tree within a budget, compared with one without: whatever is evicted and restored, both show the same.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand::RngExt;
use rand::rngs::StdRng;
use rayon::{ThreadPool, ThreadPoolBuilder};
use trunkline_core::batch::PreparedBatch;
use trunkline_core::params::{CollisionPolicy, WIDTH};
use trunkline_core::proof::{Claim, Draft, ProveError};
use trunkline_core::store::pages_file::{PagesOf, decode, encode};
use trunkline_core::tree::{self, ColdTree, Leaf, LeavesDiffer, NotInMemory, Probe, TreeWriter};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::plain;
use trunkline_testkit::tree::{
    HashedOp, Seen, State, Twin, expected_leaves, many_near, pick, prepared, random_ops,
};

use crate::forks::Forked;
use crate::support::{model_proof, of_version};

/// Fewer bytes than any tree needs.
pub(crate) const NOTHING: u64 = 1;

/// A tree whose cold leaves are evicted, and a twin that keeps all of its own. The leaf store has at each version what
/// the twin had.
pub(crate) struct Pair {
    pub(crate) twin: Twin,
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: tree::TreeHasher,
    /// The state of every version, readable or not.
    pub(crate) history: Vec<State>,
    pub(crate) covered: u64,
    pub(crate) restored: u64,
    /// The version at which the tree was built.
    pub(crate) built: u64,
    /// The number of probes with a clear result.
    pub(crate) clear: Cell<u64>,
    /// Forks that were compared.
    pub(crate) forks: u64,
    /// The number of shards of a submission, unlike the twin's.
    pub(crate) shards: usize,
    pub(crate) pool: ThreadPool,
}

impl Pair {
    pub(crate) fn new(policy: CollisionPolicy) -> Self {
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
            forks: 0,
            shards: 1,
            pool: ThreadPoolBuilder::new().num_threads(2).build().unwrap(),
        }
    }

    /// Restores the pages that a batch touches, from the store as of a version that a reader may see.
    pub(crate) fn restore(&mut self, batch: &PreparedBatch, view: u64) -> Result<(), LeavesDiffer> {
        for run in self.writer.pages_to_load([batch]) {
            let leaves = stored(&self.history[view as usize], run.key_hashes(), self.covered);
            self.restored += self.writer.restore(&run, &leaves)?;
        }
        Ok(())
    }

    pub(crate) fn submit(&mut self, ops: &[HashedOp], view: u64) {
        let batch = prepared(ops);
        self.restore(&batch, view).unwrap();
        let pool = Some((&self.pool, self.shards));
        let applied = self.writer.apply_on(pool, &batch, self.twin.version);
        assert_eq!(applied, self.twin.submit(ops));
        assert_eq!(self.writer.key_count(), self.twin.writer.key_count());
    }

    pub(crate) fn put_all(&mut self, keys: &[Hash], value: u8) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, Some([value; 32]))).collect();
        self.submit(&ops, self.covered);
    }

    pub(crate) fn delete_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, None)).collect();
        self.submit(&ops, self.covered);
    }

    pub(crate) fn seal(&mut self) {
        let sealed = self.writer.seal(self.twin.version);
        let roots = self.hasher.hash(sealed, Some((&self.pool, self.shards)));
        assert_eq!(roots, self.twin.seal());
        self.history.push(self.twin.present.clone());
        self.history.truncate(self.twin.version as usize);
    }

    /// Notes that the store has everything up to a version, and that no reader looks at older ones.
    pub(crate) fn cover(&mut self, covered: u64) {
        self.covered = covered;
        self.writer.reader().retire(covered);
        self.twin.retire(covered);
    }

    /// Notes that everything up to the last version is in the store, and evicts as much as possible.
    pub(crate) fn evict_all(&mut self) -> u64 {
        self.cover(self.twin.version - 1);
        self.writer.evict(self.covered, usize::MAX)
    }

    /// Returns the state in which leaves of a version are looked up: one between `covered` and the version.
    pub(crate) fn view(&self, rng: &mut StdRng, version: u64) -> &State {
        &self.history[rng.random_range(self.covered..=version) as usize]
    }

    pub(crate) fn check(&self, rng: &mut StdRng, keys: &[Key]) {
        for seen in self.twin.seen.values() {
            self.check_gets(rng, seen, keys);
            self.check_glances(seen, keys);
            self.check_walk(rng, seen);
            let keys: BTreeSet<Key> = (0..6).map(|_| pick(rng, keys).clone()).collect();
            self.check_proof(rng, seen, &keys.into_iter().collect::<Vec<_>>());
        }
        self.check_memory();
        let version = *pick(rng, &self.twin.seen.keys().copied().collect::<Vec<_>>());
        let roots = self.stored_at(version).roots(version);
        assert_eq!(roots, self.twin.seen[&version].roots);
    }

    /// A tree of the page digests of a version, through the bytes of a file.
    pub(crate) fn stored_at(&self, version: u64) -> ColdTree {
        let reader = self.writer.reader();
        let pages = (0..WIDTH).map(|slot| reader.pages_at(version, slot).unwrap());
        let pages: Vec<_> = pages.collect();
        let of = PagesOf {
            tree_id: [1; 32],
            version,
            commit_id: [2; 32],
        };
        let (read_of, read) = decode(&encode(&of, &pages)).unwrap();
        assert_eq!((read_of, &read), (of, &pages));
        let mut cold = ColdTree::default();
        read.iter().for_each(|slot| cold.push(slot).unwrap());
        cold
    }

    /// Opens the last version from its page digests; the store has everything up to it.
    pub(crate) fn reopen(&mut self, budget_bytes: u64) {
        self.built = self.twin.version - 1;
        let cold = self.stored_at(self.built);
        (self.writer, self.hasher) = cold.finish(self.twin.policy, budget_bytes);
        self.covered = self.built;
        self.twin.retire(self.built);
    }

    pub(crate) fn check_gets(&self, rng: &mut StdRng, seen: &Seen, keys: &[Key]) {
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
    pub(crate) fn check_glances(&self, seen: &Seen, keys: &[Key]) {
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
    pub(crate) fn checked(&self, leaf: &Leaf, version: u64) -> Hash {
        assert!(leaf.origin <= version);
        let then = &self.history.get(leaf.origin as usize);
        let then = then.unwrap_or(&self.twin.present).get(&leaf.key_hash);
        assert_eq!(then.map(|then| then.0), Some(leaf.value_hash));
        leaf.value_hash
    }

    pub(crate) fn check_walk(&self, rng: &mut StdRng, seen: &Seen) {
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

    pub(crate) fn check_proof(&self, rng: &mut StdRng, seen: &Seen, keys: &[Key]) {
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

    /// Forks of a version that are changed while pages are away, and hashed when others are.
    pub(crate) fn check_forks(&mut self, rng: &mut StdRng, keys: &[Key], hashes: &[Hash]) {
        let some = self.twin.seen.values().filter(|_| rng.random_bool(0.15));
        let mut forks: Vec<(Forked, State)> = some
            .map(|seen| {
                let reader = self.writer.reader();
                let view = self.history[seen.roots.version as usize].clone();
                (Forked::new(reader, seen, self.twin.policy), view)
            })
            .collect();
        let some: BTreeSet<Key> = (0..6).map(|_| pick(rng, keys).clone()).collect();
        let keys: Vec<Key> = some.into_iter().collect();
        for round in 0..2 {
            for (fork, view) in &mut forks {
                let from_store = |range| Ok::<_, ProveError>(stored(view, range, 0));
                let ops = random_ops(rng, hashes, 30, 0.6);
                fork.submit(&ops, from_store);
                if round == 1 || rng.random() {
                    fork.check(&keys, from_store);
                }
            }
            self.writer.evict(self.covered, 200);
        }
        for (fork, view) in &mut forks {
            let from_store = |range| Ok::<_, ProveError>(stored(view, range, 0));
            fork.check(&keys, from_store);
            self.forks += 1;
        }
    }

    /// Commits a fork of the last version, as a version of its own.
    pub(crate) fn commit_fork(&mut self, rng: &mut StdRng, hashes: &[Hash]) {
        let newest = self.twin.version - 1;
        let mut fork = Forked::new(
            self.writer.reader(),
            &self.twin.seen[&newest],
            self.twin.policy,
        );
        let from_store =
            |range| Ok::<_, ProveError>(stored(&self.history[newest as usize], range, 0));
        for _ in 0..2 {
            fork.submit(&random_ops(rng, hashes, 40, 0.6), from_store);
        }
        let roots = fork.roots(from_store);
        let batch = fork.effects();
        self.restore(&batch, newest).unwrap();
        let version = self.twin.version;
        self.writer.replay(None, &batch.writes, version).unwrap();
        self.twin
            .writer
            .replay(None, &batch.writes, version)
            .unwrap();
        self.twin.present = fork.state_at(version, &self.twin.present);
        let sealed = self.writer.seal(version);
        let digests = fork.fork.digests();
        let pool = Some((&self.pool, self.shards));
        assert_eq!(self.hasher.hash_forked(sealed, &digests, pool), roots);
        assert_eq!(self.twin.seal(), roots);
        self.history.push(self.twin.present.clone());
    }

    /// Checks that the count of leaves in memory is the number of leaves found there.
    pub(crate) fn check_memory(&self) {
        let reader = self.writer.reader();
        let here = |key: &&Hash| reader.get(self.twin.version, key).is_ok();
        let here = self.twin.present.keys().filter(here).count() as u64;
        let memory = self.writer.memory();
        assert_eq!(memory.leaves, here);
        assert!(memory.bytes >= 128 * 89 + 72 * here);
    }
}

pub(crate) fn stored(state: &State, range: RangeInclusive<Hash>, origin: u64) -> Vec<Leaf> {
    let leaf = |(key_hash, (value_hash, _)): (&Hash, &(Hash, u64))| Leaf {
        key_hash: *key_hash,
        value_hash: *value_hash,
        origin,
    };
    state.range(range).map(leaf).collect()
}

pub(crate) fn built(
    policy: CollisionPolicy,
    state: &State,
    origin: u64,
) -> (TreeWriter, tree::TreeHasher) {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let leaves = |range| Ok::<_, std::convert::Infallible>(stored(state, range, origin));
    tree::build_within(NOTHING, Some(&pool), policy, leaves).unwrap()
}

/// Returns keys that can be read, and hashes near theirs that make the tree deep.
pub(crate) fn pool(rng: &mut StdRng) -> (Vec<Key>, Vec<Hash>) {
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
