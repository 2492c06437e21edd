//! Light trees: chains of hashes, with keyed hashes instead of signatures.

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::log::LogPosition;
use trunkline_replication::protocol::takeover::Chain;
use trunkline_replication::protocol::{Begun, Link, Rejected, Verifier};

/// The key that all primaries sign with, and one that is not pinned.
pub(crate) const KEY: [u8; 32] = [1; 32];
pub(crate) const OTHER_KEY: [u8; 32] = [2; 32];

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) link: Link,
    /// The content, which makes versions of two primaries differ.
    pub(crate) payload: Bytes,
}

impl Version {
    pub(crate) fn after(tip: LogPosition, epoch: u64, payload: Bytes) -> Self {
        let version = tip.version + 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&tip.commit_id);
        hasher.update(&version.to_le_bytes());
        hasher.update(&epoch.to_le_bytes());
        hasher.update(&payload);
        let commit_id = *hasher.finalize().as_bytes();
        let position = LogPosition { version, commit_id };
        let parent = tip.commit_id;
        let link = Link {
            epoch,
            parent,
            position,
        };
        Self { link, payload }
    }

    pub(crate) fn frame(&self, key: &[u8; 32]) -> Bytes {
        let mut bytes = self.link.parent.to_vec();
        bytes.extend(self.link.position.version.to_le_bytes());
        bytes.extend(self.link.epoch.to_le_bytes());
        bytes.extend(&self.payload);
        signed(bytes, key)
    }
}

pub(crate) fn genesis() -> LogPosition {
    LogPosition::of(&CommitRecord::genesis([9; 32]))
}

pub(crate) fn beginning(begun: &Begun, key: &[u8; 32]) -> Bytes {
    let mut bytes = begun.epoch.to_le_bytes().to_vec();
    bytes.extend(begun.at.version.to_le_bytes());
    bytes.extend(begun.at.commit_id);
    signed(bytes, key)
}

fn signed(mut bytes: Vec<u8>, key: &[u8; 32]) -> Bytes {
    let signature = *blake3::keyed_hash(key, &bytes).as_bytes();
    bytes.extend(signature);
    bytes.into()
}

fn opened(bytes: &[u8]) -> Result<&[u8], Rejected> {
    let split = bytes.split_last_chunk::<32>();
    let (content, signature) = split.ok_or(Rejected("short".into()))?;
    match blake3::keyed_hash(&KEY, content).as_bytes() == signature {
        true => Ok(content),
        false => Err(Rejected("not signed".into())),
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u64, Rejected> {
    let bytes = bytes.get(at..at + 8).ok_or(Rejected("short".into()))?;
    Ok(u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn digest(bytes: &[u8], at: usize) -> Result<Digest, Rejected> {
    let bytes = bytes.get(at..at + 32).ok_or(Rejected("short".into()))?;
    Ok(bytes.try_into().unwrap())
}

/// Checks keyed hashes instead of signatures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes;

impl Verifier for Hashes {
    type Frame = Version;

    fn beginning(&self, bytes: &[u8]) -> Result<Begun, Rejected> {
        let content = opened(bytes)?;
        let at = LogPosition {
            version: number(content, 8)?,
            commit_id: digest(content, 16)?,
        };
        let epoch = number(content, 0)?;
        Ok(Begun { epoch, at })
    }

    fn frame(&self, bytes: Bytes) -> Result<(Link, Version), Rejected> {
        let content = opened(&bytes)?;
        let parent = LogPosition {
            version: number(content, 32)?.wrapping_sub(1),
            commit_id: digest(content, 0)?,
        };
        let payload = bytes.slice(48..content.len());
        let version = Version::after(parent, number(content, 40)?, payload);
        Ok((version.link, version))
    }
}

/// The versions of one tree, from the first on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(pub(crate) Vec<Version>);

impl Versions {
    pub(crate) fn tip(&self) -> LogPosition {
        self.0.last().map_or(genesis(), |last| last.link.position)
    }

    pub(crate) fn epoch_at_tip(&self) -> u64 {
        self.0.last().map_or(0, |last| last.link.epoch)
    }

    pub(crate) fn at(&self, version: u64) -> Option<LogPosition> {
        match version.checked_sub(1) {
            None => Some(genesis()),
            Some(index) => Some(self.0.get(index as usize)?.link.position),
        }
    }
}

impl Chain for Versions {
    fn commit_id(&self, version: u64) -> Option<Digest> {
        self.at(version).map(|position| position.commit_id)
    }

    fn epoch(&self, version: u64) -> Option<u64> {
        let index = version.checked_sub(1)?;
        Some(self.0.get(index as usize)?.link.epoch)
    }
}
