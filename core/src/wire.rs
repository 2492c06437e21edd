//! Shared helpers of the wire forms of proofs and of evidence: one encoding for each message, digests in a
//! row, records, and the reasons why bytes are refused.
//!
//! Not here: the messages, and whether they prove anything. Proofs of keys have their own errors.

use alloc::vec::Vec;

use prost::Message;
use prost::bytes::Buf;

use crate::hash::Digest;
use crate::params::{CollisionPolicy, FORMAT, METADATA_BYTES_MAX, Salt};
use crate::record::{CommitRecord, RecordError};

/// A part that an encoding cannot hold.
///
/// ```
/// use trunkline_core::history::{ConsistencyProof, PEAKS_MAX};
/// use trunkline_core::record::CommitRecord;
/// let head = CommitRecord::genesis([7; 32]);
/// let proof = ConsistencyProof { older: None, head, peaks: vec![[0; 32]; 65], nodes: vec![] };
/// let error = proof.encode().unwrap_err();
/// assert_eq!(error.to_string(), "65 peaks are more than 64, the limit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More digests in a row than any proof has.
    #[error("{found} {what} are more than {max}, the limit")]
    TooMany {
        /// Name of the digests.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The metadata of a record is too long.
    #[error("commit metadata of {0} bytes is longer than {METADATA_BYTES_MAX}")]
    MetadataBytes(usize),
}

/// The reason why bytes are not the message that was expected.
///
/// ```
/// use trunkline_core::{history::AncestorProof, wire::DecodeError};
/// let error = AncestorProof::decode(&[0x08, 0x01]).unwrap_err();
/// assert_eq!(error, DecodeError::Format(1));
/// assert_eq!(AncestorProof::decode(&[0x08, 0x82, 0x00]), Err(DecodeError::NotCanonical));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than any such message.
    #[error("{found} bytes are more than {max}, the limit")]
    TooLong {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The bytes are not the protobuf message.
    #[error("the bytes are not the protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The message has another encoding: fields out of order or unknown, or defaults spelled out.
    #[error("the bytes are not in canonical form; use the encoder of this library")]
    NotCanonical,
    /// Another format.
    #[error(
        "a message of format {0}; this build reads format {FORMAT}: ask for one of that format, or use a build that reads it"
    )]
    Format(u32),
    /// Bytes that have a fixed length have another one.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// Name of the part.
        what: &'static str,
        /// Their length.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Not a whole number of digests.
    #[error("{what} have 32 bytes each, which {found} bytes are not")]
    Digests {
        /// Name of the part.
        what: &'static str,
        /// Their length.
        found: usize,
    },
    /// The commit record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The outcome cannot be read.
    #[error("the outcome has a code or a detail that no outcome has")]
    Outcome,
    /// A number stands for no collision policy.
    #[error("collision policy {0} is unknown; 0, 1 and 2 are known")]
    Collision(i32),
    /// The listed digests are not as many as the slots that are not empty.
    #[error("{used} slots are not empty, yet {bytes} bytes of 32-byte digests are listed")]
    SlotCount {
        /// Slots that the bitmap does not name empty.
        used: usize,
        /// Bytes of the list.
        bytes: usize,
    },
    /// A digest is listed that a bit stands for.
    #[error("listed slot digest {0} is zero; an empty slot is a bit, not a digest")]
    SlotZero(usize),
    /// There are too many of something.
    #[error(transparent)]
    Form(#[from] FormError),
}

/// Reads a message of at most `bytes_max` bytes, if it is of this format and the bytes are its canonical encoding.
pub(crate) fn decode_canonical<M: Message + Default>(
    bytes: &[u8],
    bytes_max: usize,
    format: impl FnOnce(&M) -> u32,
) -> Result<M, DecodeError> {
    let message: M = decode_format(bytes, bytes_max, format)?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(message)
}

/// Reads a message of at most `bytes_max` bytes, if it is of this format, in any encoding.
pub(crate) fn decode_format<M: Message + Default>(
    bytes: impl Buf,
    bytes_max: usize,
    format: impl FnOnce(&M) -> u32,
) -> Result<M, DecodeError> {
    if bytes.remaining() > bytes_max {
        return Err(DecodeError::TooLong {
            found: bytes.remaining(),
            max: bytes_max,
        });
    }
    let message = M::decode(bytes)?;
    // Before the form: another format may have other fields.
    match format(&message) {
        format if format == u32::from(FORMAT) => Ok(message),
        format => Err(DecodeError::Format(format)),
    }
}

pub(crate) fn array<const N: usize>(
    bytes: &[u8],
    what: &'static str,
) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length {
        what,
        expected: N,
        found: bytes.len(),
    })
}

/// Reads bytes of which none stand for nothing.
pub(crate) fn optional<T, E>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<Option<T>, E> {
    match bytes {
        [] => Ok(None),
        _ => read(bytes).map(Some),
    }
}

/// Reads a salt.
pub(crate) fn salt(bytes: &[u8]) -> Result<Salt, DecodeError> {
    array(bytes, "a salt").map(Salt::new)
}

/// Reads the number of a collision policy.
pub(crate) fn collision(number: i32) -> Option<CollisionPolicy> {
    CollisionPolicy::from_byte(u8::try_from(number).ok()?)
}

/// Reads digests in a row.
pub(crate) fn digests(
    bytes: &[u8],
    what: &'static str,
    max: usize,
) -> Result<Vec<Digest>, DecodeError> {
    let (digests, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        let found = bytes.len();
        return Err(DecodeError::Digests { what, found });
    }
    check_count(digests, what, max)?;
    Ok(digests.to_vec())
}

/// Writes digests in a row, if they are not too many.
pub(crate) fn row(
    digests: &[Digest],
    what: &'static str,
    max: usize,
) -> Result<Vec<u8>, FormError> {
    check_count(digests, what, max)?;
    Ok(digests.as_flattened().to_vec())
}

fn check_count(digests: &[Digest], what: &'static str, max: usize) -> Result<(), FormError> {
    let found = digests.len();
    match found > max {
        true => Err(FormError::TooMany { what, found, max }),
        false => Ok(()),
    }
}

/// Returns the canonical bytes of a record that has some.
pub(crate) fn record(record: &CommitRecord) -> Result<Vec<u8>, FormError> {
    check_metadata(record).map(|()| record.encode())
}

pub(crate) fn check_metadata(record: &CommitRecord) -> Result<(), FormError> {
    match record.metadata.len() {
        ..=METADATA_BYTES_MAX => Ok(()),
        bytes => Err(FormError::MetadataBytes(bytes)),
    }
}
