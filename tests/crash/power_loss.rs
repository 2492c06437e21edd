//! Acknowledged submissions survive faults and power loss, on a simulated disk and leaf store.
//!
//! Seeds decide everything but the interleaving of threads: `TRUNKLINE_CRASH_SEED=n` runs one case,
//! `TRUNKLINE_CRASH_CASES=n` that many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::hash::Digest;
use trunkline::core::store::disk::ReadFileError;
use trunkline::core::store::history_file::HistoryFileError;
use trunkline::core::store::log::{OpenLogError, ReadLogError};
use trunkline::core::store::manifest::ReadManifestError;
use trunkline::core::store::simulated::{
    DiskCall, Failure, Fault, SimulatedDisk, SimulatedLeafStore,
};
use trunkline::core::store::tree_file::ReadTreeFileError;
use trunkline::{Config, Durability, Engine, OpenError, ReadError, Receipt, Snapshot, SubmitError};
use trunkline_testkit::patience::{HANGS_AFTER, receive};

use crate::support::*;

const CASES: u64 = 2000;

/// The facts that must hold, from the results that callers received.
struct Truth {
    shape: Shape,
    /// The submissions, in the order of sequence numbers, from 1.
    submissions: Vec<Submission>,
    provisional_roots: Vec<Digest>,
    /// Commit ids by version, from 0.
    commit_ids: BTreeMap<u64, Digest>,
    /// The last submission that must not be lost.
    acknowledged: u64,
}

struct Case {
    random: SmallRng,
    disk: SimulatedDisk,
    leaves: Arc<SimulatedLeafStore>,
    config: Config,
    truth: Truth,
    round: u64,
}

fn config(random: &mut SmallRng) -> Config {
    let mut config = Config::in_directory("tree");
    config.workers.threads = 1;
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = random.random_range(4096..40_000);
    config.log.segment_bytes_max = random.random_range(4096..12_000);
    config.group.in_flight_max = random.random_range(1..5);
    config.group.operations_max = random.random_range(1..30);
    config.versions.retain_versions = random.random_range(1..6);
    config.kzg.mode = match random.random_range(0..20) {
        0 => KzgMode::Eager,
        1 => KzgMode::Coalesce,
        _ => KzgMode::OnDemand,
    };
    config.durability.mode = match random.random_range(0..8) {
        0 => DurabilityMode::Os,
        1 => DurabilityMode::Interval,
        _ => DurabilityMode::Sync,
    };
    config.durability.interval_ms = 1;
    config.submit.idempotency_keys_max = random.random_range(1..30);
    // In every second case the memory budget has no room for leaves that a checkpoint covers.
    config.memory.budget_bytes = random.random_range(0..2);
    config
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        Self {
            disk: SimulatedDisk::new(seed),
            leaves: Arc::new(SimulatedLeafStore::default()),
            config: config(&mut random),
            truth: Truth {
                shape: Shape {
                    seed,
                    keys: random.random_range(5..40),
                    writes_max: random.random_range(1..6),
                    value_bytes_max: random.random_range(1..700),
                    requirements: random.random_ratio(1, 2),
                },
                submissions: Vec::new(),
                provisional_roots: Vec::new(),
                commit_ids: BTreeMap::from([(0, genesis_id())]),
                acknowledged: 0,
            },
            random,
            round: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..self.random.random_range(2..4) {
            let engine = self.open();
            self.truth.take(&engine.snapshot());
            self.repeat(&engine);
            self.inject(60);
            self.work(engine);
        }
        self.crash();
        let engine = self.open_without_faults();
        self.truth.take(&engine.snapshot());
        self.repeat(&engine);
        let receipts = self.submit(&engine, 3);
        engine.shutdown_blocking().expect("nothing fails any more");
        assert!(
            receipts
                .iter()
                .all(|receipt| receipt.durable_blocking().is_ok())
        );
    }

    fn try_open(&mut self) -> Result<Engine, OpenError> {
        self.round += 1;
        Engine::builder(self.config.clone())
            .disk(Arc::new(self.disk.clone()))
            .leaf_store(self.leaves.clone())
            .nonce(NONCE)
            .open_blocking()
    }

    fn open_without_faults(&mut self) -> Engine {
        self.try_open()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// Opens an engine; attempts may fail and crash, and are repeated.
    fn open(&mut self) -> Engine {
        for _ in 0..3 {
            self.crash_or_repair();
            if self.random.random_ratio(1, 2) {
                self.inject(12);
            }
            match self.try_open() {
                Ok(engine) => {
                    self.disk.clear_faults();
                    return engine;
                }
                Err(error) => assert!(is_fault_of_the_disk(&error), "{error}: {error:?}"),
            }
        }
        self.crash();
        self.open_without_faults()
    }

    fn crash(&mut self) {
        self.disk.crash(self.random.random());
        self.leaves.crash(self.random.random());
    }

    /// Loses power, or only ends the process: then the data that a failed call left on the disk is still visible.
    fn crash_or_repair(&mut self) {
        self.leaves.crash(self.random.random());
        self.disk.clear_faults();
        if self.random.random_ratio(2, 3) {
            self.disk.crash(self.random.random());
        }
    }

    fn inject(&mut self, calls: u64) {
        const KINDS: [DiskCall; 7] = [
            DiskCall::CreateDirectory,
            DiskCall::Create,
            DiskCall::Append,
            DiskCall::Sync,
            DiskCall::Rename,
            DiskCall::Remove,
            DiskCall::SyncDirectory,
        ];
        let random = &mut self.random;
        match random.random_range(0..8) {
            0 => return,
            1 => return self.leaves.fail_after(random.random_range(0..8)),
            _ => {}
        }
        let failures = [Failure::Error, Failure::NoSpace, Failure::PowerLoss];
        let call = random
            .random_ratio(1, 2)
            .then(|| KINDS[random.random_range(0..KINDS.len())]);
        let after = match call {
            None => random.random_range(0..calls),
            Some(_) => random.random_range(0..calls / 4),
        };
        self.disk.inject(Fault {
            call,
            after,
            failure: failures[random.random_range(0..failures.len())],
            lasting: random.random_ratio(1, 3),
        });
    }

    /// Uses an engine for a while, shuts it down, and records the results of all receipts.
    fn work(&mut self, engine: Engine) {
        let count = self.random.random_range(5..40);
        let receipts = self.submit(&engine, count);
        let drained = self.random.random_ratio(1, 4) && engine.drain_blocking().is_ok();
        let closed = match self.random.random_ratio(1, 2) {
            true => engine.shutdown_blocking().is_ok(),
            false => false,
        };
        drop(engine);
        self.learn(&receipts);
        if drained || closed {
            self.truth.acknowledged = self.truth.submissions.len() as u64;
        }
    }

    /// Submits again the batches that a newly opened engine must remember: none of them is applied twice.
    fn repeat(&self, engine: &Engine) {
        let truth = &self.truth;
        let submissions = truth.submissions.iter().zip(1..);
        let keyed: Vec<(&Submission, u64)> = submissions
            .filter(|(submission, _)| submission.has_key())
            .collect();
        let keys_max = self.config.submit.idempotency_keys_max;
        let last = keyed.iter().rev().take(keys_max).copied();
        for (submission, sequence) in last {
            let receipt = engine.submit_blocking(submission.batch()).unwrap();
            let root = truth.provisional_roots[sequence as usize - 1];
            assert!(receipt.is_repeat(), "{sequence} is applied again");
            assert_eq!(
                (receipt.sequence(), receipt.provisional_root()),
                (sequence, root)
            );
            let durable = receipt.durable_blocking().unwrap();
            assert_eq!(durable.durability, Durability::Sync);
            assert_eq!(truth.commit_ids[&durable.version], durable.commit_id);
            let mut other = submission.batch();
            other.put("other", "content");
            let refused = engine.submit_blocking(other).unwrap_err();
            let SubmitError::IdempotencyKeyReused { sequence: first } = refused else {
                panic!("{refused}");
            };
            assert_eq!(first, sequence);
        }
        let last = engine.snapshot().record().last_sequence;
        assert_eq!(last, truth.submissions.len() as u64);
    }

    fn submit(&mut self, engine: &Engine, count: u64) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        let mut held: Vec<Snapshot> = Vec::new();
        let mut latest = state_after(&self.truth.submissions, self.truth.submissions.len() as u64);
        for _ in 0..count {
            let sequence = self.truth.submissions.len() as u64 + 1;
            let submission = self.truth.shape.submission(self.round, sequence);
            let receipt = match engine.submit_blocking(submission.batch()) {
                Ok(receipt) => receipt,
                Err(SubmitError::Engine(failure)) => {
                    let known = engine.failure().expect("a failed engine says so");
                    assert_eq!(known.to_string(), failure.to_string());
                    break;
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(receipt.sequence(), sequence);
            self.truth
                .provisional_roots
                .push(receipt.provisional_root());
            submission.apply(&mut latest);
            self.truth.submissions.push(submission);
            match self.random.random_range(0..12) {
                0 => drop(receipt.durable_blocking()),
                1 => drop(receipt.root_ready_blocking()),
                2 => held.push(engine.snapshot()),
                3 if !self.truth.shape.requirements => {
                    let key = self
                        .truth
                        .shape
                        .key(self.random.random_range(0..self.truth.shape.keys));
                    match engine.get(&key) {
                        Ok(seen) => {
                            assert_eq!(seen.as_deref(), latest.get(&key).map(Vec::as_slice));
                        }
                        Err(ReadError::Engine(_)) => assert!(engine.failure().is_some()),
                        Err(error) => panic!("the latest can be read: {error}"),
                    }
                }
                _ => {}
            }
            receipts.push(receipt);
        }
        for snapshot in held {
            self.truth.check(&snapshot);
        }
        receipts
    }

    /// Records the results of the receipts of an engine that has ended. Each of them returns.
    fn learn(&mut self, receipts: &[Receipt]) {
        let mut failed = false;
        let mut map = Map::new();
        let mut applied = 0;
        for receipt in receipts {
            let sequence = receipt.sequence();
            let mut outcome = true;
            while applied < sequence {
                outcome = self.truth.submissions[applied as usize].apply(&mut map);
                applied += 1;
            }
            if let Ok(hashed) = receipt.hashed_blocking() {
                let before = self
                    .truth
                    .commit_ids
                    .insert(hashed.version, hashed.commit_id);
                assert!(before.is_none_or(|before| before == hashed.commit_id));
                assert_eq!(hashed.outcome.is_applied(), outcome);
            }
            match receipt.durable_blocking() {
                Err(_) => failed = true,
                Ok(durable) => {
                    assert!(!failed, "acknowledged after an earlier one had failed");
                    assert_eq!(self.truth.commit_ids[&durable.version], durable.commit_id);
                    if durable.durability == Durability::Sync {
                        self.truth.acknowledged = sequence;
                    }
                }
            }
            let _ = receipt.root_ready_blocking();
        }
    }
}

impl Truth {
    /// Checks that a version has the state that its submissions make.
    fn check(&self, snapshot: &Snapshot) {
        let record = snapshot.record();
        let expected = state_after(&self.submissions, record.last_sequence);
        check_state(snapshot, &expected, &self.shape);
    }

    /// Checks the proofs of older versions against the commit ids of their receipts.
    fn check_history(&self, snapshot: &Snapshot) {
        let head = snapshot.commit_id();
        for (older, commit_id) in self.commit_ids.range(..snapshot.version()).step_by(5) {
            let proof = snapshot.prove_ancestor(*older).expect("all are kept");
            let ancestor = proof.verify(&head).expect("the proof holds");
            assert_eq!(ancestor.commit_id, *commit_id);
            let proof = snapshot.prove_consistency(*older).expect("all are kept");
            assert_eq!(proof.check_head(*older, commit_id), Ok(()));
        }
    }

    /// Compares the last version of a reopened engine with the facts, and cuts them off there.
    fn take(&mut self, snapshot: &Snapshot) {
        let record = snapshot.record();
        let (version, sequence) = (record.version, record.last_sequence);
        assert!(
            sequence >= self.acknowledged,
            "submission {} was acknowledged, {sequence} is the last",
            self.acknowledged
        );
        self.check(snapshot);
        assert_eq!(self.commit_ids.get(&version), Some(&snapshot.commit_id()));
        let earlier = self.commit_ids.range(..version).map(|(_, id)| id);
        assert_eq!(record.history_digest, history_digest(earlier));
        self.check_history(snapshot);
        if let Some(index) = sequence.checked_sub(1) {
            assert_eq!(
                record.provisional_root,
                self.provisional_roots[index as usize]
            );
        }
        self.submissions.truncate(sequence as usize);
        self.provisional_roots.truncate(sequence as usize);
        self.commit_ids.split_off(&(version + 1));
        self.acknowledged = sequence;
    }
}

/// Returns whether an error is a fault of the disk; no fault may look like damage.
fn is_fault_of_the_disk(error: &OpenError) -> bool {
    match error {
        OpenError::Directory { .. }
        | OpenError::LogWrite(_)
        | OpenError::Leaves(_)
        | OpenError::TreeFile(ReadTreeFileError::Io { .. })
        | OpenError::Manifest(ReadManifestError::Io { .. })
        | OpenError::History(HistoryFileError::Io { .. })
        | OpenError::Pages(ReadFileError::Io { .. })
        | OpenError::IdempotencyKeys(ReadFileError::Io { .. }) => true,
        OpenError::Log(error) => matches!(
            **error,
            OpenLogError::Write { .. } | OpenLogError::Log(ReadLogError::Io { .. })
        ),
        _ => false,
    }
}

fn run_all(seeds: impl Iterator<Item = u64> + Send + 'static) {
    let (started, cases) = channel();
    let worker = std::thread::spawn(move || {
        for seed in seeds {
            started.send(seed).expect("the watchdog lives");
            Case::new(seed).run();
        }
    });
    let mut last = None;
    loop {
        match receive(&cases, HANGS_AFTER) {
            Ok(seed) => last = Some(seed),
            Err(RecvTimeoutError::Timeout) => panic!("seed {last:?} hangs"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(payload) = worker.join() {
        eprintln!("seed {last:?} failed");
        std::panic::resume_unwind(payload);
    }
}

/// Returns half of the seeds.
fn seeds(part: u64) -> impl Iterator<Item = u64> + Send + 'static {
    let setting = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let only: Option<u64> = setting("TRUNKLINE_CRASH_SEED");
    let cases: u64 = setting("TRUNKLINE_CRASH_CASES").unwrap_or(CASES);
    let seeds = only.map_or(0..cases, |seed| seed..seed + 1);
    seeds.filter(move |seed| seed % 2 == part)
}

#[test]
fn acknowledged_submissions_survive_even_seeds() {
    run_all(seeds(0));
}

#[test]
fn acknowledged_submissions_survive_odd_seeds() {
    run_all(seeds(1));
}
