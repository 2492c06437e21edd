//! Reverts: new versions with the state of an older one.
//!
//! A revert waits until it is alone in the pipeline: writers wait behind it, readers do not. Then the newest version is
//! the last accepted one, the difference to the older version is what it changes, and nothing can come between
//! (decision 056).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use trunkline_actors::admission::Permit;
use trunkline_actors::message::Resolved;
use trunkline_actors::receipt::Receipt;
use trunkline_actors::runtime::clock;
use trunkline_actors::runtime::thread;
use trunkline_actors::runtime::wait::block_on;
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::{BatchError, BatchLimits, PreparedBatch, revert_digest};
use trunkline_core::hash::{Digest, hash};
use trunkline_core::outcome::{IdempotencyKey, Outcome};
use trunkline_core::params::{METADATA_BYTES_MAX, WIDTH};
use trunkline_core::store::effect::Effect;
use trunkline_core::tree::{Change, NotInMemory};

use crate::engine::{Behind, Engine};
use crate::error::{SnapshotError, SubmitError};
use crate::snapshot::{PastView, Snapshot};

/// The options of a revert.
///
/// ```
/// let options = trunkline::RevertOptions { metadata: "undo the import".into(), ..Default::default() };
/// assert!(options.idempotency_key.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct RevertOptions {
    /// The caller's own bytes for the commit record: at most 256.
    pub metadata: Bytes,
    /// The caller's name of the revert, so that it can be repeated without taking effect twice.
    pub idempotency_key: IdempotencyKey,
}

/// The error of a revert, which then has no effect and no position in the order of submissions.
///
/// ```
/// use trunkline::{RevertError, SnapshotError};
/// # let directory = tempfile::tempdir()?;
/// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let error = engine.revert_to_blocking(7).unwrap_err();
/// assert!(matches!(error, RevertError::Version(SnapshotError::NotYet { version: 7, .. })));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// The version is not kept, or not durable yet.
    #[error(transparent)]
    Version(#[from] SnapshotError),
    /// More has changed since the version than one submission may change.
    #[error(
        "more than {operations_max} keys or {bytes_max} bytes of keys and values have changed since version {version}; \
         raise submit.in_flight_operations_max and submit.in_flight_bytes_max, revert to a later version, or restore a \
         backup into another directory"
    )]
    TooLarge {
        /// The version.
        version: u64,
        /// The maximum number of keys that a revert may change.
        operations_max: usize,
        /// The maximum bytes of the keys and values that a revert may change.
        bytes_max: usize,
    },
    /// A value of the version, or a key, cannot be read, or the version was pruned from the archive meanwhile.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A thread could not be started.
    #[error(
        "a thread could not be started; check the limits on threads and memory, then try again"
    )]
    Thread(#[source] io::Error),
    /// The revert was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl RevertError {
    /// Returns whether the same call on the same engine may succeed later.
    pub fn retry_can_help(&self) -> bool {
        match self {
            Self::Version(SnapshotError::NotYet { .. }) | Self::Thread(_) => true,
            Self::Version(SnapshotError::Expired { .. }) | Self::TooLarge { .. } => false,
            Self::Version(SnapshotError::Past(_)) => false,
            Self::Read(error) => error.retry_can_help(),
            Self::Submit(error) => error.retry_can_help(),
        }
    }
}

impl Engine {
    /// Reverts to a version that is kept (`versions.retain_versions`, a snapshot holds it, or `versions.archive` has it): makes a *new* version whose
    /// state digest is that of the old one, atomically. Nothing that was acknowledged is erased. The outcome is
    /// [`Outcome::Reverted`] with the commit id of the old version.
    ///
    /// Waits until everything that was accepted before is durable, and computes what changed since the old version, on a
    /// thread of its own. Submissions wait meanwhile; reads do not. When the call returns, the revert is accepted, as a
    /// batch is after [`Self::submit`].
    ///
    /// If the future is dropped before it is ready, the revert may take effect or not.
    ///
    /// # Errors
    ///
    /// Fails if the version is not kept, if more has changed since than `submit.in_flight_*` allows, or if the engine has
    /// failed or was shut down. The revert has no effect then.
    ///
    /// ```
    /// use trunkline::Outcome;
    /// # let directory = tempfile::tempdir()?;
    /// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
    /// let good = engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// engine.put_blocking("alice", "1000000")?.durable_blocking()?;
    ///
    /// let reverted = engine.revert_to_blocking(good.version)?.durable_blocking()?;
    /// assert_eq!((reverted.version, reverted.state_digest), (3, good.state_digest));
    /// assert_eq!(reverted.outcome, Outcome::Reverted { commit_id: good.commit_id });
    /// assert_eq!(engine.get(b"alice")?.as_deref(), Some(&b"10"[..]));
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn revert_to(&self, version: u64) -> Result<Receipt, RevertError> {
        self.revert_to_with(version, RevertOptions::default()).await
    }

    /// Works like [`Self::revert_to`], and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::revert_to`].
    pub fn revert_to_blocking(&self, version: u64) -> Result<Receipt, RevertError> {
        self.revert_to_with_blocking(version, RevertOptions::default())
    }

    /// Works like [`Self::revert_to`], with metadata or an idempotency key.
    ///
    /// A repeat, with the same key, the same version and the same metadata, gets the receipt of the first revert, also
    /// if the version is no longer kept.
    ///
    /// # Errors
    ///
    /// As [`Self::revert_to`], and if the metadata is too long, or if a submission with other content had the key.
    pub async fn revert_to_with(
        &self,
        version: u64,
        options: RevertOptions,
    ) -> Result<Receipt, RevertError> {
        let revert = match self.begin_revert(version, options)? {
            Begun::Repeat(receipt) => return Ok(receipt),
            Begun::Revert(revert) => revert,
        };
        let permit = self.acquire_all().await?;
        let (told, done) = oneshot::channel();
        let engine = self.clone();
        let spawned = thread::spawn("revert", move || {
            let result = engine.finish_revert(&revert, permit);
            // The last handle may be dropped here: not before the caller gets the result.
            let _ = told.send(result);
        });
        let thread = spawned.map_err(RevertError::Thread)?;
        match done.await {
            Ok(result) => result,
            Err(_) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => Err(self.cause().into()),
            },
        }
    }

    /// Works like [`Self::revert_to_with`], and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::revert_to_with`].
    pub fn revert_to_with_blocking(
        &self,
        version: u64,
        options: RevertOptions,
    ) -> Result<Receipt, RevertError> {
        let revert = match self.begin_revert(version, options)? {
            Begun::Repeat(receipt) => return Ok(receipt),
            Begun::Revert(revert) => revert,
        };
        let permit = block_on(self.acquire_all())?;
        self.finish_revert(&revert, permit)
    }

    /// Makes the checks that are possible at once, and holds the version.
    fn begin_revert(&self, version: u64, options: RevertOptions) -> Result<Begun, RevertError> {
        let called_at = clock::now();
        self.running()
            .context
            .health
            .check()
            .map_err(SubmitError::from)?;
        let bytes = options.metadata.len();
        if bytes > METADATA_BYTES_MAX {
            return Err(SubmitError::from(BatchError::MetadataTooLong { bytes }).into());
        }
        let to = match self.snapshot_at(version) {
            Err(not_yet @ SnapshotError::NotYet { .. }) => return Err(not_yet.into()),
            // Of the versions that are no longer kept, only a repeat can name one.
            found => found,
        };
        let commit_id = match &to {
            Ok(to) => Ok(to.commit_id()),
            Err(_) => self.state().history.commit_id(version),
        };
        if let Ok(commit_id) = commit_id {
            let digest = revert_digest(&commit_id, &options.metadata);
            if let Some(receipt) = self.repeated(&options.idempotency_key, &digest)? {
                return Ok(Begun::Repeat(receipt));
            }
        }
        Ok(Begun::Revert(Revert {
            to: to?,
            options,
            called_at,
        }))
    }

    async fn acquire_all(&self) -> Result<Permit, SubmitError> {
        let acquired = self.running().controls.admission.acquire_all().await;
        acquired.map_err(|_| self.cause())
    }

    fn cause(&self) -> SubmitError {
        self.running().context.health.cause().into()
    }

    /// Computes the difference, while nothing else is in the pipeline, and submits it.
    fn finish_revert(&self, revert: &Revert, permit: Permit) -> Result<Receipt, RevertError> {
        let context = &self.running().context;
        // The pipeline of a failed engine has returned its permits, too.
        context.health.check().map_err(SubmitError::from)?;
        let newest = self.snapshot();
        // While the call waited, memory may have given up the version, which the archive then has.
        let to = match revert.to.check_readable() {
            Ok(()) => revert.to.clone(),
            Err(_) => self.snapshot_at(revert.to.version())?,
        };
        let limits = context.config().submit.resolved_limits();
        let preparing = context.in_flight.prepare();
        let undone = Undone::of(&to, &newest, limits)?;
        let commit_id = to.commit_id();
        let behind = Behind {
            sequence: newest.record().last_sequence,
            resolved: Resolved {
                outcome: Outcome::Reverted { commit_id },
                state_digest: to.record().state_digest,
                forked: None,
            },
        };
        let batch = undone.batch(&commit_id, &revert.options);
        drop(preparing);
        Ok(self.place(Arc::new(batch), Some(behind), permit, revert.called_at)?)
    }
}

/// A revert that has begun, or the receipt for a repeat.
enum Begun {
    Repeat(Receipt),
    Revert(Revert),
}

/// A revert, and the version that it holds.
struct Revert {
    to: Snapshot,
    options: RevertOptions,
    called_at: Instant,
}

/// Returns the keys of a slot whose value was added, changed or removed since a version.
fn changes_since(to: &Snapshot, slot: usize) -> Result<impl Iterator<Item = Change>, ReadError> {
    let changes = to.state.reader.changes_since(to.version(), slot);
    to.check_readable()?;
    match changes {
        Ok(changes) => Ok(changes.into_iter().filter(Change::has_effect)),
        // The key of an evicted leaf is the same at all versions that can be read.
        Err(NotInMemory) => Err(ReadError::Expired {
            version: to.version(),
            oldest: to.state.versions.oldest(),
        }),
    }
}

/// The writes that undo changes, in ascending order of key hashes.
struct Undone {
    writes: Vec<(Digest, Bytes, Option<Bytes>)>,
    bytes: usize,
    version: u64,
    limits: BatchLimits,
}

impl Undone {
    /// Computes the difference from the newest version to an older one.
    fn of(to: &Snapshot, newest: &Snapshot, limits: BatchLimits) -> Result<Self, RevertError> {
        let mut undone = Self {
            writes: Vec::new(),
            bytes: 0,
            version: to.version(),
            limits,
        };
        for slot in 0..WIDTH {
            match to.past() {
                None => undone.add_kept(to, newest, slot)?,
                Some(past) => undone.add_archived(&past, newest, slot)?,
            }
        }
        Ok(undone)
    }

    /// Adds the changes in a slot since a version whose replaced leaves the tree keeps.
    fn add_kept(
        &mut self,
        to: &Snapshot,
        newest: &Snapshot,
        slot: usize,
    ) -> Result<(), RevertError> {
        for change in changes_since(to, slot)? {
            let (key, value) = match (&change.then, &change.now) {
                (Some(then), _) => {
                    let (key, value) = to.key_and_value(then)?;
                    (key, Some(value))
                }
                (None, Some(now)) => (newest.key_and_value(now)?.0, None),
                (None, None) => continue,
            };
            self.push(change.key_hash, key, value)?;
        }
        Ok(())
    }

    /// Adds the changes in a slot since an archived version.
    fn add_archived(
        &mut self,
        past: &PastView<'_>,
        newest: &Snapshot,
        slot: usize,
    ) -> Result<(), RevertError> {
        for range in past.differences(slot, newest.version())? {
            let mut next = Some(*range.start());
            while let Some(from) = next {
                let (changes, following) = past.changes_since(from..=*range.end())?;
                for (key_hash, then) in changes {
                    self.take_back(newest, key_hash, then)?;
                }
                next = following;
            }
        }
        Ok(())
    }

    /// Adds the write that restores the former value of a key, unless the key has it.
    fn take_back(
        &mut self,
        newest: &Snapshot,
        key_hash: Digest,
        then: Option<(Bytes, Bytes)>,
    ) -> Result<(), RevertError> {
        let now = newest.leaf_at(&key_hash)?;
        match (then, now) {
            (Some((_, value)), Some((now, _))) if hash(&value) == now.value_hash => Ok(()),
            (Some((key, value)), _) => self.push(key_hash, key, Some(value)),
            (None, Some((_, Some(key)))) => self.push(key_hash, key, None),
            (None, Some((now, None))) => {
                let (key, _) = newest.key_and_value(&now)?;
                self.push(key_hash, key, None)
            }
            (None, None) => Ok(()),
        }
    }

    fn push(
        &mut self,
        key_hash: Digest,
        key: Bytes,
        value: Option<Bytes>,
    ) -> Result<(), RevertError> {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.writes.push((key_hash, key, value));
        let BatchLimits {
            operations_max,
            bytes_max,
        } = self.limits;
        if self.writes.len() > operations_max || self.bytes > bytes_max {
            return Err(RevertError::TooLarge {
                version: self.version,
                operations_max,
                bytes_max,
            });
        }
        Ok(())
    }

    fn batch(&self, commit_id: &Digest, options: &RevertOptions) -> PreparedBatch {
        let writes = self.writes.iter();
        let effects = writes.map(|(key_hash, key, value)| Effect {
            key_hash: *key_hash,
            key,
            change: value.as_deref(),
        });
        PreparedBatch {
            digest: revert_digest(commit_id, &options.metadata),
            metadata: options.metadata.clone(),
            idempotency_key: options.idempotency_key.clone(),
            ..PreparedBatch::of_effects(effects, self.bytes)
        }
    }
}
