//! The commit log: segmented files of checksummed frames, one for each version.
//!
//! [`CommitLog::append`] frames versions into a buffer, [`CommitLog::sync`] makes all of them
//! durable with one `fdatasync`. Opening reads the log from the checkpoint on, cuts a torn tail,
//! calls damage by its place, and makes what survived durable before anything is served.
//!
//! A writer never truncates, never writes into a file that it did not create, and never trusts a
//! file again whose sync failed. (It does write over segments of its own that are dead: blocks that
//! are there already take half the time to sync.) So every open begins a new segment, in which recovery repeats the
//! commits that nothing shows as synced; it gets its name (and so supersedes the old tail) only when
//! they are durable in it. A crash at any point of that leaves the old log or the new one.
//!
//! After any error the log is poisoned: whether the last frames are on disk is not known, and every
//! later call says so. Deliberately not here: when to sync, threads, and what effects mean.
//!
//! What counts when a log is read:
//!
//! 1. *Order.* Segments are ordered by open epoch, then first version. A segment *supersedes* every
//!    earlier one from its first version on: of two commits of one version the one in the later
//!    segment holds. So what counts of a segment is its *range*: its first version up to the version
//!    before the lowest first version of all later segments. A segment with an empty range, and what
//!    stands in a file behind its range, is dead, whatever it holds.
//! 2. *Known synced.* A version is known to have been durable if the checkpoint is at or above it,
//!    if a later segment begins above it (a segment gets its name only when everything before it is
//!    durable), or if a valid frame of the last segment says so.
//! 3. *Damage.* Within the ranges of all segments but the last every version is known synced, so
//!    anything that is not the next valid frame is an error that names the place.
//! 4. *Torn tail.* In the last segment, an invalid frame at a version that nothing shows as synced
//!    is where the log ends; what follows is the torn tail, or what the file held before it was
//!    recycled. To know that nothing does, the rest of
//!    the file is searched for valid frames at every offset.
//! 5. A frame whose checksum is right was written as it is. If it does not follow from the one
//!    before it, or can't be read, no crash did that: it is always an error.
//!
//! What can't be told: damage to versions that were synced last, with nothing written after them,
//! looks as a torn tail does. A clean close leaves no such versions.

mod begin;
mod frame;
mod recover;
mod segment;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use frame::{
    BODY_BYTES_MAX, BodyError, CHECKSUM_BYTES, EFFECTS_BYTES_MAX, FRAME_HEADER_BYTES, FrameError,
    OUTCOMES_BYTES_MAX,
};
pub use recover::{Link, ReadLogError};
pub use segment::{HeaderError, SEGMENT_HEADER_BYTES, SegmentName};

use super::disk::{Disk, temporary_name};
use crate::hash::Digest;
use crate::params::METADATA_BYTES_MAX;
use crate::record::CommitRecord;
use begin::{begin_after, prepare_directory, remove_dead};
use recover::{Place, ScanError, Scanned};
use segment::{SegmentHeader, SegmentWriter};

/// Name of the log's directory below a tree's.
pub const LOG_DIRECTORY: &str = "log";
/// Buffered frames are handed to the system when they reach this many bytes.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Dead segments that are kept to be written over.
const SPARES_MAX: usize = 2;

/// One version in the log.
///
/// ```
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::LogEntry;
/// let record = CommitRecord { version: 1, ..CommitRecord::genesis([1; 32]) };
/// let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// assert_eq!(entry.record.version, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit record.
    pub record: CommitRecord,
    /// The KZG root, if it was computed before the version was logged.
    pub kzg_root: Option<[u8; 48]>,
    /// Encoded outcomes of the version's submissions; opaque here, at most [`OUTCOMES_BYTES_MAX`].
    pub outcomes: Bytes,
    /// Encoded effects (see [`effect`](super::effect)); opaque here, at most
    /// [`EFFECTS_BYTES_MAX`].
    pub effects: Bytes,
}

impl LogEntry {
    /// The entry without its effects.
    pub fn head(&self) -> EntryHead<'_> {
        EntryHead {
            record: &self.record,
            kzg_root: self.kzg_root.as_ref(),
            outcomes: &self.outcomes,
        }
    }
}

/// One version to be logged, without its effects: they are encoded where they are written from.
///
/// ```
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::EntryHead;
/// let record = CommitRecord { version: 1, ..CommitRecord::genesis([1; 32]) };
/// let head = EntryHead { record: &record, kzg_root: None, outcomes: b"" };
/// assert_eq!(head.record.version, 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EntryHead<'a> {
    /// The commit record.
    pub record: &'a CommitRecord,
    /// The KZG root, if it was computed before the version was logged.
    pub kzg_root: Option<&'a [u8; 48]>,
    /// Encoded outcomes of the version's submissions; opaque here, at most [`OUTCOMES_BYTES_MAX`].
    pub outcomes: &'a [u8],
}

/// A version and its commit id: a place in history.
///
/// ```
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::LogPosition;
/// let genesis = CommitRecord::genesis([1; 32]);
/// assert_eq!(LogPosition::of(&genesis).version, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The version.
    pub version: u64,
    /// Its commit id.
    pub commit_id: Digest,
}

impl LogPosition {
    /// Where a record stands.
    pub fn of(record: &CommitRecord) -> Self {
        Self {
            version: record.version,
            commit_id: record.commit_id(),
        }
    }
}

/// How a log is written.
///
/// ```
/// use trunkline_core::store::log::LogOptions;
/// let options = LogOptions { segment_bytes_max: 16 << 20, ..LogOptions::new([7; 32]) };
/// assert_eq!(options.nonce, [7; 32]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment that would grow beyond this many bytes is followed by a new one. A segment holds
    /// one version at least, however large.
    pub segment_bytes_max: u64,
    /// Bytes that clients can't predict: fresh random ones at every open. Segments are salted with
    /// them, so that no client can put a forged frame into a value.
    pub nonce: [u8; 32],
}

impl LogOptions {
    /// Segments of 32 MiB.
    pub fn new(nonce: [u8; 32]) -> Self {
        Self {
            segment_bytes_max: 32 << 20,
            nonce,
        }
    }
}

/// What reading a log found.
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
    /// The last commit that holds.
    pub last: LogPosition,
    /// The last version that the log itself (or the checkpoint) shows as synced.
    pub synced_version: u64,
    /// Bytes behind the last commit of a log that was cut off: the torn tail, and what the file held
    /// before it was recycled.
    pub torn_bytes: u64,
    /// Whether the log was closed, not cut off. A log of no segments counts as closed.
    pub closed: bool,
    /// Its segments, in the order in which they were begun, superseded ones included.
    pub segments: Vec<SegmentName>,
}

/// What opening a log did.
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
    /// The log as it was found. Everything up to `survey.last` is durable now; the torn bytes are
    /// superseded.
    pub survey: Survey,
    /// One more than the highest epoch seen.
    pub open_epoch: u64,
    /// Versions that were repeated in the new segment.
    pub rewritten_versions: u64,
}

/// Why a log was not opened or read.
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
/// assert!(open().is_ok()); // there is room again, and nothing was lost
/// ```
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError<E: std::error::Error + 'static> {
    /// The log can't be read. Nothing that counts was changed on disk.
    #[error(transparent)]
    Log(ReadLogError),
    /// The visitor refused an entry. Nothing was changed on disk.
    #[error("an entry of the log was refused")]
    Visitor(#[source] E),
    /// The log was read, but its new segment could not be begun, or what that supersedes could not be removed.
    /// Either way no commit is lost: the log holds as it was, or as it was begun anew.
    #[error("{} could not be written; mend the disk and open the log again", path.display())]
    Write {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl<E: std::error::Error + 'static> From<ScanError<E>> for OpenLogError<E> {
    fn from(error: ScanError<E>) -> Self {
        match error {
            ScanError::Log(error) => Self::Log(error),
            ScanError::Visitor(error) => Self::Visitor(error),
        }
    }
}

/// Why the log could not be written. The log is poisoned by it.
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
    #[error("the log failed earlier, so what is durable is not known; open it again")]
    Poisoned,
    /// The system refused. What is durable is not known before the log is opened again.
    #[error("log segment {segment} could not be written, synced or removed; open the log again")]
    Io {
        /// Which segment.
        segment: SegmentName,
        /// What the system said.
        source: io::Error,
    },
}

/// Why an entry was not appended. The log is poisoned by it.
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
    #[error("the effects of version {version} can't be encoded")]
    Effects {
        /// Version of the entry.
        version: u64,
        /// What the encoder said.
        source: E,
    },
    /// The entry does not follow from the last one.
    #[error("version {version} does not follow from version {last} of the log ({link})")]
    Chain {
        /// Version of the entry.
        version: u64,
        /// Last version in the log.
        last: u64,
        /// What does not fit.
        link: Link,
    },
    /// Effects, outcomes or metadata are longer than a frame can hold.
    #[error(
        "effects, outcomes or metadata of version {version} exceed {EFFECTS_BYTES_MAX}, {OUTCOMES_BYTES_MAX} or {METADATA_BYTES_MAX} bytes"
    )]
    TooLong {
        /// Version of the entry.
        version: u64,
    },
}

/// The log, open for writing. One owner; no interior threads or locks.
///
/// ```
/// use std::{convert::Infallible, path::Path, sync::Arc};
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::{CommitLog, LogEntry, LogOptions, LogPosition};
/// use trunkline_core::store::simulated::SimulatedDisk;
///
/// let disk = Arc::new(SimulatedDisk::new(1));
/// let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// let open = |entries: &mut Vec<LogEntry>| {
///     let keep = |entry| Ok::<(), Infallible>(entries.push(entry));
///     CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, LogOptions::new([7; 32]), keep)
/// };
/// let (mut log, _) = open(&mut Vec::new())?;
/// let record = CommitRecord {
///     version: 1,
///     parent: start.commit_id,
///     ..CommitRecord::genesis([1; 32])
/// };
/// let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// log.append(&entry)?;
/// assert_eq!(log.sync()?, 1);
/// disk.crash(42);
///
/// let mut entries = Vec::new();
/// let (_log, recovery) = open(&mut entries)?;
/// assert_eq!(entries, [entry]);
/// assert_eq!(recovery.open_epoch, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CommitLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    tree_id: Digest,
    options: LogOptions,
    open_epoch: u64,
    /// Segments in order; the last one is `active`.
    segments: Vec<SegmentName>,
    /// Files of dead segments, under names that mean nothing.
    spares: Vec<PathBuf>,
    active: SegmentWriter,
    /// Frames that the system does not have yet.
    buffer: Vec<u8>,
    last: LogPosition,
    synced_version: u64,
    /// Of all frames since the position that it was opened from.
    bytes: u64,
    poisoned: bool,
}

impl CommitLog {
    /// Opens the log in a directory (created if need be, in a parent that exists), visits every
    /// commit after `from` in order, makes what survived durable, and begins a new segment.
    ///
    /// `from` is what the checkpoint covers: the genesis record's position if there is none. The
    /// visitor gets each entry in an allocation of its own, so memory is bounded by one entry and
    /// what the visitor keeps.
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

    /// The first half of [`Self::open`]: visits every commit after `from` and writes nothing, so that
    /// what was read can be judged as a whole before anything is changed.
    pub fn read<E: std::error::Error + 'static>(
        disk: Arc<dyn Disk>,
        directory: &Path,
        tree_id: Digest,
        from: LogPosition,
        mut visit: impl FnMut(LogEntry) -> Result<(), E>,
    ) -> Result<FoundLog, OpenLogError<E>> {
        let place = Place {
            disk: &*disk,
            directory,
            tree_id: &tree_id,
        };
        let scanned = recover::scan(place, from, &mut visit)?;
        Ok(FoundLog {
            directory: directory.to_owned(),
            tree_id,
            scanned,
            disk,
        })
    }

    /// Reads the log as [`Self::open`] would, and writes nothing. Beside a live writer, what it
    /// appends meanwhile may look torn, and what it trims meanwhile damaged.
    pub fn read_only<E: std::error::Error + 'static>(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        from: LogPosition,
        mut visit: impl FnMut(LogEntry) -> Result<(), E>,
    ) -> Result<Survey, OpenLogError<E>> {
        let place = Place {
            disk,
            directory,
            tree_id,
        };
        Ok(survey(recover::scan(place, from, &mut visit)?))
    }

    /// Appends the next version. It is durable after the next [`Self::sync`].
    pub fn append(&mut self, entry: &LogEntry) -> Result<(), AppendError> {
        self.append_with(&entry.head(), |out| {
            out.extend_from_slice(&entry.effects);
            Ok::<(), Infallible>(())
        })?;
        Ok(())
    }

    /// As [`Self::append`], with effects that `encode` appends to the log's own buffer, so that they
    /// are written once; it must leave what stands there already as it is. Gives the bytes of the
    /// frame.
    pub fn append_with<E: std::error::Error + 'static>(
        &mut self,
        head: &EntryHead<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, AppendError<E>> {
        self.refuse_if_poisoned()?;
        // Until it is over: an encoder that panics leaves half a frame behind.
        self.poisoned = true;
        let bytes = self.try_append(head, encode)?;
        self.poisoned = false;
        Ok(bytes)
    }

    /// Makes everything appended durable and gives the last version. One `fdatasync`, or none if
    /// nothing was appended since the last.
    pub fn sync(&mut self) -> Result<u64, LogWriteError> {
        self.guarded(Self::try_sync)?;
        Ok(self.synced_version)
    }

    /// Hands everything appended to the operating system, without waiting for the disk: it
    /// survives the end of the process, not that of the machine.
    pub fn flush(&mut self) -> Result<(), LogWriteError> {
        self.guarded(Self::try_flush)
    }

    /// Syncs, and marks the log as closed, so that the next open knows that nothing is torn.
    pub fn close(mut self) -> Result<(), LogWriteError> {
        self.guarded(|log| {
            for spare in std::mem::take(&mut log.spares) {
                log.disk
                    .remove(&spare)
                    .map_err(|source| LogWriteError::Io {
                        segment: log.active.header.name,
                        source,
                    })?;
            }
            // First the commits alone: a close that reached the disk before them would lie.
            log.try_sync()?;
            let version = log.last.version;
            let salt = log.active.header.frame_salt();
            salt.put_close(version, &mut log.buffer);
            log.try_flush()?;
            log.on_active(|active, _| active.sync())
        })
    }

    /// Removes every segment that holds versions up to `version` alone, except the one being
    /// written, or keeps its file to write over it. The checkpoint must be durable at or above
    /// `version`.
    pub fn trim(&mut self, version: u64) -> Result<(), LogWriteError> {
        self.guarded(|log| log.try_trim(version))
    }

    /// The last version appended.
    pub fn last(&self) -> LogPosition {
        self.last
    }

    /// The last version that is durable.
    pub fn synced_version(&self) -> u64 {
        self.synced_version
    }

    /// Bytes of the commits after the position that it was opened from, those that were found then included.
    /// What is trimmed counts on: the difference between two moments is what came in between.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often the log has been opened.
    pub fn open_epoch(&self) -> u64 {
        self.open_epoch
    }

    fn try_append<E: std::error::Error + 'static>(
        &mut self,
        head: &EntryHead<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, AppendError<E>> {
        self.check_head(head)?;
        let version = head.record.version;
        let mut start = self.buffer.len();
        frame::put_room(&mut self.buffer);
        frame::put_fields(head, &mut self.buffer);
        let effects_start = self.buffer.len() + 4;
        frame::put_section(&mut self.buffer, encode)
            .map_err(|source| AppendError::Effects { version, source })?;
        if self.buffer.len() - effects_start > EFFECTS_BYTES_MAX {
            return Err(AppendError::TooLong { version });
        }
        if self.is_full(start) {
            self.roll(start)?;
            start = 0;
        }
        let salt = self.active.header.frame_salt();
        salt.finish_commit(start, version, self.synced_version, &mut self.buffer);
        let bytes = self.buffer.len() - start;
        self.bytes += bytes as u64;
        self.last = LogPosition::of(head.record);
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.try_flush()?;
        }
        Ok(bytes)
    }

    /// Whether the frame whose body begins at `start` in the buffer would make the segment too long.
    fn is_full(&self, start: usize) -> bool {
        let used_bytes = self.active.length + start as u64;
        let frame_bytes = self.buffer.len() - start + CHECKSUM_BYTES;
        used_bytes > SEGMENT_HEADER_BYTES as u64
            && used_bytes + frame_bytes as u64 > self.options.segment_bytes_max
    }

    fn check_head<E: std::error::Error + 'static>(
        &self,
        head: &EntryHead<'_>,
    ) -> Result<(), AppendError<E>> {
        let record = head.record;
        let version = record.version;
        let link = if Some(version) != self.last.version.checked_add(1) {
            Some(Link::Version)
        } else if record.tree_id != self.tree_id {
            Some(Link::Tree)
        } else if record.parent != self.last.commit_id {
            Some(Link::Parent)
        } else {
            None
        };
        if let Some(link) = link {
            return Err(AppendError::Chain {
                version,
                last: self.last.version,
                link,
            });
        }
        let too_long =
            record.metadata.len() > METADATA_BYTES_MAX || head.outcomes.len() > OUTCOMES_BYTES_MAX;
        if too_long {
            return Err(AppendError::TooLong { version });
        }
        Ok(())
    }

    fn try_flush(&mut self) -> Result<(), LogWriteError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.on_active(|active, buffer| active.write(buffer))?;
        self.buffer.clear();
        self.buffer.shrink_to(2 * WRITE_BUFFER_BYTES);
        Ok(())
    }

    fn try_sync(&mut self) -> Result<(), LogWriteError> {
        if self.synced_version == self.last.version {
            return Ok(());
        }
        self.try_flush()?;
        self.on_active(|active, _| active.sync())?;
        self.synced_version = self.last.version;
        Ok(())
    }

    /// Goes on in a new segment with what stands from `start` in the buffer. Everything before it is
    /// synced first: the segment's header says so.
    fn roll(&mut self, start: usize) -> Result<(), LogWriteError> {
        let next_frame = self.buffer.split_off(start);
        self.try_sync()?;
        self.buffer = next_frame;
        let header = SegmentHeader::after(
            &self.last,
            self.tree_id,
            self.open_epoch,
            &self.options.nonce,
        );
        let segment = header.name;
        let io = |source| LogWriteError::Io { segment, source };
        let (disk, directory) = (&*self.disk, &self.directory);
        let mut next = match self.spares.pop() {
            None => SegmentWriter::create(disk, directory, header),
            Some(spare) => SegmentWriter::recycle(disk, directory, header, &spare),
        }
        .map_err(io)?;
        next.publish(&*self.disk).map_err(io)?;
        self.active = next;
        self.segments.push(segment);
        Ok(())
    }

    fn try_trim(&mut self, version: u64) -> Result<(), LogWriteError> {
        let ranges = recover::ranges(&self.segments);
        let older = ranges.iter().take(ranges.len().saturating_sub(1));
        let count = older.take_while(|range| *range.end() <= version).count();
        for segment in self.segments.drain(..count) {
            let path = self.directory.join(segment.to_string());
            let own = segment.open_epoch == self.open_epoch;
            let done = if own && self.spares.len() < SPARES_MAX {
                let spare = temporary_name(&path);
                let done = self.disk.rename(&path, &spare);
                self.spares.push(spare);
                done
            } else {
                self.disk.remove(&path)
            };
            done.map_err(|source| LogWriteError::Io { segment, source })?;
        }
        Ok(())
    }

    fn on_active(
        &mut self,
        call: impl FnOnce(&mut SegmentWriter, &[u8]) -> io::Result<()>,
    ) -> Result<(), LogWriteError> {
        let segment = self.active.header.name;
        call(&mut self.active, &self.buffer).map_err(|source| LogWriteError::Io { segment, source })
    }

    fn guarded<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, LogWriteError>,
    ) -> Result<T, LogWriteError> {
        self.refuse_if_poisoned()?;
        let result = call(self);
        self.poisoned |= result.is_err();
        result
    }

    fn refuse_if_poisoned(&self) -> Result<(), LogWriteError> {
        if self.poisoned {
            return Err(LogWriteError::Poisoned);
        }
        Ok(())
    }
}

/// A log that was read and found sound, before anything is written.
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
    /// The second half of [`CommitLog::open`]: makes what survived durable, and begins a new segment.
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
        let place = Place {
            disk: &*disk,
            directory: &directory,
            tree_id: &tree_id,
        };
        let rewritten_versions = scanned.unproven.len() as u64;
        let open_epoch = next_epoch(&scanned.segments);
        prepare_directory(place)?;
        let active = begin_after(place, &scanned, open_epoch, &options.nonce)?;
        let segments = remove_dead(place, &scanned.segments, active.header.name)?;
        let bytes = scanned.visited_bytes;
        let survey = survey(scanned);
        let log = CommitLog {
            tree_id,
            options,
            open_epoch,
            segments,
            spares: Vec::new(),
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

fn survey(scanned: Scanned) -> Survey {
    Survey {
        last: scanned.last,
        synced_version: scanned.synced_version,
        torn_bytes: scanned.torn_bytes,
        closed: scanned.closed,
        segments: scanned.segments,
    }
}

fn next_epoch(segments: &[SegmentName]) -> u64 {
    let highest = segments.last().map_or(0, |segment| segment.open_epoch);
    highest.saturating_add(1)
}
