//! Looking into a directory without an engine, and without changing anything in it.
//!
//! The log is read as recovery would read it, the leaf store in a copy (`leaf_copy`), which is beside it
//! if it can be. Meanwhile a shared lock keeps engines out.

use std::path::Path;
use std::sync::Arc;

use trunkline_core::hash::Digest;
use trunkline_core::history::{AncestorProof, ConsistencyProof};
use trunkline_core::params::TreeParams;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::store::disk::OsDisk;
use trunkline_core::store::leaves::LeafSnapshot;
#[cfg(not(feature = "fjall"))]
use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, Survey};
use trunkline_core::store::manifest::CheckpointManifest;

use super::kzg_tables;
use super::recovery::{self, Found, read_params};
use super::replay::Loading;
use crate::error::OpenError;
use crate::snapshot::Snapshot;
use trunkline_actors::config::Config;
use trunkline_actors::metrics::Metrics;
use trunkline_actors::runtime::pool::Pools;
use trunkline_actors::state::State;
use trunkline_actors::state::history::HistoryError;

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
/// assert!(proof.versions[0].record.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadOnly {
    state: Arc<State>,
    survey: Survey,
    checkpoint_version: u64,
    checkpoint_intent: Option<u64>,
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
        std::fs::metadata(directory).map_err(failed)?;
        let Some(params) = read_params(&disk, directory)? else {
            return Err(OpenError::NoTree {
                path: directory.to_owned(),
            });
        };
        let lock = DirectoryLock::acquire_shared(directory)?;
        let Found { marker, history } = recovery::find(&disk, directory, &params)?;
        let leaves = open_leaves(directory, &marker)?;
        let config = Config::in_directory(directory);
        let metrics = Arc::new(Metrics::new(&config.engine.name));
        let pools = Pools::start(config.workers.threads, config.workers.read_threads)?;
        let leaves_of = (&marker, leaves);
        let mut loading = Loading::begin(params, leaves_of, history, &config, &pools, &metrics)?;
        let (from, log_directory) = (loading.position(), directory.join(LOG_DIRECTORY));
        let survey = loading.replay(&pools.commit, |visit| {
            CommitLog::read_only(&disk, &log_directory, &params.tree_id(), from, visit)
        })?;
        kzg_tables::read(&kzg_tables::path(&config));
        let (state, ..) = loading
            .finish(true)?
            .into_state(params, config, metrics, pools)?;
        Ok(Self {
            state,
            survey,
            checkpoint_version: marker.record.version,
            checkpoint_intent: marker.intent,
            _lock: lock,
        })
    }

    /// The last commit, to read and to prove.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of_pinned(self.state.clone(), self.state.versions.pin_newest())
    }

    /// As [`Snapshot::prove_ancestor`] of the last commit.
    pub fn prove_ancestor(&self, version: u64) -> Result<AncestorProof, HistoryError> {
        self.snapshot().prove_ancestor(version)
    }

    /// As [`Snapshot::prove_consistency`] of the last commit, which is the only one kept.
    pub fn prove_consistency(&self, older_version: u64) -> Result<ConsistencyProof, HistoryError> {
        self.snapshot().prove_consistency(older_version)
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

/// The leaves of a directory, without changing them.
#[cfg(feature = "fjall")]
fn open_leaves(
    directory: &Path,
    _: &CheckpointManifest,
) -> Result<Arc<dyn LeafSnapshot>, OpenError> {
    super::leaf_copy::open(directory)
}

/// Without a checkpoint the log has everything, whether or not there is a store.
#[cfg(not(feature = "fjall"))]
fn open_leaves(_: &Path, marker: &CheckpointManifest) -> Result<Arc<dyn LeafSnapshot>, OpenError> {
    if marker.record.version > 0 {
        return Err(OpenError::StoreNotBuilt);
    }
    Ok(MemoryLeafStore::default().snapshot()?)
}

#[cfg(all(test, not(feature = "fjall")))]
mod tests {
    use super::*;

    #[test]
    fn leaves_that_only_a_store_has_are_not_passed_over() {
        let mut marker = CheckpointManifest::genesis([1; 32]);
        assert!(open_leaves(Path::new("here"), &marker).is_ok());
        marker.record.version = 1;
        let refused = open_leaves(Path::new("here"), &marker).err();
        assert!(matches!(refused, Some(OpenError::StoreNotBuilt)));
    }
}
