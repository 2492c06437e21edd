//! The handle to a running engine: submit, read, drain, shut down.
//!
//! The handle is `Clone + Send + Sync`. It works from any runtime or none: every call that waits has an async and a
//! blocking form.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use trunkline_actors::adaptive::reload_error::ReloadError;
use trunkline_actors::admission::{Permit, TryAcquireError};
use trunkline_actors::config::{Config, DurabilityMode};
use trunkline_actors::decisions::{Decision, Window};
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::feed::{CursorError, FeedCursor, Reach};
use trunkline_actors::idempotency::Earlier;
use trunkline_actors::message::{Resolved, Submission};
use trunkline_actors::metrics::MetricsSnapshot;
use trunkline_actors::metrics::timeline::Span;
use trunkline_actors::receipt::{Durability, Durable, Receipt};
use trunkline_actors::runtime::wait::block_on;
use trunkline_actors::runtime::{clock, thread};
use trunkline_actors::state::State;
use trunkline_actors::state::evidence::{self, EvidenceError};
use trunkline_actors::state::past::PastError;
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::{Batch, CheckedBatch, PreparedBatch, provisional_root};
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::IdempotencyKey;
use trunkline_core::params::TreeParams;
use trunkline_core::store::idempotency_file::KeyedSubmission;
use trunkline_core::store::log::Recovery;

use crate::error::{SnapshotError, SubmitError};
use crate::feed::Feed;
use crate::running::{Owner, Running};
use crate::snapshot::multi_get::in_path_order;
use crate::snapshot::{KeptVersion, Snapshot, checked_hash, kept_versions};

/// A running engine.
///
/// Clones are handles to the same engine. If the last one is dropped without [`Engine::shutdown`], the drop blocks its
/// thread until everything accepted is durable. Only a waker that drops it while the engine wakes it does not block:
/// the engine then shuts down on another thread.
///
/// Blocking calls and drops work on any thread, also in a task of an async runtime: they need nothing from the runtime.
/// The runtime's other tasks on the thread wait meanwhile, so prefer the async forms there.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let mut batch = trunkline::Batch::new();
/// batch.put("alice", "10").put("bob", "7");
/// let receipt = engine.submit_blocking(batch)?;
/// assert_eq!(engine.get(b"alice")?.as_deref(), Some(&b"10"[..])); // own writes are visible at once
/// let durable = receipt.durable_blocking()?;
/// assert_eq!(engine.snapshot().version(), durable.version);
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    running: Arc<Owner>,
}

impl From<Running> for Engine {
    fn from(running: Running) -> Self {
        Self {
            running: Arc::new(Owner(Arc::new(running))),
        }
    }
}

impl Engine {
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Submits a batch and returns its receipt.
    ///
    /// Waits while the limits `submit.in_flight_*` are reached. When the call returns, the batch is accepted: its
    /// position in the order of submissions is fixed, and [`Self::get`] shows its writes. It is not durable yet; wait
    /// for that with [`Receipt::durable`]. Batches that one caller submits one after the other keep their order.
    ///
    /// A batch with an idempotency key ([`Batch::idempotency_key`]) that the engine knows is not submitted again: the
    /// receipt is that of the first submission ([`Receipt::is_repeat`]). So a caller that does not know the outcome of
    /// a batch, for instance after a restart or a failover, submits it again. The engine knows the keys that are in
    /// flight and the last durable ones (`submit.idempotency_keys_max`). It also knows refused submissions: a repeat
    /// gets the same refusal.
    ///
    /// If the future is dropped before it is ready, the batch is not submitted.
    ///
    /// # Errors
    ///
    /// Fails if the batch breaks a limit, if a batch with other content had its idempotency key, or if the engine has
    /// failed or was shut down. The batch then has no effect.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = clock::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = weight(&batch);
        let admission = &self.running.controls.admission;
        let permit = admission.acquire(operations, bytes).await;
        let permit = permit.map_err(|_| self.running.context.health.cause())?;
        self.enqueue(batch, permit, called_at)
    }

    /// Does what [`Self::submit`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub fn submit_blocking(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = clock::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = weight(&batch);
        let admission = &self.running.controls.admission;
        let permit = admission.acquire_blocking(operations, bytes);
        let permit = permit.map_err(|_| self.running.context.health.cause())?;
        self.enqueue(batch, permit, called_at)
    }

    /// Submits a batch if it can be accepted now. Never waits.
    ///
    /// # Errors
    ///
    /// Returns [`SubmitError::Busy`] if the in-flight limit is reached, and otherwise fails as [`Self::submit`] does.
    pub fn try_submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = clock::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = weight(&batch);
        match self
            .running
            .controls
            .admission
            .try_acquire(operations, bytes)
        {
            Ok(permit) => self.enqueue(batch, permit, called_at),
            Err(TryAcquireError::NoPermits) => Err(SubmitError::Busy),
            Err(TryAcquireError::Closed(_)) => Err(self.running.context.health.cause().into()),
        }
    }

    /// Submits a batch of one put.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, SubmitError> {
        let mut batch = Batch::new();
        batch.put(key, value);
        self.submit(batch).await
    }

    /// Does what [`Self::put`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub fn put_blocking(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, SubmitError> {
        let mut batch = Batch::new();
        batch.put(key, value);
        self.submit_blocking(batch)
    }

    /// Submits a batch of one delete.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Receipt, SubmitError> {
        let mut batch = Batch::new();
        batch.delete(key);
        self.submit(batch).await
    }

    /// Does what [`Self::delete`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub fn delete_blocking(&self, key: impl AsRef<[u8]>) -> Result<Receipt, SubmitError> {
        let mut batch = Batch::new();
        batch.delete(key);
        self.submit_blocking(batch)
    }

    /// Returns the latest accepted value of a key, or `None` if it has none. The caller's own writes are visible.
    ///
    /// Writes of a batch with requirements are visible once they have taken effect, since the batch may still be
    /// refused. Other writes are visible at once; the few that are refused for their path (collision policy `reject`,
    /// or a full bucket) are visible until then.
    ///
    /// A crash may lose these values: [`Self::get_durable`] and [`Self::snapshot`] show only durable versions. Blocks
    /// while it reads the leaf store, if the value is not in memory.
    ///
    /// # Errors
    ///
    /// Fails if the key is empty or too long, if the engine has failed or was shut down, or if the leaf store cannot be
    /// read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let state = self.state();
        let key_hash = checked_hash(state, 0, key)?;
        state.get_latest(&self.running.context.health, &key_hash)
    }

    /// Returns whether a key has a value, as [`Self::get`] sees it.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn contains(&self, key: &[u8]) -> Result<bool, ReadError> {
        let state = self.state();
        let key_hash = checked_hash(state, 0, key)?;
        state.contains_latest(&self.running.context.health, &key_hash)
    }

    /// Returns the values of several keys, in the order of the keys, each as [`Self::get`] sees it at its moment. This
    /// is faster than [`Self::get`] for several dozen keys or more.
    ///
    /// Writes may happen between two of the reads; [`Snapshot::multi_get`] reads all keys at one version.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], for the first key that fails.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let (state, health) = (self.state(), &self.running.context.health);
        in_path_order(state, keys, |key_hash| state.get_latest(health, key_hash))
    }

    /// Returns the value of a key at the last durable version, or `None` if it has none there.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::get`].
    pub fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.snapshot().get(key)
    }

    /// Returns a snapshot of the last durable version. Never waits.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of_newest(self.state())
    }

    /// Returns a snapshot of the last durable version, with the submissions that are remembered by their idempotency
    /// keys at that version: together they are the data for a copy of the tree.
    pub fn snapshot_with_keys(&self) -> (Snapshot, Vec<KeyedSubmission>) {
        let (state, keys) = (self.state(), &self.running.context.idempotency);
        let (version, remembered) = keys.remembered_with(|| state.versions.pin_newest());
        let snapshot = Snapshot::of_pinned(state.clone(), version);
        (snapshot, remembered.submissions)
    }

    /// Returns a snapshot of a durable version that is still kept (`versions.retain_versions`) or archived
    /// (`versions.archive`). Never waits for a commit; reads the disk if the version is archived.
    ///
    /// # Errors
    ///
    /// Fails if the version is no longer kept, or not durable yet, or if the archive cannot be read.
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        Snapshot::at(self.state(), version)
    }

    /// Returns a snapshot of a durable version whose replaced values the tree still keeps.
    pub(crate) fn kept(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        let state = self.state();
        match state.versions.pin(version) {
            Ok(pinned) => Ok(Snapshot::of_pinned(state.clone(), pinned)),
            Err((_, newest)) if version > newest => Err(SnapshotError::NotYet { version, newest }),
            Err((oldest, _)) => Err(SnapshotError::Expired { version, oldest }),
        }
    }

    /// Returns the evidence about a submission, by its sequence number: what [`Receipt::evidence`] returns, for callers
    /// without the receipt.
    ///
    /// # Errors
    ///
    /// Fails if the version of the submission is no longer kept, or not durable yet.
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        evidence::of_kept(self.state(), sequence)
    }

    /// Returns the feed of all versions from `from` on: the commit record, outcomes and effects of each, in order. It
    /// contains synced versions only, whatever the durability mode, and waits for more at its end. An unread feed costs
    /// nothing; the log may be trimmed before it is read, unless a cursor ([`Self::set_cursor`]) holds it.
    ///
    /// ```
    /// use trunkline::core::store::effect::decode_effects;
    /// # let directory = tempfile::tempdir()?;
    /// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
    /// let mut feed = engine.feed(1);
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let entry = feed.next().expect("the engine runs")?;
    /// let params = engine.params();
    /// let effects = decode_effects(&params, &entry.effects)?;
    /// assert_eq!((entry.record.version, effects[0].key), (1, &b"alice"[..]));
    /// # engine.shutdown_blocking()?;
    /// assert!(feed.next().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn feed(&self, from: u64) -> Feed {
        Feed::new(&self.running.context, from.max(1))
    }

    /// Sets a cursor, or creates it: the log keeps the versions after `version` until the cursor moves on or is
    /// removed, up to `log.held_bytes_max` for all cursors together. The cursor is durable when the call returns.
    /// Blocks while it writes a small file.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be that of a cursor, if there are too many, if the version is not synced yet or is
    /// before that of the cursor, or if the file cannot be written.
    pub fn set_cursor(&self, name: &str, version: u64) -> Result<(), CursorError> {
        self.running.context.feed.set_cursor(name, version)
    }

    /// Removes a cursor, so that the log no longer keeps versions for it. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be that of a cursor, or if the file cannot be written.
    pub fn remove_cursor(&self, name: &str) -> Result<bool, CursorError> {
        self.running.context.feed.remove_cursor(name)
    }

    /// Returns all cursors, in the order of their names.
    pub fn cursors(&self) -> Vec<FeedCursor> {
        self.running.context.feed.cursors()
    }

    /// Returns the newest version that a feed contains.
    pub fn synced_version(&self) -> u64 {
        self.running.context.feed.synced_version()
    }

    /// Waits until a version, or a later one, is synced and can be read.
    ///
    /// # Errors
    ///
    /// Fails if the engine failed or was shut down before.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
    /// let version = engine.put_blocking("alice", "10")?.hashed_blocking()?.version;
    /// pollster::block_on(engine.wait_for(version))?; // the number may have come from another process
    /// assert!(engine.snapshot_at(version).is_ok());
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn wait_for(&self, version: u64) -> Result<(), EngineFailure> {
        let context = &self.running.context;
        match context.feed.waiter().reach(version).await {
            Reach::Version(_) => Ok(()),
            Reach::End => Err(context.health.cause()),
        }
    }

    /// Returns the versions that [`Self::snapshot_at`] can return, from `from` on, ascending: at most `count_max` of them.
    ///
    /// # Errors
    ///
    /// Fails if the archive of versions cannot be read.
    pub fn kept_versions(
        &self,
        from: u64,
        count_max: usize,
    ) -> Result<Vec<KeptVersion>, PastError> {
        kept_versions(self.state(), from, count_max)
    }

    /// Returns the oldest version that [`Self::snapshot_at`] can return.
    pub fn oldest_version(&self) -> u64 {
        self.state().oldest_version()
    }

    /// Returns the parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.state().params
    }

    /// Returns the configuration in force: the one with which the engine was opened, or the last reloaded one. Settings
    /// that the engine itself has adapted are in [`Self::windows_since`].
    pub fn config(&self) -> Arc<Config> {
        self.running.context.config()
    }

    /// Returns the result of reading the log on open, and the repairs that it made.
    pub fn recovery(&self) -> &Recovery {
        &self.running.recovery
    }

    /// Returns the metrics since the engine was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.state().measure_memory();
        self.running.context.metrics.snapshot()
    }

    /// Returns the microseconds since the engine was opened. Windows, decisions and spans use this clock.
    pub fn uptime_us(&self) -> u64 {
        self.running.context.metrics.uptime_us()
    }

    /// Returns the measurements of all windows (`control.window_ms`) after window `number`, oldest first. The last
    /// 1,200 windows are kept.
    pub fn windows_since(&self, number: u64) -> Vec<Window> {
        self.running.controls.windows.since(number)
    }

    /// Returns all decisions after decision `number`, oldest first. Each says which setting the engine or a reload
    /// changed, and why. The last `control.decisions_kept` are kept.
    pub fn decisions_since(&self, number: u64) -> Vec<Decision> {
        self.running.controls.decisions.since(number)
    }

    /// Returns the spans that ended at `ended_us` ([`Self::uptime_us`]) or later. Each says which stage worked on which
    /// version, and when. The last 8,192 are kept.
    pub fn spans_since(&self, ended_us: u64) -> Vec<Span> {
        self.running.context.metrics.timeline.since(ended_us)
    }

    /// Returns the spans from a position on, with the position after the last one: pass it to the next call to get each
    /// span once. Position 0 is the first span since the engine was opened. If `place` plus the number of spans is less
    /// than the returned position, the difference was dropped before it was read.
    pub fn spans_from(&self, place: u64) -> (Vec<Span>, u64) {
        self.running.context.metrics.timeline.read_from(place)
    }

    /// Replaces the configuration of the running engine, atomically. The reload, or its refusal, is recorded among the
    /// decisions.
    ///
    /// # Errors
    ///
    /// Fails if a value is not allowed, if a setting differs that cannot change while the engine runs (only
    /// [`RELOADABLE`](crate::config::RELOADABLE) ones can), or if the engine has failed or was shut down. The engine
    /// then keeps its configuration.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config.clone())?;
    /// let mut other = config;
    /// other.group.operations_max = 5_000;
    /// engine.reload(other)?;
    /// assert_eq!(engine.config().group.operations_max, 5_000);
    /// assert_eq!(engine.decisions_since(0).len(), 1);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        self.running.controls.reload(Ok(config))
    }

    /// Returns the failure that stopped the engine, if any. A shutdown counts as [`EngineFailure::Closed`].
    pub fn failure(&self) -> Option<EngineFailure> {
        self.running.context.health.failure().cloned()
    }

    /// Waits until everything accepted before is durable and synced, whatever the durability mode.
    ///
    /// # Errors
    ///
    /// Fails if the engine has failed or was shut down.
    pub async fn drain(&self) -> Result<(), EngineFailure> {
        self.running.context.health.check()?;
        self.running.drain(false).await
    }

    /// Does what [`Self::drain`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::drain`].
    pub fn drain_blocking(&self) -> Result<(), EngineFailure> {
        block_on(self.drain())
    }

    /// Shuts the engine down: accepts nothing more, makes everything accepted durable, closes the files and ends the
    /// threads. Then the directory can be opened again.
    ///
    /// Calls on other handles fail with [`EngineFailure::Closed`] from then on, and so do reads that need the leaf
    /// store. If several callers shut down, all wait for the same shutdown, which continues even if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Returns the failure that stopped the engine before, if any.
    pub async fn shutdown(&self) -> Result<(), EngineFailure> {
        let running = &self.running;
        if running.close_sequencer() {
            let moved = running.0.clone();
            // If no thread can be started, the caller's thread does the work and blocks.
            if thread::spawn("shutdown", move || moved.shut_down()).is_err() {
                running.shut_down();
            }
        }
        let mut ended = running.ended.subscribe();
        // The sender lives as long as this handle.
        let _ = ended.wait_for(|ended| *ended).await;
        match self.failure() {
            None | Some(EngineFailure::Closed) => Ok(()),
            Some(failure) => Err(failure),
        }
    }

    /// Does what [`Self::shutdown`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::shutdown`].
    pub fn shutdown_blocking(&self) -> Result<(), EngineFailure> {
        block_on(self.shutdown())
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.running.context.state
    }

    fn check(&self, batch: Batch) -> Result<CheckedBatch, SubmitError> {
        let context = &self.running.context;
        context.health.check()?;
        Ok(batch.check(&context.config().submit.batch_limits())?)
    }

    /// Prepares an admitted batch, fixes its position in the order of submissions and sends it to the pipeline. From
    /// then on it becomes durable, or its waiters learn the failure. Only admitted batches are prepared, so memory
    /// stays bounded.
    fn enqueue(
        &self,
        batch: CheckedBatch,
        permit: Permit,
        called_at: Instant,
    ) -> Result<Receipt, SubmitError> {
        let (context, state) = (&self.running.context, self.state());
        let preparing = context.in_flight.prepare();
        let batch = Arc::new(batch.prepare(&state.params, context.cut_batch()));
        drop(preparing);
        self.place(batch, None, permit, called_at)
    }

    /// Fixes the position of a prepared batch in the order of submissions and sends it to the pipeline. A batch that
    /// was already resolved is accepted only directly after the version that it was resolved against.
    pub(crate) fn place(
        &self,
        batch: Arc<PreparedBatch>,
        behind: Option<Behind>,
        permit: Permit,
        called_at: Instant,
    ) -> Result<Receipt, SubmitError> {
        let (context, state) = (&self.running.context, self.state());
        let operations = batch.operations;
        let key = &batch.idempotency_key;
        let key_hash = (!key.is_empty()).then(|| key.hash());
        let mut sequencer = self.running.sequencer.lock();
        context.health.check()?;
        if sequencer.closed {
            return Err(EngineFailure::Closed.into());
        }
        let find = |key_hash| context.idempotency.earlier(key_hash, &batch.digest);
        if let Some(earlier) = key_hash.as_ref().and_then(find) {
            drop(sequencer);
            return self.repeat(earlier);
        }
        let sequence = sequencer.next_sequence;
        let behind = behind
            .map(|behind| behind.check(sequence - 1))
            .transpose()?;
        let provisional_root = provisional_root(&sequencer.provisional_root, &batch.digest);
        let accepted_at = clock::now();
        let issuer = &self.running.issuer;
        let (completion, receipt) = issuer.issue(sequence, provisional_root, accepted_at);
        sequencer.next_sequence += 1;
        sequencer.provisional_root = provisional_root;
        if let Some(key_hash) = key_hash {
            context.idempotency.take(key_hash, batch.digest, &receipt);
        }
        state.overlay.show(sequence, &batch);
        let wakes = self.running.pipeline.submit(Submission {
            sequence,
            provisional_root,
            batch,
            given: None,
            resolved: behind.map(Box::new),
            completion,
            permit,
            accepted_at,
        });
        drop(sequencer);
        if wakes {
            self.running.pipeline.wake();
        }
        context.metrics.submission_accepted(called_at, operations);
        Ok(receipt)
    }

    /// Checks that a submission is still the last one that was accepted. Another may be accepted at once.
    pub(crate) fn check_last(&self, sequence: u64) -> Result<(), SubmitError> {
        let last = self.running.sequencer.lock().next_sequence - 1;
        overtaken(sequence, last)
    }

    /// Returns the receipt of the submission that used an idempotency key, if there is one and it had the same content.
    pub(crate) fn repeated(
        &self,
        key: &IdempotencyKey,
        digest: &Digest,
    ) -> Result<Option<Receipt>, SubmitError> {
        if key.is_empty() {
            return Ok(None);
        }
        let sequencer = self.running.sequencer.lock();
        let idempotency = &self.running.context.idempotency;
        let earlier = idempotency.earlier(&key.hash(), digest);
        drop(sequencer);
        earlier.map(|earlier| self.repeat(earlier)).transpose()
    }

    /// Returns the receipt of an earlier submission with the same key, if it had the same content.
    fn repeat(&self, earlier: Earlier) -> Result<Receipt, SubmitError> {
        let context = &self.running.context;
        let receipt = match earlier {
            Earlier::InFlight(receipt) => receipt.ok_or_else(|| context.health.cause())?,
            Earlier::Durable(first) => {
                let durable = self.durable(&first)?;
                self.running.issuer.repeat(&first, &durable)
            }
            Earlier::Other { sequence } => {
                context.metrics.idempotency_key_reused();
                return Err(SubmitError::IdempotencyKeyReused { sequence });
            }
        };
        context.metrics.repeated();
        Ok(receipt)
    }

    /// Returns the known facts about a durable submission.
    fn durable(&self, first: &KeyedSubmission) -> Result<Durable, SubmitError> {
        let (context, state) = (&self.running.context, self.state());
        let commit_id = state.history.commit_id(first.version);
        let commit_id = commit_id.map_err(|source| SubmitError::Repeat {
            sequence: first.sequence,
            source: Arc::new(source),
        })?;
        let kept = state.versions.get(first.version);
        let is_synced = context.feed.synced_version() >= first.version;
        Ok(Durable {
            version: first.version,
            commit_id,
            state_digest: first.state_digest,
            kzg_root: kept.and_then(|kept| kept.kzg_root.get().copied()),
            outcome: first.outcome,
            durability: match (is_synced, context.config().durability.mode) {
                (true, _) => Durability::Sync,
                (false, DurabilityMode::Sync) => Durability::Sync,
                (false, DurabilityMode::Interval) => Durability::Interval,
                (false, DurabilityMode::Os) => Durability::Os,
            },
        })
    }
}

/// The condition for a submission that was already resolved: that a given submission is still the last one.
pub(crate) struct Behind {
    /// The sequence number of that submission.
    pub(crate) sequence: u64,
    pub(crate) resolved: Resolved,
}

impl Behind {
    fn check(self, last: u64) -> Result<Resolved, SubmitError> {
        overtaken(self.sequence, last)?;
        Ok(self.resolved)
    }
}

fn overtaken(sequence: u64, last: u64) -> Result<(), SubmitError> {
    match sequence == last {
        true => Ok(()),
        false => Err(SubmitError::Overtaken { sequence, last }),
    }
}

/// Returns the operations and bytes for which a batch needs permits. An empty batch counts as one operation, since its
/// metadata uses memory, too.
fn weight(batch: &CheckedBatch) -> (usize, usize) {
    (batch.operations().max(1), batch.bytes())
}

#[cfg(test)]
mod tests {
    use trunkline_actors::adaptive::Proposal;
    use trunkline_actors::adaptive::controls::Controls;
    use trunkline_actors::config::ControlMode;
    use trunkline_actors::decisions::{Change, Reason, Seen, Work};
    use trunkline_core::store::leaves::MemoryLeafStore;
    use trunkline_core::store::simulated::SimulatedDisk;

    use super::*;

    /// Opens an engine in memory whose settings stay fixed.
    fn engine(change: impl FnOnce(&mut Config)) -> Engine {
        let mut config = Config::default();
        config.control.mode = ControlMode::Fixed;
        config.control.window_ms = 60_000;
        (
            config.workers.tree_parallelism,
            config.workers.hash_parallelism,
        ) = (2, 3);
        config.workers.proof_parallelism = 4;
        change(&mut config);
        let builder = Engine::builder(config)
            .disk(Arc::new(SimulatedDisk::new(1)))
            .leaf_store(Arc::new(MemoryLeafStore::default()));
        builder.open_blocking().unwrap()
    }

    /// Returns the settings in force: cap, admission, shards of tree, hash and proofs, bytes of values and of the tree.
    fn in_force(controls: &Controls) -> [u64; 7] {
        [
            controls.settings.group_operations_max.get() as u64,
            controls.admission.operations_max(),
            controls.settings.tree_parallelism.get() as u64,
            controls.settings.hash_parallelism.get() as u64,
            controls.settings.proof_parallelism.get() as u64,
            controls.state.values.cache_bytes_max(),
            controls.settings.tree_bytes_max(),
        ]
    }

    fn shown(figures: &MetricsSnapshot) -> [u64; 7] {
        [
            figures.group_operations_max,
            figures.in_flight_operations_max,
            figures.tree_parallelism,
            figures.hash_parallelism,
            figures.proof_parallelism,
            figures.value_cache_bytes_max,
            figures.tree_bytes_max,
        ]
    }

    #[test]
    fn each_change_moves_what_it_names_and_nothing_else() {
        const MIB: u64 = 1 << 20;
        let engine = engine(|config| {
            config.group.operations_max = 20_000;
            config.submit.in_flight_operations_max = 1_000_000;
            config.cache.value_bytes_max = 64 * MIB;
            config.memory.budget_bytes = 512 * MIB;
        });
        let controls = &*engine.running.controls;
        // The tree gets what others leave of the budget, which is known once memory is counted.
        let tree_bytes = controls.settings.tree_bytes_max();
        assert!((384 * MIB..=448 * MIB).contains(&tree_bytes));
        let mut expected = [20_000, 1_000_000, 2, 3, 4, 64 * MIB, tree_bytes];
        assert_eq!(in_force(controls), expected);
        assert_eq!(shown(&engine.metrics()), expected);

        let shards = |work, from, to| Change::Parallelism { work, from, to };
        let (from, to) = (20_000, 30_000);
        let cap = Change::GroupOperationsMax { from, to };
        let (from, to) = (1_000_000, 90_000);
        let admission = Change::InFlightOperationsMax { from, to };
        let (from, to) = (64 * MIB, 96 * MIB);
        let values = Change::ValueCacheBytes { from, to };
        let changes: [(Change, &[(usize, u64)]); 6] = [
            (cap, &[(0, 30_000)]),
            (admission, &[(1, 90_000)]),
            (shards(Work::Tree, 2, 5), &[(2, 5)]),
            (shards(Work::Hash, 3, 6), &[(3, 6)]),
            (shards(Work::Proof, 4, 7), &[(4, 7)]),
            // The tree follows when memory is counted again.
            (values, &[(5, 96 * MIB)]),
        ];
        for (change, moved) in changes {
            let last = engine.decisions_since(0).len() as u64;
            let proposal = Proposal {
                change: change.clone(),
                reason: Reason::Probe,
                seen: Seen::default(),
            };
            controls.carry_out(500_000, proposal);
            for (place, value) in moved {
                expected[*place] = *value;
            }
            assert_eq!(in_force(controls), expected, "{change}");
            assert_eq!(shown(&engine.metrics()), expected, "{change}");
            let decisions = engine.decisions_since(last);
            assert_eq!(decisions.len(), 1, "{change}");
            assert_eq!(decisions[0].change, change);
            assert_eq!(
                (decisions[0].reason, decisions[0].window_us),
                (Reason::Probe, 500_000)
            );
        }
        engine.shutdown_blocking().unwrap();
    }
}
