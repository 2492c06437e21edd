//! Step 2 of opening: the leaf store.

use std::path::Path;
use std::sync::Arc;

use trunkline_actors::config::{Config, StoreKind};
use trunkline_core::store::leaves::{LEAVES_DIRECTORY, LeafStore, MemoryLeafStore};
use trunkline_core::store::manifest::CheckpointManifest;

use super::creation::missing;
use crate::error::OpenError;

/// The leaf store of an engine.
pub(super) struct LeavesInUse {
    pub(super) leaves: Arc<dyn LeafStore>,
    /// Whether the store outlives the engine. Only then a checkpoint is of use.
    pub(super) persist: bool,
}

/// Returns the given leaf store, or opens the configured one in a directory.
pub(super) fn open(
    given: Option<Arc<dyn LeafStore>>,
    config: &Config,
    directory: &Path,
    marker: &CheckpointManifest,
) -> Result<LeavesInUse, OpenError> {
    let (leaves, persist): (Arc<dyn LeafStore>, bool) = match (given, config.store.kind) {
        (Some(leaves), _) => (leaves, true),
        (None, StoreKind::Fjall) => {
            check_presence(directory, marker)?;
            (open_fjall(config, directory)?, true)
        }
        (None, StoreKind::Log) => {
            let version = marker.record.version;
            if version > 0 {
                return Err(OpenError::OtherStore { version });
            }
            (Arc::new(MemoryLeafStore::default()), false)
        }
    };
    Ok(LeavesInUse { leaves, persist })
}

/// Checks that there is a leaf store, if the tree may have leaves in it.
pub(super) fn check_presence(
    directory: &Path,
    marker: &CheckpointManifest,
) -> Result<(), OpenError> {
    match has_leaves(marker) && !directory.join(LEAVES_DIRECTORY).exists() {
        true => Err(missing(directory, LEAVES_DIRECTORY)),
        false => Ok(()),
    }
}

/// Returns whether a leaf store may have leaves.
pub(crate) fn has_leaves(marker: &CheckpointManifest) -> bool {
    marker.record.version > 0 || marker.intent.is_some()
}

#[cfg(not(feature = "fjall"))]
pub(crate) fn open_fjall(_: &Config, _: &Path) -> Result<Arc<dyn LeafStore>, OpenError> {
    Err(OpenError::StoreNotBuilt)
}

#[cfg(feature = "fjall")]
pub(crate) fn open_fjall(
    config: &Config,
    directory: &Path,
) -> Result<Arc<dyn LeafStore>, OpenError> {
    use trunkline_actors::runtime::{priority, thread};
    use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    let options = FjallOptions {
        cache_bytes: config.store.cache_bytes,
        worker_threads: config.store.worker_threads,
        key_order: config.store.key_order,
        ..FjallOptions::default()
    };
    let directory = directory.join(LEAVES_DIRECTORY);
    let nice = config.checkpoint.nice;
    // The threads of the store inherit the priority of the thread that opens it.
    let opening = thread::spawn("store", move || {
        priority::lower(nice);
        FjallLeafStore::open(&directory, &options)
    })
    .map_err(OpenError::Thread)?;
    match opening.join() {
        Ok(leaves) => Ok(Arc::new(leaves?)),
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Removes copies of the leaf store that readers left behind when their process was killed.
pub(crate) fn sweep_copies(_directory: &Path) {
    #[cfg(feature = "fjall")]
    super::leaf_copy::sweep(_directory);
}
