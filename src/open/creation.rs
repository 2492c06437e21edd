//! Creating a tree such that an unfinished one can be distinguished from one that has lost a part.
//!
//! The tree file is written last: after the first segment of the log and the checkpoint manifest of version 0. A
//! directory with a tree file therefore has both, or they were lost. Without a tree file, it may contain only the
//! remains of an interrupted creation; no version has been written then.

use std::io;
use std::path::Path;

use trunkline_actors::adaptive::decision_log::DECISIONS_FILE;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, if_present};
use trunkline_core::store::feed_cursors::CURSORS_FILE;
use trunkline_core::store::history_file::HISTORY_FILE;
use trunkline_core::store::idempotency_file::IDEMPOTENCY_FILE;
use trunkline_core::store::key_order_file::KEY_ORDER_FILE;
use trunkline_core::store::leaves::LEAVES_DIRECTORY;
use trunkline_core::store::lock::LOCK_FILE;
use trunkline_core::store::log::{
    LAST_SEGMENT_FILE, LOG_DIRECTORY, SEGMENT_HEADER_BYTES, SegmentName,
};
use trunkline_core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};
use trunkline_core::store::pages_file::PAGES_FILE;
use trunkline_core::store::replica_file::REPLICA_FILE;
use trunkline_core::store::tree_file;

use super::kzg_tables::TABLES_FILE;
use crate::error::OpenError;

/// The beginning of the names of all directories that are derived from the leaf store.
const LEAVES_PREFIX: &str = "LEAVES-";
/// The beginning of the names of copies of the leaf store.
pub(crate) const COPY_PREFIX: &str = "LEAVES-COPY-";
/// The name of a leaf store that a repair builds.
pub(crate) const REBUILT_LEAVES: &str = "LEAVES-REBUILT";
/// The end of the names of parts that a repair replaced, before a number.
pub(crate) const DAMAGED_SUFFIX: &str = "-DAMAGED-";
/// The name of a leaf store that a repair replaced, before [`DAMAGED_SUFFIX`].
#[cfg(feature = "fjall")]
pub(crate) const DAMAGED_LEAVES: &str = "LEAVES";

/// Parts that an interrupted creation may leave.
const EARLY_PARTS: [&str; 10] = [
    LOCK_FILE,
    LOG_DIRECTORY,
    LEAVES_DIRECTORY,
    CHECKPOINT_FILE,
    "CHECKPOINT.tmp",
    REPLICA_FILE,
    "REPLICA.tmp",
    KEY_ORDER_FILE,
    "KEY-ORDER.tmp",
    "TREE.tmp",
];

/// Parts that are only written after the tree file.
const LATE_PARTS: [&str; 6] = [
    HISTORY_FILE,
    PAGES_FILE,
    IDEMPOTENCY_FILE,
    TABLES_FILE,
    DECISIONS_FILE,
    CURSORS_FILE,
];

/// The only segment that an interrupted creation may leave. It has no frame.
const FIRST_SEGMENT: SegmentName = SegmentName {
    open_epoch: 1,
    first_version: 1,
};

/// The content of a directory without a tree file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// Nothing, or the remains of an interrupted creation.
    Unfinished,
    /// Files that do not belong to a tree.
    Foreign,
    /// A tree without its tree file.
    Tree,
}

/// Classifies the names in a directory without a tree file.
pub(super) fn by_names(names: &[String], log_names: &[String]) -> Remains {
    let is_late = |name: &String| {
        LATE_PARTS.iter().any(|part| name.starts_with(part)) || name.starts_with(LEAVES_PREFIX)
    };
    let is_early = |name: &String| EARLY_PARTS.contains(&name.as_str());
    let is_segment = |name: &String| {
        let finished = name.strip_suffix(".tmp").unwrap_or(name);
        finished.starts_with(LAST_SEGMENT_FILE) || SegmentName::parse(finished).is_some()
    };
    let is_of_a_tree = |name: &String| is_early(name) || is_late(name);
    if !names.iter().all(is_of_a_tree) || !log_names.iter().all(is_segment) {
        return Remains::Foreign;
    }
    match names.iter().any(is_late) {
        true => Remains::Tree,
        false => Remains::Unfinished,
    }
}

/// Classifies the content of a directory without a tree file.
pub(super) fn remains(disk: &dyn Disk, directory: &Path) -> Result<Remains, OpenError> {
    let log = directory.join(LOG_DIRECTORY);
    let names = list(disk, directory).map_err(unusable(directory))?;
    let log_names = list(disk, &log).map_err(unusable(&log))?;
    let by_names = by_names(&names, &log_names);
    if by_names != Remains::Unfinished {
        return Ok(by_names);
    }
    let is_tree = has_checkpoint(disk, directory)?
        || has_version(disk, &log, &log_names).map_err(unusable(&log))?;
    Ok(match is_tree {
        true => Remains::Tree,
        false => Remains::Unfinished,
    })
}

/// Removes the remains of an interrupted creation in the log. The rest is overwritten.
pub(super) fn clear(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    let log = directory.join(LOG_DIRECTORY);
    let names = list(disk, &log).map_err(unusable(&log))?;
    for name in names {
        let path = log.join(name);
        disk.remove(&path).map_err(unusable(&path))?;
    }
    Ok(())
}

/// Completes the creation of a tree whose log has its first segment.
pub(super) fn complete(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
) -> Result<(), OpenError> {
    CheckpointManifest::genesis(params.tree_id())
        .write(disk, directory)
        .and_then(|()| tree_file::create(disk, directory, params))
        .map_err(unusable(directory))
}

/// Returns the error for a directory that could not be used.
pub(crate) fn unusable(directory: &Path) -> impl Fn(io::Error) -> OpenError {
    |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    }
}

/// Returns the error for a directory that has lost a part.
pub(super) fn missing(directory: &Path, part: &str) -> OpenError {
    OpenError::Missing {
        path: directory.join(part),
    }
}

/// Lists a directory; one that does not exist has no names.
pub(super) fn list(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<String>> {
    match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn has_checkpoint(disk: &dyn Disk, directory: &Path) -> Result<bool, OpenError> {
    let manifest = if_present(CheckpointManifest::read(disk, directory))?;
    Ok(manifest.is_some_and(|manifest| manifest.record.version > 0 || manifest.intent.is_some()))
}

/// Returns whether a log has more than a first segment without frames.
fn has_version(disk: &dyn Disk, log: &Path, names: &[String]) -> io::Result<bool> {
    for segment in names.iter().filter_map(|name| SegmentName::parse(name)) {
        let path = log.join(segment.to_string());
        let bytes = disk.open(&path)?.length()?;
        if segment != FIRST_SEGMENT || bytes != SEGMENT_HEADER_BYTES as u64 {
            return Ok(true);
        }
    }
    Ok(false)
}
