//! The builder of an engine: opening with a disk, a leaf store or a watched file of your own.

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
use trunkline_actors::testing::Faults;
#[cfg(feature = "testing")]
use trunkline_actors::testing::StageFault;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::leaves::LeafStore;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::open::{self, Opening};

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
pub struct EngineBuilder(Opening);

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(crate) fn new(config: Config) -> Self {
        Self(Opening {
            config,
            disk: None,
            leaves: None,
            watch: None,
            faults: Faults::default(),
        })
    }

    /// Keeps the log and the markers on this disk instead of the system's. No lock is taken then:
    /// see to it that only one engine has it.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.0.disk = Some(disk);
        self
    }

    /// Keeps checkpointed leaves in this store, which must outlive the engine as the disk does.
    pub fn leaf_store(mut self, leaves: Arc<dyn LeafStore>) -> Self {
        self.0.leaves = Some(leaves);
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
        self.0.watch = Some(Watch::new(path.into(), Box::new(rebuild)));
        self
    }

    #[cfg(feature = "testing")]
    /// Lets a stage fail at the group after so many.
    pub fn fail_stage(mut self, stage: Stage, after_groups: u64, fault: StageFault) -> Self {
        self.0.faults.add(stage, after_groups, fault);
        self
    }

    /// Opens the engine on a thread of its own and waits for it without blocking the runtime.
    pub async fn open(self) -> Result<Engine, OpenError> {
        let (opened, opening) = oneshot::channel();
        thread::spawn("open", move || {
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
        match catch_unwind(AssertUnwindSafe(|| open::open(self.0))) {
            Ok(result) => result,
            Err(payload) => Err(OpenError::Panic(panic_message(&*payload))),
        }
    }
}
