//! A follower reads the entries of a log while its owner writes, trims and reopens it.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use trunkline_core::store::log::{
    CommitLog, FRAME_HEADER_BYTES, FollowError, Held, LogEntry, LogFollower, LogPosition,
    ReadLogError, SEGMENT_HEADER_BYTES, SegmentName,
};
use trunkline_core::store::simulated::SimulatedDisk;

use crate::support::*;

fn follower(disk: &SimulatedDisk, next: u64) -> LogFollower {
    LogFollower::new(Arc::new(disk.clone()), Path::new(LOG), TREE, next)
}

fn append_synced(log: &mut CommitLog, entries: &[LogEntry]) {
    for entry in entries {
        log.append(entry).unwrap();
    }
    log.sync().unwrap();
}

#[test]
fn entries_are_read_as_they_are_synced_across_segments() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let mut follower = follower(&disk, 1);
    for entry in chain_from(start(), 40, 700) {
        append_synced(&mut log, std::slice::from_ref(&entry));
        assert_eq!(follower.read_next().unwrap(), entry);
    }
    assert!(segments(&disk).len() > 3);
}

#[test]
fn a_follower_can_begin_with_any_entry() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 20, 700);
    append_synced(&mut log, &entries);
    for (index, entry) in entries.iter().enumerate() {
        let mut follower = follower(&disk, index as u64 + 1);
        assert_eq!(follower.read_next().unwrap(), *entry);
        assert_eq!(follower.next_version(), index as u64 + 2);
    }
}

/// The second opening repeats the versions that nothing shows as synced, so versions are in two segments.
#[test]
fn entries_are_read_from_the_segment_that_counts() {
    let disk = SimulatedDisk::new(1);
    let entries = chain_from(start(), 12, 300);
    let (mut log, ..) = open(&disk).unwrap();
    append_synced(&mut log, &entries[..6]);
    drop(log);
    let (mut log, ..) = open(&disk).unwrap();
    append_synced(&mut log, &entries[6..9]);
    log.close().unwrap();
    let (mut log, ..) = open(&disk).unwrap();
    append_synced(&mut log, &entries[9..]);
    let mut follower = follower(&disk, 1);
    for entry in entries {
        assert_eq!(follower.read_next().unwrap(), entry);
    }
}

#[test]
fn what_was_trimmed_is_a_gap_that_names_the_oldest_entry() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 26, 700);
    append_synced(&mut log, &entries[..20]);
    let mut reader = follower(&disk, 1);
    assert_eq!(reader.read_next().unwrap(), entries[0]);
    log.trim(15).unwrap();
    append_synced(&mut log, &entries[20..]);
    let oldest = log.oldest_version();
    let gap = |error: FollowError, version: u64| match error {
        FollowError::Gap {
            wanted,
            oldest: found,
        } => {
            assert_eq!((wanted, found), (version, Some(oldest)));
        }
        other => panic!("{other}"),
    };
    // It may continue in the file that it has open until that is overwritten.
    let mut version = 2;
    let error = loop {
        match reader.read_next() {
            Ok(entry) => assert_eq!(entry, entries[version as usize - 1]),
            Err(error) => break error,
        }
        version += 1;
    };
    assert!(version <= oldest);
    gap(error, version);
    gap(follower(&disk, 3).read_next().unwrap_err(), 3);
    assert_eq!(
        follower(&disk, oldest).read_next().unwrap(),
        entries[oldest as usize - 1]
    );
}

#[test]
fn damage_is_told_apart_from_trimming() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 2, 300);
    append_synced(&mut log, &entries);
    let name = SegmentName {
        open_epoch: 1,
        first_version: 1,
    };
    let path = Path::new(LOG).join(name.to_string());
    assert!(disk.flip(&path, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 3, 1));
    let error = follower(&disk, 1).read_next().unwrap_err();
    let FollowError::Log(ReadLogError::Damaged {
        segment, version, ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((segment, version), (name, 1));
}

#[test]
fn held_segments_stay_up_to_the_bound() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    append_synced(&mut log, &chain_from(start(), 40, 700));
    let held = |after, bytes_max| Held { after, bytes_max };
    // Everything fits.
    let bytes = log.trim_except(30, held(0, 1 << 20)).unwrap();
    assert_eq!(log.oldest_version(), 1);
    assert!(bytes > 15_000, "{bytes}");
    // Two segments of about 4 KiB fit.
    let bytes = log.trim_except(30, held(0, 9000)).unwrap();
    let oldest = log.oldest_version();
    assert!(
        oldest > 10 && bytes <= 9000 && bytes > 4000,
        "{oldest} {bytes}"
    );
    // Only the segments after the cursor stay. The next segment is the one that the cursor needs; the oldest one is
    // not.
    let before = bytes;
    let bytes = log.trim_except(30, held(oldest + 4, 1 << 20)).unwrap();
    assert!(log.oldest_version() > oldest && log.oldest_version() <= oldest + 5);
    assert!(bytes > 0 && bytes < before);
    assert_eq!(log.trim_except(30, Held::default()).unwrap(), 0);
    assert!(log.oldest_version() > 20);
}

#[test]
fn a_log_can_begin_at_a_position_with_an_epoch_above_others() {
    let disk = SimulatedDisk::new(1);
    let at = LogPosition {
        version: 7,
        commit_id: [9; 32],
    };
    let found = CommitLog::new_at(Arc::new(disk.clone()), Path::new(LOG), TREE, at);
    let mut options = options(4096);
    options.open_epoch_min = 12;
    let (mut log, recovery) = found.begin::<std::convert::Infallible>(options).unwrap();
    assert_eq!((recovery.open_epoch, log.last()), (12, at));
    let entries = chain_from(at, 3, 100);
    append_synced(&mut log, &entries);
    drop(log);
    let (log, recovery, found) = open_from(&disk, at, 4096).unwrap();
    assert_eq!((recovery.open_epoch, found), (13, entries.clone()));
    assert_eq!(log.oldest_version(), 8);
    assert_eq!(follower(&disk, 8).read_next().unwrap(), entries[0]);
}

proptest! {
    /// Steps of an owner: the number of entries to append, and how far behind them to trim.
    #[test]
    fn a_follower_reads_what_was_appended_or_names_a_gap(
        steps in prop::collection::vec((1_usize..6, 0_u64..12, 50_usize..1500, any::<bool>()), 1..20),
        lag in 0_u64..8,
    ) {
        let disk = SimulatedDisk::new(1);
        let (mut log, ..) = open(&disk).unwrap();
        let mut all = Vec::new();
        let mut reader = follower(&disk, 1);
        let (mut last, mut checkpoint) = (start(), 0);
        for (count, behind, bytes, reopens) in steps {
            let entries = chain_from(last, count, bytes);
            append_synced(&mut log, &entries);
            last = LogPosition::of(&entries[count - 1].record);
            all.extend(entries);
            checkpoint = last.version.saturating_sub(behind).max(checkpoint);
            log.trim(checkpoint).unwrap();
            if reopens {
                drop(log);
                let at = match checkpoint {
                    0 => start(),
                    version => LogPosition::of(&all[version as usize - 1].record),
                };
                (log, ..) = open_from(&disk, at, 4096).unwrap();
            }
            while reader.next_version() + lag <= last.version {
                let wanted = reader.next_version();
                match reader.read_next() {
                    Ok(entry) => prop_assert_eq!(&entry, &all[wanted as usize - 1]),
                    Err(FollowError::Gap { wanted: missing, oldest }) => {
                        prop_assert_eq!(missing, wanted);
                        prop_assert_eq!(oldest, Some(log.oldest_version()));
                        prop_assert!(log.oldest_version() > wanted);
                        reader = follower(&disk, log.oldest_version());
                    }
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
    }
}
