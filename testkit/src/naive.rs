//! The state by definition: a sorted map, digests from scratch, proofs from scratch.
//!
//! Written from the text of the design alone. It shares no code with `trunkline-core`, so that an error in one is not
//! an error in both; it uses only the types of a proof from that crate. Slow on purpose.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::{
    Claim, Entry, Place, Proof, ShownLeaf, Siblings, Terminal, Top, VersionProof,
};

/// A digest, or the hash of a key.
pub type Hash = [u8; 32];
/// A key.
pub type Key = Vec<u8>;
/// A value.
pub type Value = Vec<u8>;

/// The digest of an empty subtree.
pub const NOTHING: Hash = [0; 32];
const SLOTS: usize = 128;
const PATH: usize = 56;
const BUCKET_MOST: usize = 16;

/// The names of all domains.
pub const LABELS: [&str; 17] = [
    "leaf",
    "inner",
    "bucket",
    "tree id",
    "submission",
    "epoch",
    "provisional root",
    "outcome leaf",
    "outcome node",
    "outcomes root",
    "commit id",
    "history leaf",
    "history node",
    "history root",
    "frame",
    "aggregate weight",
    "aggregate point",
];

/// Hashes with keyed BLAKE3 under the key of a domain.
pub fn keyed(name: &str, body: &[u8]) -> Hash {
    let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    *blake3::keyed_hash(&key, body).as_bytes()
}

/// Hashes with plain BLAKE3, as values are hashed.
pub fn plain(body: &[u8]) -> Hash {
    *blake3::hash(body).as_bytes()
}

/// Joins two digests.
pub fn join(left: &Hash, right: &Hash) -> Vec<u8> {
    [left.as_slice(), right.as_slice()].concat()
}

/// Hashes a key, under the salt of the tree if it has one.
pub fn hash_key(params: &TreeParams, key: &[u8]) -> Hash {
    match params.salt {
        Some(salt) => {
            let path_key = blake3::derive_key("trunkline v2 path key", salt.bytes());
            *blake3::keyed_hash(&path_key, key).as_bytes()
        }
        None => plain(key),
    }
}

/// Returns bit `depth` of a key hash, the most significant one first.
pub fn bit(key_hash: &Hash, depth: usize) -> bool {
    key_hash[depth / 8] & (0x80 >> (depth % 8)) != 0
}

/// Returns the slot that a key hash lies in.
pub fn slot_of(key_hash: &Hash) -> usize {
    (0..7).fold(0, |slot, depth| {
        slot * 2 + usize::from(bit(key_hash, depth))
    })
}

/// Returns whether two key hashes share their path.
pub fn same_path(one: &Hash, other: &Hash) -> bool {
    one[..7] == other[..7]
}

/// The value hash of each key hash, which determines the digest.
pub type Leaves = BTreeMap<Hash, Hash>;
type LeafList = Vec<(Hash, Hash)>;

/// Returns the digest of a leaf.
pub fn leaf_digest(leaf: &(Hash, Hash)) -> Hash {
    keyed("leaf", &join(&leaf.0, &leaf.1))
}

/// Returns the digest of a bucket.
pub fn bucket_digest(leaves: &[(Hash, Hash)]) -> Hash {
    let mut body = vec![u8::try_from(leaves.len()).unwrap()];
    for (key_hash, value_hash) in leaves {
        body.extend(join(key_hash, value_hash));
    }
    keyed("bucket", &body)
}

/// Splits leaves by the bit at a depth.
pub fn halves(leaves: &[(Hash, Hash)], depth: usize) -> (LeafList, LeafList) {
    leaves.iter().partition(|leaf| !bit(&leaf.0, depth))
}

/// Returns the digest of a subtree below the root node.
pub fn subtree_digest(leaves: &[(Hash, Hash)], depth: usize) -> Hash {
    match leaves {
        [] => NOTHING,
        [leaf] => leaf_digest(leaf),
        _ if depth == PATH => bucket_digest(leaves),
        _ => {
            let (left, right) = halves(leaves, depth);
            let left = subtree_digest(&left, depth + 1);
            keyed("inner", &join(&left, &subtree_digest(&right, depth + 1)))
        }
    }
}

fn leaves_in(leaves: &Leaves, slots: std::ops::Range<usize>) -> LeafList {
    let inside = leaves
        .iter()
        .filter(|leaf| slots.contains(&slot_of(leaf.0)));
    inside
        .map(|(key_hash, value_hash)| (*key_hash, *value_hash))
        .collect()
}

/// Returns the digest of each slot.
pub fn slot_digests(leaves: &Leaves) -> Vec<Hash> {
    (0..SLOTS)
        .map(|slot| subtree_digest(&leaves_in(leaves, slot..slot + 1), 7))
        .collect()
}

/// Returns the value of the polynomial at each root of unity: 32 bytes, big-endian.
pub fn field_values(leaves: &Leaves) -> Vec<Hash> {
    let mut values = slot_digests(leaves);
    for value in &mut values {
        value[0] &= 0b0011_1111;
    }
    values
}

/// Folds digests, whose number is a power of two.
pub fn fold(digests: &[Hash]) -> Hash {
    if let [digest] = digests {
        return *digest;
    }
    let (left, right) = digests.split_at(digests.len() / 2);
    match (fold(left), fold(right)) {
        (NOTHING, NOTHING) => NOTHING,
        (left, right) => keyed("inner", &join(&left, &right)),
    }
}

/// Returns the state digest of leaves.
pub fn state_digest(leaves: &Leaves) -> Hash {
    fold(&slot_digests(leaves))
}

/// Returns the setup id, computed from the points themselves.
pub fn setup_id(ceremony: &str) -> Hash {
    let points: String = ceremony.lines().skip(2).collect();
    plain(&hex::decode(points).unwrap())
}

/// Returns the id of a tree with these parameters.
pub fn tree_id(params: &TreeParams, setup_id: &Hash) -> Hash {
    let mut body = vec![2, 0, 128, 0, 8, 56];
    body.extend(params.nonce);
    body.push(params.salt.is_some().into());
    body.extend(params.salt_bytes().unwrap_or([0; 32]));
    body.push(match params.collision {
        CollisionPolicy::Bucket => 0,
        CollisionPolicy::Overwrite => 1,
        CollisionPolicy::Reject => 2,
    });
    body.push(16);
    for name in ["leaf", "inner", "bucket"] {
        body.extend(blake3::derive_key(&format!("trunkline v1 {name}"), &[]));
    }
    body.extend(setup_id);
    keyed("tree id", &body)
}

/// One operation of a submission.
#[derive(Clone, Debug)]
pub enum Op {
    /// Puts a value under a key.
    Put(Key, Value),
    /// Deletes a key.
    Delete(Key),
}

impl Op {
    /// Returns the key that is written.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// A requirement of a submission for the state before it.
#[derive(Clone, Debug)]
pub enum Require {
    /// Requires that the key is absent.
    Absent(Key),
    /// Requires that the key is present.
    Present(Key),
    /// Requires that the key has a value with this hash.
    ValueHash(Key, Hash),
}

/// The outcome of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect. With `overwrite`, these keys were replaced by others with the same path, in the order in which
    /// that happened.
    Applied {
        /// The keys that were replaced.
        displaced: Vec<Key>,
    },
    /// It had no effect.
    Refused(Refusal),
}

/// The reason why a submission was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The requirement of this index does not hold.
    Requirement(usize),
    /// A bucket would have a 17th member (`bucket`).
    BucketFull,
    /// Two keys would share a path (`reject`).
    Collision,
}

/// A state with its history-free rules.
#[derive(Clone, Debug, Default)]
pub struct NaiveState {
    /// The parameters of the tree.
    pub params: TreeParams,
    /// Every key with its value.
    pub map: BTreeMap<Key, Value>,
}

impl NaiveState {
    /// Makes an empty state.
    pub fn new(params: TreeParams) -> Self {
        Self {
            params,
            map: BTreeMap::new(),
        }
    }

    /// Makes the state of these keys and values.
    pub fn of(params: TreeParams, pairs: impl IntoIterator<Item = (Key, Value)>) -> Self {
        Self {
            params,
            map: pairs.into_iter().collect(),
        }
    }

    /// Returns the leaves of the state.
    pub fn leaves(&self) -> Leaves {
        let pairs = self.map.iter();
        pairs
            .map(|(key, value)| (hash_key(&self.params, key), plain(value)))
            .collect()
    }

    /// Returns the state digest.
    pub fn state_digest(&self) -> Hash {
        state_digest(&self.leaves())
    }

    fn holds(&self, require: &Require) -> bool {
        match require {
            Require::Absent(key) => !self.map.contains_key(key),
            Require::Present(key) => self.map.contains_key(key),
            Require::ValueHash(key, hash) => {
                self.map.get(key).is_some_and(|value| plain(value) == *hash)
            }
        }
    }

    /// Applies a submission atomically. Only the last operation on a key counts; all deletions come before all puts,
    /// and puts keep their order.
    pub fn submit(&mut self, ops: &[Op], requires: &[Require]) -> Outcome {
        if let Some(index) = requires.iter().position(|require| !self.holds(require)) {
            return Outcome::Refused(Refusal::Requirement(index));
        }
        let ops = last_on_each_key(ops);
        let mut next = self.clone();
        for op in &ops {
            next.map.remove(op.key()); // a put leaves and comes back
        }
        let displaced = match next.put_all(&ops) {
            Ok(displaced) => displaced,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        *self = next;
        Outcome::Applied { displaced }
    }

    fn put_all(&mut self, ops: &[Op]) -> Result<Vec<Key>, Refusal> {
        let mut displaced = Vec::new();
        for op in ops {
            if let Op::Put(key, value) = op {
                displaced.extend(self.make_room(key)?);
                self.map.insert(key.clone(), value.clone());
            }
        }
        Ok(displaced)
    }

    /// Makes room for a key on its path. Its neighbours are the other keys on the path.
    fn make_room(&mut self, key: &Key) -> Result<Vec<Key>, Refusal> {
        let path = hash_key(&self.params, key);
        let mut neighbours: Vec<Key> = self.map.keys().cloned().collect();
        neighbours.retain(|other| same_path(&hash_key(&self.params, other), &path));
        match self.params.collision {
            CollisionPolicy::Bucket if neighbours.len() >= BUCKET_MOST => Err(Refusal::BucketFull),
            CollisionPolicy::Bucket => Ok(Vec::new()),
            CollisionPolicy::Reject if !neighbours.is_empty() => Err(Refusal::Collision),
            CollisionPolicy::Reject => Ok(Vec::new()),
            CollisionPolicy::Overwrite => {
                for neighbour in &neighbours {
                    self.map.remove(neighbour);
                }
                Ok(neighbours)
            }
        }
    }

    /// Proves some keys with a hash top.
    pub fn prove(&self, version: u64, keys: &BTreeSet<Key>) -> Proof {
        prove_leaves(&self.params, &self.leaves(), version, &self.entries(keys))
    }

    /// Returns the slots of some keys.
    pub fn slots(&self, keys: &BTreeSet<Key>) -> BTreeSet<usize> {
        let hashes = keys.iter().map(|key| hash_key(&self.params, key));
        hashes.map(|hash| slot_of(&hash)).collect()
    }

    /// Returns keys with their claims, by key hash.
    pub fn entries(&self, keys: &BTreeSet<Key>) -> BTreeMap<Hash, Entry> {
        let entry = |key: &Key| Entry {
            key: key.clone(),
            claim: self
                .map
                .get(key)
                .map_or(Claim::Absent, |value| Claim::Present(value.clone())),
        };
        keys.iter()
            .map(|key| (hash_key(&self.params, key), entry(key)))
            .collect()
    }
}

/// Returns the last operation on each key, in order.
fn last_on_each_key(ops: &[Op]) -> Vec<Op> {
    let mut last: Vec<Op> = Vec::new();
    for op in ops {
        last.retain(|earlier| earlier.key() != op.key());
        last.push(op.clone());
    }
    last
}

/// Makes a proof with a hash top, from the leaves of a state and the entries wanted.
pub fn prove_leaves(
    params: &TreeParams,
    leaves: &Leaves,
    version: u64,
    entries: &BTreeMap<Hash, Entry>,
) -> Proof {
    let mut walk = Walk::default();
    let wanted: Vec<Hash> = entries.keys().copied().collect();
    walk.root_node(leaves, &wanted, 0..SLOTS);
    let top = Top::Hash {
        siblings: Siblings::from_iter(walk.top_siblings),
    };
    Proof {
        params: *params,
        versions: vec![VersionProof {
            version,
            record: None,
            entries: entries.values().cloned().collect(),
            terminals: walk.terminals,
            siblings: Siblings::from_iter(walk.siblings),
            top,
        }],
        opening: None,
    }
}

#[derive(Default)]
struct Walk {
    terminals: Vec<Terminal>,
    siblings: Vec<Hash>,
    top_siblings: Vec<Hash>,
}

impl Walk {
    fn root_node(&mut self, leaves: &Leaves, wanted: &[Hash], slots: std::ops::Range<usize>) {
        let below: Vec<Hash> = wanted
            .iter()
            .copied()
            .filter(|hash| slots.contains(&slot_of(hash)))
            .collect();
        if below.is_empty() {
            self.top_siblings.push(fold(&slot_digests(leaves)[slots]));
        } else if slots.len() == 1 {
            self.subtree(&leaves_in(leaves, slots), &below, 7);
        } else {
            let middle = slots.start + slots.len() / 2;
            self.root_node(leaves, &below, slots.start..middle);
            self.root_node(leaves, &below, middle..slots.end);
        }
    }

    fn subtree(&mut self, leaves: &[(Hash, Hash)], wanted: &[Hash], depth: usize) {
        if wanted.is_empty() {
            self.siblings.push(subtree_digest(leaves, depth));
            return;
        }
        let shown = |leaf: &(Hash, Hash)| ShownLeaf {
            key_hash: leaf.0,
            value_hash: leaf.1,
        };
        let place = match leaves {
            [] => Place::Empty,
            [leaf] if wanted.contains(&leaf.0) => Place::OwnLeaf,
            [leaf] => Place::OtherLeaf(shown(leaf)),
            _ if depth == PATH => Place::Bucket(leaves.iter().map(shown).collect()),
            _ => {
                let (left, right) = halves(leaves, depth);
                let (wanted_right, wanted_left): (Vec<Hash>, Vec<Hash>) =
                    wanted.iter().partition(|hash| bit(hash, depth));
                self.subtree(&left, &wanted_left, depth + 1);
                self.subtree(&right, &wanted_right, depth + 1);
                return;
            }
        };
        self.terminals.push(Terminal {
            depth: depth as u8,
            place,
        });
    }
}
