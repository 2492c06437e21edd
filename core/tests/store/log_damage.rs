use trunkline_core::store::log::{LogPosition, OpenLogError, ReadLogError, SegmentName};
use trunkline_core::store::simulated::SimulatedDisk;

use crate::support::*;

/// Returns the files of a log of three opens, each of which starts a new segment.
pub(crate) fn log_files(closed: bool) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let disk = SimulatedDisk::new(1);
    let mut rest = &chain_from(start(), 9, 60)[..];
    for open_epoch in 1..=3 {
        let (mut log, recovery, _) = open_from(&disk, start(), 1200).unwrap();
        assert_eq!(recovery.open_epoch, open_epoch);
        let (now, later) = rest.split_at(3);
        for entry in now {
            log.append(entry).unwrap();
            log.sync().unwrap();
        }
        rest = later;
        if closed {
            log.close().unwrap();
        }
    }
    files(&disk)
}

/// Changes every bit pattern in turn, and returns the result of reading each time.
fn flip_each_byte(
    closed: bool,
    mut check: impl FnMut(SegmentName, usize, OpenResult<(trunkline_core::store::log::Survey, usize)>),
) {
    let whole = chain_from(start(), 9, 60);
    let files = log_files(closed);
    let disk = disk_with(&files);
    for (path, content) in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let Some(segment) = SegmentName::parse(&name) else {
            continue;
        };
        for offset in 0..content.len() {
            let bits = 1 << (offset % 8);
            assert!(disk.flip(path, offset, bits));
            let result = read(&disk, start()).map(|(survey, entries)| {
                assert_eq!(&entries[..], &whole[..entries.len()]);
                (survey, entries.len())
            });
            check(segment, offset, result);
            assert!(disk.flip(path, offset, bits));
        }
    }
    assert_eq!(read(&disk, start()).unwrap().1, whole);
}

fn named_segment(error: OpenLogError<std::convert::Infallible>) -> SegmentName {
    match error {
        OpenLogError::Log(
            ReadLogError::Damaged { segment, .. } | ReadLogError::Header { segment, .. },
        ) => segment,
        other => panic!("{other:?}"),
    }
}

#[test]
fn in_a_closed_log_every_flip_is_an_error_that_names_it_or_costs_nothing() {
    let mut errors = 0;
    flip_each_byte(true, |segment, _, result| match result {
        Ok((survey, entries)) => {
            // A clean close itself: either of an older segment (dead) or of the last one (torn).
            assert_eq!(entries, 9);
            assert!(survey.closed || survey.torn_bytes == 61);
        }
        Err(error) => {
            assert_eq!(named_segment(error), segment);
            errors += 1;
        }
    });
    assert!(errors > 3000, "{errors}");
}

#[test]
fn in_a_log_that_was_cut_off_only_the_last_version_can_be_lost_to_a_flip() {
    let mut cut = 0;
    flip_each_byte(false, |segment, _, result| match result {
        Ok((survey, entries)) if entries < 9 => {
            assert_eq!((entries, survey.torn_bytes > 0), (8, true));
            cut += 1;
        }
        Ok(_) => {}
        Err(error) => assert_eq!(named_segment(error), segment),
    });
    assert!(cut > 300, "{cut}");
}

#[test]
fn damage_is_named_to_the_byte_and_nothing_is_changed() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open_from(&disk, start(), 1 << 20).unwrap();
    let mut begins = Vec::new();
    for entry in chain_from(start(), 4, 60) {
        log.flush().unwrap();
        begins.push(files(&disk)[0].1.len());
        log.append(&entry).unwrap();
        log.sync().unwrap();
    }
    let path = files(&disk)[0].0.clone();
    for (index, begin) in begins[..3].iter().enumerate() {
        // First in the body, then in the mark, then in the length.
        for offset in [begin + 100, *begin, begin + 9] {
            disk.flip(&path, offset, 0x40);
            let before = files(&disk);
            let Err(OpenLogError::Log(ReadLogError::Damaged {
                offset: named,
                version,
                synced_version,
                ..
            })) = open(&disk)
            else {
                panic!("the damage was not seen");
            };
            assert_eq!((named as usize, version), (*begin, index as u64 + 1));
            assert_eq!(synced_version, 3);
            assert_eq!(files(&disk), before);
            disk.flip(&path, offset, 0x40);
        }
    }
}

#[test]
fn a_version_that_the_checkpoint_covers_is_never_a_torn_tail() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 2, 60);
    for entry in &entries {
        log.append(entry).unwrap();
    }
    log.sync().unwrap();
    let (path, content) = files(&disk).remove(0);
    disk.flip(&path, content.len() - 1, 1);
    assert_eq!(read(&disk, start()).unwrap().1, &entries[..1]);
    let checkpoint = LogPosition::of(&entries[1].record);
    assert!(matches!(
        read(&disk, checkpoint),
        Err(OpenLogError::Log(ReadLogError::Damaged { version: 2, .. }))
    ));
}
