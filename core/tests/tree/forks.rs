//! Forks compared with the model: at every step they have the digests, proofs and changes of the tree.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::batch::{PreparedBatch, Requirement, Write};
use trunkline_core::hash::ZERO;
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Claim, Draft, ProveError};
use trunkline_core::tree::{self, Change, Leaf, LeavesDiffer, Roots, TreeFork, TreeReader};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::plain;
use trunkline_testkit::tree::{
    HashedOp, Seen, State, Twin, changes, check_roots, leaves_of, many_near, pick, prepared,
    random_ops, submit_hashed, with_origins,
};

use crate::support::{model_proof, of_version};

/// A fork and the model of its leaves.
#[derive(Clone)]
pub(crate) struct Forked {
    pub(crate) fork: TreeFork,
    policy: CollisionPolicy,
    version: u64,
    base: State,
    state: State,
    refused: usize,
}

impl Forked {
    pub(crate) fn new(reader: TreeReader, seen: &Seen, policy: CollisionPolicy) -> Self {
        Self {
            fork: TreeFork::new(reader, &seen.roots, policy),
            policy,
            version: seen.roots.version,
            base: seen.state.clone(),
            state: seen.state.clone(),
            refused: 0,
        }
    }

    pub(crate) fn submit(
        &mut self,
        ops: &[HashedOp],
        leaves: impl Fn(RangeInclusive<Hash>) -> Result<Vec<Leaf>, ProveError>,
    ) {
        let batch = prepared(ops);
        let next = submit_hashed(self.policy, &self.state, u64::MAX, ops);
        match (self.fork.apply(&batch, leaves).unwrap(), next) {
            (Ok(applied), Some(next)) => {
                assert_eq!(applied, changes(&self.state, &next, &batch.writes));
                self.state = next;
            }
            (Err(_), None) => self.refused += 1,
            (outcome, next) => panic!("{outcome:?} where the model has {next:?}"),
        }
        assert_eq!(self.fork.key_count(), self.state.len() as u64);
    }

    pub(crate) fn roots(
        &mut self,
        leaves: impl Fn(RangeInclusive<Hash>) -> Result<Vec<Leaf>, ProveError>,
    ) -> Roots {
        let roots = self.fork.roots(leaves).unwrap();
        check_roots(&roots, self.version + 1, &leaves_of(&self.state));
        roots
    }

    /// Compares digests, changes, and a proof of some keys.
    pub(crate) fn check(
        &mut self,
        keys: &[Key],
        leaves: impl Fn(RangeInclusive<Hash>) -> Result<Vec<Leaf>, ProveError>,
    ) {
        let roots = self.roots(&leaves);
        self.check_changes();
        let draft = Draft::walk_fork(&self.fork, &roots, &plain(), keys, leaves).unwrap();
        let claim = |leaf: Option<&Leaf>| {
            leaf.map_or(Claim::Absent, |leaf| Claim::PresentHash(leaf.value_hash))
        };
        let claims = draft.entries().map(|(_, leaf)| claim(leaf)).collect();
        let top = draft.hash_top(&roots);
        let seen = Seen {
            roots,
            state: self.state.clone(),
        };
        assert_eq!(
            of_version(&plain(), draft.finish(claims, None, top)),
            model_proof(&plain(), &seen, keys)
        );
    }

    fn check_changes(&self) {
        let value = |state: &State, key: &Hash| state.get(key).map(|leaf| leaf.0);
        let keys: BTreeSet<Hash> = self.base.keys().chain(self.state.keys()).copied().collect();
        let differ = |key: &Hash| value(&self.base, key) != value(&self.state, key);
        let expected = keys.iter().filter(|key| differ(key));
        let expected = expected.map(|key| (*key, value(&self.base, key), value(&self.state, key)));
        let found = self.fork.changes().map(|change| {
            let value_hash = |leaf: Option<Leaf>| leaf.map(|leaf| leaf.value_hash);
            assert_eq!(self.fork.own(&change.key_hash), Some(change.now));
            (
                change.key_hash,
                value_hash(change.then),
                value_hash(change.now),
            )
        });
        assert!(found.eq(expected));
    }

    /// Returns the writes that make the version equal to the fork.
    pub(crate) fn effects(&self) -> PreparedBatch {
        let write = |change: Change| Write {
            key_hash: change.key_hash,
            value_hash: change.now.map_or(ZERO, |leaf| leaf.value_hash),
            order: 0,
        };
        PreparedBatch {
            writes: self.fork.changes().map(write).collect(),
            ..PreparedBatch::default()
        }
    }

    /// Returns the leaves of this version if it is the fork.
    pub(crate) fn state_at(&self, version: u64, before: &State) -> State {
        with_origins(&leaves_of(&self.state), before, version)
    }
}

/// Replaces the leaf store for a tree in memory.
fn no_store(_: RangeInclusive<Hash>) -> Result<Vec<Leaf>, ProveError> {
    panic!("everything is in memory")
}

/// Returns keys to request, and hashes near theirs that make the tree deep and paths collide.
fn pool(rng: &mut StdRng) -> (Vec<Key>, Vec<Hash>) {
    let keys: Vec<Key> = (0..40).map(number_key).collect();
    let mut hashes: Vec<Hash> = keys.iter().map(|key| naive::plain(key)).collect();
    for (place, bits) in [(0, 7), (1, 7), (2, 14), (3, 24), (5, 55), (6, 56), (7, 56)] {
        let count = if bits < 55 { 40 } else { 30 };
        let base = hashes[place];
        hashes.extend(many_near(rng, &base, bits, count));
    }
    hashes.extend(many_near(rng, &[0; 32], 0, 60));
    (keys, hashes)
}

fn fork_of(twin: &Twin, version: u64) -> Forked {
    Forked::new(twin.reader(), &twin.seen[&version], twin.policy)
}

/// Changes forks of several versions and forks of these in turns while the tree advances.
fn random_run(seed: u64, policy: CollisionPolicy) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (keys, hashes) = pool(&mut rng);
    let mut twin = Twin::new(policy);
    let mut forks: Vec<Forked> = Vec::new();
    let (mut refused, mut committed) = (0, 0);
    for step in 0..30 {
        let puts = if step % 5 == 4 { 0.1 } else { 0.7 };
        let count = *pick(&mut rng, &[1, 6, 60]);
        if step % 4 == 3 {
            let mut fork = fork_of(&twin, twin.version - 1);
            for _ in 0..3 {
                fork.submit(&random_ops(&mut rng, &hashes, count, puts), no_store);
            }
            commit(&mut twin, &mut fork);
            committed += 1;
        } else {
            let _ = twin.submit(&random_ops(&mut rng, &hashes, count, puts));
            twin.seal();
        }
        let versions: Vec<u64> = twin.seen.keys().copied().collect();
        forks.push(fork_of(&twin, *pick(&mut rng, &versions)));
        let other = pick(&mut rng, &forks).clone();
        forks.push(other);
        for fork in &mut forks {
            if rng.random_bool(0.5) {
                let count = *pick(&mut rng, &[1, 3, 50]);
                fork.submit(&random_ops(&mut rng, &hashes, count, 0.6), no_store);
            }
            if rng.random_bool(0.5) {
                fork.check(&[pick(&mut rng, &keys).clone(), keys[5].clone()], no_store);
            }
        }
        while forks.len() > 6 {
            let fork = forks.swap_remove(rng.random_range(0..forks.len()));
            refused += fork.refused;
        }
        twin.check_leaves();
    }
    assert!(committed > 5);
    assert!(
        policy == CollisionPolicy::Overwrite || refused > 0,
        "{refused}"
    );
}

/// Makes a fork of the last version the next one.
fn commit(twin: &mut Twin, fork: &mut Forked) {
    let roots = fork.roots(no_store);
    let batch = fork.effects();
    let version = twin.version;
    twin.writer.replay(None, &batch.writes, version).unwrap();
    twin.present = fork.state_at(version, &twin.present);
    let sealed = twin.writer.seal(version);
    assert_eq!(
        twin.hasher.hash_forked(sealed, &fork.fork.digests(), None),
        roots
    );
    let state = twin.present.clone();
    twin.seen.insert(version, Seen { roots, state });
    twin.version += 1;
}

#[test]
fn forks_have_the_digests_changes_and_proofs_of_the_model_under_every_policy() {
    random_run(1, CollisionPolicy::Bucket);
    random_run(2, CollisionPolicy::Overwrite);
    random_run(3, CollisionPolicy::Reject);
}

#[test]
fn forks_grow_and_shrink_far_beyond_their_directories() {
    let mut rng = StdRng::seed_from_u64(4);
    let keys: Vec<Key> = (0..4).map(number_key).collect();
    let hashes = many_near(&mut rng, &naive::plain(&keys[0]), 7, 900);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for _ in 0..2 {
        let mut fork = fork_of(&twin, twin.version - 1);
        for some in hashes.chunks(150) {
            let puts: Vec<HashedOp> = some.iter().map(|key| (*key, Some([1; 32]))).collect();
            fork.submit(&puts, no_store);
            fork.check(&keys, no_store);
        }
        let full = fork.clone();
        for some in hashes.chunks(150) {
            let deletes: Vec<HashedOp> = some.iter().map(|key| (*key, None)).collect();
            fork.submit(&deletes, no_store);
            fork.check(&keys, no_store);
        }
        assert_eq!(fork.fork.key_count(), 0);
        // The directory doubles several times, until it has its final size.
        commit(&mut twin, &mut full.clone());
        let mut again = fork_of(&twin, twin.version - 1);
        again.submit(&[(hashes[0], None)], no_store);
        commit(&mut twin, &mut again);
        twin.check_leaves();
        twin.delete_all(&hashes[1..]);
        twin.seal();
    }
}

#[test]
fn a_tree_that_took_over_the_digests_of_a_fork_continues_as_any_other() {
    let mut rng = StdRng::seed_from_u64(5);
    let (keys, hashes) = pool(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.submit(&random_ops(&mut rng, &hashes, 200, 1.0))
        .unwrap();
    twin.seal();
    for _ in 0..8 {
        let mut fork = fork_of(&twin, twin.version - 1);
        fork.submit(&random_ops(&mut rng, &hashes, 30, 0.6), no_store);
        commit(&mut twin, &mut fork);
        // Of the versions before it, too.
        for seen in twin.seen.values() {
            crate::support::check_seen(&twin.reader(), &plain(), seen, &keys[..8]);
        }
        let _ = twin.submit(&random_ops(&mut rng, &hashes, 30, 0.6));
        twin.seal();
    }
}

#[test]
fn a_requirement_holds_of_the_state_of_the_fork() {
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let [a, b] = [naive::plain(b"a"), naive::plain(b"b")];
    twin.put_all(&[a]);
    twin.seal();
    let mut fork = fork_of(&twin, twin.version - 1);
    fork.submit(&[(b, Some([2; 32]))], no_store);
    let require = |key: Hash, requirement: Requirement| PreparedBatch {
        requirements: vec![(key, requirement)],
        ..prepared(&[(a, Some([9; 32]))])
    };
    for (key, requirement) in [
        (a, Requirement::Absent),
        (b, Requirement::Absent),
        (b, Requirement::ValueHash([1; 32])),
    ] {
        let refused = fork.fork.apply(&require(key, requirement), no_store);
        let key_hash = key;
        assert_eq!(
            refused.unwrap(),
            Err(Refusal::RequirementFailed { key_hash })
        );
        fork.check(&[b"a".to_vec()], no_store);
    }
    for (key, requirement) in [
        (a, Requirement::ValueHash([1; 32])),
        (b, Requirement::ValueHash([2; 32])),
        ([7; 32], Requirement::Absent),
    ] {
        let mut fork = fork.fork.clone();
        assert!(
            fork.apply(&require(key, requirement), no_store)
                .unwrap()
                .is_ok()
        );
        let leaf = fork.own(&a).unwrap().unwrap();
        assert_eq!(
            (leaf.value_hash, TreeFork::own_origin(&leaf)),
            ([9; 32], Some(1))
        );
    }
    // The version below is unchanged.
    assert_eq!(twin.reader().get(1, &b), Ok(None));
    twin.check_leaves();
}

#[test]
fn leaves_that_are_not_those_of_the_version_change_nothing() {
    let mut rng = StdRng::seed_from_u64(6);
    let hashes = many_near(&mut rng, &[0; 32], 7, 300);
    let stored = |range: RangeInclusive<Hash>| {
        let leaf = |key_hash: &Hash| Leaf {
            key_hash: *key_hash,
            value_hash: [1; 32],
            origin: 0,
        };
        let mut leaves: Vec<Leaf> = hashes.iter().map(leaf).collect();
        leaves.sort_unstable_by_key(|leaf| leaf.key_hash);
        leaves.retain(|leaf| range.contains(&leaf.key_hash));
        Ok::<_, Infallible>(leaves)
    };
    let policy = CollisionPolicy::Bucket;
    let (mut writer, mut hasher) = tree::build_within(1, None, policy, stored).unwrap();
    assert_eq!(writer.memory().leaves, 0);
    let roots = hasher.hash(writer.seal(0), None);
    let mut fork = TreeFork::new(writer.reader(), &roots, policy);
    let nothing = |_| Ok::<_, LeavesDiffer>(Vec::new());
    let batch = prepared(&[(hashes[0], Some([9; 32]))]);
    assert!(fork.apply(&batch, nothing).is_err());
    assert_eq!(fork.changes().count(), 0);
    assert_eq!(fork.roots(nothing).unwrap().slots, roots.slots);
}

#[test]
fn the_bytes_of_a_fork_follow_its_changes() {
    let mut rng = StdRng::seed_from_u64(7);
    let hashes = many_near(&mut rng, &[0; 32], 0, 2_000);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&hashes);
    twin.seal();
    let mut fork = fork_of(&twin, 1);
    let empty = fork.fork.bytes();
    assert!(empty < 10_000);
    let puts =
        |keys: &[Hash]| -> Vec<HashedOp> { keys.iter().map(|key| (*key, Some([9; 32]))).collect() };
    fork.submit(&puts(&hashes[..1_000]), no_store);
    let half = fork.fork.bytes() - empty;
    assert!((200_000..2_000_000).contains(&half), "{half}");
    let other = fork.clone();
    fork.submit(&puts(&hashes[1_000..]), no_store);
    let whole = fork.fork.bytes() - empty;
    assert!(whole > half + half / 3, "{half}, {whole}");
    assert_eq!(other.fork.bytes() - empty, half);
}
