//! The commit record (fixed-width, canonical, hashed in its stored form), and the root that a client trusts.
//!
//! `store::log` stores records, and the engine makes them.

use alloc::vec::Vec;

use crate::hash::{self, Digest, ZERO};
use crate::history::{HISTORY, MountainRange, OUTCOMES};
use crate::params::{FORMAT, METADATA_BYTES_MAX};

/// Size of an encoded record without its metadata, in bytes.
pub const RECORD_BYTES_MIN: usize = 2 + 32 + 8 + 32 + 8 + 8 + 8 + 32 + 32 + 32 + 8 + 32 + 2;
/// Size of the longest encoded record in bytes.
pub const RECORD_BYTES_MAX: usize = RECORD_BYTES_MIN + METADATA_BYTES_MAX;

/// Everything that one version commits to, except its KZG root, which is stored separately.
///
/// Encoding, integers little-endian: format u16, tree id, version u64, parent commit id, open
/// epoch u64, first and last sequence number u64, provisional root after the last, outcomes'
/// digest, state digest, key count u64, history digest, metadata length u16, metadata.
///
/// ```
/// use trunkline_core::record::CommitRecord;
/// let genesis = CommitRecord::genesis([9; 32]);
/// let bytes = genesis.encode();
/// assert_eq!(CommitRecord::decode(&bytes), Ok(genesis));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The tree of the version.
    pub tree_id: Digest,
    /// Version, counted from 1; version 0 is the empty state before the first record.
    pub version: u64,
    /// Commit id of the previous version.
    pub parent: Digest,
    /// Number of times that the tree had been opened for writing.
    pub open_epoch: u64,
    /// Sequence number of the first submission of the version.
    pub first_sequence: u64,
    /// Sequence number of the last submission of the version.
    pub last_sequence: u64,
    /// Provisional root after the last submission.
    pub provisional_root: Digest,
    /// Digest over the outcomes of all its submissions.
    pub outcomes_digest: Digest,
    /// Digest of the state.
    pub state_digest: Digest,
    /// Number of keys present.
    pub key_count: u64,
    /// Digest over the commit ids of all earlier versions.
    pub history_digest: Digest,
    /// The caller's own bytes, at most [`METADATA_BYTES_MAX`].
    pub metadata: Vec<u8>,
}

/// The reason why bytes are not a commit record.
///
/// ```
/// use trunkline_core::record::{CommitRecord, RecordError};
/// let mut bytes = CommitRecord::genesis([9; 32]).encode();
/// bytes.push(0);
/// assert_eq!(CommitRecord::decode(&bytes), Err(RecordError::Metadata(0))); // one form, no trailing bytes
/// bytes[0] = 1;
/// assert_eq!(CommitRecord::decode(&bytes), Err(RecordError::Format(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The length is not that of a record.
    #[error(
        "a commit record of {RECORD_BYTES_MIN} to {RECORD_BYTES_MAX} bytes was expected, not {0}"
    )]
    Length(usize),
    /// The record has another format version.
    #[error(
        "a commit record of format {0}; this build reads format {FORMAT}: use a build that reads it"
    )]
    Format(u16),
    /// The length of the metadata does not match the end of the record.
    #[error("the metadata length {0} does not fit the record")]
    Metadata(usize),
}

impl CommitRecord {
    /// Returns the record of version 0: the empty state. It is never stored; version 1 names its id as parent.
    pub fn genesis(tree_id: Digest) -> Self {
        Self {
            tree_id,
            version: 0,
            parent: ZERO,
            open_epoch: 0,
            first_sequence: 0,
            last_sequence: 0,
            provisional_root: ZERO,
            outcomes_digest: MountainRange::default().digest(&OUTCOMES),
            state_digest: ZERO,
            key_count: 0,
            history_digest: MountainRange::default().digest(&HISTORY),
            metadata: Vec::new(),
        }
    }

    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        [
            &FORMAT.to_le_bytes()[..],
            &self.tree_id,
            &self.version.to_le_bytes(),
            &self.parent,
            &self.open_epoch.to_le_bytes(),
            &self.first_sequence.to_le_bytes(),
            &self.last_sequence.to_le_bytes(),
            &self.provisional_root,
            &self.outcomes_digest,
            &self.state_digest,
            &self.key_count.to_le_bytes(),
            &self.history_digest,
            &(self.metadata.len() as u16).to_le_bytes(),
            &self.metadata,
        ]
        .concat()
    }

    /// Decodes canonical bytes; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes.len()) {
            return Err(RecordError::Length(bytes.len()));
        }
        let mut fields = Fields(bytes);
        let format = u16::from_le_bytes(fields.take());
        if format != FORMAT {
            return Err(RecordError::Format(format));
        }
        let record = Self {
            tree_id: fields.take(),
            version: u64::from_le_bytes(fields.take()),
            parent: fields.take(),
            open_epoch: u64::from_le_bytes(fields.take()),
            first_sequence: u64::from_le_bytes(fields.take()),
            last_sequence: u64::from_le_bytes(fields.take()),
            provisional_root: fields.take(),
            outcomes_digest: fields.take(),
            state_digest: fields.take(),
            key_count: u64::from_le_bytes(fields.take()),
            history_digest: fields.take(),
            metadata: Vec::new(),
        };
        let metadata_bytes = usize::from(u16::from_le_bytes(fields.take()));
        if fields.0.len() != metadata_bytes {
            return Err(RecordError::Metadata(metadata_bytes));
        }
        Ok(Self {
            metadata: fields.0.to_vec(),
            ..record
        })
    }

    /// Returns the commit id: the hash of the canonical bytes.
    pub fn commit_id(&self) -> Digest {
        hash::COMMIT_ID.hash(&self.encode())
    }
}

/// A cursor over bytes whose length was already checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let (head, rest) = self.0.split_at(N);
        field.copy_from_slice(head);
        self.0 = rest;
        field
    }
}

/// The root that a client keeps, from a source that it trusts, to check proofs against.
///
/// ```
/// use trunkline_core::{params::TreeParams, record::{CommitRecord, Root}};
/// let genesis = CommitRecord::genesis(TreeParams::default().tree_id());
/// let root = Root::of(&genesis, None);
/// assert_eq!(root.commit_id, genesis.commit_id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The id of the tree, which determines its rules.
    pub tree_id: Digest,
    /// The version.
    pub version: u64,
    /// Hash of the commit record: equal ids mean equal histories.
    pub commit_id: Digest,
    /// Digest of the state: equal digests mean equal states.
    pub state_digest: Digest,
    /// The KZG commitment to the 128 slots, if it was computed.
    pub kzg_root: Option<[u8; 48]>,
}

impl Root {
    /// Returns the root of a record, with its KZG root.
    pub fn of(record: &CommitRecord, kzg_root: Option<[u8; 48]>) -> Self {
        Self {
            tree_id: record.tree_id,
            version: record.version,
            commit_id: record.commit_id(),
            state_digest: record.state_digest,
            kzg_root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_and_extension_is_refused() {
        let mut record = CommitRecord::genesis([1; 32]);
        record.metadata = vec![5; 9];
        let bytes = record.encode();
        for length in 0..bytes.len() {
            assert!(CommitRecord::decode(&bytes[..length]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(CommitRecord::decode(&longer).is_err());
        assert_eq!(CommitRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn every_changed_byte_changes_the_commit_id_or_is_refused() {
        let mut record = CommitRecord::genesis([1; 32]);
        record.metadata = vec![5; 3];
        let bytes = record.encode();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            if let Ok(other) = CommitRecord::decode(&changed) {
                assert_ne!(other.commit_id(), record.commit_id());
            }
        }
    }
}
