//! The lock over the directory of a tree: one engine has it, or any number of readers share it.
//!
//! Advisory, held by the operating system: it ends with the process, in any case. Readers without an engine
//! (inspection, proofs from a directory) share it. This keeps engines out, and needs no permission to
//! write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the lock file. It stays when the lock is given back; its presence means nothing.
pub const LOCK_FILE: &str = "LOCK";

/// A lock that is held as long as the value lives.
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
    file: File,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file does not always unlock at once: a process that is being forked shares the lock until it
        // executes its program.
        let _ = self.file.unlock();
    }
}

/// The reason why a directory was not locked.
///
/// ```
/// use trunkline_core::store::lock::{DirectoryLock, LockError};
/// let directory = tempfile::tempdir()?;
/// let never_opened = DirectoryLock::acquire_shared(directory.path()).unwrap_err();
/// assert!(matches!(never_opened, LockError::Io { .. })); // there is no lock file to share
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
    /// An engine has it.
    #[error("{} is locked: another process (or another engine in this one) has the tree open; close it first", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// Readers share it, which keeps an engine out.
    #[error("{} is locked: a reader without an engine has the tree open; wait until it has ended", path.display())]
    Shared {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file could not be opened or locked.
    #[error("the lock file {} could not be used; check the directory and its permissions", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock of an existing directory, or says at once why not.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let locked = file.try_lock();
        // With a writer it cannot be shared.
        if matches!(locked, Err(TryLockError::WouldBlock)) && file.try_lock_shared().is_ok() {
            let _ = file.unlock();
            return Err(LockError::Shared { path });
        }
        Self::held(file, locked, path)
    }

    /// Shares the lock with other readers, or says at once that a writer has it. Works in a directory
    /// that cannot be written; the lock file must be there.
    pub fn acquire_shared(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let locked = file.try_lock_shared();
        Self::held(file, locked, path)
    }

    fn held(
        file: File,
        locked: Result<(), TryLockError>,
        path: PathBuf,
    ) -> Result<Self, LockError> {
        match locked {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { path }),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path, source }),
        }
    }
}
