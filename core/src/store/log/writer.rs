//! The log that is being written: frames into a buffer, the buffer to the active segment, segments rolled and trimmed.
//! After any error it is poisoned. Not here: opening it (`open`), and a segment's file (`segment`).

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame;
use super::last_segment;
use super::recover;
use super::segment::{SegmentHeader, SegmentWriter};
use super::{
    AppendError, CHECKSUM_BYTES, EFFECTS_BYTES_MAX, EntryHead, Link, LogEntry, LogPosition,
    LogWriteError, OUTCOMES_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentName,
};
use crate::hash::Digest;
use crate::params::METADATA_BYTES_MAX;
use crate::store::disk::{Disk, temporary_name};

/// The number of bytes at which buffered frames are handed to the system.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// The maximum number of dead segments that are kept for reuse.
const SPARES_MAX: usize = 2;

/// The options of writing a log.
///
/// ```
/// use trunkline_core::store::log::LogOptions;
/// let options = LogOptions { segment_bytes_max: 16 << 20, ..LogOptions::new([7; 32]) };
/// assert_eq!(options.nonce, [7; 32]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The bytes beyond which a segment is followed by a new one. A segment contains at least one version, of any size.
    pub segment_bytes_max: u64,
    /// Bytes that clients cannot predict: fresh random ones at every open. Segments are salted with
    /// them, so that no client can put a forged frame into a value.
    pub nonce: [u8; 32],
    /// The lowest open epoch that the log may begin: above those of all records, also of records that another log
    /// wrote.
    pub open_epoch_min: u64,
}

/// The segments that trimming keeps for followers of the log although a checkpoint covers them.
///
/// ```
/// use trunkline_core::store::log::Held;
/// assert_eq!(Held::default(), Held { after: u64::MAX, bytes_max: 0 }); // nothing
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Segments that have a later version than this one are kept.
    pub after: u64,
    /// The maximum bytes of the kept files. The oldest are trimmed first.
    pub bytes_max: u64,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            after: u64::MAX,
            bytes_max: 0,
        }
    }
}

impl LogOptions {
    /// Returns options with segments of 32 MiB.
    pub fn new(nonce: [u8; 32]) -> Self {
        Self {
            segment_bytes_max: 32 << 20,
            nonce,
            open_epoch_min: 1,
        }
    }
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
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) tree_id: Digest,
    pub(super) options: LogOptions,
    pub(super) open_epoch: u64,
    /// Segments in order; the last one is `active`.
    pub(super) segments: Vec<SegmentName>,
    /// The files of dead segments, under names without a meaning.
    pub(super) spares: Vec<PathBuf>,
    /// True if a segment has lost its name since the directory was synced.
    pub(super) has_unsynced_removal: bool,
    pub(super) active: SegmentWriter,
    /// Frames that the system does not have yet.
    pub(super) buffer: Vec<u8>,
    pub(super) last: LogPosition,
    pub(super) synced_version: u64,
    /// The bytes of all frames since the position from which the log was opened.
    pub(super) bytes: u64,
    pub(super) poisoned: bool,
}

impl CommitLog {
    /// Appends the next version. It is durable after the next [`Self::sync`].
    pub fn append(&mut self, entry: &LogEntry) -> Result<(), AppendError> {
        self.append_with(&entry.head(), |out| {
            out.extend_from_slice(&entry.effects);
            Ok::<(), Infallible>(())
        })?;
        Ok(())
    }

    /// Works like [`Self::append`], with effects that `encode` appends to the log's own buffer, so that they
    /// are written once; it must leave what stands there already as it is. Gives the bytes of the
    /// frame.
    pub fn append_with<E: std::error::Error + 'static>(
        &mut self,
        head: &EntryHead<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, AppendError<E>> {
        self.refuse_if_poisoned()?;
        // For the duration of the call: an encoder that panics leaves half a frame.
        self.poisoned = true;
        let bytes = self.try_append(head, encode)?;
        self.poisoned = false;
        Ok(bytes)
    }

    /// Makes everything appended durable and gives the last version. One `fdatasync`, or none if
    /// nothing was appended since the last. Fails if the segment's name no longer names the file that was synced.
    pub fn sync(&mut self) -> Result<u64, LogWriteError> {
        self.guarded(|log| {
            log.try_sync()?;
            log.check_name()
        })?;
        Ok(self.synced_version)
    }

    /// Writes everything appended to the operating system without waiting for the disk: it
    /// survives the end of the process, not that of the machine. Fails as [`Self::sync`] does.
    pub fn flush(&mut self) -> Result<(), LogWriteError> {
        self.guarded(|log| {
            log.try_flush()?;
            log.check_name()
        })
    }

    /// Syncs the log and marks it as closed, so that the next opening knows that nothing is torn.
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
            // First the commits: a close that reached the disk before them would be false.
            log.try_sync()?;
            log.check_name()?;
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
        self.trim_except(version, Held::default()).map(drop)
    }

    /// Does what [`Self::trim`] does, except that what is `held` stays. Returns the bytes of its files.
    pub fn trim_except(&mut self, version: u64, held: Held) -> Result<u64, LogWriteError> {
        self.guarded(|log| log.try_trim(version, held))
    }

    /// Returns the oldest version that is in the log, or would be the first.
    pub fn oldest_version(&self) -> u64 {
        let oldest = self.segments.iter().map(|name| name.first_version).min();
        oldest.unwrap_or(self.active.header.name.first_version)
    }

    /// Returns the last version appended.
    pub fn last(&self) -> LogPosition {
        self.last
    }

    /// Returns the last version that is durable.
    pub fn synced_version(&self) -> u64 {
        self.synced_version
    }

    /// Returns the bytes of all commits after the position from which the log was opened, including those found then.
    /// Trimming does not reduce the count: the difference between two calls is the number of bytes appended in between.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the bytes that the buffer of frames takes in memory.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns the number of times that the log has been opened.
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
        frame::reserve_header(&mut self.buffer);
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

    /// Returns whether the frame whose body begins at `start` in the buffer would make the segment too long.
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
        let next = self.last.version.checked_add(1);
        let parent = Some(self.last.commit_id);
        if let Some(link) = Link::broken(record, next, &self.tree_id, parent) {
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

    /// Begins a new segment with the bytes from `start` in the buffer. Everything before them is
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
        next.publish(disk).map_err(io)?;
        self.has_unsynced_removal = false;
        last_segment::write(disk, directory, &self.tree_id, segment).map_err(io)?;
        self.active = next;
        self.segments.push(segment);
        Ok(())
    }

    fn try_trim(&mut self, version: u64, held: Held) -> Result<u64, LogWriteError> {
        let (count, held_bytes) = self.trimmed(version, held)?;
        for segment in self.segments.drain(..count) {
            // After a crash no segment may reappear without those after it: a follower would read superseded entries,
            // or find a hole.
            if std::mem::replace(&mut self.has_unsynced_removal, true) {
                let synced = self.disk.sync_directory(&self.directory);
                synced.map_err(|source| LogWriteError::Io { segment, source })?;
            }
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
        Ok(held_bytes)
    }

    /// Returns the number of segments to trim, and the bytes of the held ones.
    fn trimmed(&self, version: u64, held: Held) -> Result<(usize, u64), LogWriteError> {
        let ranges = recover::ranges(&self.segments);
        let older = &ranges[..ranges.len().saturating_sub(1)];
        let up_to = |version| {
            older
                .iter()
                .take_while(|range| *range.end() <= version)
                .count()
        };
        let (mut count, covered) = (up_to(version), up_to(version.min(held.after)));
        let mut held_bytes = 0;
        while count > covered {
            let segment = self.segments[count - 1];
            let path = self.directory.join(segment.to_string());
            let length = self.disk.open(&path).and_then(|file| file.length());
            let bytes = length.map_err(|source| LogWriteError::Io { segment, source })?;
            if held_bytes + bytes > held.bytes_max {
                break;
            }
            (count, held_bytes) = (count - 1, held_bytes + bytes);
        }
        Ok((count, held_bytes))
    }

    /// Checks that the written file has its name.
    fn check_name(&mut self) -> Result<(), LogWriteError> {
        let disk = self.disk.clone();
        self.on_active(|active, _| active.check_name(&*disk))
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
