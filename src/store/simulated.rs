//! A disk and a leaf store that lose power: for tests of trunkline and of programs that embed it.
//!
//! Everything is in memory and follows from seeds, so a failing run can be repeated. The model is
//! harsher than most machines: what was not synced may be kept, lost, torn or come back with holes,
//! each file and each directory entry on its own, in any order. After a failed file sync no later one
//! makes the same bytes durable, as on Linux; a failed directory sync can be repeated. Not modelled:
//! damage to what was synced ([`SimulatedDisk::flip`] does that on purpose).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, DiskReader, parent_of};
use super::leaves::{
    Leaf, LeafChange, LeafMap, LeafSnapshot, LeafStore, LeafStoreError, MemorySnapshot, apply,
    ascending,
};
use crate::hash::Digest;

/// What a disk writes at once: a torn write has a border here, or anywhere.
const SECTOR_BYTES: usize = 512;

/// A call that changes the disk.
///
/// ```
/// use trunkline_core::store::simulated::DiskCall;
/// assert_ne!(DiskCall::Append, DiskCall::Sync);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// Creating a directory.
    CreateDirectory,
    /// Creating a file, or taking one to write over it.
    Create,
    /// Appending to a file.
    Append,
    /// Syncing a file.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing a directory.
    SyncDirectory,
}

/// How a call fails.
///
/// ```
/// use trunkline_core::store::simulated::Failure;
/// assert_ne!(Failure::Error, Failure::PowerLoss);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An I/O error. The call may have had its effect, in part (an append) or whole, or none.
    Error,
    /// `StorageFull`; an append is cut short.
    NoSpace,
    /// The power goes during the call: this and every later call fails until
    /// [`SimulatedDisk::crash`].
    PowerLoss,
}

/// Which call fails, and how.
///
/// ```
/// use trunkline_core::store::simulated::{DiskCall, Failure, Fault};
/// let third_sync = Fault { call: Some(DiskCall::Sync), after: 2, failure: Failure::Error, lasting: false };
/// assert_eq!(third_sync.after, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Calls of this kind are counted; `None` counts all that change the disk.
    pub call: Option<DiskCall>,
    /// So many of them still succeed.
    pub after: u64,
    /// How it fails.
    pub failure: Failure,
    /// Whether all after it fail too.
    pub lasting: bool,
}

/// A disk in memory that knows what was synced.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{disk::{Disk, read_file}, simulated::SimulatedDisk};
/// let disk = SimulatedDisk::new(1);
/// let path = Path::new("file");
/// let mut file = disk.create(path)?;
/// file.append(b"kept")?;
/// file.sync()?;
/// disk.sync_directory(Path::new(""))?;
/// file.append(b"perhaps")?;
/// disk.crash(2);
/// assert!(read_file(&disk, path, 100)?.starts_with(b"kept"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<DiskState>>,
}

type FileId = u64;

struct DiskState {
    random: SplitMix64,
    files: BTreeMap<FileId, FileState>,
    /// Names as programs see them.
    visible: Names,
    /// Names as they would be if nothing unsynced were kept.
    durable: Names,
    /// Changes of names since, oldest first.
    unsynced: Vec<NameChange>,
    next_file: FileId,
    /// Grows at a crash; older handles are void.
    boot: u64,
    powered: bool,
    faults: Vec<Fault>,
    calls: u64,
}

#[derive(Clone, Default)]
struct Names {
    directories: Vec<PathBuf>,
    files: BTreeMap<PathBuf, FileId>,
}

#[derive(Clone)]
enum NameChange {
    CreateDirectory(PathBuf),
    Create(PathBuf, FileId),
    Rename(PathBuf, PathBuf, FileId),
    Remove(PathBuf),
}

#[derive(Default)]
struct FileState {
    content: Vec<u8>,
    /// What may be lost, in order. Ranges that are not listed are durable.
    unsynced: Vec<Unsynced>,
}

struct Unsynced {
    range: Range<usize>,
    /// What was there before; empty if the file ended at the range's start.
    before: Vec<u8>,
    /// A failed sync had it in hand: no later sync makes it durable.
    abandoned: bool,
}

impl SimulatedDisk {
    /// An empty disk. The seed decides what failing calls leave behind.
    pub fn new(seed: u64) -> Self {
        let state = DiskState {
            random: SplitMix64(seed),
            files: BTreeMap::new(),
            visible: Names::default(),
            durable: Names::default(),
            unsynced: Vec::new(),
            next_file: 0,
            boot: 0,
            powered: true,
            faults: Vec::new(),
            calls: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Removes all faults that have not come to pass, and lasting ones.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Calls so far that change the disk, failed ones included.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Loses power, drops or tears what was not synced, and starts again without faults. Open
    /// handles are void.
    pub fn crash(&self, seed: u64) {
        let state = &mut *self.lock();
        let random = &mut SplitMix64(seed);
        state.boot += 1;
        state.powered = true;
        state.faults.clear();
        state.crash_names(random);
        state.crash_files(random);
    }

    /// Inverts bits of a stored byte, behind everybody's back; `false` if there is no such byte.
    pub fn flip(&self, path: &Path, offset: usize, bits: u8) -> bool {
        let state = &mut *self.lock();
        let file = state.visible.files.get(path);
        let byte = file
            .and_then(|id| state.files.get_mut(id))
            .and_then(|file| file.content.get_mut(offset));
        byte.map(|byte| *byte ^= bits).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        // A panic elsewhere leaves the state as consistent as a crash does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskState {
    /// Counts a call; the failure that befalls it, if any.
    fn begin(&mut self, call: DiskCall) -> io::Result<Option<Failure>> {
        if !self.powered {
            return Err(no_power());
        }
        self.calls += 1;
        let mut failure = None;
        self.faults.retain_mut(|fault| {
            if fault.call.is_some_and(|counted| counted != call) {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failure = Some(fault.failure);
            fault.lasting
        });
        if failure == Some(Failure::PowerLoss) {
            self.powered = false;
        }
        Ok(failure)
    }

    /// Begins a call whose effect is all or nothing: whether it happens, and what is reported.
    fn begin_whole(&mut self, call: DiskCall) -> io::Result<(bool, io::Result<()>)> {
        match self.begin(call)? {
            None => Ok((true, Ok(()))),
            Some(failure) => Ok((self.random.coin(), Err(failure.error()))),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.visible);
        self.unsynced.push(change);
    }

    fn has_directory(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.visible.directories.iter().any(|have| have == path)
    }

    fn crash_names(&mut self, random: &mut SplitMix64) {
        let changes = std::mem::take(&mut self.unsynced);
        // Half the time as a journal would keep them (the first few), else each on its own.
        let in_order = random.coin();
        let kept = random.below(changes.len() as u64 + 1);
        for (index, change) in changes.iter().enumerate() {
            let keep = if in_order {
                (index as u64) < kept
            } else {
                random.coin()
            };
            if keep {
                change.apply(&mut self.durable);
            }
        }
        let Names { directories, files } = &mut self.durable;
        files.retain(|path, _| {
            let parent = parent_of(path);
            parent.as_os_str().is_empty() || directories.iter().any(|have| have == parent)
        });
        self.visible = self.durable.clone();
    }

    fn crash_files(&mut self, random: &mut SplitMix64) {
        let named: Vec<FileId> = self.visible.files.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
        for file in self.files.values_mut() {
            file.crash(random);
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::CreateDirectory(path) => names.directories.push(path.clone()),
            Self::Create(path, file) => {
                names.files.insert(path.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.files.remove(from);
                names.files.insert(to.clone(), *file);
            }
            Self::Remove(path) => {
                names.files.remove(path);
            }
        }
    }

    fn directory(&self) -> &Path {
        match self {
            Self::CreateDirectory(path) | Self::Create(path, _) | Self::Remove(path) => {
                parent_of(path)
            }
            Self::Rename(_, to, _) => parent_of(to),
        }
    }
}

impl FileState {
    fn write(&mut self, start: usize, bytes: &[u8]) {
        let over = self.content.len().saturating_sub(start).min(bytes.len());
        let (over, behind) = bytes.split_at(over);
        let before = self.content[start..start + over.len()].to_vec();
        self.content[start..start + over.len()].copy_from_slice(over);
        self.note(start..start + over.len(), before);
        let end = self.content.len();
        self.content.extend_from_slice(behind);
        self.note(end..end + behind.len(), Vec::new());
    }

    fn note(&mut self, range: Range<usize>, before: Vec<u8>) {
        if range.is_empty() {
            return;
        }
        self.unsynced.push(Unsynced {
            range,
            before,
            abandoned: false,
        });
    }

    /// Makes durable what no failed sync had in hand, and so takes from what one had whatever was written
    /// over since.
    fn synced(&mut self) {
        let (abandoned, synced): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|unsynced| unsynced.abandoned);
        self.unsynced = abandoned;
        for Unsynced { range, .. } in synced {
            let left = std::mem::take(&mut self.unsynced);
            self.unsynced = left.into_iter().flat_map(|u| u.without(&range)).collect();
        }
    }

    /// Keeps, tears, holes or drops everything unsynced; the file ends where the last kept byte
    /// does, or later in zeros.
    fn crash(&mut self, random: &mut SplitMix64) {
        let (over, behind): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|unsynced| !unsynced.before.is_empty());
        for Unsynced { range, before, .. } in over {
            tear(&mut self.content, range, &before, random);
        }
        let Some(first) = behind.first() else {
            return;
        };
        let mut length = first.range.start;
        let last_end = self.content.len();
        let mut durable_from = length;
        for Unsynced { range, .. } in behind {
            if durable_from < range.start {
                length = range.start;
            }
            durable_from = range.end;
            if let Some(kept_end) = tear(&mut self.content, range, &[], random) {
                length = kept_end;
            }
        }
        if durable_from < last_end {
            length = last_end;
        }
        if random.below(4) == 0 {
            length += random.below((last_end - length) as u64 + 1) as usize;
        }
        self.content.truncate(length);
    }
}

impl Unsynced {
    /// What is left of it on both sides of a range.
    fn without(&self, range: &Range<usize>) -> impl Iterator<Item = Self> + use<> {
        let Range { start, end } = self.range;
        let sides = [start..range.start.min(end), range.end.max(start)..end];
        sides.map(|side| self.part(side)).into_iter().flatten()
    }

    fn part(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start;
        let before = |range: &Range<usize>| self.before.get(range.start - start..range.end - start);
        (!range.is_empty()).then(|| Self {
            before: before(&range).unwrap_or_default().to_vec(),
            range,
            abandoned: self.abandoned,
        })
    }
}

/// Decides the fate of one unsynced write. Lost bytes become what was there before, or zeros; the end
/// of what was kept.
fn tear(
    content: &mut [u8],
    range: Range<usize>,
    before: &[u8],
    random: &mut SplitMix64,
) -> Option<usize> {
    let Range { start, end } = range;
    let bytes = (end - start) as u64;
    let kept_end = match random.below(5) {
        0 => start,
        1 => end,
        2 => start + random.below(bytes + 1) as usize,
        3 => {
            let torn = start + random.below(bytes + 1) as usize;
            (torn - torn % SECTOR_BYTES).max(start)
        }
        _ => return hole(content, start..end, before, random),
    };
    lose(content, kept_end..end, start, before);
    (kept_end > start).then_some(kept_end)
}

/// Keeps each sector or loses it.
fn hole(
    content: &mut [u8],
    range: Range<usize>,
    before: &[u8],
    random: &mut SplitMix64,
) -> Option<usize> {
    let mut kept_end = None;
    let mut start = range.start;
    while start < range.end {
        let end = (start - start % SECTOR_BYTES + SECTOR_BYTES).min(range.end);
        if random.coin() {
            kept_end = Some(end);
        } else {
            lose(content, start..end, range.start, before);
        }
        start = end;
    }
    kept_end
}

/// Makes a part of a write that began at `start` what it was before, or zeros.
fn lose(content: &mut [u8], lost: Range<usize>, start: usize, before: &[u8]) {
    match before.get(lost.start - start..lost.end - start) {
        Some(before) => content[lost].copy_from_slice(before),
        None => content[lost].fill(0),
    }
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Self::Error => io::Error::other("simulated I/O error"),
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::PowerLoss => no_power(),
        }
    }
}

fn no_power() -> io::Error {
    io::Error::other("the simulated machine has no power, or lost it since the file was opened")
}

impl Disk for SimulatedDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.lock();
        if !state.has_directory(parent_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (happens, result) = state.begin_whole(DiskCall::CreateDirectory)?;
        if happens && !state.has_directory(path) {
            state.change(NameChange::CreateDirectory(path.to_owned()));
        }
        result
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = &mut *self.lock();
        if !state.has_directory(parent_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.visible.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (happens, result) = state.begin_whole(DiskCall::Create)?;
        let id = state.next_file;
        if happens {
            state.next_file += 1;
            state.files.insert(id, FileState::default());
            state.change(NameChange::Create(path.to_owned(), id));
        }
        result?;
        Ok(Box::new(self.handle(state, id)))
    }

    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let state = &mut *self.lock();
        if let Some(failure) = state.begin(DiskCall::Create)? {
            return Err(failure.error());
        }
        let id = state.visible.files.get(path).copied();
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        let file = state.files.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let kept = usize::try_from(kept_bytes).ok();
        let written = kept.filter(|kept| *kept <= file.content.len());
        Ok(Box::new(Handle {
            written: written.ok_or(io::ErrorKind::UnexpectedEof)?,
            ..self.handle(state, id)
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        let state = &*self.lock();
        if !state.powered {
            return Err(no_power());
        }
        let id = state.visible.files.get(path);
        let id = *id.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(self.handle(state, id)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = &*self.lock();
        if !state.powered {
            return Err(no_power());
        }
        if !state.has_directory(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = state.visible.files.keys();
        Ok(paths
            .filter(|path| parent_of(path) == directory)
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.lock();
        let id = state.visible.files.get(from).copied();
        let (happens, result) = state.begin_whole(DiskCall::Rename)?;
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        if happens {
            state.change(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        }
        result
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.lock();
        let (happens, result) = state.begin_whole(DiskCall::Remove)?;
        if !state.visible.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if happens {
            state.change(NameChange::Remove(path.to_owned()));
        }
        result
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let state = &mut *self.lock();
        if let Some(failure) = state.begin(DiskCall::SyncDirectory)? {
            return Err(failure.error());
        }
        let (synced, unsynced): (Vec<_>, Vec<_>) = std::mem::take(&mut state.unsynced)
            .into_iter()
            .partition(|change| change.directory() == directory);
        for change in synced {
            change.apply(&mut state.durable);
        }
        state.unsynced = unsynced;
        Ok(())
    }
}

impl SimulatedDisk {
    fn handle(&self, state: &DiskState, id: FileId) -> Handle {
        Handle {
            disk: self.clone(),
            id,
            boot: state.boot,
            written: 0,
        }
    }
}

struct Handle {
    disk: SimulatedDisk,
    id: FileId,
    boot: u64,
    /// Where the next bytes are written.
    written: usize,
}

impl Handle {
    /// Runs `call` on the state if this handle is not void.
    fn with<T>(&self, call: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        let state = &mut *self.disk.lock();
        if state.boot != self.boot || !state.powered {
            return Err(no_power());
        }
        call(state)
    }

    fn with_content<T>(&self, call: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<T> {
        self.with(|state| {
            let file = state.files.get(&self.id);
            call(&file.ok_or(io::ErrorKind::NotFound)?.content)
        })
    }
}

impl DiskFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.written;
        let (count, result) = self.with(|state| {
            let failure = state.begin(DiskCall::Append)?;
            let count = match failure {
                None => bytes.len(),
                Some(_) => state.random.below(bytes.len() as u64 + 1) as usize,
            };
            let file = state.files.get_mut(&self.id);
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            file.write(start, &bytes[..count]);
            Ok((
                count,
                failure.map_or(Ok(()), |failure| Err(failure.error())),
            ))
        })?;
        self.written += count;
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| {
            let failure = state.begin(DiskCall::Sync)?;
            let file = state.files.get_mut(&self.id);
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            if let Some(failure) = failure {
                for unsynced in &mut file.unsynced {
                    unsynced.abandoned = true;
                }
                return Err(failure.error());
            }
            file.synced();
            Ok(())
        })
    }
}

impl DiskReader for Handle {
    fn length(&self) -> io::Result<u64> {
        self.with_content(|content| Ok(content.len() as u64))
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.with_content(|content| {
            let bytes = content
                .get(offset as usize..)
                .and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }
}

/// A leaf store in memory that loses power: an ingestion that no sync followed is kept whole, lost,
/// or kept in part, entry by entry.
///
/// ```
/// use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore};
/// use trunkline_core::store::simulated::SimulatedLeafStore;
/// let store = SimulatedLeafStore::default();
/// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
/// store.ingest(&mut [LeafChange { key_hash: [1; 32], leaf: Some(leaf.borrowed()) }].into_iter())?;
/// store.sync()?;
/// store.crash(7);
/// assert_eq!(store.snapshot()?.get(&[1; 32])?, Some(leaf));
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
#[derive(Default)]
pub struct SimulatedLeafStore {
    state: Mutex<LeafState>,
}

#[derive(Default)]
struct LeafState {
    visible: Arc<LeafMap>,
    durable: LeafMap,
    /// Copies of what was ingested.
    unsynced: Vec<Vec<(Digest, Option<Leaf>)>>,
    failing_after: Option<u64>,
    failed: bool,
}

impl SimulatedLeafStore {
    /// Lets so many more calls of `ingest` and `sync` succeed, and all after them fail, until
    /// [`Self::crash`].
    pub fn fail_after(&self, calls: u64) {
        self.lock().failing_after = Some(calls);
    }

    /// Loses power and starts again. Snapshots stay as they are: they belong to the past.
    pub fn crash(&self, seed: u64) {
        let state = &mut *self.lock();
        let random = &mut SplitMix64(seed);
        for ingestion in std::mem::take(&mut state.unsynced) {
            let fate = random.below(3);
            for (key_hash, leaf) in &ingestion {
                if fate == 0 || (fate == 1 && random.coin()) {
                    apply(&mut state.durable, change(key_hash, leaf));
                }
            }
        }
        state.visible = Arc::new(state.durable.clone());
        state.failing_after = None;
        state.failed = false;
    }

    fn lock(&self) -> MutexGuard<'_, LeafState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeafState {
    fn begin(&mut self) -> Result<(), LeafStoreError> {
        match &mut self.failing_after {
            None => {}
            Some(0) => self.failed = true,
            Some(calls) => *calls -= 1,
        }
        if self.failed {
            let error = io::Error::other("simulated failure of the leaf store");
            return Err(LeafStoreError::Backend(Box::new(error)));
        }
        Ok(())
    }
}

fn change<'a>(key_hash: &Digest, leaf: &'a Option<Leaf>) -> LeafChange<'a> {
    LeafChange {
        key_hash: *key_hash,
        leaf: leaf.as_ref().map(Leaf::borrowed),
    }
}

impl LeafStore for SimulatedLeafStore {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let changes = ascending(changes).collect::<Result<Vec<_>, _>>()?;
        let state = &mut *self.lock();
        let begun = state.begin();
        // A failed ingestion may yet be there after a crash, whole or in part.
        let copied =
            |change: &LeafChange<'_>| (change.key_hash, change.leaf.map(|leaf| leaf.owned()));
        state.unsynced.push(changes.iter().map(copied).collect());
        begun?;
        let visible = Arc::make_mut(&mut state.visible);
        for change in changes {
            apply(visible, change);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        let state = &mut *self.lock();
        state.begin()?;
        for (key_hash, leaf) in state.unsynced.drain(..).flatten() {
            apply(&mut state.durable, change(&key_hash, &leaf));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        Ok(Arc::new(MemorySnapshot(Arc::clone(&self.lock().visible))))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose what breaks.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if the bound is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}
