//! An examination reports the faults for which opening refuses, and continues after the first one.

use std::path::{Path, PathBuf};

use trunkline_core::store::disk::Disk;
use trunkline_core::store::log::{
    CommitLog, Examined, LogEvent, LogFault, LogPosition, OpenLogError, ReadLogError, SegmentName,
};
use trunkline_core::store::simulated::SimulatedDisk;

use crate::log_damage::log_files;
use crate::support::*;

/// The result of an examination: versions, with whether they follow, and faults.
struct Seen {
    versions: Vec<(u64, bool)>,
    faults: Vec<LogFault>,
    examined: Examined,
}

fn examine(disk: &SimulatedDisk, from: Option<LogPosition>) -> Seen {
    let (mut versions, mut faults) = (Vec::new(), Vec::new());
    let examined = CommitLog::examine(
        disk,
        Path::new(LOG),
        &TREE,
        from,
        &mut |event| match event {
            LogEvent::Entry { entry, follows } => versions.push((entry.record.version, follows)),
            LogEvent::Fault(fault) => faults.push(fault),
        },
    );
    Seen {
        versions,
        faults,
        examined,
    }
}

fn compare_with_opening(disk: &SimulatedDisk, from: LogPosition) {
    let seen = examine(disk, Some(from));
    match read(disk, from) {
        Ok((survey, _)) => {
            assert!(seen.faults.is_empty(), "{:?}", seen.faults);
            let Examined {
                segments,
                last,
                torn_bytes,
                closed,
                ..
            } = seen.examined;
            assert_eq!(last, Some(survey.last));
            assert_eq!(
                (torn_bytes, closed, segments),
                (survey.torn_bytes, survey.closed, survey.segments)
            );
        }
        Err(OpenLogError::Log(error)) => {
            let first = &seen.faults.first().expect("opening refuses it").error;
            assert_eq!(format!("{first:?}"), format!("{error:?}"));
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(LOG)).unwrap();
    let segments = names
        .iter()
        .filter(|name| SegmentName::parse(name).is_some());
    segments.map(|name| Path::new(LOG).join(name)).collect()
}

#[test]
fn the_first_fault_is_the_one_that_opening_names() {
    for closed in [true, false] {
        let files = log_files(closed);
        let disk = disk_with(&files);
        compare_with_opening(&disk, start());
        for (path, content) in &files {
            for offset in 0..content.len() {
                assert!(disk.flip(path, offset, 1 << (offset % 8)));
                compare_with_opening(&disk, start());
                assert!(disk.flip(path, offset, 1 << (offset % 8)));
            }
            let others: Vec<_> = files
                .iter()
                .filter(|(other, _)| other != path)
                .cloned()
                .collect();
            compare_with_opening(&disk_with(&others), start());
            for length in (0..content.len()).step_by(7) {
                let mut cut = others.clone();
                cut.push((path.clone(), content[..length].to_vec()));
                compare_with_opening(&disk_with(&cut), start());
            }
        }
    }
}

#[test]
fn reading_continues_behind_each_fault() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open_from(&disk, start(), 1 << 20).unwrap();
    let mut begins = Vec::new();
    for entry in chain_from(start(), 7, 60) {
        log.flush().unwrap();
        begins.push(files(&disk)[0].1.len());
        log.append(&entry).unwrap();
    }
    log.close().unwrap();
    let path = segments(&disk).remove(0);
    // Within version 2, and from within version 4 to within version 5.
    for offset in [begins[1] + 50, begins[3] + 50, begins[4] + 50] {
        disk.flip(&path, offset, 1);
    }
    let seen = examine(&disk, Some(start()));
    let expected = [(1, true), (3, false), (6, false), (7, true)];
    assert_eq!(seen.versions, expected);
    let places = seen.faults.iter().map(|fault| match fault.error {
        ReadLogError::Damaged {
            offset, version, ..
        } => (offset, version, fault.lost.clone().unwrap()),
        ref error => panic!("{error}"),
    });
    let expected = [(1, 2..=2), (3, 4..=5)]
        .map(|(index, lost)| (begins[index] as u64, index as u64 + 1, lost));
    assert_eq!(places.collect::<Vec<_>>(), expected);
    assert!(seen.examined.closed);
}

#[test]
fn what_opening_does_not_read_is_examined() {
    let files = log_files(true);
    let disk = disk_with(&files);
    let whole = chain_from(start(), 9, 60);
    let from = LogPosition::of(&whole[7].record);
    assert!(examine(&disk, Some(from)).faults.is_empty());
    let first = segments(&disk).remove(0);
    disk.flip(&first, 200, 1);
    assert!(read(&disk, from).is_ok());
    let seen = examine(&disk, Some(from));
    assert_eq!(seen.faults.len(), 1);
    assert_eq!(seen.faults[0].lost, Some(1..=1));
    // A segment that trimming removed is not a gap, wherever it was.
    disk.remove(&segments(&disk)[1]).unwrap();
    disk.flip(&first, 200, 1);
    assert!(examine(&disk, Some(from)).faults.is_empty());
}

#[test]
fn without_a_checkpoint_the_log_is_compared_with_itself_alone() {
    let disk = disk_with(&log_files(true));
    let seen = examine(&disk, None);
    assert!(seen.faults.is_empty());
    assert!(seen.versions.iter().all(|(_, follows)| *follows));
    disk.remove(&segments(&disk)[0]).unwrap();
    assert!(examine(&disk, None).faults.is_empty());
    assert!(!examine(&disk, Some(start())).faults.is_empty());
}
