//! Errors of opening, submitting and taking snapshots. Those of reads, proofs, evidence and history are where these are.

use std::io;
use std::path::PathBuf;

use trunkline_actors::config::InvalidSetting;
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::state::cold_leaves::{self, ScanError};
use trunkline_core::batch::BatchError;
use trunkline_core::hash::Digest;
use trunkline_core::kzg::SetupError;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::store::effect::EffectsError;
use trunkline_core::store::history_file::HistoryFileError;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::lock::LockError;
use trunkline_core::store::log::{LogWriteError, OpenLogError};
use trunkline_core::store::manifest::ReadManifestError;
use trunkline_core::store::tree_file::ReadTreeFileError;
use trunkline_core::tree::LeavesDiffer;

/// Why a directory was not opened. Unless the variant says otherwise, nothing in it was changed, but
/// for what the leaf store tidies up when it is opened.
///
/// ```
/// use trunkline::{Config, Engine, OpenError};
/// # let directory = tempfile::tempdir()?;
/// let config = Config::in_directory(directory.path());
/// let engine = Engine::open_blocking(config.clone())?;
/// let error = Engine::open_blocking(config.clone()).unwrap_err();
/// assert!(matches!(error, OpenError::Lock(_)));
/// assert!(error.to_string().ends_with("has the tree open; close it first"));
///
/// engine.shutdown_blocking()?;
/// Engine::open_blocking(config)?.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] InvalidSetting),
    /// The directory could not be made or looked at.
    #[error("directory {} could not be used; check the path and its permissions", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no tree in the directory.
    #[error("directory {} holds no trunkline tree; check the path", path.display())]
    NoTree {
        /// The directory.
        path: PathBuf,
    },
    /// Files of something else are in the directory.
    #[error("directory {} is not empty and holds no trunkline tree; choose another", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Another process or engine has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tree file is of another format, policy or setup, or is damaged.
    #[error(transparent)]
    TreeFile(#[from] ReadTreeFileError),
    /// The configuration names another collision policy than the tree was created with.
    #[error(
        "the tree was created with collision policy {stored:?}, the configuration says {configured:?}; a tree keeps its policy: set tree.collision to it"
    )]
    OtherPolicy {
        /// The tree's.
        stored: CollisionPolicy,
        /// The configuration's.
        configured: CollisionPolicy,
    },
    /// The configuration names another salt than the tree was created with.
    #[error(
        "the tree was created with another salt than tree.salt; a tree keeps its salt: leave tree.salt out"
    )]
    OtherSalt,
    /// The checkpoint marker can't be used.
    #[error(transparent)]
    Marker(#[from] ReadManifestError),
    /// The marker belongs to another tree.
    #[error("the checkpoint marker belongs to another tree; restore the directory from a copy")]
    OtherTree,
    /// The tree's leaves are in a store that the configuration does without.
    #[error(
        "the leaves up to version {version} are in a leaf store and no longer in the log, the configuration says store.kind = log; set it to fjall"
    )]
    OtherStore {
        /// Version of the checkpoint.
        version: u64,
    },
    /// The leaves are, or are to be, in a leaf store that this build does not have.
    #[error(
        "the leaves belong into a fjall store (store.kind), which this build has not: build trunkline with its feature `fjall`; a new tree can do with store.kind = log"
    )]
    StoreNotBuilt,
    /// The leaf store could not be copied, to be read without being written.
    #[error(
        "the leaves in {} could not be copied to {}, where they are read; see that the former can be read, and that the latter has room and can be written",
        leaves.display(),
        copy.display()
    )]
    LeafCopy {
        /// Where the leaves are.
        leaves: PathBuf,
        /// Where the copy is made: in the directory of the tree, or in the system's for temporary files if that can't
        /// be written.
        copy: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The commit ids that the checkpoint marker covers can't be used.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The leaf store can't be used.
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
    /// The log can't be used, or an entry in it is not what its record says.
    #[error(transparent)]
    Log(Box<OpenLogError<ReplayError>>),
    /// The new segment of the log could not be written after the log was read.
    #[error(transparent)]
    LogWrite(#[from] LogWriteError),
    /// The leaves don't make the state that the checkpoint marker names.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The log ends below a checkpoint that was begun.
    #[error(
        "a checkpoint of version {intent} was begun, but the log ends at version {last}; restore the directory from a copy"
    )]
    LogEndsEarly {
        /// Version of the checkpoint.
        intent: u64,
        /// Last version of the log.
        last: u64,
    },
    /// The embedded setup is damaged: this build can't be trusted.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A thread could not be started. No commit is lost, but the log may have been begun anew.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// A worker pool could not be started.
    #[error("the worker pool could not be started")]
    Pool(#[from] rayon::ThreadPoolBuildError),
    /// Opening panicked; a bug.
    #[error("opening panicked ({0}); this is a bug in trunkline")]
    Panic(String),
}

impl From<OpenLogError<ReplayError>> for OpenError {
    fn from(error: OpenLogError<ReplayError>) -> Self {
        Self::Log(Box::new(error))
    }
}

/// What differs between the stored data and the record that speaks of it.
///
/// ```
/// # use std::sync::Arc;
/// # use trunkline::core::store::simulated::SimulatedDisk;
/// use trunkline::core::store::leaves::{Leaf, LeafChange, LeafStore, MemoryLeafStore};
/// use trunkline::{Config, Engine, OpenError, ReplayError};
/// let leaves = Arc::new(MemoryLeafStore::default());
/// let leaf = Leaf { key: "alice".into(), value: "10".into() };
/// let change = LeafChange { key_hash: [1; 32], leaf: Some(leaf.borrowed()) };
/// leaves.ingest(&mut std::iter::once(change))?;
///
/// let builder = Engine::builder(Config::default()).disk(Arc::new(SimulatedDisk::new(1)));
/// let error = builder.leaf_store(leaves).open_blocking().unwrap_err();
/// // No key hash is taken on trust: "alice" does not hash to this one.
/// assert!(matches!(error, OpenError::Replay(ReplayError::Misplaced(key_hash)) if key_hash == [1; 32]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The effects of a version can't be read.
    #[error("the effects of version {version} can't be read; restore the directory from a copy")]
    Effects {
        /// The version.
        version: u64,
        /// What is wrong with them.
        source: EffectsError,
    },
    /// Something is not what the record of its version says.
    #[error(
        "{what} of version {version} is {found}, its record says {recorded}; restore the directory from a copy"
    )]
    Differs {
        /// What differs.
        what: &'static str,
        /// The version.
        version: u64,
        /// What the data gives.
        found: String,
        /// What the record says.
        recorded: String,
    },
    /// Leaves are not where their keys belong.
    #[error("{}", cold_leaves::misplaced(.0))]
    Misplaced(Digest),
    /// The leaf store gave other leaves than before.
    #[error(transparent)]
    Leaves(#[from] LeavesDiffer),
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Store(error) => error.into(),
            ScanError::Misplaced(key_hash) => ReplayError::Misplaced(key_hash).into(),
            ScanError::Differ(error) => ReplayError::Leaves(error).into(),
        }
    }
}

/// Why a submission was not accepted. It has no effect and no place.
///
/// ```
/// use trunkline::{Batch, Engine, SubmitError};
/// # let directory = tempfile::tempdir()?;
/// # let engine = Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let mut batch = Batch::new();
/// batch.put("alice", "10").put("", "7");
/// let error = engine.submit_blocking(batch).unwrap_err();
/// assert_eq!(error.to_string(), "operation 1: the key is empty");
/// assert!(!error.retry_can_help()); // it would be turned away again
/// assert!(SubmitError::Busy.retry_can_help());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The batch breaks a limit; the same batch would be turned away again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// As much as is allowed is on its way already; try again later, or wait with `submit`.
    #[error("the engine is busy: as much as submit.in_flight_* allows is on its way; try again")]
    Busy,
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

impl SubmitError {
    /// Whether the same call on the same engine may succeed later.
    pub fn retry_can_help(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

/// Why a version can't be held.
///
/// ```
/// use trunkline::SnapshotError;
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let receipt = engine.put_blocking("alice", "10")?;
/// let too_early = engine.snapshot_at(2).unwrap_err();
/// assert!(matches!(too_early, SnapshotError::NotYet { version: 2, .. }));
/// assert!(too_early.to_string().ends_with("wait for its receipt"));
/// assert!(engine.snapshot_at(receipt.durable_blocking()?.version).is_ok());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is older than what is retained.
    #[error(
        "version {version} is no longer kept; the oldest is {oldest}: raise versions.retain_versions or hold a snapshot"
    )]
    Expired {
        /// The version asked for.
        version: u64,
        /// The oldest that can be had.
        oldest: u64,
    },
    /// It is not durable yet.
    #[error("version {version} is not durable yet; the newest is {newest}: wait for its receipt")]
    NotYet {
        /// The version asked for.
        version: u64,
        /// The newest that can be had.
        newest: u64,
    },
}
