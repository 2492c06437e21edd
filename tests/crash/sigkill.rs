//! Durable receipts survive SIGKILL.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::config::DurabilityMode;
use trunkline::core::hash::Digest;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::log::{CommitLog, LOG_DIRECTORY, LogPosition};
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::{Engine, KeyRange, OpenError, ReadOnly, Snapshot};

use crate::killed::{Process, Said, config, shape};
use crate::support::*;

/// A directory that many killed processes have used, with its required content.
struct Life {
    directory: tempfile::TempDir,
    mode: DurabilityMode,
    shape: Shape,
    round: u64,
    /// The first sequence number of each round, with the number of the round. Later rounds take precedence.
    rounds: Vec<(u64, u64)>,
    /// The state after submission `last.1`, and the last version.
    map: Map,
    last: (u64, u64),
    /// The last durable receipt: sequence number and version.
    durable: (u64, u64),
    /// Known commit ids by version.
    commit_ids: BTreeMap<u64, Digest>,
    histories_checked: u64,
}

impl Life {
    fn new(seed: u64, mode: DurabilityMode) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            mode,
            shape: shape(seed),
            round: 0,
            rounds: Vec::new(),
            map: Map::new(),
            last: (0, 0),
            durable: (0, 0),
            commit_ids: BTreeMap::from([(0, genesis_id())]),
            histories_checked: 0,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn begin_round(&mut self) {
        self.round += 1;
        self.rounds.push((self.last.1 + 1, self.round));
    }

    /// Starts a process, kills it after this many receipts (`None`: while it opens), and checks the directory.
    fn kill_after(&mut self, receipts: Option<u64>) {
        self.begin_round();
        let mut process = Process::start(self.path(), self.mode, self.shape.seed, self.round);
        let mut heard = 0;
        while receipts.map_or(heard < 1, |receipts| heard < receipts + 2) {
            let said = process.listen().expect("it lives until it is killed");
            self.hear(said);
            heard += 1;
        }
        for said in process.kill() {
            self.hear(said);
        }
        self.check();
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Begun => {}
            Said::Opened(version, id, sequence) => {
                // The next process finds the state that was found after the last one.
                assert_eq!((version, sequence), self.last);
                assert_eq!(self.commit_ids.get(&version), Some(&id));
            }
            Said::Durable(sequence, version, id) => {
                assert_eq!(sequence, self.durable.0.max(self.last.1) + 1);
                self.durable = (sequence, version);
                let before = self.commit_ids.insert(version, id);
                assert!(before.is_none_or(|before| before == id));
            }
        }
    }

    /// Checks the directory as the killed process left it.
    fn check(&mut self) {
        match ReadOnly::open(self.path()) {
            Ok(tree) => {
                self.check_log();
                self.check_last(&tree.snapshot());
            }
            // The process was killed before there was a tree.
            Err(OpenError::NoTree { .. } | OpenError::Lock(_)) if self.durable.0 == 0 => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }

    /// Checks that every commit in the log has the commit id that callers received.
    fn check_log(&mut self) {
        let tree_id = params().tree_id();
        let marker = CheckpointManifest::read(&OsDisk, self.path());
        let marker = marker.unwrap_or_else(|_| CheckpointManifest::genesis(tree_id));
        let from = LogPosition::of(&marker.record);
        let log = self.path().join(LOG_DIRECTORY);
        let mut commits = vec![from];
        CommitLog::read_only(&OsDisk, &log, &tree_id, from, |entry| {
            commits.push(LogPosition::of(&entry.record));
            Ok::<_, Infallible>(())
        })
        .unwrap();
        let last = commits[commits.len() - 1];
        assert!(last.version >= self.durable.1, "a durable version is gone");
        for LogPosition { version, commit_id } in commits {
            let known = self.commit_ids.insert(version, commit_id);
            assert!(known.is_none_or(|known| known == commit_id));
        }
        self.commit_ids.split_off(&(last.version + 1));
    }

    fn check_last(&mut self, snapshot: &Snapshot) {
        let record = snapshot.record();
        let (version, sequence) = (record.version, record.last_sequence);
        assert!(version >= self.durable.1 && sequence >= self.durable.0);
        for sequence in self.last.1 + 1..=sequence {
            let round = self
                .rounds
                .iter()
                .rev()
                .find(|(first, _)| *first <= sequence);
            let (_, round) = round.expect("only rounds submit");
            self.shape.submission(*round, sequence).apply(&mut self.map);
        }
        check_state(snapshot, &self.map, &self.shape);
        // The index of keys has lost none, and shows none that is gone.
        let range = snapshot.range_iter(KeyRange::all());
        let found: Vec<_> = range
            .map(|entry| entry.expect("a range can be read"))
            .collect();
        let found = found.iter().map(|(key, value)| (&key[..], &value[..]));
        assert!(found.eq(self.map.iter().map(|(key, value)| (&key[..], &value[..]))));
        self.last = (version, sequence);
        self.durable = (sequence, version);
        assert_eq!(self.commit_ids.get(&version), Some(&snapshot.commit_id()));
        // A checkpoint may cover a version that no caller heard of; its commit id is unknown here.
        if self.commit_ids.len() as u64 == version + 1 {
            let earlier = self.commit_ids.range(..version).map(|(_, id)| id);
            assert_eq!(record.history_digest, history_digest(earlier));
            self.histories_checked += 1;
        }
    }

    /// Opens the directory in this process, submits for a while, and closes the engine or not.
    fn go_on(&mut self, close: bool) {
        self.begin_round();
        let engine = Engine::builder(config(self.path(), self.mode))
            .nonce(NONCE)
            .open_blocking()
            .unwrap();
        assert_eq!(engine.snapshot().record().last_sequence, self.last.1);
        for _ in 0..5 {
            let sequence = self.durable.0 + 1;
            let batch = self.shape.submission(self.round, sequence).batch();
            let durable = engine
                .submit_blocking(batch)
                .unwrap()
                .durable_blocking()
                .unwrap();
            self.hear(Said::Durable(sequence, durable.version, durable.commit_id));
        }
        if close {
            engine.shutdown_blocking().unwrap();
        }
        drop(engine);
        // Compares the leaves with the index, too.
        let report = trunkline::check(self.path()).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        self.check();
    }
}

/// Kills processes on one directory: some while the engine opens, most after some receipts.
fn live(seed: u64, mode: DurabilityMode, kills: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut life = Life::new(seed, mode);
    for kill in 0..kills {
        let opening = random.random_ratio(1, 6);
        let receipts = (!opening).then(|| random.random_range(0..250));
        life.kill_after(receipts);
        if kill % 5 == 4 {
            life.go_on(random.random());
        }
    }
    assert!(life.histories_checked > 0);
}

#[test]
fn receipts_of_mode_sync_survive_25_kills() {
    live(1, DurabilityMode::Sync, 25);
}

#[test]
fn receipts_of_mode_interval_survive_12_kills() {
    live(2, DurabilityMode::Interval, 12);
}

#[test]
fn receipts_of_mode_os_survive_12_kills() {
    live(3, DurabilityMode::Os, 12);
}

#[test]
fn new_directories_survive_a_kill() {
    for seed in 10..22 {
        let mut life = Life::new(seed, DurabilityMode::Sync);
        life.kill_after((seed % 3 > 0).then_some(seed % 5));
        life.go_on(true);
    }
}

#[test]
#[ignore = "takes minutes; by hand: cargo test --test crash 2_000_kills -- --ignored --nocapture"]
fn receipts_survive_2_000_kills() {
    let modes = [
        DurabilityMode::Sync,
        DurabilityMode::Sync,
        DurabilityMode::Interval,
        DurabilityMode::Os,
    ];
    for (seed, mode) in (100..140).zip(modes.into_iter().cycle()) {
        live(seed, mode, 50);
        println!("seed {seed}, mode {mode:?}: 50 kills");
    }
}
