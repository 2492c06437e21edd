//! The builder of an engine, for another disk or leaf store, or a watched configuration file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use trunkline_actors::adaptive::watch::Watch;
use trunkline_actors::config::{Config, ConfigError};
#[cfg(feature = "testing")]
use trunkline_actors::failure::Stage;
use trunkline_actors::failure::panic_message;
use trunkline_actors::runtime::thread;
#[cfg(feature = "testing")]
use trunkline_actors::testing::StageFault;
use trunkline_core::params::{Nonce, TreeParams};
use trunkline_core::store::disk::Disk;
use trunkline_core::store::leaves::LeafStore;
use trunkline_core::store::past::PastStore;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::open::{self, OpenOptions, Role};
use crate::rewind::Rewind;

/// Opens an engine with more options than [`Engine::open`]. Created by [`Engine::builder`].
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
pub struct EngineBuilder(OpenOptions);

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the tree in the configured directory, or creates it there if the directory is empty or absent.
    ///
    /// The work is done on another thread, so the runtime is not blocked.
    ///
    /// # Errors
    ///
    /// Returns an [`OpenError`] that names the problem in the configuration or the directory.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        Self::builder(config).open().await
    }

    /// Does what [`Self::open`] does, and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_blocking(config: Config) -> Result<Self, OpenError> {
        Self::builder(config).open_blocking()
    }

    /// Returns a builder, for an engine with another disk or leaf store, or with a watched configuration file.
    pub fn builder(config: Config) -> EngineBuilder {
        EngineBuilder::new(config)
    }
}

impl EngineBuilder {
    pub(crate) fn new(config: Config) -> Self {
        Self(OpenOptions {
            config,
            ..OpenOptions::default()
        })
    }

    /// Stores the log and the checkpoint manifest on this disk instead of the system's.
    ///
    /// Then no lock is taken, and neither KZG tables nor decisions are stored. The caller must make sure that only one
    /// engine uses the disk.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.0.disk = Some(disk);
        self
    }

    /// Stores checkpointed leaves in this store instead of the configured one. It must be kept together with the disk:
    /// leaves that a checkpoint moved to it are no longer in the log.
    pub fn leaf_store(mut self, leaves: Arc<dyn LeafStore>) -> Self {
        self.0.stores.leaves = Some(leaves);
        self
    }

    /// Archives versions in this store, if [`Self::leaf_store`] is given and `versions.archive` is set. It must be kept
    /// together with the disk.
    pub fn past_store(mut self, past: Arc<dyn PastStore>) -> Self {
        self.0.stores.past = Some(past);
        self
    }

    /// Creates the tree with this nonce instead of a random one, for replicas of a tree and for tests.
    ///
    /// The nonce is part of the tree id. Trees that are not replicas of each other must have different nonces, or a
    /// proof of one is accepted as a proof of the other. If there is a tree already, opening it fails unless it has
    /// this nonce.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trunkline::core::store::simulated::SimulatedDisk;
    /// let tree_id = |nonce: Option<[u8; 16]>| {
    ///     let mut builder = trunkline::Engine::builder(trunkline::Config::default())
    ///         .disk(Arc::new(SimulatedDisk::new(1)));
    ///     if let Some(nonce) = nonce {
    ///         builder = builder.nonce(nonce);
    ///     }
    ///     let engine = builder.open_blocking()?;
    ///     let tree_id = engine.params().tree_id();
    ///     engine.shutdown_blocking()?;
    ///     Ok::<_, Box<dyn std::error::Error>>(tree_id)
    /// };
    /// assert_eq!(tree_id(Some([7; 16]))?, tree_id(Some([7; 16]))?);
    /// assert_ne!(tree_id(None)?, tree_id(None)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nonce(mut self, nonce: Nonce) -> Self {
        self.0.nonce = Some(nonce);
        self
    }

    /// Creates the tree with these parameters, which are the primary's: for replicas.
    pub fn params(mut self, params: &TreeParams) -> Self {
        self.0.config.tree.collision = params.collision;
        self.0.config.tree.salt = params.salt_bytes();
        self.nonce(params.nonce)
    }

    /// Keeps the versions from this one on readable after opening, as far as the log still has them after the last
    /// checkpoint. Otherwise only the last durable version is readable. They are kept like other versions: a snapshot
    /// holds them ([`Engine::snapshot_at`]), and [`Engine::revert_to`] can name them.
    ///
    /// Opening fails with [`OpenError::VersionNotKept`] if the version cannot be rebuilt from the directory.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config.clone())?;
    /// for value in ["10", "20", "30"] {
    ///     engine.put_blocking("alice", value)?.durable_blocking()?;
    /// }
    /// engine.shutdown_blocking()?;
    /// let engine = trunkline::Engine::builder(config).keep_from(2).open_blocking()?;
    /// assert_eq!(engine.snapshot_at(2)?.get(b"alice")?.as_deref(), Some(&b"20"[..]));
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_from(mut self, version: u64) -> Self {
        self.0.keep_from = Some(version);
        self
    }

    pub(crate) fn role(mut self, role: Role) -> Self {
        self.0.role = role;
        self
    }

    /// Returns a builder that opens the same directory once more.
    pub(crate) fn again(&self) -> Self {
        Self(OpenOptions {
            config: self.0.config.clone(),
            disk: self.0.disk.clone(),
            nonce: self.0.nonce,
            stores: self.0.stores.clone(),
            ..OpenOptions::default()
        })
    }

    /// Watches a configuration file while the engine runs, and reloads it as [`Engine::reload`] does when it changes.
    ///
    /// The file is checked four times a second. `rebuild` makes a configuration from it. If that fails, or if a setting
    /// changes that cannot change while the engine runs, the engine keeps its configuration and records the refusal
    /// among the decisions ([`Engine::decisions_since`]).
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
        self.0.watch = Some(Watch::new(path.into(), Box::new(rebuild)));
        self
    }

    /// Makes a stage fail, for tests of a service's reaction: the first `after_groups` groups pass the stage, the next
    /// one fails.
    #[cfg(feature = "testing")]
    pub fn fail_stage(mut self, stage: Stage, after_groups: u64, fault: StageFault) -> Self {
        self.0.faults.add(stage, after_groups, fault);
        self
    }

    /// Locks the directory to rewind it to an earlier version, as [`Rewind::begin`] does, on this builder's disk.
    ///
    /// # Errors
    ///
    /// As [`Rewind::begin`].
    pub fn begin_rewind(self) -> Result<Rewind, OpenError> {
        Rewind::begin_on(self.0.disk, &self.0.config)
    }

    /// Opens the engine. The work is done on another thread, so the runtime is not blocked. If the future is dropped,
    /// the engine is shut down again once it is open.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    pub async fn open(self) -> Result<Engine, OpenError> {
        let (opened, opening) = oneshot::channel();
        thread::spawn("open", move || {
            // If the future was dropped, the send fails and drops the engine, which shuts it down.
            let _ = opened.send(self.open_blocking());
        })
        .map_err(OpenError::Thread)?;
        let ended = |_| Err(OpenError::Panic("the opening thread ended".to_owned()));
        opening.await.unwrap_or_else(ended)
    }

    /// Opens the engine, and blocks the thread until it runs: until the state was read from the directory, checked and
    /// made durable, and all threads have started.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    pub fn open_blocking(self) -> Result<Engine, OpenError> {
        catch_unwind(AssertUnwindSafe(|| open::open(self.0).map(Engine::from)))
            .unwrap_or_else(|payload| Err(OpenError::Panic(panic_message(&*payload))))
    }
}
