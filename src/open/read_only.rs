//! Reading a directory without an engine, and without changing its tree.
//!
//! The log is read as when an engine is opened, and the leaf store from a copy (`leaf_copy`). Meanwhile a shared lock
//! keeps engines out.

use std::path::Path;
use std::sync::Arc;

use trunkline_actors::config::Config;
use trunkline_actors::state::State;
use trunkline_actors::state::history::HistoryError;
use trunkline_actors::state::past::PastError;
use trunkline_core::hash::Digest;
use trunkline_core::history::{AncestorProof, ConsistencyProof};
use trunkline_core::params::TreeParams;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::store::disk::OsDisk;
use trunkline_core::store::idempotency_file::{KEYED_SUBMISSIONS_MAX, KeyedSubmission};
use trunkline_core::store::key_order_file;
use trunkline_core::store::leaves::{LeafSnapshot, LeafStore, MemoryLeafStore};
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, Survey};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::past::{MemoryPast, PastStore};
use trunkline_core::store::tree_file::TREE_FILE;

use super::creation::{self, Remains, unusable};
use super::recovery::{self, Found, read_params};
use super::replay::{Archive, Loading};
use super::{kzg_tables, leaf_store};
use crate::error::{OpenError, SnapshotError};
use crate::snapshot::{KeptVersion, Snapshot, kept_versions};

/// The content of a directory. Returned by [`ReadOnly::inspect`].
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.put_blocking("alice", "10")?.durable_blocking()?;
/// # engine.shutdown_blocking()?;
/// let found = trunkline::ReadOnly::open(directory.path())?.inspect();
/// assert_eq!((found.key_count, found.survey.torn_bytes), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The parameters of the tree.
    pub params: TreeParams,
    /// The id of the tree.
    pub tree_id: Digest,
    /// The root of the last commit, with the KZG root.
    pub root: Root,
    /// The record of the last commit.
    pub record: CommitRecord,
    /// The number of keys that have a value.
    pub key_count: u64,
    /// The version that the last checkpoint covers.
    pub checkpoint_version: u64,
    /// The version of a checkpoint that was begun and not completed.
    pub checkpoint_intent: Option<u64>,
    /// The result of reading the log.
    pub survey: Survey,
}

/// A tree in a directory, opened to be read only. The directory is locked meanwhile: engines cannot open it, other
/// readers can. It may stay locked until the last snapshot is dropped.
///
/// Nothing is needed but the permission to read: no lock file, and no room on the file system of the tree. The leaf store
/// is read from a copy of a few kilobytes, made in the directory of the tree, in the system's directory for temporary
/// files, or in memory.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.put_blocking("alice", "10")?.durable_blocking()?;
/// # engine.shutdown_blocking()?;
/// let tree = trunkline::ReadOnly::open(directory.path())?;
/// let proof = tree.snapshot().prove(["alice"], trunkline::TopKind::Hash)?;
/// assert!(proof.versions[0].record.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadOnly {
    state: Arc<State>,
    keyed: Vec<KeyedSubmission>,
    survey: Survey,
    checkpoint_version: u64,
    checkpoint_intent: Option<u64>,
    _lock: Arc<DirectoryLock>,
}

impl ReadOnly {
    /// Opens the tree in a directory at its last commit. Blocks while it reads and checks the page digests (without them all
    /// leaves) and the log.
    ///
    /// # Errors
    ///
    /// Fails if there is no tree, if an engine has it open, or if the directory cannot be read or is damaged.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_until(directory, None)
    }

    /// Opens the tree in a directory at a version. It can be any from the last checkpoint on, since the log after it is
    /// replayed up to the version. If a checkpoint was interrupted, the leaves may be newer already: then it can be any
    /// from the version of that checkpoint on.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// # let engine = trunkline::Engine::open_blocking(config)?;
    /// for value in ["10", "20"] {
    ///     engine.put_blocking("alice", value)?.durable_blocking()?;
    /// }
    /// # engine.shutdown_blocking()?;
    /// let tree = trunkline::ReadOnly::open_at(directory.path(), 1)?;
    /// assert_eq!(tree.snapshot().get(b"alice")?.as_deref(), Some(&b"10"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and [`OpenError::VersionNotKept`] for another version.
    pub fn open_at(directory: &Path, version: u64) -> Result<Self, OpenError> {
        Self::open_until(directory, Some(version))
    }

    fn open_until(directory: &Path, version: Option<u64>) -> Result<Self, OpenError> {
        let disk = OsDisk;
        std::fs::metadata(directory).map_err(unusable(directory))?;
        let Some(params) = read_params(&disk, directory)? else {
            return Err(no_tree(&disk, directory));
        };
        let lock = Arc::new(DirectoryLock::acquire_shared(directory)?);
        let Found {
            marker,
            history,
            remembered,
            newest,
            pages,
        } = recovery::find(&disk, directory, &params)?;
        let last = version.unwrap_or(newest);
        check_kept(last, &marker, newest)?;
        let key_order = key_order_file::read(&disk, directory, &params.tree_id())?;
        let (leaves, past) = open_leaves(directory, &marker, &lock, key_order)?;
        // At a version other than the last, archived versions cannot be compared with the commit ids.
        let past = past.filter(|_| version.is_none());
        let mut config = Config::in_directory(directory);
        config.store.key_order = key_order;
        // The number that the engine of the directory remembers is not known.
        config.submit.idempotency_keys_max = KEYED_SUBMISSIONS_MAX;
        kzg_tables::read(&kzg_tables::path(&config));
        let cold = match pages {
            Some(pages) => pages.build(&disk, directory, &params, &marker, &*leaves)?,
            None => None,
        };
        let known = (history, remembered);
        let loading = Loading::begin(params, config, &marker, known, leaves, cold)?;
        let log_directory = directory.join(LOG_DIRECTORY);
        let (loaded, survey) =
            loading.replay(|from, visit| {
                CommitLog::read_only(&disk, &log_directory, &params.tree_id(), from, |entry| {
                    match entry.record.version <= last {
                        true => visit(entry),
                        false => Ok(()),
                    }
                })
            })?;
        let loaded = loaded.finish(true, past.map(Archive::read_only))?;
        Ok(Self {
            state: loaded.state,
            keyed: loaded.keys.remembered().submissions,
            survey,
            checkpoint_version: marker.record.version,
            checkpoint_intent: marker.intent,
            _lock: lock,
        })
    }

    /// Returns the state that was read.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns a snapshot of the version that was opened: the last commit, unless [`Self::open_at`] named another. It can be
    /// used after this value was dropped.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of_newest(&self.state)
    }

    /// Returns a snapshot of a version: that which was opened, an archived one, or one that the log still has.
    ///
    /// # Errors
    ///
    /// As [`Engine::snapshot_at`](crate::Engine::snapshot_at).
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        Snapshot::at(&self.state, version)
    }

    /// Returns the oldest version that [`Self::snapshot_at`] can return.
    pub fn oldest_version(&self) -> u64 {
        self.state.oldest_version()
    }

    /// Returns the versions that can be read, as [`Engine::kept_versions`](crate::Engine::kept_versions) does.
    ///
    /// # Errors
    ///
    /// As [`Engine::kept_versions`](crate::Engine::kept_versions).
    pub fn kept_versions(
        &self,
        from: u64,
        count_max: usize,
    ) -> Result<Vec<KeptVersion>, PastError> {
        kept_versions(&self.state, from, count_max)
    }

    /// Returns the submissions with idempotency keys up to the opened version, as far as the directory has them: those
    /// that an engine may remember.
    pub fn idempotency_keys(&self) -> &[KeyedSubmission] {
        &self.keyed
    }

    /// Proves an ancestor of the last commit, as [`Snapshot::prove_ancestor`] does.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_ancestor`].
    pub fn prove_ancestor(&self, version: u64) -> Result<AncestorProof, HistoryError> {
        self.snapshot().prove_ancestor(version)
    }

    /// Proves that the history of the last commit continues that of an older version, as
    /// [`Snapshot::prove_consistency`] does.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_consistency`].
    pub fn prove_consistency(&self, older_version: u64) -> Result<ConsistencyProof, HistoryError> {
        self.snapshot().prove_consistency(older_version)
    }

    /// Returns the content of the directory.
    pub fn inspect(&self) -> Inspection {
        let snapshot = self.snapshot();
        Inspection {
            params: self.state.params,
            tree_id: self.state.params.tree_id(),
            root: snapshot.root(),
            record: snapshot.record().clone(),
            key_count: snapshot.key_count(),
            checkpoint_version: self.checkpoint_version,
            checkpoint_intent: self.checkpoint_intent,
            survey: self.survey.clone(),
        }
    }
}

/// Checks that the state of a version can be rebuilt from the leaves and the log.
pub(super) fn check_kept(
    version: u64,
    marker: &CheckpointManifest,
    newest: u64,
) -> Result<(), OpenError> {
    let oldest = marker.intent.unwrap_or(marker.record.version);
    match (oldest..=newest).contains(&version) {
        true => Ok(()),
        false => Err(OpenError::VersionNotKept {
            version,
            oldest,
            newest,
        }),
    }
}

/// Returns the error for a directory without a tree file.
pub(crate) fn no_tree(disk: &OsDisk, directory: &Path) -> OpenError {
    match creation::remains(disk, directory) {
        Ok(Remains::Unfinished | Remains::Foreign) => OpenError::NoTree {
            path: directory.to_owned(),
        },
        Ok(Remains::Tree) => creation::missing(directory, TREE_FILE),
        Err(error) => error,
    }
}

/// Leaves that are only read, and the archived versions.
pub(crate) type ReadStores = (Arc<dyn LeafSnapshot>, Option<Arc<dyn PastStore>>);

/// Returns the leaves in a directory, without changing them. Before the first checkpoint there are none: then the log
/// has everything.
pub(crate) fn open_leaves(
    directory: &Path,
    marker: &CheckpointManifest,
    _lock: &Arc<DirectoryLock>,
    _key_order: bool,
) -> Result<ReadStores, OpenError> {
    if !leaf_store::has_leaves(marker) {
        let past: Arc<dyn PastStore> = Arc::new(MemoryPast::default());
        return Ok((MemoryLeafStore::default().snapshot()?, Some(past)));
    }
    leaf_store::check_presence(directory, marker)?;
    #[cfg(feature = "fjall")]
    return super::leaf_copy::open(directory, _lock, _key_order)
        .map(|(leaves, past)| (leaves, Some(past)));
    #[cfg(not(feature = "fjall"))]
    return Err(OpenError::StoreNotBuilt);
}

#[cfg(all(test, not(feature = "fjall")))]
mod tests {
    use super::*;

    #[test]
    fn leaves_that_are_in_a_store_only_are_not_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("leaves")).unwrap();
        let lock = Arc::new(DirectoryLock::acquire_shared(path).unwrap());
        let mut marker = CheckpointManifest::genesis([1; 32]);
        assert!(open_leaves(path, &marker, &lock, false).is_ok());
        marker.record.version = 1;
        let refused = open_leaves(path, &marker, &lock, false).err();
        assert!(matches!(refused, Some(OpenError::StoreNotBuilt)));
    }
}
