//! Following a log that lost power while it was trimmed, with segments held for a cursor.

use std::path::Path;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::store::log::{
    CommitLog, FollowError, Held, LogEntry, LogFollower, LogPosition,
};
use trunkline_core::store::simulated::{Failure, Fault, SimulatedDisk};

use crate::support::*;

/// A log with its appended entries, and a cursor in it.
struct Followed {
    disk: SimulatedDisk,
    random: SmallRng,
    appended: Vec<LogEntry>,
    synced: u64,
    checkpoint: u64,
    cursor: u64,
}

impl Followed {
    fn new(seed: u64) -> Self {
        Self {
            disk: SimulatedDisk::new(seed),
            random: SmallRng::seed_from_u64(seed),
            appended: Vec::new(),
            synced: 0,
            checkpoint: 0,
            cursor: 0,
        }
    }

    fn position(&self, version: u64) -> LogPosition {
        match version {
            0 => start(),
            version => LogPosition::of(&self.appended[version as usize - 1].record),
        }
    }

    fn follower(&self, next: u64) -> LogFollower {
        LogFollower::new(Arc::new(self.disk.clone()), Path::new(LOG), TREE, next)
    }

    /// Opens the log, and checks that all synced entries are there.
    fn open(&mut self) -> CommitLog {
        let at = self.position(self.checkpoint);
        let (log, ..) = open_from(&self.disk, at, 4096).unwrap();
        let last = log.last().version;
        assert!(
            last >= self.synced,
            "{last} is the last, {} was synced",
            self.synced
        );
        self.appended.truncate(last as usize);
        self.synced = last;
        log
    }

    /// Appends, syncs, moves the cursor and trims until the power fails.
    fn work(&mut self, log: &mut CommitLog) -> Option<()> {
        loop {
            for _ in 0..self.random.random_range(1..12) {
                let bytes = self.random.random_range(0..1500);
                let entry = entry_after(log.last(), bytes, self.random.random());
                self.appended.push(entry.clone());
                log.append(&entry).ok()?;
            }
            self.synced = log.sync().ok()?;
            if self.random.random_ratio(1, 2) {
                self.checkpoint = self.random.random_range(self.checkpoint..=self.synced);
            }
            if self.random.random_ratio(1, 2) {
                self.cursor = self.random.random_range(self.cursor..=self.checkpoint);
            }
            let held = Held {
                after: self.cursor,
                bytes_max: 1 << 30,
            };
            log.trim_except(self.checkpoint, held).ok()?;
        }
    }

    /// Checks that every version is there or is a gap, and that all versions from the oldest one on are there.
    fn check(&self, log: &CommitLog) {
        let oldest = log.oldest_version();
        assert!(oldest <= self.cursor + 1, "the cursor's place was trimmed");
        for version in 1..oldest {
            let gap = self.follower(version).read_next();
            let Err(FollowError::Gap {
                oldest: Some(found),
                ..
            }) = gap
            else {
                panic!("version {version} of a log that begins with {oldest}: {gap:?}");
            };
            assert_eq!(found, oldest);
        }
        let mut follower = self.follower(oldest);
        for version in oldest..=self.synced {
            let entry = follower.read_next();
            let entry = entry
                .unwrap_or_else(|error| panic!("version {version}, from {oldest} on: {error}"));
            assert_eq!(entry, self.appended[version as usize - 1]);
        }
    }
}

#[test]
fn a_log_that_lost_power_while_it_was_trimmed_has_no_hole() {
    for seed in 0..1500 {
        println!("seed {seed}");
        let mut followed = Followed::new(seed);
        for _ in 0..4 {
            let mut log = followed.open();
            followed.check(&log);
            let after = followed.random.random_range(0..60);
            followed.disk.inject(Fault {
                call: None,
                after,
                failure: Failure::PowerLoss,
                lasting: true,
            });
            followed.work(&mut log);
            let seed = followed.random.random();
            followed.disk.crash(seed);
        }
        let log = followed.open();
        followed.check(&log);
    }
}
