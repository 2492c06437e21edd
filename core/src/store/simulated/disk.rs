//! The disk: calls, their faults, handles, and crashes. Not here: the effect of a crash on one file (`file`) and on
//! names (`names`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fault::{DiskCall, Failure, Fault, no_power};
use super::file::{FileNumber, FileState};
use super::names::{NameChange, Names};
use super::random::SplitMix64;
use crate::store::disk::{Disk, DiskFile, DiskReader, FileId, parent_of};

/// The numbers of the two file systems, as in identities.
const FILES: u64 = 0;
const DIRECTORIES: u64 = 1;

/// A disk in memory that knows what was synced.
///
/// ```
/// use std::path::{Path, PathBuf};
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

struct DiskState {
    random: SplitMix64,
    files: BTreeMap<FileNumber, FileState>,
    /// The names as programs see them.
    visible: Names,
    /// The names that are durable.
    durable: Names,
    /// The changes of names since the last sync, oldest first.
    unsynced: Vec<NameChange>,
    next_file: FileNumber,
    /// The number of times that a directory was replaced by a copy; part of its identity.
    replaced: BTreeMap<PathBuf, u64>,
    /// The number of crashes. Handles from before the last crash are void.
    boot: u64,
    powered: bool,
    faults: Vec<Fault>,
    calls: u64,
}

impl SimulatedDisk {
    /// Returns an empty disk. The seed decides on the effects of failing calls.
    pub fn new(seed: u64) -> Self {
        let state = DiskState {
            random: SplitMix64(seed),
            files: BTreeMap::new(),
            visible: Names::default(),
            durable: Names::default(),
            unsynced: Vec::new(),
            next_file: 0,
            replaced: BTreeMap::new(),
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

    /// Removes all pending and lasting faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Returns the number of calls that tried to change the disk, including failed ones.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Simulates a power loss: drops or tears unsynced writes, and starts again without faults. Open handles become
    /// void.
    pub fn crash(&self, seed: u64) {
        let state = &mut *self.lock();
        let random = &mut SplitMix64(seed);
        state.boot += 1;
        state.powered = true;
        state.faults.clear();
        state.crash_names(random);
        state.crash_files(random);
    }

    /// Inverts bits of a stored byte, like silent damage. Returns `false` if there is no such byte.
    pub fn flip(&self, path: &Path, offset: usize, bits: u8) -> bool {
        let state = &mut *self.lock();
        let file = state.visible.files.get(path);
        let byte = file
            .and_then(|id| state.files.get_mut(id))
            .and_then(|file| file.content.get_mut(offset));
        byte.map(|byte| *byte ^= bits).is_some()
    }

    /// Replaces a directory by a copy, durably, as an operator may do while a program has it open. Open handles stay
    /// with the files of the old one, which no longer has a name.
    pub fn replace_directory(&self, path: &Path) {
        let state = &mut *self.lock();
        let is_inside = |file: &Path| file.starts_with(path);
        let inside: Vec<_> = state
            .visible
            .files
            .iter()
            .map(|(path, id)| (path.clone(), *id))
            .collect();
        for (file, old) in inside.into_iter().filter(|(file, _)| is_inside(file)) {
            let copy = state.files.get(&old).map(FileState::copy);
            state
                .files
                .insert(state.next_file, copy.unwrap_or_default());
            state.visible.files.insert(file, state.next_file);
            state.next_file += 1;
        }
        state.unsynced.clear();
        state.durable = state.visible.clone();
        *state.replaced.entry(path.to_owned()).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        // A panic elsewhere leaves the state as consistent as a crash does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskState {
    /// Counts a call, and returns its failure, if any.
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

    /// Begins an atomic call. Returns whether it takes effect, and its result.
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
        // Half of the time as a journal would keep them (the first few), otherwise independently.
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
        let named: Vec<FileNumber> = self.visible.files.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
        for file in self.files.values_mut() {
            file.crash(random);
        }
    }
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

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        let state = &*self.lock();
        if !state.powered {
            return Err(no_power());
        }
        match state.visible.files.get(path) {
            Some(number) => Ok(FileId {
                device: FILES,
                inode: *number,
            }),
            None if state.has_directory(path) => Ok(FileId {
                device: DIRECTORIES,
                inode: state.replaced.get(path).copied().unwrap_or_default(),
            }),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl SimulatedDisk {
    fn handle(&self, state: &DiskState, id: FileNumber) -> Handle {
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
    id: FileNumber,
    boot: u64,
    /// The offset of the next write.
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

    fn identity(&self) -> io::Result<FileId> {
        Ok(FileId {
            device: FILES,
            inode: self.id,
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
