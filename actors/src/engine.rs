//! The handle that a service holds: open, submit, read, drain, shut down.
//!
//! The handle is `Clone + Send + Sync` and works from any runtime or none: what waits has an async
//! and a blocking form. Not here: what happens behind it (`pipeline`, `stage`).

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{TryAcquireError, oneshot, watch};
use trunkline_core::batch::{
    Batch, BatchError, PreparedBatch, check_key, provisional_root, provisional_start,
};
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};
use trunkline_core::store::lock::{DirectoryLock, LOCK_FILE};
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, LogOptions, Recovery};
use trunkline_core::store::tree_file::{self, TREE_FILE};

use crate::checkpoint::MarkerPlace;
use crate::config::{CommitMode, Config, StoreKind};
use crate::credit::{Credit, CreditPool};
use crate::failure::{EngineFailure, Health, Stage, panic_message};
use crate::message::{Submission, Waiting};
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::overlay::Overlay;
use crate::pipeline::{self, Entrance, Parts, Threads};
use crate::receipt::{Demand, Receipt, issue};
use crate::recovery::{Loading, OpenError, check_log, read_marker, read_params};
use crate::shared::{Gate, Shared};
use crate::snapshot::{ReadError, Snapshot, SnapshotError};
use crate::testing::{Faults, StageFault};

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

/// How an engine is opened, where [`Engine::open`] is not enough: with disks and stores of one's own,
/// and with failures that a test asks for.
///
/// ```
/// use std::sync::Arc;
/// use trunkline::core::store::{leaves::MemoryLeafStore, simulated::SimulatedDisk};
/// let engine = trunkline::Engine::builder(trunkline::Config::default())
///     .disk(Arc::new(SimulatedDisk::new(1)))
///     .leaf_store(Arc::new(MemoryLeafStore::default()))
///     .open_blocking()?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EngineBuilder {
    config: Config,
    disk: Option<Arc<dyn Disk>>,
    leaves: Option<Arc<dyn LeafStore>>,
    faults: Faults,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Keeps the log and the markers on this disk instead of the system's. No lock is taken then:
    /// see to it that only one engine has it.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Keeps checkpointed leaves in this store, which must outlive the engine as the disk does.
    pub fn leaf_store(mut self, leaves: Arc<dyn LeafStore>) -> Self {
        self.leaves = Some(leaves);
        self
    }

    /// Lets a stage fail at the group after so many.
    pub fn fail_stage(mut self, stage: Stage, after_groups: u64, fault: StageFault) -> Self {
        self.faults.add(stage, after_groups, fault);
        self
    }

    /// Opens the engine on a thread of its own and waits for it without blocking the runtime.
    pub async fn open(self) -> Result<Engine, OpenError> {
        let (opened, opening) = oneshot::channel();
        std::thread::Builder::new()
            .name("trunkline-open".to_owned())
            .spawn(move || {
                // If nobody waits any more, the engine is dropped again, in order.
                let _ = opened.send(self.open_blocking());
            })
            .map_err(OpenError::Thread)?;
        match opening.await {
            Ok(result) => result,
            Err(_) => Err(OpenError::Panic("the opening thread ended".to_owned())),
        }
    }

    /// Opens the engine: reads what is there, makes it durable, starts the threads.
    pub fn open_blocking(self) -> Result<Engine, OpenError> {
        let work = std::panic::AssertUnwindSafe(|| open(self));
        match std::panic::catch_unwind(work) {
            Ok(result) => result,
            Err(payload) => Err(OpenError::Panic(panic_message(&*payload))),
        }
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
    entrance: Arc<Entrance>,
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

    /// For what [`Self::open`] does not offer.
    pub fn builder(config: Config) -> EngineBuilder {
        EngineBuilder {
            config,
            disk: None,
            leaves: None,
            faults: Faults::default(),
        }
    }

    /// Submits a batch: checked, hashed, given its place. Waits while too much is on its way.
    ///
    /// Batches of one caller that are submitted one after the other keep their order. Dropping the
    /// future before it is ready leaves the batch unsubmitted; after that nothing is lost.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = Instant::now();
        let prepared = self.prepare(batch)?;
        let (operations, bytes) = price(&prepared);
        let credit = self.inner.shared.credits.buy(operations, bytes).await;
        let credit = credit.map_err(|_| self.inner.shared.health.cause())?;
        self.place(prepared, credit, called_at)
    }

    /// As [`Self::submit`], blocking the thread.
    pub fn submit_blocking(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        pollster::block_on(self.submit(batch))
    }

    /// Submits a batch if there is room for it now.
    pub fn try_submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        let called_at = Instant::now();
        let prepared = self.prepare(batch)?;
        let (operations, bytes) = price(&prepared);
        match self.inner.shared.credits.try_buy(operations, bytes) {
            Ok(credit) => self.place(prepared, credit, called_at),
            Err(TryAcquireError::NoPermits) => Err(SubmitError::Busy),
            Err(TryAcquireError::Closed) => Err(self.inner.shared.health.cause().into()),
        }
    }

    /// Submits a single put.
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Receipt, SubmitError> {
        self.submit(single_put(key, value)).await
    }

    /// As [`Self::put`], blocking the thread.
    pub fn put_blocking(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Receipt, SubmitError> {
        self.submit_blocking(single_put(key, value))
    }

    /// Submits a single delete.
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<Receipt, SubmitError> {
        self.submit(single_delete(key)).await
    }

    /// As [`Self::delete`], blocking the thread.
    pub fn delete_blocking(&self, key: impl Into<Bytes>) -> Result<Receipt, SubmitError> {
        self.submit_blocking(single_delete(key))
    }

    /// The latest accepted value of a key, the caller's own writes included. Writes of a batch with
    /// requirements show once they have taken effect, since they may yet be refused. Others may be
    /// refused for their path alone (policy `reject`, a full bucket), and show until then.
    ///
    /// What is seen here may be lost in a crash: [`Self::get_durable`] and [`Self::snapshot`] see
    /// durable versions alone.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        check_key(0, key)?;
        let shared = &self.inner.shared;
        let key_hash = shared.state.params.key_hash(key);
        loop {
            if let Some(accepted) = shared.overlay.get(&key_hash) {
                shared.metrics.memory_hit();
                return Ok(accepted);
            }
            let version = shared.applied();
            let leaf = shared.state.reader.get(version, &key_hash);
            let Some(leaf) = leaf else {
                // Looked at too late: the version was forgotten meanwhile.
                if version < shared.state.versions.oldest() {
                    continue;
                }
                shared.metrics.absent_read();
                return Ok(None);
            };
            match shared.state.values.fetch_present(&leaf) {
                Ok((_, value)) => return Ok(Some(value)),
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
        loop {
            if let Some(accepted) = shared.overlay.get(&key_hash) {
                return Ok(accepted.is_some());
            }
            let version = shared.applied();
            let leaf = shared.state.reader.get(version, &key_hash);
            if version >= shared.state.versions.oldest() {
                return Ok(leaf.is_some());
            }
        }
    }

    /// Several keys, each as [`Self::get`] sees it, in the order asked for.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        keys.iter().map(|key| self.get(key.as_ref())).collect()
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

    /// The parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.inner.shared.state.params
    }

    /// The configuration that the engine runs with.
    pub fn config(&self) -> &Config {
        &self.inner.shared.config
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// The engine's figures since it was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.shared.metrics.snapshot()
    }

    /// Why the engine answers no more, if it doesn't.
    pub fn failure(&self) -> Option<EngineFailure> {
        self.inner.shared.health.failure().cloned()
    }

    /// Waits until everything accepted before is durable and synced, whatever the durability mode.
    pub async fn drain(&self) -> Result<(), EngineFailure> {
        self.inner.shared.health.check()?;
        self.inner.drained(self.inner.entrance.drain(false)).await
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
    /// if the future is dropped.
    pub async fn shutdown(&self) -> Result<(), EngineFailure> {
        if let Some(threads) = self.inner.close_gate() {
            let inner = self.inner.clone();
            let thread = std::thread::Builder::new().name("trunkline-shutdown".to_owned());
            // Without a thread to do it on, ending is lost with the closure, threads and all: they
            // end with the process. There is nothing better left to do then.
            if thread.spawn(move || inner.shut_down(threads)).is_err() {
                self.inner.ended.send_replace(true);
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

    fn prepare(&self, batch: Batch) -> Result<PreparedBatch, SubmitError> {
        let shared = &self.inner.shared;
        shared.health.check()?;
        let limits = shared.config.submit.batch_limits();
        Ok(batch.prepare(&shared.state.params, &limits, Some(&shared.pool))?)
    }

    /// Fixes the submission's place. From here on it will be durable or its waiters are told why not.
    fn place(
        &self,
        batch: PreparedBatch,
        credit: Credit,
        called_at: Instant,
    ) -> Result<Receipt, SubmitError> {
        let shared = &self.inner.shared;
        let demand = (shared.config.commit.mode == CommitMode::OnDemand)
            .then(|| self.inner.entrance.clone() as Arc<dyn Demand>);
        let mut gate = self.inner.gate();
        shared.health.check()?;
        if gate.closed {
            return Err(EngineFailure::Closed.into());
        }
        let sequence = gate.next_sequence;
        let provisional_root = provisional_root(&gate.provisional_root, &batch.digest);
        let (ticket, receipt) = issue(
            sequence,
            provisional_root,
            &shared.health,
            &shared.metrics,
            demand,
        );
        gate.next_sequence += 1;
        gate.provisional_root = provisional_root;
        shared.overlay.show(sequence, &batch);
        self.inner.entrance.submit(Submission {
            sequence,
            provisional_root,
            batch,
            waiting: Waiting {
                ticket,
                _credit: credit,
            },
            sent_at: Instant::now(),
        });
        drop(gate);
        shared.metrics.submission_accepted(called_at);
        Ok(receipt)
    }
}

/// Credit that a batch costs: an operation at least, since metadata alone takes room too. Limits keep
/// both within `u32`.
fn price(batch: &PreparedBatch) -> (u32, u32) {
    let clamp = |amount: usize| u32::try_from(amount).unwrap_or(u32::MAX);
    (clamp(batch.operations).max(1), clamp(batch.bytes))
}

fn single_put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

fn single_delete(key: impl Into<Bytes>) -> Batch {
    let mut batch = Batch::new();
    batch.delete(key);
    batch
}

impl Inner {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.shared
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody in any more. Gives the threads to the first who asks.
    fn close_gate(&self) -> Option<Threads> {
        self.gate().closed = true;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.take()
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

    fn shut_down(&self, threads: Threads) {
        // How it went is kept as the engine's failure, for everybody who asks.
        let _ = pollster::block_on(self.drained(self.entrance.drain(true)));
        threads.stop();
        self.shared.fail(EngineFailure::Closed);
        self.shared.state.values.close();
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
        if let Some(threads) = self.close_gate() {
            self.shut_down(threads);
        }
    }
}

fn open(builder: EngineBuilder) -> Result<Engine, OpenError> {
    let EngineBuilder {
        config,
        disk,
        leaves,
        faults,
    } = builder;
    config.validate()?;
    let directory = config.engine.directory.clone();
    let lock = match disk {
        None => Some(lock_directory(&directory)?),
        Some(_) => None,
    };
    let disk = disk.unwrap_or_else(|| Arc::new(OsDisk));
    let params = tree_params(&*disk, &directory, &config)?;
    let marker = read_marker(&*disk, &directory, &params)?;
    check_log(&*disk, &directory, &params, &marker)?;
    let (leaves, lasting) = match leaves {
        Some(leaves) => (leaves, true),
        None => open_leaves(&config)?,
    };
    let version = marker.record.version;
    if !lasting && version > 0 {
        return Err(OpenError::OtherStore { version });
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.workers.threads)
        .thread_name(|index| format!("trunkline-worker-{index}"))
        .build()?;
    let metrics = Arc::new(Metrics::new(&config.engine.name));
    let pieces = config.workers.hash_pieces;
    let snapshot = leaves.snapshot()?;
    let mut loading = Loading::begin(params, &marker, snapshot, pieces, Some(&pool), &metrics)?;
    let options = LogOptions {
        segment_bytes_max: config.log.segment_bytes_max,
        nonce: rand::random(),
    };
    let (log, recovery) = CommitLog::open(
        disk.clone(),
        &directory.join(LOG_DIRECTORY),
        params.tree_id(),
        loading.position(),
        options,
        |entry| loading.replay(entry, Some(&pool)),
    )?;
    let loaded = loading.finish(config.commit.mode != CommitMode::OnDemand)?;
    let gate = Gate {
        next_sequence: loaded.last.record.last_sequence + 1,
        provisional_root: provisional_start(&loaded.last.commit_id, recovery.open_epoch),
        closed: false,
    };
    let applied = AtomicU64::new(loaded.last.number());
    let (state, writer, hasher) = loaded.into_state(params, &config, metrics.clone())?;
    let shared = Arc::new(Shared {
        credits: CreditPool::new(
            config.submit.in_flight_operations_max,
            config.submit.in_flight_bytes_max,
        ),
        config,
        state,
        metrics,
        health: Arc::new(Health::default()),
        overlay: Overlay::default(),
        gate: Mutex::new(gate),
        applied,
        kzg_queue: AtomicUsize::new(0),
        groups_in_flight: Arc::new(AtomicUsize::new(0)),
        pool,
        faults,
        on_failure: std::sync::OnceLock::new(),
        halted: AtomicBool::new(false),
    });
    let marker = lasting.then_some(MarkerPlace {
        disk,
        directory,
        marker,
    });
    let (entrance, threads) = pipeline::start(Parts {
        shared: shared.clone(),
        writer,
        hasher,
        log,
        leaves,
        marker,
    })
    .map_err(OpenError::Thread)?;
    Ok(Engine {
        inner: Arc::new(Inner {
            shared,
            entrance: Arc::new(entrance),
            threads: Mutex::new(Some(threads)),
            ended: watch::Sender::new(false),
            recovery,
            lock: Mutex::new(lock),
        }),
    })
}

/// Takes the lock of a directory that holds a tree or nothing yet; it is created if need be.
fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    match OsDisk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(&OsDisk, directory).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
        // Before the lock, which leaves a file behind.
        Ok(names) if is_foreign(&names) => {
            return Err(OpenError::Foreign {
                path: directory.to_owned(),
            });
        }
        Ok(_) => {}
    }
    Ok(DirectoryLock::acquire(directory)?)
}

/// Whether files of something else are in a directory.
fn is_foreign(names: &[String]) -> bool {
    // What an opening leaves that was cut off before the tree file was written.
    let known = [LOCK_FILE, "TREE.tmp"];
    let has_tree = names.iter().any(|name| name == TREE_FILE);
    !has_tree && names.iter().any(|name| !known.contains(&name.as_str()))
}

/// Creates a directory and those above it, durably: a tree is as durable as the name of its directory.
fn create_directories(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(Path::new(""));
    match disk.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != directory => {
            create_directories(disk, parent)?;
            disk.create_directory(directory)?;
        }
        result => result?,
    }
    match disk.sync_directory(parent) {
        // A directory of somebody else, who made this one in it and may look into it alone.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// The parameters of the tree that is there, which the configuration must not contradict; or those of
/// the configuration, for a new tree.
fn tree_params(
    disk: &dyn Disk,
    directory: &Path,
    config: &Config,
) -> Result<TreeParams, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    let configured = config.tree.params();
    let Some(stored) = read_params(disk, directory)? else {
        create_directories(disk, directory).map_err(failed)?;
        tree_file::create(disk, directory, &configured).map_err(failed)?;
        return Ok(configured);
    };
    if stored.collision != configured.collision {
        return Err(OpenError::OtherPolicy {
            stored: stored.collision,
            configured: configured.collision,
        });
    }
    if configured.salt.is_some() && stored.salt != configured.salt {
        return Err(OpenError::OtherSalt);
    }
    Ok(stored)
}

/// The leaf store, and whether it outlives the engine.
fn open_leaves(config: &Config) -> Result<(Arc<dyn LeafStore>, bool), OpenError> {
    match config.store.kind {
        StoreKind::Log => Ok((Arc::new(MemoryLeafStore::default()), false)),
        #[cfg(not(feature = "fjall"))]
        StoreKind::Fjall => Err(OpenError::StoreNotBuilt),
        #[cfg(feature = "fjall")]
        StoreKind::Fjall => {
            use trunkline_core::store::fjall_leaves::{
                FjallLeafStore, FjallOptions, LEAVES_DIRECTORY,
            };
            let options = FjallOptions {
                cache_bytes: config.store.cache_bytes,
                worker_threads: config.store.worker_threads,
                ..FjallOptions::default()
            };
            let directory = config.engine.directory.join(LEAVES_DIRECTORY);
            Ok((Arc::new(FjallLeafStore::open(&directory, &options)?), true))
        }
    }
}
