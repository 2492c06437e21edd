//! Creates the directory of a replica from a copy of one version: its record, all commit ids before it, its leaves, and
//! the idempotency keys that are remembered.
//!
//! The directory is built under another name next to its final one, and renamed only when everything in it is durable
//! and was found to be the state that the record names. An interrupted bootstrap leaves only the temporary directory,
//! which the next one removes.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use trunkline_actors::config::{Config, InvalidSetting, StoreKind};
use trunkline_actors::runtime::entropy;
use trunkline_core::hash::{Digest, ZERO};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::history_file::{HistoryFileError, HistoryWriter};
use trunkline_core::store::idempotency_file::{
    self, KEYED_SUBMISSIONS_MAX, KeyedSubmission, Remembered, are_in_order,
};
use trunkline_core::store::key_index::KeyChange;
use trunkline_core::store::leaves::{LeafChange, LeafRef, LeafStore, LeafStoreError};
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, LogOptions, LogPosition, OpenLogError};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::{key_order_file, replica_file, tree_file};

use crate::error::{OpenError, ReplayError};
use crate::open::directory::create_directories;
use crate::open::leaf_store::open_fjall;
use crate::open::read_only::ReadOnly;

/// The suffix of the name of an unfinished directory.
const UNFINISHED_SUFFIX: &str = ".unfinished";

/// The version with which a replica begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The parameters of the tree.
    pub params: TreeParams,
    /// The commit record of the version.
    pub record: CommitRecord,
    /// Its KZG root, if known. It is compared with the computed one.
    pub kzg_root: Option<[u8; 48]>,
}

/// A directory that is being built for a replica.
///
/// ```
/// use trunkline::{Base, Bootstrap, Config, Engine};
/// # let directory = tempfile::tempdir()?;
/// # let (here, there) = (directory.path().join("primary"), directory.path().join("replica"));
/// let primary = Engine::open_blocking(Config::in_directory(here))?;
/// primary.put_blocking("alice", "10")?.durable_blocking()?;
///
/// let (snapshot, keyed) = primary.snapshot_with_keys();
/// let base = Base {
///     params: primary.params(),
///     record: snapshot.record().clone(),
///     kzg_root: Some(snapshot.kzg_root()),
/// };
/// let mut bootstrap = Bootstrap::begin(&Config::in_directory(&there), base)?;
/// bootstrap.add_commit_ids(&snapshot.commit_ids().collect::<Result<Vec<_>, _>>()?)?;
/// bootstrap.add_leaves(&snapshot.iter().collect::<Result<Vec<_>, _>>()?)?;
/// bootstrap.add_idempotency_keys(&keyed)?;
/// bootstrap.finish()?;
///
/// let replica = Engine::builder(Config::in_directory(&there)).open_replica_blocking(vec![])?;
/// assert_eq!(replica.snapshot().root(), snapshot.root());
/// # replica.shutdown_blocking()?;
/// # drop(snapshot);
/// # primary.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Bootstrap {
    base: Base,
    target: PathBuf,
    unfinished: PathBuf,
    leaves: Option<Arc<dyn LeafStore>>,
    has_key_order: bool,
    history: HistoryWriter,
    range: MountainRange,
    last_commit_id: Digest,
    last_key_hash: Option<Digest>,
    keyed: Vec<KeyedSubmission>,
}

/// The reason why a directory could not be built. The target is unchanged.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # std::fs::write(directory.path().join("note"), "")?;
/// use trunkline::{Base, Bootstrap, BootstrapError, Config, core};
/// let params = core::params::TreeParams::default();
/// let mut record = core::record::CommitRecord::genesis(params.tree_id());
/// record.version = 1;
/// let base = Base { params, record, kzg_root: None };
/// let refused = Bootstrap::begin(&Config::in_directory(directory.path()), base);
/// assert!(matches!(refused, Err(BootstrapError::NotEmpty { .. })));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] InvalidSetting),
    /// The target is not empty.
    #[error("directory {} is not empty; choose another, or move it away", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// There is no store for the leaves.
    #[error(
        "store.kind = log keeps leaves only in the log, and a copy of a version has no log; set store.kind to fjall"
    )]
    NoStore,
    /// The base is of another tree than its parameters say.
    #[error("the record is not one of the tree with these parameters; the copy is damaged")]
    OtherTree,
    /// The base is the empty state.
    #[error("version 0 is the empty state; open an empty directory instead")]
    Empty,
    /// The commit ids do not lead to the record.
    #[error("the commit ids do not lead to the record of version {version}; the copy is damaged")]
    History {
        /// The version of the base.
        version: u64,
    },
    /// Leaves are not in ascending order of key hashes.
    #[error(
        "leaf {index} of those just added does not follow the previous leaf in path order; the copy is damaged"
    )]
    Order {
        /// Index of the leaf, from 0.
        index: usize,
    },
    /// The idempotency keys are not those that an engine remembers at the version.
    #[error("the idempotency keys are not those of a version {version}; the copy is damaged")]
    IdempotencyKeys {
        /// The version of the base.
        version: u64,
    },
    /// A file could not be written or read.
    #[error("{} could not be written; check the disk", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The leaf store could not be written.
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
    /// The history file could not be written.
    #[error(transparent)]
    HistoryFile(#[from] HistoryFileError),
    /// The log could not be created.
    #[error(transparent)]
    Log(Box<OpenLogError<ReplayError>>),
    /// The directory does not have the state that the record names, or its leaf store could not be opened.
    #[error("the directory that was built cannot be used")]
    Open(#[from] OpenError),
}

impl Bootstrap {
    /// Begins to build the configured directory, which must be absent or empty.
    ///
    /// # Errors
    ///
    /// Fails if the directory has files, if the base contradicts itself, or if the system cannot write.
    pub fn begin(config: &Config, base: Base) -> Result<Self, BootstrapError> {
        config.validate()?;
        check_base(config, &base)?;
        let target = &config.engine.directory;
        let target = absolute(target).map_err(in_path(target))?;
        check_empty(&target)?;
        let unfinished = unfinished_name(&target);
        begin_empty(&unfinished).map_err(in_path(&unfinished))?;
        let tree_id = base.record.tree_id;
        Ok(Self {
            leaves: Some(open_fjall(config, &unfinished)?.0),
            has_key_order: config.store.key_order,
            history: HistoryWriter::open(&OsDisk, &unfinished, &tree_id, 0)?,
            range: MountainRange::default(),
            last_commit_id: ZERO,
            last_key_hash: None,
            keyed: Vec::new(),
            target,
            unfinished,
            base,
        })
    }

    /// Adds commit ids, in order from version 0 on. They are durable when the call returns.
    ///
    /// # Errors
    ///
    /// Fails if they do not lead to the record, or if the system cannot write.
    pub fn add_commit_ids(&mut self, commit_ids: &[Digest]) -> Result<(), BootstrapError> {
        let mut nodes = Vec::with_capacity(2 * commit_ids.len());
        for commit_id in commit_ids {
            let record = &self.base.record;
            let count = self.range.count();
            let is_last = count == record.version;
            let leads_there = self.range.digest(&HISTORY) == record.history_digest;
            if count > record.version || is_last && !leads_there {
                return Err(self.other_history());
            }
            nodes.push(*commit_id);
            self.range
                .append_noting(&HISTORY, commit_id, |node| nodes.push(*node));
            self.last_commit_id = *commit_id;
        }
        Ok(self.history.append(&nodes)?)
    }

    /// Adds leaves: keys and values, in path order (ascending by key hash), after those added before.
    ///
    /// # Errors
    ///
    /// Fails if they are not in order, or if the leaf store cannot be written.
    pub fn add_leaves<T: AsRef<[u8]>>(&mut self, leaves: &[(T, T)]) -> Result<(), BootstrapError> {
        let mut key_hashes = vec![ZERO; leaves.len()];
        let keys = leaves.iter().map(|(key, _)| key.as_ref());
        self.base.params.hash_keys(keys, &mut key_hashes);
        let mut last = self.last_key_hash;
        for (index, key_hash) in key_hashes.iter().enumerate() {
            if last.is_some_and(|last| last >= *key_hash) {
                return Err(BootstrapError::Order { index });
            }
            last = Some(*key_hash);
        }
        let changes = key_hashes.iter().zip(leaves);
        let mut changes = changes.map(|(key_hash, (key, value))| LeafChange {
            key_hash: *key_hash,
            leaf: Some(LeafRef {
                key: key.as_ref(),
                value: value.as_ref(),
            }),
        });
        if let Some(store) = self.leaves.as_ref().filter(|_| !leaves.is_empty()) {
            store.ingest(&mut changes)?;
            if self.has_key_order {
                let keys = leaves.iter().map(|(key, _)| key.as_ref());
                add_keys(&**store, keys)?;
            }
        }
        self.last_key_hash = last;
        Ok(())
    }

    /// Adds submissions with idempotency keys that the primary remembered at the version
    /// ([`Engine::snapshot_with_keys`](crate::Engine::snapshot_with_keys)), in order, after those added before. They
    /// are not proven, so the author of the copy is trusted for them. Without them, a submission that was made before
    /// the copy is applied again if it is repeated after this replica was promoted.
    ///
    /// # Errors
    ///
    /// Fails if they are not in order, too many, or of later versions.
    pub fn add_idempotency_keys(
        &mut self,
        keyed: &[KeyedSubmission],
    ) -> Result<(), BootstrapError> {
        let version = self.base.record.version;
        self.keyed.extend_from_slice(keyed);
        let fits = self.keyed.len() <= KEYED_SUBMISSIONS_MAX;
        match fits && are_in_order(&self.keyed, version) {
            true => Ok(()),
            false => Err(BootstrapError::IdempotencyKeys { version }),
        }
    }

    /// Makes everything durable, checks that it is the state that the record names, and renames the directory. The
    /// directory is complete once the call returns without an error.
    ///
    /// # Errors
    ///
    /// Fails if commit ids are missing, if the leaves form another state, or if the system cannot write.
    pub fn finish(mut self) -> Result<(), BootstrapError> {
        let (record, params) = (&self.base.record, &self.base.params);
        let has_all = self.range.count() == record.version + 1;
        if !has_all || self.last_commit_id != record.commit_id() {
            return Err(self.other_history());
        }
        if let Some(leaves) = self.leaves.take() {
            leaves.sync()?;
        }
        let (directory, tree_id) = (&*self.unfinished, params.tree_id());
        let manifest = CheckpointManifest {
            record: record.clone(),
            kzg_root: self.base.kzg_root,
            history: self.range.clone(),
            intent: None,
        };
        let remembered = Remembered {
            version: record.version,
            submissions: self.keyed,
        };
        idempotency_file::write(&OsDisk, directory, &tree_id, &remembered)
            .and_then(|()| manifest.write(&OsDisk, directory))
            .map_err(in_path(directory))?;
        begin_log(directory, LogPosition::of(record), &tree_id)?;
        replica_file::write(&OsDisk, directory, &tree_id, record.open_epoch)
            .and_then(|()| key_order_file::create(&OsDisk, directory, &tree_id, self.has_key_order))
            .and_then(|()| tree_file::create(&OsDisk, directory, params))
            .map_err(in_path(directory))?;
        drop(ReadOnly::open(directory)?);
        check_empty(&self.target)?;
        OsDisk
            .rename(directory, &self.target)
            .and_then(|()| OsDisk.sync_directory(parent_of(&self.target)))
            .map_err(in_path(&self.target))
    }

    fn other_history(&self) -> BootstrapError {
        let version = self.base.record.version;
        BootstrapError::History { version }
    }
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Bootstrap")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Adds keys to the index of a leaf store.
pub(crate) fn add_keys<'a>(
    store: &dyn LeafStore,
    keys: impl Iterator<Item = &'a [u8]>,
) -> Result<(), LeafStoreError> {
    let mut keys: Vec<&[u8]> = keys.collect();
    keys.sort_unstable();
    let is_present = true;
    let changes = keys.into_iter();
    store.ingest_keys(&mut changes.map(|key| KeyChange { key, is_present }))
}

fn in_path(path: &Path) -> impl Fn(io::Error) -> BootstrapError {
    |source| BootstrapError::Io {
        path: path.to_owned(),
        source,
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn check_base(config: &Config, base: &Base) -> Result<(), BootstrapError> {
    if config.store.kind == StoreKind::Log {
        return Err(BootstrapError::NoStore);
    }
    if base.record.tree_id != base.params.tree_id() {
        return Err(BootstrapError::OtherTree);
    }
    match base.record.version {
        0 => Err(BootstrapError::Empty),
        _ => Ok(()),
    }
}

fn check_empty(target: &Path) -> Result<(), BootstrapError> {
    match OsDisk.list(target) {
        Ok(names) if names.is_empty() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(BootstrapError::NotEmpty {
            path: target.to_owned(),
        }),
        Err(error) => Err(in_path(target)(error)),
    }
}

fn unfinished_name(target: &Path) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(UNFINISHED_SUFFIX);
    PathBuf::from(name)
}

/// Creates the directory to build in, and removes the remains of an interrupted bootstrap.
fn begin_empty(unfinished: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_directories(&OsDisk, unfinished)
}

/// Creates a log that continues after the version of the base.
fn begin_log(directory: &Path, at: LogPosition, tree_id: &Digest) -> Result<(), BootstrapError> {
    let log_directory = directory.join(LOG_DIRECTORY);
    let found = CommitLog::new_at(Arc::new(OsDisk), &log_directory, *tree_id, at);
    let begun = found.begin::<ReplayError>(LogOptions::new(entropy::bytes()));
    let (log, _) = begun.map_err(|error| BootstrapError::Log(Box::new(error)))?;
    log.close().map_err(|error| OpenError::from(error).into())
}
