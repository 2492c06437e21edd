//! From a directory to a state: the leaves of the last checkpoint, then the log after it.
//!
//! Every version that is replayed is hashed and compared with its record, so what is served after
//! opening is what was committed. Nothing is repaired silently: what differs is an error that names
//! it. Not here: the rules of a torn log (`core::store::log`), and starting threads (`pipeline`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::ScopedJoinHandle;

use bytes::Bytes;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{Digest, ZERO, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::kzg::{SetupError, slot_value};
use trunkline_core::outcome::decode_outcomes;
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::effect::{EffectsError, decode_effects};
use trunkline_core::store::history_file::{HistoryFile, HistoryFileError};
use trunkline_core::store::leaves::{LeafSnapshot, LeafStoreError};
use trunkline_core::store::lock::LockError;
use trunkline_core::store::log::{
    CommitLog, LOG_DIRECTORY, LogEntry, LogPosition, LogWriteError, OpenLogError,
};
use trunkline_core::store::marker::{Marker, ReadMarkerError};
use trunkline_core::store::tree_file::{self, ReadTreeFileError};
use trunkline_core::tree::{
    self, BuildError, LeavesDiffer, Roots, SealedChanges, TreeHasher, TreeWriter,
};

use crate::open::kzg_tables::committer;
use trunkline_actors::config::runtime::RuntimeSettings;
use trunkline_actors::config::{Config, InvalidSetting, WorkersConfig};
use trunkline_actors::metrics::Metrics;
use trunkline_actors::priority;
use trunkline_actors::shared::State;
use trunkline_actors::state::access_sampler::AccessSampler;
use trunkline_actors::state::cold_leaves::{self, ScanError};
use trunkline_actors::state::evidence::{Submissions, provisional_before};
use trunkline_actors::state::history::History;
use trunkline_actors::state::layer::{Layer, Part};
use trunkline_actors::state::values::{StoreView, Values};
use trunkline_actors::state::versions::{Version, Versions};

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

/// A tree with everything up to its last commit, before threads are started on it.
pub(crate) struct Loaded {
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: TreeHasher,
    pub(crate) last: Arc<Version>,
    pub(crate) values: Values,
    pub(crate) history: History,
}

/// Loading: first the leaves, then the log.
pub(crate) struct Loading {
    params: TreeParams,
    writer: TreeWriter,
    hasher: TreeHasher,
    hash_parallelism: usize,
    leaves: Arc<dyn LeafSnapshot>,
    replayed: Replayed,
}

/// What has been replayed and found to be as recorded.
struct Replayed {
    values: Values,
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    roots: Roots,
    history: MountainRange,
    commit_ids: History,
    submissions: Option<Submissions>,
    intent: Option<u64>,
}

/// A version of the log with its effects read and hashed.
struct Decoded {
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    outcomes: Bytes,
    batch: PreparedBatch,
}

/// Why an entry of the log was the last one to be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Entry(#[from] ReplayError),
    /// A later step refused an earlier version, and says so itself.
    #[error("an earlier version was refused")]
    Earlier,
}

/// Versions between one step of a replay and the next: enough to keep all of them busy.
const REPLAYS_WAITING_MAX: usize = 2;

impl Loading {
    /// Begins with the leaves and the history that the checkpoint marker speaks of: as many of the leaves
    /// as a budget has room for.
    pub(crate) fn begin(
        params: TreeParams,
        (marker, leaves): (&Marker, Arc<dyn LeafSnapshot>),
        commit_ids: History,
        hash_parallelism: usize,
        budget_bytes: u64,
        pool: &rayon::ThreadPool,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let version = marker.record.version;
        let scan = |range| cold_leaves::scan(&params, &*leaves, range, 0);
        let built = tree::build_within(budget_bytes, pool, params.collision, scan);
        let (mut writer, mut hasher) = built.map_err(|error| match error {
            BuildError::Source(error) => error.into(),
            BuildError::Disorder(first) => OpenError::from(ReplayError::Misplaced(first)),
        })?;
        let roots = hasher.hash(writer.seal(version), None);
        if marker.intent.is_none() {
            check_state(&marker.record, &roots)?;
        }
        let view = Arc::new(StoreView::new(version, leaves.clone()));
        Ok(Self {
            params,
            writer,
            hasher,
            hash_parallelism,
            leaves,
            replayed: Replayed {
                values: Values::new(view, metrics.clone()),
                record: marker.record.clone(),
                kzg_root: marker.kzg_root,
                roots,
                history: marker.history.clone(),
                commit_ids,
                submissions: None,
                intent: marker.intent,
            },
        })
    }

    /// Where the log goes on.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition::of(&self.replayed.record)
    }

    /// Replays what `read` gives to the function that it is called with, version by version.
    ///
    /// Three steps overlap, as the stages of the engine do: the calling thread reads and hashes
    /// effects, a second applies them, a third hashes the tree and compares. All are done, and
    /// everything is as recorded, when this returns.
    pub(crate) fn replay<T>(
        &mut self,
        pool: &rayon::ThreadPool,
        read: impl FnOnce(
            &mut dyn FnMut(LogEntry) -> Result<(), Stopped>,
        ) -> Result<T, OpenLogError<Stopped>>,
    ) -> Result<T, OpenError> {
        let Self {
            params,
            writer,
            hasher,
            hash_parallelism,
            leaves,
            replayed,
        } = self;
        let shards = *hash_parallelism;
        let params = &*params;
        let reader = writer.reader();
        let covered = replayed.values.store().version;
        let (to_apply, decoded) = sync_channel::<Decoded>(REPLAYS_WAITING_MAX);
        let (to_check, applied) = sync_channel(REPLAYS_WAITING_MAX);
        let step = |name: &str| std::thread::Builder::new().name(format!("trunkline-{name}"));
        std::thread::scope(|scope| {
            let applying = step("replay-tree").spawn_scoped(scope, move || {
                for decoded in decoded {
                    cold_leaves::restore(
                        writer,
                        [&decoded.batch],
                        params,
                        &**leaves,
                        covered,
                        pool,
                    )?;
                    let changes = apply(writer, &decoded)
                        .map_err(|error| OpenError::from(OpenLogError::Visitor(error)))?;
                    cold_leaves::evict(writer, covered, decoded.batch.operations);
                    if to_check.send((decoded, changes)).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            let checking = step("replay-hash").spawn_scoped(scope, move || {
                for (decoded, changes) in applied {
                    let version = decoded.record.version;
                    replayed
                        .advance(decoded, hasher.hash(changes, Some((pool, shards))))
                        .map_err(OpenLogError::Visitor)?;
                    reader.retire(version);
                }
                Ok(())
            });
            // Whichever was started ends with its channel, also if the other one was not.
            let (applying, checking) = match (applying, checking) {
                (Ok(applying), Ok(checking)) => (applying, checking),
                (Err(error), _) | (_, Err(error)) => return Err(OpenError::Thread(error)),
            };
            let given = read(&mut |entry| {
                let decoded = decode(params, entry)?;
                to_apply.send(decoded).map_err(|_| Stopped::Earlier)
            });
            drop(to_apply);
            // The step that is further behind in the log speaks first.
            ended(checking)?;
            ended(applying)?;
            given.map_err(unread)
        })
    }

    /// The state at the last commit. With `commit`, its KZG root is computed, and compared with a
    /// stored one.
    pub(crate) fn finish(self, commit: bool) -> Result<Loaded, OpenError> {
        let replayed = self.replayed;
        let last = replayed.record.version;
        let version = Version::new(replayed.record, replayed.roots, replayed.history, 0)
            .with_submissions(replayed.submissions);
        if commit || replayed.kzg_root.is_some() {
            let slots = &version.roots.slots;
            let values = std::array::from_fn(|slot| slot_value(&slots[slot]));
            let kzg_root = committer()?.commit(&values).to_bytes().0;
            if let Some(stored) = replayed.kzg_root {
                check(last, "the KZG root", &kzg_root, &stored)?;
            }
            let _ = version.kzg_root.set(kzg_root);
        }
        version.read_from(replayed.values.store());
        Ok(Loaded {
            writer: self.writer,
            hasher: self.hasher,
            last: Arc::new(version),
            values: replayed.values,
            history: replayed.commit_ids,
        })
    }
}

/// Reads and hashes what an entry changed.
fn decode(params: &TreeParams, entry: LogEntry) -> Result<Decoded, ReplayError> {
    let version = entry.record.version;
    let effects = decode_effects(params, &entry.effects)
        .map_err(|source| ReplayError::Effects { version, source })?;
    let batch = PreparedBatch::of_effects(effects.into_iter(), entry.effects.len());
    Ok(Decoded {
        record: entry.record,
        kzg_root: entry.kzg_root,
        outcomes: entry.outcomes,
        batch,
    })
}

/// Applies the next version to the tree.
fn apply(writer: &mut TreeWriter, decoded: &Decoded) -> Result<SealedChanges, ReplayError> {
    let version = decoded.record.version;
    let replayed = writer.replay(&decoded.batch.writes, version);
    replayed.map_err(|refusal| ReplayError::Differs {
        what: "the outcome of a write",
        version,
        found: refusal.to_string(),
        recorded: "applied".to_owned(),
    })?;
    Ok(writer.seal(version))
}

impl Replayed {
    /// Takes the next version, if it is what its record says.
    fn advance(&mut self, decoded: Decoded, roots: Roots) -> Result<(), ReplayError> {
        let record = decoded.record;
        let version = record.version;
        self.roots = roots;
        if self.intent.is_none_or(|intent| version >= intent) {
            check_state(&record, &self.roots)?;
        }
        let outcomes = decode_outcomes(&decoded.outcomes).map(|(_, digest)| digest);
        let outcomes = outcomes.unwrap_or(ZERO);
        let recorded = &record.outcomes_digest;
        check(version, "the outcomes' digest", &outcomes, recorded)?;
        let history = self.history.digest(&HISTORY);
        let recorded = &record.history_digest;
        check(version, "the history digest", &history, recorded)?;
        let commit_id = record.commit_id();
        self.history.append(&HISTORY, &commit_id);
        self.commit_ids.push(version, &commit_id);
        self.submissions = Some(Submissions {
            provisional_before: provisional_before(&self.record, &record),
            outcomes: decoded.outcomes,
        });
        self.values.push(Arc::new(Layer::new(
            version,
            vec![Part::whole(Arc::new(decoded.batch))],
        )));
        self.record = record;
        self.kzg_root = decoded.kzg_root;
        Ok(())
    }
}

/// What a step of a replay ended with.
fn ended(step: ScopedJoinHandle<'_, Result<(), OpenError>>) -> Result<(), OpenError> {
    match step.join() {
        Ok(ended) => ended,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Why the log was not read to its end, if no step refused a version.
fn unread(error: OpenLogError<Stopped>) -> OpenError {
    match error {
        OpenLogError::Log(error) => OpenLogError::Log(error).into(),
        OpenLogError::Visitor(Stopped::Entry(error)) => OpenLogError::Visitor(error).into(),
        OpenLogError::Visitor(Stopped::Earlier) => {
            OpenError::Panic("a step of the replay ended without a word".to_owned())
        }
        OpenLogError::Write { path, source } => OpenLogError::Write { path, source }.into(),
    }
}

impl Loaded {
    /// What readers need, and the writing halves of the tree.
    pub(crate) fn into_state(
        self,
        params: TreeParams,
        config: &Config,
        metrics: Arc<Metrics>,
        pool: rayon::ThreadPool,
        read_pool: rayon::ThreadPool,
    ) -> Result<(Arc<State>, TreeWriter, TreeHasher), SetupError> {
        metrics.keys(self.last.record.key_count);
        metrics.tree(self.writer.memory(), 0, 0);
        let versions = Versions::new(self.last, config.versions.clone());
        let state = State {
            params,
            reader: self.writer.reader(),
            values: self.values.with_cache(config.cache.value_bytes_max),
            versions,
            history: self.history,
            committer: committer()?,
            pool,
            read_pool,
            settings: Arc::new(RuntimeSettings::new(config.clone())),
            access_sampler: AccessSampler::new(config.memory.budget_bytes > 0),
            metrics,
        };
        Ok((Arc::new(state), self.writer, self.hasher))
    }
}

/// What stands in a directory beside its leaves, found sound.
pub(crate) struct Found {
    pub(crate) marker: Marker,
    pub(crate) history: History,
}

/// Reads everything but the leaves, the log included, before anything is opened that writes.
pub(crate) fn find(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
) -> Result<Found, OpenError> {
    let marker = read_marker(disk, directory, params)?;
    check_log(disk, directory, params, &marker)?;
    let history = HistoryFile::open(disk, directory, &marker)?;
    Ok(Found {
        history: History::new(&marker, history),
        marker,
    })
}

/// Threads for bulk work of commits, and threads for proofs and reads of many keys, which go first where both want
/// the same core.
pub(crate) fn pools(
    workers: &WorkersConfig,
) -> Result<(rayon::ThreadPool, rayon::ThreadPool), rayon::ThreadPoolBuildError> {
    let named = |threads, name: &'static str| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |index| format!("trunkline-{name}-{index}"))
    };
    let pool = named(workers.threads, "worker").start_handler(|_| priority::bulk());
    Ok((
        pool.build()?,
        named(workers.read_threads, "reader").build()?,
    ))
}

/// The marker of a directory, or that of an empty tree if no checkpoint was written yet.
fn read_marker(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
) -> Result<Marker, ReadMarkerError> {
    match Marker::read(disk, directory) {
        Err(ReadMarkerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Marker::genesis(params.tree_id()))
        }
        read => read,
    }
}

/// Reads the log without replaying it, so that damage is named before anything is opened that writes:
/// the leaf store tidies up when it is opened, and an opened log begins a segment.
fn check_log(
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
        Err(ReadTreeFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
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
