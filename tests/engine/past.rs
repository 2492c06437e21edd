//! Versions that are no longer in memory: archived versions read and prove as before.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use trunkline::core::audit::verify as verify_audit;
use trunkline::core::hash::Digest;
use trunkline::core::params::slot_of;
use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::core::record::Root;
use trunkline::core::store::effect::decode_effects;
use trunkline::{
    Batch, Config, Engine, EvidenceError, PastError, ReadOnly, RevertError, Snapshot,
    SnapshotError, TopKind,
};
use trunkline_testkit::random::Random;

use crate::support::{puts, submit, until};

/// The content of each version.
#[derive(Default)]
struct Versions {
    states: Vec<BTreeMap<String, String>>,
    roots: Vec<Root>,
    /// Sequence number and provisional root of the submission of each version.
    submissions: Vec<(u64, Digest)>,
}

impl Versions {
    /// Begins with the empty state of a new tree.
    fn of(engine: &Engine) -> Self {
        let mut versions = Self::default();
        versions.states.push(BTreeMap::new());
        versions.roots.push(engine.snapshot().root());
        versions.submissions.push((0, [0; 32]));
        versions
    }

    fn submit(&mut self, engine: &Engine, changes: &[(String, Option<String>)]) {
        let mut state = self.states[self.states.len() - 1].clone();
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    batch.put(key, value);
                    state.insert(key.clone(), value.clone());
                }
                None => {
                    batch.delete(key);
                    state.remove(key);
                }
            }
        }
        let (receipt, durable) = submit(engine, batch);
        assert_eq!(durable.version, self.states.len() as u64);
        self.states.push(state);
        self.roots.push(engine.snapshot().root());
        let submission = (receipt.sequence(), receipt.provisional_root());
        self.submissions.push(submission);
    }

    fn newest(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// Checks all facts of a version's snapshot. `some` are keys to read and to prove.
    fn check(&self, snapshot: &Snapshot, some: &[String]) {
        let number = snapshot.version() as usize;
        let (state, root) = (&self.states[number], &self.roots[number]);
        assert_eq!(snapshot.root(), *root, "version {number}");
        assert_eq!(snapshot.key_count(), state.len() as u64);
        for key in some {
            let value = snapshot.get(key.as_bytes()).unwrap();
            let expected = state.get(key).map(String::as_bytes);
            assert_eq!(value.as_deref(), expected, "{key} at version {number}");
        }
        for top in [TopKind::Hash, TopKind::Kzg] {
            let proof = snapshot.prove(some, top).unwrap();
            let verified = verify(&proof, &Expected::Root(*root)).unwrap();
            for key in some {
                let expected = match state.get(key) {
                    Some(value) => Claim::Present(value.clone().into_bytes()),
                    None => Claim::Absent,
                };
                assert_eq!(verified.claim(key.as_bytes()), Some(&expected));
            }
        }
        let audit = snapshot.audit();
        assert!(verify_audit(&audit, &Expected::CommitId(root.commit_id)).is_ok());
    }

    /// Checks all keys and values of a version.
    fn check_walk(&self, snapshot: &Snapshot) {
        let all: BTreeMap<_, _> = snapshot.iter().map(Result::unwrap).collect();
        let state = &self.states[snapshot.version() as usize];
        let expected = state.iter().map(|(key, value)| {
            let (key, value) = (key.clone().into_bytes(), value.clone().into_bytes());
            (key.into(), value.into())
        });
        assert_eq!(all, expected.collect());
    }
}

fn config(directory: &Path) -> Config {
    let mut config = Config::in_directory(directory);
    config.workers.threads = 1;
    config.versions.archive = true;
    config.versions.retain_versions = 2;
    config.checkpoint.bytes_max = 16 << 10;
    config
}

fn changes(random: &mut Random, keys: &[String], count: usize) -> Vec<(String, Option<String>)> {
    let mut changes = BTreeMap::new();
    for _ in 0..count {
        let key = keys[random.below(keys.len() as u64) as usize].clone();
        let value = (random.below(4) > 0).then(|| format!("{}", random.below(1000)));
        changes.insert(key, value);
    }
    changes.into_iter().collect()
}

#[test]
fn every_version_reads_and_proves_as_it_did_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let mut engine = Engine::open_blocking(config.clone()).unwrap();
    let mut versions = Versions::of(&engine);
    let keys: Vec<String> = (0..400).map(|key| format!("key {key}")).collect();
    let random = &mut Random(7);
    for round in 0..4 {
        for _ in 0..25 {
            versions.submit(&engine, &changes(random, &keys, 40));
        }
        assert_eq!(engine.oldest_version(), 0);
        for number in 0..=versions.newest() {
            let some: Vec<String> = (0..6)
                .map(|_| keys[random.below(keys.len() as u64) as usize].clone())
                .collect();
            versions.check(&engine.snapshot_at(number).unwrap(), &some);
            if number % 7 == round {
                versions.check_walk(&engine.snapshot_at(number).unwrap());
            }
        }
        engine.shutdown_blocking().unwrap();
        engine = Engine::open_blocking(config.clone()).unwrap();
    }
    assert!(engine.metrics().past_bytes > 0);
    for number in 1..=versions.newest() {
        let (sequence, provisional_root) = versions.submissions[number as usize];
        let evidence = engine.evidence(sequence).unwrap();
        let commit_id = versions.roots[number as usize].commit_id;
        assert!(evidence.verify(&provisional_root, &commit_id).is_ok());
    }
    engine.shutdown_blocking().unwrap();

    let read_only = ReadOnly::open(directory.path()).unwrap();
    for number in (0..=versions.newest()).rev() {
        let snapshot = read_only.snapshot_at(number).unwrap();
        versions.check(&snapshot, &keys[..5]);
    }
    let snapshot = read_only.snapshot_at(13).unwrap();
    drop(read_only);
    versions.check_walk(&snapshot);
    let proof = snapshot.prove_consistency(9).unwrap();
    let (older, newer) = (&versions.roots[9], &versions.roots[13]);
    assert!(proof.verify(&older.commit_id, &newer.commit_id).is_ok());
}

#[test]
fn evidence_of_the_version_of_a_checkpoint_outlives_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = Engine::open_blocking(config.clone()).unwrap();
    // The value alone is larger than the size at which a checkpoint starts.
    let (receipt, durable) = submit(&engine, puts([("alice", "x".repeat(20 << 10))]));
    until(|| engine.metrics().checkpoints > 0);
    let (sequence, provisional_root) = (receipt.sequence(), receipt.provisional_root());
    let commit_id = durable.commit_id;
    engine.shutdown_blocking().unwrap();
    let engine = Engine::open_blocking(config).unwrap();
    let evidence = engine.evidence(sequence).unwrap();
    assert!(evidence.verify(&provisional_root, &commit_id).is_ok());
    engine.shutdown_blocking().unwrap();
}

/// One slot gets more and fewer keys, so that its directory grows beyond the levels whose digests are archived, and
/// shrinks below them.
#[test]
fn a_slot_that_becomes_deep_and_shallow_again_proves_at_every_version() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let mut versions = Versions::of(&engine);
    let params = engine.params();
    let all = (0..).map(|key| format!("{key}"));
    let of_slot = all.filter(|key| slot_of(&params.key_hash(key.as_bytes())) == 5);
    let keys: Vec<String> = of_slot.take(3000).collect();
    let random = &mut Random(8);
    let put = |keys: &[String], value: &str| -> Vec<(String, Option<String>)> {
        let put = keys.iter();
        put.map(|key| (key.clone(), Some(value.to_owned())))
            .collect()
    };
    let delete = |keys: &[String]| -> Vec<(String, Option<String>)> {
        keys.iter().map(|key| (key.clone(), None)).collect()
    };
    versions.submit(&engine, &put(&keys[..1], "0"));
    for end in [10, 200, 1000, 2000, 3000] {
        versions.submit(&engine, &put(&keys[..end], "1"));
        versions.submit(&engine, &changes(random, &keys[..end], 20));
    }
    for start in [2000, 500, 20, 1] {
        versions.submit(&engine, &delete(&keys[start..]));
        versions.submit(&engine, &changes(random, &keys[..start], 20));
    }
    versions.submit(&engine, &put(&keys, "2"));
    versions.submit(&engine, &put(&keys[..1], "3"));
    versions.submit(&engine, &put(&keys[..1], "4"));
    let check = |engine: &Engine| {
        for number in 0..=versions.newest() {
            let snapshot = engine.snapshot_at(number).unwrap();
            let some: Vec<String> = keys.iter().step_by(700).cloned().collect();
            versions.check(&snapshot, &some);
            versions.check(&snapshot, &keys[..1]);
        }
    };
    check(&engine);
    engine.shutdown_blocking().unwrap();
    let engine = Engine::open_blocking(config).unwrap();
    check(&engine);
    engine.shutdown_blocking().unwrap();
}

#[test]
fn bounds_prune_the_oldest_versions_and_errors_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.versions.archive_versions_max = 40;
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let mut versions = Versions::of(&engine);
    let keys: Vec<String> = (0..100).map(|key| format!("key {key}")).collect();
    let random = &mut Random(9);
    let began = Instant::now();
    while engine.metrics().past_pruned < 60 {
        versions.submit(&engine, &changes(random, &keys, 30));
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    // The background thread may still prune; after a restart nothing does before the next checkpoint.
    engine.shutdown_blocking().unwrap();
    let engine = Engine::open_blocking(config).unwrap();
    let oldest = engine.oldest_version();
    assert!(oldest > 0 && versions.newest() - oldest >= 40);
    let error = engine.snapshot_at(oldest - 1).unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::Past(PastError::Pruned { .. })
    ));
    for number in oldest..=versions.newest() {
        versions.check(&engine.snapshot_at(number).unwrap(), &keys[..4]);
    }
    let oldest = versions.newest() - 2;
    let held = engine.snapshot_at(oldest).unwrap();
    while engine.oldest_version() <= oldest {
        versions.submit(&engine, &changes(random, &keys, 30));
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    assert!(held.get(b"key 1").is_err());
    engine.shutdown_blocking().unwrap();
}

#[test]
fn an_archive_that_was_off_while_versions_passed_begins_again() {
    let directory = tempfile::tempdir().unwrap();
    let with = config(directory.path());
    let mut without = with.clone();
    without.versions.archive = false;
    let keys: Vec<String> = (0..100).map(|key| format!("key {key}")).collect();
    let random = &mut Random(10);

    let engine = Engine::open_blocking(with.clone()).unwrap();
    let mut versions = Versions::of(&engine);
    let mut run = |engine: &Engine, versions: &mut Versions| {
        let before = engine.metrics().checkpoints;
        while engine.metrics().checkpoints < before + 2 {
            versions.submit(engine, &changes(random, &keys, 30));
        }
    };
    run(&engine, &mut versions);
    engine.shutdown_blocking().unwrap();

    let engine = Engine::open_blocking(without).unwrap();
    run(&engine, &mut versions);
    let error = engine.snapshot_at(1).unwrap_err();
    assert!(matches!(error, SnapshotError::Expired { .. }));
    engine.shutdown_blocking().unwrap();

    let engine = Engine::open_blocking(with).unwrap();
    run(&engine, &mut versions);
    let oldest = engine.oldest_version();
    let error = engine.snapshot_at(oldest - 1).unwrap_err();
    assert!(matches!(
        error,
        SnapshotError::Past(PastError::NotArchived { .. })
    ));
    let too_old = engine.evidence(1).unwrap_err();
    assert!(matches!(too_old, EvidenceError::Expired { .. }));
    for number in oldest..=versions.newest() {
        versions.check(&engine.snapshot_at(number).unwrap(), &keys[..4]);
    }
    engine.shutdown_blocking().unwrap();
}

/// A revert to any version that is archived, with and without leaves in memory, also after reopening: what it changes is
/// the difference, and nothing else.
#[test]
fn reverts_take_the_state_of_archived_versions_back() {
    for budget_bytes in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.memory.budget_bytes = budget_bytes;
        let mut engine = Engine::open_blocking(config.clone()).unwrap();
        let mut versions = Versions::of(&engine);
        let params = engine.params();
        let all = (0..).map(|key| format!("key {key}"));
        let of_slot = |key: &String| slot_of(&params.key_hash(key.as_bytes())) == 5;
        let mut keys: Vec<String> = all.clone().filter(of_slot).take(3000).collect();
        keys.extend(all.filter(|key| !of_slot(key)).take(1000));
        let random = &mut Random(11 + budget_bytes);
        // One slot becomes deep.
        versions.submit(&engine, &changes(random, &keys, 300));
        versions.submit(&engine, &changes(random, &keys, 9000));
        for round in 0..24 {
            for _ in 0..random.below(12) {
                let count = [1, 20, 200][random.below(3) as usize];
                versions.submit(&engine, &changes(random, &keys, count));
            }
            let to = match round % 3 {
                0 => random.below(versions.newest() + 1),
                // A few versions ago: behind those that memory keeps, perhaps before a checkpoint.
                _ => versions.newest() - random.below(8).min(versions.newest()),
            };
            let before = versions.states[versions.states.len() - 1].clone();
            let after = versions.states[to as usize].clone();
            let receipt = engine.revert_to_blocking(to).unwrap();
            let durable = receipt.durable_blocking().unwrap();
            let root = engine.snapshot().root();
            let reverted = &versions.roots[to as usize];
            assert_eq!(durable.state_digest, reverted.state_digest);
            let entry = engine.feed(durable.version).next().unwrap().unwrap();
            let effects = decode_effects(&engine.params(), &entry.effects).unwrap();
            let is_changed = |key: &&String| before.get(*key) != after.get(*key);
            assert_eq!(effects.len(), keys.iter().filter(is_changed).count());
            versions.states.push(after);
            versions.roots.push(root);
            versions
                .submissions
                .push((receipt.sequence(), receipt.provisional_root()));
            if round % 5 == 4 {
                engine.shutdown_blocking().unwrap();
                engine = Engine::open_blocking(config.clone()).unwrap();
                versions.check_walk(&engine.snapshot());
            }
        }
        assert!(engine.metrics().past_bytes > 0);
        for number in (0..=versions.newest()).step_by(9) {
            versions.check_walk(&engine.snapshot_at(number).unwrap());
        }
        engine.shutdown_blocking().unwrap();
    }
}

#[test]
fn a_revert_to_an_archived_version_is_bounded_and_one_to_a_pruned_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.versions.archive_versions_max = 16;
    config.submit.batch_operations_max = 100;
    config.submit.in_flight_operations_max = 200;
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let mut versions = Versions::of(&engine);
    let keys: Vec<String> = (0..1000).map(|key| format!("key {key}")).collect();
    let random = &mut Random(12);
    while engine.metrics().past_pruned == 0 {
        versions.submit(&engine, &changes(random, &keys, 80));
    }
    engine.shutdown_blocking().unwrap();
    let engine = Engine::open_blocking(config).unwrap();
    let oldest = engine.oldest_version();
    let pruned = engine.revert_to_blocking(oldest - 1).unwrap_err();
    assert!(matches!(
        pruned,
        RevertError::Version(SnapshotError::Past(PastError::Pruned { .. }))
    ));
    assert!(!pruned.retry_can_help());
    let too_large = engine.revert_to_blocking(oldest).unwrap_err();
    assert!(matches!(
        too_large,
        RevertError::TooLarge {
            operations_max: 200,
            ..
        }
    ));
    assert_eq!(engine.snapshot().version(), versions.newest());
    let near = versions.newest() - 1;
    let receipt = engine.revert_to_blocking(near).unwrap();
    let durable = receipt.durable_blocking().unwrap();
    assert_eq!(
        durable.state_digest,
        versions.roots[near as usize].state_digest
    );
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_log_without_a_leaf_store_archives_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.store.kind = trunkline::config::StoreKind::Log;
    let error = Engine::open_blocking(config).unwrap_err();
    assert!(matches!(error, trunkline::OpenError::NoArchive));
}

#[test]
fn an_old_value_is_read_while_new_ones_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = Engine::open_blocking(config).unwrap();
    let pairs = |value: u64| (0..50).map(move |key| (format!("key {key}"), value.to_string()));
    for value in 1..=20 {
        submit(&engine, puts(pairs(value)));
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for value in 21..=150 {
                submit(&engine, puts(pairs(value)));
            }
        });
        let mut random = Random(3);
        while !writer.is_finished() {
            let version = 1 + random.below(engine.snapshot().version());
            let snapshot = engine.snapshot_at(version).unwrap();
            let key = format!("key {}", random.below(50));
            let value = snapshot.get(key.as_bytes()).unwrap().unwrap();
            assert_eq!(value, version.to_string());
            if random.below(8) == 0 {
                let proof = snapshot.prove([&key], TopKind::Hash).unwrap();
                let trusted = Expected::CommitId(snapshot.commit_id());
                assert!(verify(&proof, &trusted).is_ok());
                let mut all = snapshot.iter();
                assert!(all.all(|pair| pair.unwrap().1 == version.to_string()));
            }
        }
    });
    engine.shutdown_blocking().unwrap();
}
