//! The directory of a tree by its identity: a disk that changes nothing once the directory's path names another one.
//!
//! An operator may move the directory, replace it by a copy, or delete it while an engine writes. Then names lead to
//! the new directory, and open files to the old one. Therefore every call that changes a name is preceded by a
//! comparison, a sync of a directory is followed by one, and the log compares after every sync.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, DiskReader, FileId};

/// The error of a file or directory that was replaced while it was in use.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use trunkline_core::store::disk::Disk;
/// use trunkline_core::store::own_directory::{OwnDirectory, ReplacedError};
/// use trunkline_core::store::simulated::SimulatedDisk;
/// let (disk, path) = (SimulatedDisk::new(1), Path::new("tree"));
/// disk.create_directory(path)?;
/// let own = OwnDirectory::new(Arc::new(disk.clone()), path, disk.identity(path)?, None);
/// own.create(&path.join("a"))?;
/// disk.replace_directory(path);
/// let error = own.create(&path.join("b")).err().expect("another directory is there");
/// let error = ReplacedError::in_io(&error).expect("that is what happened");
/// assert!(matches!(error, ReplacedError::Replaced { .. }));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplacedError {
    /// The path names another file or directory than the opened one.
    #[error(
        "{} is not what was opened: another file or directory was put in its place. All that was acknowledged is in the \
         one that was opened (find it with `find / -inum {}`): put that one back before you open the tree again, \
         and check what was written to the other one since",
        path.display(), opened.inode
    )]
    Replaced {
        /// The path.
        path: PathBuf,
        /// The file or directory that was opened.
        opened: FileId,
        /// The file or directory that has the name now.
        found: FileId,
    },
    /// The path no longer names anything.
    #[error(
        "{} was moved or deleted while it was in use. All that was acknowledged is in the one that was opened (if it was \
         moved, find it with `find / -inum {}`): put it back before you open the tree again",
        path.display(), opened.inode
    )]
    Gone {
        /// The path.
        path: PathBuf,
        /// The file or directory that was opened.
        opened: FileId,
    },
    /// Another process has created its own lock file: it has opened the tree although this process has it open.
    #[error(
        "{} is not the lock file that was locked: it was deleted, and another process has opened the tree since. Two \
         processes must not write one tree: end the other one, and check what was written last before you open the tree \
         again",
        path.display()
    )]
    OpenedTwice {
        /// The path of the lock file.
        path: PathBuf,
    },
}

impl ReplacedError {
    /// Returns the replacement that caused an I/O error, if one did.
    pub fn in_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Compares the file that a path names with the opened one.
    pub(super) fn check(disk: &dyn Disk, path: &Path, opened: FileId) -> io::Result<()> {
        let path = || path.to_owned();
        let error = match disk.identity(&path()) {
            Ok(found) if found == opened => return Ok(()),
            Ok(found) => Self::Replaced {
                path: path(),
                opened,
                found,
            },
            Err(error) if is_absence(&error) => Self::Gone {
                path: path(),
                opened,
            },
            Err(error) => return Err(error),
        };
        Err(io::Error::other(error))
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The lock file of a directory, by its identity.
#[derive(Clone, Debug)]
pub struct LockFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The identity of the locked file.
    pub id: FileId,
}

/// An open directory, as a disk.
pub struct OwnDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: FileId,
    lock_file: Option<LockFile>,
}

impl OwnDirectory {
    /// Creates it from the path and the identity of a directory. The caller keeps a handle of the directory open, so
    /// that no other directory gets its identity.
    pub fn new(disk: Arc<dyn Disk>, path: &Path, id: FileId, lock_file: Option<LockFile>) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            id,
            lock_file,
        }
    }

    /// Checks that the path still names this directory, and that no other process has locked it with another lock file.
    fn check(&self) -> io::Result<()> {
        ReplacedError::check(&*self.disk, &self.path, self.id)?;
        let Some(LockFile { path, id }) = &self.lock_file else {
            return Ok(());
        };
        match self.disk.identity(path) {
            Ok(found) if found != *id => Err(io::Error::other(ReplacedError::OpenedTwice {
                path: path.clone(),
            })),
            // The lock file may be deleted.
            Err(error) if !is_absence(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Disk for OwnDirectory {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.disk.create_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        self.disk.create(path)
    }

    fn reuse(&self, path: &Path, kept_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        self.disk.reuse(path, kept_bytes)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        self.disk.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.disk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.check()?;
        self.disk.sync_directory(directory)?;
        self.check()
    }

    /// Compares the directory too: the log asks for the identity of its segment before it acknowledges anything.
    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.check()?;
        self.disk.identity(path)
    }
}
