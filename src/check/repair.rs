//! Repairs damage whose content can be rebuilt from verified data.
//!
//! A repair works under the exclusive lock. A replaced file or directory stays next to the new one, under a name that
//! ends in `-DAMAGED-` and a number. New content is written under another name, synced, and renamed: after a crash the
//! same repair can be done again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_core::hash::Digest;
use trunkline_core::kzg::SetupError;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::history_file::{HISTORY_FILE, HistoryFileError};
#[cfg(feature = "fjall")]
use trunkline_core::store::leaves::LEAVES_DIRECTORY;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::{LAST_SEGMENT_FILE, LOG_DIRECTORY, ProvenSegment};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::pages_file::{self, PAGES_FILE};

use super::finding::{CheckReport, Finding, Part, Repair};
use super::history::CommitIds;
use super::{examine, log};
use crate::error::OpenError;
use crate::open::creation::{DAMAGED_SUFFIX, unusable};
use crate::open::kzg_tables::{self, TABLES_FILE, committer};

/// Most names that are tried for a replaced file.
const NAMES_MAX: u32 = 10_000;

/// The result of a repair. Returned by [`repair`].
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.shutdown_blocking()?;
/// let report = trunkline::repair(directory.path(), None)?;
/// assert!(report.done.is_empty() && report.after.is_sound());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RepairReport {
    /// Findings before the repair.
    pub before: CheckReport,
    /// Repairs, in the order in which they were made.
    pub done: Vec<Repaired>,
    /// Findings after the repair.
    pub after: CheckReport,
}

/// A repaired part.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.shutdown_blocking()?;
/// let tables = directory.path().join("KZG-TABLES");
/// std::fs::write(&tables, "?")?;
/// let report = trunkline::repair(directory.path(), None)?;
/// assert_eq!(report.done[0].path, tables);
/// assert!(report.after.is_sound());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The way in which it was repaired.
    pub repair: Repair,
    /// The file or directory.
    pub path: PathBuf,
    /// The path at which the replaced file or directory is kept.
    pub kept: Option<PathBuf>,
}

/// The reason why a repair was not done, or not finished. Repair again: nothing was lost.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let refused = trunkline::repair(directory.path(), None).unwrap_err();
/// assert!(refused.to_string().ends_with("has the tree open; close it first"));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory could not be checked.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be written, renamed or removed.
    #[error("{} could not be written; check space and permissions, then repair again", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The history file could not be written.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The new leaf store could not be written.
    #[error(
        "the new leaf store could not be written; check space and permissions, then repair again"
    )]
    Leaves(#[from] LeafStoreError),
    /// The new leaf store does not have the state of the checkpoint, so the old one stays.
    #[error(
        "the leaf store that was built from the log does not have the state of version {version}; the old one was left in its place"
    )]
    OtherLeaves {
        /// The version of the checkpoint.
        version: u64,
    },
}

impl From<SetupError> for RepairError {
    fn from(error: SetupError) -> Self {
        Self::Open(error.into())
    }
}

/// Checks a directory, and repairs damage whose content can be rebuilt from verified data. Leftovers are removed once
/// nothing is damaged any more.
///
/// If the file that names the log's last segment is lost, the directory alone does not prove that no later segment is
/// lost with it. `known_last` may be the commit id of the last version, from a client, a replica or a receipt: a log
/// that ends there has lost nothing.
///
/// # Errors
///
/// Fails if the directory cannot be checked, locked or written. Damage that cannot be repaired is not an error; the
/// report lists it.
pub fn repair(directory: &Path, known_last: Option<Digest>) -> Result<RepairReport, RepairError> {
    std::fs::metadata(directory).map_err(unusable(directory))?;
    // Without a tree this fails before the lock file is created.
    drop(super::check(directory)?);
    let lock = DirectoryLock::acquire(directory).map_err(OpenError::from)?;
    let lock = Arc::new(lock);
    let before = examine(directory, &lock, known_last)?;
    let mut work = Work {
        directory,
        done: Vec::new(),
    };
    for repair in distinct(&before) {
        work.repair(repair)?;
    }
    let mut after = examine(directory, &lock, known_last)?;
    let leftovers = after.findings.iter().filter(|finding| !finding.is_damage());
    let leftovers: Vec<PathBuf> = leftovers.map(|finding| finding.path.clone()).collect();
    if after.is_sound() && !leftovers.is_empty() {
        for leftover in leftovers {
            work.remove(leftover)?;
        }
        after = examine(directory, &lock, known_last)?;
    }
    Ok(RepairReport {
        before,
        done: work.done,
        after,
    })
}

/// Returns the repairs of a report without duplicates. Leftovers are removed later.
fn distinct(report: &CheckReport) -> Vec<Repair> {
    let mut repairs = Vec::new();
    for repair in report.findings.iter().filter_map(|finding| finding.repair) {
        if !repairs.contains(&repair) {
            repairs.push(repair);
        }
    }
    // The index cannot be built from damaged leaves, and is built again with them.
    if repairs.contains(&Repair::Leaves) {
        repairs.retain(|repair| *repair != Repair::KeyOrder);
    }
    repairs
}

/// A repair in progress.
struct Work<'a> {
    directory: &'a Path,
    done: Vec<Repaired>,
}

impl Work<'_> {
    fn repair(&mut self, repair: Repair) -> Result<(), RepairError> {
        let (path, kept) = match repair {
            Repair::History => self.history()?,
            Repair::LastSegment(segment) => self.last_segment(segment)?,
            Repair::Leaves => self.leaves()?,
            Repair::KeyOrder => self.key_order()?,
            Repair::Pages => (self.pages()?, None),
            Repair::KzgTables => self.tables()?,
            Repair::Leftover => return Ok(()),
        };
        self.done.push(Repaired { repair, path, kept });
        Ok(())
    }

    fn manifest(&self) -> Result<CheckpointManifest, RepairError> {
        let manifest = CheckpointManifest::read(&OsDisk, self.directory);
        Ok(manifest.map_err(OpenError::from)?)
    }

    fn history(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        let path = self.directory.join(HISTORY_FILE);
        let manifest = self.manifest()?;
        let kept = keep_file(&path)?;
        let mut of_log = std::collections::BTreeMap::new();
        log::entries(&OsDisk, self.directory, &manifest.record.tree_id, |entry| {
            if entry.record.version <= manifest.record.version {
                of_log.insert(entry.record.version, entry.record.commit_id());
            }
        });
        let ids = CommitIds::open(&OsDisk, self.directory, &manifest, &of_log);
        ids.rewrite(&OsDisk, self.directory)?;
        Ok((path, kept))
    }

    fn last_segment(
        &self,
        segment: ProvenSegment,
    ) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        let log = self.directory.join(LOG_DIRECTORY);
        let path = log.join(LAST_SEGMENT_FILE);
        let kept = keep_file(&path)?;
        let tree_id = self.manifest()?.record.tree_id;
        segment
            .write(&OsDisk, &log, &tree_id)
            .map_err(failed(&path))?;
        Ok((path, kept))
    }

    /// Removes the page digests: the leaves have everything that is in them.
    fn pages(&self) -> Result<PathBuf, RepairError> {
        let path = self.directory.join(PAGES_FILE);
        pages_file::remove(&OsDisk, self.directory).map_err(failed(&path))?;
        Ok(path)
    }

    fn tables(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        let path = self.directory.join(TABLES_FILE);
        kzg_tables::write(&path, committer()?.tables()).map_err(failed(&path))?;
        // The old file should have had the same constant.
        Ok((path, None))
    }

    #[cfg(not(feature = "fjall"))]
    fn leaves(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        Err(OpenError::StoreNotBuilt.into())
    }

    #[cfg(feature = "fjall")]
    fn leaves(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        // They may be of a later version than the new leaf store.
        self.pages()?;
        super::leaves::rebuild(self.directory, &self.manifest()?)
    }

    #[cfg(not(feature = "fjall"))]
    fn key_order(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        Err(OpenError::StoreNotBuilt.into())
    }

    #[cfg(feature = "fjall")]
    fn key_order(&self) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
        super::keys::in_directory(self.directory)?;
        Ok((self.directory.join(LEAVES_DIRECTORY), None))
    }

    fn remove(&mut self, path: PathBuf) -> Result<(), RepairError> {
        remove_any(&path).map_err(failed(&path))?;
        let parent = path.parent().unwrap_or(self.directory);
        OsDisk.sync_directory(parent).map_err(failed(&path))?;
        self.done.push(Repaired {
            repair: Repair::Leftover,
            path,
            kept: None,
        });
        Ok(())
    }
}

/// Removes a file or a directory.
pub(super) fn remove_any(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> RepairError {
    |source| RepairError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Returns an unused name for a replaced file.
pub(super) fn kept_name(path: &Path) -> Result<PathBuf, RepairError> {
    let named = |number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("{DAMAGED_SUFFIX}{number}"));
        PathBuf::from(name)
    };
    let free = (1..NAMES_MAX)
        .map(named)
        .find(|path| path.symlink_metadata().is_err());
    free.ok_or_else(|| failed(path)(io::ErrorKind::AlreadyExists.into()))
}

/// Gives a file a second name, under which it remains when it is replaced. Returns the name, if there is a file.
fn keep_file(path: &Path) -> Result<Option<PathBuf>, RepairError> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let kept = kept_name(path)?;
    std::fs::hard_link(path, &kept).map_err(failed(&kept))?;
    let parent = path.parent().unwrap_or(Path::new(""));
    OsDisk.sync_directory(parent).map_err(failed(&kept))?;
    Ok(Some(kept))
}

/// Decides which leftovers a repair removes: all, if the rest is sound or can be repaired.
pub(super) fn decide_leftovers(report: &mut CheckReport) {
    let is_repairable =
        |finding: &Finding| finding.part == Part::Leftover || finding.repair.is_some();
    if report.more_findings > 0 || !report.findings.iter().all(is_repairable) {
        return;
    }
    for finding in &mut report.findings {
        finding.repair.get_or_insert(Repair::Leftover);
    }
}
