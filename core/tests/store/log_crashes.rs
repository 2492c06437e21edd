use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::store::log::{CommitLog, LogEntry, LogPosition};
use trunkline_core::store::simulated::{DiskCall, Failure, Fault, SimulatedDisk};

use crate::support::*;

/// The facts that must hold: everything acknowledged is there, and everything there was appended.
struct Model {
    /// Every entry that may be in the log, by version from 1.
    appended: Vec<LogEntry>,
    acknowledged: u64,
    /// A version that a sync covered, up to which the log may have been trimmed.
    checkpoint: LogPosition,
}

impl Model {
    fn position(&self, version: u64) -> LogPosition {
        match version.checked_sub(1) {
            None => start(),
            Some(index) => LogPosition::of(&self.appended[index as usize].record),
        }
    }

    /// Compares the entries that an open found with the model, and continues from them.
    fn take(&mut self, seed: u64, log: &CommitLog, found: &[LogEntry]) {
        let last = log.last().version;
        assert!(
            last >= self.acknowledged,
            "seed {seed}: acknowledged {} lost, log ends at {last}",
            self.acknowledged
        );
        let visited = self.checkpoint.version as usize..last as usize;
        assert_eq!(found, &self.appended[visited], "seed {seed}");
        self.appended.truncate(last as usize);
        self.acknowledged = last;
        assert_eq!(log.last(), self.position(last), "seed {seed}");
    }

    /// Performs a random step; `Err` if the disk failed.
    fn step(&mut self, log: &mut CommitLog, random: &mut SmallRng) -> Result<(), ()> {
        match random.random_range(0..10) {
            0..5 => {
                let bytes = random.random_range(0..1500);
                let entry = entry_after(log.last(), bytes, random.random());
                self.appended.push(entry.clone());
                log.append(&entry).map_err(drop)
            }
            5..8 => {
                self.acknowledged = log.sync().map_err(drop)?;
                assert_eq!(self.acknowledged, self.appended.len() as u64);
                Ok(())
            }
            8 => log.flush().map_err(drop),
            _ => {
                let version = random.random_range(self.checkpoint.version..=self.acknowledged);
                self.checkpoint = self.position(version);
                log.trim(version).map_err(drop)
            }
        }
    }
}

fn fault(random: &mut SmallRng, calls: u64) -> Fault {
    const KINDS: [DiskCall; 6] = [
        DiskCall::Create,
        DiskCall::Append,
        DiskCall::Sync,
        DiskCall::Rename,
        DiskCall::Remove,
        DiskCall::SyncDirectory,
    ];
    let failures = [Failure::Error, Failure::NoSpace, Failure::PowerLoss];
    let call = random
        .random_bool(0.5)
        .then(|| KINDS[random.random_range(0..KINDS.len())]);
    Fault {
        after: random.random_range(0..calls),
        call,
        failure: failures[random.random_range(0..failures.len())],
        lasting: random.random_bool(0.3),
    }
}

/// Opens until it works; every attempt may meet another fault or a crash.
fn reopen(
    disk: &SimulatedDisk,
    model: &Model,
    random: &mut SmallRng,
    seed: u64,
) -> (CommitLog, Vec<LogEntry>) {
    for attempt in 0.. {
        // Without a crash in between, data that a failed call left in memory is still visible.
        if attempt > 0 || random.random_bool(0.7) {
            disk.crash(random.random());
        }
        disk.clear_faults();
        if attempt < 4 && random.random_bool(0.5) {
            disk.inject(fault(random, 12));
        } else if attempt >= 4 {
            disk.crash(random.random());
        }
        match open_from(disk, model.checkpoint, 4096) {
            Ok((log, _, found)) => {
                disk.clear_faults();
                return (log, found);
            }
            Err(trunkline_core::store::log::OpenLogError::Write { .. }) => {}
            Err(error) => {
                let io = matches!(
                    error,
                    trunkline_core::store::log::OpenLogError::Log(
                        trunkline_core::store::log::ReadLogError::Io { .. }
                    )
                );
                assert!(io, "seed {seed}: {error:?}");
            }
        }
    }
    unreachable!("the last attempts meet no faults")
}

fn run(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = SimulatedDisk::new(seed);
    let mut model = Model {
        appended: Vec::new(),
        acknowledged: 0,
        checkpoint: start(),
    };
    for _ in 0..6 {
        let (mut log, found) = reopen(&disk, &model, &mut random, seed);
        model.take(seed, &log, &found);
        disk.inject(fault(&mut random, 30));
        for _ in 0..40 {
            if model.step(&mut log, &mut random).is_err() {
                break;
            }
        }
        if random.random_bool(0.3) {
            let all = model.appended.len() as u64;
            if log.close().is_ok() {
                model.acknowledged = all;
            }
        }
    }
    let (log, found) = reopen(&disk, &model, &mut random, seed);
    model.take(seed, &log, &found);
}

#[test]
fn everything_acknowledged_survives_and_nothing_is_invented() {
    for seed in 0..1500 {
        run(seed);
    }
}
