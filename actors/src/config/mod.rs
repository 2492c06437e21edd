//! What a service may choose about its engine: one struct a concern, every key documented here and
//! in `config/default.toml`, every value checked before a thread is started.
//!
//! Layers, weakest first: defaults, a file, environment variables, flags ([`Layers`]). What may
//! never change while a tree lives is only `[tree]`: a directory keeps what it was created with.
//!
//! Deliberately not here: the limits that the formats fix (`core::params`), and any value that the
//! engine finds out by itself (`control`).

mod error;
mod layers;
mod reload;
pub mod runtime;
mod sections;
mod text;

pub use error::{ConfigError, InvalidSetting, Origin};
pub use layers::{ENVIRONMENT_PREFIX, FILE_BYTES_MAX, Layers};
pub use reload::{RELOADABLE, SettingChange};
pub use sections::{
    CacheConfig, CheckpointConfig, ControlConfig, ControlMode, DurabilityConfig, DurabilityMode,
    EngineConfig, GroupConfig, KzgConfig, KzgMode, LogConfig, MemoryConfig, StoreConfig, StoreKind,
    SubmitConfig, TreeConfig, VersionsConfig, WorkersConfig,
};

use serde::{Deserialize, Serialize};

/// Everything that can be configured about one engine.
///
/// ```
/// use trunkline::Config;
/// let mut config = Config::default();
/// config.group.linger_ms = 2;
/// config.validate()?;
///
/// let same = Config::layers().set("group.linger_ms=2")?.build()?;
/// assert_eq!(config, same);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its name and place.
    pub engine: EngineConfig,
    /// What the tree is; fixed when a directory is created.
    pub tree: TreeConfig,
    /// What is accepted.
    pub submit: SubmitConfig,
    /// How submissions become versions.
    pub group: GroupConfig,
    /// Threads.
    pub workers: WorkersConfig,
    /// When KZG roots are computed.
    pub kzg: KzgConfig,
    /// When a version counts as durable.
    pub durability: DurabilityConfig,
    /// The commit log.
    pub log: LogConfig,
    /// When leaves go from the log into the store.
    pub checkpoint: CheckpointConfig,
    /// Where leaves go.
    pub store: StoreConfig,
    /// What the tree may take in memory.
    pub memory: MemoryConfig,
    /// What is kept of the values that were read.
    pub cache: CacheConfig,
    /// Which versions stay readable.
    pub versions: VersionsConfig,
    /// What the engine moves by itself.
    pub control: ControlConfig,
}

impl Config {
    /// The defaults, for a tree in this directory.
    pub fn in_directory(directory: impl Into<std::path::PathBuf>) -> Self {
        let mut config = Self::default();
        config.engine.directory = directory.into();
        config
    }

    /// Nothing but the defaults yet; layers are put on top one after the other.
    pub fn layers() -> Layers {
        Layers::default()
    }

    /// Checks every value by itself and those that depend on each other.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        self.engine.validate()?;
        self.tree.validate()?;
        self.submit.validate()?;
        self.group.validate()?;
        self.workers.validate()?;
        self.kzg.validate()?;
        self.durability.validate()?;
        self.log.validate()?;
        self.checkpoint.validate()?;
        self.store.validate()?;
        self.memory.validate(self.store.kind)?;
        self.cache.validate()?;
        self.memory.validate_shared(&self.cache)?;
        self.versions.validate()?;
        self.control.validate()
    }

    /// The settings as TOML, every key spelled out.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(ConfigError::Write)
    }
}
