//! The role in which a directory is opened: to write batches, or to apply the versions of a primary. The `REPLICA` file
//! marks the directories of replicas, so that none of them is written to by mistake.

use std::path::Path;

use trunkline_core::hash::Digest;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::replica_file::{self, REPLICA_FILE};

use super::creation::unusable;
use crate::error::OpenError;

/// The highest epoch above which a replica can be promoted. It leaves as many epochs for later openings.
const PROMOTED_ABOVE_MAX: u64 = u64::MAX / 2;

/// The purpose for which a directory is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// To write batches.
    #[default]
    Primary,
    /// To apply the versions of a primary.
    Replica,
    /// To write batches in the directory of a replica, which it then no longer is.
    Promoted {
        /// The epoch that writing must be above.
        above_epoch: u64,
    },
}

/// The mark in a directory, compared with the role in which it is opened.
pub(super) struct Marked {
    /// The epoch that writing must be above; `None` in the directory of a primary.
    epoch: Option<u64>,
}

impl Marked {
    /// Reads the mark of a directory.
    pub(super) fn read(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        role: Role,
        is_new: bool,
    ) -> Result<Self, OpenError> {
        let path = || directory.to_owned();
        // An interrupted creation of a replica leaves the mark of a tree that never existed.
        if is_new && disk.open(&directory.join(REPLICA_FILE)).is_ok() && role != Role::Replica {
            return Err(OpenError::IsReplica { path: path() });
        }
        let epoch = match is_new {
            true => None,
            false => replica_file::read(disk, directory, tree_id)?,
        };
        match (role, epoch) {
            (Role::Primary, Some(_)) => Err(OpenError::IsReplica { path: path() }),
            (Role::Replica, None) if !is_new => Err(OpenError::NotReplica { path: path() }),
            (Role::Promoted { .. }, None) => Err(OpenError::NotReplica { path: path() }),
            _ => Ok(Self { epoch }),
        }
    }

    /// Returns the lowest epoch that may be begun if the last version was written in `last_epoch`.
    pub(super) fn epoch_min(&self, role: Role, last_epoch: u64) -> Result<u64, OpenError> {
        let above = match role {
            Role::Primary => last_epoch,
            // The segments of a replica count only its own openings.
            Role::Replica => 0,
            Role::Promoted { above_epoch } => {
                let above = last_epoch.max(above_epoch).max(self.epoch.unwrap_or(0));
                match above <= PROMOTED_ABOVE_MAX {
                    true => above,
                    false => return Err(OpenError::Epoch { above }),
                }
            }
        };
        Ok(above.saturating_add(1))
    }

    /// Marks a directory in which a replica is created. This comes before the tree file: without the mark it would be a
    /// primary's.
    pub(super) fn create(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        role: Role,
    ) -> Result<(), OpenError> {
        match role {
            Role::Replica => replica_file::write(disk, directory, tree_id, 0),
            Role::Primary | Role::Promoted { .. } => Ok(()),
        }
        .map_err(unusable(directory))
    }

    /// Removes the mark of a replica that was promoted, once its log has a segment of the new epoch.
    pub(super) fn promoted(disk: &dyn Disk, directory: &Path, role: Role) -> Result<(), OpenError> {
        match role {
            Role::Promoted { .. } => replica_file::remove(disk, directory),
            Role::Primary | Role::Replica => Ok(()),
        }
        .map_err(unusable(directory))
    }
}
