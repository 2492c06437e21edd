//! Shared helpers of the wire forms of proofs and of evidence: one encoding for each message, sequences of digests,
//! records, and the reasons why bytes are refused.
//!
//! Proofs of keys have their own errors.

use alloc::vec::Vec;

use prost::Message;
use prost::bytes::Buf;

use crate::hash::Digest;
use crate::params::{CollisionPolicy, FORMAT, METADATA_BYTES_MAX, Salt};
use crate::record::{CommitRecord, RecordError};

/// A part that exceeds a bound of its encoding.
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
    /// There are more digests than any proof has.
    #[error("{found} {what} are more than {max}, the limit")]
    TooMany {
        /// Name of the digests.
        what: &'static str,
        /// The number of digests.
        found: usize,
        /// The highest number of digests.
        max: usize,
    },
    /// The metadata of a record is too long.
    #[error("commit metadata of {0} bytes is longer than {METADATA_BYTES_MAX}")]
    MetadataBytes(usize),
}

/// The reason why bytes are not the expected message.
///
/// ```
/// use trunkline_core::{history::AncestorProof, wire::DecodeError};
/// let error = AncestorProof::decode(&[0x08, 0x01]).unwrap_err();
/// assert_eq!(error, DecodeError::Format(1));
/// assert_eq!(AncestorProof::decode(&[0x08, 0x82, 0x00]), Err(DecodeError::NotCanonical));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are longer than any such message.
    #[error("{found} bytes are more than {max}, the limit")]
    TooLong {
        /// The number of bytes.
        found: usize,
        /// The highest number of bytes.
        max: usize,
    },
    /// The bytes are not valid protobuf.
    #[error("the bytes are not the protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The message has another encoding: fields are out of order or unknown, or default values are written.
    #[error("the bytes are not in canonical form; use the encoder of this library")]
    NotCanonical,
    /// The message has another format.
    #[error(
        "a message of format {0}; this build reads format {FORMAT}: ask for one of that format, or use a build that reads it"
    )]
    Format(u32),
    /// A field of fixed length has another length.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// Name of the field.
        what: &'static str,
        /// Length of the field.
        expected: usize,
        /// The actual length.
        found: usize,
    },
    /// The length is not that of a whole number of digests.
    #[error("{what} have 32 bytes each, which {found} bytes are not")]
    Digests {
        /// Name of the field.
        what: &'static str,
        /// Length of the field.
        found: usize,
    },
    /// The commit record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The outcome cannot be read.
    #[error("the outcome has a code or a detail that no outcome has")]
    Outcome,
    /// A number is not that of a collision policy.
    #[error("collision policy {0} is unknown; 0, 1 and 2 are known")]
    Collision(i32),
    /// The number of listed digests is not that of the slots that are not empty.
    #[error("{used} slots are not empty, yet {bytes} bytes of 32-byte digests are listed")]
    SlotCount {
        /// Number of slots that the bitmap does not mark as empty.
        used: usize,
        /// Length of the list in bytes.
        bytes: usize,
    },
    /// A listed digest is zero, which must be a bit instead.
    #[error("listed slot digest {0} is zero; an empty slot is a bit, not a digest")]
    SlotZero(usize),
    /// There are too many digests, or the metadata is too long.
    #[error(transparent)]
    Form(#[from] FormError),
}

/// Decodes a message of at most `bytes_max` bytes, if it has this format and the bytes are its canonical encoding.
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

/// Decodes a message of at most `bytes_max` bytes, if it has this format, in any encoding.
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
    // The format is checked before the form: another format may have other fields.
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

/// Decodes optional bytes: empty ones mean none.
pub(crate) fn optional<T, E>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<Option<T>, E> {
    match bytes {
        [] => Ok(None),
        _ => read(bytes).map(Some),
    }
}

/// Decodes a salt.
pub(crate) fn salt(bytes: &[u8]) -> Result<Salt, DecodeError> {
    array(bytes, "a salt").map(Salt::new)
}

/// Returns the collision policy with a number.
pub(crate) fn collision(number: i32) -> Option<CollisionPolicy> {
    CollisionPolicy::from_byte(u8::try_from(number).ok()?)
}

/// Decodes a sequence of digests.
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

/// Encodes a sequence of digests, if there are not too many.
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

/// Returns the canonical bytes of a record, or an error if its metadata is too long.
pub(crate) fn record(record: &CommitRecord) -> Result<Vec<u8>, FormError> {
    check_metadata(record).map(|()| record.encode())
}

pub(crate) fn check_metadata(record: &CommitRecord) -> Result<(), FormError> {
    match record.metadata.len() {
        ..=METADATA_BYTES_MAX => Ok(()),
        bytes => Err(FormError::MetadataBytes(bytes)),
    }
}
