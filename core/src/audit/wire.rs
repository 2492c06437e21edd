//! An audit proof as bytes: the protobuf message of `proto/trunkline/proof/v1/audit.proto`, in the only form that each
//! audit proof has.
//!
//! Decoding does not verify.

use alloc::boxed::Box;
use alloc::vec::Vec;

use prost::Message;

use super::AuditProof;
use crate::hash::{Digest, ZERO};
use crate::params::{FORMAT, TreeParams, WIDTH};
use crate::record::CommitRecord;
use crate::wire::{self, DecodeError, FormError};

/// Bound on the length of an encoded audit proof in bytes: 128 digests, the longest record and the rest.
pub const ENCODED_BYTES_MAX: usize = 8 * 1024;

/// Bytes of the bitmap of empty slots.
const BITMAP_BYTES: usize = WIDTH / 8;

/// The generated messages. They are private, so that no unchecked audit proof leaves this module.
mod proto {
    #![allow(
        dead_code,
        missing_docs,
        unreachable_pub,
        reason = "generated code, of which another part is for `proof`"
    )]
    include!(concat!(env!("OUT_DIR"), "/trunkline.proof.v1.rs"));
}

impl AuditProof {
    /// Decodes an audit proof. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let format = |message: &proto::AuditProof| message.format;
        let message = wire::decode_canonical(bytes, ENCODED_BYTES_MAX, format)?;
        let collision = wire::collision(message.collision);
        Ok(Self {
            params: TreeParams {
                nonce: wire::array(&message.nonce, "a nonce")?,
                salt: wire::optional(&message.salt, wire::salt)?,
                collision: collision.ok_or(DecodeError::Collision(message.collision))?,
            },
            version: message.version,
            record: wire::optional(&message.record, CommitRecord::decode)?,
            kzg_root: wire::array(&message.kzg_root, "a KZG root")?,
            slots: read_slots(&message.empty_slots, &message.slots)?,
            opening: wire::array(&message.opening, "an opening")?,
        })
    }

    /// Returns the canonical bytes, or the bound that the audit proof exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, FormError> {
        let record = self.record.as_ref().map(wire::record).transpose()?;
        let slots = self.slots.iter();
        let used = slots.clone().filter(|digest| **digest != ZERO);
        let bits = slots
            .enumerate()
            .map(|(slot, digest)| u128::from(*digest == ZERO) << slot);
        let message = proto::AuditProof {
            format: u32::from(FORMAT),
            salt: self.params.salt_bytes().map_or_else(Vec::new, Vec::from),
            collision: self.params.collision as i32,
            version: self.version,
            record: record.unwrap_or_default(),
            kzg_root: self.kzg_root.to_vec(),
            empty_slots: bits.fold(0, |bits, bit| bits | bit).to_le_bytes().to_vec(),
            slots: used.flatten().copied().collect(),
            opening: self.opening.to_vec(),
            nonce: self.params.nonce.to_vec(),
        };
        Ok(message.encode_to_vec())
    }
}

fn read_slots(bitmap: &[u8], listed: &[u8]) -> Result<Box<[Digest; WIDTH]>, DecodeError> {
    let bitmap: [u8; BITMAP_BYTES] = wire::array(bitmap, "a bitmap of empty slots")?;
    let empty = u128::from_le_bytes(bitmap);
    let used = empty.count_zeros() as usize;
    let (digests, rest) = listed.as_chunks::<32>();
    if digests.len() != used || !rest.is_empty() {
        let bytes = listed.len();
        return Err(DecodeError::SlotCount { used, bytes });
    }
    if let Some(index) = digests.iter().position(|digest| *digest == ZERO) {
        return Err(DecodeError::SlotZero(index));
    }
    let mut slots = Box::new([ZERO; WIDTH]);
    let not_empty = slots.iter_mut().enumerate();
    let not_empty = not_empty.filter(|(slot, _)| empty >> slot & 1 == 0);
    for ((_, slot), digest) in not_empty.zip(digests) {
        *slot = *digest;
    }
    Ok(slots)
}
