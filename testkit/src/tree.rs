//! The tree with its model: every change is applied to both, and compared.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;
use trunkline_core::batch::{PreparedBatch, Write};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::{self, Applied, Leaf, Roots, TreeHasher, TreeReader, TreeWriter};

use crate::naive::{self, Hash, Leaves};

const BUCKET_MOST: usize = 16;

/// The value hash and the origin of each key hash: the expected leaves of one version.
pub type State = BTreeMap<Hash, (Hash, u64)>;

/// A put or delete of a key that is known only by its hash, so that any prefix is possible.
pub type HashedOp = (Hash, Option<Hash>);

/// Returns the leaves without their origins.
pub fn leaves_of(state: &State) -> Leaves {
    let pairs = state.iter();
    pairs.map(|(key, (value, _))| (*key, *value)).collect()
}

/// A sealed version with its expected content.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The digests of the version.
    pub roots: Roots,
    /// The leaves of the version.
    pub state: State,
}

/// A tree with the model of its leaves.
pub struct Twin {
    /// Applies submissions.
    pub writer: TreeWriter,
    /// Hashes versions.
    pub hasher: TreeHasher,
    /// The policy for keys that share a path.
    pub policy: CollisionPolicy,
    /// The version that is being made.
    pub version: u64,
    /// The leaves of the current state.
    pub present: State,
    /// Every version that was sealed and not retired.
    pub seen: BTreeMap<u64, Seen>,
}

impl Twin {
    /// Makes an empty tree, sealed as version 0.
    pub fn new(policy: CollisionPolicy) -> Self {
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

    /// Returns a reader of the tree.
    pub fn reader(&self) -> TreeReader {
        self.writer.reader()
    }

    /// Submits operations, in their order, as if their keys had these hashes.
    pub fn submit(&mut self, ops: &[HashedOp]) -> Result<Applied, Refusal> {
        let next = submit_hashed(self.policy, &self.present, self.version, ops);
        self.apply(&prepared(ops), next)
    }

    /// Puts a value under each of these key hashes.
    pub fn put_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, Some([1; 32]))).collect();
        self.submit(&ops).unwrap();
    }

    /// Deletes each of these key hashes.
    pub fn delete_all(&mut self, keys: &[Hash]) {
        let ops: Vec<HashedOp> = keys.iter().map(|key| (*key, None)).collect();
        self.submit(&ops).unwrap();
    }

    /// Applies a batch; `next` is the state that follows, or `None` if it must be refused.
    pub fn apply(
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
    pub fn seal(&mut self) -> Roots {
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
    pub fn check_leaves(&self) {
        for (version, seen) in &self.seen {
            assert_eq!(
                walk(&self.reader(), *version).0,
                expected_leaves(&seen.state)
            );
        }
    }

    /// Retires the versions before `oldest`.
    pub fn retire(&mut self, oldest: u64) {
        self.reader().retire(oldest);
        self.seen = self.seen.split_off(&oldest);
    }
}

/// Adds origins to leaves: this version if the value changed, otherwise the earlier origin.
pub fn with_origins(leaves: &Leaves, before: &State, version: u64) -> State {
    let origin = |key: &Hash, value: &Hash| match before.get(key) {
        Some((old, origin)) if old == value => *origin,
        _ => version,
    };
    let pairs = leaves.iter();
    pairs
        .map(|(key, value)| (*key, (*value, origin(key, value))))
        .collect()
}

/// Returns the state after a submission, by the rules; `None` if they refuse it.
pub fn submit_hashed(
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

/// Prepares a batch of keys that have these hashes.
pub fn prepared(ops: &[HashedOp]) -> PreparedBatch {
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

/// Returns the changes between two states in the form in which `apply` reports them.
pub fn changes(before: &State, after: &State, writes: &[Write]) -> Applied {
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
        displaced: gone.filter(|key| !deleted(key)).copied().collect(),
    }
}

/// Compares the digests of a version with those of the model.
pub fn check_roots(roots: &Roots, version: u64, leaves: &Leaves) {
    let slots = naive::slot_digests(leaves);
    assert_eq!(roots.version, version);
    assert_eq!(roots.key_count, leaves.len() as u64);
    assert_eq!(roots.slots[..], slots[..], "slots of version {version}");
    assert_eq!(roots.state_digest, naive::fold(&slots), "version {version}");
}

/// Walks over the cells of a version. Returns all leaves, and the number of cells.
pub fn walk(reader: &TreeReader, version: u64) -> (Vec<Leaf>, usize) {
    let mut leaves = Vec::new();
    let mut cells = 0;
    let mut from = Some([0; 32]);
    while let Some(start) = from {
        let (some, next) = reader.leaves_from(version, &start);
        assert!(next.is_none_or(|next| next > start), "the walk advances");
        leaves.extend(some.unwrap());
        cells += 1;
        from = next;
    }
    (leaves, cells)
}

/// Returns the leaves that a version with this state should have.
pub fn expected_leaves(state: &State) -> Vec<Leaf> {
    let leaf = |(key_hash, (value_hash, origin)): (&Hash, &(Hash, u64))| Leaf {
        key_hash: *key_hash,
        value_hash: *value_hash,
        origin: *origin,
    };
    state.iter().map(leaf).collect()
}

/// Makes a random hash that shares its first `bits` bits with another.
pub fn near(rng: &mut StdRng, hash: &Hash, bits: usize) -> Hash {
    let mut other: Hash = rng.random();
    other[..bits / 8].copy_from_slice(&hash[..bits / 8]);
    if !bits.is_multiple_of(8) {
        let mask = 0xff_u8 << (8 - bits % 8);
        other[bits / 8] = hash[bits / 8] & mask | other[bits / 8] & !mask;
    }
    other
}

/// Makes `count` random hashes that share their first `bits` bits with `hash`.
pub fn many_near(rng: &mut StdRng, hash: &Hash, bits: usize, count: usize) -> Vec<Hash> {
    (0..count).map(|_| near(rng, hash, bits)).collect()
}

/// Picks a random item.
pub fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

/// Makes puts (with few values, so that some change nothing) and deletes of keys from a pool.
pub fn random_ops(rng: &mut StdRng, pool: &[Hash], count: usize, puts: f64) -> Vec<HashedOp> {
    (0..count)
        .map(|_| {
            let value = rng.random_bool(puts).then(|| [rng.random_range(1..4); 32]);
            (*pick(rng, pool), value)
        })
        .collect()
}
