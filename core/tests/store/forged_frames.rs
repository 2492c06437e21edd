use trunkline_core::store::log::SEGMENT_HEADER_BYTES;
use trunkline_core::store::simulated::SimulatedDisk;

use crate::support::*;

/// A client that knows the format, and an older segment byte for byte, puts a frame that claims
/// "all is synced" into a value. When that value's frame is torn, the claim must not turn the torn
/// tail into damage.
#[test]
fn a_frame_of_another_segment_inside_a_torn_value_shows_nothing() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entries = chain_from(start(), 2, 60);
    log.append(&entries[0]).unwrap();
    log.close().unwrap();
    let closed = segments(&disk).remove(0).1;

    let (mut log, ..) = open(&disk).unwrap();
    let mut bait = entries[1].clone();
    bait.effects = closed[SEGMENT_HEADER_BYTES..].to_vec().into();
    log.append(&bait).unwrap();
    log.sync().unwrap();
    let (path, content) = segments(&disk).pop().unwrap();
    disk.flip(&path, content.len() - 1, 1);
    assert_eq!(open(&disk).unwrap().2, &entries[..1]);
}
