//! Looking into a directory without an engine, and without writing into it.
//!
//! The log is read as recovery would read it. The leaf store has no way of opening without writing,
//! so it is opened in a temporary copy: its tables, which never change, as hard links where the file
//! system allows it, everything else copied. Meanwhile a shared lock keeps engines out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use trunkline_core::hash::Digest;
use trunkline_core::params::TreeParams;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::store::disk::OsDisk;
use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, Survey};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::recovery::{Loading, OpenError, read_marker, read_params};
use crate::shared::State;
use crate::snapshot::Snapshot;

/// What is in a directory.
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
    /// Its id.
    pub tree_id: Digest,
    /// The root of the last commit, its KZG root included.
    pub root: Root,
    /// The record of the last commit.
    pub record: CommitRecord,
    /// Keys present.
    pub key_count: u64,
    /// The version that the last checkpoint covers.
    pub checkpoint_version: u64,
    /// A checkpoint of this version was begun and not ended.
    pub checkpoint_intent: Option<u64>,
    /// What the log is like.
    pub survey: Survey,
}

/// A tree as it lies in its directory, read and not served.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.put_blocking("alice", "10")?.durable_blocking()?;
/// # engine.shutdown_blocking()?;
/// let tree = trunkline::ReadOnly::open(directory.path())?;
/// let proof = tree.snapshot().prove(["alice"], trunkline::TopKind::Hash)?;
/// assert!(proof.record.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadOnly {
    state: Arc<State>,
    survey: Survey,
    checkpoint_version: u64,
    checkpoint_intent: Option<u64>,
    // In this order: the lock is given back when the copy is gone.
    _copy: Option<TempDir>,
    _lock: DirectoryLock,
}

impl ReadOnly {
    /// Reads the last commit of the tree in a directory.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: directory.to_owned(),
            source,
        };
        let disk = OsDisk;
        fs::metadata(directory).map_err(failed)?;
        let Some(params) = read_params(&disk, directory)? else {
            return Err(OpenError::NoTree {
                path: directory.to_owned(),
            });
        };
        let lock = DirectoryLock::acquire_shared(directory)?;
        let marker = read_marker(&disk, directory, &params)?;
        let (leaves, copy) = open_copy(directory)?;
        let config = Config::in_directory(directory);
        let metrics = Arc::new(Metrics::new(&config.engine.name));
        let snapshot = leaves.snapshot()?;
        let mut loading = Loading::begin(params, &marker, snapshot, 1, None, &metrics)?;
        let survey = CommitLog::read_only(
            &disk,
            &directory.join(LOG_DIRECTORY),
            &params.tree_id(),
            loading.position(),
            |entry| loading.replay(entry, None),
        )?;
        let (state, ..) = loading.finish(true)?.into_state(params, &config, metrics)?;
        Ok(Self {
            state,
            survey,
            checkpoint_version: marker.record.version,
            checkpoint_intent: marker.intent,
            _copy: copy,
            _lock: lock,
        })
    }

    /// The last commit, to read and to prove.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of_pinned(self.state.clone(), self.state.versions.pin_newest())
    }

    /// What is in the directory.
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

/// The leaf store of a directory, in a copy; an empty one if the tree keeps none.
#[cfg(feature = "fjall")]
fn open_copy(directory: &Path) -> Result<(Arc<dyn LeafStore>, Option<TempDir>), OpenError> {
    use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions, LEAVES_DIRECTORY};

    let original = directory.join(LEAVES_DIRECTORY);
    if !original.exists() {
        return Ok((Arc::new(MemoryLeafStore::default()), None));
    }
    let copy = copy_leaves(&original).map_err(|source| OpenError::Directory {
        path: original,
        source,
    })?;
    let leaves = FjallLeafStore::open(copy.path(), &FjallOptions::default())?;
    Ok((Arc::new(leaves), Some(copy)))
}

#[cfg(not(feature = "fjall"))]
fn open_copy(_: &Path) -> Result<(Arc<dyn LeafStore>, Option<TempDir>), OpenError> {
    Ok((Arc::new(MemoryLeafStore::default()), None))
}

/// Names of directories whose files are written once and never again.
#[cfg(feature = "fjall")]
const TABLES: &str = "tables";

#[cfg(feature = "fjall")]
fn copy_leaves(original: &Path) -> io::Result<TempDir> {
    let copy = tempfile::Builder::new().prefix("trunkline-").tempdir()?;
    let mut directories: Vec<(PathBuf, PathBuf)> =
        vec![(original.to_owned(), copy.path().to_owned())];
    while let Some((from, to)) = directories.pop() {
        fs::create_dir_all(&to)?;
        let immutable = from.ends_with(TABLES);
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                directories.push((source, target));
            } else if !immutable || fs::hard_link(&source, &target).is_err() {
                copy_file(&source, &target)?;
            }
        }
    }
    Ok(copy)
}

/// Not `fs::copy`: a copy of what can't be written must be writable all the same.
#[cfg(feature = "fjall")]
fn copy_file(source: &Path, target: &Path) -> io::Result<u64> {
    io::copy(
        &mut fs::File::open(source)?,
        &mut fs::File::create_new(target)?,
    )
}
