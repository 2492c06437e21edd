//! Step 0 of opening: the directory is locked, and its tree file is read or created.

use std::io;
use std::path::Path;
use std::sync::Arc;

use trunkline_actors::config::Config;
use trunkline_core::params::{Nonce, TreeParams};
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::lock::{DirectoryLock, LOCK_FILE};
use trunkline_core::store::tree_file::{self, TREE_FILE};

use super::recovery::read_params;
use crate::error::OpenError;

/// A directory that this engine alone uses.
pub(super) struct Claimed {
    /// The lock of the directory. `None` if the caller gave the disk, and therefore has to keep other engines away.
    pub(super) lock: Option<DirectoryLock>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) params: TreeParams,
}

/// Locks the configured directory, unless the disk is given, and reads or creates the tree file.
pub(super) fn claim(
    disk: Option<Arc<dyn Disk>>,
    nonce: Option<Nonce>,
    config: &Config,
) -> Result<Claimed, OpenError> {
    let directory = &*config.engine.directory;
    let lock = match disk {
        None => Some(lock_directory(directory)?),
        Some(_) => None,
    };
    let disk = disk.unwrap_or_else(|| Arc::new(OsDisk));
    let params = tree_params(&*disk, directory, nonce, config)?;
    Ok(Claimed { lock, disk, params })
}

/// Returns the error for a directory that could not be used.
pub(super) fn unusable(directory: &Path) -> impl Fn(io::Error) -> OpenError {
    |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    }
}

/// Locks a directory that contains a tree or nothing, or creates it.
fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
    match OsDisk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(&OsDisk, directory).map_err(unusable(directory))?;
        }
        Err(error) => return Err(unusable(directory)(error)),
        // Checked before locking, which creates a file.
        Ok(names) if is_foreign(&names) => {
            return Err(OpenError::Foreign {
                path: directory.to_owned(),
            });
        }
        Ok(_) => {}
    }
    Ok(DirectoryLock::acquire(directory)?)
}

/// Returns whether a directory contains files that are not of a tree.
fn is_foreign(names: &[String]) -> bool {
    // Left by an opening that ended before the tree file was complete.
    let known = [LOCK_FILE, "TREE.tmp"];
    let has_tree = names.iter().any(|name| name == TREE_FILE);
    !has_tree && names.iter().any(|name| !known.contains(&name.as_str()))
}

/// Creates a directory and its parents durably: a tree is only as durable as the name of its directory.
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
        // The parent is another user's, who lets this one use the directory but not read the parent.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Returns the parameters of the tree in the directory, which nonce and configuration must not contradict. Without a
/// tree, creates one with the parameters of the configuration, and with a random nonce if none is given.
fn tree_params(
    disk: &dyn Disk,
    directory: &Path,
    nonce: Option<Nonce>,
    config: &Config,
) -> Result<TreeParams, OpenError> {
    let configured = config.tree.params(nonce.unwrap_or_else(rand::random));
    let Some(stored) = read_params(disk, directory)? else {
        create_directories(disk, directory)
            .and_then(|()| tree_file::create(disk, directory, &configured))
            .map_err(unusable(directory))?;
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
    if nonce.is_some_and(|nonce| stored.nonce != nonce) {
        return Err(OpenError::OtherNonce);
    }
    Ok(stored)
}
