//! States of the naive model, keys to read from them, and proofs of them by definition.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::proof::{Expected, Proof, Top, TopOpening};
use trunkline_core::record::{CommitRecord, Root};

use crate::keys::{self, number_key, path_collisions};
use crate::naive::{self, Hash, Key, NaiveState, field_values};
use crate::naive_kzg::{self, CEREMONY, NaiveKzg, Opened};

/// Returns the parameters of a tree.
pub fn params(collision: CollisionPolicy, salt: Option<Hash>) -> TreeParams {
    TreeParams {
        nonce: NONCE,
        salt: salt.map(Salt::new),
        collision,
    }
}

/// The nonce of these trees.
pub const NONCE: [u8; 16] = *b"trunkline vector";

/// Returns the parameters of a tree that has no salt and the default policy.
pub fn plain() -> TreeParams {
    params(CollisionPolicy::default(), None)
}

/// Makes the state of the keys of `0..count` with their values.
pub fn numbered(params: TreeParams, count: u64) -> NaiveState {
    NaiveState::of(params, keys::numbered(count))
}

/// Finds the first pair of numbers, as keys, whose key hashes share `bits` bits and differ in the next.
pub fn keys_sharing(params: &TreeParams, bits: usize) -> [Key; 2] {
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    for number in 0.. {
        let hash = naive::hash_key(params, &number_key(number));
        let prefix = u64::from_be_bytes(hash[..8].try_into().unwrap()) >> (64 - bits);
        if let Some(other) = seen.insert(prefix, number) {
            let other_hash = naive::hash_key(params, &number_key(other));
            if naive::bit(&hash, bits) != naive::bit(&other_hash, bits) {
                return [number_key(other), number_key(number)];
            }
        }
    }
    unreachable!()
}

/// Finds `count` numbers, as keys, from `first` on that are in a slot.
pub fn keys_in_slot(params: &TreeParams, slot: usize, first: u64, count: usize) -> Vec<Key> {
    let keys = (first..).map(number_key);
    keys.filter(|key| naive::slot_of(&naive::hash_key(params, key)) == slot)
        .take(count)
        .collect()
}

/// Sorts keys by their hashes.
pub fn by_hash(params: &TreeParams, mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_by_key(|key| naive::hash_key(params, key));
    keys
}

/// Collects keys into a set.
pub fn set(keys: impl IntoIterator<Item = Key>) -> BTreeSet<Key> {
    keys.into_iter().collect()
}

/// Makes the record of a version that has this state.
pub fn record(state: &NaiveState, version: u64) -> CommitRecord {
    CommitRecord {
        version,
        state_digest: state.state_digest(),
        key_count: state.map.len() as u64,
        metadata: b"why".to_vec(),
        ..CommitRecord::genesis(state.params.tree_id())
    }
}

/// Returns the root of that version, without a KZG root.
pub fn root(state: &NaiveState, version: u64) -> Root {
    Root::of(&record(state, version), None)
}

/// Returns the expectation of a client that trusts the state digest.
pub fn by_state(state: &NaiveState) -> Expected {
    Expected::StateDigest {
        tree_id: state.params.tree_id(),
        state_digest: state.state_digest(),
    }
}

/// Proves these keys at version 5, with the record.
pub fn prove(state: &NaiveState, keys: impl IntoIterator<Item = Key>) -> Proof {
    let mut proof = state.prove(5, &set(keys));
    proof.versions[0].record = Some(record(state, 5));
    proof
}

/// Proves these keys at version 5, without a record, with a KZG top opened by definition. Returns the KZG
/// root, too.
pub fn prove_kzg(state: &NaiveState, keys: impl IntoIterator<Item = Key>) -> (Proof, [u8; 48]) {
    prove_kzg_at(state, 5, set(keys))
}

/// Proves these keys like [`prove_kzg`], at any version.
pub fn prove_kzg_at(state: &NaiveState, version: u64, keys: BTreeSet<Key>) -> (Proof, [u8; 48]) {
    let kzg = NaiveKzg::new(CEREMONY, &field_values(&state.leaves()));
    let kzg_root = kzg.commitment();
    let mut proof = state.prove(version, &keys);
    proof.versions[0].top = Top::Kzg { kzg_root };
    let slots: Vec<usize> = state.slots(&keys).into_iter().collect();
    proof.opening = Some(open(&[(version, &kzg, slots)]));
    (proof, kzg_root)
}

/// Makes the opening that a proof with these KZG tops has.
pub fn open(opened: &[Opened<'_>]) -> TopOpening {
    if let [(_, kzg, slots)] = opened
        && let [slot] = slots[..]
    {
        return TopOpening::Single(G1Bytes(kzg.open(slot)));
    }
    let [quotient, opening] = naive_kzg::aggregate(&naive::setup_id(CEREMONY), opened);
    TopOpening::Aggregate(AggregateProof {
        quotient: G1Bytes(quotient),
        opening: G1Bytes(opening),
    })
}

/// Makes a state for each shape that a tree can have, with keys to read from it.
pub fn shapes() -> Vec<(&'static str, NaiveState, BTreeSet<Key>)> {
    let salted = params(CollisionPolicy::Reject, Some([7; 32]));
    let mut shapes = vec![
        (
            "the empty state",
            numbered(plain(), 0),
            set((0..9).map(number_key)),
        ),
        ("a single key", numbered(plain(), 1), set([number_key(0)])),
        (
            "a key other than the single one",
            numbered(plain(), 1),
            set([number_key(1)]),
        ),
        (
            "another leaf",
            numbered(salted, 1),
            set([other_in_slot(&salted)]),
        ),
        (
            "own leaf among others",
            numbered(plain(), 1),
            set((0..400).map(number_key)),
        ),
        ("one of many", numbered(plain(), 500), set([number_key(77)])),
        (
            "some of many",
            numbered(salted, 300),
            set((250..350).map(number_key)),
        ),
        (
            "all of them",
            numbered(plain(), 200),
            set((0..200).map(number_key)),
        ),
    ];
    for bits in [7, 8, 20, 30] {
        shapes.extend(prefix_shapes(bits));
    }
    shapes.extend(bucket_shapes());
    shapes
}

/// Finds a key in the slot of key 0.
pub fn other_in_slot(params: &TreeParams) -> Key {
    let slot = naive::slot_of(&naive::hash_key(params, &number_key(0)));
    keys_in_slot(params, slot, 1, 1).remove(0)
}

fn prefix_shapes(bits: usize) -> Vec<(&'static str, NaiveState, BTreeSet<Key>)> {
    let [one, other] = keys_sharing(&plain(), bits);
    let with = |keys: &[&Key]| {
        let pairs = keys.iter().map(|&key| (key.clone(), b"v".to_vec()));
        NaiveState::of(plain(), pairs.chain(numbered(plain(), 40).map))
    };
    let without_other = {
        let mut state = with(&[&one]);
        state.map.remove(&other);
        state
    };
    vec![
        (
            "a long shared prefix, one key",
            with(&[&one, &other]),
            set([one.clone()]),
        ),
        (
            "a long shared prefix, both keys",
            with(&[&one, &other]),
            set([one.clone(), other.clone()]),
        ),
        (
            "a long shared prefix, one absent",
            without_other,
            set([one, other]),
        ),
    ]
}

fn bucket_shapes() -> Vec<(&'static str, NaiveState, BTreeSet<Key>)> {
    let mut shapes = Vec::new();
    for [one, other] in path_collisions() {
        let mut both = numbered(plain(), 60);
        both.map.insert(one.clone(), b"one".to_vec());
        let mut single = both.clone();
        both.map.insert(other.clone(), b"other".to_vec());
        shapes.push(("one member of a bucket", both.clone(), set([one.clone()])));
        shapes.push(("a whole bucket", both, set([one.clone(), other.clone()])));
        shapes.push((
            "a leaf where a bucket could be",
            single.clone(),
            set([one.clone(), other.clone()]),
        ));
        single.map.remove(&one);
        shapes.push(("nothing where a bucket could be", single, set([one, other])));
    }
    shapes
}

/// Makes a random state of up to `most` keys, with a random set of keys inside and outside it.
pub fn random(seed: u64, most: u64) -> (NaiveState, BTreeSet<Key>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let salt = rng.random_bool(0.5).then(|| rng.random());
    let present = rng.random_range(0..=most);
    let state = numbered(params(CollisionPolicy::Bucket, salt), present);
    let asked = rng.random_range(1..=most);
    let keys = set((0..asked).map(|_| number_key(rng.random_range(0..2 * most))));
    (state, keys)
}
