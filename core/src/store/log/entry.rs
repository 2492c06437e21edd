//! An entry of the log: one version and its position in history. Not here: its bytes in a frame (`frame`).

use bytes::Bytes;

use crate::hash::Digest;
use crate::record::CommitRecord;

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
    /// Encoded outcomes of the version's submissions; opaque here, at most [`OUTCOMES_BYTES_MAX`](super::OUTCOMES_BYTES_MAX).
    pub outcomes: Bytes,
    /// Encoded effects (see [`effect`](crate::store::effect)); opaque here, at most
    /// [`EFFECTS_BYTES_MAX`](super::EFFECTS_BYTES_MAX).
    pub effects: Bytes,
}

impl LogEntry {
    /// Returns the entry without its effects.
    pub fn head(&self) -> EntryHead<'_> {
        EntryHead {
            record: &self.record,
            kzg_root: self.kzg_root.as_ref(),
            outcomes: &self.outcomes,
        }
    }
}

/// One version to be logged, without its effects, which are encoded at the place where they are written.
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
    /// Encoded outcomes of the version's submissions; opaque here, at most [`OUTCOMES_BYTES_MAX`](super::OUTCOMES_BYTES_MAX).
    pub outcomes: &'a [u8],
}

/// A version and its commit id: a position in history.
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
    /// The commit id of the version.
    pub commit_id: Digest,
}

impl LogPosition {
    /// Returns the position of a record.
    pub fn of(record: &CommitRecord) -> Self {
        Self {
            version: record.version,
            commit_id: record.commit_id(),
        }
    }
}
