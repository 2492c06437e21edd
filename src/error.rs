//! Errors of opening, submitting and taking snapshots.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use trunkline_actors::config::InvalidSetting;
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::state::cold_leaves::{self, ScanError};
use trunkline_actors::state::past::PastError;
use trunkline_core::batch::BatchError;
use trunkline_core::hash::Digest;
use trunkline_core::kzg::SetupError;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::store::disk::ReadFileError;
use trunkline_core::store::effect::EffectsError;
use trunkline_core::store::feed_cursors::CursorsError;
use trunkline_core::store::history_file::HistoryFileError;
use trunkline_core::store::idempotency_file::IdempotencyFileError;
use trunkline_core::store::key_order_file::KeyOrderFileError;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::lock::LockError;
use trunkline_core::store::log::{LogWriteError, OpenLogError};
use trunkline_core::store::manifest::ReadManifestError;
use trunkline_core::store::pages_file::PagesFileError;
use trunkline_core::store::replica_file::ReplicaFileError;
use trunkline_core::store::reverts::OtherStateError;
use trunkline_core::store::tree_file::ReadTreeFileError;
use trunkline_core::tree::LeavesDiffer;

/// An error of opening a directory.
///
/// Unless the variant says otherwise, the directory is unchanged, except that opening the leaf store may remove its
/// temporary files.
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
    /// The directory could not be created or read.
    #[error("directory {} could not be used; check the path and its permissions", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no tree in the directory.
    #[error("directory {} holds no trunkline tree; check the path", path.display())]
    NoTree {
        /// The directory.
        path: PathBuf,
    },
    /// The directory contains files that do not belong to a tree.
    #[error("directory {} is not empty and holds no trunkline tree; choose another", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A part of the tree is missing. A directory in which a tree was created always has its tree file, its checkpoint
    /// manifest and a log, and its leaf store and history file from the first checkpoint on. Only the lock file, the KZG
    /// tables and the decisions may be deleted.
    #[error(
        "{} is missing: a tree was created in this directory and has lost this part since; restore it from a copy",
        path.display()
    )]
    Missing {
        /// The file or directory.
        path: PathBuf,
    },
    /// Another process or engine has the directory open.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tree file has another format or setup, or is damaged.
    #[error(transparent)]
    TreeFile(#[from] ReadTreeFileError),
    /// The configuration names another collision policy than the tree was created with.
    #[error(
        "the tree was created with collision policy {stored:?}, the configuration says {configured:?}; a tree keeps its policy: set tree.collision to it"
    )]
    OtherPolicy {
        /// The policy of the tree.
        stored: CollisionPolicy,
        /// The policy in the configuration.
        configured: CollisionPolicy,
    },
    /// The configuration names another salt than the tree was created with.
    #[error(
        "the tree was created with another salt than tree.salt; a tree keeps its salt: leave tree.salt out"
    )]
    OtherSalt,
    /// The builder names another nonce than the tree was created with.
    #[error(
        "the tree was created with another nonce than the one given; a tree keeps its nonce: leave the nonce out, or check that this is the directory of that tree"
    )]
    OtherNonce,
    /// The checkpoint manifest cannot be read, or is damaged.
    #[error(transparent)]
    Manifest(#[from] ReadManifestError),
    /// The checkpoint manifest belongs to another tree.
    #[error("the checkpoint manifest belongs to another tree; restore the directory from a copy")]
    OtherTree,
    /// The leaves of the tree are in a leaf store, and the configuration says `store.kind = log`.
    #[error(
        "the leaves up to version {version} are in a leaf store and no longer in the log; set store.kind to fjall"
    )]
    OtherStore {
        /// The version of the checkpoint.
        version: u64,
    },
    /// The configuration and the directory disagree about the index of keys.
    #[error(
        "directory {} {} an index of keys in byte order, which was fixed when it was created; set store.key_order = {recorded}, \
         or create another directory, for example from an export",
        path.display(),
        if *recorded { "keeps" } else { "does not keep" }
    )]
    OtherKeyOrder {
        /// The directory.
        path: PathBuf,
        /// True if the directory keeps an index.
        recorded: bool,
    },
    /// The file about the index of keys cannot be used.
    #[error(transparent)]
    KeyOrder(#[from] ReadFileError<KeyOrderFileError>),
    /// The page digests cannot be read. (If they are damaged, the leaves are read instead.)
    #[error(transparent)]
    Pages(#[from] ReadFileError<PagesFileError>),
    /// Versions cannot be archived without a leaf store on disk.
    #[error(
        "versions.archive needs a leaf store on disk: set store.kind = fjall in the configuration of a new tree, or set          versions.archive = false"
    )]
    NoArchive,
    /// The leaf store is a fjall store, which this build does not contain.
    #[error(
        "the leaf store is a fjall store (store.kind), which this build does not contain; rebuild with --features fjall, or set store.kind = log for a new tree"
    )]
    StoreNotBuilt,
    /// The leaf store could not be copied. Opening for reading only needs a copy, since opening a leaf store writes to
    /// it.
    #[error(
        "the leaf store in {} can only be read from a copy, which could not be made in any of these places: {}; make room \
         in one of them, or set TMPDIR to a directory that can be written and has room",
        leaves.display(),
        listed(tried)
    )]
    LeafCopy {
        /// The directory of the leaf store.
        leaves: PathBuf,
        /// The places that were tried: the directory of the tree, the system's directory for temporary files, and the
        /// in-memory file system.
        tried: Vec<FailedCopy>,
    },
    /// The history file, with the commit ids up to the checkpoint, cannot be read, or is damaged.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The idempotency keys up to the checkpoint cannot be read, or are damaged.
    #[error(transparent)]
    IdempotencyKeys(#[from] ReadFileError<IdempotencyFileError>),
    /// The directory is a replica's.
    #[error(
        "directory {} is that of a replica; open it as one, or promote it if its primary writes no more",
        path.display()
    )]
    IsReplica {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is not a replica's.
    #[error(
        "directory {} is that of a primary; a replica needs its own directory: an empty one, or one that was \
         restored from a backup",
        path.display()
    )]
    NotReplica {
        /// The directory.
        path: PathBuf,
    },
    /// No epoch above this one is low enough to leave some for later openings.
    #[error(
        "epoch {above} is too high to promote a replica above it; name the epoch of the primary that it replaces, or begin \
         from a backup if a record has this epoch"
    )]
    Epoch {
        /// The epoch that the new one must be above.
        above: u64,
    },
    /// The mark of a replica cannot be read, or is damaged.
    #[error(transparent)]
    ReplicaFile(#[from] ReadFileError<ReplicaFileError>),
    /// The replica that was to be promoted has failed.
    #[error("the replica cannot be promoted: {0}")]
    Replica(EngineFailure),
    /// The file of cursors cannot be read, or is damaged.
    #[error(transparent)]
    Cursors(#[from] ReadFileError<CursorsError>),
    /// The leaf store cannot be opened or read.
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
    /// The log cannot be read, or an entry does not match its record.
    #[error(transparent)]
    Log(Box<OpenLogError<ReplayError>>),
    /// The new segment of the log could not be written. All older segments are unchanged.
    #[error(transparent)]
    LogWrite(#[from] LogWriteError),
    /// The leaves do not form the state that the checkpoint manifest records.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The log ends before the version of a checkpoint that was begun.
    #[error(
        "a checkpoint of version {intent} was begun, but the log ends at version {last}; restore the directory from a copy"
    )]
    LogEndsEarly {
        /// The version of the checkpoint.
        intent: u64,
        /// The last version of the log.
        last: u64,
    },
    /// The state of the version cannot be rebuilt from the directory: only the leaves of the last checkpoint are kept, and
    /// the log after it.
    #[error(
        "version {version} is not in the directory; versions {oldest} to {newest} are: name one of these, or use an older copy of the directory"
    )]
    VersionNotKept {
        /// The requested version.
        version: u64,
        /// The oldest version that can be opened.
        oldest: u64,
        /// The newest version that can be opened.
        newest: u64,
    },
    /// The embedded KZG setup is damaged, so this build cannot be trusted.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A thread could not be started. No commit is lost; the log may have a new segment.
    #[error(
        "a thread could not be started; check the limits on threads and memory, then open again"
    )]
    Thread(#[source] io::Error),
    /// A pool of worker threads could not be started.
    #[error(
        "a pool of worker threads could not be started; check the limits on threads and memory, then open again"
    )]
    Pool(#[from] rayon::ThreadPoolBuildError),
    /// Opening panicked. This is a bug in trunkline.
    #[error("opening panicked ({0}); this is a bug in trunkline")]
    Panic(String),
}

/// A place to which the leaf store could not be copied.
#[derive(Debug)]
pub struct FailedCopy {
    /// The directory.
    pub place: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

fn listed(tried: &[FailedCopy]) -> String {
    let texts = tried.iter().map(|FailedCopy { place, source }| {
        let place = place.display();
        format!("{place} ({source})")
    });
    texts.collect::<Vec<_>>().join(", ")
}

impl From<OpenLogError<ReplayError>> for OpenError {
    fn from(error: OpenLogError<ReplayError>) -> Self {
        Self::Log(Box::new(error))
    }
}

/// A difference between stored data and its record, found while the directory was opened.
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
/// // Every key is hashed again: "alice" has another hash than this leaf says.
/// assert!(matches!(error, OpenError::Replay(ReplayError::Misplaced(key_hash)) if key_hash == [1; 32]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The effects of a version cannot be read.
    #[error("the effects of version {version} cannot be read; restore the directory from a copy")]
    Effects {
        /// The version.
        version: u64,
        /// The cause.
        source: EffectsError,
    },
    /// Stored data differs from the record of its version.
    #[error(
        "{what} of version {version} is {found}, its record says {recorded}; restore the directory from a copy"
    )]
    Differs {
        /// The data that differs.
        what: &'static str,
        /// The version.
        version: u64,
        /// The value that follows from the data.
        found: String,
        /// The value in the record.
        recorded: String,
    },
    /// The page digests of a version are whole, and do not fold to its state digest.
    #[error(
        "the file `PAGES` does not have the state of version {version}; check the directory (`trunkline check`), or remove \
         the file: opening reads all leaves then"
    )]
    Pages {
        /// The version.
        version: u64,
    },
    /// A version claims to restore the state of an older one, but has another state.
    #[error("{0}; restore the directory from a copy")]
    Reverted(#[from] OtherStateError),
    /// A leaf is not stored under the hash of its key. Contains the hash under which it is stored.
    #[error("{}", cold_leaves::misplaced(.0))]
    Misplaced(Digest),
    /// The leaf store returned other leaves than before.
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

/// An error of submitting a batch. The batch has no effect and no position in the order of submissions.
///
/// ```
/// use trunkline::{Batch, Engine, SubmitError};
/// # let directory = tempfile::tempdir()?;
/// # let engine = Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let mut batch = Batch::new();
/// batch.put("alice", "10").put("", "7");
/// let error = engine.submit_blocking(batch).unwrap_err();
/// assert_eq!(error.to_string(), "operation 1: the key is empty");
/// assert!(!error.retry_can_help()); // the same batch fails again
/// assert!(SubmitError::Busy.retry_can_help());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The batch breaks a limit. The same batch fails again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The in-flight limit is reached. Try again later, or use [`submit`](crate::Engine::submit), which waits.
    #[error(
        "the engine is busy: the limit submit.in_flight_* is reached; try again later, or use submit, which waits"
    )]
    Busy,
    /// Another submission was accepted since the version against which this one was resolved. Start again from the
    /// newest version.
    #[error(
        "submission {last} was accepted since, but this submission was resolved against the state after submission {sequence}: begin again \
         from the newest version"
    )]
    Overtaken {
        /// The last submission of the version against which this one was resolved.
        sequence: u64,
        /// The last accepted submission.
        last: u64,
    },
    /// A submission with other content had this idempotency key. The same batch fails again while the key is remembered.
    #[error(
        "submission {sequence} had the same idempotency key and other content; repeat a batch unchanged, and give another \
         batch another key"
    )]
    IdempotencyKeyReused {
        /// The sequence number of the submission that used the key first.
        sequence: u64,
    },
    /// The batch repeats a durable submission, but the commit id of its version cannot be read.
    #[error(
        "submission {sequence} is durable, and has the same idempotency key and content, but its commit id cannot be read"
    )]
    Repeat {
        /// The sequence number of the submission.
        sequence: u64,
        /// The cause.
        source: Arc<HistoryFileError>,
    },
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

impl SubmitError {
    /// Returns whether the same call on the same engine may succeed later.
    pub fn retry_can_help(&self) -> bool {
        matches!(self, Self::Busy | Self::Repeat { .. })
    }
}

/// An error of taking a snapshot.
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
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The version is no longer kept.
    #[error(
        "version {version} is no longer kept; the oldest is {oldest}: raise versions.retain_versions, hold a snapshot, or set versions.archive"
    )]
    Expired {
        /// The requested version.
        version: u64,
        /// The oldest version that is kept.
        oldest: u64,
    },
    /// The version is not durable yet.
    #[error("version {version} is not durable yet; the newest is {newest}: wait for its receipt")]
    NotYet {
        /// The requested version.
        version: u64,
        /// The newest durable version.
        newest: u64,
    },
    /// The version is not in memory, and the archive of versions does not have it or cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
}
