//! Step 1 of opening: everything in the directory except the leaves is read and checked.

use std::path::Path;

use trunkline_actors::state::history::History;
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, if_present};
use trunkline_core::store::history_file::HistoryFile;
use trunkline_core::store::idempotency_file::{self, Remembered};
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, LogPosition};
use trunkline_core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};
use trunkline_core::store::tree_file::{self, ReadTreeFileError};

use super::creation::missing;
use super::pages::{self, FoundPages};
use crate::error::{OpenError, ReplayError};

/// The content of a directory, without its leaves and the entries of its log.
pub(crate) struct Found {
    pub(crate) marker: CheckpointManifest,
    pub(crate) history: History,
    /// The submissions with idempotency keys up to the checkpoint.
    pub(crate) remembered: Remembered,
    /// The last version of the log.
    pub(crate) newest: u64,
    /// The digests of the tree's pages, if they can be used.
    pub(crate) pages: Option<FoundPages>,
}

/// Returns the content for a tree that is about to be created.
pub(crate) fn nothing(params: &TreeParams) -> Found {
    let marker = CheckpointManifest::genesis(params.tree_id());
    Found {
        history: History::new(&marker, None),
        marker,
        remembered: Remembered::default(),
        newest: 0,
        pages: None,
    }
}

/// Reads and checks the checkpoint manifest, the log, the history file, the idempotency keys and the page digests.
pub(crate) fn find(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
) -> Result<Found, OpenError> {
    let marker = read_marker(disk, directory)?;
    let pages = pages::open(disk, directory, &marker)?;
    let of = pages.as_ref().map(|file| file.of().version);
    let (newest, record) = check_log(disk, directory, params, &marker, of)?;
    let pages = pages.zip(record);
    let history = HistoryFile::open(disk, directory, &marker)?;
    let remembered = idempotency_file::read(disk, directory, &marker)?;
    Ok(Found {
        history: History::new(&marker, history),
        marker,
        remembered,
        newest,
        pages: pages.and_then(|(file, record)| FoundPages::of(file, record)),
    })
}

/// Returns the checkpoint manifest of a directory.
fn read_marker(disk: &dyn Disk, directory: &Path) -> Result<CheckpointManifest, OpenError> {
    let manifest = if_present(CheckpointManifest::read(disk, directory))?;
    manifest.ok_or_else(|| missing(directory, CHECKPOINT_FILE))
}

/// Reads the log without replaying it, so that damage is reported before step 2 opens the leaf store, which writes.
/// Returns its last version, and the record of a requested one: that of the checkpoint, or a later one.
fn check_log(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
    marker: &CheckpointManifest,
    wanted: Option<u64>,
) -> Result<(u64, Option<CommitRecord>), OpenError> {
    let tree_id = params.tree_id();
    if marker.record.tree_id != tree_id {
        return Err(OpenError::OtherTree);
    }
    let from = LogPosition::of(&marker.record);
    let log = directory.join(LOG_DIRECTORY);
    let mut record = Some(marker.record.clone()).filter(|record| wanted == Some(record.version));
    let survey = CommitLog::read_only(disk, &log, &tree_id, from, |entry| {
        if wanted == Some(entry.record.version) {
            record = Some(entry.record);
        }
        Ok::<_, ReplayError>(())
    })?;
    if survey.segments.is_empty() {
        return Err(missing(directory, LOG_DIRECTORY));
    }
    let last = survey.last.version;
    match marker.intent.filter(|intent| last < *intent) {
        Some(intent) => Err(OpenError::LogEndsEarly { intent, last }),
        None => Ok((last, record)),
    }
}

/// Returns the parameters of the tree in a directory, or `None` if there is no tree yet.
pub(crate) fn read_params(
    disk: &dyn Disk,
    directory: &Path,
) -> Result<Option<TreeParams>, ReadTreeFileError> {
    if_present(tree_file::read(disk, directory))
}
