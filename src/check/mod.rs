//! Checking everything in a directory without an engine, and repairing what can be rebuilt.
//!
//! A check lists every damaged part, not only the first one. It reads the tree file, the manifest, all segments of the
//! log (`log`), the history file (`history`), the idempotency keys, the index of keys (`keys`), all leaves and the
//! states that follow from them (`state`), the page digests (`pages`), the archive of versions (`past`), and the KZG
//! tables. The files are read by the readers of the core, as opening reads them. `repair` rewrites content that verified
//! data proves.

mod finding;
mod history;
mod keys;
#[cfg(feature = "fjall")]
mod leaves;
mod log;
mod pages;
mod past;
mod repair;
mod state;

use std::io;
use std::path::Path;
use std::sync::Arc;

use trunkline_core::hash::{Digest, hex};
use trunkline_core::kzg::{TABLES_BYTES, Tables, TablesError};
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{OsDisk, if_present, read_file};
use trunkline_core::store::feed_cursors::{self, CURSORS_FILE};
use trunkline_core::store::history_file::HISTORY_FILE;
use trunkline_core::store::idempotency_file::{self, IDEMPOTENCY_FILE};
use trunkline_core::store::key_order_file::{self, KEY_ORDER_FILE};
use trunkline_core::store::leaves::LEAVES_DIRECTORY;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};
use trunkline_core::store::pages_file::PAGES_FILE;
use trunkline_core::store::replica_file::{self, REPLICA_FILE};
use trunkline_core::store::tree_file::TREE_FILE;

use crate::error::OpenError;
use crate::open::creation::{COPY_PREFIX, REBUILT_LEAVES, unusable};
use crate::open::kzg_tables::TABLES_FILE;
use crate::open::read_only::{no_tree, open_leaves};
use crate::open::recovery::read_params;
use crate::temporary;
use finding::denied;
pub use finding::{CheckReport, Fault, Finding, Part, Repair};
pub use repair::{RepairError, RepairReport, Repaired, repair};
use state::States;

/// Files that are replaced as a whole.
const REPLACED_FILES: [&str; 9] = [
    TREE_FILE,
    CHECKPOINT_FILE,
    HISTORY_FILE,
    IDEMPOTENCY_FILE,
    CURSORS_FILE,
    REPLICA_FILE,
    KEY_ORDER_FILE,
    PAGES_FILE,
    TABLES_FILE,
];
/// The suffix of the names of files that are not in use yet.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Checks everything in a directory, which no engine may have open. Writes only a copy of the leaf store's small files,
/// which it removes.
///
/// Takes as long as opening, and memory for the tree. A torn tail of the log is not damage.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.put_blocking("alice", "10")?.durable_blocking()?;
/// # engine.shutdown_blocking()?;
/// let named = directory.path().join("log/LAST-SEGMENT");
/// let mut bytes = std::fs::read(&named)?;
/// bytes[50] ^= 1;
/// std::fs::write(&named, bytes)?;
/// let report = trunkline::check(directory.path())?;
/// assert_eq!(report.findings[0].path, named);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Fails if the directory cannot be checked: if it does not exist, holds no tree, is locked by an engine, or has files
/// that may not be read. Damage is not an error.
pub fn check(directory: &Path) -> Result<CheckReport, OpenError> {
    std::fs::metadata(directory).map_err(unusable(directory))?;
    let lock = Arc::new(DirectoryLock::acquire_shared(directory)?);
    let mut report = examine(directory, &lock, None)?;
    past::examine(directory, &mut report)?;
    Ok(report)
}

/// Examines a locked directory. `known_last` is the commit id of the last version, if the caller knows it.
fn examine(
    directory: &Path,
    lock: &Arc<DirectoryLock>,
    known_last: Option<Digest>,
) -> Result<CheckReport, OpenError> {
    let mut report = CheckReport::default();
    let leftovers = leftovers(directory)?;
    let params = tree_file(directory, &mut report)?;
    let manifest = manifest(directory, params.as_ref(), &mut report);
    let tree_id = match (&params, &manifest) {
        (Some(params), _) => Some(params.tree_id()),
        (None, manifest) => manifest.as_ref().map(|manifest| manifest.record.tree_id),
    };
    report.tree_id = tree_id;
    report.checkpoint_version = manifest.as_ref().map(|manifest| manifest.record.version);
    match tree_id {
        Some(tree_id) => {
            marks(directory, &tree_id, &mut report);
            let tree = (&tree_id, params.as_ref());
            contents(
                directory,
                lock,
                tree,
                manifest.as_ref(),
                known_last,
                &mut report,
            )?;
        }
        None => report
            .unchecked
            .push("log, history and leaves: nothing tells of which tree they are".to_owned()),
    }
    tables(directory, &mut report);
    leftovers
        .into_iter()
        .for_each(|finding| report.add(finding));
    repair::decide_leftovers(&mut report);
    if let Some(path) = report.findings.iter().find_map(denied) {
        return Err(unusable(path)(io::ErrorKind::PermissionDenied.into()));
    }
    Ok(report)
}

/// Examines log, history, leaves and states.
fn contents(
    directory: &Path,
    lock: &Arc<DirectoryLock>,
    tree: (&Digest, Option<&TreeParams>),
    manifest: Option<&CheckpointManifest>,
    known_last: Option<Digest>,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    let disk = &OsDisk;
    let facts = log::examine(disk, directory, tree, manifest, known_last, report);
    match manifest {
        Some(manifest) => {
            history::examine(disk, directory, manifest, &facts.commit_ids, report);
            if let Err(error) = idempotency_file::read(disk, directory, manifest) {
                let path = directory.join(IDEMPOTENCY_FILE);
                report.add(Finding::new(Part::IdempotencyKeys, path, error));
            }
        }
        None => report.unchecked.push(
            "the history file and the idempotency keys: they are compared with the manifest"
                .to_owned(),
        ),
    }
    let Some(params) = tree.1 else {
        let unchecked = "leaves and states: without the tree file no key has a hash";
        report.unchecked.push(unchecked.to_owned());
        return Ok(());
    };
    let has_index = key_order(directory, params, report);
    let states = States::new(disk, directory, params, manifest)?;
    let leaves = match manifest.map(|manifest| open_leaves(directory, manifest, lock, has_index)) {
        None => None,
        Some(Ok((leaves, _))) => Some(leaves),
        Some(Err(OpenError::Missing { path })) => {
            report.add(Finding::new(Part::Leaves, path, Fault::Missing));
            None
        }
        Some(Err(OpenError::Leaves(error))) => {
            let path = directory.join(LEAVES_DIRECTORY);
            report.add(Finding::new(Part::Leaves, path, error));
            None
        }
        Some(Err(error)) => return Err(error),
    };
    if let Some(leaves) = leaves.as_deref().filter(|_| has_index)
        && manifest.is_some_and(|manifest| manifest.intent.is_none() && manifest.record.version > 0)
    {
        keys::examine(directory, params, leaves, report);
    }
    states.examine(leaves.as_deref(), facts.from_first, report)?;
    let Some(manifest) = manifest else {
        return Ok(());
    };
    let is_of_leaves = |finding: &Finding| matches!(finding.part, Part::Leaves | Part::State);
    let are_sound = manifest.intent.is_none() && !report.findings.iter().any(is_of_leaves);
    let leaves = leaves.as_deref().filter(|_| are_sound);
    pages::examine(disk, directory, params, manifest, leaves, report)
}

/// Reads the tree file.
fn tree_file(directory: &Path, report: &mut CheckReport) -> Result<Option<TreeParams>, OpenError> {
    let path = directory.join(TREE_FILE);
    match read_params(&OsDisk, directory) {
        Ok(Some(params)) => return Ok(Some(params)),
        Ok(None) => match no_tree(&OsDisk, directory) {
            error @ OpenError::NoTree { .. } => return Err(error),
            _ => report.add(Finding::new(Part::TreeFile, path, Fault::Missing)),
        },
        Err(error) => report.add(Finding::new(Part::TreeFile, path, error)),
    }
    Ok(None)
}

/// Reads the checkpoint manifest.
fn manifest(
    directory: &Path,
    params: Option<&TreeParams>,
    report: &mut CheckReport,
) -> Option<CheckpointManifest> {
    let path = directory.join(CHECKPOINT_FILE);
    let manifest = match if_present(CheckpointManifest::read(&OsDisk, directory)) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            report.add(Finding::new(Part::Manifest, path, Fault::Missing));
            return None;
        }
        Err(error) => {
            report.add(Finding::new(Part::Manifest, path, error));
            return None;
        }
    };
    let tree_id = params.map_or(manifest.record.tree_id, TreeParams::tree_id);
    if manifest.record.tree_id != tree_id {
        let fault = Fault::Differs {
            what: "the tree id",
            expected: hex(&tree_id),
            found: hex(&manifest.record.tree_id),
        };
        report.add(Finding::new(Part::Manifest, path, fault));
        return None;
    }
    Some(manifest)
}

/// Reads the cursors of the feed and the mark of a replica, if there are any.
fn marks(directory: &Path, tree_id: &Digest, report: &mut CheckReport) {
    if let Err(error) = feed_cursors::read(&OsDisk, directory, tree_id) {
        let path = directory.join(CURSORS_FILE);
        report.add(Finding::new(Part::Cursors, path, error));
    }
    if let Err(error) = replica_file::read(&OsDisk, directory, tree_id) {
        let path = directory.join(REPLICA_FILE);
        report.add(Finding::new(Part::ReplicaMark, path, error));
    }
}

/// Returns whether there is an index of keys.
fn key_order(directory: &Path, params: &TreeParams, report: &mut CheckReport) -> bool {
    let read = key_order_file::read(&OsDisk, directory, &params.tree_id());
    read.unwrap_or_else(|error| {
        let path = directory.join(KEY_ORDER_FILE);
        report.add(Finding::new(Part::KeyOrder, path, error));
        false
    })
}

/// Reads the KZG tables in the directory, if there are any.
fn tables(directory: &Path, report: &mut CheckReport) {
    let path = directory.join(TABLES_FILE);
    let fault: Fault = match read_file(&OsDisk, &path, TABLES_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let length = std::fs::metadata(&path).map_or(0, |file| file.len());
            TablesError::Length(usize::try_from(length).unwrap_or(usize::MAX)).into()
        }
        Err(error) => error.into(),
        Ok(bytes) => match Tables::decode(&bytes) {
            Ok(_) => return,
            Err(error) => error.into(),
        },
    };
    let mut finding = Finding::new(Part::KzgTables, path, fault);
    finding.repair = Some(Repair::KzgTables);
    report.add(finding);
}

/// Returns the leftovers of interrupted work in the directory itself.
fn leftovers(directory: &Path) -> Result<Vec<Finding>, OpenError> {
    let new = |path| Finding::new(Part::Leftover, path, Fault::Leftover);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unusable(directory))? {
        let entry = entry.map_err(unusable(directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let of = name.strip_suffix(TEMPORARY_SUFFIX);
        let is_temporary = of.is_some_and(|of| REPLACED_FILES.contains(&of));
        if is_temporary || name == REBUILT_LEAVES {
            found.push(new(entry.path()));
        }
    }
    found.extend(temporary::unused(directory, COPY_PREFIX).map(|(path, _)| new(path)));
    Ok(found)
}
