//! The `CHECKPOINT` file: the version that the leaf store holds.
//!
//! Two writes make a checkpoint of version H. First the manifest of the version before it, with
//! intent H: from now on the leaf store may hold any mixture of the two. Then, when the leaves of H
//! are ingested and synced, the manifest of H without intent. Replay from the manifest's version is
//! idempotent, so a mixture does no harm. But digests can be compared only at H and above.
//!
//! Not here: when to checkpoint, the leaves, and the nodes below the peaks of the history
//! (`history_file`).

use std::io;
use std::path::Path;

use super::cursor::{Cursor, open_file, optional_bytes, put_file};
use super::disk::{Disk, ReadFileError, read_bounded, replace_file};
use crate::hash::Digest;
use crate::history::{MountainRange, PEAKS_MAX};
use crate::params::FORMAT;
use crate::record::{CommitRecord, RECORD_BYTES_MAX, RecordError};

/// Name of the file.
pub const CHECKPOINT_FILE: &str = "CHECKPOINT";
/// The maximum length of a manifest, bytes.
pub const MANIFEST_BYTES_MAX: usize =
    8 + 2 + 32 + 8 + 2 + RECORD_BYTES_MAX + 1 + 48 + 8 + 1 + PEAKS_MAX * 32 + 1 + 8 + 32;

const MAGIC: [u8; 8] = *b"trunkchk";

/// The content of the checkpoint manifest.
///
/// ```
/// use trunkline_core::store::manifest::CheckpointManifest;
/// let empty = CheckpointManifest::genesis([1; 32]);
/// assert_eq!(empty.record.version, 0);
/// assert_eq!(CheckpointManifest::decode(&empty.encode()), Ok(empty));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointManifest {
    /// The record of version H, whose state the leaf store holds, synced.
    pub record: CommitRecord,
    /// The KZG root of version H, if it was computed by then.
    pub kzg_root: Option<[u8; 48]>,
    /// Peaks over the commit ids of versions 0 to H, H included.
    pub history: MountainRange,
    /// The version (above H) up to which leaves may be newer, if an ingestion was begun since.
    pub intent: Option<u64>,
}

/// The reason why bytes are not a checkpoint manifest.
///
/// ```
/// use trunkline_core::store::manifest::{CheckpointManifest, ManifestError};
/// let mut bytes = CheckpointManifest::genesis([1; 32]).encode();
/// bytes[20] ^= 1;
/// assert_eq!(CheckpointManifest::decode(&bytes), Err(ManifestError::Damaged));
/// bytes[8] = 1;
/// let error = CheckpointManifest::decode(&bytes).unwrap_err(); // first of all, whose bytes are they?
/// assert_eq!(error, ManifestError::Format(1));
/// assert!(error.to_string().ends_with("use a build that reads it"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file begins with other bytes.
    #[error("this is not a trunkline checkpoint manifest; is it the right directory?")]
    Magic,
    /// Written by another format version.
    #[error(
        "checkpoint manifest of format {0}; this build reads format {FORMAT}: use a build that reads it"
    )]
    Format(u16),
    /// The length or checksum is wrong.
    #[error("the checkpoint manifest is damaged; restore the directory from a copy")]
    Damaged,
    /// The checksum is right, but the record cannot be read.
    #[error("the checkpoint manifest holds no commit record")]
    Record(#[from] RecordError),
    /// The checksum is right, but the fields contradict each other.
    #[error("the checkpoint manifest contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// The reason why a manifest was not read.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::if_present, simulated::SimulatedDisk};
/// use trunkline_core::store::manifest::{CheckpointManifest, ReadManifestError};
/// let disk = SimulatedDisk::new(1);
/// // A tree without a checkpoint yet: begin with the manifest of its empty state.
/// let read = if_present(CheckpointManifest::read(&disk, Path::new("")))?;
/// let manifest = read.unwrap_or_else(|| CheckpointManifest::genesis([1; 32]));
/// assert_eq!(manifest.record.version, 0);
/// # Ok::<(), ReadManifestError>(())
/// ```
pub type ReadManifestError = ReadFileError<ManifestError>;

impl CheckpointManifest {
    /// Returns the manifest of a new tree: version 0, no leaves.
    pub fn genesis(tree_id: Digest) -> Self {
        let record = CommitRecord::genesis(tree_id);
        let mut history = MountainRange::default();
        history.append(&crate::history::HISTORY, &record.commit_id());
        Self {
            record,
            kzg_root: None,
            history,
            intent: None,
        }
    }

    /// Returns the content of the file.
    ///
    /// Layout, integers little-endian: magic `trunkchk`, format u16, tree id 32, version u64,
    /// record length u16, record, KZG flag u8 (then 48 bytes if 1), history count u64, peaks u8,
    /// the peaks (32 each), intent flag u8 (then u64 if 1), checksum 32 (over all before it).
    pub fn encode(&self) -> Vec<u8> {
        let record = self.record.encode();
        let peaks = self.history.peaks();
        let intent = self.intent.map(u64::to_le_bytes);
        put_file(
            MAGIC,
            &[
                &self.record.tree_id,
                &self.record.version.to_le_bytes(),
                &(record.len() as u16).to_le_bytes(),
                &record,
                &optional_bytes(self.kzg_root.as_ref().map(|root| &root[..])),
                &self.history.count().to_le_bytes(),
                &[peaks.len() as u8],
                peaks.as_flattened(),
                &optional_bytes(intent.as_ref().map(|intent| &intent[..])),
            ],
        )
    }

    /// Reads the result of [`Self::encode`]; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        use ManifestError::{Damaged, Format, Magic};
        let cursor = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
        Fields::read(cursor).ok_or(Damaged)?.check()
    }

    /// Writes the manifest of a directory: a crash leaves this one or the previous one.
    pub fn write(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        replace_file(disk, &directory.join(CHECKPOINT_FILE), &self.encode())
    }

    /// Reads the manifest of a directory.
    pub fn read(disk: &dyn Disk, directory: &Path) -> Result<Self, ReadManifestError> {
        let path = directory.join(CHECKPOINT_FILE);
        read_bounded(
            disk,
            path,
            MANIFEST_BYTES_MAX,
            ManifestError::Damaged,
            Self::decode,
        )
    }
}

/// The fields as they are stored, not yet compared with each other.
struct Fields<'a> {
    tree_id: Digest,
    version: u64,
    record: &'a [u8],
    kzg_root: Option<[u8; 48]>,
    history_count: u64,
    peaks: Vec<Digest>,
    intent: Option<u64>,
}

impl<'a> Fields<'a> {
    /// Reads everything after the format, up to the checksum and no further.
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let tree_id = cursor.array()?;
        let version = cursor.u64()?;
        let record_bytes = usize::from(cursor.u16()?);
        let record = cursor.take(record_bytes)?;
        let kzg_root = cursor.optional()?;
        let history_count = cursor.u64()?;
        let peaks_count = usize::from(cursor.u8()?);
        if peaks_count > PEAKS_MAX {
            return None;
        }
        let mut peaks = Vec::with_capacity(peaks_count);
        for _ in 0..peaks_count {
            peaks.push(cursor.array()?);
        }
        let intent = cursor.optional()?.map(u64::from_le_bytes);
        cursor.0.is_empty().then_some(Self {
            tree_id,
            version,
            record,
            kzg_root,
            history_count,
            peaks,
            intent,
        })
    }

    fn check(self) -> Result<CheckpointManifest, ManifestError> {
        let record = CommitRecord::decode(self.record)?;
        let history = MountainRange::from_parts(self.history_count, self.peaks);
        let contradiction = if record.tree_id != self.tree_id {
            "the record is of another tree"
        } else if record.version != self.version {
            "the record is of another version"
        } else if self.version.checked_add(1) != Some(self.history_count) {
            "the history does not end at the version"
        } else if self.intent.is_some_and(|intent| intent <= self.version) {
            "the intent is not above the version"
        } else if let Some(history) = history {
            return Ok(CheckpointManifest {
                record,
                kzg_root: self.kzg_root,
                history,
                intent: self.intent,
            });
        } else {
            "the number of peaks does not fit the history"
        };
        Err(ManifestError::Contradiction(contradiction))
    }
}
