//! Step 2 of opening: the leaf store.

use std::path::Path;
use std::sync::Arc;

use trunkline_actors::config::{Config, StoreKind};
use trunkline_core::store::leaves::{LEAVES_DIRECTORY, LeafStore, MemoryLeafStore};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::past::PastStore;

use super::creation::missing;
use crate::error::OpenError;

/// The stores of leaves and of archived versions in one database.
pub(crate) type Stores = (Arc<dyn LeafStore>, Arc<dyn PastStore>);

/// The leaf store of an engine.
pub(super) struct LeavesInUse {
    pub(super) leaves: Arc<dyn LeafStore>,
    /// The store of archived versions, if the configuration asks for one.
    pub(super) past: Option<Arc<dyn PastStore>>,
    /// True if the store outlives the engine. Otherwise a checkpoint is useless.
    pub(super) persist: bool,
}

/// The stores given to the engine.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) leaves: Option<Arc<dyn LeafStore>>,
    /// The store of archived versions, if the leaf store is given, too.
    pub(crate) past: Option<Arc<dyn PastStore>>,
}

/// Returns the given leaf store, or opens the configured one in a directory.
pub(super) fn open(
    given: Given,
    config: &Config,
    directory: &Path,
    marker: &CheckpointManifest,
) -> Result<LeavesInUse, OpenError> {
    let (leaves, past, persist) = match (given.leaves, config.store.kind) {
        (Some(leaves), _) => (leaves, given.past, true),
        (None, StoreKind::Fjall) => {
            check_presence(directory, marker)?;
            let (leaves, past) = open_fjall(config, directory)?;
            (leaves, Some(past), true)
        }
        (None, StoreKind::Log) => {
            let version = marker.record.version;
            if version > 0 {
                return Err(OpenError::OtherStore { version });
            }
            let leaves: Arc<dyn LeafStore> = Arc::new(MemoryLeafStore::default());
            (leaves, None, false)
        }
    };
    if config.versions.archive && past.is_none() {
        return Err(OpenError::NoArchive);
    }
    Ok(LeavesInUse {
        leaves,
        past: past.filter(|_| config.versions.archive),
        persist,
    })
}

/// Checks that there is a leaf store if the tree may have leaves in it.
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
pub(crate) fn open_fjall(_: &Config, _: &Path) -> Result<Stores, OpenError> {
    Err(OpenError::StoreNotBuilt)
}

#[cfg(feature = "fjall")]
pub(crate) fn open_fjall(config: &Config, directory: &Path) -> Result<Stores, OpenError> {
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
        Ok(leaves) => {
            let leaves = leaves?;
            let past = leaves.past();
            Ok((Arc::new(leaves), past))
        }
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Removes copies of the leaf store that killed readers left behind.
pub(crate) fn sweep_copies(_directory: &Path) {
    #[cfg(feature = "fjall")]
    super::leaf_copy::sweep(_directory);
}
