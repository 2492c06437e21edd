//! Shared parts of the engine's tests: a disk and a leaf store in memory that wait or fail on request, and a time limit
//! for tests.

#![allow(unreachable_pub, reason = "modules of one test binary")]

use std::convert::Infallible;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};

use parking_lot::{Condvar, Mutex};
use trunkline::config::StoreKind;
use trunkline::core::hash::Digest;
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;
use trunkline::core::store::disk::{Disk, DiskFile, DiskReader, FileId};
use trunkline::core::store::key_index::{KeyChange, KeyScan, KeyVisitor};
use trunkline::core::store::leaves::{
    Leaf, LeafChange, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor, MemoryLeafStore,
};
use trunkline::core::store::log::{CommitLog, LOG_DIRECTORY, LogEntry, LogOptions, LogPosition};
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::core::store::past::MemoryPast;
use trunkline::core::store::simulated::SimulatedDisk;
use trunkline::core::store::tree_file;
use trunkline::{Batch, Config, Durable, Engine, EngineBuilder, Receipt};

pub use trunkline_testkit::patience::until;
use trunkline_testkit::patience::{HANGS_AFTER, receive};

/// Runs a test that must not hang.
pub fn without_hanging(test: impl FnOnce() + Send + 'static) {
    let (done, waiting) = channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match receive(&waiting, HANGS_AFTER) {
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// A place in the code where a test makes threads wait or fail.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    failing: Option<io::ErrorKind>,
    panicking: bool,
    waiting: usize,
    passed: u64,
}

impl Gate {
    pub fn close(&self) {
        self.state.lock().closed = true;
    }

    pub fn open(&self) {
        self.state.lock().closed = false;
        self.changed.notify_all();
    }

    /// Makes every thread fail that waits at the gate or comes to it, until it is called with `None`.
    pub fn fail(&self, kind: Option<io::ErrorKind>) {
        self.state.lock().failing = kind;
    }

    /// Makes every thread panic that comes to it, until it is called with `false`.
    pub fn panic(&self, panicking: bool) {
        self.state.lock().panicking = panicking;
    }

    pub fn passed(&self) -> u64 {
        self.state.lock().passed
    }

    /// Blocks until a thread waits at the gate.
    pub fn wait_for_a_waiter(&self) {
        let mut state = self.state.lock();
        self.changed
            .wait_while(&mut state, |state| state.waiting == 0);
    }

    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.closed);
        state.waiting -= 1;
        assert!(!state.panicking, "the gate panics");
        if let Some(kind) = state.failing {
            return Err(kind.into());
        }
        state.passed += 1;
        Ok(())
    }
}

/// A disk in memory, with a gate before every sync of a file and another before every append.
#[derive(Clone)]
pub struct GatedDisk {
    pub memory: Arc<SimulatedDisk>,
    pub syncs: Arc<Gate>,
    pub appends: Arc<Gate>,
}

struct GatedFile {
    file: Box<dyn DiskFile>,
    syncs: Arc<Gate>,
    appends: Arc<Gate>,
}

impl GatedDisk {
    fn gated(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GatedFile {
            file,
            syncs: self.syncs.clone(),
            appends: self.appends.clone(),
        })
    }
}

impl Disk for GatedDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.memory.create_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.gated(self.memory.create(path)?))
    }

    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.gated(self.memory.reuse(path, kept_bytes)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        self.memory.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.memory.list(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.memory.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.memory.sync_directory(directory)
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.memory.identity(path)
    }
}

impl DiskFile for GatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.appends.pass()?;
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.pass()?;
        self.file.sync()
    }

    fn identity(&self) -> io::Result<FileId> {
        self.file.identity()
    }
}

/// A leaf store in memory, with a gate before every ingestion and another before every read.
#[derive(Default)]
pub struct GatedLeaves {
    memory: MemoryLeafStore,
    pub ingestions: Gate,
    pub reads: Arc<Gate>,
}

struct GatedSnapshot {
    leaves: Arc<dyn LeafSnapshot>,
    reads: Arc<Gate>,
}

impl GatedSnapshot {
    fn pass(&self) -> Result<(), LeafStoreError> {
        let passed = self.reads.pass();
        passed.map_err(|error| LeafStoreError::Backend(Box::new(error)))
    }
}

impl LeafSnapshot for GatedSnapshot {
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError> {
        self.pass()?;
        self.leaves.get(key_hash)
    }

    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.pass()?;
        self.leaves.scan(range, visit)
    }

    fn scan_keys(
        &self,
        scan: &KeyScan<'_>,
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.pass()?;
        self.leaves.scan_keys(scan, visit)
    }
}

impl LeafStore for GatedLeaves {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let passed = self.ingestions.pass();
        passed.map_err(|error| LeafStoreError::Backend(Box::new(error)))?;
        self.memory.ingest(changes)
    }

    fn ingest_keys(
        &self,
        changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        self.memory.ingest_keys(changes)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.memory.sync()
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        Ok(Arc::new(GatedSnapshot {
            leaves: self.memory.snapshot()?,
            reads: self.reads.clone(),
        }))
    }
}

/// A disk and a leaf store in memory that outlive the engines opened on them.
pub struct Rig {
    pub config: Config,
    pub disk: GatedDisk,
    pub leaves: Arc<GatedLeaves>,
    pub past: Arc<MemoryPast>,
}

impl Rig {
    pub fn new() -> Self {
        let mut config = Config::default();
        config.workers.threads = 1;
        Self {
            config,
            disk: GatedDisk {
                memory: Arc::new(SimulatedDisk::new(1)),
                syncs: Arc::default(),
                appends: Arc::default(),
            },
            leaves: Arc::default(),
            past: Arc::default(),
        }
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::new();
        change(&mut rig.config);
        rig
    }

    pub fn builder(&self) -> EngineBuilder {
        Engine::builder(self.config.clone())
            .disk(Arc::new(self.disk.clone()))
            .leaf_store(self.leaves.clone())
            .past_store(self.past.clone())
    }

    pub fn open(&self) -> Engine {
        self.builder().open_blocking().unwrap()
    }

    /// Returns a rig with the same tree, but with changed entries in its log. There was no checkpoint, and the engine
    /// is closed.
    pub fn with_other_log(
        &self,
        params: &TreeParams,
        change: impl FnOnce(&mut Vec<LogEntry>),
    ) -> Self {
        let directory = &self.config.engine.directory;
        let log = directory.join(LOG_DIRECTORY);
        let start = LogPosition::of(&CommitRecord::genesis(params.tree_id()));
        let mut entries = Vec::new();
        let keep = |entry| {
            entries.push(entry);
            Ok::<_, Infallible>(())
        };
        let memory = &*self.disk.memory;
        CommitLog::read_only(memory, &log, &params.tree_id(), start, keep).unwrap();
        change(&mut entries);

        let other = Self::new();
        let memory = other.disk.memory.clone();
        memory.create_directory(directory).unwrap();
        tree_file::create(&*memory, directory, params).unwrap();
        let manifest = CheckpointManifest::genesis(params.tree_id());
        manifest.write(&*memory, directory).unwrap();
        let (options, none) = (LogOptions::new([7; 32]), |_| Ok::<_, Infallible>(()));
        let opened = CommitLog::open(memory, &log, params.tree_id(), start, options, none);
        let (mut writer, _) = opened.unwrap();
        for entry in &entries {
            writer.append(entry).unwrap();
        }
        writer.sync().unwrap();
        other
    }
}

/// Returns a configuration for a directory on the system's disk, without a leaf store.
pub fn log_only(directory: &Path) -> Config {
    let mut config = Config::in_directory(directory);
    config.workers.threads = 1;
    config.store.kind = StoreKind::Log;
    config
}

/// Returns a batch of puts.
pub fn puts<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (K, V)>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(key, value);
    }
    batch
}

/// Puts a value and waits until it is durable.
pub fn put(engine: &Engine, key: &str, value: &str) -> Durable {
    let receipt = engine.put_blocking(key, value);
    receipt.unwrap().durable_blocking().unwrap()
}

/// Submits a batch and waits until it is durable.
pub fn submit(engine: &Engine, batch: Batch) -> (Receipt, Durable) {
    let receipt = engine.submit_blocking(batch).unwrap();
    let durable = receipt.durable_blocking().unwrap();
    (receipt, durable)
}

/// Makes a checkpoint, if the configuration starts one every 4 KiB, and then a version, which evicts as much as
/// possible.
pub fn checkpoint(engine: &Engine) {
    let before = engine.metrics().checkpoints;
    put(engine, "filler", &"x".repeat(5000 + before as usize));
    until(|| engine.metrics().checkpoints > before);
    put(engine, "after", &format!("{before}"));
}
