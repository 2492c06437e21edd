//! The bytes of entries, each about the state until a version.

use bytes::Bytes;

use crate::hash::Digest;
use crate::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WIDTH};
use crate::record::CommitRecord;
use crate::store::cursor::{Cursor, put_optional, put_varint};
use crate::store::leaves::LeafRef;

/// The longest content of an entry about a key, bytes.
pub const ENTRY_BYTES_MAX: usize = 1 + 3 + KEY_BYTES_MAX + VALUE_BYTES_MAX;
/// The node of a slot's top. The other nodes of entries are 128 to 255, all seven levels below.
pub const TOP_NODE: u8 = 1;

const DELETED_KEY: u8 = 0;
const VALUE: u8 = 1;
const DIGEST: u8 = 2;
const VERSION: u8 = 3;

const LONE: u8 = 1;
const DEEP: u8 = 2;

/// The key of an entry, decoded.
///
/// ```
/// use trunkline_core::store::past::{PastKey, value_key};
/// let key = value_key(&[7; 32], 12);
/// assert_eq!(PastKey::decode(&key), Some(PastKey::Value { key_hash: [7; 32], version: 12 }));
/// assert_eq!(PastKey::decode(&key[1..]), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastKey<'a> {
    /// A key that a version of the segment deleted.
    DeletedKey(&'a [u8]),
    /// The key and the value at a key hash until a version.
    Value {
        /// The key hash.
        key_hash: Digest,
        /// The version that changed it.
        version: u64,
    },
    /// The digest of a node of a slot until a version.
    Digest {
        /// The slot.
        slot: u8,
        /// The node: [`TOP_NODE`], or 128 to 255.
        node: u8,
        /// The version that changed it.
        version: u64,
    },
    /// A version itself.
    Version(u64),
}

impl<'a> PastKey<'a> {
    /// Reads a key; `None` for any other bytes than a written key.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let key = match cursor.u8()? {
            DELETED_KEY => {
                let key = cursor.take(cursor.0.len())?;
                let is_key = (1..=KEY_BYTES_MAX).contains(&key.len());
                return is_key.then_some(Self::DeletedKey(key));
            }
            VALUE => Self::Value {
                key_hash: cursor.array()?,
                version: version(&mut cursor)?,
            },
            DIGEST => {
                let (slot, node) = (cursor.u8()?, cursor.u8()?);
                if usize::from(slot) >= WIDTH || (node < 128 && node != TOP_NODE) {
                    return None;
                }
                let version = version(&mut cursor)?;
                Self::Digest {
                    slot,
                    node,
                    version,
                }
            }
            VERSION => Self::Version(version(&mut cursor)?),
            _ => return None,
        };
        cursor.0.is_empty().then_some(key)
    }
}

fn version(cursor: &mut Cursor<'_>) -> Option<u64> {
    cursor.array().map(u64::from_be_bytes)
}

/// Returns the key of the entry of a key that was deleted. Entries of deleted keys lie in byte order, before all others.
///
/// ```
/// use trunkline_core::store::past::{PastKey, deleted_key, value_key};
/// assert_eq!(PastKey::decode(&deleted_key(b"name")), Some(PastKey::DeletedKey(b"name")));
/// assert!(deleted_key(&[0xff; 40])[..] < value_key(&[0; 32], 0)[..]);
/// ```
pub fn deleted_key(key: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(1 + key.len());
    entry.push(DELETED_KEY);
    entry.extend_from_slice(key);
    entry
}

/// Returns the key of the entry about a key hash until a version.
///
/// ```
/// // Entries of one key hash lie side by side, the oldest first.
/// let key = trunkline_core::store::past::value_key;
/// assert!(key(&[1; 32], 300) < key(&[1; 32], 301) && key(&[1; 32], u64::MAX) < key(&[2; 32], 0));
/// ```
pub fn value_key(key_hash: &Digest, version: u64) -> [u8; 41] {
    let mut key = [VALUE; 41];
    key[1..33].copy_from_slice(key_hash);
    key[33..].copy_from_slice(&version.to_be_bytes());
    key
}

/// Returns the key of the entry about a node of a slot until a version.
///
/// ```
/// use trunkline_core::store::past::{PastKey, digest_key};
/// let bytes = digest_key(127, 255, 3);
/// let key = PastKey::decode(&bytes);
/// assert_eq!(key, Some(PastKey::Digest { slot: 127, node: 255, version: 3 }));
/// assert_eq!(PastKey::decode(&digest_key(0, 2, 3)), None);
/// ```
pub fn digest_key(slot: u8, node: u8, version: u64) -> [u8; 11] {
    let mut key = [DIGEST; 11];
    key[1] = slot;
    key[2] = node;
    key[3..].copy_from_slice(&version.to_be_bytes());
    key
}

/// Returns the key of the entry of a version.
///
/// ```
/// use trunkline_core::store::past::{digest_key, version_key};
/// assert!(version_key(0)[..] > digest_key(127, 255, u64::MAX)[..]);
/// ```
pub fn version_key(version: u64) -> [u8; 9] {
    let mut key = [VERSION; 9];
    key[1..].copy_from_slice(&version.to_be_bytes());
    key
}

/// Appends the former key and value, or that there were none.
///
/// ```
/// use trunkline_core::store::{leaves::LeafRef, past::{decode_leaf, encode_leaf}};
/// let (leaf, mut bytes) = (LeafRef { key: b"name", value: b"Ada" }, Vec::new());
/// encode_leaf(Some(leaf), &mut bytes);
/// assert_eq!(bytes, b"\x01\x04nameAda");
/// assert_eq!(decode_leaf(&bytes), Some(Some(leaf)));
/// assert_eq!(decode_leaf(&[0]), Some(None));
/// assert_eq!(decode_leaf(&[0, 0]), None);
/// ```
pub fn encode_leaf(leaf: Option<LeafRef<'_>>, out: &mut Vec<u8>) {
    out.push(u8::from(leaf.is_some()));
    if let Some(leaf) = leaf {
        put_varint(leaf.key.len() as u64, out);
        out.extend_from_slice(leaf.key);
        out.extend_from_slice(leaf.value);
    }
}

/// Reads the result of [`encode_leaf`]; anything else is `None`.
pub fn decode_leaf(bytes: &[u8]) -> Option<Option<LeafRef<'_>>> {
    let mut cursor = Cursor(bytes);
    match cursor.u8()? {
        0 => cursor.0.is_empty().then_some(None),
        1 => {
            let key_bytes = cursor.varint()?;
            if key_bytes == 0 || key_bytes > KEY_BYTES_MAX as u64 {
                return None;
            }
            let key = cursor.take(key_bytes as usize)?;
            let value = cursor.0;
            (value.len() <= VALUE_BYTES_MAX).then_some(Some(LeafRef { key, value }))
        }
        _ => None,
    }
}

/// The digest of a node until a version.
///
/// ```
/// use trunkline_core::store::past::{PastDigest, decode_digest, encode_digest};
/// let digest = PastDigest { digest: [7; 32], lone: true, deep: false };
/// assert_eq!(decode_digest(&encode_digest(&digest)), Some(digest));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastDigest {
    /// The digest; zero if nothing was below the node.
    pub digest: Digest,
    /// True if exactly one leaf was below the node.
    pub lone: bool,
    /// True if the entries of a slot's nodes 128 to 255 have the digests below its top. Otherwise the slot was small,
    /// and its leaves fold to the digest. Always false at other nodes.
    pub deep: bool,
}

/// Returns the content of the entry about a node.
pub fn encode_digest(node: &PastDigest) -> [u8; 33] {
    let mut bytes = [0; 33];
    bytes[0] = (LONE * u8::from(node.lone)) | (DEEP * u8::from(node.deep));
    bytes[1..].copy_from_slice(&node.digest);
    bytes
}

/// Reads the result of [`encode_digest`]; anything else is `None`.
pub fn decode_digest(bytes: &[u8]) -> Option<PastDigest> {
    let mut cursor = Cursor(bytes);
    let flags = cursor.u8()?;
    let digest = cursor.array()?;
    let is_sound = flags <= LONE | DEEP && cursor.0.is_empty();
    is_sound.then_some(PastDigest {
        digest,
        lone: flags & LONE != 0,
        deep: flags & DEEP != 0,
    })
}

/// The data that is kept of a version in addition to its state.
///
/// ```
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::past::{PastVersion, decode_version, encode_version};
/// let version = PastVersion {
///     record: CommitRecord::genesis([1; 32]),
///     kzg_root: None,
///     submissions: None,
///     durable_ms: 1_700_000_000_000,
///     began: 0,
/// };
/// let bytes = encode_version(&version).into();
/// assert_eq!(decode_version(&bytes), Some(version));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastVersion {
    /// Its commit record.
    pub record: CommitRecord,
    /// Its KZG root, if it was computed.
    pub kzg_root: Option<[u8; 48]>,
    /// The data for evidence about its submissions, if it was known.
    pub submissions: Option<PastSubmissions>,
    /// The time at which it became durable, milliseconds since 1970; 0 if it is not known.
    pub durable_ms: u64,
    /// The first stored version.
    pub began: u64,
}

/// The data for evidence about the submissions of a version, in addition to the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSubmissions {
    /// The provisional root before the first submission.
    pub provisional_before: Digest,
    /// The outcomes of all submissions, encoded in order.
    pub outcomes: Bytes,
}

/// Returns the content of the entry of a version.
pub fn encode_version(version: &PastVersion) -> Vec<u8> {
    let record = version.record.encode();
    let mut out = Vec::with_capacity(128 + record.len());
    out.extend_from_slice(&version.began.to_le_bytes());
    out.extend_from_slice(&version.durable_ms.to_le_bytes());
    put_optional(version.kzg_root.as_ref().map(|root| &root[..]), &mut out);
    out.extend_from_slice(&(record.len() as u16).to_le_bytes());
    out.extend_from_slice(&record);
    let submissions = version.submissions.as_ref();
    let before = submissions.map(|kept| &kept.provisional_before[..]);
    put_optional(before, &mut out);
    if let Some(kept) = submissions {
        out.extend_from_slice(&kept.outcomes);
    }
    out
}

/// Reads the result of [`encode_version`]; anything else is `None`. The outcomes share the allocation of `bytes`, and
/// are not decoded.
pub fn decode_version(bytes: &Bytes) -> Option<PastVersion> {
    let mut cursor = Cursor(bytes);
    let (began, durable_ms) = (cursor.u64()?, cursor.u64()?);
    let kzg_root = cursor.optional()?;
    let record_bytes = usize::from(cursor.u16()?);
    let record = CommitRecord::decode(cursor.take(record_bytes)?).ok()?;
    let submissions = match cursor.optional()? {
        Some(provisional_before) => Some(PastSubmissions {
            provisional_before,
            outcomes: cursor.shared(cursor.0.len(), bytes)?,
        }),
        None => None,
    };
    let is_sound = cursor.0.is_empty() && began <= record.version;
    is_sound.then_some(PastVersion {
        record,
        kzg_root,
        submissions,
        durable_ms,
        began,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_by_kind_place_and_version() {
        let keys = [
            deleted_key(b"a"),
            deleted_key(b"ab"),
            deleted_key(&[0xff; KEY_BYTES_MAX]),
            value_key(&[0; 32], 1).to_vec(),
            value_key(&[0; 32], 256).to_vec(),
            value_key(&[1; 32], 0).to_vec(),
            digest_key(0, TOP_NODE, 3).to_vec(),
            digest_key(0, 128, 2).to_vec(),
            digest_key(1, TOP_NODE, 1).to_vec(),
            version_key(0).to_vec(),
            version_key(1 << 40).to_vec(),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(keys.iter().all(|key| PastKey::decode(key).is_some()));
    }

    #[test]
    fn a_deleted_key_that_no_tree_can_hold_is_refused() {
        assert_eq!(PastKey::decode(&deleted_key(b"")), None);
        assert_eq!(PastKey::decode(&deleted_key(&[7; KEY_BYTES_MAX + 1])), None);
    }

    #[test]
    fn a_slot_or_node_that_does_not_exist_is_refused() {
        assert_eq!(PastKey::decode(&digest_key(128, TOP_NODE, 1)), None);
        for node in [0, 2, 127] {
            assert_eq!(PastKey::decode(&digest_key(0, node, 1)), None);
        }
    }

    #[test]
    fn damaged_content_is_refused() {
        for damaged in [
            &b""[..],
            b"\x02",
            b"\x01\0v",
            b"\x01\x05name",
            b"\x01\x80\0",
        ] {
            assert_eq!(decode_leaf(damaged), None);
        }
        let mut node = encode_digest(&PastDigest::default());
        assert_eq!(decode_digest(&node[1..]), None);
        node[0] = 4;
        assert_eq!(decode_digest(&node), None);
    }

    #[test]
    fn a_version_is_read_as_it_was_written_and_cut_short_it_is_none() {
        let version = PastVersion {
            record: CommitRecord::genesis([1; 32]),
            kzg_root: Some([5; 48]),
            submissions: Some(PastSubmissions {
                provisional_before: [6; 32],
                outcomes: Bytes::from_static(b"outcomes"),
            }),
            durable_ms: 17,
            began: 0,
        };
        let bytes = Bytes::from(encode_version(&version));
        assert_eq!(decode_version(&bytes), Some(version));
        for length in 0..bytes.len() - 8 {
            assert_eq!(decode_version(&bytes.slice(..length)), None);
        }
    }
}
