use trunkline_core::store::log::{AppendError, LogWriteError};
use trunkline_core::store::simulated::{DiskCall, Failure, Fault, SimulatedDisk};

use crate::support::*;

fn fail_next(disk: &SimulatedDisk, call: DiskCall, failure: Failure) {
    disk.inject(Fault {
        call: Some(call),
        after: 0,
        failure,
        lasting: false,
    });
}

#[test]
fn after_a_failed_sync_every_call_says_poisoned() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 2, 10);
    log.append(&entries[0]).unwrap();
    fail_next(&disk, DiskCall::Sync, Failure::Error);
    assert!(matches!(log.sync(), Err(LogWriteError::Io { .. })));
    assert!(matches!(log.sync(), Err(LogWriteError::Poisoned)));
    assert!(matches!(log.flush(), Err(LogWriteError::Poisoned)));
    assert!(matches!(log.trim(0), Err(LogWriteError::Poisoned)));
    assert!(matches!(
        log.append(&entries[1]),
        Err(AppendError::Write(LogWriteError::Poisoned))
    ));
    assert!(matches!(log.close(), Err(LogWriteError::Poisoned)));
}

#[test]
fn a_full_disk_and_a_refused_entry_poison_the_log() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    log.append(&entry_after(start(), 10, 1)).unwrap();
    fail_next(&disk, DiskCall::Append, Failure::NoSpace);
    assert!(matches!(log.flush(), Err(LogWriteError::Io { .. })));
    assert!(matches!(log.sync(), Err(LogWriteError::Poisoned)));

    let (mut log, ..) = open(&SimulatedDisk::new(1)).unwrap();
    let far = entry_after(
        trunkline_core::store::log::LogPosition {
            version: 5,
            ..start()
        },
        1,
        1,
    );
    assert!(matches!(log.append(&far), Err(AppendError::Chain { .. })));
    assert!(matches!(log.sync(), Err(LogWriteError::Poisoned)));
}

/// A close that is on disk states that everything before it is too, so it must not get there first.
#[test]
fn power_that_goes_during_a_close_leaves_a_torn_tail_and_no_damage() {
    for seed in 0..256 {
        let disk = SimulatedDisk::new(seed);
        let (mut log, ..) = open(&disk).unwrap();
        let entries = chain_from(start(), 3, 700);
        for entry in &entries {
            log.append(entry).unwrap();
        }
        disk.inject(Fault {
            call: Some(DiskCall::Sync),
            after: seed % 2,
            failure: Failure::PowerLoss,
            lasting: false,
        });
        log.close().unwrap_err();
        disk.crash(seed);
        let found = open(&disk).unwrap().2;
        assert_eq!(found, &entries[..found.len()]);
        assert!(seed % 2 == 0 || found.len() == 3);
    }
}

/// The pages of a failed sync can be read from the cache but are on no disk. Recovery in the same boot must write them
/// again, instead of syncing the old file again.
#[test]
fn what_a_failed_sync_left_is_written_again_before_it_counts() {
    for seed in 0..64 {
        let disk = SimulatedDisk::new(seed);
        let (mut log, ..) = open(&disk).unwrap();
        let entries = chain_from(start(), 3, 700);
        log.append(&entries[0]).unwrap();
        log.sync().unwrap();
        log.append(&entries[1]).unwrap();
        log.append(&entries[2]).unwrap();
        fail_next(&disk, DiskCall::Sync, Failure::Error);
        log.sync().unwrap_err();
        let (log, recovery, found) = open(&disk).unwrap();
        assert_eq!(found, entries);
        // The second frame itself shows the first version as synced.
        assert_eq!(recovery.rewritten_versions, 2);
        assert_eq!(log.synced_version(), 3);
        disk.crash(seed);
        assert_eq!(open(&disk).unwrap().2, entries);
    }
}
