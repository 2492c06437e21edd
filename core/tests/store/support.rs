//! Entries, logs on a simulated disk, and shared checks.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, read_file, replace_file};
use trunkline_core::store::log::{
    CommitLog, LAST_SEGMENT_FILE, LogEntry, LogOptions, LogPosition, OpenLogError, Recovery, Survey,
};
use trunkline_core::store::simulated::SimulatedDisk;

pub(crate) const TREE: Digest = [0x11; 32];
pub(crate) const NONCE: [u8; 32] = [0x22; 32];
pub(crate) const LOG: &str = "log";

pub(crate) type OpenResult<T> = Result<T, OpenLogError<Infallible>>;

pub(crate) fn start() -> LogPosition {
    LogPosition::of(&CommitRecord::genesis(TREE))
}

/// Returns an entry that continues from `last`, with distinct effects of `bytes` bytes.
pub(crate) fn entry_after(last: LogPosition, bytes: usize, tag: u8) -> LogEntry {
    let record = CommitRecord {
        version: last.version + 1,
        parent: last.commit_id,
        first_sequence: last.version + 1,
        last_sequence: last.version + 1,
        state_digest: [tag; 32],
        ..CommitRecord::genesis(TREE)
    };
    LogEntry {
        kzg_root: tag.is_multiple_of(2).then_some([tag; 48]),
        outcomes: Bytes::from(vec![tag; 73]),
        effects: Bytes::from(vec![tag; bytes]),
        record,
    }
}

/// Returns `count` successive entries.
pub(crate) fn chain_from(mut last: LogPosition, count: usize, bytes: usize) -> Vec<LogEntry> {
    (0..count)
        .map(|index| {
            let entry = entry_after(last, bytes, index as u8 + 1);
            last = LogPosition::of(&entry.record);
            entry
        })
        .collect()
}

pub(crate) fn options(segment_bytes_max: u64) -> LogOptions {
    LogOptions {
        segment_bytes_max,
        ..LogOptions::new(NONCE)
    }
}

pub(crate) type Opened = (CommitLog, Recovery, Vec<LogEntry>);

pub(crate) fn open_from(
    disk: &SimulatedDisk,
    from: LogPosition,
    segment_bytes_max: u64,
) -> OpenResult<Opened> {
    let mut entries = Vec::new();
    let (log, recovery) = CommitLog::open(
        Arc::new(disk.clone()),
        Path::new(LOG),
        TREE,
        from,
        options(segment_bytes_max),
        |entry| {
            entries.push(entry);
            Ok(())
        },
    )?;
    Ok((log, recovery, entries))
}

pub(crate) fn open(disk: &SimulatedDisk) -> OpenResult<Opened> {
    open_from(disk, start(), 4096)
}

pub(crate) fn read(disk: &SimulatedDisk, from: LogPosition) -> OpenResult<(Survey, Vec<LogEntry>)> {
    let mut entries = Vec::new();
    let survey = CommitLog::read_only(disk, Path::new(LOG), &TREE, from, |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok((survey, entries))
}

/// Returns the files of the log with their content.
pub(crate) fn files(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(Path::new(LOG)).unwrap();
    names
        .into_iter()
        .map(|name| {
            let path = Path::new(LOG).join(name);
            let content = read_file(disk, &path, usize::MAX).unwrap();
            (path, content)
        })
        .collect()
}

/// Returns the segments of the log with their content, including those under temporary names.
pub(crate) fn segments(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files(disk);
    files.retain(|(path, _)| !path.ends_with(LAST_SEGMENT_FILE));
    files
}

/// Returns a disk with these files of a log.
pub(crate) fn disk_with(files: &[(PathBuf, Vec<u8>)]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.create_directory(Path::new(LOG)).unwrap();
    for (path, content) in files {
        replace_file(&disk, path, content).unwrap();
    }
    disk
}
