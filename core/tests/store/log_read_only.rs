use trunkline_core::store::simulated::SimulatedDisk;

use crate::support::*;

#[test]
fn a_live_log_can_be_read_without_a_single_change() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 12, 700);
    for entry in &entries {
        log.append(entry).unwrap();
        log.flush().unwrap();
        let calls = disk.calls();
        let (survey, found) = read(&disk, start()).unwrap();
        assert_eq!(found, &entries[..found.len()]);
        assert_eq!(survey.last.version, entry.record.version);
        assert!(!survey.closed);
        assert_eq!(disk.calls(), calls);
    }
}

#[test]
fn a_log_that_is_not_there_is_not_made() {
    let disk = SimulatedDisk::new(1);
    let (survey, found) = read(&disk, start()).unwrap();
    assert_eq!((survey.last, found.len()), (start(), 0));
    assert_eq!(disk.calls(), 0);
}
