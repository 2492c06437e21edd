//! The tree and its model side by side: whatever is done to one is done to the other, and compared.

use std::collections::{BTreeMap, BTreeSet};

use proptest::test_runner::{Config, RngSeed};
use rand::RngExt;
use rand::rngs::StdRng;
use trunkline_core::batch::{Batch, BatchLimits, PreparedBatch, Requirement, Write};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::{Claim, Draft, Entry, Proof, VersionProof};
use trunkline_core::tree::{self, Applied, Leaf, Roots, TreeHasher, TreeReader, TreeWriter};

use crate::naive::{self, Hash, Key, Leaves, NaiveState, Op, Outcome, Require};

pub(crate) const BUCKET_MOST: usize = 16;

/// The same cases in every run.
pub(crate) fn fixed_cases() -> Config {
    Config {
        cases: 96,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

/// Value hash and origin of each key hash: what the leaves of one version should be.
pub(crate) type State = BTreeMap<Hash, (Hash, u64)>;

/// A put (or delete) of a key that is known by its hash alone, so that any prefix can be had.
pub(crate) type HashedOp = (Hash, Option<Hash>);

pub(crate) fn leaves_of(state: &State) -> Leaves {
    let pairs = state.iter();
    pairs.map(|(key, (value, _))| (*key, *value)).collect()
}

/// A sealed version and what it must stay.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) roots: Roots,
    pub(crate) state: State,
}

pub(crate) struct Twin {
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: TreeHasher,
    pub(crate) policy: CollisionPolicy,
    /// The version being made.
    pub(crate) version: u64,
    pub(crate) present: State,
    pub(crate) seen: BTreeMap<u64, Seen>,
}

impl Twin {
    /// An empty tree, sealed as version 0.
    pub(crate) fn new(policy: CollisionPolicy) -> Self {
        let (writer, hasher) = tree::build(policy, &[]).unwrap();
        let mut twin = Self {
            writer,
            hasher,
            policy,
            version: 0,
            present: State::new(),
            seen: BTreeMap::new(),
        };
        twin.seal();
        twin
    }

    pub(crate) fn reader(&self) -> TreeReader {
        self.writer.reader()
    }

    /// Submits operations, in their order, as if their keys had these hashes.
    pub(crate) fn submit(&mut self, ops: &[HashedOp]) -> Result<Applied, Refusal> {
        let next = submit_hashed(self.policy, &self.present, self.version, ops);
        self.apply(&prepared(ops), next)
    }

    pub(crate) fn put_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, Some([1; 32]))).collect();
        self.submit(&ops).unwrap();
    }

    pub(crate) fn delete_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, None)).collect();
        self.submit(&ops).unwrap();
    }

    /// Applies a batch; `next` is the state that follows, or `None` if it must be refused.
    pub(crate) fn apply(
        &mut self,
        batch: &PreparedBatch,
        next: Option<State>,
    ) -> Result<Applied, Refusal> {
        let outcome = self.writer.apply(batch, self.version);
        match (&outcome, next) {
            (Ok(applied), Some(next)) => {
                assert_eq!(*applied, changes(&self.present, &next, &batch.writes));
                self.present = next;
            }
            (Err(_), None) => {}
            (outcome, next) => panic!("{outcome:?} where the model has {next:?}"),
        }
        assert_eq!(self.writer.key_count(), self.present.len() as u64);
        outcome
    }

    /// Seals and hashes the version, compares its digests and begins the next.
    pub(crate) fn seal(&mut self) -> Roots {
        let roots = self.hasher.hash(self.writer.seal(self.version), None);
        check_roots(&roots, self.version, &leaves_of(&self.present));
        let seen = Seen {
            roots: roots.clone(),
            state: self.present.clone(),
        };
        self.seen.insert(self.version, seen);
        self.version += 1;
        roots
    }

    /// Compares every leaf of every version that was sealed and not retired.
    pub(crate) fn check_leaves(&self) {
        for (version, seen) in &self.seen {
            assert_eq!(
                walk(&self.reader(), *version).0,
                expected_leaves(&seen.state)
            );
        }
    }

    pub(crate) fn retire(&mut self, oldest: u64) {
        self.reader().retire(oldest);
        self.seen = self.seen.split_off(&oldest);
    }
}

/// A tree under keys proper, beside the whole model.
pub(crate) struct Keyed {
    pub(crate) twin: Twin,
    pub(crate) model: NaiveState,
}

impl Keyed {
    pub(crate) fn new(params: TreeParams) -> Self {
        Self {
            twin: Twin::new(params.collision),
            model: NaiveState::new(params),
        }
    }

    pub(crate) fn submit(&mut self, ops: &[Op], requires: &[Require]) -> Result<Applied, Refusal> {
        let before = self.model.clone();
        let outcome = self.model.submit(ops, requires);
        let next = matches!(outcome, Outcome::Applied { .. })
            .then(|| with_origins(&self.model.leaves(), &self.twin.present, self.twin.version));
        let batch = batch(ops, requires);
        let prepared = batch.prepare(&self.model.params, &BatchLimits::default(), None);
        let answer = self.twin.apply(&prepared.unwrap(), next);
        self.check_outcome(&before, &answer, &outcome, requires);
        answer
    }

    fn check_outcome(
        &self,
        before: &NaiveState,
        answer: &Result<Applied, Refusal>,
        outcome: &Outcome,
        requires: &[Require],
    ) {
        match (answer, outcome) {
            (Ok(applied), Outcome::Applied { evicted }) => {
                let hash = |key: &Key| naive::hash_key(&self.model.params, key);
                let lost = evicted.iter().filter(|key| before.map.contains_key(*key));
                let lost: BTreeSet<Hash> = lost.map(hash).collect();
                assert!(applied.evicted.iter().eq(&lost));
            }
            (Err(Refusal::RequirementFailed { key_hash }), Outcome::Refused(why)) => {
                assert!(matches!(why, naive::Refusal::Requirement(_)));
                let broken = requires.iter().any(|require| {
                    let (key, holds) = match require {
                        Require::Absent(key) => (key, !before.map.contains_key(key)),
                        Require::Present(key) => (key, before.map.contains_key(key)),
                        Require::ValueHash(key, hash) => {
                            let value = before.map.get(key).map(|value| naive::plain(value));
                            (key, value == Some(*hash))
                        }
                    };
                    !holds && naive::hash_key(&before.params, key) == *key_hash
                });
                assert!(broken, "a requirement that holds was named");
            }
            (Err(Refusal::BucketFull { .. }), Outcome::Refused(why)) => {
                assert_eq!(*why, naive::Refusal::BucketFull);
            }
            (Err(Refusal::PathTaken { .. }), Outcome::Refused(why)) => {
                assert_eq!(*why, naive::Refusal::Collision);
            }
            other => panic!("{other:?}"),
        }
    }

    /// A proof with a hash top, compared with the model's of the present state.
    pub(crate) fn check_proof(&self, roots: &Roots, keys: &BTreeSet<Key>) -> Proof {
        let reader = self.twin.reader();
        let draft = Draft::walk(&reader, roots, &self.model.params, keys).unwrap();
        let entries: Vec<Key> = draft.entries().map(|(key, _)| key.to_vec()).collect();
        let claims = entries.iter().map(|key| match self.model.map.get(key) {
            Some(value) => Claim::Present(value.clone()),
            None => Claim::Absent,
        });
        let (claims, top) = (claims.collect(), draft.hash_top(roots));
        let proof = of_version(&self.model.params, draft.finish(claims, None, top));
        assert_eq!(proof, self.model.prove(roots.version, keys));
        proof
    }
}

fn batch(ops: &[Op], requires: &[Require]) -> Batch {
    let mut batch = Batch::new();
    for op in ops {
        match op {
            Op::Put(key, value) => batch.put(key.clone(), value.clone()),
            Op::Delete(key) => batch.delete(key.clone()),
        };
    }
    for require in requires {
        match require {
            Require::Absent(key) => batch.require(key.clone(), Requirement::Absent),
            Require::ValueHash(key, hash) => {
                batch.require(key.clone(), Requirement::ValueHash(*hash))
            }
            Require::Present(_) => panic!("batches can't require presence alone"),
        };
    }
    batch
}

/// Keys whose value changed keep no origin but this version; the others keep theirs.
fn with_origins(leaves: &Leaves, before: &State, version: u64) -> State {
    let origin = |key: &Hash, value: &Hash| match before.get(key) {
        Some((old, origin)) if old == value => *origin,
        _ => version,
    };
    let pairs = leaves.iter();
    pairs
        .map(|(key, value)| (*key, (*value, origin(key, value))))
        .collect()
}

/// The state after a submission, by the rules; `None` if they refuse it.
fn submit_hashed(
    policy: CollisionPolicy,
    before: &State,
    version: u64,
    ops: &[HashedOp],
) -> Option<State> {
    let mut leaves = leaves_of(before);
    let ops = last_on_each(ops);
    for (key, _) in &ops {
        leaves.remove(key);
    }
    for (key, value) in &ops {
        let Some(value) = value else { continue };
        let on_path = leaves.keys().filter(|other| naive::same_path(other, key));
        let on_path: Vec<Hash> = on_path.copied().collect();
        match policy {
            CollisionPolicy::Bucket if on_path.len() >= BUCKET_MOST => return None,
            CollisionPolicy::Reject if !on_path.is_empty() => return None,
            CollisionPolicy::Overwrite => on_path.iter().for_each(|other| {
                leaves.remove(other);
            }),
            CollisionPolicy::Bucket | CollisionPolicy::Reject => {}
        }
        leaves.insert(*key, *value);
    }
    Some(with_origins(&leaves, before, version))
}

fn last_on_each(ops: &[HashedOp]) -> Vec<HashedOp> {
    let last: BTreeMap<Hash, usize> = ops.iter().map(|op| op.0).zip(0..).collect();
    let order: BTreeSet<usize> = last.into_values().collect();
    order.into_iter().map(|index| ops[index]).collect()
}

/// A batch of keys that have these hashes.
pub(crate) fn prepared(ops: &[HashedOp]) -> PreparedBatch {
    let mut writes: Vec<Write> = (0..)
        .zip(last_on_each(ops))
        .map(|(order, (key_hash, value_hash))| Write {
            key_hash,
            value_hash: value_hash.unwrap_or_default(),
            order,
        })
        .collect();
    writes.sort_by_key(|write| write.key_hash);
    PreparedBatch {
        writes,
        ..PreparedBatch::default()
    }
}

/// What leads from one state to another, as `apply` should tell it.
fn changes(before: &State, after: &State, writes: &[Write]) -> Applied {
    let value = |state: &State, key: &Hash| state.get(key).map(|leaf| leaf.0);
    let same = |write: &Write| {
        let (before, after) = (
            value(before, &write.key_hash),
            value(after, &write.key_hash),
        );
        before == after || after.is_none() && !write.is_delete()
    };
    let deleted = |key: &Hash| {
        let mut writes = writes.iter();
        writes.any(|write| write.key_hash == *key && write.is_delete())
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    Applied {
        unchanged: (0..)
            .zip(writes)
            .filter(|(_, write)| same(write))
            .map(|(place, _)| place)
            .collect(),
        evicted: gone.filter(|key| !deleted(key)).copied().collect(),
    }
}

pub(crate) fn check_roots(roots: &Roots, version: u64, leaves: &Leaves) {
    let slots = naive::slot_digests(leaves);
    assert_eq!(roots.version, version);
    assert_eq!(roots.key_count, leaves.len() as u64);
    assert_eq!(roots.slots[..], slots[..], "slots of version {version}");
    assert_eq!(roots.state_digest, naive::fold(&slots), "version {version}");
}

/// All leaves of a version by a walk over its cells, and how many cells that took.
pub(crate) fn walk(reader: &TreeReader, version: u64) -> (Vec<Leaf>, usize) {
    let mut leaves = Vec::new();
    let mut cells = 0;
    let mut from = Some([0; 32]);
    while let Some(start) = from {
        let (some, next) = reader.leaves_from(version, &start);
        assert!(next.is_none_or(|next| next > start), "the walk goes on");
        leaves.extend(some.unwrap());
        cells += 1;
        from = next;
    }
    (leaves, cells)
}

pub(crate) fn expected_leaves(state: &State) -> Vec<Leaf> {
    let leaf = |(key_hash, (value_hash, origin)): (&Hash, &(Hash, u64))| Leaf {
        key_hash: *key_hash,
        value_hash: *value_hash,
        origin: *origin,
    };
    state.iter().map(leaf).collect()
}

/// Compares leaves, lookups and a proof of some keys with what a version was when it was sealed.
pub(crate) fn check_seen(reader: &TreeReader, params: &TreeParams, seen: &Seen, keys: &[Key]) {
    let version = seen.roots.version;
    assert_eq!(walk(reader, version).0, expected_leaves(&seen.state));
    for key in keys {
        let key_hash = naive::hash_key(params, key);
        let leaf = reader.get(version, &key_hash).unwrap();
        let leaf = leaf.map(|leaf| (leaf.value_hash, leaf.origin));
        assert_eq!(leaf, seen.state.get(&key_hash).copied());
    }
    let proof = hash_proof(reader, &seen.roots, params, keys);
    assert_eq!(proof, model_proof(params, seen, keys));
}

/// A proof that claims the hashes of values.
pub(crate) fn hash_proof(
    reader: &TreeReader,
    roots: &Roots,
    params: &TreeParams,
    keys: &[Key],
) -> Proof {
    let draft = Draft::walk(reader, roots, params, keys).unwrap();
    let claim = |leaf: Option<&Leaf>| {
        leaf.map_or(Claim::Absent, |leaf| Claim::PresentHash(leaf.value_hash))
    };
    let claims = draft.entries().map(|(_, leaf)| claim(leaf)).collect();
    let top = draft.hash_top(roots);
    of_version(params, draft.finish(claims, None, top))
}

/// A proof of one version, without an opening.
pub(crate) fn of_version(params: &TreeParams, version: VersionProof) -> Proof {
    Proof {
        params: *params,
        versions: vec![version],
        opening: None,
    }
}

pub(crate) fn model_proof(params: &TreeParams, seen: &Seen, keys: &[Key]) -> Proof {
    let leaves = leaves_of(&seen.state);
    let entry = |key: &Key| {
        let key_hash = naive::hash_key(params, key);
        let claim = leaves.get(&key_hash);
        let claim = claim.map_or(Claim::Absent, |value| Claim::PresentHash(*value));
        let key = key.clone();
        (key_hash, Entry { key, claim })
    };
    let entries = keys.iter().map(entry).collect();
    naive::prove_leaves(params, &leaves, seen.roots.version, &entries)
}

/// A random hash that shares its first `bits` bits with another.
pub(crate) fn near(rng: &mut StdRng, hash: &Hash, bits: usize) -> Hash {
    let mut other: Hash = rng.random();
    other[..bits / 8].copy_from_slice(&hash[..bits / 8]);
    if !bits.is_multiple_of(8) {
        let mask = 0xff_u8 << (8 - bits % 8);
        other[bits / 8] = hash[bits / 8] & mask | other[bits / 8] & !mask;
    }
    other
}

/// `count` random hashes that share their first `bits` bits with one.
pub(crate) fn many_near(rng: &mut StdRng, hash: &Hash, bits: usize, count: usize) -> Vec<Hash> {
    (0..count).map(|_| near(rng, hash, bits)).collect()
}

/// Any of some.
pub(crate) fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

/// A few puts (of few values, so that some change nothing) and deletes of keys out of a pool.
pub(crate) fn random_ops(
    rng: &mut StdRng,
    pool: &[Hash],
    count: usize,
    puts: f64,
) -> Vec<HashedOp> {
    (0..count)
        .map(|_| {
            let value = rng.random_bool(puts).then(|| [rng.random_range(1..4); 32]);
            (*pick(rng, pool), value)
        })
        .collect()
}
