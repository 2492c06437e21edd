//! Opening an engine: from a directory and a configuration to running threads.
//!
//! The order matters: the lock; the tree file; the marker and the log are read and found sound; only
//! then is anything opened that writes. The leaf store tidies up first; the log is begun anew when all
//! that was read is known to be as recorded. Not here: what is read (`recovery`), and threads (`pipeline`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::oneshot;
use trunkline_core::batch::provisional_start;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::leaves::{LeafSnapshot, LeafStore, MemoryLeafStore};
use trunkline_core::store::lock::{DirectoryLock, LOCK_FILE};
use trunkline_core::store::log::{CommitLog, FoundLog, LOG_DIRECTORY, LogOptions, Recovery};
use trunkline_core::store::marker::Marker;
use trunkline_core::store::tree_file::{self, TREE_FILE};
use trunkline_core::tree::{TreeHasher, TreeWriter};

use crate::engine::Engine;
use crate::open::kzg_tables;
use crate::open::recovery::{self, Found, Loaded, Loading, OpenError, ReplayError, read_params};
use trunkline_actors::adaptive::controller::{Watch, Windows, show_bounds};
use trunkline_actors::adaptive::decision_log::Decisions;
use trunkline_actors::admission::CreditPool;
use trunkline_actors::checkpoint::MarkerPlace;
use trunkline_actors::config::{Config, ConfigError, KzgMode, StoreKind};
use trunkline_actors::failure::{Health, Stage, panic_message};
use trunkline_actors::metrics::Metrics;
use trunkline_actors::pipeline::{self, Parts};
#[cfg(feature = "fjall")]
use trunkline_actors::priority;
use trunkline_actors::shared::{Sequencer, Shared};
use trunkline_actors::state::history::History;
use trunkline_actors::state::overlay::Overlay;
use trunkline_actors::testing::{Faults, StageFault};

/// How an engine is opened, where [`Engine::open`] is not enough: with disks and stores of one's own,
/// and with failures that a test asks for.
///
/// ```
/// use std::sync::Arc;
/// use trunkline::core::store::{leaves::MemoryLeafStore, simulated::SimulatedDisk};
/// let engine = trunkline::Engine::builder(trunkline::Config::default())
///     .disk(Arc::new(SimulatedDisk::new(1)))
///     .leaf_store(Arc::new(MemoryLeafStore::default()))
///     .open_blocking()?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EngineBuilder {
    config: Config,
    disk: Option<Arc<dyn Disk>>,
    leaves: Option<Arc<dyn LeafStore>>,
    watch: Option<Watch>,
    faults: Faults,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            disk: None,
            leaves: None,
            watch: None,
            faults: Faults::default(),
        }
    }

    /// Keeps the log and the markers on this disk instead of the system's. No lock is taken then:
    /// see to it that only one engine has it.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Keeps checkpointed leaves in this store, which must outlive the engine as the disk does.
    pub fn leaf_store(mut self, leaves: Arc<dyn LeafStore>) -> Self {
        self.leaves = Some(leaves);
        self
    }

    /// Looks at a configuration file while the engine runs, four times a second: when it has changed, `rebuild`
    /// makes the configuration anew and the engine goes on with it, as [`Engine::reload`] does. A file that is
    /// wrong, or changes what can't change, is refused and recorded among the decisions
    /// ([`Engine::decisions_since`]); the engine keeps what it had.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let (path, state) = (directory.path().join("trunkline.toml"), directory.path().join("state"));
    /// # std::fs::write(&path, "[group]\nlinger_ms = 1\n")?;
    /// let build = move |path: &std::path::Path| {
    ///     let mut config = trunkline::Config::layers().file(path)?.build()?;
    ///     config.engine.directory = state.clone();
    ///     Ok(config)
    /// };
    /// let engine = trunkline::Engine::builder(build(&path)?).watch(&path, build).open_blocking()?;
    /// assert_eq!(engine.config().group.linger_ms, 1);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(
        mut self,
        path: impl Into<PathBuf>,
        rebuild: impl Fn(&Path) -> Result<Config, ConfigError> + Send + 'static,
    ) -> Self {
        self.watch = Some(Watch::new(path.into(), Box::new(rebuild)));
        self
    }

    /// Lets a stage fail at the group after so many.
    pub fn fail_stage(mut self, stage: Stage, after_groups: u64, fault: StageFault) -> Self {
        self.faults.add(stage, after_groups, fault);
        self
    }

    /// Opens the engine on a thread of its own and waits for it without blocking the runtime.
    pub async fn open(self) -> Result<Engine, OpenError> {
        let (opened, opening) = oneshot::channel();
        std::thread::Builder::new()
            .name("trunkline-open".to_owned())
            .spawn(move || {
                // If nobody waits any more, the engine is dropped again, in order.
                let _ = opened.send(self.open_blocking());
            })
            .map_err(OpenError::Thread)?;
        match opening.await {
            Ok(result) => result,
            Err(_) => Err(OpenError::Panic("the opening thread ended".to_owned())),
        }
    }

    /// Opens the engine: reads what is there, makes it durable, starts the threads.
    pub fn open_blocking(self) -> Result<Engine, OpenError> {
        let work = std::panic::AssertUnwindSafe(|| open(self));
        match std::panic::catch_unwind(work) {
            Ok(result) => result,
            Err(payload) => Err(OpenError::Panic(panic_message(&*payload))),
        }
    }
}

fn open(builder: EngineBuilder) -> Result<Engine, OpenError> {
    let EngineBuilder {
        config,
        disk,
        leaves,
        watch,
        faults,
    } = builder;
    config.validate()?;
    let directory = config.engine.directory.clone();
    let lock = match disk {
        None => Some(lock_directory(&directory)?),
        Some(_) => None,
    };
    let disk = disk.unwrap_or_else(|| Arc::new(OsDisk));
    let params = tree_params(&*disk, &directory, &config)?;
    let Found { marker, history } = recovery::find(&*disk, &directory, &params)?;
    let (leaves, lasting) = match leaves {
        Some(leaves) => (leaves, true),
        None => open_leaves(&config)?,
    };
    let version = marker.record.version;
    if !lasting && version > 0 {
        return Err(OpenError::OtherStore { version });
    }
    let (pool, read_pool) = recovery::pools(&config.workers)?;
    let metrics = Arc::new(Metrics::new(&config.engine.name));
    let leaves_of = (&marker, leaves.snapshot()?);
    let (loading, found) = load(&config, params, &disk, leaves_of, history, &pool, &metrics)?;
    let tables_path = lock.is_some().then(|| kzg_tables::path(&config));
    if let Some(path) = &tables_path {
        kzg_tables::read(path);
    }
    let loaded = loading.finish(config.kzg.mode != KzgMode::OnDemand)?;
    // Not before: a directory that is refused is left as it is.
    let options = LogOptions {
        segment_bytes_max: config.log.segment_bytes_max,
        nonce: rand::random(),
    };
    let (log, recovery) = found.begin::<ReplayError>(options)?;
    if let Some(path) = &tables_path {
        kzg_tables::keep(path, &metrics);
        remove_abandoned_copies(&directory);
    }
    let decisions_in = lock.is_some().then_some(&*directory);
    let decisions = Decisions::new(config.control.decisions_kept, decisions_in, metrics.clone());
    let given = Given {
        config,
        metrics,
        pool,
        read_pool,
        decisions,
        faults,
    };
    let (shared, writer, hasher) = share(params, given, loaded, &recovery)?;
    let marker = lasting.then_some(MarkerPlace {
        disk,
        directory,
        marker,
        history: None,
    });
    let (pipeline, threads) = pipeline::start(Parts {
        shared: shared.clone(),
        writer,
        hasher,
        log,
        leaves,
        marker,
        watch,
    })
    .map_err(OpenError::Thread)?;
    Ok(Engine::running(shared, pipeline, threads, recovery, lock))
}

/// The leaves, then the log; nothing is written yet.
fn load(
    config: &Config,
    params: TreeParams,
    disk: &Arc<dyn Disk>,
    leaves_of: (&Marker, Arc<dyn LeafSnapshot>),
    history: History,
    pool: &rayon::ThreadPool,
    metrics: &Arc<Metrics>,
) -> Result<(Loading, FoundLog), OpenError> {
    let (shards, budget) = (config.workers.hash_parallelism, config.memory.budget_bytes);
    let mut loading = Loading::begin(params, leaves_of, history, shards, budget, pool, metrics)?;
    let (from, tree_id) = (loading.position(), params.tree_id());
    let directory = config.engine.directory.join(LOG_DIRECTORY);
    let found = loading.replay(pool, |visit| {
        CommitLog::read(disk.clone(), &directory, tree_id, from, visit)
    })?;
    Ok((loading, found))
}

/// What does not come from the directory.
struct Given {
    config: Config,
    metrics: Arc<Metrics>,
    pool: rayon::ThreadPool,
    read_pool: rayon::ThreadPool,
    decisions: Decisions,
    faults: Faults,
}

/// Everything that the stages share, at the last commit.
fn share(
    params: TreeParams,
    given: Given,
    loaded: Loaded,
    recovery: &Recovery,
) -> Result<(Arc<Shared>, TreeWriter, TreeHasher), OpenError> {
    let Given {
        config,
        metrics,
        pool,
        read_pool,
        decisions,
        faults,
    } = given;
    let last = loaded.last.clone();
    let (state, writer, hasher) =
        loaded.into_state(params, &config, metrics.clone(), pool, read_pool)?;
    let shared = Shared {
        credits: CreditPool::new(
            config.submit.in_flight_operations_max,
            config.submit.in_flight_bytes_max,
        ),
        sequencer: Mutex::new(Sequencer {
            next_sequence: last.record.last_sequence + 1,
            provisional_root: provisional_start(&last.commit_id, recovery.open_epoch),
            closed: false,
        }),
        applied: AtomicU64::new(last.number()),
        settings: state.settings.clone(),
        state,
        metrics,
        health: Arc::new(Health::default()),
        overlay: Overlay::default(),
        kzg_queue: AtomicUsize::new(0),
        in_flight: Arc::default(),
        checkpoints_running: AtomicUsize::new(0),
        windows: Windows::default(),
        decisions,
        reloading: Mutex::new(()),
        faults,
        on_failure: OnceLock::new(),
        halted: AtomicBool::new(false),
    };
    show_bounds(&shared);
    Ok((Arc::new(shared), writer, hasher))
}

/// Takes the lock of a directory that holds a tree or nothing yet; it is created if need be.
fn lock_directory(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    match OsDisk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(&OsDisk, directory).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
        // Before the lock, which leaves a file behind.
        Ok(names) if is_foreign(&names) => {
            return Err(OpenError::Foreign {
                path: directory.to_owned(),
            });
        }
        Ok(_) => {}
    }
    Ok(DirectoryLock::acquire(directory)?)
}

/// Whether files of something else are in a directory.
fn is_foreign(names: &[String]) -> bool {
    // What an opening leaves that was cut off before the tree file was written.
    let known = [LOCK_FILE, "TREE.tmp"];
    let has_tree = names.iter().any(|name| name == TREE_FILE);
    !has_tree && names.iter().any(|name| !known.contains(&name.as_str()))
}

/// Creates a directory and those above it, durably: a tree is as durable as the name of its directory.
fn create_directories(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(Path::new(""));
    match disk.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != directory => {
            create_directories(disk, parent)?;
            disk.create_directory(directory)?;
        }
        result => result?,
    }
    match disk.sync_directory(parent) {
        // A directory of somebody else, who made this one in it and may look into it alone.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// The parameters of the tree that is there, which the configuration must not contradict; or those of
/// the configuration, for a new tree.
fn tree_params(
    disk: &dyn Disk,
    directory: &Path,
    config: &Config,
) -> Result<TreeParams, OpenError> {
    let failed = |source| OpenError::Directory {
        path: directory.to_owned(),
        source,
    };
    let configured = config.tree.params();
    let Some(stored) = read_params(disk, directory)? else {
        create_directories(disk, directory).map_err(failed)?;
        tree_file::create(disk, directory, &configured).map_err(failed)?;
        return Ok(configured);
    };
    if stored.collision != configured.collision {
        return Err(OpenError::OtherPolicy {
            stored: stored.collision,
            configured: configured.collision,
        });
    }
    if configured.salt.is_some() && stored.salt != configured.salt {
        return Err(OpenError::OtherSalt);
    }
    Ok(stored)
}

/// Removes what readers left behind that were cut off.
#[cfg(feature = "fjall")]
fn remove_abandoned_copies(directory: &Path) {
    crate::open::leaf_copy::remove_abandoned(directory);
}

#[cfg(not(feature = "fjall"))]
fn remove_abandoned_copies(_: &Path) {}

/// The leaf store, and whether it outlives the engine.
fn open_leaves(config: &Config) -> Result<(Arc<dyn LeafStore>, bool), OpenError> {
    match config.store.kind {
        StoreKind::Log => Ok((Arc::new(MemoryLeafStore::default()), false)),
        #[cfg(not(feature = "fjall"))]
        StoreKind::Fjall => Err(OpenError::StoreNotBuilt),
        #[cfg(feature = "fjall")]
        StoreKind::Fjall => {
            use trunkline_core::store::fjall_leaves::{
                FjallLeafStore, FjallOptions, LEAVES_DIRECTORY,
            };
            let options = FjallOptions {
                cache_bytes: config.store.cache_bytes,
                worker_threads: config.store.worker_threads,
                ..FjallOptions::default()
            };
            let directory = config.engine.directory.join(LEAVES_DIRECTORY);
            let nice = config.checkpoint.nice;
            // On a thread of its own, whose priority the store's threads inherit.
            let opening = std::thread::Builder::new()
                .name("trunkline-store".to_owned())
                .spawn(move || {
                    priority::lower(nice);
                    FjallLeafStore::open(&directory, &options)
                })
                .map_err(OpenError::Thread)?;
            match opening.join() {
                Ok(leaves) => Ok((Arc::new(leaves?), true)),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    }
}
