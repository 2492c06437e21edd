//! Random submissions, reads at random versions, checkpoints and reopenings, compared with the naive model.

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline::config::StoreKind;
use trunkline::core::hash;
use trunkline::core::params::CollisionPolicy;
use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::{Batch, Config, Engine, KeyRange, Outcome, Requirement, TopKind};
use trunkline_testkit::naive::{
    NaiveState, Op, Outcome as ModelOutcome, Refusal as ModelRefusal, Require,
};
use trunkline_testkit::path_collisions;
use trunkline_testkit::random::Random;

use crate::support::{Rig, puts, submit, until, without_hanging};

struct Run<'a> {
    random: Random,
    keys: Vec<Vec<u8>>,
    model: NaiveState,
    /// The state of every version.
    history: BTreeMap<u64, NaiveState>,
    open: Box<dyn Fn() -> Engine + 'a>,
    engine: Engine,
    /// Pages that were evicted and restored, over all engines of the run.
    evicted: u64,
    restored: u64,
}

impl<'a> Run<'a> {
    fn new(seed: u64, open: impl Fn() -> Engine + 'a) -> Self {
        let engine = open();
        let mut keys: Vec<Vec<u8>> = (0..40_u32).map(|key| key.to_le_bytes().to_vec()).collect();
        keys.extend(path_collisions().into_iter().flatten());
        let model = NaiveState::new(engine.params());
        Self {
            random: Random(seed),
            keys,
            history: BTreeMap::from([(0, model.clone())]),
            model,
            open: Box::new(open),
            engine,
            evicted: 0,
            restored: 0,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        // The keys at the end collide, and are chosen more often than the others.
        let count = self.keys.len() as u64;
        let index = match self.random.below(3) {
            0 => count - 1 - self.random.below(4),
            _ => self.random.below(count),
        };
        self.keys[usize::try_from(index).unwrap()].clone()
    }

    fn value(&mut self) -> Vec<u8> {
        let bytes = [0, 3, 40, 400][self.random.below(4) as usize];
        // Few different values, so that some puts change nothing.
        vec![self.random.below(3) as u8; bytes]
    }

    fn submission(&mut self) -> (Batch, Vec<Op>, Vec<Require>) {
        let (mut batch, mut ops, mut requires) = (Batch::new(), Vec::new(), Vec::new());
        for _ in 0..=self.random.below(6) {
            let key = self.key();
            if self.random.below(3) == 0 {
                batch.delete(key.clone());
                ops.push(Op::Delete(key));
            } else {
                let value = self.value();
                batch.put(key.clone(), value.clone());
                ops.push(Op::Put(key, value));
            }
        }
        if self.random.below(4) == 0 {
            let key = self.key();
            let known = self
                .model
                .map
                .get(&key)
                .filter(|_| self.random.below(3) > 0);
            match known.cloned() {
                None => {
                    batch.require(key.clone(), Requirement::Absent);
                    requires.push(Require::Absent(key));
                }
                Some(value) => {
                    batch.require(key.clone(), Requirement::value(&value));
                    requires.push(Require::ValueHash(key, hash::hash(&value)));
                }
            }
        }
        if self.random.below(5) == 0 {
            batch.metadata("note");
        }
        (batch, ops, requires)
    }

    /// Submits a few batches without waiting, then checks all their receipts.
    fn burst(&mut self) {
        let mut expected = Vec::new();
        for _ in 0..=self.random.below(5) {
            let (batch, ops, requires) = self.submission();
            let receipt = self.engine.submit_blocking(batch).unwrap();
            let before = self.model.map.clone();
            let mut outcome = self.model.submit(&ops, &requires);
            if let ModelOutcome::Applied { displaced } = &mut outcome {
                // A key that the submission put and deleted was never displaced.
                displaced.retain(|key| before.contains_key(key));
            }
            expected.push((receipt, outcome, self.model.clone()));
        }
        for (receipt, outcome, state) in expected {
            let durable = receipt.durable_blocking().unwrap();
            assert!(
                agree(&durable.outcome, &outcome),
                "{durable:?}, expected {outcome:?}"
            );
            // The state of a version is that after its last submission.
            self.history.insert(durable.version, state);
        }
    }

    /// Starts a checkpoint with a large value and waits for it, so that the leaves it covers may be evicted.
    fn checkpoint(&mut self) {
        let before = self.engine.metrics().checkpoints;
        // The value is one that no version had, so that the write changes something.
        let newest = self.engine.snapshot().version();
        let (key, value) = (b"filler".to_vec(), newest.to_le_bytes().repeat(625));
        let (_, durable) = submit(&self.engine, puts([(&key, &value)]));
        let outcome = self.model.submit(&[Op::Put(key, value)], &[]);
        assert!(agree(&durable.outcome, &outcome));
        self.history.insert(durable.version, self.model.clone());
        until(|| self.engine.metrics().checkpoints > before);
    }

    fn check_present(&self) {
        for key in &self.keys {
            let found = self.engine.get(key).unwrap();
            assert_eq!(found.as_deref(), self.model.map.get(key).map(Vec::as_slice));
            assert_eq!(self.engine.contains(key).unwrap(), found.is_some());
        }
        if self.engine.config().store.key_order {
            let page = self.engine.range(&KeyRange::all()).unwrap();
            assert_eq!(page.resume, None);
            assert!(pairs(page.entries).eq(self.model.map.clone()));
        }
    }

    fn check_some_version(&mut self) {
        let newest = self.engine.snapshot().version();
        let oldest = self.engine.oldest_version();
        let version = oldest + self.random.below(newest - oldest + 1);
        let snapshot = self.engine.snapshot_at(version).unwrap();
        let (one, entries_max) = (self.key(), 1 + self.random.below(20) as usize);
        let expected = &self.history[&version];
        assert_eq!(
            snapshot.root().state_digest,
            expected.state_digest(),
            "version {version}"
        );
        let found: BTreeMap<Vec<u8>, Vec<u8>> = snapshot
            .iter()
            .map(|pair| pair.unwrap())
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        assert_eq!(found, expected.map);
        assert_eq!(snapshot.key_count(), expected.map.len() as u64);
        if self.engine.config().store.key_order {
            let range = KeyRange::new(&one[..]..).entries_max(entries_max);
            let expected = expected.map.range(one..);
            let expected: Vec<_> = expected
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let forward = snapshot.range_iter(range.clone()).map(Result::unwrap);
            assert!(pairs(forward).eq(expected.iter().cloned()));
            let reverse = snapshot.range_iter(range.reversed()).map(Result::unwrap);
            assert!(pairs(reverse).eq(expected.into_iter().rev()));
        }
        let proof = snapshot.prove(&self.keys, TopKind::Hash).unwrap();
        let root = Expected::CommitId(snapshot.commit_id());
        let verified = verify(&proof, &root).unwrap();
        for key in &self.keys {
            let claim = expected
                .map
                .get(key)
                .cloned()
                .map_or(Claim::Absent, Claim::Present);
            assert_eq!(verified.claim(key), Some(&claim));
        }
    }

    /// Reverts to a version that is kept.
    fn revert(&mut self) {
        let (oldest, newest) = (
            self.engine.oldest_version(),
            self.engine.snapshot().version(),
        );
        let version = oldest + self.random.below(newest - oldest + 1);
        let commit_id = self.engine.snapshot_at(version).unwrap().commit_id();
        let receipt = self.engine.revert_to_blocking(version).unwrap();
        // This is submitted directly after it, before it is durable.
        let (batch, ops, requires) = self.submission();
        let behind = self.engine.submit_blocking(batch).unwrap();
        let durable = receipt.durable_blocking().unwrap();
        assert_eq!(durable.outcome, Outcome::Reverted { commit_id });
        assert_eq!(durable.version, newest + 1);
        self.model = self.history[&version].clone();
        assert_eq!(durable.state_digest, self.model.state_digest());
        self.history.insert(durable.version, self.model.clone());
        self.model.submit(&ops, &requires);
        let durable = behind.durable_blocking().unwrap();
        self.history.insert(durable.version, self.model.clone());
    }

    fn reopen(&mut self) {
        let root = self.engine.snapshot().root();
        let metrics = self.engine.metrics();
        self.evicted += metrics.pages_evicted;
        self.restored += metrics.pages_restored;
        self.engine.shutdown_blocking().unwrap();
        self.engine = (self.open)();
        assert_eq!(self.engine.snapshot().root(), root);
        assert_eq!(root.state_digest, self.model.state_digest());
    }

    /// Returns the numbers of cells that were evicted and restored.
    fn go(mut self, bursts: u64) -> (u64, u64) {
        for burst in 1..=bursts {
            self.burst();
            if burst % 4 == 0 {
                self.checkpoint();
                self.check_some_version();
            }
            if burst % 3 == 0 {
                self.revert();
                self.check_some_version();
            }
            if burst % 20 == 0 {
                self.check_present();
                self.reopen();
                self.check_present();
                self.check_some_version();
            }
        }
        self.engine.shutdown_blocking().unwrap();
        (self.evicted, self.restored)
    }
}

fn pairs(
    entries: impl IntoIterator<Item = (Bytes, Bytes)>,
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let entries = entries.into_iter();
    entries.map(|(key, value)| (key.into(), value.into()))
}

fn agree(found: &Outcome, expected: &ModelOutcome) -> bool {
    use trunkline::Refusal;
    match (found, expected) {
        (Outcome::Applied { displaced }, ModelOutcome::Applied { displaced: keys }) => {
            usize::try_from(*displaced).unwrap() == keys.len()
        }
        (Outcome::Refused(found), ModelOutcome::Refused(expected)) => matches!(
            (found, expected),
            (
                Refusal::RequirementFailed { .. },
                ModelRefusal::Requirement(_)
            ) | (Refusal::PathTaken { .. }, ModelRefusal::Collision)
                | (Refusal::BucketFull { .. }, ModelRefusal::BucketFull)
        ),
        _ => false,
    }
}

fn small(config: &mut Config, policy: CollisionPolicy) {
    config.tree.collision = policy;
    config.checkpoint.bytes_max = 4096;
    config.log.segment_bytes_max = 4096;
    config.versions.retain_versions = 6;
    config.workers.threads = 1;
}

fn in_memory(policy: CollisionPolicy) {
    without_hanging(move || {
        for seed in 0..4 {
            let rig = Rig::with(|config| small(config, policy));
            // After it is opened again, pages come back that opening did not read.
            let (evicted, _) = Run::new(seed, || rig.open()).go(80);
            assert_eq!(evicted, 0);
        }
    });
}

/// Runs with a budget that has room for no leaf.
fn with_cold_leaves(policy: CollisionPolicy) {
    without_hanging(move || {
        for seed in 20..23 {
            let rig = Rig::with(|config| {
                small(config, policy);
                config.memory.budget_bytes = 1;
            });
            let (evicted, restored) = Run::new(seed, || rig.open()).go(80);
            assert!(evicted > 50 && restored > 50, "{evicted}, {restored}");
        }
    });
}

#[test]
fn the_engine_agrees_with_the_model_with_cold_leaves_under_bucket() {
    with_cold_leaves(CollisionPolicy::Bucket);
}

#[test]
fn the_engine_agrees_with_the_model_with_cold_leaves_under_overwrite() {
    with_cold_leaves(CollisionPolicy::Overwrite);
}

#[test]
fn the_engine_agrees_with_the_model_under_bucket() {
    in_memory(CollisionPolicy::Bucket);
}

#[test]
fn the_engine_agrees_with_the_model_under_overwrite() {
    in_memory(CollisionPolicy::Overwrite);
}

#[test]
fn the_engine_agrees_with_the_model_under_reject() {
    in_memory(CollisionPolicy::Reject);
}

/// Keeps two versions in memory, archives all others, and keeps an index of keys.
fn archived_in_order(config: &mut Config) {
    config.versions.retain_versions = 2;
    config.versions.archive = true;
    config.store.key_order = true;
}

/// Runs with an archive, reverts to any version there ever was, ranges and restarts, with leaves in memory and without.
fn archived(policy: CollisionPolicy) {
    without_hanging(move || {
        for seed in 40..44 {
            let rig = Rig::with(|config| {
                small(config, policy);
                archived_in_order(config);
                config.memory.budget_bytes = seed % 2;
            });
            Run::new(seed, || rig.open()).go(60);
        }
    });
}

#[test]
fn the_engine_agrees_with_the_model_with_archive_reverts_and_ranges_under_bucket() {
    archived(CollisionPolicy::Bucket);
}

#[test]
fn the_engine_agrees_with_the_model_with_archive_reverts_and_ranges_under_overwrite() {
    archived(CollisionPolicy::Overwrite);
}

#[test]
fn the_engine_agrees_with_the_model_with_archive_reverts_and_ranges_in_fjall() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path());
        small(&mut config, CollisionPolicy::Overwrite);
        archived_in_order(&mut config);
        config.tree.salt = None;
        Run::new(50, || Engine::open_blocking(config.clone()).unwrap()).go(60);
        assert!(trunkline::check(directory.path()).unwrap().is_sound());
    });
}

fn on_disk(kind: StoreKind, budget_bytes: u64) {
    without_hanging(move || {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path());
        small(&mut config, CollisionPolicy::Bucket);
        config.tree.salt = None;
        config.store.kind = kind;
        config.memory.budget_bytes = budget_bytes;
        Run::new(9, || Engine::open_blocking(config.clone()).unwrap()).go(60);
    });
}

#[test]
fn the_engine_agrees_with_the_model_with_leaves_in_fjall() {
    on_disk(StoreKind::Fjall, 0);
}

#[test]
fn the_engine_agrees_with_the_model_with_cold_leaves_in_fjall() {
    on_disk(StoreKind::Fjall, 1);
}

#[test]
fn the_engine_agrees_with_the_model_with_nothing_but_the_log() {
    on_disk(StoreKind::Log, 0);
}
