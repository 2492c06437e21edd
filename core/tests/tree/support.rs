//! A tree under keys, with the whole model; and proofs of both.

use std::collections::BTreeSet;

use proptest::test_runner::{Config, RngSeed};
use trunkline_core::batch::{Batch, BatchLimits, Requirement};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::TreeParams;
use trunkline_core::proof::{Claim, Draft, Entry, Proof, VersionProof};
use trunkline_core::tree::{Applied, Leaf, Roots, TreeReader};
use trunkline_testkit::naive::{self, Hash, Key, NaiveState, Op, Outcome, Require};
use trunkline_testkit::tree::{Seen, Twin, expected_leaves, leaves_of, walk, with_origins};

/// Returns a configuration with the same cases in every run.
pub(crate) fn fixed_cases() -> Config {
    Config {
        cases: 96,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

/// A tree under keys, with the whole model.
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
            (Ok(applied), Outcome::Applied { displaced }) => {
                let hash = |key: &Key| naive::hash_key(&self.model.params, key);
                let lost = displaced.iter().filter(|key| before.map.contains_key(*key));
                let lost: BTreeSet<Hash> = lost.map(hash).collect();
                assert!(applied.displaced.iter().eq(&lost));
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

    /// Returns a proof with a hash top, compared with the model's for the current state.
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
            Require::Present(_) => panic!("batches cannot require presence alone"),
        };
    }
    batch
}

/// Compares leaves, lookups and a proof of some keys with the content of a version when it was sealed.
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

/// Returns a proof that claims the hashes of values.
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

/// Returns a proof of one version, without an opening.
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
