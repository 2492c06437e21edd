//! The handle that a service holds: open, submit, read, drain, shut down.
//!
//! The handle is `Clone + Send + Sync` and works from any runtime or none: what waits has an async
//! and a blocking form. Not here: what happens behind it (`pipeline`, `stage`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{TryAcquireError, oneshot, watch};
use trunkline_core::batch::{Batch, BatchError, CheckedBatch, check_key, provisional_root};
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::params::TreeParams;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::Recovery;
use trunkline_core::tree::NotInMemory;

use crate::builder::EngineBuilder;
use crate::open::recovery::OpenError;
use crate::snapshot::multi_get::in_path_order;
use crate::snapshot::{ReadError, Snapshot, SnapshotError};
use trunkline_actors::adaptive::controller;
use trunkline_actors::adaptive::reload_error::ReloadError;
use trunkline_actors::admission::Credit;
use trunkline_actors::config::{Config, KzgMode};
use trunkline_actors::decisions::{Decision, Window};
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::message::{Submission, Waiting};
use trunkline_actors::metrics::MetricsSnapshot;
use trunkline_actors::metrics::timeline::Span;
use trunkline_actors::pipeline::{PipelineHandle, Threads};
use trunkline_actors::receipt::{Demand, Receipt, issue};
use trunkline_actors::shared::{Sequencer, Shared};
use trunkline_actors::state::evidence::{self, EvidenceError};

/// Why a submission was not accepted. It has no effect and no place.
///
/// ```
/// use trunkline::{Batch, Engine, SubmitError};
/// # let directory = tempfile::tempdir()?;
/// # let engine = Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let mut batch = Batch::new();
/// batch.put("alice", "10").put("", "7");
/// let error = engine.submit_blocking(batch).unwrap_err();
/// assert_eq!(error.to_string(), "operation 1: the key is empty");
/// assert!(!error.retry_can_help()); // it would be turned away again
/// assert!(SubmitError::Busy.retry_can_help());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The batch breaks a limit; the same batch would be turned away again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// As much as is allowed is on its way already; try again later, or wait with `submit`.
    #[error("the engine is busy: as much as submit.in_flight_* allows is on its way; try again")]
    Busy,
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

impl SubmitError {
    /// Whether the same call on the same engine may succeed later.
    pub fn retry_can_help(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

/// A running engine. Clones are handles to the same one; when the last is dropped without
/// [`Engine::shutdown`], what was accepted is still made durable, blocking that thread.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let mut batch = trunkline::Batch::new();
/// batch.put("alice", "10").put("bob", "7");
/// let receipt = engine.submit_blocking(batch)?;
/// assert_eq!(engine.get(b"alice")?.as_deref(), Some(&b"10"[..])); // own writes, at once
/// let durable = receipt.durable_blocking()?;
/// assert_eq!(engine.snapshot().version(), durable.version);
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    pipeline: Arc<PipelineHandle>,
    threads: Mutex<Option<Threads>>,
    /// Whether shutting down has come to its end.
    ended: watch::Sender<bool>,
    recovery: Recovery,
    /// Given back when everything else has ended.
    lock: Mutex<Option<DirectoryLock>>,
}

impl Engine {
    /// Opens the tree in the configured directory, or creates it there.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        Self::builder(config).open().await
    }

    /// As [`Self::open`], blocking the thread.
    pub fn open_blocking(config: Config) -> Result<Self, OpenError> {
        Self::builder(config).open_blocking()
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The handle to threads that run.
    pub(crate) fn running(
        shared: Arc<Shared>,
        pipeline: PipelineHandle,
        threads: Threads,
        recovery: Recovery,
        lock: Option<DirectoryLock>,
    ) -> Self {
        let inner = Inner {
            shared,
            pipeline: Arc::new(pipeline),
            threads: Mutex::new(Some(threads)),
            ended: watch::Sender::new(false),
            recovery,
            lock: Mutex::new(lock),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// For what [`Self::open`] does not offer.
    pub fn builder(config: Config) -> EngineBuilder {
        EngineBuilder::new(config)
    }

    /// Submits a batch: checked, then, while too much is on its way, waiting, then hashed and given its place.
    ///
    /// Batches of one caller that are submitted one after the other keep their order. Dropping the
    /// future before it is ready leaves the batch unsubmitted; after that nothing is lost.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = Instant::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = price(&batch);
        let credit = self.inner.shared.credits.buy(operations, bytes).await;
        let credit = credit.map_err(|_| self.inner.shared.health.cause())?;
        self.place(batch, credit, called_at)
    }

    /// As [`Self::submit`], blocking the thread.
    pub fn submit_blocking(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        pollster::block_on(self.submit(batch))
    }

    /// Submits a batch if there is room for it now.
    pub fn try_submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = Instant::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = price(&batch);
        match self.inner.shared.credits.try_buy(operations, bytes) {
            Ok(credit) => self.place(batch, credit, called_at),
            Err(TryAcquireError::NoPermits) => Err(SubmitError::Busy),
            Err(TryAcquireError::Closed) => Err(self.inner.shared.health.cause().into()),
        }
    }

    /// Submits a single put.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, SubmitError> {
        self.submit(single_put(key, value)).await
    }

    /// As [`Self::put`], blocking the thread.
    pub fn put_blocking(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Receipt, SubmitError> {
        self.submit_blocking(single_put(key, value))
    }

    /// Submits a single delete.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Receipt, SubmitError> {
        self.submit(single_delete(key)).await
    }

    /// As [`Self::delete`], blocking the thread.
    pub fn delete_blocking(&self, key: impl AsRef<[u8]>) -> Result<Receipt, SubmitError> {
        self.submit_blocking(single_delete(key))
    }

    /// The latest accepted value of a key, the caller's own writes included. Writes of a batch with
    /// requirements show once they have taken effect, since they may yet be refused. Others may be
    /// refused for their path alone (policy `reject`, a full bucket), and show until then.
    ///
    /// What is seen here may be lost in a crash, and after a failure nothing is shown here any more:
    /// [`Self::get_durable`] and [`Self::snapshot`] see durable versions alone.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        check_key(0, key)?;
        self.get_hashed(&self.inner.shared.state.params.key_hash(key))
    }

    fn get_hashed(&self, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        let shared = &self.inner.shared;
        loop {
            let latest = self.latest(key_hash, |version| {
                match shared.state.glance(version, key_hash) {
                    Some(value) => Ok(value),
                    None => Err(shared.state.reader.get(version, key_hash)),
                }
            })?;
            let (version, leaf) = match latest {
                Latest::Accepted(value) => {
                    shared.metrics.memory_hit();
                    return Ok(value);
                }
                Latest::Applied(_, Ok(value)) => {
                    shared.state.glanced(value.as_ref());
                    return Ok(value);
                }
                Latest::Applied(version, Err(Ok(Some(leaf)))) => (version, leaf),
                Latest::Applied(_, Err(Ok(None))) => {
                    shared.metrics.absent_read();
                    return Ok(None);
                }
                Latest::Applied(_, Err(Err(NotInMemory))) => return self.evicted_value(key_hash),
            };
            match shared.state.values.present_value(&leaf, version) {
                Ok(value) => return Ok(Some(value)),
                // The key may have been deleted and checkpointed meanwhile.
                Err(_) if version != shared.applied() => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a key has a value, as [`Self::get`] sees it.
    pub fn contains(&self, key: &[u8]) -> Result<bool, ReadError> {
        check_key(0, key)?;
        let shared = &self.inner.shared;
        let key_hash = shared.state.params.key_hash(key);
        let leaf = |version| shared.state.reader.get(version, &key_hash);
        let is_present = match self.latest(&key_hash, leaf)? {
            Latest::Accepted(value) => value.is_some(),
            Latest::Applied(_, Ok(Some(_))) => true,
            Latest::Applied(_, Ok(None)) => {
                shared.metrics.absent_read();
                return Ok(false);
            }
            Latest::Applied(_, Err(NotInMemory)) => {
                return Ok(self.evicted_value(&key_hash)?.is_some());
            }
        };
        shared.metrics.memory_hit();
        Ok(is_present)
    }

    /// What is known last of a key: the newest accepted write, or what `look` sees in the tree at the version
    /// of the present.
    fn latest<T>(
        &self,
        key_hash: &Digest,
        look: impl Fn(u64) -> T,
    ) -> Result<Latest<T>, ReadError> {
        let shared = &self.inner.shared;
        shared.state.access_sampler.touch(key_hash);
        loop {
            shared.health.check()?;
            if let Some(accepted) = shared.overlay.get(key_hash) {
                return Ok(Latest::Accepted(accepted));
            }
            let version = shared.applied();
            let seen = look(version);
            // Looked at too late otherwise: the version was forgotten meanwhile.
            if version >= shared.state.versions.oldest() {
                return Ok(Latest::Applied(version, seen));
            }
        }
    }

    /// The value of a key whose leaf is not in memory: as it was when that was seen, or later.
    fn evicted_value(&self, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        let values = &self.inner.shared.state.values;
        Ok(values.evicted_value(key_hash, &values.store())?)
    }

    /// Several keys, each as [`Self::get`] sees it at its moment, in the order asked for. They are looked
    /// up in path order, which is faster than one by one from some dozens on. For all at one version see
    /// [`Snapshot::multi_get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        in_path_order(&self.inner.shared.state, keys, |key_hash| {
            self.get_hashed(key_hash)
        })
    }

    /// The value of a key at the last durable version.
    pub fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.snapshot().get(key)
    }

    /// The last durable version, held.
    pub fn snapshot(&self) -> Snapshot {
        let state = &self.inner.shared.state;
        Snapshot::of_pinned(state.clone(), state.versions.pin_newest())
    }

    /// A version that is still kept, held.
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        let state = &self.inner.shared.state;
        match state.versions.pin(version) {
            Ok(found) => Ok(Snapshot::of_pinned(state.clone(), found)),
            Err((oldest, newest)) if version > newest => {
                debug_assert!(oldest <= newest);
                Err(SnapshotError::NotYet { version, newest })
            }
            Err((oldest, _)) => Err(SnapshotError::Expired { version, oldest }),
        }
    }

    /// The evidence about a submission by its sequence number, while its version is kept: what
    /// [`Receipt::evidence`] gives, for who has no receipt at hand.
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        evidence::of_kept(&self.inner.shared.state, sequence)
    }

    /// The parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.inner.shared.state.params
    }

    /// The configuration that the engine runs with: as it was opened with or as it was reloaded last. What
    /// the engine moved by itself is in [`Self::windows_since`].
    pub fn config(&self) -> Arc<Config> {
        self.inner.shared.config()
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// The engine's figures since it was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.shared.metrics.snapshot()
    }

    /// Microseconds since the engine was opened: the clock of windows, decisions and spans.
    pub fn uptime_us(&self) -> u64 {
        self.inner.shared.metrics.uptime_us()
    }

    /// What was measured, window by window (`control.window_ms`), after the window of a number; the last 1,200 are
    /// kept.
    pub fn windows_since(&self, number: u64) -> Vec<Window> {
        self.inner.shared.windows.since(number)
    }

    /// What the engine moved by itself and why, and what was reloaded, after the decision of a number; the last
    /// `control.decisions_kept` are kept.
    pub fn decisions_since(&self, number: u64) -> Vec<Decision> {
        self.inner.shared.decisions.since(number)
    }

    /// When its stages worked on which version, as far as they ended at this time ([`Self::uptime_us`]) or later;
    /// the last 8,192 are kept.
    pub fn spans_since(&self, ended_us: u64) -> Vec<Span> {
        self.inner.shared.metrics.timeline.since(ended_us)
    }

    /// Goes on with another configuration, wholly or, if it is wrong or changes what can't change while the engine
    /// runs ([`RELOADABLE`](trunkline_actors::config::RELOADABLE)), not at all. Either way it is recorded among the decisions.
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
        controller::reload(&self.inner.shared, Ok(config))
    }

    /// Why the engine answers no more, if it doesn't.
    pub fn failure(&self) -> Option<EngineFailure> {
        self.inner.shared.health.failure().cloned()
    }

    /// Waits until everything accepted before is durable and synced, whatever the durability mode.
    pub async fn drain(&self) -> Result<(), EngineFailure> {
        self.inner.shared.health.check()?;
        self.inner.drained(self.inner.pipeline.drain(false)).await
    }

    /// As [`Self::drain`], blocking the thread.
    pub fn drain_blocking(&self) -> Result<(), EngineFailure> {
        pollster::block_on(self.drain())
    }

    /// Accepts nothing more, makes durable what was accepted, closes the files, ends the threads.
    /// Other handles answer [`EngineFailure::Closed`] from now on, and reads fail where they need the
    /// leaf store: the directory can be opened again. Says so if anything failed before.
    ///
    /// Whoever calls it while another handle does waits for the same end. Once begun it goes on, even
    /// if the future is dropped. If the system has no thread for it, it is done on the caller's, which waits.
    pub async fn shutdown(&self) -> Result<(), EngineFailure> {
        if self.inner.close_sequencer() {
            let inner = self.inner.clone();
            let thread = std::thread::Builder::new().name("trunkline-shutdown".to_owned());
            if thread.spawn(move || inner.shut_down()).is_err() {
                self.inner.shut_down();
            }
        }
        let mut ended = self.inner.ended.subscribe();
        // The sender lives as long as this handle.
        let _ = ended.wait_for(|ended| *ended).await;
        self.inner.after_shutdown()
    }

    /// As [`Self::shutdown`], blocking the thread.
    pub fn shutdown_blocking(&self) -> Result<(), EngineFailure> {
        pollster::block_on(self.shutdown())
    }

    fn check(&self, batch: Batch) -> Result<CheckedBatch, SubmitError> {
        let shared = &self.inner.shared;
        shared.health.check()?;
        Ok(batch.check(&shared.config().submit.batch_limits())?)
    }

    /// Prepares a batch whose room was bought, so that only as much is prepared as there is room for, and fixes the
    /// submission's place. From here on it will be durable or its waiters are told why not.
    fn place(
        &self,
        batch: CheckedBatch,
        credit: Credit,
        called_at: Instant,
    ) -> Result<Receipt, SubmitError> {
        let shared = &self.inner.shared;
        let state = &shared.state;
        let batch = Arc::new(batch.prepare(&state.params, Some(&state.pool)));
        let demand = (shared.config().kzg.mode == KzgMode::OnDemand)
            .then(|| self.inner.pipeline.clone() as Arc<dyn Demand>);
        let mut sequencer = self.inner.sequencer();
        shared.health.check()?;
        if sequencer.closed {
            return Err(EngineFailure::Closed.into());
        }
        let operations = batch.operations;
        let sequence = sequencer.next_sequence;
        let provisional_root = provisional_root(&sequencer.provisional_root, &batch.digest);
        let (ticket, receipt) = issue(
            sequence,
            provisional_root,
            &shared.health,
            &shared.metrics,
            demand,
            Arc::downgrade(&shared.state),
        );
        sequencer.next_sequence += 1;
        sequencer.provisional_root = provisional_root;
        shared.overlay.show(sequence, &batch);
        self.inner.pipeline.submit(Submission {
            sequence,
            provisional_root,
            batch,
            waiting: Waiting {
                ticket,
                _credit: credit,
            },
            sent_at: Instant::now(),
        });
        drop(sequencer);
        shared.metrics.submission_accepted(called_at, operations);
        Ok(receipt)
    }
}

/// Where the latest write to a key stands.
enum Latest<T> {
    /// Accepted and not applied yet; `None` is a delete.
    Accepted(Option<Bytes>),
    /// What was seen in the tree at a version that was readable then.
    Applied(u64, T),
}

/// Credit that a batch costs: an operation at least, since metadata alone takes room too.
fn price(batch: &CheckedBatch) -> (usize, usize) {
    (batch.operations().max(1), batch.bytes())
}

fn single_put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

fn single_delete(key: impl AsRef<[u8]>) -> Batch {
    let mut batch = Batch::new();
    batch.delete(key);
    batch
}

impl Inner {
    fn sequencer(&self) -> MutexGuard<'_, Sequencer> {
        self.shared
            .sequencer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody in any more. Says whether it was open: then whoever asked shuts down.
    fn close_sequencer(&self) -> bool {
        !std::mem::replace(&mut self.sequencer().closed, true)
    }

    async fn drained(
        &self,
        drained: oneshot::Receiver<Result<(), EngineFailure>>,
    ) -> Result<(), EngineFailure> {
        match drained.await {
            Ok(result) => result,
            // A failing pipeline drops what it holds.
            Err(_) => Err(self.shared.health.cause()),
        }
    }

    /// Called once, by whoever closed the sequencer.
    fn shut_down(&self) {
        // How it went is kept as the engine's failure, for everybody who asks.
        let _ = pollster::block_on(self.drained(self.pipeline.drain(true)));
        let threads = self.threads.lock();
        let threads = threads.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            threads.stop();
        }
        self.shared.fail(EngineFailure::Closed);
        self.shared.state.values.close();
        self.shared.decisions.close_file();
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        *lock = None;
        drop(lock);
        self.ended.send_replace(true);
    }

    fn after_shutdown(&self) -> Result<(), EngineFailure> {
        match self.shared.health.failure() {
            None | Some(EngineFailure::Closed) => Ok(()),
            Some(failure) => Err(failure.clone()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.close_sequencer() {
            self.shut_down();
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_actors::adaptive::Proposal;
    use trunkline_actors::adaptive::controller::carry_out;
    use trunkline_actors::config::ControlMode;
    use trunkline_actors::decisions::{Change, Reason, Seen, Work};
    use trunkline_core::store::leaves::MemoryLeafStore;
    use trunkline_core::store::simulated::SimulatedDisk;

    use super::*;

    /// An engine that moves nothing by itself, in memory.
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

    /// What is in force: cap, admission, shards of tree, hash and proofs, bytes of values and of the tree.
    fn in_force(shared: &Shared) -> [u64; 7] {
        [
            shared.settings.group_operations_max.get() as u64,
            shared.credits.operations_max(),
            shared.settings.tree_parallelism.get() as u64,
            shared.settings.hash_parallelism.get() as u64,
            shared.settings.proof_parallelism.get() as u64,
            shared.state.values.cache_bytes_max(),
            shared.settings.tree_bytes_max(),
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
        let shared = engine.shared();
        let mut expected = [20_000, 1_000_000, 2, 3, 4, 64 * MIB, 512 * MIB];
        assert_eq!(in_force(shared), expected);
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
            // Of one budget.
            (values, &[(5, 96 * MIB), (6, 480 * MIB)]),
        ];
        let window = Window {
            length_us: 500_000,
            ..Window::default()
        };
        for (change, moved) in changes {
            let last = engine.decisions_since(0).len() as u64;
            let proposal = Proposal {
                change: change.clone(),
                reason: Reason::Probe,
                seen: Seen::default(),
            };
            carry_out(shared, &window, proposal);
            for (place, value) in moved {
                expected[*place] = *value;
            }
            assert_eq!(in_force(shared), expected, "{change}");
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
