//! Replicas, promotions, cursors and rewinds lose power at every call of the disk.
//!
//! After any crash the directory can be opened in one role: it is a primary's or a replica's, and the error for the
//! other role says which.

use std::sync::Arc;

use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::store::log::{LogEntry, LogPosition};
use trunkline::core::store::simulated::{Failure, Fault, SimulatedDisk, SimulatedLeafStore};
use trunkline::{Config, Durable, Engine, EngineBuilder, OpenError, Replica};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::NONCE;

/// Number of seeds for the remains of a power loss at each call.
const SEEDS: u64 = 4;

/// A disk and a leaf store that outlive the engines on them.
struct Machine {
    disk: SimulatedDisk,
    leaves: Arc<SimulatedLeafStore>,
    config: Config,
}

fn key() -> SecretKey {
    SecretKey::generate([7; 32])
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut config = Config::in_directory("tree");
        config.workers.threads = 1;
        config.kzg.mode = KzgMode::OnDemand;
        config.log.segment_bytes_max = 4096;
        config.versions.retain_versions = 100;
        Self {
            disk: SimulatedDisk::new(seed),
            leaves: Arc::default(),
            config,
        }
    }

    /// Returns a machine with checkpoints every few versions.
    fn with_checkpoints(seed: u64) -> Self {
        let mut machine = Self::new(seed);
        machine.config.checkpoint.bytes_max = 4096;
        machine.config.checkpoint.unflushed_bytes_max = 8192;
        machine
    }

    fn builder(&self) -> EngineBuilder {
        Engine::builder(self.config.clone())
            .disk(Arc::new(self.disk.clone()))
            .leaf_store(self.leaves.clone())
            .nonce(NONCE)
    }

    fn open(&self) -> Engine {
        self.builder().open_blocking().unwrap()
    }

    fn open_replica(&self) -> Result<Replica, OpenError> {
        self.builder().open_replica_blocking(vec![key().public()])
    }

    /// Makes the power fail after this many more calls.
    fn lose_power_after(&self, calls: u64) {
        self.disk.inject(Fault {
            call: None,
            after: calls,
            failure: Failure::PowerLoss,
            lasting: true,
        });
    }

    fn crash(&self, seed: u64) {
        self.disk.crash(seed);
        self.leaves.crash(seed);
    }

    /// Returns the number of calls of the disk that an action makes.
    fn calls_of<T>(&self, action: impl FnOnce() -> T) -> u64 {
        let before = self.disk.calls();
        action();
        self.disk.calls() - before
    }
}

fn put(engine: &Engine, number: u64) -> Option<Durable> {
    let receipt = engine.put_blocking(format!("{}", number % 5), format!("{number:0900}"));
    receipt.ok()?.durable_blocking().ok()
}

/// Commits versions, and returns their positions.
fn commit(engine: &Engine, numbers: impl Iterator<Item = u64>) -> Vec<LogPosition> {
    let durables = numbers.map(|number| put(engine, number).unwrap());
    let position = |durable: Durable| LogPosition {
        version: durable.version,
        commit_id: durable.commit_id,
    };
    durables.map(position).collect()
}

fn entries(engine: &Engine, from: u64) -> Vec<LogEntry> {
    engine.drain_blocking().unwrap();
    let count = engine.synced_version() + 1 - from;
    let feed = engine.feed(from).take(count as usize);
    feed.map(Result::unwrap).collect()
}

fn apply(replica: &Replica, entries: &[LogEntry]) {
    for entry in entries {
        let frame = Frame::sign(entry.clone(), &key());
        replica.apply_blocking(frame).unwrap();
    }
    let last = replica.last_taken().version;
    replica.wait_for_blocking(last, HANGS_AFTER).unwrap();
}

/// Returns the entries of a primary that committed 12 versions, was opened again, and committed 4 more.
fn two_epochs() -> Vec<LogEntry> {
    let primary = Machine::new(1);
    let engine = primary.open();
    commit(&engine, 0..12);
    engine.shutdown_blocking().unwrap();
    let engine = primary.open();
    commit(&engine, 12..16);
    entries(&engine, 1)
}

/// Checks that an engine writes after its last version in an epoch above `above`, with receipts, evidence and
/// provisional roots that are correct.
fn check_writing(engine: &Engine, above: u64) {
    let before = engine.snapshot().record().clone();
    let receipts: Vec<_> = (0..3)
        .map(|number| engine.put_blocking("new", format!("{number}")).unwrap())
        .collect();
    for (receipt, sequence) in receipts.iter().zip(before.last_sequence + 1..) {
        let durable = receipt.durable_blocking().unwrap();
        assert_eq!(receipt.sequence(), sequence);
        let evidence = receipt.evidence_blocking().unwrap();
        let verified = evidence.verify(&receipt.provisional_root(), &durable.commit_id);
        assert_eq!(verified.unwrap().version, durable.version);
    }
    let snapshot = engine.snapshot();
    let record = snapshot.record();
    assert_eq!(record.provisional_root, receipts[2].provisional_root());
    assert!(record.open_epoch > above.max(before.open_epoch));
}

#[test]
fn a_replica_whose_creation_is_interrupted_is_created_again_and_is_never_a_primary() {
    let entries = two_epochs();
    let create = |machine: &Machine| {
        let replica = machine.open_replica()?;
        for entry in &entries[..3] {
            let _ = replica.apply_blocking(Frame::sign(entry.clone(), &key()));
        }
        let waited = replica.wait_for_blocking(3, HANGS_AFTER).is_ok();
        Ok::<_, OpenError>(waited)
    };
    let machine = Machine::new(1);
    let calls = machine.calls_of(|| create(&machine));
    for (after, seed) in (0..calls).flat_map(|after| (0..SEEDS).map(move |seed| (after, seed))) {
        let machine = Machine::new(seed);
        machine.lose_power_after(after);
        let created = create(&machine);
        machine.crash(seed);
        match machine.builder().open_blocking() {
            Err(OpenError::IsReplica { .. }) => {}
            // No version of the replica was durable: a tree is created in an empty directory.
            Ok(engine) if created.is_err() && engine.snapshot().version() == 0 => continue,
            opened => panic!("call {after}, seed {seed}: {created:?}, then {opened:?}"),
        }
        let replica = machine.open_replica().unwrap();
        let position = replica.position().version;
        assert!(position >= if matches!(created, Ok(true)) { 3 } else { 0 });
        apply(&replica, &entries[position as usize..]);
        assert_eq!(replica.snapshot().record(), &entries[15].record);
    }
}

#[test]
fn a_promotion_that_loses_power_leaves_a_replica_or_a_primary_of_a_higher_epoch() {
    let entries = two_epochs();
    let replicate = |seed| {
        let machine = Machine::with_checkpoints(seed);
        // Each opening has its own epoch in the names of segments.
        for part in entries.chunks(5) {
            let replica = machine.open_replica().unwrap();
            apply(&replica, part);
            replica.shutdown_blocking().unwrap();
        }
        let replica = machine.open_replica().unwrap();
        replica.set_cursor("follower", 16).unwrap();
        (machine, replica)
    };
    let (machine, replica) = replicate(1);
    let calls = machine.calls_of(|| put(&replica.promote_blocking(7).unwrap(), 100));
    for (after, seed) in (0..calls).flat_map(|after| (0..SEEDS).map(move |seed| (after, seed))) {
        let (machine, replica) = replicate(seed);
        machine.lose_power_after(after);
        let promoted = replica.promote_blocking(7);
        let acknowledged = promoted.as_ref().ok().and_then(|engine| put(engine, 100));
        drop(promoted);
        machine.crash(seed);

        let engine = match machine.builder().open_blocking() {
            Err(OpenError::IsReplica { .. }) => {
                assert!(acknowledged.is_none());
                let replica = machine.open_replica().unwrap();
                assert_eq!(replica.snapshot().record(), &entries[15].record);
                replica.promote_blocking(7).unwrap()
            }
            opened => opened.unwrap_or_else(|error| panic!("call {after}, seed {seed}: {error}")),
        };
        if let Some(durable) = acknowledged {
            assert_eq!(engine.snapshot().commit_id(), durable.commit_id);
        }
        check_writing(&engine, 7);
        assert_eq!(engine.cursors()[0].version, 16);
        let newest = engine.snapshot().record().clone();
        drop(engine);
        machine.crash(seed);
        let refused = machine.open_replica().unwrap_err();
        assert!(matches!(refused, OpenError::NotReplica { .. }));
        let engine = machine.open();
        assert_eq!(engine.snapshot().record(), &newest);
        check_writing(&engine, newest.open_epoch);
    }
}

/// Returns a primary that was replaced at version 8, and that committed versions 9 to 12 in two epochs of its own.
fn replaced(seed: u64) -> (Machine, Vec<LogPosition>) {
    let mut machine = Machine::new(seed);
    // In every second case nothing shows that its versions are synced, and it was killed.
    let is_killed = seed % 2 == 1;
    if is_killed {
        machine.config.durability.mode = DurabilityMode::Os;
    }
    let engine = machine.open();
    let mut positions = commit(&engine, 0..10);
    engine.drain_blocking().unwrap();
    engine.set_cursor("kept", 3).unwrap();
    engine.set_cursor("ahead", 10).unwrap();
    engine.shutdown_blocking().unwrap();
    let engine = machine.open();
    positions.extend(commit(&engine, 10..12));
    if is_killed {
        machine.disk.inject(Fault {
            call: None,
            after: 0,
            failure: Failure::Error,
            lasting: true,
        });
    }
    drop(engine);
    machine.disk.clear_faults();
    (machine, positions)
}

#[test]
fn a_rewind_that_loses_power_leaves_the_old_version_or_the_new_one() {
    let (old, positions) = replaced(0);
    let shared = entries(&old.open(), 1);
    let new = Machine::new(1);
    let replica = new.open_replica().unwrap();
    apply(&replica, &shared[..8]);
    let promoted = replica.promote_blocking(2).unwrap();
    commit(&promoted, 100..103);
    let all = entries(&promoted, 1);

    let (to, last) = (positions[7], positions[11]);
    let finish = |machine: &Machine| machine.builder().begin_rewind().unwrap().finish(to);
    let calls = old.calls_of(|| finish(&old).unwrap());
    for (after, seed) in (0..calls).flat_map(|after| (0..SEEDS).map(move |seed| (after, seed))) {
        let (machine, positions) = replaced(seed);
        assert_eq!(positions, [&positions[..11], &[last]].concat());
        machine.lose_power_after(after);
        let finished = machine.builder().begin_rewind().unwrap().finish(to).is_ok();
        machine.crash(seed);
        match machine.builder().open_blocking() {
            Ok(engine) => {
                assert!(!finished);
                // In mode `os`, versions that were not synced may be lost.
                assert!(
                    engine.snapshot().version() >= 10,
                    "call {after}, seed {seed}"
                );
                engine.shutdown_blocking().unwrap();
            }
            Err(OpenError::IsReplica { .. }) => {
                let replica = machine.open_replica().unwrap();
                let position = replica.position();
                let is_new = position == to;
                let is_old = position.version >= 10 && positions.contains(&position);
                assert!(is_new || is_old && !finished, "call {after}, seed {seed}");
                replica.shutdown_blocking().unwrap();
            }
            Err(error) => panic!("call {after}, seed {seed}: {error}"),
        }
        finish(&machine).unwrap();
        let mut machine = machine;
        machine.config.durability.mode = DurabilityMode::Sync;
        let replica = machine.open_replica().unwrap();
        assert_eq!(replica.position(), to);
        let cursors: Vec<_> = replica
            .cursors()
            .into_iter()
            .map(|cursor| cursor.name)
            .collect();
        assert_eq!(cursors, ["kept"]);
        apply(&replica, &all[8..]);
        assert_eq!(replica.snapshot().record(), promoted.snapshot().record());
        let promoted_again = replica.promote_blocking(0).unwrap();
        check_writing(&promoted_again, promoted.snapshot().record().open_epoch);
    }
}

#[test]
fn what_a_follower_has_read_and_a_cursor_that_was_set_survive() {
    for seed in 0..600 {
        let mut machine = Machine::with_checkpoints(seed);
        machine.config.durability.mode = match seed % 3 {
            0 => DurabilityMode::Os,
            1 => DurabilityMode::Interval,
            _ => DurabilityMode::Sync,
        };
        machine.config.durability.interval_ms = 1;
        let engine = machine.open();
        let (mut feed, mut read, mut set) = (engine.feed(1), Vec::new(), 0);
        // This runs before anything can be trimmed, so that it never becomes a gap.
        engine.set_cursor("follower", 0).unwrap();
        machine.lose_power_after(seed * 7 % 120);
        for number in 0..30 {
            if put(&engine, number).is_none() {
                break;
            }
            if number % 9 == 8 && engine.drain_blocking().is_err() {
                break;
            }
            while let Ok(Some(entry)) = feed.try_next() {
                read.push(entry);
            }
            let wanted = read.len() as u64;
            if number % 4 == 3 && engine.set_cursor("follower", wanted).is_ok() {
                set = wanted;
            }
        }
        drop(engine);
        machine.crash(seed);
        let engine = machine.open();
        let cursors = engine.cursors();
        let cursor = cursors[0].version;
        assert!(!cursors[0].is_gap, "seed {seed}");
        assert!(cursor >= set && cursor <= read.len() as u64, "seed {seed}");
        let ids: Vec<_> = engine.snapshot().commit_ids().map(Result::unwrap).collect();
        for entry in &read {
            let (version, commit_id) = (entry.record.version, entry.record.commit_id());
            assert_eq!(ids.get(version as usize), Some(&commit_id), "seed {seed}");
        }
        // The cursor's position is held, and everything after it can be read.
        let behind = engine.feed(cursor + 1);
        for entry in behind.take((engine.synced_version() - cursor) as usize) {
            entry.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}
