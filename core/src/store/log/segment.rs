//! A segment file: its name, its header, and reading frames out of it.
//!
//! `<first version, 20 digits>-<open epoch, 10 digits>.seg`. A segment has its name only once its
//! header (and what recovery copied into it) is synced: it is written as `….seg.tmp` and renamed.
//! So a header that is not valid under a `.seg` name is damage, never a crash. And a segment is
//! begun only when every version before its first is durable: that is what its header proves.
//!
//! A file may be reused that held a dead segment of the same opening. Its old content, under another salt,
//! follows the last frame.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::LogPosition;
use super::frame::{FRAME_HEADER_BYTES, Frame, FrameError, FrameHeader, FrameSalt};
use crate::hash::{Digest, FRAME};
use crate::params::FORMAT;
use crate::store::cursor::{Cursor, open_file, put_file};
use crate::store::disk::{Disk, DiskFile, DiskReader, FileId, parent_of, temporary_name};
use crate::store::own_directory::ReplacedError;

/// The length of a segment's header, bytes.
pub const SEGMENT_HEADER_BYTES: usize = 8 + 2 + 32 + 8 + 8 + 32 + 32 + 32;

const MAGIC: [u8; 8] = *b"trunklog";
pub(super) const SUFFIX: &str = ".seg";
/// The bytes that are read ahead, so that small frames do not cost a system call each.
const READ_BYTES: usize = 256 << 10;
/// The minimum of bytes that are read ahead.
const READ_BYTES_LEAST: usize = 4 << 10;

/// The name of a segment.
///
/// Segments are ordered by epoch, then by first version, which is the order in which they were begun.
///
/// ```
/// use trunkline_core::store::log::SegmentName;
/// let name = SegmentName { open_epoch: 2, first_version: 17 };
/// assert_eq!(name.to_string(), "00000000000000000017-0000000002.seg");
/// assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The number of times that the log had been opened when the segment was begun.
    pub open_epoch: u64,
    /// The version of the first frame, from 1.
    pub first_version: u64,
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:020}-{:010}{SUFFIX}",
            self.first_version, self.open_epoch
        )
    }
}

impl SegmentName {
    /// Reads a file name; `None` if [`Display`](std::fmt::Display) cannot return it.
    pub fn parse(name: &str) -> Option<Self> {
        let (first_version, open_epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let parsed = Self {
            open_epoch: open_epoch.parse().ok()?,
            first_version: first_version.parse().ok()?,
        };
        (parsed.first_version > 0 && parsed.to_string() == name).then_some(parsed)
    }

    /// Returns the version before the first one of the segment.
    pub(super) fn version_before(&self) -> u64 {
        self.first_version.saturating_sub(1)
    }
}

/// The reason why the header of a segment cannot be used.
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
/// open()?.0.close()?;
/// let segment = SegmentName { open_epoch: 1, first_version: 1 };
/// assert!(disk.flip(&Path::new("log").join(segment.to_string()), 0, 1));
/// let Err(OpenLogError::Log(ReadLogError::Header { source, .. })) = open() else {
///     panic!("the header was damaged");
/// };
/// assert_eq!(source, HeaderError::Magic);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file is shorter than a header.
    #[error("the file is too short")]
    CutShort,
    /// The file begins with other bytes.
    #[error("the file does not begin as a log segment does")]
    Magic,
    /// Written by another format version.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The checksum is wrong.
    #[error("the checksum of its header is wrong")]
    Checksum,
    /// The header belongs to another segment than the name.
    #[error("the header is that of segment {0}; was the file renamed?")]
    Name(SegmentName),
    /// The header belongs to another tree.
    #[error("the segment belongs to another tree")]
    Tree,
}

/// The header at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) tree_id: Digest,
    pub(super) name: SegmentName,
    /// The commit id of the version before the first.
    pub(super) parent: Digest,
    pub(super) salt: Digest,
}

impl SegmentHeader {
    /// Returns the header of a segment that continues after `last`.
    pub(super) fn after(
        last: &LogPosition,
        tree_id: Digest,
        open_epoch: u64,
        nonce: &[u8; 32],
    ) -> Self {
        let first_version = last.version.saturating_add(1);
        let salt = FRAME.hash_parts(&[
            b"segment salt",
            nonce,
            &open_epoch.to_le_bytes(),
            &first_version.to_le_bytes(),
        ]);
        Self {
            tree_id,
            name: SegmentName {
                open_epoch,
                first_version,
            },
            parent: last.commit_id,
            salt,
        }
    }

    pub(super) fn frame_salt(&self) -> FrameSalt {
        FrameSalt(self.salt)
    }

    /// Encodes the header. Integers little-endian: magic `trunklog`, format u16, tree id 32, open epoch u64, first
    /// version u64, commit id of the version before 32, salt 32, checksum 32 (over everything before it).
    pub(super) fn encode(&self) -> Vec<u8> {
        put_file(
            MAGIC,
            &[
                &self.tree_id,
                &self.name.open_epoch.to_le_bytes(),
                &self.name.first_version.to_le_bytes(),
                &self.parent,
                &self.salt,
            ],
        )
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        use HeaderError::{Checksum, CutShort, Format, Magic};
        let mut cursor = open_file(bytes, MAGIC, Magic, Format, Checksum)?;
        header_fields(&mut cursor).ok_or(CutShort)
    }
}

fn header_fields(cursor: &mut Cursor<'_>) -> Option<SegmentHeader> {
    Some(SegmentHeader {
        tree_id: cursor.array()?,
        name: SegmentName {
            open_epoch: cursor.u64()?,
            first_version: cursor.u64()?,
        },
        parent: cursor.array()?,
        salt: cursor.array()?,
    })
}

/// A segment being read, through a buffer.
pub(super) struct SegmentReader {
    pub(super) header: SegmentHeader,
    /// The length of the file when it was opened or last looked at, bytes.
    pub(super) length: u64,
    file: Box<dyn DiskReader>,
    buffer: Vec<u8>,
    buffer_offset: u64,
    /// The bytes that the next read fetches ahead.
    ahead_bytes: usize,
}

/// The reason why a segment could not be opened for reading.
pub(super) enum OpenSegmentError {
    Io(io::Error),
    Header(HeaderError),
}

impl SegmentReader {
    /// Opens a segment, and compares its header with its name and the tree.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        name: SegmentName,
        tree_id: &Digest,
    ) -> Result<Self, OpenSegmentError> {
        let mut file = disk.open(path).map_err(OpenSegmentError::Io)?;
        let length = file.length().map_err(OpenSegmentError::Io)?;
        if length < SEGMENT_HEADER_BYTES as u64 {
            return Err(OpenSegmentError::Header(HeaderError::CutShort));
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        file.read_exact_at(0, &mut bytes)
            .map_err(OpenSegmentError::Io)?;
        let header = SegmentHeader::decode(&bytes).map_err(OpenSegmentError::Header)?;
        if header.tree_id != *tree_id {
            return Err(OpenSegmentError::Header(HeaderError::Tree));
        }
        if header.name != name {
            return Err(OpenSegmentError::Header(HeaderError::Name(header.name)));
        }
        Ok(Self {
            header,
            length,
            file,
            buffer: Vec::new(),
            buffer_offset: 0,
            ahead_bytes: READ_BYTES,
        })
    }

    /// Forgets the bytes read ahead and looks at the length of the file again, for a file that is being written. The
    /// next frame is probably the last, so little is read ahead at first.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.length = self.file.length()?;
        self.buffer.clear();
        self.ahead_bytes = READ_BYTES_LEAST;
        Ok(())
    }

    /// Returns the header of the frame at an offset, without comparing its checksum.
    pub(super) fn header_at(&mut self, offset: u64) -> io::Result<Result<FrameHeader, FrameError>> {
        let left = self.length.saturating_sub(offset);
        if left < FRAME_HEADER_BYTES as u64 {
            return Ok(Err(FrameError::CutShort));
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.read_exact_at(offset, &mut bytes)?;
        let header = self.header.frame_salt().header(&bytes);
        Ok(
            header.and_then(|header| match header.frame_bytes() as u64 > left {
                true => Err(FrameError::CutShort),
                false => Ok(header),
            }),
        )
    }

    /// Returns the frame at an offset, with a body in its own allocation. Nothing is allocated beyond the length of the
    /// file.
    pub(super) fn frame_at(&mut self, offset: u64) -> io::Result<Result<Frame, FrameError>> {
        let salt = self.header.frame_salt();
        let header = match self.header_at(offset)? {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let mut frame = vec![0; header.frame_bytes()];
        self.read_exact_at(offset, &mut frame)?;
        Ok(salt.check(header, Bytes::from(frame)))
    }

    /// Returns the first offset at or after `offset` that has the mark of a frame.
    pub(super) fn find_mark(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        let mark = self.header.frame_salt().mark();
        while offset.saturating_add(mark.len() as u64) <= self.length {
            let window_bytes = (self.length - offset).min(READ_BYTES as u64) as usize;
            let mut window = vec![0; window_bytes];
            self.read_exact_at(offset, &mut window)?;
            if let Some(index) = window.windows(mark.len()).position(|bytes| bytes == mark) {
                return Ok(Some(offset + index as u64));
            }
            // The next window overlaps, so that a mark across the border is seen.
            offset += (window_bytes - mark.len() + 1) as u64;
        }
        Ok(None)
    }

    fn read_exact_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if out.len() >= READ_BYTES {
            return self.file.read_exact_at(offset, out);
        }
        if !self.buffered(offset, out.len()) {
            let ahead_bytes = self.ahead_bytes.max(out.len());
            self.ahead_bytes = (2 * ahead_bytes).min(READ_BYTES);
            let count = (self.length - offset).min(ahead_bytes as u64) as usize;
            self.buffer.resize(count, 0);
            self.file.read_exact_at(offset, &mut self.buffer)?;
            self.buffer_offset = offset;
        }
        let start = (offset - self.buffer_offset) as usize;
        match self.buffer.get(start..start + out.len()) {
            Some(bytes) => out.copy_from_slice(bytes),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn buffered(&self, offset: u64, count: usize) -> bool {
        let end = self.buffer_offset + self.buffer.len() as u64;
        offset >= self.buffer_offset && offset + count as u64 <= end
    }
}

/// A segment being written.
pub(super) struct SegmentWriter {
    pub(super) header: SegmentHeader,
    /// The bytes written so far.
    pub(super) length: u64,
    file: Box<dyn DiskFile>,
    id: FileId,
    path: PathBuf,
}

impl SegmentWriter {
    /// Creates the segment under its temporary name, with its header.
    pub(super) fn create(
        disk: &dyn Disk,
        directory: &Path,
        header: SegmentHeader,
    ) -> io::Result<Self> {
        let path = directory.join(header.name.to_string());
        let file = disk.create(&temporary_name(&path))?;
        Self::begin(file, path, header)
    }

    /// Works like [`Self::create`], in the file of a dead segment.
    pub(super) fn recycle(
        disk: &dyn Disk,
        directory: &Path,
        header: SegmentHeader,
        spare: &Path,
    ) -> io::Result<Self> {
        let path = directory.join(header.name.to_string());
        let temporary = temporary_name(&path);
        disk.rename(spare, &temporary)?;
        // The segment must not appear under its name with any other content.
        disk.sync_directory(directory)?;
        let file = disk.reuse(&temporary, 0)?;
        Self::begin(file, path, header)
    }

    fn begin(file: Box<dyn DiskFile>, path: PathBuf, header: SegmentHeader) -> io::Result<Self> {
        let mut writer = Self {
            header,
            length: 0,
            id: file.identity()?,
            file,
            path,
        };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    /// Syncs the written bytes and gives the segment its name, durably.
    pub(super) fn publish(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.sync()?;
        disk.rename(&temporary_name(&self.path), &self.path)?;
        disk.sync_directory(parent_of(&self.path))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Checks that the segment's name still refers to the open file.
    pub(super) fn check_name(&self, disk: &dyn Disk) -> io::Result<()> {
        ReplacedError::check(disk, &self.path, self.id)
    }
}
