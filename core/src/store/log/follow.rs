//! Reading the entries of a log in order, while its owner writes and trims it.
//!
//! A follower opens files of its own and takes no lock, so it never delays the owner. Only synced entries may be read:
//! their bytes are complete. A file that the owner has trimmed may be overwritten with other frames; they have another
//! salt, so no follower mistakes one of them for the entry that it looks for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recover::{Location, ranges};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentName, SegmentReader};
use super::{FrameError, Link, LogEntry, ReadLogError};
use crate::hash::Digest;
use crate::store::disk::Disk;

/// The reason why a follower has no entry.
///
/// ```
/// use trunkline_core::store::log::FollowError;
/// let error = FollowError::Gap { wanted: 3, oldest: Some(9) };
/// assert_eq!(error.to_string(), "version 3 is no longer in the log, which begins with version 9");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The entry was trimmed.
    #[error("version {wanted} is no longer in the log{}", begins(oldest))]
    Gap {
        /// The requested version.
        wanted: u64,
        /// The oldest version in the log, if it has any.
        oldest: Option<u64>,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadLogError),
}

fn begins(oldest: &Option<u64>) -> String {
    oldest.map_or_else(String::new, |oldest| {
        format!(", which begins with version {oldest}")
    })
}

/// Reads the entries of a log in order. Created at a version, it returns the entry of this version first.
///
/// ```
/// use std::{convert::Infallible, path::Path, sync::Arc};
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::{CommitLog, LogEntry, LogFollower, LogOptions, LogPosition};
/// use trunkline_core::store::simulated::SimulatedDisk;
/// let disk = Arc::new(SimulatedDisk::new(1));
/// let start = LogPosition::of(&CommitRecord::genesis([1; 32]));
/// let (options, ignore) = (LogOptions::new([7; 32]), |_| Ok::<(), Infallible>(()));
/// let (mut log, _) = CommitLog::open(disk.clone(), Path::new("log"), [1; 32], start, options, ignore)?;
/// let record = CommitRecord { version: 1, parent: start.commit_id, ..CommitRecord::genesis([1; 32]) };
/// let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// let mut follower = LogFollower::new(disk, Path::new("log"), [1; 32], 1);
/// log.append(&entry)?;
/// log.sync()?;
/// assert_eq!(follower.read_next()?, entry);
/// assert_eq!(follower.next_version(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogFollower {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    tree_id: Digest,
    next: u64,
    /// The commit id of the version before, if it was read.
    parent: Option<Digest>,
    open: Option<OpenSegment>,
}

/// The segment that contains the next entry, or ends before it.
struct OpenSegment {
    reader: SegmentReader,
    /// The offset of the next entry.
    offset: u64,
    /// The last valid version in the segment.
    end: u64,
}

impl LogFollower {
    /// Creates a follower that begins at `next`.
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, tree_id: Digest, next: u64) -> Self {
        Self {
            disk,
            directory: directory.to_owned(),
            tree_id,
            next,
            parent: None,
            open: None,
        }
    }

    /// Returns the version that [`Self::read_next`] reads.
    pub fn next_version(&self) -> u64 {
        self.next
    }

    /// Reads the next entry, which must be synced. After an error, the same entry can be read again.
    ///
    /// # Errors
    ///
    /// Fails if the entry was trimmed, or if the log cannot be read or is damaged.
    pub fn read_next(&mut self) -> Result<LogEntry, FollowError> {
        if let Some(segment) = self.open.as_mut().filter(|open| open.end >= self.next) {
            let path = self.directory.join(segment.reader.header.name.to_string());
            if let Ok(entry) = segment.read(&path)? {
                return self.take(entry);
            }
        }
        // The owner has begun another segment, or the bytes read ahead are older than the entry.
        self.open = None;
        loop {
            let (name, end) = self.locate()?;
            let Some(mut segment) = self.open_segment(name, end)? else {
                continue;
            };
            let path = self.directory.join(name.to_string());
            match segment.read(&path)? {
                Ok(entry) => {
                    self.open = Some(segment);
                    return self.take(entry);
                }
                // If it was trimmed in the meantime, the next attempt finds another segment or a gap.
                Err(source) if self.locate()?.0 == name => {
                    return Err(FollowError::Log(ReadLogError::Damaged {
                        segment: name,
                        offset: segment.offset,
                        version: self.next,
                        synced_version: self.next,
                        source,
                    }));
                }
                Err(_) => {}
            }
        }
    }

    fn location(&self) -> Location<'_> {
        Location {
            disk: &*self.disk,
            directory: &self.directory,
            tree_id: &self.tree_id,
        }
    }

    /// Returns the segment that contains the next entry, and the last valid version in it.
    fn locate(&self) -> Result<(SegmentName, u64), FollowError> {
        let segments = self.location().segments()?;
        let mut with_ranges = segments.iter().zip(ranges(&segments));
        let found = with_ranges.find(|(_, range)| range.contains(&self.next));
        let found = found.map(|(name, range)| (*name, *range.end()));
        found.ok_or(FollowError::Gap {
            wanted: self.next,
            oldest: segments.iter().map(|name| name.first_version).min(),
        })
    }

    /// Opens a segment at the next entry. Returns `None` if it is no longer there.
    fn open_segment(
        &self,
        name: SegmentName,
        end: u64,
    ) -> Result<Option<OpenSegment>, FollowError> {
        let reader = match self.location().open(name) {
            Ok(reader) => reader,
            Err(ReadLogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            // The file lost its name between the two calls.
            Err(ReadLogError::Header { .. }) if self.locate().ok() != Some((name, end)) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut segment = OpenSegment {
            reader,
            offset: SEGMENT_HEADER_BYTES as u64,
            end,
        };
        let path = self.directory.join(name.to_string());
        for version in name.first_version..self.next {
            if segment.skip(version, &path)?.is_err() {
                // Treated like a broken entry: the next read distinguishes damage from trimming.
                break;
            }
        }
        Ok(Some(segment))
    }

    /// Checks that an entry follows from the one before it.
    fn take(&mut self, entry: LogEntry) -> Result<LogEntry, FollowError> {
        let (record, open) = (&entry.record, self.open.as_ref());
        let link = Link::broken(record, Some(self.next), &self.tree_id, self.parent);
        if let (Some(link), Some(open)) = (link, open) {
            let (segment, offset) = (open.reader.header.name, open.offset);
            self.open = None;
            return Err(FollowError::Log(ReadLogError::Chain {
                segment,
                offset,
                version: self.next,
                link,
            }));
        }
        self.parent = Some(record.commit_id());
        self.next += 1;
        Ok(entry)
    }
}

impl OpenSegment {
    /// Reads the entry at the offset and advances. If the bytes read ahead are older than the entry, reads them again.
    fn read(&mut self, path: &Path) -> Result<Result<LogEntry, FrameError>, ReadLogError> {
        let in_file = |source| ReadLogError::Io {
            path: path.to_owned(),
            source,
        };
        let mut found = self.reader.frame_at(self.offset).map_err(in_file)?;
        if found.is_err() {
            self.reader.look_again().map_err(in_file)?;
            found = self.reader.frame_at(self.offset).map_err(in_file)?;
        }
        let frame = match found {
            Ok(frame) => frame,
            Err(error) => return Ok(Err(error)),
        };
        let content = frame.content().map_err(|source| ReadLogError::Unreadable {
            segment: self.reader.header.name,
            offset: self.offset,
            version: frame.header.version,
            source,
        })?;
        // There is a clean close in place of the entry: the owner has begun another segment.
        let Some(entry) = content else {
            return Ok(Err(FrameError::CutShort));
        };
        self.offset += frame.header.frame_bytes() as u64;
        Ok(Ok(entry))
    }

    /// Skips an entry, reading only its header.
    fn skip(&mut self, version: u64, path: &Path) -> Result<Result<(), FrameError>, ReadLogError> {
        let header = self.reader.header_at(self.offset);
        let header = header.map_err(|source| ReadLogError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(header.and_then(|header| {
            self.offset += header.frame_bytes() as u64;
            match header.version == version {
                true => Ok(()),
                false => Err(FrameError::Mark),
            }
        }))
    }
}
