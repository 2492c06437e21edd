//! Rebuilds the leaf store of a checkpoint from a log that has every version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trunkline_core::hash::Digest;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::effect::decode_effects;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::key_order_file;
use trunkline_core::store::leaves::{
    LEAVES_DIRECTORY, Leaf, LeafChange, LeafStore, LeafStoreError,
};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::tree_file;

use super::log;
use super::repair::{RepairError, failed, kept_name, remove_any};
use super::state::States;
use crate::error::OpenError;
use crate::open::creation::{DAMAGED_LEAVES, REBUILT_LEAVES};

/// Least number of bytes of keys and values that are ingested at once.
const INGESTED_BYTES_MIN: usize = 64 << 20;

/// Rebuilds the leaf store and puts it in place. Returns its path, and the path at which the old store is kept.
pub(super) fn rebuild(
    directory: &Path,
    manifest: &CheckpointManifest,
) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
    let params = tree_file::read(&OsDisk, directory).map_err(OpenError::from)?;
    let rebuilt = directory.join(REBUILT_LEAVES);
    if rebuilt.symlink_metadata().is_ok() {
        remove_any(&rebuilt).map_err(failed(&rebuilt))?;
    }
    let version = manifest.record.version;
    // If the file is damaged, the check reports that, and there may be no index.
    let recorded = key_order_file::read(&OsDisk, directory, &params.tree_id());
    let options = FjallOptions {
        key_order: recorded.unwrap_or(false),
        ..FjallOptions::default()
    };
    let store = FjallLeafStore::open(&rebuilt, &options)?;
    fill(&store, directory, &params, version)?;
    if options.key_order {
        super::keys::of_leaves(&store, &params)?;
        store.sync()?;
    }
    let states = States::new(&OsDisk, directory, &params, Some(manifest))?;
    if !states.are_of_checkpoint(&*store.snapshot()?, manifest)? {
        return Err(RepairError::OtherLeaves { version });
    }
    drop(store);
    sync(&rebuilt)?;
    exchange(directory, &rebuilt)
}

/// Ingests the effects of all versions up to `version`.
fn fill(
    store: &FjallLeafStore,
    directory: &Path,
    params: &TreeParams,
    version: u64,
) -> Result<(), RepairError> {
    let mut changes = Changes::default();
    let mut filled = Ok(());
    log::entries(&OsDisk, directory, &params.tree_id(), |entry| {
        if filled.is_err() || entry.record.version > version {
            return;
        }
        // The check has decoded them, so this cannot fail.
        let effects = decode_effects(params, &entry.effects).unwrap_or_default();
        for effect in effects {
            changes.bytes += effect.key.len() + effect.change.map_or(0, <[u8]>::len);
            let leaf = effect.change.map(|value| Leaf {
                key: effect.key.to_vec().into(),
                value: value.to_vec().into(),
            });
            changes.leaves.insert(effect.key_hash, leaf);
        }
        if changes.bytes >= INGESTED_BYTES_MIN {
            filled = changes.ingest(store);
        }
    });
    filled?;
    changes.ingest(store)?;
    Ok(store.sync()?)
}

/// Changes that wait to be ingested together.
#[derive(Default)]
struct Changes {
    leaves: BTreeMap<Digest, Option<Leaf>>,
    bytes: usize,
}

impl Changes {
    fn ingest(&mut self, store: &FjallLeafStore) -> Result<(), LeafStoreError> {
        let Self { leaves, .. } = std::mem::take(self);
        if leaves.is_empty() {
            return Ok(());
        }
        let mut changes = leaves.iter().map(|(key_hash, leaf)| LeafChange {
            key_hash: *key_hash,
            leaf: leaf.as_ref().map(Leaf::borrowed),
        });
        store.ingest(&mut changes)
    }
}

/// Makes all names below a directory durable.
fn sync(directory: &Path) -> Result<(), RepairError> {
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        if path.is_dir() {
            sync(&path)?;
        }
    }
    OsDisk.sync_directory(directory).map_err(failed(directory))
}

/// Puts the new store in place of the old one, which gets another name. After a crash between the two steps the old one
/// is not lost, and the same repair can be done again.
fn exchange(directory: &Path, rebuilt: &Path) -> Result<(PathBuf, Option<PathBuf>), RepairError> {
    let leaves = directory.join(LEAVES_DIRECTORY);
    let rename = |from: &Path, to: &Path| {
        let renamed = OsDisk.rename(from, to);
        let synced = renamed.and_then(|()| OsDisk.sync_directory(directory));
        synced.map_err(failed(to))
    };
    let mut kept = None;
    if leaves.symlink_metadata().is_ok() {
        let name = kept_name(&directory.join(DAMAGED_LEAVES))?;
        rename(&leaves, &name)?;
        kept = Some(name);
    }
    rename(rebuilt, &leaves)?;
    Ok((leaves, kept))
}
