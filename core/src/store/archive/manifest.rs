//! The manifest of a base. An archive has a base if it has this object; it is written after all parts.

use super::{Kind, ObjectError, check_tree};
use crate::hash::Digest;
use crate::record::CommitRecord;
use crate::store::cursor::Cursor;
use crate::store::idempotency_file::KEYED_SUBMISSIONS_MAX;
use crate::store::manifest::{CheckpointManifest, MANIFEST_BYTES_MAX, ManifestError};

/// The maximum number of parts of one kind.
pub const PARTS_MAX: usize = 1_000_000;
/// The maximum length of the manifest of a base, bytes.
pub const BASE_MANIFEST_BYTES_MAX: usize =
    8 + 2 + 32 + 2 + MANIFEST_BYTES_MAX + 3 * (4 + PARTS_MAX * PART_BYTES) + 32;

const KIND: Kind = Kind {
    magic: *b"trunkbas",
    name: "a manifest of a base",
};
/// Bytes of a part in the manifest.
const PART_BYTES: usize = 8 + 4 + 32;

/// The entry of a part in the manifest of its base.
///
/// ```
/// use trunkline_core::store::archive::manifest::Part;
/// let part = Part { bytes: 1000, count: 8, checksum: [7; 32] };
/// assert!(part.count > 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The length of the part, bytes.
    pub bytes: u64,
    /// The number of leaves, commit ids or submissions in the part.
    pub count: u32,
    /// The checksum at the end of the part.
    pub checksum: Digest,
}

/// The content of the manifest of a base.
///
/// ```
/// use trunkline_core::store::archive::manifest::{BaseManifest, Part};
/// use trunkline_core::store::manifest::CheckpointManifest;
/// let manifest = BaseManifest {
///     state: CheckpointManifest::genesis([1; 32]), // no leaves, and the commit id of version 0
///     leaves: vec![],
///     commit_ids: vec![Part { bytes: 120, count: 1, checksum: [7; 32] }],
///     idempotency_keys: vec![],
/// };
/// assert_eq!(BaseManifest::decode(&manifest.encode()), Ok(manifest));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseManifest {
    /// Record, KZG root and history of the version, without an intent.
    pub state: CheckpointManifest,
    /// The parts with the leaves.
    pub leaves: Vec<Part>,
    /// The parts with the commit ids of versions 0 up to the base's own.
    pub commit_ids: Vec<Part>,
    /// The parts with the submissions that were remembered by their idempotency keys. The record does not prove them.
    pub idempotency_keys: Vec<Part>,
}

impl BaseManifest {
    /// Returns the record of the version.
    pub fn record(&self) -> &CommitRecord {
        &self.state.record
    }

    /// Returns the bytes of the manifest. Layout, integers little-endian: magic `trunkbas`, format u16, tree id 32,
    /// length u16 and bytes of a checkpoint manifest without an intent, number of parts with leaves u32 and the parts,
    /// number of parts with commit ids u32 and the parts, number of parts with idempotency keys u32 and the parts, checksum
    /// 32. A part: length u64, count u32, checksum 32.
    pub fn encode(&self) -> Vec<u8> {
        let state = self.state.encode();
        let (leaves, commit_ids) = (put_parts(&self.leaves), put_parts(&self.commit_ids));
        let keys = put_parts(&self.idempotency_keys);
        let length = (state.len() as u16).to_le_bytes();
        KIND.put(
            &self.record().tree_id,
            &[&length, &state, &leaves, &commit_ids, &keys],
        )
    }

    /// Reads the result of [`Self::encode`]; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let (tree_id, mut cursor) = KIND.open(bytes)?;
        let manifest = Self::read(&mut cursor)?.ok_or(ObjectError::Damaged)?;
        check_tree(manifest.record().tree_id, &tree_id)?;
        manifest.check()
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, ObjectError> {
        let Some(state) = state_bytes(cursor) else {
            return Ok(None);
        };
        let state = CheckpointManifest::decode(state).map_err(|error| match error {
            ManifestError::Record(error) => ObjectError::Record(error),
            ManifestError::Format(format) => ObjectError::Format(format),
            _ => ObjectError::Contradiction("the state in it cannot be read"),
        })?;
        let mut parts = || read_parts(cursor);
        let (Some(leaves), Some(commit_ids), Some(keys)) = (parts(), parts(), parts()) else {
            return Ok(None);
        };
        Ok(cursor.0.is_empty().then_some(Self {
            state,
            leaves,
            commit_ids,
            idempotency_keys: keys,
        }))
    }

    /// Returns all parts: those with leaves, then those with commit ids, then those with idempotency keys.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        let kinds = [&self.leaves, &self.commit_ids, &self.idempotency_keys];
        kinds.into_iter().flatten()
    }

    fn check(self) -> Result<Self, ObjectError> {
        let contradiction = if self.state.intent.is_some() {
            "the state in it is unfinished"
        } else if count(&self.leaves) != self.record().key_count {
            "its parts have another number of leaves than its record has keys"
        } else if count(&self.commit_ids) != self.state.history.count() {
            "its parts have another number of commit ids than its history"
        } else if count(&self.idempotency_keys) > KEYED_SUBMISSIONS_MAX as u64 {
            "it has more idempotency keys than a tree can remember"
        } else if self.parts().any(|part| part.count == 0) {
            "a part is empty"
        } else {
            return Ok(self);
        };
        Err(ObjectError::Contradiction(contradiction))
    }
}

fn state_bytes<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = usize::from(cursor.u16()?);
    cursor.take(length)
}

/// Returns the sum of the counts. It cannot overflow: there are at most [`PARTS_MAX`] parts.
fn count(parts: &[Part]) -> u64 {
    parts.iter().map(|part| u64::from(part.count)).sum()
}

fn put_parts(parts: &[Part]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + parts.len() * PART_BYTES);
    bytes.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(&part.bytes.to_le_bytes());
        bytes.extend_from_slice(&part.count.to_le_bytes());
        bytes.extend_from_slice(&part.checksum);
    }
    bytes
}

fn read_parts(cursor: &mut Cursor<'_>) -> Option<Vec<Part>> {
    let count = cursor.u32()? as usize;
    if count > PARTS_MAX || count > cursor.0.len() / PART_BYTES {
        return None;
    }
    (0..count).map(|_| read_part(cursor)).collect()
}

fn read_part(cursor: &mut Cursor<'_>) -> Option<Part> {
    Some(Part {
        bytes: cursor.u64()?,
        count: cursor.u32()?,
        checksum: cursor.array()?,
    })
}
