//! Parts of a base: leaves in the order of their key hashes, commit ids in the order of their versions, and submissions
//! with idempotency keys in their order.
//!
//! A part is closed when it is full. So the content of a part follows from the content of the base alone, and a base
//! that is written a second time has the same parts.

use super::manifest::Part;
use super::{Kind, ObjectError, check_tree};
use crate::hash::Digest;
use crate::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::store::cursor::{Cursor, put_varint};
use crate::store::idempotency_file::{KEYED_SUBMISSION_BYTES, KeyedSubmission, read_row};
use crate::store::leaves::LeafRef;

/// The bytes of leaves at which a part is full.
pub const LEAVES_BYTES: usize = 8 << 20;
/// The number of commit ids in a full part.
pub const COMMIT_IDS: usize = 1 << 18;
/// The number of submissions with idempotency keys in a full part.
pub const KEYED_SUBMISSIONS: usize = 1 << 15;
/// The maximum length of a part, bytes.
pub const PART_BYTES_MAX: usize =
    HEADER_BYTES + LEAVES_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX + 2 * 10 + 32;

const LEAVES: Kind = Kind {
    magic: *b"trunklvs",
    name: "a part with leaves",
};
const IDS: Kind = Kind {
    magic: *b"trunkids",
    name: "a part with commit ids",
};
const KEYED: Kind = Kind {
    magic: *b"trunkidp",
    name: "a part with idempotency keys",
};
/// Magic, format, tree id, version, index, count.
const HEADER_BYTES: usize = 8 + 2 + 32 + 8 + 4 + 4;

/// The position of a part: its base, and its number among the parts of its kind.
///
/// ```
/// use trunkline_core::store::archive::part::Place;
/// let place = Place { tree_id: [1; 32], version: 9, index: 0 };
/// assert_eq!(place.index, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tree.
    pub tree_id: Digest,
    /// The version of the base.
    pub version: u64,
    /// The number of the part, from 0.
    pub index: u32,
}

impl Place {
    /// Lays out a part. Layout, integers little-endian: magic `trunklvs`, `trunkids` or `trunkidp`, format u16, tree id 32,
    /// version of the base u64, index u32, count u32, content, checksum 32.
    fn put(&self, kind: &Kind, count: usize, content: &[u8]) -> (Part, Vec<u8>) {
        let (version, index) = (self.version.to_le_bytes(), self.index.to_le_bytes());
        let count = count as u32;
        let fields = [&version[..], &index, &count.to_le_bytes(), content];
        let bytes = kind.put(&self.tree_id, &fields);
        let part = Part {
            bytes: bytes.len() as u64,
            count,
            checksum: super::checksum(&bytes).unwrap_or_default(),
        };
        (part, bytes)
    }

    /// Checks everything but the content. Returns the count and a cursor over the content.
    fn open<'a>(&self, kind: &Kind, bytes: &'a [u8]) -> Result<(usize, Cursor<'a>), ObjectError> {
        let (tree_id, mut cursor) = kind.open(bytes)?;
        check_tree(tree_id, &self.tree_id)?;
        let place = (cursor.u64(), cursor.u32());
        let count = cursor.u32().ok_or(ObjectError::Damaged)?;
        match place == (Some(self.version), Some(self.index)) {
            true => Ok((count as usize, cursor)),
            false => Err(ObjectError::Contradiction("it is another part")),
        }
    }
}

/// A writer that gathers leaves into parts.
///
/// ```
/// use trunkline_core::store::archive::part::{LeavesWriter, Place, decode_leaves};
/// use trunkline_core::store::leaves::LeafRef;
/// let leaf = LeafRef { key: b"name", value: b"Ada" };
/// let mut writer = LeavesWriter::new([1; 32], 9);
/// assert_eq!(writer.push(leaf), None); // the part is not full
/// let (part, bytes) = writer.finish().unwrap();
/// let place = Place { tree_id: [1; 32], version: 9, index: 0 };
/// assert_eq!(decode_leaves(&place, &bytes)?, [leaf]);
/// # Ok::<(), trunkline_core::store::archive::ObjectError>(())
/// ```
#[derive(Debug)]
pub struct LeavesWriter {
    place: Place,
    count: usize,
    content: Vec<u8>,
}

impl LeavesWriter {
    /// Creates a writer for a base.
    pub fn new(tree_id: Digest, version: u64) -> Self {
        Self {
            place: Place {
                tree_id,
                version,
                index: 0,
            },
            count: 0,
            content: Vec::new(),
        }
    }

    /// Adds the next leaf in the order of key hashes. Returns the part that it completes, if it does.
    pub fn push(&mut self, leaf: LeafRef<'_>) -> Option<(Part, Vec<u8>)> {
        put_varint(leaf.key.len() as u64, &mut self.content);
        self.content.extend_from_slice(leaf.key);
        put_varint(leaf.value.len() as u64, &mut self.content);
        self.content.extend_from_slice(leaf.value);
        self.count += 1;
        match self.content.len() >= LEAVES_BYTES {
            true => self.finish(),
            false => None,
        }
    }

    /// Returns the last part, if leaves remain for one.
    pub fn finish(&mut self) -> Option<(Part, Vec<u8>)> {
        if self.count == 0 {
            return None;
        }
        let part = self.place.put(&LEAVES, self.count, &self.content);
        self.place.index += 1;
        self.count = 0;
        self.content.clear();
        Some(part)
    }
}

/// Reads a part with leaves, which borrow from `bytes`. Their order is not checked, since it needs their key hashes.
pub fn decode_leaves<'a>(place: &Place, bytes: &'a [u8]) -> Result<Vec<LeafRef<'a>>, ObjectError> {
    let (count, mut cursor) = place.open(&LEAVES, bytes)?;
    // The shortest leaf has three bytes.
    if count > cursor.0.len() / 3 {
        return Err(ObjectError::Contradiction(
            "it has fewer leaves than it says",
        ));
    }
    let leaves: Option<Vec<_>> = (0..count).map(|_| read_leaf(&mut cursor)).collect();
    match leaves.filter(|_| cursor.0.is_empty()) {
        Some(leaves) => Ok(leaves),
        None => Err(ObjectError::Contradiction("its leaves cannot be read")),
    }
}

fn read_leaf<'a>(cursor: &mut Cursor<'a>) -> Option<LeafRef<'a>> {
    let key = take(cursor, KEY_BYTES_MAX)?;
    let value = take(cursor, VALUE_BYTES_MAX)?;
    (!key.is_empty()).then_some(LeafRef { key, value })
}

/// Reads a length of at most `bytes_max`, and that number of bytes.
fn take<'a>(cursor: &mut Cursor<'a>, bytes_max: usize) -> Option<&'a [u8]> {
    let count = usize::try_from(cursor.varint()?).ok()?;
    match count <= bytes_max {
        true => cursor.take(count),
        false => None,
    }
}

/// Returns the part with these commit ids, of which the first belongs to version `index` times [`COMMIT_IDS`].
///
/// ```
/// use trunkline_core::store::archive::part::{Place, decode_commit_ids, encode_commit_ids};
/// let place = Place { tree_id: [1; 32], version: 1, index: 0 };
/// let (part, bytes) = encode_commit_ids(&place, &[[2; 32], [3; 32]]);
/// assert_eq!(part.count, 2);
/// assert_eq!(decode_commit_ids(&place, &bytes)?, [[2; 32], [3; 32]]);
/// # Ok::<(), trunkline_core::store::archive::ObjectError>(())
/// ```
pub fn encode_commit_ids(place: &Place, commit_ids: &[Digest]) -> (Part, Vec<u8>) {
    place.put(&IDS, commit_ids.len(), commit_ids.as_flattened())
}

/// Reads a part with commit ids.
pub fn decode_commit_ids(place: &Place, bytes: &[u8]) -> Result<Vec<Digest>, ObjectError> {
    let (count, cursor) = place.open(&IDS, bytes)?;
    let (commit_ids, rest) = cursor.0.as_chunks::<32>();
    match rest.is_empty() && commit_ids.len() == count {
        true => Ok(commit_ids.to_vec()),
        false => Err(ObjectError::Contradiction(
            "it has another number of commit ids than it says",
        )),
    }
}

/// Returns the part with these submissions, of which the first is number `index` times [`KEYED_SUBMISSIONS`] of those that
/// are remembered.
///
/// ```
/// use trunkline_core::outcome::Outcome;
/// use trunkline_core::store::archive::part::{Place, decode_keyed, encode_keyed};
/// use trunkline_core::store::idempotency_file::KeyedSubmission;
/// let submission = KeyedSubmission {
///     key_hash: [1; 32],
///     sequence: 5,
///     submission: [2; 32],
///     outcome: Outcome::Applied { displaced: 0 },
///     provisional_root: [3; 32],
///     version: 4,
///     state_digest: [4; 32],
/// };
/// let place = Place { tree_id: [1; 32], version: 4, index: 0 };
/// let (part, bytes) = encode_keyed(&place, &[submission]);
/// assert_eq!(part.count, 1);
/// assert_eq!(decode_keyed(&place, &bytes)?, [submission]);
/// # Ok::<(), trunkline_core::store::archive::ObjectError>(())
/// ```
pub fn encode_keyed(place: &Place, submissions: &[KeyedSubmission]) -> (Part, Vec<u8>) {
    let mut rows = Vec::with_capacity(submissions.len() * KEYED_SUBMISSION_BYTES);
    for submission in submissions {
        submission.put(&mut rows);
    }
    place.put(&KEYED, submissions.len(), &rows)
}

/// Reads a part with idempotency keys. The order of the submissions is not checked.
pub fn decode_keyed(place: &Place, bytes: &[u8]) -> Result<Vec<KeyedSubmission>, ObjectError> {
    let (count, mut cursor) = place.open(&KEYED, bytes)?;
    let wrong = "its idempotency keys cannot be read";
    read_row(&mut cursor, count).ok_or(ObjectError::Contradiction(wrong))
}
