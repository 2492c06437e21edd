//! Reads and proofs of one durable version.
//!
//! This file reads keys. `multi_get` reads many of them, `range` those of a range in byte order, `walk` all of them,
//! `prove` proves them; `openings` keeps what proofs with a KZG top need, and `history` proves what a version has besides
//! keys. `past` reads versions that memory does not keep.

mod history;
mod kept;
pub(crate) mod multi_get;
mod openings;
mod past;
pub(crate) mod prove;
mod range;
mod walk;

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_actors::state::State;
use trunkline_actors::state::cold_leaves;
use trunkline_actors::state::past::OpenedVersion;
use trunkline_actors::state::read::ReadError;
use trunkline_actors::state::values::{FetchError, StoreView};
use trunkline_actors::state::versions::Version;
use trunkline_core::batch::{BatchError, check_key};
use trunkline_core::hash::{Digest, hash};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::{Leaf, NotInMemory};

pub use kept::KeptVersion;
pub(crate) use kept::kept_versions;
use multi_get::in_path_order;
pub(crate) use past::PastView;
pub use range::{RangeIter, RangeStream};
pub use walk::SnapshotIter;

/// One durable version, kept readable while the snapshot is held.
///
/// All reads and proofs of a snapshot see the same state, even while others are committed. A snapshot can be held for
/// `versions.snapshot_versions_behind_max` newer versions and `versions.retained_bytes_max`; after that its reads fail.
/// A snapshot of an archived version (`versions.archive`) can be held until the version is pruned.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let snapshot = engine.snapshot();
/// engine.put_blocking("alice", "20")?.durable_blocking()?;
///
/// assert_eq!(snapshot.get(b"alice")?.as_deref(), Some(&b"10"[..]));
/// let proof = snapshot.prove(["alice", "bob"], trunkline::TopKind::Kzg)?;
/// let trusted = trunkline::core::proof::Expected::Root(snapshot.root());
/// let verified = trunkline::core::proof::verify(&proof, &trusted)?;
/// assert_eq!(verified.claim(b"bob"), Some(&trunkline::core::proof::Claim::Absent));
/// # drop(snapshot);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    pub(crate) version: Arc<Version>,
    /// The digests folded of the version, if memory does not keep it.
    opened: Option<Arc<OpenedVersion>>,
}

impl Snapshot {
    /// Returns a snapshot of a version that was pinned for it.
    pub(crate) fn of_pinned(state: Arc<State>, version: Arc<Version>) -> Self {
        Self {
            state,
            version,
            opened: None,
        }
    }

    /// Returns a snapshot of the last durable version.
    pub(crate) fn of_newest(state: &Arc<State>) -> Self {
        Self::of_pinned(state.clone(), state.versions.pin_newest())
    }

    /// Returns the number of the version.
    pub fn version(&self) -> u64 {
        self.version.number()
    }

    /// Returns the root of the version, against which a client checks proofs. It contains the KZG root, which the first
    /// call computes (2 ms) if the version has none yet.
    pub fn root(&self) -> Root {
        self.kzg_root();
        self.version.root()
    }

    /// Returns the commit record of the version.
    pub fn record(&self) -> &CommitRecord {
        &self.version.record
    }

    /// Returns the commit id of the version: the digest of its commit record.
    pub fn commit_id(&self) -> Digest {
        self.version.commit_id
    }

    /// Returns the number of keys that have a value.
    pub fn key_count(&self) -> u64 {
        self.version.roots.key_count
    }

    /// Returns the value of a key, or `None` if it has none. Blocks while it reads the leaf store, if the value is not
    /// in memory.
    ///
    /// # Errors
    ///
    /// Fails if the key is empty or too long, if the snapshot was held too long, or if the leaf store cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let key_hash = checked_hash(&self.state, 0, key)?;
        self.get_at(&key_hash)
    }

    /// Returns the values of several keys, in the order of the keys. Some dozens of keys or more are read faster than
    /// with [`Self::get`].
    ///
    /// # Errors
    ///
    /// As [`Self::get`], for the first key that fails.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        in_path_order(&self.state, keys, |key_hash| self.get_at(key_hash))
    }

    pub(crate) fn get_at(&self, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        match self.past() {
            Some(past) => Ok(past.get(key_hash)?.map(|(_, value)| value)),
            None => self.state.get_at(&self.version, key_hash),
        }
    }

    /// Returns the hash of a key's value, or `None` if it has none. Reads the leaf store only if
    /// `memory.budget_bytes` has no room for the leaf, or if the leaf was not read since the directory was opened.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn value_hash(&self, key: &[u8]) -> Result<Option<Digest>, ReadError> {
        let (state, key_hash) = (&self.state, checked_hash(&self.state, 0, key)?);
        if let Some(past) = self.past() {
            return Ok(past.get(&key_hash)?.map(|(_, value)| hash(&value)));
        }
        let leaf = state.reader.get(self.version(), &key_hash);
        self.check_readable()?;
        match leaf {
            Ok(Some(leaf)) => {
                state.metrics.memory_hit();
                Ok(Some(leaf.value_hash))
            }
            Ok(None) => {
                state.metrics.absent_read();
                Ok(None)
            }
            Err(NotInMemory) => {
                let found = state.values.evicted_value(&key_hash, &self.store());
                Ok(self.readable(found)?.map(|value| hash(&value)))
            }
        }
    }

    pub(crate) fn value(&self, leaf: &Leaf) -> Result<Bytes, ReadError> {
        if let Some(past) = self.past() {
            let (_, value) = past
                .get(&leaf.key_hash)?
                .ok_or(FetchError::Missing(leaf.key_hash))?;
            return Ok(value);
        }
        let values = &self.state.values;
        self.readable(values.value(leaf, self.version(), || self.store()))
    }

    /// Returns the key and the value of a leaf of this version.
    pub(crate) fn key_and_value(&self, leaf: &Leaf) -> Result<(Bytes, Bytes), ReadError> {
        let values = &self.state.values;
        self.readable(values.key_and_value(leaf, || self.store()))
    }

    /// Returns the leaf at a key hash, and its key if it was read from the leaf store.
    pub(crate) fn leaf_at(
        &self,
        key_hash: &Digest,
    ) -> Result<Option<(Leaf, Option<Bytes>)>, ReadError> {
        let leaf = self.state.reader.get(self.version(), key_hash);
        self.check_readable()?;
        if let Ok(found) = leaf {
            return Ok(found.map(|leaf| (leaf, None)));
        }
        let store = self.store();
        let found = store.leaves().and_then(|leaves| Ok(leaves.get(key_hash)?));
        let found = self.readable(found)?;
        Ok(found.map(|leaf| {
            let evicted = Leaf {
                key_hash: *key_hash,
                value_hash: hash(&leaf.value),
                origin: store.version,
            };
            (evicted, Some(leaf.key))
        }))
    }

    /// Reads leaves that are not in memory, for a proof or a fork.
    pub(crate) fn cold_leaves(
        &self,
        range: RangeInclusive<Digest>,
    ) -> Result<Vec<Leaf>, ReadError> {
        self.check_readable()?;
        let store = self.store();
        let leaves = store.leaves()?;
        let scanned = cold_leaves::scan(&self.state.params, &*leaves, range, store.version);
        Ok(scanned.map_err(FetchError::from)?)
    }

    fn store(&self) -> Arc<StoreView> {
        self.state.store_of(&self.version)
    }

    /// Returns the value read, if the version can still be read: only then does the value belong to it.
    fn readable<T>(&self, found: Result<T, FetchError>) -> Result<T, ReadError> {
        self.check_readable()?;
        Ok(found?)
    }

    /// Checks that the version can still be read. Called after each read of the tree or the leaf store.
    pub(crate) fn check_readable(&self) -> Result<(), ReadError> {
        if let Some(past) = self.past() {
            return Ok(past.check()?);
        }
        self.state.check_readable(self.version())
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        if self.opened.is_none() {
            // This snapshot pins the version. If the pin was revoked, the next read of the clone fails too.
            let _ = self.state.versions.pin(self.version());
        }
        Self {
            state: self.state.clone(),
            version: self.version.clone(),
            opened: self.opened.clone(),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if self.opened.is_none() {
            self.state.versions.unpin(self.version.number());
        }
    }
}

/// Returns the hash of a key that is not empty and not too long. The error names the key by its index.
pub(crate) fn checked_hash(state: &State, index: usize, key: &[u8]) -> Result<Digest, BatchError> {
    check_key(index, key)?;
    Ok(state.params.key_hash(key))
}
