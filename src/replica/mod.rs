//! A replica: a tree that applies the signed versions of a primary, checks each of them, and answers reads.
//!
//! It is an engine whose pipeline gets whole versions instead of batches: the same stages apply, hash, commit and log
//! them. Checks that do not need the tree are made before a version enters the pipeline (`check`); the stages compare
//! the rest with the record, and fail if it differs. So a replica never shows or logs anything that the primary did not
//! commit.

mod check;
mod error;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use trunkline_actors::adaptive::reload_error::ReloadError;
use trunkline_actors::admission::Permit;
use trunkline_actors::config::Config;
use trunkline_actors::decisions::{Decision, Window};
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::feed::{CursorError, FeedCursor, Synced};
use trunkline_actors::message::{GivenVersion, Submission};
use trunkline_actors::metrics::MetricsSnapshot;
use trunkline_actors::metrics::timeline::Span;
use trunkline_actors::runtime::clock;
use trunkline_actors::runtime::wait::{block_on, block_on_until};
use trunkline_actors::state::State;
use trunkline_actors::state::evidence::EvidenceError;
use trunkline_actors::state::order::{KeyRange, RangePage};
use trunkline_actors::state::past::PastError;
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::evidence::Evidence;
use trunkline_core::frame::{Frame, PublicKey};
use trunkline_core::hash::Digest;
use trunkline_core::outcome::SubmissionOutcome;
use trunkline_core::params::TreeParams;
use trunkline_core::proof::Proof;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::idempotency_file::KeyedSubmission;
use trunkline_core::store::log::{LogPosition, Recovery};
use trunkline_core::store::reverts::KnownStates;

use crate::builder::EngineBuilder;
use crate::engine::Engine;
use crate::error::{OpenError, SnapshotError};
use crate::feed::Feed;
use crate::open::Role;
use crate::snapshot::prove::{ProveOptions, SnapshotProveError};
use crate::snapshot::{KeptVersion, Snapshot};

pub use error::{ApplyError, WaitError};

/// A tree that follows a primary. Opened by [`EngineBuilder::open_replica_blocking`].
///
/// Clones are handles to the same replica. Reads see the last version that is durable here. If a version differs from
/// the primary's, the replica stops with [`EngineFailure::Diverged`] without having shown it.
///
/// ```
/// use trunkline::core::frame::{Frame, SecretKey};
/// use trunkline::{Config, Engine};
/// # let directory = tempfile::tempdir()?;
/// # let (here, there) = (directory.path().join("primary"), directory.path().join("replica"));
/// let key = SecretKey::generate([7; 32]); // random bytes, in earnest
/// let primary = Engine::open_blocking(Config::in_directory(here))?;
/// let replica = Engine::builder(Config::in_directory(&there))
///     .params(&primary.params())
///     .open_replica_blocking(vec![key.public()])?;
///
/// let durable = primary.put_blocking("alice", "10")?.durable_blocking()?;
/// for entry in primary.feed(1).take(1) {
///     replica.apply_blocking(Frame::sign(entry?, &key))?;
/// }
/// replica.wait_for_blocking(durable.version, std::time::Duration::from_secs(10))?;
/// assert_eq!(replica.get(b"alice")?.as_deref(), Some(&b"10"[..]));
/// assert_eq!(replica.snapshot().commit_id(), durable.commit_id);
/// # primary.shutdown_blocking()?;
///
/// let primary = replica.promote_blocking(0)?;
/// assert!(primary.put_blocking("bob", "7")?.durable_blocking()?.version > durable.version);
/// # primary.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replica {
    engine: Engine,
    shared: Arc<Shared>,
}

/// The parts of a replica that an engine does not have.
#[derive(Debug)]
struct Shared {
    keys: Vec<PublicKey>,
    taken: Mutex<Taken>,
    /// The settings with which the directory was opened.
    builder: Mutex<EngineBuilder>,
}

/// The versions that were taken, durable or not.
#[derive(Debug)]
struct Taken {
    /// The record of the last one.
    last: CommitRecord,
    /// Commit ids of the last few versions, including all that cannot be read yet.
    commit_ids: VecDeque<Digest>,
    /// The states of these versions, to check the claims of reverts.
    known: KnownStates,
}

impl Taken {
    /// Takes the next version. Versions up to `published` can be read by now.
    fn push(&mut self, record: &CommitRecord, published: u64) {
        self.known.push(record);
        self.commit_ids.push_back(record.commit_id());
        self.last = record.clone();
        let unpublished = record.version.saturating_sub(published);
        while self.commit_ids.len() as u64 > unpublished {
            self.commit_ids.pop_front();
        }
    }

    /// Returns the commit id of a version up to the last one, if it is kept here.
    fn commit_id(&self, version: u64) -> Option<Digest> {
        let before_last = usize::try_from(self.last.version.checked_sub(version)?).ok()?;
        let index = self.commit_ids.len().checked_sub(before_last + 1)?;
        self.commit_ids.get(index).copied()
    }
}

impl EngineBuilder {
    /// Opens the directory as a replica's, which accepts frames that one of these keys signed. Creates it if it is
    /// empty or absent, with the primary's parameters ([`Self::params`]).
    ///
    /// # Errors
    ///
    /// As [`Engine::open`], and if the directory is a primary's.
    pub fn open_replica_blocking(self, keys: Vec<PublicKey>) -> Result<Replica, OpenError> {
        let builder = self.again();
        let engine = self.role(Role::Replica).open_blocking()?;
        Ok(Replica::new(engine, keys, builder))
    }

    /// Does what [`Self::open_replica_blocking`] does, on another thread.
    ///
    /// # Errors
    ///
    /// As [`Self::open_replica_blocking`].
    pub async fn open_replica(self, keys: Vec<PublicKey>) -> Result<Replica, OpenError> {
        let builder = self.again();
        let engine = self.role(Role::Replica).open().await?;
        Ok(Replica::new(engine, keys, builder))
    }
}

impl Replica {
    fn new(engine: Engine, keys: Vec<PublicKey>, builder: EngineBuilder) -> Self {
        let last = engine.snapshot().record().clone();
        let mut known = KnownStates::default();
        known.push(&last);
        let taken = Taken {
            known,
            last,
            commit_ids: VecDeque::new(),
        };
        let shared = Shared {
            keys,
            taken: Mutex::new(taken),
            builder: Mutex::new(builder),
        };
        Self {
            engine,
            shared: Arc::new(shared),
        }
    }

    /// Takes the next version of the primary. Waits while the limits `submit.in_flight_*` are reached.
    ///
    /// When the call returns, the frame has passed all checks that do not need the tree: a pinned key signed it, it
    /// follows the last version, its outcomes have the digest in its record and lead to its provisional root, and its
    /// effects can be read. It is then applied in the background and compared with the record, and is durable once
    /// [`Self::wait_for`] returns. A version that is here already is compared by its commit id, and ignored.
    ///
    /// If the future is dropped before it is ready, the version is not taken.
    ///
    /// # Errors
    ///
    /// Returns an [`ApplyError`] for a frame that is not the next version of the primary. Nothing has changed then.
    pub async fn apply(&self, frame: Frame) -> Result<(), ApplyError> {
        let Some(checked) = self.check(frame)? else {
            return Ok(());
        };
        let (operations, bytes) = checked.weight();
        let admission = &self.engine.running().controls.admission;
        let permit = admission.acquire(operations, bytes).await;
        let permit = permit.map_err(|_| self.engine.running().context.health.cause())?;
        self.enqueue(checked, permit)
    }

    /// Does what [`Self::apply`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn apply_blocking(&self, frame: Frame) -> Result<(), ApplyError> {
        let Some(checked) = self.check(frame)? else {
            return Ok(());
        };
        let (operations, bytes) = checked.weight();
        let admission = &self.engine.running().controls.admission;
        let permit = admission.acquire_blocking(operations, bytes);
        let permit = permit.map_err(|_| self.engine.running().context.health.cause())?;
        self.enqueue(checked, permit)
    }

    /// Checks a frame; returns `None` if it is a version that is already here.
    fn check(&self, frame: Frame) -> Result<Option<Checked>, ApplyError> {
        let running = self.engine.running();
        running.context.health.check()?;
        frame.verify(&self.shared.keys)?;
        let (state, entry) = (self.state(), frame.entry);
        if entry.record.tree_id != state.params.tree_id() {
            return Err(ApplyError::OtherTree);
        }
        running.context.feed.observe_primary(entry.record.version);
        let last = self.shared.taken.lock().last.version;
        if entry.record.version <= last {
            self.compare(&entry.record)?;
            return Ok(None);
        }
        let (batch, outcomes) = check::content(&state.params, &entry)?;
        Ok(Some(Checked {
            batch,
            outcomes,
            given: GivenVersion {
                record: entry.record,
                kzg_root: entry.kzg_root,
                outcomes: entry.outcomes,
            },
        }))
    }

    /// Compares a version that was already taken with the one that is here.
    fn compare(&self, record: &CommitRecord) -> Result<(), ApplyError> {
        let version = record.version;
        let taken = self.shared.taken.lock().commit_id(version);
        let here = match taken {
            Some(commit_id) => commit_id,
            None => {
                let stored = self.state().history.commit_id(version);
                stored.map_err(ApplyError::History)?
            }
        };
        match record.commit_id() {
            primary if primary == here => Ok(()),
            primary => Err(ApplyError::Diverged {
                version,
                primary,
                here,
            }),
        }
    }

    /// Sends a version into the pipeline, if it is the next one.
    fn enqueue(&self, checked: Checked, permit: Permit) -> Result<(), ApplyError> {
        let running = self.engine.running();
        let published = self.state().versions.newest().number();
        let mut taken = self.shared.taken.lock();
        let (record, last) = (&checked.given.record, &taken.last);
        match record.version.saturating_sub(last.version) {
            // Another caller was first.
            0 => {
                drop(taken);
                return self.compare(record);
            }
            1 => {
                check::follows(last, record, &checked.outcomes)?;
                taken.known.check(record, &checked.given.outcomes)?;
            }
            _ => {
                return Err(ApplyError::NotNext {
                    version: record.version,
                    next: last.version + 1,
                });
            }
        }
        let sequencer = running.sequencer.lock();
        running.context.health.check()?;
        if sequencer.closed {
            return Err(EngineFailure::Closed.into());
        }
        let (sequence, provisional_root) = (record.last_sequence, record.provisional_root);
        let accepted_at = clock::now();
        let issued = running
            .issuer
            .issue(sequence, provisional_root, accepted_at);
        taken.push(record, published);
        let wakes = running.pipeline.submit(Submission {
            sequence,
            provisional_root,
            batch: Arc::new(checked.batch),
            given: Some(Box::new(checked.given)),
            resolved: None,
            completion: issued.0,
            permit,
            accepted_at,
        });
        drop(sequencer);
        drop(taken);
        if wakes {
            running.pipeline.wake();
        }
        Ok(())
    }

    /// Waits until a version, or a later one, is synced here and can be read. In durability mode `os` that may happen
    /// only when a shutdown drains the replica.
    ///
    /// # Errors
    ///
    /// Fails if the replica failed or was shut down before.
    pub async fn wait_for(&self, version: u64) -> Result<(), WaitError> {
        Ok(self.engine.wait_for(version).await?)
    }

    /// Does what [`Self::wait_for`] does, and blocks the thread, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_for`], and with [`WaitError::Timeout`] if the version has not come by then.
    pub fn wait_for_blocking(&self, version: u64, timeout: Duration) -> Result<(), WaitError> {
        let Some(deadline) = clock::now().checked_add(timeout) else {
            return block_on(self.wait_for(version));
        };
        let waited = block_on_until(self.wait_for(version), deadline);
        waited.unwrap_or_else(|| {
            Err(WaitError::Timeout {
                version,
                reached: self.engine.synced_version(),
            })
        })
    }

    /// Notes that the primary has a version, for instance from a heartbeat. The metric `replica_lag_versions` is
    /// computed from it.
    pub fn observe_primary(&self, version: u64) {
        self.engine.running().context.feed.observe_primary(version);
    }

    /// Returns the number of versions by which this replica is behind its primary, as far as it knows.
    pub fn lag_versions(&self) -> u64 {
        let feed = &self.engine.running().context.feed;
        feed.lag_versions(feed.synced_version())
    }

    /// Returns the last version that is durable here, as defined by the durability mode: only in mode `sync` is it
    /// always synced.
    pub fn position(&self) -> LogPosition {
        LogPosition::of(self.snapshot().record())
    }

    /// Returns the last version that is synced here, whatever the durability mode: a power loss cannot lose it.
    pub fn synced(&self) -> Synced {
        self.engine.running().context.feed.synced()
    }

    /// Returns the number of the last version that is synced here.
    pub fn synced_version(&self) -> u64 {
        self.engine.synced_version()
    }

    /// Returns the last version that was taken, durable here or not: the next frame must follow it.
    pub fn last_taken(&self) -> LogPosition {
        LogPosition::of(&self.shared.taken.lock().last)
    }

    /// Returns the value of a key at the last durable version, or `None` if it has none there.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.engine.get_durable(key)
    }

    /// Returns the first page of a range at the last durable version, as [`Snapshot::range`] does.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::range`].
    pub fn range(&self, range: &KeyRange) -> Result<RangePage, ReadError> {
        self.snapshot().range(range)
    }

    /// Returns the first page of the keys that begin with these bytes, at the last durable version.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::range`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<RangePage, ReadError> {
        self.snapshot().prefix(prefix)
    }

    /// Does what [`Self::get`] does, on a thread of the replica.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::get`].
    pub async fn get_async(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ReadError> {
        self.snapshot().get_async(key).await
    }

    /// Does what [`Snapshot::multi_get`] does at the last durable version, on threads of the replica.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::multi_get`].
    pub async fn multi_get_async<K: AsRef<[u8]> + Send + 'static>(
        &self,
        keys: Vec<K>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        self.snapshot().multi_get_async(keys).await
    }

    /// Does what [`Snapshot::prove_with`] does at the last durable version, on a thread of the replica.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove`].
    pub async fn prove_async<K: AsRef<[u8]> + Send + 'static>(
        &self,
        keys: Vec<K>,
        options: ProveOptions,
    ) -> Result<Proof, SnapshotProveError> {
        self.snapshot().prove_async(keys, options).await
    }

    /// Does what [`Self::range`] does, on a thread of the replica.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::range`].
    pub async fn range_async(&self, range: KeyRange) -> Result<RangePage, ReadError> {
        self.snapshot().range_async(range).await
    }

    /// Returns a snapshot of the last durable version. Never waits.
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// Returns a snapshot with the idempotency keys that are remembered, as [`Engine::snapshot_with_keys`] does.
    pub fn snapshot_with_keys(&self) -> (Snapshot, Vec<KeyedSubmission>) {
        self.engine.snapshot_with_keys()
    }

    /// Returns a snapshot of a version that is still kept or archived, as [`Engine::snapshot_at`] does. A replica archives
    /// by its own configuration.
    ///
    /// # Errors
    ///
    /// As [`Engine::snapshot_at`].
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        self.engine.snapshot_at(version)
    }

    /// Returns the feed of this replica, as [`Engine::feed`] does. It contains the versions that are durable here.
    pub fn feed(&self, from: u64) -> Feed {
        self.engine.feed(from)
    }

    /// Sets a cursor, as [`Engine::set_cursor`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::set_cursor`].
    pub fn set_cursor(&self, name: &str, version: u64) -> Result<(), CursorError> {
        self.engine.set_cursor(name, version)
    }

    /// Removes a cursor, as [`Engine::remove_cursor`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::remove_cursor`].
    pub fn remove_cursor(&self, name: &str) -> Result<bool, CursorError> {
        self.engine.remove_cursor(name)
    }

    /// Returns all cursors, in the order of their names.
    pub fn cursors(&self) -> Vec<FeedCursor> {
        self.engine.cursors()
    }

    /// Returns the versions that can be read, as [`Engine::kept_versions`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::kept_versions`].
    pub fn kept_versions(
        &self,
        from: u64,
        count_max: usize,
    ) -> Result<Vec<KeptVersion>, PastError> {
        self.engine.kept_versions(from, count_max)
    }

    /// Returns the oldest version that [`Self::snapshot_at`] can return.
    pub fn oldest_version(&self) -> u64 {
        self.engine.oldest_version()
    }

    /// Returns the evidence about a submission, as [`Engine::evidence`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::evidence`].
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        self.engine.evidence(sequence)
    }

    /// Returns the parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.engine.params()
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.engine.config()
    }

    /// Returns the result of reading the log on open, and the repairs that it made.
    pub fn recovery(&self) -> &Recovery {
        self.engine.recovery()
    }

    /// Returns the metrics since the replica was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.engine.metrics()
    }

    /// Returns the microseconds since the replica was opened. Windows, decisions and spans use this clock.
    pub fn uptime_us(&self) -> u64 {
        self.engine.uptime_us()
    }

    /// Returns the spans from a position on, with the position after the last one: see [`Engine::spans_from`].
    pub fn spans_from(&self, place: u64) -> (Vec<Span>, u64) {
        self.engine.spans_from(place)
    }

    /// Returns windows, as [`Engine::windows_since`] does.
    pub fn windows_since(&self, number: u64) -> Vec<Window> {
        self.engine.windows_since(number)
    }

    /// Returns decisions, as [`Engine::decisions_since`] does.
    pub fn decisions_since(&self, number: u64) -> Vec<Decision> {
        self.engine.decisions_since(number)
    }

    /// Returns spans, as [`Engine::spans_since`] does.
    pub fn spans_since(&self, ended_us: u64) -> Vec<Span> {
        self.engine.spans_since(ended_us)
    }

    /// Replaces the configuration of the running replica, as [`Engine::reload`] does.
    ///
    /// # Errors
    ///
    /// As [`Engine::reload`].
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        self.engine.reload(config)
    }

    /// Returns the failure that stopped the replica, if any.
    pub fn failure(&self) -> Option<EngineFailure> {
        self.engine.failure()
    }

    /// Turns this replica into an engine: everything taken becomes durable, the replica is shut down, and its directory
    /// is opened for writing in an epoch above `above_epoch` and above those of all its versions. Blocks meanwhile.
    ///
    /// This call does not stop the old primary. The caller must make sure that it cannot write any more, for instance
    /// with a carrier that fences it.
    ///
    /// # Errors
    ///
    /// Fails if the replica has failed, or as [`Engine::open`]. The directory is then still a replica's, unless opening
    /// it as one fails.
    pub fn promote_blocking(self, above_epoch: u64) -> Result<Engine, OpenError> {
        self.shutdown_blocking().map_err(OpenError::Replica)?;
        let builder = self.shared.builder.lock().again();
        builder.role(Role::Promoted { above_epoch }).open_blocking()
    }

    /// Does what [`Self::promote_blocking`] does, on another thread.
    ///
    /// # Errors
    ///
    /// As [`Self::promote_blocking`].
    pub async fn promote(self, above_epoch: u64) -> Result<Engine, OpenError> {
        self.shutdown().await.map_err(OpenError::Replica)?;
        let builder = self.shared.builder.lock().again();
        builder.role(Role::Promoted { above_epoch }).open().await
    }

    /// Shuts the replica down, as [`Engine::shutdown`] does.
    ///
    /// # Errors
    ///
    /// Returns the failure that stopped the replica before, if any.
    pub async fn shutdown(&self) -> Result<(), EngineFailure> {
        self.engine.shutdown().await
    }

    /// Does what [`Self::shutdown`] does, and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::shutdown`].
    pub fn shutdown_blocking(&self) -> Result<(), EngineFailure> {
        self.engine.shutdown_blocking()
    }

    fn state(&self) -> &Arc<State> {
        &self.engine.running().context.state
    }
}

/// A frame that has passed the checks that do not need the tree.
struct Checked {
    batch: PreparedBatch,
    outcomes: Vec<SubmissionOutcome>,
    given: GivenVersion,
}

impl Checked {
    /// Returns the operations and bytes that the version needs permits for.
    fn weight(&self) -> (usize, usize) {
        (self.batch.operations.max(1), self.batch.bytes)
    }
}
