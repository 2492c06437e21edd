//! Finding a key. Only this file knows where the newest value of a key is, and where an older one is.
//!
//! A read of the present looks into the overlay of accepted writes, then at the tree as of the last applied version. A
//! read of an older version looks at the tree alone. The tree says whether the key has a value, and which version wrote
//! it. The value itself comes from that version's layer in memory, the value cache, or the leaf store ([`Values`]).
//!
//! Versions can expire while they are read. So there is one rule: look, then check that the version can still be read,
//! and only then use what was found. If it has expired, a read of the present looks again at the newer present, and a
//! read of an older version fails with [`ReadError::Expired`].
//!
//! [`Values`]: super::values::Values

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::batch::BatchError;
use trunkline_core::hash::Digest;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::tree::{Leaf, LeavesDiffer, NotInMemory, Probe};

use super::past::PastError;
use super::published::State;
use super::values::{FetchError, StoreView};
use super::versions::Version;
use crate::failure::EngineFailure;
use crate::health::Health;
use crate::runtime::wait::yield_point;

/// The reason for which a read failed.
///
/// ```
/// use trunkline::{BatchError, ReadError};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// assert_eq!(engine.get(b"nobody")?, None); // an absent key is no error
/// let error = engine.get(b"").unwrap_err(); // an impossible key is one
/// assert!(matches!(error, ReadError::Key(BatchError::KeyEmpty { .. })));
/// assert!(!error.retry_can_help());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No tree can hold the key.
    #[error(transparent)]
    Key(#[from] BatchError),
    /// The snapshot's version has expired while it was held.
    #[error(
        "version {version} was held too long and is no longer kept; the oldest is {oldest}: take a new snapshot, or raise versions.snapshot_versions_behind_max and versions.retained_bytes_max"
    )]
    Expired {
        /// The snapshot's version.
        version: u64,
        /// The oldest version that can be read.
        oldest: u64,
    },
    /// The engine has failed or was shut down, so that what it accepted last may never become durable. Snapshots
    /// still show durable versions.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The directory keeps no index of keys, so ranges cannot be read.
    #[error(
        "the directory keeps no index of keys in byte order; create it again with store.key_order = true, for example from an export"
    )]
    NoKeyOrder,
    /// The version is archived and cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The engine was shut down, and the value is not in memory.
    #[error("the engine was shut down, and the value is not in memory; open it again")]
    Closed,
    /// The leaf store failed. Trying again may help if the disk recovers.
    #[error("the leaf store could not be read; check the disk, then try again")]
    Store(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The leaf store does not hold what was written to it. Opening the engine again checks all of it, and replays
    /// what the log still has.
    #[error(
        "the leaf store is damaged; open the engine again, and if that fails restore the directory from a copy"
    )]
    Damaged(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl ReadError {
    /// Returns whether the same call may succeed later.
    pub fn retry_can_help(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::Past(PastError::Store(LeafStoreError::Backend(_)))
        )
    }
}

impl From<LeavesDiffer> for ReadError {
    fn from(error: LeavesDiffer) -> Self {
        Self::Damaged(Arc::new(error))
    }
}

impl From<FetchError> for ReadError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Closed => Self::Closed,
            error if error.is_damage() => Self::Damaged(Arc::new(error)),
            error => Self::Store(Arc::new(error)),
        }
    }
}

/// The place of a key's value.
enum Lookup {
    /// In the overlay, since the newest write is not applied yet; `None` is a delete.
    Accepted(Option<Bytes>),
    /// In the value cache.
    Value(Bytes),
    /// Nowhere: the key has no value.
    Absent,
    /// In the layer or the store that the leaf points to.
    Leaf(Leaf),
    /// In the leaf store if anywhere, since the leaf is not in memory.
    Evicted,
}

impl State {
    /// Returns the latest accepted value of a key.
    ///
    /// # Errors
    ///
    /// Fails if the engine has failed, or if the leaf store cannot be read.
    pub fn get_latest(
        &self,
        health: &Health,
        key_hash: &Digest,
    ) -> Result<Option<Bytes>, ReadError> {
        loop {
            let (version, found) = self.latest(health, key_hash)?;
            match self.fetch(key_hash, version, found, || self.values.store()) {
                // After the lookup the key may have been deleted, and a checkpoint may have removed its value.
                Err(_) if version != self.present() => continue,
                result => return Ok(result?),
            }
        }
    }

    /// Returns whether a key has a value, as [`Self::get_latest`] sees it.
    ///
    /// # Errors
    ///
    /// As [`Self::get_latest`].
    pub fn contains_latest(&self, health: &Health, key_hash: &Digest) -> Result<bool, ReadError> {
        let is_present = match self.latest(health, key_hash)?.1 {
            Lookup::Accepted(value) => value.is_some(),
            Lookup::Value(_) | Lookup::Leaf(_) => true,
            Lookup::Absent => {
                self.metrics.absent_read();
                return Ok(false);
            }
            Lookup::Evicted => {
                let found = self.values.evicted_value(key_hash, &self.values.store())?;
                return Ok(found.is_some());
            }
        };
        self.metrics.memory_hit();
        Ok(is_present)
    }

    /// Returns the value of a key at a version.
    ///
    /// # Errors
    ///
    /// Fails if the version has expired, or if the leaf store cannot be read.
    pub fn get_at(&self, version: &Version, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        self.access_sampler.touch(key_hash);
        let number = version.number();
        let found = self.lookup(number, key_hash);
        yield_point();
        self.check_readable(number)?;
        let value = self.fetch(key_hash, number, found, || self.store_of(version));
        self.check_readable(number)?;
        Ok(value?)
    }

    /// Returns an error if a version has expired. Must be called after every read of the version.
    ///
    /// # Errors
    ///
    /// Fails with [`ReadError::Expired`].
    pub fn check_readable(&self, version: u64) -> Result<(), ReadError> {
        let oldest = self.versions.oldest();
        match version < oldest {
            true => Err(ReadError::Expired { version, oldest }),
            false => Ok(()),
        }
    }

    /// Returns the view of the leaf store that a version reads from.
    pub fn store_of(&self, version: &Version) -> Arc<StoreView> {
        version.store().unwrap_or_else(|| self.values.store())
    }

    /// Finds the newest value of a key, in the overlay or at the version that is the present.
    fn latest(&self, health: &Health, key_hash: &Digest) -> Result<(u64, Lookup), ReadError> {
        self.access_sampler.touch(key_hash);
        loop {
            health.check()?;
            let accepted = self.overlay.get(key_hash);
            yield_point();
            let version = self.present();
            if let Some(value) = accepted {
                return Ok((version, Lookup::Accepted(value)));
            }
            let found = self.lookup(version, key_hash);
            yield_point();
            if self.check_readable(version).is_ok() {
                return Ok((version, found));
            }
        }
    }

    /// Looks a key up in the tree at a version. The caller must check afterwards that the version can still be read.
    fn lookup(&self, version: u64, key_hash: &Digest) -> Lookup {
        match self.reader.probe(version, key_hash) {
            Probe::Absent => return Lookup::Absent,
            Probe::UnchangedSince(since) => {
                yield_point();
                if let Some(value) = self.values.cached(key_hash, since..=version) {
                    return Lookup::Value(value);
                }
            }
            Probe::Unknown => {}
        }
        yield_point();
        match self.reader.get(version, key_hash) {
            Ok(Some(leaf)) => Lookup::Leaf(leaf),
            Ok(None) => Lookup::Absent,
            Err(NotInMemory) => Lookup::Evicted,
        }
    }

    /// Returns the value that was looked up, and counts its source.
    fn fetch(
        &self,
        key_hash: &Digest,
        version: u64,
        found: Lookup,
        view: impl Fn() -> Arc<StoreView>,
    ) -> Result<Option<Bytes>, FetchError> {
        match found {
            Lookup::Accepted(value) => {
                self.metrics.memory_hit();
                Ok(value)
            }
            Lookup::Value(value) => {
                self.metrics.cache_hit();
                Ok(Some(value))
            }
            Lookup::Absent => {
                self.metrics.absent_read();
                Ok(None)
            }
            Lookup::Leaf(leaf) => self.values.value(&leaf, version, view).map(Some),
            Lookup::Evicted => self.values.evicted_value(key_hash, &view()),
        }
    }
}
