//! Signed frames and beginnings: the form in which versions of a tree travel from its primary to its replicas.
//!
//! Records form a chain, so that a replica detects whether a carrier lost, repeated, reordered or damaged frames.
//! Nothing in the chain is secret, and the KZG root is outside the commit id: only the signature prevents forgery. A
//! frame carries the whole entry; a [`Beginning`] says where an epoch begins. `SPEC.md` §24 is the normative text.
//!
//! These frames differ from those of the log (`store::log`), which have a checksum and no signature. The replica checks
//! that an entry follows the previous one, and that its outcomes and effects lead to its record.

mod key;
mod wire;

pub use key::{
    PublicKey, PublicKeyError, SIGNATURE_BYTES, SecretKey, SecretKeyError, SignatureError,
};
pub use wire::{
    BEGINNING_BYTES_MAX, Compression, DecodeFrameError, EncodeFrameError, FRAME_BYTES_MAX,
};

use crate::hash::{self, BEGINNING_SIGNATURE, Digest, FRAME_SIGNATURE};
use crate::params::TreeParams;
use crate::store::log::{LogEntry, LogPosition};

/// An entry of the log, signed by the primary that wrote it.
///
/// ```
/// use trunkline_core::frame::{Compression, Frame, SecretKey};
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::LogEntry;
/// let record = CommitRecord { version: 1, ..CommitRecord::genesis([1; 32]) };
/// let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: "\0".into() };
/// let key = SecretKey::generate([7; 32]);
///
/// let bytes = Frame::sign(entry, &key).encode(Compression::None)?;
/// let received = Frame::decode(&bytes.into())?;
/// assert_eq!(received.verify(&[key.public()])?, key.public());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The entry.
    pub entry: LogEntry,
    /// The signature over everything in the entry.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Frame {
    /// Signs an entry.
    pub fn sign(entry: LogEntry, key: &SecretKey) -> Self {
        let signature = key.sign(&frame_message(&entry));
        Self { entry, signature }
    }

    /// Returns the pinned key that signed exactly this entry.
    ///
    /// It shows nothing else. The replica that applies the entry must check that the record follows the previous one,
    /// that the outcomes have the digest that the record names, that the effects lead to its state, and that the KZG
    /// root is that of the state.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<PublicKey, SignatureError> {
        key::signer(&frame_message(&self.entry), &self.signature, keys)
    }
}

/// The signed statement that an epoch begins at a commit id: entries of the epoch follow that one.
///
/// ```
/// use trunkline_core::frame::{Beginning, SecretKey};
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::record::CommitRecord;
/// use trunkline_core::store::log::LogPosition;
/// let params = TreeParams::default();
/// let at = LogPosition::of(&CommitRecord::genesis(params.tree_id()));
/// let key = SecretKey::generate([7; 32]);
///
/// let bytes = Beginning::sign(params, 1, at, &key).encode();
/// let received = Beginning::decode(&bytes)?;
/// assert_eq!(received.verify(&[key.public()])?, key.public());
/// assert_eq!((received.epoch, received.at), (1, at));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The parameters of the tree, which its id commits to.
    pub params: TreeParams,
    /// The epoch that begins.
    pub epoch: u64,
    /// The last version before it, with its commit id.
    pub at: LogPosition,
    /// The signature over all of it.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Beginning {
    /// Signs the beginning of an epoch.
    pub fn sign(params: TreeParams, epoch: u64, at: LogPosition, key: &SecretKey) -> Self {
        let signature = key.sign(&beginning_message(&params, epoch, &at));
        Self {
            params,
            epoch,
            at,
            signature,
        }
    }

    /// Returns the pinned key that signed exactly this beginning.
    ///
    /// It shows nothing else: the reader must check that it follows the tree, that it has the commit id, and that the
    /// epoch is above all earlier ones.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<PublicKey, SignatureError> {
        let message = beginning_message(&self.params, self.epoch, &self.at);
        key::signer(&message, &self.signature, keys)
    }
}

fn frame_message(entry: &LogEntry) -> Vec<u8> {
    let LogEntry {
        record,
        kzg_root,
        outcomes,
        effects,
    } = entry;
    let digest: Digest = FRAME_SIGNATURE.hash_parts(&[
        &record.tree_id,
        &record.open_epoch.to_le_bytes(),
        &record.version.to_le_bytes(),
        &record.commit_id(),
        &[u8::from(kzg_root.is_some())],
        kzg_root.as_ref().map_or(&[], |root| &root[..]),
        &hash::hash(outcomes),
        &hash::hash(effects),
    ]);
    key::message("trunkline v1 frame signature", &digest)
}

fn beginning_message(params: &TreeParams, epoch: u64, at: &LogPosition) -> Vec<u8> {
    let digest = BEGINNING_SIGNATURE.hash_parts(&[
        &params.tree_id(),
        &epoch.to_le_bytes(),
        &at.version.to_le_bytes(),
        &at.commit_id,
    ]);
    key::message("trunkline v1 beginning signature", &digest)
}
