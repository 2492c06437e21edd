//! A segment of the log, unchanged and with corrected marks and checksums.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use trunkline_core::hash::{Digest, FRAME};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, read_file, replace_file};
use trunkline_core::store::log::{
    CHECKSUM_BYTES, CommitLog, FRAME_HEADER_BYTES, LogEntry, LogOptions, LogPosition,
    SEGMENT_HEADER_BYTES, SegmentName,
};
use trunkline_core::store::simulated::SimulatedDisk;
use trunkline_testkit::counting::peak_of;

const TREE: Digest = [0x11; 32];
const LOG: &str = "log";
const SEGMENT: SegmentName = SegmentName {
    open_epoch: 1,
    first_version: 1,
};
/// Offset of the frames' salt in a segment's header.
const SALT_AT: usize = SEGMENT_HEADER_BYTES - CHECKSUM_BYTES - 32;

/// Reads a log of one segment. The first byte decides whether checksums are corrected.
pub fn log_frame(bytes: &[u8]) {
    let Some((&mode, segment)) = bytes.split_first() else {
        return;
    };
    let mut segment = segment.to_vec();
    if mode & 1 == 1 {
        seal(&mut segment);
    }
    let disk = SimulatedDisk::new(1);
    let path = Path::new(LOG).join(SEGMENT.to_string());
    disk.create_directory(Path::new(LOG))
        .expect("a disk in memory");
    replace_file(&disk, &path, &segment).expect("a disk in memory");
    let (_, peak) = peak_of(|| {
        let mut last = start();
        let each = |entry: LogEntry| {
            assert_eq!(entry.record.parent, last.commit_id);
            last = LogPosition::of(&entry.record);
            Ok::<(), Infallible>(())
        };
        CommitLog::read_only(&disk, Path::new(LOG), &TREE, start(), each)
    });
    let max = 64 * segment.len() + (2 << 20);
    assert!(peak <= max, "{} bytes took {peak} of memory", segment.len());
}

fn start() -> LogPosition {
    LogPosition::of(&CommitRecord::genesis(TREE))
}

/// Corrects the header's checksum, and the mark and checksum of every frame that the lengths lead to.
fn seal(segment: &mut [u8]) {
    let Some((header, mut frames)) = segment.split_at_mut_checked(SEGMENT_HEADER_BYTES) else {
        return;
    };
    let (body, checksum) = header.split_at_mut(SEGMENT_HEADER_BYTES - CHECKSUM_BYTES);
    checksum.copy_from_slice(&FRAME.hash(body));
    let salt = &header[SALT_AT..SALT_AT + 32];
    while let Some((head, _)) = frames.split_first_chunk_mut::<FRAME_HEADER_BYTES>() {
        let body_bytes = u32::from_le_bytes([head[9], head[10], head[11], head[12]]) as usize;
        let end = FRAME_HEADER_BYTES.saturating_add(body_bytes);
        let Some((frame, rest)) = frames.split_at_mut_checked(end) else {
            return;
        };
        let Some((checksum, rest)) = rest.split_first_chunk_mut::<CHECKSUM_BYTES>() else {
            return;
        };
        frame[..8].copy_from_slice(&salt[..8]);
        *checksum = FRAME.hash_parts(&[salt, frame]);
        frames = rest;
    }
}

/// Returns the only segment of a log of a few versions.
pub(crate) fn segment(entries: u64) -> Vec<u8> {
    let disk = SimulatedDisk::new(1);
    let options = LogOptions::new([0x22; 32]);
    let shared = Arc::new(disk.clone());
    let ignore = |_| Ok::<(), Infallible>(());
    let opened = CommitLog::open(shared, Path::new(LOG), TREE, start(), options, ignore);
    let (mut log, _) = opened.expect("a disk in memory");
    for version in 1..=entries {
        let last = log.last();
        let record = CommitRecord {
            version,
            parent: last.commit_id,
            ..CommitRecord::genesis(TREE)
        };
        let entry = LogEntry {
            record,
            kzg_root: (version % 2 == 0).then_some([0xc0; 48]),
            outcomes: "".into(),
            effects: "\x01\x09name\x03Ada".into(),
        };
        log.append(&entry).expect("a disk in memory");
        log.sync().expect("a disk in memory");
    }
    log.close().expect("a disk in memory");
    let path = Path::new(LOG).join(SEGMENT.to_string());
    read_file(&disk, &path, usize::MAX).expect("a disk in memory")
}
