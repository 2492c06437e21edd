//! The lock over the directory of a tree: one engine has it, or any number of readers share it.
//!
//! Advisory, held by the operating system: it ends with the process, in any case. Readers without an engine
//! (inspection, proofs from a directory) share it. This keeps engines out, and needs no permission to
//! write.
//!
//! The directory itself is locked, so that no deleted or copied file and no second name of the directory makes a second
//! lock. A file in it is locked too, for network file systems: many lock directories on each machine by itself, and files
//! for all machines.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::FileId;
use super::own_directory::LockFile;

/// The name of the lock file. It stays when the lock is released; its presence has no meaning.
pub const LOCK_FILE: &str = "LOCK";

/// A lock that is held until the value is dropped.
///
/// ```
/// use trunkline_core::store::lock::{DirectoryLock, LockError};
/// let directory = tempfile::tempdir()?;
/// let held = DirectoryLock::acquire(directory.path())?;
/// assert!(matches!(DirectoryLock::acquire(directory.path()), Err(LockError::Held { .. })));
/// drop(held);
/// assert!(DirectoryLock::acquire(directory.path()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DirectoryLock {
    directory: Locked,
    /// The locked lock file; `None` if there is none, and the lock is shared.
    file: Option<Locked>,
    file_path: PathBuf,
}

/// A locked file or directory.
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the file does not always unlock at once: a process that is being forked shares the lock until it
        // executes its program.
        let _ = self.0.unlock();
    }
}

/// The error of locking a directory.
///
/// ```
/// use trunkline_core::store::lock::{DirectoryLock, LockError};
/// let directory = tempfile::tempdir()?;
/// let missing = DirectoryLock::acquire_shared(&directory.path().join("missing")).unwrap_err();
/// assert!(matches!(missing, LockError::Io { .. }));
///
/// let writer = DirectoryLock::acquire(directory.path())?;
/// let taken = DirectoryLock::acquire_shared(directory.path()).unwrap_err();
/// assert!(taken.to_string().ends_with("has the tree open; close it first"));
///
/// drop(writer);
/// let _reader = DirectoryLock::acquire_shared(directory.path())?;
/// let shared = DirectoryLock::acquire(directory.path()).unwrap_err();
/// assert!(matches!(shared, LockError::Shared { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// An engine holds the lock.
    #[error("{} is locked: another process (or another engine in this one) has the tree open; close it first", path.display())]
    Held {
        /// The directory or its lock file.
        path: PathBuf,
    },
    /// Readers share the lock, which keeps an engine out.
    #[error("{} is locked: a reader without an engine has the tree open; wait until it has ended", path.display())]
    Shared {
        /// The directory or its lock file.
        path: PathBuf,
    },
    /// The directory or the lock file could not be opened or locked.
    #[error("{} could not be locked; check that it exists, its permissions, and that its file system has locks", path.display())]
    Io {
        /// The directory or its lock file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock of an existing directory, or fails at once. Creates the lock file.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let locked = lock(directory, File::open(directory), true)?;
        let file_path = directory.join(LOCK_FILE);
        let mut created = OpenOptions::new();
        created.create(true).truncate(false).write(true);
        let file = lock(&file_path, created.open(&file_path), true)?;
        Ok(Self {
            directory: locked,
            file: Some(file),
            file_path,
        })
    }

    /// Shares the lock with other readers, or fails at once if a writer holds it. Works in a directory without write
    /// permission, and without a lock file.
    pub fn acquire_shared(directory: &Path) -> Result<Self, LockError> {
        let locked = lock(directory, File::open(directory), false)?;
        let file_path = directory.join(LOCK_FILE);
        let file = match File::open(&file_path) {
            Err(error) if is_unusable(&error) => None,
            opened => Some(lock(&file_path, opened, false)?),
        };
        Ok(Self {
            directory: locked,
            file,
            file_path,
        })
    }

    /// Returns the identity of the locked directory, which its path may no longer name.
    pub fn directory(&self) -> io::Result<FileId> {
        FileId::of(&self.directory.0)
    }

    /// Returns the lock file, if there is one.
    pub fn file(&self) -> io::Result<Option<LockFile>> {
        let Some(Locked(file)) = &self.file else {
            return Ok(None);
        };
        Ok(Some(LockFile {
            path: self.file_path.clone(),
            id: FileId::of(file)?,
        }))
    }
}

/// Returns whether a reader continues without the lock file: it was deleted, or belongs to another user.
fn is_unusable(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied)
}

/// Locks a file or directory, exclusively or together with others.
fn lock(path: &Path, opened: io::Result<File>, alone: bool) -> Result<Locked, LockError> {
    let path = || path.to_owned();
    let failed = |source| LockError::Io {
        path: path(),
        source,
    };
    let file = opened.map_err(failed)?;
    let locked = match alone {
        true => file.try_lock(),
        false => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(Locked(file)),
        // While a writer holds it, it cannot be shared.
        Err(TryLockError::WouldBlock) if alone && file.try_lock_shared().is_ok() => {
            drop(Locked(file));
            Err(LockError::Shared { path: path() })
        }
        Err(TryLockError::WouldBlock) => Err(LockError::Held { path: path() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
