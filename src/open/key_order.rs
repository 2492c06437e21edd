//! Checks and records whether the leaf store of a directory keeps an index of keys. That is fixed when the directory is
//! created.

use std::path::Path;

use trunkline_actors::config::Config;
use trunkline_core::hash::Digest;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::key_order_file;

use super::creation::unusable;
use crate::error::OpenError;

/// Checks that the configuration agrees with the directory about the index.
pub(super) fn check(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    config: &Config,
) -> Result<(), OpenError> {
    let recorded = key_order_file::read(disk, directory, tree_id)?;
    match recorded == config.store.key_order {
        true => Ok(()),
        false => Err(OpenError::OtherKeyOrder {
            path: directory.to_owned(),
            recorded,
        }),
    }
}

/// Records the configured choice in a new directory.
pub(super) fn record(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    config: &Config,
) -> Result<(), OpenError> {
    let has_index = config.store.key_order;
    key_order_file::create(disk, directory, tree_id, has_index).map_err(unusable(directory))
}
