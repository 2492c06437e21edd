//! Opening a log: it is read and checked as a whole, then a new segment is begun after the surviving commits. Not here:
//! reading (`recover`), and writing the new segment (`begin`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::begin::{begin_after, prepare_directory, remove_dead};
use super::recover::{self, Location, Scanned};
use super::{CommitLog, LogEntry, LogOptions, LogPosition, OpenLogError, SegmentName};
use crate::hash::Digest;
use crate::store::disk::Disk;

/// The result of reading a log.
///
/// ```
/// use std::{convert::Infallible, path::Path};
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::{log::{CommitLog, LogPosition}, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// let survey =
///     CommitLog::read_only(&disk, Path::new("log"), &[1; 32], start, |_| Ok::<(), Infallible>(()))?;
/// assert_eq!(survey.last, start);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The last valid commit.
    pub last: LogPosition,
    /// The last version that the log itself (or the checkpoint) shows as synced.
    pub synced_version: u64,
    /// Bytes after the last commit of a log that was cut off: the torn tail, and old content of a recycled file.
    pub torn_bytes: u64,
    /// True if the log was closed, not cut off. A log without segments counts as closed.
    pub closed: bool,
    /// The segments of the log, in the order in which they were begun, including superseded ones.
    pub segments: Vec<SegmentName>,
}

/// The result of opening a log.
///
/// ```
/// # use std::{convert::Infallible, path::Path, sync::Arc};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::{log::{CommitLog, LogOptions, LogPosition}, simulated::SimulatedDisk};
/// let disk = Arc::new(SimulatedDisk::new(1));
/// let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// let options = LogOptions::new([7; 32]);
/// let (log, recovery) =
///     CommitLog::open(disk, Path::new("log"), [1; 32], start, options, |_| Ok::<(), Infallible>(()))?;
/// assert_eq!((recovery.open_epoch, recovery.survey.torn_bytes), (1, 0));
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The log before it was opened. Everything up to `survey.last` is durable now; the torn bytes are superseded.
    pub survey: Survey,
    /// One more than the highest epoch seen.
    pub open_epoch: u64,
    /// The number of versions that were repeated in the new segment.
    pub rewritten_versions: u64,
}

impl CommitLog {
    /// Opens the log in a directory (created if necessary, in an existing parent), visits every commit after `from` in
    /// order, makes the surviving commits durable, and begins a new segment.
    ///
    /// `from` is the position of the checkpoint, or of the genesis record if there is no checkpoint. The visitor gets
    /// each entry in an allocation of its own, so memory is bounded by one entry and the data that the visitor keeps.
    pub fn open<E: std::error::Error + 'static>(
        disk: Arc<dyn Disk>,
        directory: &Path,
        tree_id: Digest,
        from: LogPosition,
        options: LogOptions,
        mut visit: impl FnMut(LogEntry) -> Result<(), E>,
    ) -> Result<(Self, Recovery), OpenLogError<E>> {
        let found = Self::read(disk, directory, tree_id, from, &mut visit)?;
        found.begin(options)
    }

    /// Does the first half of [`Self::open`]: visits every commit after `from` and writes nothing, so that
    /// the log can be checked as a whole before anything is changed.
    pub fn read<E: std::error::Error + 'static>(
        disk: Arc<dyn Disk>,
        directory: &Path,
        tree_id: Digest,
        from: LogPosition,
        mut visit: impl FnMut(LogEntry) -> Result<(), E>,
    ) -> Result<FoundLog, OpenLogError<E>> {
        let location = Location {
            disk: &*disk,
            directory,
            tree_id: &tree_id,
        };
        let scanned = recover::scan(location, from, &mut visit)?;
        Ok(FoundLog {
            directory: directory.to_owned(),
            tree_id,
            scanned,
            disk,
        })
    }

    /// Returns a log without segments for a tree that begins at a position, such as one restored from a copy of its
    /// leaves. The directory must not have a log.
    pub fn new_at(
        disk: Arc<dyn Disk>,
        directory: &Path,
        tree_id: Digest,
        at: LogPosition,
    ) -> FoundLog {
        FoundLog {
            disk,
            directory: directory.to_owned(),
            tree_id,
            scanned: recover::nothing(at),
        }
    }

    /// Reads the log as [`Self::open`] would, and writes nothing. While a writer has the log
    /// open, commits that it appends may look torn, and segments that it trims may look damaged.
    pub fn read_only<E: std::error::Error + 'static>(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        from: LogPosition,
        mut visit: impl FnMut(LogEntry) -> Result<(), E>,
    ) -> Result<Survey, OpenLogError<E>> {
        let location = Location {
            disk,
            directory,
            tree_id,
        };
        Ok(recover::scan(location, from, &mut visit)?.survey)
    }
}

/// A log that was read and found valid, before anything is written.
///
/// ```
/// use std::{convert::Infallible, path::Path, sync::Arc};
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::{log::{CommitLog, LogOptions, LogPosition}, simulated::SimulatedDisk};
/// let disk = Arc::new(SimulatedDisk::new(1));
/// let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// let ignore = |_| Ok::<(), Infallible>(());
/// let found = CommitLog::read(disk.clone(), Path::new("log"), [1; 32], start, ignore)?;
/// assert_eq!(disk.calls(), 0); // nothing was written yet
/// let (log, recovery) = found.begin::<Infallible>(LogOptions::new([7; 32]))?;
/// assert_eq!((log.last(), recovery.open_epoch), (start, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FoundLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    tree_id: Digest,
    scanned: Scanned,
}

impl FoundLog {
    /// Leaves out the commits after a position, which must be that of a visited commit, or the one from which the log
    /// was read. They are superseded by the segment that [`Self::begin`] begins.
    pub fn up_to(mut self, to: LogPosition) -> Self {
        let survey = &mut self.scanned.survey;
        let unproven = to.version.saturating_sub(survey.synced_version);
        self.scanned.unproven.truncate(unproven as usize);
        survey.synced_version = survey.synced_version.min(to.version);
        survey.last = to;
        self
    }

    /// Does the second half of [`CommitLog::open`]: makes the surviving commits durable, and begins a new segment.
    pub fn begin<E: std::error::Error + 'static>(
        self,
        options: LogOptions,
    ) -> Result<(CommitLog, Recovery), OpenLogError<E>> {
        let Self {
            disk,
            directory,
            tree_id,
            scanned,
        } = self;
        let location = Location {
            disk: &*disk,
            directory: &directory,
            tree_id: &tree_id,
        };
        let rewritten_versions = scanned.unproven.len() as u64;
        let open_epoch = next_epoch(&scanned.survey.segments).max(options.open_epoch_min);
        prepare_directory(location)?;
        let active = begin_after(location, &scanned, open_epoch, &options.nonce)?;
        let segments = remove_dead(location, &scanned.survey.segments, active.header.name)?;
        let bytes = scanned.visited_bytes;
        let survey = scanned.survey;
        let log = CommitLog {
            tree_id,
            options,
            open_epoch,
            segments,
            spares: Vec::new(),
            has_unsynced_removal: true,
            active,
            buffer: Vec::new(),
            last: survey.last,
            synced_version: survey.last.version,
            bytes,
            poisoned: false,
            disk,
            directory,
        };
        let recovery = Recovery {
            survey,
            open_epoch,
            rewritten_versions,
        };
        Ok((log, recovery))
    }
}

fn next_epoch(segments: &[SegmentName]) -> u64 {
    let highest = segments.last().map_or(0, |segment| segment.open_epoch);
    highest.saturating_add(1)
}
