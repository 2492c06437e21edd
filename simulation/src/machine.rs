//! The machine below an engine: a disk and a leaf store at whose calls tasks take turns, and a power switch.
//!
//! After the power of an engine is switched off, every call of it fails. The next engine gets a new switch. Between the
//! two, the world decides which unsynced writes survive a loss of power; if only the process ends, all do.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trunkline::core::hash::Digest;
use trunkline::core::store::disk::{Disk, DiskFile, DiskReader, FileId};
use trunkline::core::store::history_file::HISTORY_FILE;
use trunkline::core::store::key_index::{KeyChange, KeyScan, KeyVisitor};
use trunkline::core::store::leaves::{
    Leaf, LeafChange, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor,
};
use trunkline::core::store::past::{MemoryPast, PastStore};
use trunkline::core::store::simulated::{DiskCall, SimulatedDisk, SimulatedLeafStore};
use trunkline_actors::runtime::simulated;
use trunkline_actors::runtime::wait::{Signal, yield_point};

use crate::past::EnginePast;
use crate::plan::Call;

/// The parts of a machine that outlive engines.
pub(crate) struct Machine {
    /// The disk.
    pub(crate) disk: SimulatedDisk,
    /// The leaf store.
    pub(crate) leaves: Arc<SimulatedLeafStore>,
    /// The archived versions.
    pub(crate) past: Arc<MemoryPast>,
}

/// The power switch of one engine, and the mishaps at its calls in addition to faults of the disk.
#[derive(Debug)]
pub(crate) struct Power {
    off: AtomicBool,
    mishaps: Mutex<Vec<Mishap>>,
    /// The longest time that a sync takes, microseconds.
    sync_us_max: u64,
}

/// A mishap at a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mishap {
    pub(crate) what: What,
    /// The number of calls of the kind before it.
    pub(crate) after: u64,
}

/// A kind of mishap.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The power goes off at a call that writes, of this kind or of any.
    PowerOff(Option<Call>),
    /// The call panics.
    Panic(Call),
    /// The read fails.
    Read,
}

impl Power {
    /// Switches the power on.
    pub(crate) fn on(sync_us_max: u64) -> Arc<Self> {
        Arc::new(Self {
            off: AtomicBool::new(false),
            mishaps: Mutex::default(),
            sync_us_max,
        })
    }

    /// Adds a mishap.
    pub(crate) fn add(&self, mishap: Mishap) {
        self.lock().push(mishap);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mishap>> {
        self.mishaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches the power off.
    pub(crate) fn switch_off(&self) {
        self.off.store(true, Ordering::Release);
    }

    /// Returns whether the power is off.
    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Ordering::Acquire)
    }

    fn check(&self) -> io::Result<()> {
        match self.is_off() {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    /// Runs a call that writes. The power may go off before it, and after it but before its answer.
    pub(crate) fn write<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        yield_point();
        self.meet(Some(call))?;
        self.check()?;
        let result = work();
        yield_point();
        self.check()?;
        result
    }

    /// Runs a call that syncs, which takes time before and after its effect.
    pub(crate) fn sync<T>(
        &self,
        call: Call,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.write(call, || {
            self.pass_time();
            self.check()?;
            let result = work();
            self.pass_time();
            result
        })
    }

    /// Runs a call that reads.
    pub(crate) fn read<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.check()?;
        self.meet(None)?;
        work()
    }

    /// Causes the mishap that is due at a call, if any; `None` stands for a read.
    fn meet(&self, call: Option<Call>) -> io::Result<()> {
        let mut due = None;
        self.lock().retain_mut(|mishap| {
            let concerned = match mishap.what {
                What::PowerOff(None) => call.is_some(),
                What::PowerOff(Some(kind)) | What::Panic(kind) => call == Some(kind),
                What::Read => call.is_none(),
            };
            if !concerned {
                return true;
            }
            match mishap.after.checked_sub(1) {
                Some(fewer) => mishap.after = fewer,
                None => due = Some(mishap.what),
            }
            due.is_none()
        });
        match due {
            None => Ok(()),
            Some(What::PowerOff(_)) => {
                self.switch_off();
                Ok(())
            }
            Some(What::Read) => Err(io::Error::other("simulated read error")),
            Some(What::Panic(_)) => std::panic::panic_any("a panic that a test asked for"),
        }
    }

    fn pass_time(&self) {
        if let Some(scheduler) = simulated::current()
            && self.sync_us_max > 0
        {
            let took = scheduler.random() % (self.sync_us_max + 1);
            sleep(Duration::from_micros(took));
        }
    }
}

/// Lets virtual time pass.
pub(crate) fn sleep(duration: Duration) {
    Signal::<()>::default().wait_at_most(duration, |()| false);
}

/// The disk as one engine sees it.
pub(crate) struct EngineDisk {
    disk: SimulatedDisk,
    power: Arc<Power>,
}

struct EngineFile {
    file: Box<dyn DiskFile>,
    power: Arc<Power>,
}

struct EngineReader {
    reader: Box<dyn DiskReader>,
    /// False for the history file: a lock of the engine is held while it is read, so others cannot run then.
    yields: bool,
    power: Arc<Power>,
}

/// The leaf store as one engine sees it.
pub(crate) struct EngineLeaves {
    leaves: Arc<SimulatedLeafStore>,
    power: Arc<Power>,
}

struct EngineSnapshot {
    snapshot: Arc<dyn LeafSnapshot>,
    power: Arc<Power>,
}

impl Machine {
    /// Returns a machine with an empty disk.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimulatedDisk::new(seed),
            leaves: Arc::default(),
            past: Arc::default(),
        }
    }

    /// Returns the disk for an engine.
    pub(crate) fn disk(&self, power: &Arc<Power>) -> Arc<dyn Disk> {
        Arc::new(EngineDisk {
            disk: self.disk.clone(),
            power: power.clone(),
        })
    }

    /// Returns the store of archived versions for an engine.
    pub(crate) fn past(&self, power: &Arc<Power>) -> Arc<dyn PastStore> {
        Arc::new(EnginePast {
            past: self.past.clone(),
            power: power.clone(),
        })
    }

    /// Returns the leaf store for an engine.
    pub(crate) fn leaves(&self, power: &Arc<Power>) -> Arc<dyn LeafStore> {
        Arc::new(EngineLeaves {
            leaves: self.leaves.clone(),
            power: power.clone(),
        })
    }
}

impl EngineDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(EngineFile {
            file,
            power: self.power.clone(),
        })
    }
}

impl Disk for EngineDisk {
    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.power.read(|| self.disk.identity(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.power.write(Call::Disk(DiskCall::CreateDirectory), || {
            self.disk.create_directory(path)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self
            .power
            .write(Call::Disk(DiskCall::Create), || self.disk.create(path))?;
        Ok(self.file(file))
    }

    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = self.power.write(Call::Disk(DiskCall::Create), || {
            self.disk.reuse(path, kept_bytes)
        })?;
        Ok(self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        let reader = self.power.read(|| self.disk.open(path))?;
        Ok(Box::new(EngineReader {
            reader,
            yields: path.file_name().is_none_or(|name| name != HISTORY_FILE),
            power: self.power.clone(),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.power.read(|| self.disk.list(directory))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.power
            .write(Call::Disk(DiskCall::Rename), || self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.power
            .write(Call::Disk(DiskCall::Remove), || self.disk.remove(path))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.power.sync(Call::Disk(DiskCall::SyncDirectory), || {
            self.disk.sync_directory(directory)
        })
    }
}

impl DiskFile for EngineFile {
    fn identity(&self) -> io::Result<FileId> {
        self.power.read(|| self.file.identity())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.power
            .write(Call::Disk(DiskCall::Append), || self.file.append(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.power
            .sync(Call::Disk(DiskCall::Sync), || self.file.sync())
    }
}

impl DiskReader for EngineReader {
    fn length(&self) -> io::Result<u64> {
        self.power.read(|| self.reader.length())
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.yields {
            yield_point();
        }
        let reader = &mut self.reader;
        self.power.read(|| reader.read_exact_at(offset, buffer))
    }
}

pub(crate) fn backend(error: io::Error) -> LeafStoreError {
    LeafStoreError::Backend(Box::new(error))
}

impl LeafStore for EngineLeaves {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let ingested = self
            .power
            .write(Call::Ingest, || Ok(self.leaves.ingest(changes)));
        ingested.map_err(backend)?
    }

    fn ingest_keys(
        &self,
        changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let ingested = self
            .power
            .write(Call::Ingest, || Ok(self.leaves.ingest_keys(changes)));
        ingested.map_err(backend)?
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        let synced = self.power.sync(Call::SyncLeaves, || Ok(self.leaves.sync()));
        synced.map_err(backend)?
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        yield_point();
        let snapshot = self.power.read(|| Ok(self.leaves.snapshot()));
        Ok(Arc::new(EngineSnapshot {
            snapshot: snapshot.map_err(backend)??,
            power: self.power.clone(),
        }))
    }
}

impl LeafSnapshot for EngineSnapshot {
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError> {
        yield_point();
        let leaf = self.power.read(|| Ok(self.snapshot.get(key_hash)));
        yield_point();
        leaf.map_err(backend)?
    }

    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        yield_point();
        let scanned = self.power.read(|| Ok(self.snapshot.scan(range, visit)));
        scanned.map_err(backend)?
    }

    fn scan_keys(
        &self,
        scan: &KeyScan<'_>,
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        yield_point();
        let scanned = self.power.read(|| Ok(self.snapshot.scan_keys(scan, visit)));
        scanned.map_err(backend)?
    }
}
