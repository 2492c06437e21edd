//! One frame of the log: its bytes, and reading them back.
//!
//! Frame, integers little-endian: mark 8, kind u8 (1 commit, 2 clean close), body length u32,
//! version u64, synced version u64, body, checksum 32. Not here: which frame may follow which
//! (`recover`) and the file they are in (`segment`).
//!
//! *Mark* and checksum depend on a salt of the segment that no client can predict. Values come
//! from clients and lie in the log as they are: without the salt, a value could hold a forged frame,
//! and the search for frames behind a torn tail would believe it.

use bytes::Bytes;

use super::{EntryHead, LogEntry};
use crate::hash::{Digest, FRAME};
use crate::record::{CommitRecord, RECORD_BYTES_MAX, RecordError};
use crate::store::cursor::{Cursor, put_optional};

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 8 + 1 + 4 + 8 + 8;
/// Bytes of a frame after its body.
pub const CHECKSUM_BYTES: usize = 32;
/// The maximum bytes of encoded effects in one version.
pub const EFFECTS_BYTES_MAX: usize = 512 << 20;
/// The maximum bytes of encoded outcomes in one version: more than a million of the longest ones.
pub const OUTCOMES_BYTES_MAX: usize = 144 << 20;
/// The maximum bytes of a frame's body.
pub const BODY_BYTES_MAX: usize =
    2 + RECORD_BYTES_MAX + 1 + 48 + 1 + 4 + OUTCOMES_BYTES_MAX + 4 + EFFECTS_BYTES_MAX;

const KIND_COMMIT: u8 = 1;
const KIND_CLOSE: u8 = 2;
/// Uncompressed effects. Other numbers are reserved for compression.
const CODEC_NONE: u8 = 0;

/// The reason why the bytes at an offset are not a frame.
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
/// log.close()?;
/// let segment = SegmentName { open_epoch: 1, first_version: 1 };
/// let path = Path::new("log").join(segment.to_string());
/// assert!(disk.flip(&path, SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES, 1)); // first byte of a body
///
/// let Err(OpenLogError::Log(ReadLogError::Damaged { version, source, .. })) = open() else {
///     panic!("a synced version was damaged");
/// };
/// assert_eq!((version, source), (1, FrameError::Checksum));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The file ends before the frame does.
    #[error("the file ends within the frame")]
    CutShort,
    /// The mark of the segment is missing.
    #[error("no frame begins here")]
    Mark,
    /// The body length is out of bounds.
    #[error("a body of {0} bytes is more than a frame may have ({BODY_BYTES_MAX})")]
    Length(u32),
    /// The checksum is wrong.
    #[error("the checksum is wrong")]
    Checksum,
}

/// The reason why a frame whose checksum is right cannot be used: another build wrote it, or its fields are wrong.
///
/// ```
/// use std::error::Error;
/// use trunkline_core::store::log::{BodyError, ReadLogError, SegmentName};
/// // What this build says of a log that a later one wrote with compression:
/// let error = ReadLogError::Unreadable {
///     segment: SegmentName { open_epoch: 1, first_version: 1 },
///     offset: 154,
///     version: 1,
///     source: BodyError::Codec(1),
/// };
/// assert!(error.to_string().ends_with("use the build that wrote it"));
/// assert_eq!(error.source().unwrap().to_string(), "codec 1 is not known to this build");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// An unknown kind of frame.
    #[error("frame kind {0} is not known to this build")]
    Kind(u8),
    /// An unknown codec.
    #[error("codec {0} is not known to this build")]
    Codec(u8),
    /// A field does not fit the body.
    #[error("the fields do not fit the body")]
    Fields,
    /// The record cannot be read.
    #[error("the commit record cannot be read")]
    Record(#[from] RecordError),
    /// The record has another version than the frame.
    #[error("the frame says version {frame}, its record {record}")]
    Version {
        /// The version in the frame's header.
        frame: u64,
        /// The version in the record.
        record: u64,
    },
}

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: u8,
    pub(super) body_bytes: u32,
    pub(super) version: u64,
    /// Every version up to this one was durable when the frame was written.
    pub(super) synced_version: u64,
}

/// A frame whose checksum is right.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) body: Bytes,
}

/// The salt of a segment, and the mark that begins each of its frames.
#[derive(Clone, Copy)]
pub(super) struct FrameSalt(pub(super) Digest);

impl FrameSalt {
    pub(super) fn mark(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    fn checksum(&self, frame: &[u8]) -> Digest {
        FRAME.hash_parts(&[&self.0, frame])
    }

    /// Appends the frame of a commit.
    pub(super) fn put_commit(&self, entry: &LogEntry, synced_version: u64, out: &mut Vec<u8>) {
        let start = out.len();
        reserve_header(out);
        put_fields(&entry.head(), out);
        put_section(out, |out| out.extend_from_slice(&entry.effects));
        self.finish_commit(start, entry.record.version, synced_version, out);
    }

    /// Completes a frame whose body is at the end of `out`, after the space for a header.
    pub(super) fn finish_commit(
        &self,
        start: usize,
        version: u64,
        synced_version: u64,
        out: &mut Vec<u8>,
    ) {
        let body_start = start + FRAME_HEADER_BYTES;
        let header = FrameHeader {
            kind: KIND_COMMIT,
            body_bytes: (out.len() - body_start) as u32,
            version,
            synced_version,
        };
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES);
        self.put_header(&header, &mut bytes);
        out[start..body_start].copy_from_slice(&bytes);
        self.put_checksum(start, out);
    }

    /// Appends the frame of a clean close: everything up to `version` is durable.
    pub(super) fn put_close(&self, version: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let header = FrameHeader {
            kind: KIND_CLOSE,
            body_bytes: 0,
            version,
            synced_version: version,
        };
        self.put_header(&header, out);
        self.put_checksum(start, out);
    }

    fn put_header(&self, header: &FrameHeader, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mark());
        out.push(header.kind);
        out.extend_from_slice(&header.body_bytes.to_le_bytes());
        out.extend_from_slice(&header.version.to_le_bytes());
        out.extend_from_slice(&header.synced_version.to_le_bytes());
    }

    fn put_checksum(&self, start: usize, out: &mut Vec<u8>) {
        let checksum = self.checksum(&out[start..]);
        out.extend_from_slice(&checksum);
    }

    /// Reads a header, which is not trusted before [`Self::check`].
    pub(super) fn header(&self, bytes: &[u8]) -> Result<FrameHeader, FrameError> {
        let mut cursor = Cursor(bytes);
        if cursor.array().ok_or(FrameError::CutShort)? != self.mark() {
            return Err(FrameError::Mark);
        }
        let header = header_fields(&mut cursor).ok_or(FrameError::CutShort)?;
        if header.body_bytes as usize > BODY_BYTES_MAX {
            return Err(FrameError::Length(header.body_bytes));
        }
        Ok(header)
    }

    /// Checks a whole frame (header, body, checksum, and nothing else) against its checksum.
    pub(super) fn check(&self, header: FrameHeader, frame: Bytes) -> Result<Frame, FrameError> {
        let (checked, checksum) = frame.split_last_chunk().ok_or(FrameError::CutShort)?;
        if self.checksum(checked) != *checksum {
            return Err(FrameError::Checksum);
        }
        let body = frame.slice(FRAME_HEADER_BYTES..checked.len());
        Ok(Frame { header, body })
    }
}

fn header_fields(cursor: &mut Cursor<'_>) -> Option<FrameHeader> {
    Some(FrameHeader {
        kind: cursor.u8()?,
        body_bytes: cursor.u32()?,
        version: cursor.u64()?,
        synced_version: cursor.u64()?,
    })
}

impl FrameHeader {
    /// Returns the length of the whole frame, bytes.
    pub(super) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes as usize + CHECKSUM_BYTES
    }
}

/// Reserves space for the header of a frame whose body is written first.
pub(super) fn reserve_header(out: &mut Vec<u8>) {
    out.resize(out.len() + FRAME_HEADER_BYTES, 0);
}

/// Appends the first part of a commit's body: record length u16, record, KZG flag u8 (then 48 bytes if 1),
/// codec u8, outcomes length u32, outcomes. Effects length u32 and effects follow.
pub(super) fn put_fields(head: &EntryHead<'_>, out: &mut Vec<u8>) {
    let record = head.record.encode();
    out.extend_from_slice(&(record.len() as u16).to_le_bytes());
    out.extend_from_slice(&record);
    put_optional(head.kzg_root.map(|root| &root[..]), out);
    out.push(CODEC_NONE);
    out.extend_from_slice(&(head.outcomes.len() as u32).to_le_bytes());
    out.extend_from_slice(head.outcomes);
}

/// Appends a length u32 and the bytes that `put` appends, and returns the result of `put`.
pub(super) fn put_section<T>(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let given = put(out);
    let start = length_at + 4;
    let bytes = out.len().saturating_sub(start) as u32;
    out[length_at..start].copy_from_slice(&bytes.to_le_bytes());
    given
}

impl Frame {
    /// Reads the content of the frame: an entry, whose outcomes and effects share its allocation, or
    /// nothing if it is a clean close.
    pub(super) fn content(&self) -> Result<Option<LogEntry>, BodyError> {
        match self.header.kind {
            KIND_COMMIT => self.entry().map(Some),
            KIND_CLOSE if self.body.is_empty() => Ok(None),
            KIND_CLOSE => Err(BodyError::Fields),
            kind => Err(BodyError::Kind(kind)),
        }
    }

    fn entry(&self) -> Result<LogEntry, BodyError> {
        let mut cursor = Cursor(&self.body);
        let record = record(&mut cursor)?;
        if record.version != self.header.version {
            return Err(BodyError::Version {
                frame: self.header.version,
                record: record.version,
            });
        }
        let kzg_root = cursor.optional().ok_or(BodyError::Fields)?;
        let codec = cursor.u8().ok_or(BodyError::Fields)?;
        if codec != CODEC_NONE {
            return Err(BodyError::Codec(codec));
        }
        let outcomes = self
            .section(&mut cursor, OUTCOMES_BYTES_MAX)
            .ok_or(BodyError::Fields)?;
        let effects = self
            .section(&mut cursor, EFFECTS_BYTES_MAX)
            .ok_or(BodyError::Fields)?;
        if !cursor.0.is_empty() {
            return Err(BodyError::Fields);
        }
        Ok(LogEntry {
            record,
            kzg_root,
            outcomes,
            effects,
        })
    }

    /// Reads a length u32 and that number of bytes.
    fn section(&self, cursor: &mut Cursor<'_>, bytes_max: usize) -> Option<Bytes> {
        let count = cursor.u32()? as usize;
        if count > bytes_max {
            return None;
        }
        cursor.shared(count, &self.body)
    }
}

fn record(cursor: &mut Cursor<'_>) -> Result<CommitRecord, BodyError> {
    let record_bytes = cursor.u16().ok_or(BodyError::Fields)?;
    let bytes = cursor
        .take(usize::from(record_bytes))
        .ok_or(BodyError::Fields)?;
    Ok(CommitRecord::decode(bytes)?)
}
