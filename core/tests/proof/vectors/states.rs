//! The states of the vectors, and `states.json`.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::Proof;
use trunkline_testkit::keys::path_collisions;
use trunkline_testkit::naive::{self, Hash, Key, Leaves, NOTHING, NaiveState, Op};
use trunkline_testkit::naive_kzg::{CEREMONY, NaiveKzg};
use trunkline_testkit::states::{self, keys_sharing, plain};
use trunkline_testkit::vectors::Hex;

use super::form::{LeafVector, SlotVector, StateVector};

/// A state with a name. Some states have leaves with unknown keys.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) state: NaiveState,
    keyless: Leaves,
    kzg: OnceCell<NaiveKzg>,
}

impl Named {
    fn new(name: &'static str, state: NaiveState) -> Self {
        Self {
            name,
            state,
            keyless: Leaves::new(),
            kzg: OnceCell::new(),
        }
    }

    pub(super) fn leaves(&self) -> Leaves {
        let mut leaves = self.state.leaves();
        leaves.extend(&self.keyless);
        leaves
    }

    pub(super) fn tree_id(&self) -> Hash {
        let setup_id = naive::setup_id(CEREMONY);
        naive::tree_id(&self.state.params, &setup_id)
    }

    pub(super) fn state_digest(&self) -> Hash {
        naive::state_digest(&self.leaves())
    }

    pub(super) fn kzg(&self) -> &NaiveKzg {
        let values = || naive::field_values(&self.leaves());
        self.kzg.get_or_init(|| NaiveKzg::new(CEREMONY, &values()))
    }

    /// Proves keys with a hash top.
    pub(super) fn prove(&self, version: u64, keys: &BTreeSet<Key>) -> Proof {
        let entries = self.state.entries(keys);
        naive::prove_leaves(&self.state.params, &self.leaves(), version, &entries)
    }

    fn vector(&self) -> StateVector {
        let mut keys: BTreeMap<Hash, (&Key, &Vec<u8>)> = BTreeMap::new();
        for (key, value) in &self.state.map {
            keys.insert(naive::hash_key(&self.state.params, key), (key, value));
        }
        let leaf = |(key_hash, value_hash): (&Hash, &Hash)| LeafVector {
            key: keys.get(key_hash).map(|(key, _)| Hex::from(key)),
            value: keys.get(key_hash).map(|(_, value)| Hex::from(value)),
            key_hash: key_hash.into(),
            value_hash: value_hash.into(),
            leaf_digest: naive::leaf_digest(&(*key_hash, *value_hash)).into(),
        };
        let slots = naive::slot_digests(&self.leaves());
        let used = (0..).zip(slots).filter(|(_, digest)| *digest != NOTHING);
        StateVector {
            name: self.name.into(),
            nonce: self.state.params.nonce.into(),
            salt: self.state.params.salt_bytes().map(Hex::from),
            policy: self.state.params.collision as u8,
            tree_id: self.tree_id().into(),
            leaves: self.leaves().iter().map(leaf).collect(),
            slots: used
                .map(|(slot, digest)| SlotVector {
                    slot,
                    digest: digest.into(),
                })
                .collect(),
            state_digest: self.state_digest().into(),
            kzg_root: self.kzg().commitment().into(),
        }
    }
}

pub(super) fn vectors(states: &States) -> Vec<StateVector> {
    states.all().map(Named::vector).into()
}

pub(super) struct States {
    pub(super) empty: Named,
    pub(super) three_keys: Named,
    /// A later state of the same tree.
    pub(super) later: Named,
    pub(super) salted: Named,
    pub(super) salt_of_zeros: Named,
    pub(super) long_shared_prefix: Named,
    pub(super) lone_of_a_pair: Named,
    pub(super) bucket: Named,
    pub(super) full_bucket: Named,
    pub(super) overwrite: Named,
    pub(super) reject: Named,
}

impl States {
    pub(super) fn new() -> Self {
        let three = [("a", "1"), ("b", "2"), ("c", "3")];
        let later = [("a", "1"), ("b", "two"), ("d", ""), ("", "no key")];
        let salted = states::params(CollisionPolicy::Bucket, Some([7; 32]));
        let zeros = states::params(CollisionPolicy::Bucket, Some([0; 32]));
        let [pair, other_pair] = path_collisions().try_into().unwrap();
        let [one, other] = keys_sharing(&plain(), 30);
        Self {
            empty: Named::new("empty", NaiveState::new(plain())),
            three_keys: Named::new("three keys", of(plain(), three)),
            later: Named::new("three keys, later", of(plain(), later)),
            salted: Named::new("salted", of(salted, three)),
            salt_of_zeros: Named::new("a salt of zeros", of(zeros, three)),
            long_shared_prefix: Named::new(
                "long shared prefix",
                with(of(plain(), three), [&one, &other]),
            ),
            lone_of_a_pair: Named::new(
                "one of a pair that shares a path",
                with(of(plain(), three), [&pair[0]]),
            ),
            bucket: Named::new(
                "two buckets",
                with(of(plain(), three), pair.iter().chain(&other_pair)),
            ),
            full_bucket: full_bucket(&pair[0]),
            overwrite: Named::new("overwrite", submitted(CollisionPolicy::Overwrite, &pair)),
            reject: Named::new("reject", submitted(CollisionPolicy::Reject, &pair)),
        }
    }

    fn all(&self) -> [&Named; 11] {
        [
            &self.empty,
            &self.three_keys,
            &self.later,
            &self.salted,
            &self.salt_of_zeros,
            &self.long_shared_prefix,
            &self.lone_of_a_pair,
            &self.bucket,
            &self.full_bucket,
            &self.overwrite,
            &self.reject,
        ]
    }
}

fn of<const N: usize>(params: TreeParams, pairs: [(&str, &str); N]) -> NaiveState {
    let pairs = pairs.map(|(key, value)| (key.into(), value.into()));
    NaiveState::of(params, pairs)
}

/// Adds values of one byte for these keys: `A`, `B` and so on.
fn with<'k>(mut state: NaiveState, keys: impl IntoIterator<Item = &'k Key>) -> NaiveState {
    let pairs = keys
        .into_iter()
        .cloned()
        .zip((b'A'..).map(|byte| vec![byte]));
    state.map.extend(pairs);
    state
}

/// Returns a bucket of 16 leaves, one of which has a known key; the others share its path, and their keys are unknown.
fn full_bucket(known: &Key) -> Named {
    let state = with(NaiveState::new(plain()), [known]);
    let mut keyless = Leaves::new();
    for number in 0..15 {
        let mut key_hash = naive::plain(known);
        key_hash[7..].fill(number);
        keyless.insert(key_hash, [number + 1; 32]);
    }
    Named {
        keyless,
        ..Named::new("a full bucket", state)
    }
}

/// Submits a pair of keys. The second comes after the first, and is refused or replaces it.
fn submitted(collision: CollisionPolicy, pair: &[Key; 2]) -> NaiveState {
    let mut state = NaiveState::new(states::params(collision, None));
    for (key, value) in pair.iter().zip(["first", "second"]) {
        state.submit(&[Op::Put(key.clone(), value.into())], &[]);
    }
    state
}
