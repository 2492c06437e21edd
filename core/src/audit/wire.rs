//! An audit proof as bytes: the protobuf message of `proto/trunkline/proof/v1/audit.proto`, in the one
//! form that each audit proof has.
//!
//! Not here: whether it proves anything.

use alloc::boxed::Box;
use alloc::vec::Vec;

use prost::Message;

use super::{AuditFormError, AuditProof};
use crate::hash::{Digest, ZERO};
use crate::params::{CollisionPolicy, FORMAT, TreeParams, WIDTH};
use crate::record::{CommitRecord, RecordError};

/// Longer than any encoded audit proof, bytes: 128 digests, the longest record and the rest.
pub const ENCODED_BYTES_MAX: usize = 8 * 1024;

/// Bytes of the bitmap of empty slots.
const BITMAP_BYTES: usize = WIDTH / 8;

/// The generated messages: never handed out, so that no unchecked audit proof is.
mod proto {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        reason = "generated code, of which another part is for `proof`"
    )]
    include!(concat!(env!("OUT_DIR"), "/trunkline.proof.v1.rs"));
}

/// Why bytes are not an audit proof.
///
/// ```
/// use trunkline_core::audit::*;
/// # use trunkline_core::{kzg::G1Bytes, params::TreeParams};
/// # let proof = AuditProof {
/// #     params: TreeParams::default(),
/// #     version: 0,
/// #     record: None,
/// #     kzg_root: G1Bytes::IDENTITY.0,
/// #     slots: Box::new([[0; 32]; 128]),
/// #     opening: G1Bytes::IDENTITY.0,
/// # };
/// let mut bytes = proof.encode()?;
/// bytes.extend([15 << 3, 1]); // a field that protobuf readers skip
/// assert_eq!(AuditProof::decode(&bytes), Err(DecodeAuditError::NotCanonical));
/// assert_eq!(AuditProof::decode(&[]), Err(DecodeAuditError::Format(0)));
/// # Ok::<(), AuditFormError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeAuditError {
    /// More bytes than an audit proof has.
    #[error("{0} bytes are no audit proof, which has at most {ENCODED_BYTES_MAX}")]
    Bytes(usize),
    /// The bytes are not the protobuf message.
    #[error("the bytes are not a protobuf audit proof: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The message has another encoding: fields out of order or unknown, or defaults spelled out.
    #[error("the audit proof is not in canonical form; decode and encode it with its own library")]
    NotCanonical,
    /// Another format.
    #[error("audit proof of format {0}; this build reads format {FORMAT}")]
    Format(u32),
    /// A number stands for no collision policy.
    #[error("collision policy {0} is unknown; 0, 1 and 2 are known")]
    Collision(i32),
    /// Bytes that have a fixed length have another one.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// What the bytes should be.
        what: &'static str,
        /// Their length.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// The commit record is none.
    #[error(transparent)]
    Record(#[from] RecordError),
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
}

impl AuditProof {
    /// Reads an audit proof. Only the bytes that [`Self::encode`] gives are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeAuditError> {
        if bytes.len() > ENCODED_BYTES_MAX {
            return Err(DecodeAuditError::Bytes(bytes.len()));
        }
        let message = proto::AuditProof::decode(bytes)?;
        if message.encode_to_vec() != bytes {
            return Err(DecodeAuditError::NotCanonical);
        }
        read(&message)
    }

    /// The canonical bytes, or which bound the audit proof exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, AuditFormError> {
        self.check_form()?;
        Ok(write(self).encode_to_vec())
    }
}

fn read(message: &proto::AuditProof) -> Result<AuditProof, DecodeAuditError> {
    if message.format != u32::from(FORMAT) {
        return Err(DecodeAuditError::Format(message.format));
    }
    Ok(AuditProof {
        params: TreeParams {
            salt: read_optional(&message.salt, |salt| array(salt, "a salt"))?,
            collision: read_collision(message.collision)?,
        },
        version: message.version,
        record: read_optional(&message.record, |record| Ok(CommitRecord::decode(record)?))?,
        kzg_root: array(&message.kzg_root, "a KZG root")?,
        slots: read_slots(&message.empty_slots, &message.slots)?,
        opening: array(&message.opening, "an opening")?,
    })
}

/// No bytes stand for nothing.
fn read_optional<T>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, DecodeAuditError>,
) -> Result<Option<T>, DecodeAuditError> {
    match bytes {
        [] => Ok(None),
        _ => read(bytes).map(Some),
    }
}

fn read_collision(number: i32) -> Result<CollisionPolicy, DecodeAuditError> {
    let byte = u8::try_from(number).ok();
    byte.and_then(CollisionPolicy::from_byte)
        .ok_or(DecodeAuditError::Collision(number))
}

fn read_slots(bitmap: &[u8], listed: &[u8]) -> Result<Box<[Digest; WIDTH]>, DecodeAuditError> {
    let bitmap: [u8; BITMAP_BYTES] = array(bitmap, "a bitmap of empty slots")?;
    let empty = u128::from_le_bytes(bitmap);
    let used = empty.count_zeros() as usize;
    let (digests, rest) = listed.as_chunks::<32>();
    if digests.len() != used || !rest.is_empty() {
        let bytes = listed.len();
        return Err(DecodeAuditError::SlotCount { used, bytes });
    }
    if let Some(index) = digests.iter().position(|digest| *digest == ZERO) {
        return Err(DecodeAuditError::SlotZero(index));
    }
    let mut slots = Box::new([ZERO; WIDTH]);
    let not_empty = slots.iter_mut().enumerate();
    let not_empty = not_empty.filter(|(slot, _)| empty >> slot & 1 == 0);
    for ((_, slot), digest) in not_empty.zip(digests) {
        *slot = *digest;
    }
    Ok(slots)
}

fn array<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], DecodeAuditError> {
    bytes.try_into().map_err(|_| DecodeAuditError::Length {
        what,
        expected: N,
        found: bytes.len(),
    })
}

fn write(proof: &AuditProof) -> proto::AuditProof {
    let record = proof.record.as_ref();
    let slots = proof.slots.iter();
    let used = slots.clone().filter(|digest| **digest != ZERO);
    let bits = slots
        .enumerate()
        .map(|(slot, digest)| u128::from(*digest == ZERO) << slot);
    proto::AuditProof {
        format: u32::from(FORMAT),
        salt: proof.params.salt.map_or_else(Vec::new, Vec::from),
        collision: proof.params.collision as i32,
        version: proof.version,
        record: record.map_or_else(Vec::new, CommitRecord::encode),
        kzg_root: proof.kzg_root.to_vec(),
        empty_slots: bits.fold(0, |bits, bit| bits | bit).to_le_bytes().to_vec(),
        slots: used.flatten().copied().collect(),
        opening: proof.opening.to_vec(),
    }
}
