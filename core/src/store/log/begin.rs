//! Beginning a new segment when a log is opened: the only writes of recovery.
//!
//! The order is such that a crash between any two steps leaves the old log or the new one: clear leftovers that never
//! got a name, write the new segment with the surviving commits, publish it, name it as the last one, and only then
//! remove the superseded segments. Not here: finding the survivors (`recover`).

use std::io;
use std::path::Path;

use super::last_segment;
use super::recover::{self, Location, Scanned, Survivors};
use super::segment::{SegmentHeader, SegmentWriter};
use super::{LogPosition, OpenLogError, SegmentName};
use crate::store::disk::{TEMPORARY_SUFFIX, parent_of};

/// Creates the directory if necessary, and clears it of segments that never got their names.
pub(super) fn prepare_directory<E: std::error::Error + 'static>(
    location: Location<'_>,
) -> Result<(), OpenLogError<E>> {
    let Location {
        disk, directory, ..
    } = location;
    let in_directory = |source| write_error(directory, source);
    disk.create_directory(directory).map_err(in_directory)?;
    disk.sync_directory(parent_of(directory))
        .map_err(in_directory)?;
    for name in disk.list(directory).map_err(in_directory)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            let path = directory.join(name);
            disk.remove(&path)
                .map_err(|source| write_error(&path, source))?;
        }
    }
    Ok(())
}

/// Begins the segment of a new epoch with the survivors after the last version known to be synced.
pub(super) fn begin_after<E: std::error::Error + 'static>(
    location: Location<'_>,
    scanned: &Scanned,
    open_epoch: u64,
    nonce: &[u8; 32],
) -> Result<SegmentWriter, OpenLogError<E>> {
    let mut survivors = Survivors::open(location, scanned)?;
    let before = match survivors.entry(0)? {
        None => scanned.survey.last,
        Some(first) => LogPosition {
            version: scanned.survey.synced_version,
            commit_id: first.record.parent,
        },
    };
    let header = SegmentHeader::after(&before, *location.tree_id, open_epoch, nonce);
    let path = location.path_of(header.name);
    let write = |source| write_error(&path, source);
    let mut writer =
        SegmentWriter::create(location.disk, location.directory, header).map_err(write)?;
    let mut index = 0;
    let mut frame = Vec::new();
    while let Some(entry) = survivors.entry(index)? {
        frame.clear();
        let salt = header.frame_salt();
        salt.put_commit(&entry, scanned.survey.synced_version, &mut frame);
        writer.write(&frame).map_err(write)?;
        index += 1;
    }
    writer.publish(location.disk).map_err(write)?;
    let Location {
        disk,
        directory,
        tree_id,
    } = location;
    last_segment::write(disk, directory, tree_id, header.name)
        .map_err(|source| write_error(&last_segment::path_in(directory), source))?;
    Ok(writer)
}

/// Removes the segments without valid content, and returns the others.
pub(super) fn remove_dead<E: std::error::Error + 'static>(
    location: Location<'_>,
    older: &[SegmentName],
    active: SegmentName,
) -> Result<Vec<SegmentName>, OpenLogError<E>> {
    let mut segments = older.to_vec();
    segments.push(active);
    let ranges = recover::ranges(&segments);
    let mut alive = Vec::with_capacity(segments.len());
    for (segment, range) in segments.into_iter().zip(ranges) {
        if !range.is_empty() {
            alive.push(segment);
            continue;
        }
        let path = location.path_of(segment);
        location
            .disk
            .remove(&path)
            .map_err(|source| write_error(&path, source))?;
    }
    Ok(alive)
}

fn write_error<E: std::error::Error + 'static>(path: &Path, source: io::Error) -> OpenLogError<E> {
    OpenLogError::Write {
        path: path.to_owned(),
        source,
    }
}
