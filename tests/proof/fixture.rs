//! States and keys that the tests share.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::{Expected, Proof, Top, TopOpening};
use trunkline_core::record::{CommitRecord, Root};

use crate::naive::{self, Hash, Key, NaiveState, field_values};
use crate::naive_kzg::{self, NaiveKzg, Opened};

pub(crate) const CEREMONY: &str = include_str!("../../data/ceremony-128.txt");

pub(crate) fn params(collision: CollisionPolicy, salt: Option<Hash>) -> TreeParams {
    TreeParams { salt, collision }
}

pub(crate) fn plain() -> TreeParams {
    TreeParams::default()
}

pub(crate) fn number_key(number: u64) -> Key {
    number.to_le_bytes().to_vec()
}

/// Keys `0..count` with a value each.
pub(crate) fn numbered(params: TreeParams, count: u64) -> NaiveState {
    NaiveState::of(
        params,
        (0..count).map(|number| (number_key(number), value_of(number))),
    )
}

pub(crate) fn value_of(number: u64) -> Vec<u8> {
    format!("value {number}").into_bytes()
}

/// Pairs of keys that share a whole path in a tree without salt.
pub(crate) fn colliding_keys() -> Vec<[Key; 2]> {
    let lines = include_str!("../data/path-collisions.txt").lines();
    let data = lines.filter(|line| !line.starts_with('#'));
    data.map(|line| {
        let mut words = line.split_whitespace().skip(1);
        [(); 2].map(|()| number_key(words.next().unwrap().parse().unwrap()))
    })
    .collect()
}

/// The first pair of numbers, as keys, whose key hashes share `bits` bits and differ in the next.
pub(crate) fn keys_sharing(params: &TreeParams, bits: usize) -> [Key; 2] {
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

/// `count` numbers, as keys, from `first` on that lie in a slot.
pub(crate) fn keys_in_slot(params: &TreeParams, slot: usize, first: u64, count: usize) -> Vec<Key> {
    let keys = (first..).map(number_key);
    keys.filter(|key| naive::slot_of(&naive::hash_key(params, key)) == slot)
        .take(count)
        .collect()
}

/// Keys in the order of their hashes.
pub(crate) fn by_hash(params: &TreeParams, mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_by_key(|key| naive::hash_key(params, key));
    keys
}

pub(crate) fn set(keys: impl IntoIterator<Item = Key>) -> BTreeSet<Key> {
    keys.into_iter().collect()
}

pub(crate) fn record(state: &NaiveState, version: u64) -> CommitRecord {
    CommitRecord {
        version,
        state_digest: state.state_digest(),
        key_count: state.map.len() as u64,
        metadata: b"why".to_vec(),
        ..CommitRecord::genesis(state.params.tree_id())
    }
}

pub(crate) fn root(state: &NaiveState, version: u64) -> Root {
    Root::of(&record(state, version), None)
}

pub(crate) fn by_state(state: &NaiveState) -> Expected {
    Expected::StateDigest {
        tree_id: state.params.tree_id(),
        state_digest: state.state_digest(),
    }
}

/// A proof of these keys that carries its record, at version 5.
pub(crate) fn prove(state: &NaiveState, keys: impl IntoIterator<Item = Key>) -> Proof {
    let mut proof = state.prove(5, &set(keys));
    proof.versions[0].record = Some(record(state, 5));
    proof
}

/// A proof of these keys at version 5, without a record, with a KZG top opened by definition; and the
/// KZG root.
pub(crate) fn prove_kzg(
    state: &NaiveState,
    keys: impl IntoIterator<Item = Key>,
) -> (Proof, [u8; 48]) {
    prove_kzg_at(state, 5, set(keys))
}

pub(crate) fn prove_kzg_at(
    state: &NaiveState,
    version: u64,
    keys: BTreeSet<Key>,
) -> (Proof, [u8; 48]) {
    let kzg = NaiveKzg::new(CEREMONY, &field_values(&state.leaves()));
    let kzg_root = kzg.commitment();
    let mut proof = state.prove(version, &keys);
    proof.versions[0].top = Top::Kzg { kzg_root };
    let slots: Vec<usize> = state.slots(&keys).into_iter().collect();
    proof.opening = Some(open(&[(version, &kzg, slots)]));
    (proof, kzg_root)
}

/// The opening that a proof with these KZG tops has.
pub(crate) fn open(opened: &[Opened<'_>]) -> TopOpening {
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

/// A state for each shape that a tree can have, and keys to ask it for.
pub(crate) fn shapes() -> Vec<(&'static str, NaiveState, BTreeSet<Key>)> {
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
            "own leaf and others beside it",
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

/// A key in the slot of key 0.
pub(crate) fn other_in_slot(params: &TreeParams) -> Key {
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
    for [one, other] in colliding_keys() {
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

/// A random state of up to `most` keys, and a random set of keys inside and outside of it.
pub(crate) fn random(seed: u64, most: u64) -> (NaiveState, BTreeSet<Key>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let salt = rng.random_bool(0.5).then(|| rng.random());
    let present = rng.random_range(0..=most);
    let state = numbered(params(CollisionPolicy::Bucket, salt), present);
    let asked = rng.random_range(1..=most);
    let keys = set((0..asked).map(|_| number_key(rng.random_range(0..2 * most))));
    (state, keys)
}
