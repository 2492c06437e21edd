//! Step 0 of opening: the directory is locked, and its tree file is read.

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use trunkline_actors::config::Config;
use trunkline_actors::runtime::entropy;
use trunkline_core::params::{Nonce, TreeParams};
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::LOG_DIRECTORY;
use trunkline_core::store::own_directory::OwnDirectory;
use trunkline_core::store::tree_file::TREE_FILE;

use super::creation::{self, Remains, list, unusable};
use super::recovery::read_params;
use crate::error::OpenError;

/// A directory that only this engine uses.
pub(crate) struct Claimed {
    /// The lock of the directory. `None` if the caller gave the disk, and therefore must keep other engines away.
    pub(crate) lock: Option<DirectoryLock>,
    /// The disk, which changes nothing once the directory is replaced.
    pub(crate) disk: Arc<dyn Disk>,
    /// The path, absolute unless the disk was given: the process may change its working directory.
    pub(crate) directory: PathBuf,
    pub(crate) params: TreeParams,
    /// True if the tree must still be created.
    pub(crate) is_new: bool,
}

/// Locks the configured directory, unless the disk is given, and reads the tree file. Creates the directory, but no tree
/// in it.
pub(crate) fn claim(
    given: Option<Arc<dyn Disk>>,
    nonce: Option<Nonce>,
    config: &Config,
) -> Result<Claimed, OpenError> {
    let configured = &*config.engine.directory;
    let (lock, directory, own) = match given {
        None => {
            let directory = absolute(configured).map_err(unusable(configured))?;
            let lock = lock_directory(&directory)?;
            let own = locked(&lock, &directory).map_err(unusable(&directory))?;
            (Some(lock), directory, own)
        }
        Some(disk) => {
            let own = opened(disk, configured).map_err(unusable(configured))?;
            (None, configured.to_owned(), own)
        }
    };
    let configured = config.tree.params(nonce.unwrap_or_else(entropy::bytes));
    let stored = read_params(&own, &directory)?;
    match &stored {
        Some(stored) => check_params(stored, &configured, nonce.is_some())?,
        None => prepare(&own, &directory)?,
    }
    Ok(Claimed {
        lock,
        disk: Arc::new(own),
        directory,
        is_new: stored.is_none(),
        params: stored.unwrap_or(configured),
    })
}

/// Locks a directory that contains a tree or nothing, or creates it.
fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
    match OsDisk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(&OsDisk, directory).map_err(unusable(directory))?;
        }
        Err(error) => return Err(unusable(directory)(error)),
        Ok(names) => check_names(directory, &names)?,
    }
    Ok(DirectoryLock::acquire(directory)?)
}

/// Checks that a directory does not belong to other software, before locking creates a file in it.
fn check_names(directory: &Path, names: &[String]) -> Result<(), OpenError> {
    if names.iter().any(|name| name == TREE_FILE) {
        return Ok(());
    }
    let log = directory.join(LOG_DIRECTORY);
    let log_names = list(&OsDisk, &log).map_err(unusable(&log))?;
    refuse(directory, creation::by_names(names, &log_names))
}

/// Refuses the content of a directory without a tree file, unless a tree can be created there.
fn refuse(directory: &Path, remains: Remains) -> Result<(), OpenError> {
    match remains {
        Remains::Unfinished => Ok(()),
        Remains::Tree => Err(creation::missing(directory, TREE_FILE)),
        Remains::Foreign => Err(OpenError::Foreign {
            path: directory.to_owned(),
        }),
    }
}

/// Creates a directory and its parents durably: a tree is only as durable as the name of its directory.
pub(crate) fn create_directories(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(Path::new(""));
    match disk.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != directory => {
            create_directories(disk, parent)?;
            disk.create_directory(directory)?;
        }
        result => result?,
    }
    match disk.sync_directory(parent) {
        // The parent belongs to another user, who allows using the directory but not reading the parent.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Returns a locked directory, by its identity.
fn locked(lock: &DirectoryLock, directory: &Path) -> io::Result<OwnDirectory> {
    let (id, lock_file) = (lock.directory()?, lock.file()?);
    let disk = Arc::new(OsDisk);
    Ok(OwnDirectory::new(disk, directory, id, lock_file))
}

/// Returns a directory of a given disk, by its identity. Creates it if necessary.
fn opened(disk: Arc<dyn Disk>, directory: &Path) -> io::Result<OwnDirectory> {
    let id = match disk.identity(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(&*disk, directory)?;
            disk.identity(directory)?
        }
        id => id?,
    };
    Ok(OwnDirectory::new(disk, directory, id, None))
}

/// Checks that configuration and nonce do not contradict the parameters of a tree.
fn check_params(
    stored: &TreeParams,
    configured: &TreeParams,
    has_nonce: bool,
) -> Result<(), OpenError> {
    if stored.collision != configured.collision {
        return Err(OpenError::OtherPolicy {
            stored: stored.collision,
            configured: configured.collision,
        });
    }
    if configured.salt.is_some() && stored.salt != configured.salt {
        return Err(OpenError::OtherSalt);
    }
    if has_nonce && stored.nonce != configured.nonce {
        return Err(OpenError::OtherNonce);
    }
    Ok(())
}

/// Prepares a directory without a tree for a new one: removes the remains of an interrupted creation.
fn prepare(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    refuse(directory, creation::remains(disk, directory)?)?;
    creation::clear(disk, directory)?;
    // Also for an existing directory: the attempt that created it may have failed before its name was durable.
    create_directories(disk, directory).map_err(unusable(directory))
}
