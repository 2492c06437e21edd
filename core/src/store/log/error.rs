//! The errors of reading, opening and writing a log. Not here: faults of a file (`segment`) or of the bytes of
//! a frame (`frame`).

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use super::{
    BodyError, EFFECTS_BYTES_MAX, FrameError, HeaderError, LastSegmentError, OUTCOMES_BYTES_MAX,
    SegmentName,
};
use crate::hash::Digest;
use crate::params::METADATA_BYTES_MAX;
use crate::record::CommitRecord;
use crate::store::disk::ReadFileError;

/// The reason why a log cannot be read. Nothing was changed on disk.
///
/// ```
/// use std::{convert::Infallible, path::Path};
/// use trunkline_core::store::log::{CommitLog, LogPosition, OpenLogError, ReadLogError};
/// use trunkline_core::store::simulated::SimulatedDisk;
/// // The checkpoint is at version 3, and the log's directory was lost.
/// let (disk, from) = (SimulatedDisk::new(1), LogPosition { version: 3, commit_id: [5; 32] });
/// let ignore = |_| Ok::<(), Infallible>(());
/// let read = CommitLog::read_only(&disk, Path::new("log"), &[1; 32], from, ignore);
/// assert!(matches!(read, Err(OpenLogError::Log(ReadLogError::Missing { checkpoint: 3 }))));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// A file could not be listed, opened or read.
    #[error("{} could not be read", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no log although the checkpoint needs one.
    #[error(
        "the checkpoint is at version {checkpoint}, but there is no log; restore the log's directory from a copy"
    )]
    Missing {
        /// The version of the checkpoint.
        checkpoint: u64,
    },
    /// The name of a `.seg` file is none that a writer uses.
    #[error("{} is not the name of a log segment; move the file out of the directory", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The last segment is missing.
    #[error("log segment {segment} is missing, the last one of the log; restore it from a copy")]
    LastSegment {
        /// The name of the segment.
        segment: SegmentName,
    },
    /// The file that names the last segment is missing.
    #[error(
        "{} is missing, which names the last segment of the log; restore it from a copy",
        path.display()
    )]
    LastSegmentFile {
        /// The file.
        path: PathBuf,
    },
    /// The file that names the last segment cannot be read, or is damaged.
    #[error(transparent)]
    ReadLastSegment(#[from] ReadFileError<LastSegmentError>),
    /// The header of a segment cannot be used.
    #[error("log segment {segment} cannot be used; restore it from a copy")]
    Header {
        /// The name of the segment.
        segment: SegmentName,
        /// The error in the header.
        source: HeaderError,
    },
    /// A segment, or the end of one, is missing.
    #[error(
        "version {expected} should be in or before log segment {segment}, but is not there; restore the missing segment from a copy"
    )]
    Gap {
        /// The first version that is missing.
        expected: u64,
        /// The segment that should contain the version, or follow it.
        segment: SegmentName,
    },
    /// A frame that is known to have been durable is not valid.
    #[error(
        "log segment {segment} is damaged at offset {offset}: version {version} cannot be read, though all up to {synced_version} had been synced; restore the segment from a copy"
    )]
    Damaged {
        /// The name of the segment.
        segment: SegmentName,
        /// The offset in the file, bytes.
        offset: u64,
        /// The version expected there.
        version: u64,
        /// The last version that the log is known to have synced.
        synced_version: u64,
        /// The fault in the frame.
        source: FrameError,
    },
    /// A frame is intact, but this build cannot read it.
    #[error(
        "log segment {segment}, offset {offset}, version {version}: the frame cannot be read; use the build that wrote it"
    )]
    Unreadable {
        /// The name of the segment.
        segment: SegmentName,
        /// The offset in the file, bytes.
        offset: u64,
        /// The version expected there.
        version: u64,
        /// The error in the body.
        source: BodyError,
    },
    /// A frame is intact, but does not follow from the one before it.
    #[error(
        "log segment {segment}, offset {offset}: version {version} does not follow from the one before it ({link}); restore the log from a copy"
    )]
    Chain {
        /// The name of the segment.
        segment: SegmentName,
        /// The offset in the file, bytes.
        offset: u64,
        /// The version expected there.
        version: u64,
        /// The rule that is broken.
        link: Link,
    },
    /// The log ends before the checkpoint, which contains only synced versions.
    #[error(
        "the checkpoint is at version {checkpoint}, but the log ends at {last}; restore the log from a copy"
    )]
    Behind {
        /// The version of the checkpoint.
        checkpoint: u64,
        /// The last version in the log.
        last: u64,
    },
    /// Log and checkpoint have different histories.
    #[error(
        "at version {version} the log has another commit id than the checkpoint; they belong to different trees"
    )]
    OtherHistory {
        /// The version of the checkpoint.
        version: u64,
    },
}

/// The rule that a frame breaks with regard to the one before it.
///
/// ```
/// use trunkline_core::store::log::*;
/// # use std::{convert::Infallible, path::Path, sync::Arc};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::simulated::SimulatedDisk;
/// # let disk = Arc::new(SimulatedDisk::new(1));
/// # let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// # let open = || {
/// #     let (options, keep) = (LogOptions::new([7; 32]), |_| Ok::<(), Infallible>(()));
/// #     CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, options, keep)
/// # };
/// # let record = CommitRecord { version: 1, parent: start.commit_id, ..CommitRecord::genesis([1; 32]) };
/// # let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// let (mut log, _) = open()?;
/// let mut stranger = entry.clone();
/// stranger.record.parent = [9; 32];
/// let error = log.append(&stranger).unwrap_err();
/// assert!(matches!(error, AppendError::Chain { link: Link::Parent, .. }));
/// assert!(error.to_string().ends_with("(its parent is another commit)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Link {
    /// The version is not the next one.
    #[error("its version is not the next")]
    Version,
    /// The parent is not the commit id of the version before.
    #[error("its parent is another commit")]
    Parent,
    /// The record belongs to another tree.
    #[error("its record is of another tree")]
    Tree,
    /// The frame claims that its own version, or a later one, was synced before it.
    #[error("it claims to have been synced before it was written")]
    Synced,
    /// A frame follows a clean close, or the close names another version than the last one.
    #[error("a clean close stands in the wrong place")]
    Close,
}

impl Link {
    /// Returns the rule that a record breaks if it should have a version, a tree and a parent. `None` allows no
    /// version, or any parent.
    pub(super) fn broken(
        record: &CommitRecord,
        version: Option<u64>,
        tree_id: &Digest,
        parent: Option<Digest>,
    ) -> Option<Self> {
        if Some(record.version) != version {
            Some(Self::Version)
        } else if record.tree_id != *tree_id {
            Some(Self::Tree)
        } else if parent.is_some_and(|parent| parent != record.parent) {
            Some(Self::Parent)
        } else {
            None
        }
    }
}

/// The reason why a log was not opened or read.
///
/// ```
/// use trunkline_core::store::log::*;
/// use trunkline_core::store::simulated::{DiskCall, Failure, Fault};
/// # use std::{convert::Infallible, path::Path, sync::Arc};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::simulated::SimulatedDisk;
/// # let disk = Arc::new(SimulatedDisk::new(1));
/// # let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// # let open = || {
/// #     let (options, keep) = (LogOptions::new([7; 32]), |_| Ok::<(), Infallible>(()));
/// #     CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, options, keep)
/// # };
/// let call = Some(DiskCall::Create);
/// disk.inject(Fault { call, after: 0, failure: Failure::NoSpace, lasting: false });
/// assert!(matches!(open(), Err(OpenLogError::Write { .. })));
/// assert!(open().is_ok()); // there is space again, and nothing was lost
/// ```
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError<E: std::error::Error + 'static> {
    /// The log cannot be read. No valid content was changed on disk.
    #[error(transparent)]
    Log(#[from] ReadLogError),
    /// The visitor refused an entry. Nothing was changed on disk.
    #[error("an entry of the log was refused")]
    Visitor(#[source] E),
    /// The log was read, but its new segment could not be begun, or superseded segments could not be removed.
    /// No commit is lost: either the old log is valid, or the new one.
    #[error("{} could not be written; repair the disk and open the log again", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The reason why the log could not be written. The error poisons the log.
///
/// ```
/// use trunkline_core::store::log::*;
/// use trunkline_core::store::simulated::{DiskCall, Failure, Fault};
/// # use std::{convert::Infallible, path::Path, sync::Arc};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::simulated::SimulatedDisk;
/// # let disk = Arc::new(SimulatedDisk::new(1));
/// # let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// # let open = || {
/// #     let (options, keep) = (LogOptions::new([7; 32]), |_| Ok::<(), Infallible>(()));
/// #     CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, options, keep)
/// # };
/// # let record = CommitRecord { version: 1, parent: start.commit_id, ..CommitRecord::genesis([1; 32]) };
/// # let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// let (mut log, _) = open()?;
/// log.append(&entry)?;
/// let call = Some(DiskCall::Sync);
/// disk.inject(Fault { call, after: 0, failure: Failure::Error, lasting: false });
/// assert!(matches!(log.sync(), Err(LogWriteError::Io { .. })));
/// // The disk works again, but a sync that succeeds now would prove nothing.
/// assert!(matches!(log.sync(), Err(LogWriteError::Poisoned)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LogWriteError {
    /// An earlier call failed.
    #[error("the log failed earlier, so it is unknown what is durable; open it again")]
    Poisoned,
    /// The operating system returned an error. It is unknown what is durable until the log is opened again.
    #[error("log segment {segment} could not be written, synced or removed; open the log again")]
    Io {
        /// The name of the segment.
        segment: SegmentName,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The reason why an entry was not appended. The error poisons the log.
///
/// ```
/// use trunkline_core::store::log::*;
/// # use std::{convert::Infallible, path::Path, sync::Arc};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::simulated::SimulatedDisk;
/// # let disk = Arc::new(SimulatedDisk::new(1));
/// # let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// # let open = || {
/// #     let (options, keep) = (LogOptions::new([7; 32]), |_| Ok::<(), Infallible>(()));
/// #     CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, options, keep)
/// # };
/// # let record = CommitRecord { version: 1, parent: start.commit_id, ..CommitRecord::genesis([1; 32]) };
/// # let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// let (mut log, _) = open()?;
/// log.append(&entry)?;
/// let again = log.append(&entry).unwrap_err();
/// assert!(matches!(again, AppendError::Chain { version: 1, last: 1, link: Link::Version }));
/// let poisoned = log.append(&entry).unwrap_err();
/// assert!(matches!(poisoned, AppendError::Write(LogWriteError::Poisoned)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E: std::error::Error + 'static = Infallible> {
    /// The log could not be written.
    #[error(transparent)]
    Write(#[from] LogWriteError),
    /// The effects could not be encoded.
    #[error("the effects of version {version} cannot be encoded")]
    Effects {
        /// The version of the entry.
        version: u64,
        /// The error of the encoder.
        source: E,
    },
    /// The entry does not follow from the last one.
    #[error("version {version} does not follow from version {last} of the log ({link})")]
    Chain {
        /// The version of the entry.
        version: u64,
        /// The last version in the log.
        last: u64,
        /// The rule that is broken.
        link: Link,
    },
    /// Effects, outcomes or metadata are longer than a frame can hold.
    #[error(
        "effects, outcomes or metadata of version {version} exceed {EFFECTS_BYTES_MAX}, {OUTCOMES_BYTES_MAX} or {METADATA_BYTES_MAX} bytes"
    )]
    TooLong {
        /// The version of the entry.
        version: u64,
    },
}
