//! Proofs over the history as bytes: the messages of `proto/trunkline/proof/v1/history.proto`.
//!
//! Decoding does not verify.

use alloc::vec::Vec;

use prost::Message;

use super::{AncestorProof, ConsistencyProof, Inclusion, PEAKS_MAX};
use crate::params::FORMAT;
use crate::record::CommitRecord;
use crate::wire::{self, DecodeError, FormError};

/// The generated messages. They are private, so that no unchecked proof leaves this module.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/history/trunkline.proof.v1.rs"));
}

/// Length of the longest encoded proof over the history in bytes. [`AncestorProof::encode`] and
/// [`ConsistencyProof::encode`] return none that is longer.
pub const HISTORY_PROOF_BYTES_MAX: usize = 16 * 1024;

/// Most siblings of an item, which is below a peak of a height of at most 63.
const SIBLINGS_MAX: usize = 63;
/// Most subtrees by which a range grows: up to a peak of 2⁶³ items, and down again.
const NODES_MAX: usize = 128;

impl Inclusion {
    pub(crate) fn decode(siblings: &[u8], peaks: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            siblings: wire::digests(siblings, "siblings", SIBLINGS_MAX)?,
            peaks: wire::digests(peaks, "peaks", PEAKS_MAX)?,
        })
    }

    /// Encodes siblings and peaks, each as a sequence.
    pub(crate) fn encode(&self) -> Result<(Vec<u8>, Vec<u8>), FormError> {
        Ok((
            wire::row(&self.siblings, "siblings", SIBLINGS_MAX)?,
            wire::row(&self.peaks, "peaks", PEAKS_MAX)?,
        ))
    }
}

impl AncestorProof {
    /// Decodes a proof. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let format = |message: &proto::AncestorProof| message.format;
        let message = wire::decode_canonical(bytes, HISTORY_PROOF_BYTES_MAX, format)?;
        Ok(Self {
            head: CommitRecord::decode(&message.head)?,
            version: message.version,
            commit_id: wire::array(&message.commit_id, "a commit id")?,
            inclusion: Inclusion::decode(&message.siblings, &message.peaks)?,
        })
    }

    /// Returns the canonical bytes, or the bound that the proof exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, FormError> {
        let (siblings, peaks) = self.inclusion.encode()?;
        let message = proto::AncestorProof {
            format: u32::from(FORMAT),
            head: wire::record(&self.head)?,
            version: self.version,
            commit_id: self.commit_id.to_vec(),
            siblings,
            peaks,
        };
        Ok(message.encode_to_vec())
    }
}

impl ConsistencyProof {
    /// Decodes a proof. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let format = |message: &proto::ConsistencyProof| message.format;
        let message = wire::decode_canonical(bytes, HISTORY_PROOF_BYTES_MAX, format)?;
        Ok(Self {
            older: wire::optional(&message.older, CommitRecord::decode)?,
            head: CommitRecord::decode(&message.head)?,
            peaks: wire::digests(&message.peaks, "peaks", PEAKS_MAX)?,
            nodes: wire::digests(&message.nodes, "nodes", NODES_MAX)?,
        })
    }

    /// Returns the canonical bytes, or the bound that the proof exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, FormError> {
        let older = self.older.as_ref().map(wire::record).transpose()?;
        let message = proto::ConsistencyProof {
            format: u32::from(FORMAT),
            older: older.unwrap_or_default(),
            head: wire::record(&self.head)?,
            peaks: wire::row(&self.peaks, "peaks", PEAKS_MAX)?,
            nodes: wire::row(&self.nodes, "nodes", NODES_MAX)?,
        };
        Ok(message.encode_to_vec())
    }
}
