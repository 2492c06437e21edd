//! The handle that a service holds: open, submit, read, drain, shut down.
//!
//! The handle is `Clone + Send + Sync` and works from any runtime or none: every call that waits has an async and a
//! blocking form.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{TryAcquireError, oneshot, watch};
use trunkline_actors::adaptive::controls::Controls;
use trunkline_actors::adaptive::reload_error::ReloadError;
use trunkline_actors::admission::{Permit, Sequencer};
use trunkline_actors::config::{Config, KzgMode};
use trunkline_actors::context::StageContext;
use trunkline_actors::decisions::{Decision, Window};
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::message::{Pending, Submission};
use trunkline_actors::metrics::MetricsSnapshot;
use trunkline_actors::metrics::timeline::Span;
use trunkline_actors::pipeline::{PipelineHandle, Threads};
use trunkline_actors::receipt::{Receipt, RootSource, issue};
use trunkline_actors::runtime::wait::block_on;
use trunkline_actors::runtime::{clock, thread};
use trunkline_actors::state::evidence::{self, EvidenceError};
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::{Batch, CheckedBatch, check_key, provisional_root};
use trunkline_core::evidence::Evidence;
use trunkline_core::params::TreeParams;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::Recovery;

use crate::builder::EngineBuilder;
use crate::error::{OpenError, SnapshotError, SubmitError};
use crate::snapshot::Snapshot;
use crate::snapshot::multi_get::in_path_order;

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
    context: Arc<StageContext>,
    controls: Arc<Controls>,
    sequencer: Mutex<Sequencer>,
    pipeline: Arc<PipelineHandle>,
    threads: Mutex<Option<Threads>>,
    /// Whether the shutdown has ended.
    ended: watch::Sender<bool>,
    recovery: Recovery,
    /// Released when everything else has ended.
    lock: Mutex<Option<DirectoryLock>>,
}

/// Parts of an engine whose threads run.
pub(crate) struct Running {
    pub(crate) context: Arc<StageContext>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) sequencer: Sequencer,
    pub(crate) pipeline: PipelineHandle,
    pub(crate) threads: Threads,
    pub(crate) recovery: Recovery,
    pub(crate) lock: Option<DirectoryLock>,
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

    /// Returns the handle to threads that run.
    pub(crate) fn of_running(running: Running) -> Self {
        let inner = Inner {
            context: running.context,
            controls: running.controls,
            sequencer: Mutex::new(running.sequencer),
            pipeline: Arc::new(running.pipeline),
            threads: Mutex::new(Some(running.threads)),
            ended: watch::Sender::new(false),
            recovery: running.recovery,
            lock: Mutex::new(running.lock),
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
        let called_at = clock::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = weight(&batch);
        let permit = self
            .inner
            .controls
            .admission
            .acquire(operations, bytes)
            .await;
        let permit = permit.map_err(|_| self.inner.context.health.cause())?;
        self.place(batch, permit, called_at)
    }

    /// As [`Self::submit`], blocking the thread.
    pub fn submit_blocking(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        block_on(self.submit(batch))
    }

    /// Submits a batch if there is room for it now.
    pub fn try_submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = clock::now();
        let batch = self.check(batch)?;
        let (operations, bytes) = weight(&batch);
        match self.inner.controls.admission.try_acquire(operations, bytes) {
            Ok(permit) => self.place(batch, permit, called_at),
            Err(TryAcquireError::NoPermits) => Err(SubmitError::Busy),
            Err(TryAcquireError::Closed) => Err(self.inner.context.health.cause().into()),
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
        let context = &self.inner.context;
        let key_hash = context.state.params.key_hash(key);
        context.state.get_latest(&context.health, &key_hash)
    }

    /// Returns whether a key has a value, as [`Self::get`] sees it.
    pub fn contains(&self, key: &[u8]) -> Result<bool, ReadError> {
        check_key(0, key)?;
        let context = &self.inner.context;
        let key_hash = context.state.params.key_hash(key);
        context.state.contains_latest(&context.health, &key_hash)
    }

    /// Several keys, each as [`Self::get`] sees it at its moment, in the order asked for. They are looked
    /// up in path order, which is faster than one by one from some dozens on. For all at one version see
    /// [`Snapshot::multi_get`].
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let context = &self.inner.context;
        in_path_order(&context.state, keys, |key_hash| {
            context.state.get_latest(&context.health, key_hash)
        })
    }

    /// The value of a key at the last durable version.
    pub fn get_durable(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.snapshot().get(key)
    }

    /// The last durable version, held.
    pub fn snapshot(&self) -> Snapshot {
        let state = &self.inner.context.state;
        Snapshot::of_pinned(state.clone(), state.versions.pin_newest())
    }

    /// A version that is still kept, held.
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        let state = &self.inner.context.state;
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
        evidence::of_kept(&self.inner.context.state, sequence)
    }

    /// The parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.inner.context.state.params
    }

    /// The configuration that the engine runs with: as it was opened with or as it was reloaded last. What
    /// the engine moved by itself is in [`Self::windows_since`].
    pub fn config(&self) -> Arc<Config> {
        self.inner.context.config()
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// The engine's figures since it was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.context.metrics.snapshot()
    }

    /// Microseconds since the engine was opened: the clock of windows, decisions and spans.
    pub fn uptime_us(&self) -> u64 {
        self.inner.context.metrics.uptime_us()
    }

    /// What was measured, window by window (`control.window_ms`), after the window of a number; the last 1,200 are
    /// kept.
    pub fn windows_since(&self, number: u64) -> Vec<Window> {
        self.inner.controls.windows.since(number)
    }

    /// What the engine moved by itself and why, and what was reloaded, after the decision of a number; the last
    /// `control.decisions_kept` are kept.
    pub fn decisions_since(&self, number: u64) -> Vec<Decision> {
        self.inner.controls.decisions.since(number)
    }

    /// When its stages worked on which version, as far as they ended at this time ([`Self::uptime_us`]) or later;
    /// the last 8,192 are kept.
    pub fn spans_since(&self, ended_us: u64) -> Vec<Span> {
        self.inner.context.metrics.timeline.since(ended_us)
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
        self.inner.controls.reload(Ok(config))
    }

    /// Why the engine answers no more, if it doesn't.
    pub fn failure(&self) -> Option<EngineFailure> {
        self.inner.context.health.failure().cloned()
    }

    /// Waits until everything accepted before is durable and synced, whatever the durability mode.
    pub async fn drain(&self) -> Result<(), EngineFailure> {
        self.inner.context.health.check()?;
        self.inner.drained(self.inner.pipeline.drain(false)).await
    }

    /// As [`Self::drain`], blocking the thread.
    pub fn drain_blocking(&self) -> Result<(), EngineFailure> {
        block_on(self.drain())
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
            if thread::spawn("shutdown", move || inner.shut_down()).is_err() {
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
        block_on(self.shutdown())
    }

    fn check(&self, batch: Batch) -> Result<CheckedBatch, SubmitError> {
        let context = &self.inner.context;
        context.health.check()?;
        Ok(batch.check(&context.config().submit.batch_limits())?)
    }

    /// Prepares an admitted batch and fixes the submission's place. From here on it becomes durable, or its waiters
    /// learn why not. Only admitted batches are prepared, so that memory stays bounded.
    fn place(
        &self,
        batch: CheckedBatch,
        permit: Permit,
        called_at: Instant,
    ) -> Result<Receipt, SubmitError> {
        let context = &self.inner.context;
        let state = &context.state;
        let batch = Arc::new(batch.prepare(&state.params, Some(&state.pools.commit)));
        let operations = batch.operations;
        let root_source = (context.config().kzg.mode == KzgMode::OnDemand)
            .then(|| self.inner.pipeline.clone() as Arc<dyn RootSource>);
        let mut sequencer = self.inner.sequencer.lock();
        context.health.check()?;
        if sequencer.closed {
            return Err(EngineFailure::Closed.into());
        }
        let sequence = sequencer.next_sequence;
        let provisional_root = provisional_root(&sequencer.provisional_root, &batch.digest);
        let (completion, receipt) = issue(
            sequence,
            provisional_root,
            &context.health,
            &context.metrics,
            root_source,
            Arc::downgrade(state),
        );
        sequencer.next_sequence += 1;
        sequencer.provisional_root = provisional_root;
        state.overlay.show(sequence, &batch);
        self.inner.pipeline.submit(Submission {
            sequence,
            provisional_root,
            batch,
            pending: Pending {
                completion,
                _permit: permit,
            },
            sent_at: clock::now(),
        });
        drop(sequencer);
        context.metrics.submission_accepted(called_at, operations);
        Ok(receipt)
    }
}

/// Returns the operations and bytes that a batch needs permits for: one operation at least, since metadata takes
/// memory too.
fn weight(batch: &CheckedBatch) -> (usize, usize) {
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
    /// Admits nothing more. Returns whether the caller was the first, who then shuts down.
    fn close_sequencer(&self) -> bool {
        !std::mem::replace(&mut self.sequencer.lock().closed, true)
    }

    async fn drained(
        &self,
        drained: oneshot::Receiver<Result<(), EngineFailure>>,
    ) -> Result<(), EngineFailure> {
        match drained.await {
            Ok(result) => result,
            // A failing pipeline drops what it holds.
            Err(_) => Err(self.context.health.cause()),
        }
    }

    /// Called once, by whoever closed the sequencer.
    fn shut_down(&self) {
        // How it went is kept as the engine's failure, for everybody who asks.
        let _ = block_on(self.drained(self.pipeline.drain(true)));
        let threads = self.threads.lock().take();
        if let Some(threads) = threads {
            threads.stop();
        }
        self.context.health.fail(EngineFailure::Closed);
        self.context.state.values.close();
        self.controls.decisions.close_file();
        *self.lock.lock() = None;
        self.ended.send_replace(true);
    }

    fn after_shutdown(&self) -> Result<(), EngineFailure> {
        match self.context.health.failure() {
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
        let controls = &*engine.inner.controls;
        let mut expected = [20_000, 1_000_000, 2, 3, 4, 64 * MIB, 512 * MIB];
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
            // Of one budget.
            (values, &[(5, 96 * MIB), (6, 480 * MIB)]),
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
