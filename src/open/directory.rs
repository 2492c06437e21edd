//! Step 0 of opening: the directory is locked, and its tree file says which tree it holds.

use std::io;
use std::path::Path;

use trunkline_actors::config::Config;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::lock::{DirectoryLock, LOCK_FILE};
use trunkline_core::store::tree_file::{self, TREE_FILE};

use super::recovery::read_params;
use crate::error::OpenError;

/// Takes the lock of a directory that holds a tree or nothing yet; it is created if need be.
pub(super) fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
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
pub(super) fn tree_params(
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
