//! The past: versions that memory does not keep any more (`versions.archive`).
//!
//! A version that leaves memory stays readable. What is known of it goes to a list of recent versions (`recent`), and with
//! the next checkpoint into a store (`store`): the values that its successors replaced, the digests that they replaced,
//! and its record. Values of versions after the checkpoint are in the layers. Reading looks at these places and at the
//! present (`values`, `slots`).
//!
//! | what a version saw | where, in this order |
//! | --- | --- |
//! | a value | the newest layer up to it; the first stored entry after it; the leaf store |
//! | a digest | the first stored entry after it; the first recent version after it; the tree |
//!
//! What changed since a version, for a revert, is in `changes`. `deleted_keys` lists the keys that the index of keys has
//! no more, for ranges.
//!
//! A layer or an entry is true whatever comes later, and the leaf store is looked at in a view that was taken *before* the
//! entries are searched. So no lock is held between the looks. Versions are removed from the old end (`bounds`); a reader
//! checks after its looks that its version is still there.

mod bounds;
mod changes;
mod check;
mod deleted_keys;
mod opened;
mod recent;
mod segments;
mod slots;
mod store;
mod values;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use trunkline_core::hash::Digest;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::past::{PastStore, PastVersion, decode_version, version_key};
use trunkline_core::tree::{PastDiffers, TreeReader};

use crate::metrics::Metrics;
use crate::state::versions::Expired;

pub use bounds::PastBounds;
pub use changes::PastChanges;
pub use opened::OpenedVersion;
pub use recent::Recent;
pub use store::StoreOptions;
pub use values::{PastPair, PastStep};

use segments::Segments;

/// The maximum number of versions whose folded digests are kept for the next reader: at most about a mebibyte each.
const OPENED_MAX: usize = 8;

/// The reason for which a past version was not read.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The version was removed.
    #[error(
        "version {version} was pruned from the archive of versions, whose oldest is {oldest}: read a newer one, or raise \
         versions.archive_versions_max, versions.archive_age_max_s or versions.archive_bytes_max"
    )]
    Pruned {
        /// The version.
        version: u64,
        /// The oldest version that can be read.
        oldest: u64,
    },
    /// The version is older than the archive.
    #[error(
        "version {version} was not archived: the archive of versions began with version {began}; restore an older backup \
         to read it"
    )]
    NotArchived {
        /// The version.
        version: u64,
        /// The first version that was archived.
        began: u64,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] LeafStoreError),
    /// The leaf store was closed.
    #[error("the engine was shut down, and the value is not in memory; open it again")]
    Closed,
    /// Stored digests or leaves are not those of the version.
    #[error(transparent)]
    Differs(#[from] PastDiffers),
    /// The stored data of a version is not that of its commit id.
    #[error(
        "what is stored of version {version} is not what its commit id commits to ({what}): the archive of versions is \
         damaged; restore the directory from a copy, or remove the archive (docs/OPERATIONS.md)"
    )]
    Damaged {
        /// The version.
        version: u64,
        /// The data that does not match.
        what: &'static str,
    },
}

/// The store was closed by a shutdown.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the archive of versions was closed; open the engine again")]
pub struct Closed;

impl From<Closed> for PastError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Closed> for LeafStoreError {
    fn from(closed: Closed) -> Self {
        Self::Backend(closed.into())
    }
}

/// The versions that memory does not keep.
pub struct Past {
    /// The store; `None` after shutdown.
    store: RwLock<Option<Arc<dyn PastStore>>>,
    recent: RwLock<Recent>,
    segments: RwLock<Segments>,
    /// The first version that was archived.
    began: u64,
    /// The first version that is not stored.
    next: AtomicU64,
    /// The oldest version that can be read.
    oldest: AtomicU64,
    opened: Mutex<VecDeque<Arc<OpenedVersion>>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Past {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Past")
            .field("oldest", &self.oldest())
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Past {
    /// Continues what a store has, if its last version is one of the tree: at least `base`, from which on the recent
    /// versions are complete, and with the commit id that `commit_id` returns. Otherwise begins at `base`, and removes what
    /// is stored if `clear` allows it.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub fn begin(
        store: Arc<dyn PastStore>,
        mut recent: Recent,
        base: u64,
        commit_id: impl Fn(u64) -> Option<Digest>,
        clear: bool,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LeafStoreError> {
        let mut segments = Segments::read(&*store)?;
        let is_ours = |last: &PastVersion| {
            let number = last.record.version;
            number >= base && commit_id(number) == Some(last.record.commit_id())
        };
        let last = segments.last_version(&*store)?.filter(is_ours);
        let (began, next, oldest) = match &last {
            Some(last) => (last.began, last.record.version + 1, segments.first()),
            None => {
                if clear {
                    segments.clear(&*store)?;
                }
                segments = Segments::default();
                (base, base, base)
            }
        };
        recent.forget_before(next);
        let past = Self {
            store: RwLock::new(Some(store)),
            recent: RwLock::new(recent),
            began,
            next: AtomicU64::new(next),
            oldest: AtomicU64::new(oldest),
            segments: RwLock::new(segments),
            opened: Mutex::default(),
            metrics,
        };
        past.show_metrics();
        Ok(past)
    }

    /// Returns the oldest version that can be read.
    pub fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::SeqCst)
    }

    /// Closes the store.
    pub fn close(&self) {
        *self.store.write() = None;
    }

    fn store(&self) -> Result<Arc<dyn PastStore>, Closed> {
        self.store.read().clone().ok_or(Closed)
    }

    /// Returns the first version that is not stored yet.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Returns approximately the bytes of the versions in memory that wait for the next checkpoint.
    pub fn recent_bytes(&self) -> usize {
        self.recent.read().bytes()
    }

    /// Takes over a version that memory no longer keeps. Versions come in order.
    pub fn retired(&self, version: impl FnOnce() -> PastVersion, number: u64) {
        if number >= self.next() {
            self.recent.write().push(version());
        }
    }

    /// Takes the digests that the tree is about to forget.
    pub fn capture(&self, reader: &TreeReader, expired: &Expired) {
        self.recent.write().capture(reader, expired.oldest);
    }

    /// Returns what is kept of a version besides its state; `None` if the version is still in memory, or not yet durable.
    ///
    /// # Errors
    ///
    /// Fails if the version is too old, or if the store cannot be read.
    pub fn version(&self, number: u64) -> Result<Option<PastVersion>, PastError> {
        self.check(number)?;
        if let Some(found) = self.recent.read().get(number) {
            return Ok(Some(found));
        }
        let mut found = None;
        let key = version_key(number).to_vec();
        self.scan_from(number, key.clone()..=key, &mut |_, content| {
            found = Some(decode_version(&Bytes::copy_from_slice(content)));
            std::ops::ControlFlow::Break(())
        })?;
        self.check(number)?;
        match found {
            None => Ok(None),
            Some(Some(version)) if version.record.version == number => Ok(Some(version)),
            Some(_) => Err(PastError::Damaged {
                version: number,
                what: "the record",
            }),
        }
    }

    /// Returns the archived version that a submission is part of, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub fn of_submission(&self, sequence: u64) -> Result<Option<PastVersion>, PastError> {
        let (mut first, mut end) = (self.oldest(), self.end());
        while first < end {
            let middle = first.midpoint(end);
            let Some(version) = self.version(middle)? else {
                return Ok(None);
            };
            let record = &version.record;
            match sequence {
                _ if sequence > record.last_sequence => first = middle + 1,
                _ if sequence < record.first_sequence => end = middle,
                // The empty state has no submission.
                _ => return Ok((middle > 0).then_some(version)),
            }
        }
        Ok(None)
    }

    /// Returns the first version that is neither stored nor among the recent ones.
    fn end(&self) -> u64 {
        self.recent.read().end().max(self.next())
    }

    /// Checks that a version can still be read. Called after every look at it.
    ///
    /// # Errors
    ///
    /// Fails if it is too old.
    pub fn check(&self, version: u64) -> Result<(), PastError> {
        let (oldest, began) = (self.oldest(), self.began);
        if version >= oldest {
            return Ok(());
        }
        Err(match version < began {
            true => PastError::NotArchived { version, began },
            false => PastError::Pruned { version, oldest },
        })
    }

    fn show_metrics(&self) {
        let bytes = self.segments.read().bytes();
        self.metrics.archived(bytes);
        self.metrics.archived_oldest(self.oldest());
    }
}
