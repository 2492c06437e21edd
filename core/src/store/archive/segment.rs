//! Segments: the frames of consecutive versions of one epoch.
//!
//! Not here: the content of a frame.

use bytes::Bytes;

use super::{Kind, ObjectError, SegmentName, check_tree};
use crate::frame::FRAME_BYTES_MAX;
use crate::hash::Digest;
use crate::store::cursor::Cursor;
use crate::store::log::LogPosition;

/// The bytes of frames at which a segment is full.
pub const SEGMENT_FRAMES_BYTES: usize = 16 << 20;
/// The maximum length of a segment, bytes.
pub const SEGMENT_BYTES_MAX: usize = HEADER_BYTES + SEGMENT_FRAMES_BYTES + 4 + FRAME_BYTES_MAX + 32;

const KIND: Kind = Kind {
    magic: *b"trunkseg",
    name: "a segment of an archive",
};
/// Magic, format, tree id, epoch, first version, last version, parent, last commit id.
const HEADER_BYTES: usize = 8 + 2 + 32 + 3 * 8 + 2 * 32;

/// A segment: frames of consecutive versions.
///
/// ```
/// use trunkline_core::store::archive::segment::{Segment, SegmentWriter};
/// use trunkline_core::store::log::LogPosition;
/// let genesis = LogPosition { version: 0, commit_id: [2; 32] };
/// let mut writer = SegmentWriter::new([1; 32], 1, genesis);
/// writer.push([3; 32], b"a frame");
/// let (name, bytes) = writer.finish().unwrap();
/// let segment = Segment::decode(&[1; 32], &name, &bytes.into())?;
/// assert_eq!(segment.frames, ["a frame"]);
/// # Ok::<(), trunkline_core::store::archive::ObjectError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The version before the first one.
    pub parent: LogPosition,
    /// The last version.
    pub last: LogPosition,
    /// The frames, one for each version.
    pub frames: Vec<Bytes>,
}

impl Segment {
    /// Reads the segment with a name. The frames share its allocation.
    pub fn decode(
        tree_id: &Digest,
        name: &SegmentName,
        bytes: &Bytes,
    ) -> Result<Self, ObjectError> {
        let (found, mut cursor) = KIND.open(bytes)?;
        check_tree(found, tree_id)?;
        let fields = fields(&mut cursor).ok_or(ObjectError::Damaged)?;
        if fields.name != *name {
            return Err(ObjectError::Contradiction("it is another segment"));
        }
        let before = name.first_version.checked_sub(1);
        let count = before.and_then(|before| name.last_version.checked_sub(before));
        let count = count.filter(|count| *count > 0);
        let (Some(before), Some(count)) = (before, count) else {
            return Err(ObjectError::Contradiction("it has no versions"));
        };
        let frames = frames(&mut cursor, count, bytes);
        Ok(Self {
            parent: LogPosition {
                version: before,
                commit_id: fields.parent,
            },
            last: LogPosition {
                version: name.last_version,
                commit_id: fields.last,
            },
            frames: frames.ok_or(ObjectError::Contradiction(
                "its frames are not those of its versions",
            ))?,
        })
    }
}

struct Fields {
    name: SegmentName,
    parent: Digest,
    last: Digest,
}

fn fields(cursor: &mut Cursor<'_>) -> Option<Fields> {
    let (open_epoch, first_version, last_version) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
    let name = SegmentName {
        first_version,
        last_version,
        open_epoch,
    };
    Some(Fields {
        name,
        parent: cursor.array()?,
        last: cursor.array()?,
    })
}

fn frames(cursor: &mut Cursor<'_>, count: u64, whole: &Bytes) -> Option<Vec<Bytes>> {
    if count > (cursor.0.len() / 4) as u64 {
        return None;
    }
    let frames: Option<Vec<_>> = (0..count).map(|_| frame(cursor, whole)).collect();
    frames.filter(|_| cursor.0.is_empty())
}

fn frame(cursor: &mut Cursor<'_>, whole: &Bytes) -> Option<Bytes> {
    let bytes = cursor.u32()? as usize;
    match bytes <= FRAME_BYTES_MAX {
        true => cursor.shared(bytes, whole),
        false => None,
    }
}

/// A writer that gathers frames into a segment.
#[derive(Debug)]
pub struct SegmentWriter {
    tree_id: Digest,
    open_epoch: u64,
    parent: LogPosition,
    last: LogPosition,
    frames: Vec<u8>,
}

impl SegmentWriter {
    /// Creates a writer for a segment of an epoch, beginning after a version.
    pub fn new(tree_id: Digest, open_epoch: u64, parent: LogPosition) -> Self {
        Self {
            tree_id,
            open_epoch,
            parent,
            last: parent,
            frames: Vec::new(),
        }
    }

    /// Returns the epoch of the segment.
    pub fn open_epoch(&self) -> u64 {
        self.open_epoch
    }

    /// Returns the last version that was added, or the one before the first.
    pub fn last(&self) -> LogPosition {
        self.last
    }

    /// Returns whether the segment is full.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= SEGMENT_FRAMES_BYTES
    }

    /// Adds the frame of the next version.
    pub fn push(&mut self, commit_id: Digest, frame: &[u8]) {
        self.last = LogPosition {
            version: self.last.version + 1,
            commit_id,
        };
        let bytes = frame.len() as u32;
        self.frames.extend_from_slice(&bytes.to_le_bytes());
        self.frames.extend_from_slice(frame);
    }

    /// Returns the segment, if it has a frame. Layout, integers little-endian: magic `trunkseg`, format u16, tree id
    /// 32, open epoch u64, first version u64, last version u64, parent 32 (the commit id of the version before the
    /// first), commit id of the last version 32, for each version the length of its frame u32 and the frame, checksum
    /// 32.
    pub fn finish(&self) -> Option<(SegmentName, Vec<u8>)> {
        let name = SegmentName {
            first_version: self.parent.version + 1,
            last_version: self.last.version,
            open_epoch: self.open_epoch,
        };
        if name.first_version > name.last_version {
            return None;
        }
        let fields = [
            &name.open_epoch.to_le_bytes()[..],
            &name.first_version.to_le_bytes(),
            &name.last_version.to_le_bytes(),
            &self.parent.commit_id,
            &self.last.commit_id,
            &self.frames,
        ];
        Some((name, KIND.put(&self.tree_id, &fields)))
    }
}
