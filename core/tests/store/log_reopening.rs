use std::convert::Infallible;
use std::sync::Arc;

use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::log::{
    AppendError, CommitLog, LOG_DIRECTORY, Link, LogEntry, LogPosition, OpenLogError, ReadLogError,
};
use trunkline_core::store::simulated::SimulatedDisk;

use crate::support::*;

fn written(disk: &SimulatedDisk, count: usize) -> Vec<LogEntry> {
    let (mut log, ..) = open(disk).unwrap();
    let entries = chain_from(start(), count, 700);
    for entry in &entries {
        log.append(entry).unwrap();
    }
    assert_eq!(log.sync().unwrap(), count as u64);
    log.close().unwrap();
    entries
}

#[test]
fn entries_come_back_in_order_across_segments() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    assert!(files(&disk).len() > 3);
    let (log, recovery, found) = open(&disk).unwrap();
    assert_eq!(found, entries);
    assert_eq!(log.last(), LogPosition::of(&entries[19].record));
    assert_eq!((recovery.open_epoch, recovery.rewritten_versions), (2, 0));
    assert!(recovery.survey.closed);
}

#[test]
fn bytes_after_the_checkpoint_are_counted_in_whichever_opening_they_were_written() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    let bytes = |from| open_from(&disk, from, 4096).unwrap().0.bytes();
    let all = bytes(start());
    assert!(all > 20 * 700 && all < 20 * 1500, "{all}");
    let half = bytes(LogPosition::of(&entries[9].record));
    assert!(half > 0 && half < all);
    let last = LogPosition::of(&entries[19].record);
    let (mut log, ..) = open_from(&disk, last, 4096).unwrap();
    assert_eq!(log.bytes(), 0);
    let next = &chain_from(last, 1, 700)[0];
    let head = next.head();
    let appended = log.append_with(&head, |out| {
        out.extend_from_slice(&next.effects);
        Ok::<_, Infallible>(())
    });
    assert_eq!(appended.unwrap() as u64, log.bytes());
}

#[test]
fn only_entries_after_the_checkpoint_are_visited() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    for checkpoint in [1, 7, 19, 20] {
        let from = LogPosition::of(&entries[checkpoint - 1].record);
        assert_eq!(read(&disk, from).unwrap().1, &entries[checkpoint..]);
    }
}

#[test]
fn opening_and_closing_again_and_again_leaves_no_heap_of_segments() {
    let disk = SimulatedDisk::new(1);
    for epoch in 1..10 {
        let (log, recovery, _) = open(&disk).unwrap();
        assert_eq!(recovery.open_epoch, epoch);
        log.close().unwrap();
        assert_eq!(segments(&disk).len(), 1);
    }
}

#[test]
fn trimmed_versions_are_gone_and_the_rest_is_there() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    let (mut log, ..) = open(&disk).unwrap();
    let before = files(&disk).len();
    log.trim(13).unwrap();
    assert!(files(&disk).len() < before);
    log.close().unwrap();
    let from = LogPosition::of(&entries[12].record);
    assert_eq!(read(&disk, from).unwrap().1, &entries[13..]);
    let from_start = read(&disk, start()).unwrap_err();
    assert!(matches!(
        from_start,
        OpenLogError::Log(ReadLogError::Gap { expected: 1, .. })
    ));
}

#[test]
fn trimming_everything_leaves_the_segment_being_written() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    let (mut log, ..) = open(&disk).unwrap();
    log.trim(u64::MAX).unwrap();
    assert_eq!(segments(&disk).len(), 1);
    log.close().unwrap();
    let last = LogPosition::of(&entries[19].record);
    assert_eq!(read(&disk, last).unwrap().0.last, last);
}

#[test]
fn a_log_that_lacks_a_file_is_refused() {
    let disk = SimulatedDisk::new(1);
    written(&disk, 20);
    let all = files(&disk);
    let without = |missing: usize| {
        let mut rest = all.clone();
        rest.remove(missing);
        match open(&disk_with(&rest)) {
            Err(OpenLogError::Log(error)) => error,
            _ => panic!("a log without a part was opened"),
        }
    };
    let last = segments(&disk).len() - 1;
    for missing in 0..last {
        assert!(matches!(without(missing), ReadLogError::Gap { .. }));
    }
    assert!(matches!(without(last), ReadLogError::LastSegment { .. }));
    let error = without(last + 1);
    assert!(matches!(error, ReadLogError::LastSegmentFile { .. }));
}

#[test]
fn a_damaged_name_of_the_last_segment_is_an_error() {
    let disk = SimulatedDisk::new(1);
    written(&disk, 3);
    let (path, content) = files(&disk).pop().unwrap();
    for offset in 0..content.len() {
        disk.flip(&path, offset, 1);
        let Err(OpenLogError::Log(error)) = open(&disk) else {
            panic!("byte {offset}: the log was opened");
        };
        assert!(matches!(error, ReadLogError::ReadLastSegment(_)));
        disk.flip(&path, offset, 1);
    }
}

#[test]
fn a_checkpoint_that_the_log_does_not_reach_is_an_error() {
    let disk = SimulatedDisk::new(1);
    let entries = written(&disk, 20);
    let last = LogPosition::of(&entries[19].record);
    let error = |disk: &SimulatedDisk, from| match open_from(disk, from, 4096) {
        Err(OpenLogError::Log(error)) => error,
        _ => panic!("the log was opened"),
    };
    assert!(matches!(
        error(&SimulatedDisk::new(1), last),
        ReadLogError::Missing { checkpoint: 20 }
    ));
    let mut short = files(&disk);
    short.remove(short.len() - 2);
    assert!(matches!(
        error(&disk_with(&short), last),
        ReadLogError::Behind { checkpoint: 20, .. }
    ));
    let elsewhere = LogPosition {
        version: 7,
        commit_id: [0; 32],
    };
    assert!(matches!(
        error(&disk, elsewhere),
        ReadLogError::OtherHistory { version: 7 }
    ));
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let next = entry_after(start(), 5, 1);
    let mut far = next.clone();
    far.record.version = 2;
    let mut orphan = next.clone();
    orphan.record.parent = [0; 32];
    let mut foreign = next.clone();
    foreign.record.tree_id = [0; 32];
    let cases = [
        (far, Link::Version),
        (orphan, Link::Parent),
        (foreign, Link::Tree),
    ];
    for (entry, expected) in cases {
        let (mut log, ..) = open(&SimulatedDisk::new(1)).unwrap();
        let Err(AppendError::Chain { link, .. }) = log.append(&entry) else {
            panic!("the entry was appended");
        };
        assert_eq!(link, expected);
    }
    let mut wordy = next;
    wordy.record.metadata = vec![0; 257];
    let (mut log, ..) = open(&SimulatedDisk::new(1)).unwrap();
    assert!(matches!(
        log.append(&wordy),
        Err(AppendError::TooLong { version: 1 })
    ));
}

#[test]
fn the_same_holds_on_files_of_the_operating_system() {
    let directory = tempfile::tempdir().unwrap();
    let log_directory = directory.path().join(LOG_DIRECTORY);
    let open = |from| {
        let mut found = Vec::new();
        let keep = |entry| {
            found.push(entry);
            Ok::<(), Infallible>(())
        };
        let disk = Arc::new(OsDisk);
        let (log, _) =
            CommitLog::open(disk, &log_directory, TREE, from, options(4096), keep).unwrap();
        (log, found)
    };
    let entries = chain_from(start(), 20, 700);
    let (mut log, _) = open(start());
    for entry in &entries {
        log.append(entry).unwrap();
    }
    log.sync().unwrap();
    // There is no clean close: the next open repeats the tail in its own segment.
    drop(log);
    let (mut log, found) = open(start());
    assert_eq!(found, entries);
    log.trim(10).unwrap();
    log.close().unwrap();
    let from = LogPosition::of(&entries[9].record);
    let (log, found) = open(from);
    assert_eq!((log.open_epoch(), &found[..]), (3, &entries[10..]));
    assert!(OsDisk.list(&log_directory).unwrap().len() < 7);
}
