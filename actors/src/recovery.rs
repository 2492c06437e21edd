//! From a directory to a state: the leaves of the last checkpoint, then the log after it.
//!
//! Every version that is replayed is hashed and compared with its record, so what is served after
//! opening is what was committed. Nothing is repaired silently: what differs is an error that names
//! it. Not here: the rules of a torn log (`core::store::log`), and starting threads (`pipeline`).

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{self, Digest, ZERO, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::kzg::{SetupError, slot_value};
use trunkline_core::outcome::decode_outcomes;
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::effect::{EffectsError, decode_effects};
use trunkline_core::store::leaves::{ALL_KEY_HASHES, LeafSnapshot, LeafStoreError};
use trunkline_core::store::lock::LockError;
use trunkline_core::store::log::{
    CommitLog, LOG_DIRECTORY, LogEntry, LogPosition, LogWriteError, OpenLogError,
};
use trunkline_core::store::marker::{Marker, ReadMarkerError};
use trunkline_core::store::tree_file::{self, ReadTreeFileError};
use trunkline_core::tree::{self, Leaf, Roots, TreeHasher, TreeWriter};

use crate::config::{Config, InvalidSetting};
use crate::layer::{Layer, Part};
use crate::metrics::Metrics;
use crate::shared::State;
use crate::tables::committer;
use crate::values::{StoreView, Values};
use crate::versions::{Version, Versions};

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
    Marker(#[from] ReadMarkerError),
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
    /// The configuration names a leaf store that this build does not have.
    #[error(
        "store.kind is fjall, which this build has not: build trunkline with its feature `fjall`, or set store.kind to log"
    )]
    StoreNotBuilt,
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
    /// A thread could not be started.
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
/// leaves.ingest(&mut std::iter::once(LeafChange { key_hash: [1; 32], leaf: Some(leaf) }))?;
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
    #[error("the leaf at key hash {} does not belong there; restore the directory from a copy", hex(.0))]
    Misplaced(Digest),
}

/// A tree with everything up to its last commit, before threads are started on it.
pub(crate) struct Loaded {
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: TreeHasher,
    pub(crate) last: Arc<Version>,
    pub(crate) values: Values,
}

/// Loading, entry by entry.
pub(crate) struct Loading {
    params: TreeParams,
    writer: TreeWriter,
    hasher: TreeHasher,
    values: Values,
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    roots: Roots,
    history: MountainRange,
    intent: Option<u64>,
}

impl Loading {
    /// Begins with the leaves that the checkpoint marker speaks of.
    pub(crate) fn begin(
        params: TreeParams,
        marker: &Marker,
        leaves: Arc<dyn LeafSnapshot>,
        hash_pieces: usize,
        pool: Option<&rayon::ThreadPool>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let version = marker.record.version;
        let scanned = scan(&params, &*leaves)?;
        let built = tree::build(params.collision, &scanned);
        // A scan ascends, so a refusal means that two entries share a key hash.
        let (mut writer, hasher) = built.ok_or(ReplayError::Misplaced(ZERO))?;
        drop(scanned);
        let mut hasher = hasher.with_pieces(hash_pieces);
        let roots = hasher.hash(writer.seal(version), pool);
        if marker.intent.is_none() {
            check_state(&marker.record, &roots)?;
        }
        let view = Arc::new(StoreView::new(version, leaves));
        Ok(Self {
            params,
            writer,
            hasher,
            values: Values::new(view, metrics.clone()),
            record: marker.record.clone(),
            kzg_root: marker.kzg_root,
            roots,
            history: marker.history.clone(),
            intent: marker.intent,
        })
    }

    /// Where the log goes on.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition::of(&self.record)
    }

    /// Applies the next version of the log.
    pub(crate) fn replay(
        &mut self,
        entry: LogEntry,
        pool: Option<&rayon::ThreadPool>,
    ) -> Result<(), ReplayError> {
        let version = entry.record.version;
        let effects = decode_effects(&self.params, &entry.effects)
            .map_err(|source| ReplayError::Effects { version, source })?;
        let batch = PreparedBatch::of_effects(effects.into_iter(), entry.effects.len());
        let replayed = self.writer.replay(&batch.writes, version);
        replayed.map_err(|refusal| ReplayError::Differs {
            what: "the outcome of a write",
            version,
            found: refusal.to_string(),
            recorded: "applied".to_owned(),
        })?;
        self.roots = self.hasher.hash(self.writer.seal(version), pool);
        if self.intent.is_none_or(|intent| version >= intent) {
            check_state(&entry.record, &self.roots)?;
        }
        let outcomes = decode_outcomes(&entry.outcomes).map(|(_, digest)| digest);
        let recorded = &entry.record.outcomes_digest;
        check(
            version,
            "the outcomes' digest",
            &outcomes.unwrap_or(ZERO),
            recorded,
        )?;
        let history = self.history.digest(&HISTORY);
        check(
            version,
            "the history digest",
            &history,
            &entry.record.history_digest,
        )?;
        self.history.append(&HISTORY, &entry.record.commit_id());
        let part = Part::whole(Arc::new(batch));
        self.values.push(Arc::new(Layer::new(version, vec![part])));
        self.writer.reader().retire(version);
        self.record = entry.record;
        self.kzg_root = entry.kzg_root;
        Ok(())
    }

    /// The state at the last commit. With `commit`, its KZG root is computed, and compared with a
    /// stored one.
    pub(crate) fn finish(self, commit: bool) -> Result<Loaded, OpenError> {
        let last = self.record.version;
        let version = Version::new(self.record, self.roots, self.history, 0);
        if commit || self.kzg_root.is_some() {
            let slots = &version.roots.slots;
            let values = std::array::from_fn(|slot| slot_value(&slots[slot]));
            let kzg_root = committer()?.commit(&values).to_bytes().0;
            if let Some(stored) = self.kzg_root {
                check(last, "the KZG root", &kzg_root, &stored)?;
            }
            let _ = version.kzg_root.set(kzg_root);
        }
        version.read_from(self.values.store());
        Ok(Loaded {
            writer: self.writer,
            hasher: self.hasher,
            last: Arc::new(version),
            values: self.values,
        })
    }
}

impl Loaded {
    /// What readers need, and the writing halves of the tree.
    pub(crate) fn into_state(
        self,
        params: TreeParams,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<State>, TreeWriter, TreeHasher), SetupError> {
        metrics.keys(self.last.record.key_count);
        let versions = Versions::new(self.last, config.versions.clone());
        let state = State {
            params,
            reader: self.writer.reader(),
            values: self.values.with_cache(config.cache.value_bytes_max),
            versions,
            committer: committer()?,
            metrics,
        };
        Ok((Arc::new(state), self.writer, self.hasher))
    }
}

/// The marker of a directory, or that of an empty tree if no checkpoint was written yet.
pub(crate) fn read_marker(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
) -> Result<Marker, ReadMarkerError> {
    match Marker::read(disk, directory) {
        Err(ReadMarkerError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Marker::genesis(params.tree_id()))
        }
        read => read,
    }
}

/// Reads the log without replaying it, so that damage is named before anything is opened that writes:
/// the leaf store tidies up when it is opened, and an opened log begins a segment.
pub(crate) fn check_log(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
    marker: &Marker,
) -> Result<(), OpenError> {
    let tree_id = params.tree_id();
    if marker.record.tree_id != tree_id {
        return Err(OpenError::OtherTree);
    }
    let from = LogPosition::of(&marker.record);
    let log = directory.join(LOG_DIRECTORY);
    let survey = CommitLog::read_only(disk, &log, &tree_id, from, |_| Ok::<_, ReplayError>(()))?;
    let last = survey.last.version;
    match marker.intent.filter(|intent| last < *intent) {
        Some(intent) => Err(OpenError::LogEndsEarly { intent, last }),
        None => Ok(()),
    }
}

/// The parameters of the tree in a directory, or `None` if there is no tree yet.
pub(crate) fn read_params(
    disk: &dyn Disk,
    directory: &Path,
) -> Result<Option<TreeParams>, ReadTreeFileError> {
    match tree_file::read(disk, directory) {
        Ok(params) => Ok(Some(params)),
        Err(ReadTreeFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn scan(params: &TreeParams, snapshot: &dyn LeafSnapshot) -> Result<Vec<Leaf>, OpenError> {
    let mut leaves = Vec::new();
    let mut misplaced = None;
    snapshot.scan(ALL_KEY_HASHES, &mut |key_hash, key, value| {
        if params.key_hash(key) != *key_hash {
            misplaced = Some(*key_hash);
            return ControlFlow::Break(());
        }
        let value_hash = hash::hash(value);
        leaves.push(Leaf {
            key_hash: *key_hash,
            value_hash,
            origin: 0,
        });
        ControlFlow::Continue(())
    })?;
    match misplaced {
        Some(key_hash) => Err(ReplayError::Misplaced(key_hash).into()),
        None => Ok(leaves),
    }
}

fn check_state(record: &CommitRecord, roots: &Roots) -> Result<(), ReplayError> {
    let version = record.version;
    check(
        version,
        "the state digest",
        &roots.state_digest,
        &record.state_digest,
    )?;
    let (found, recorded) = (roots.key_count, record.key_count);
    if found != recorded {
        return Err(ReplayError::Differs {
            what: "the number of keys",
            version,
            found: found.to_string(),
            recorded: recorded.to_string(),
        });
    }
    Ok(())
}

fn check(
    version: u64,
    what: &'static str,
    found: &[u8],
    recorded: &[u8],
) -> Result<(), ReplayError> {
    if found == recorded {
        return Ok(());
    }
    Err(ReplayError::Differs {
        what,
        version,
        found: hex(found),
        recorded: hex(recorded),
    })
}
