use trunkline_core::store::log::LogPosition;
use trunkline_core::store::simulated::{DiskCall, Failure, Fault, SimulatedDisk};

use crate::support::*;

/// Returns a log of segments of about five versions, of which the first were trimmed and the last reuses the file of
/// one of them.
fn recycled(disk: &SimulatedDisk) -> (Vec<trunkline_core::store::log::LogEntry>, LogPosition) {
    let (mut log, ..) = open(disk).unwrap();
    let entries = chain_from(start(), 26, 700);
    for entry in &entries[..20] {
        log.append(entry).unwrap();
    }
    log.sync().unwrap();
    log.trim(15).unwrap();
    let spare = |name: &str| name.ends_with(".seg.tmp");
    let spares = || {
        let files = files(disk);
        files
            .iter()
            .filter(|(path, _)| spare(&path.to_string_lossy()))
            .count()
    };
    let before = spares();
    assert!(before > 0);
    for entry in &entries[20..] {
        log.append(entry).unwrap();
    }
    log.sync().unwrap();
    assert!(spares() < before);
    drop(log);
    (entries.clone(), LogPosition::of(&entries[14].record))
}

#[test]
fn what_the_file_held_before_is_no_part_of_the_log() {
    let disk = SimulatedDisk::new(1);
    let (entries, from) = recycled(&disk);
    let (survey, found) = read(&disk, from).unwrap();
    assert_eq!(found, &entries[15..]);
    assert!(survey.synced_version >= 20);
    assert!(survey.torn_bytes > 0);
}

#[test]
fn a_closed_log_ends_with_its_close_whatever_stands_behind() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 22, 700);
    for entry in &entries {
        log.append(entry).unwrap();
        log.sync().unwrap();
        log.trim(entry.record.version - 1).unwrap();
    }
    log.close().unwrap();
    let from = LogPosition::of(&entries[20].record);
    let (survey, found) = read(&disk, from).unwrap();
    assert_eq!(found, &entries[21..]);
    assert!(survey.closed);
    assert_eq!(survey.torn_bytes, 0);
    let names = segments(&disk).into_iter().map(|(path, _)| path);
    assert!(
        names
            .into_iter()
            .all(|path| path.extension().unwrap() == "seg")
    );
}

#[test]
fn files_of_an_earlier_opening_are_removed_and_not_written_over() {
    let disk = SimulatedDisk::new(1);
    let (entries, from) = recycled(&disk);
    let (mut log, ..) = open_from(&disk, from, 4096).unwrap();
    log.trim(26).unwrap();
    assert_eq!(segments(&disk).len(), 1);
    assert_eq!(log.last(), LogPosition::of(&entries[25].record));
}

#[test]
fn a_crash_within_recycling_leaves_the_old_log_or_the_new_one() {
    let calls = [
        DiskCall::Create,
        DiskCall::Rename,
        DiskCall::Append,
        DiskCall::Sync,
        DiskCall::SyncDirectory,
    ];
    for (seed, call) in (0..200).flat_map(|seed| calls.map(|call| (seed, call))) {
        let disk = SimulatedDisk::new(seed);
        let (mut log, ..) = open(&disk).unwrap();
        let entries = chain_from(start(), 30, 700);
        for entry in &entries[..20] {
            log.append(entry).unwrap();
        }
        log.sync().unwrap();
        log.trim(15).unwrap();
        disk.inject(Fault {
            call: Some(call),
            after: seed % 3,
            failure: Failure::PowerLoss,
            lasting: false,
        });
        let appended = entries[20..]
            .iter()
            .take_while(|entry| log.append(entry).is_ok() && log.sync().is_ok())
            .count();
        disk.crash(seed);
        let from = LogPosition::of(&entries[14].record);
        let (log, _, found) = open_from(&disk, from, 4096).unwrap();
        assert!(found.len() >= 5 + appended, "seed {seed}, {call:?}");
        assert_eq!(found, &entries[15..15 + found.len()]);
        assert_eq!(log.last().version, 15 + found.len() as u64);
    }
}
