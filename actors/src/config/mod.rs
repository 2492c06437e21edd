//! The configuration of an engine: one table of sections and keys ([`Config`]), with every value checked before a
//! thread starts.
//!
//! Layers, weakest first: defaults, a file, environment variables, flags ([`Layers`]). `[tree]` cannot change as long
//! as its directory exists.
//!
//! Not here: limits that the formats fix (`trunkline_core::params`).

mod encoding;
mod error;
mod layers;
mod reload;
pub mod runtime;
mod sections;
mod text;

pub use encoding::{TextError, utf8, without_mark};
pub use error::{ConfigError, InvalidSetting, Origin};
pub use layers::{ENVIRONMENT_PREFIX, FILE_BYTES_MAX, Layers};
pub use reload::SettingChange;
pub use sections::{
    CacheConfig, CheckpointConfig, Config, ControlConfig, ControlMode, DurabilityConfig,
    DurabilityMode, EngineConfig, GroupConfig, KzgConfig, KzgMode, LogConfig, MemoryConfig,
    RELOADABLE, ServerConfig, StoreConfig, StoreKind, SubmitConfig, TreeConfig, VersionsConfig,
    WorkersConfig,
};

impl Config {
    /// Returns the defaults for a tree in this directory.
    pub fn in_directory(directory: impl Into<std::path::PathBuf>) -> Self {
        let mut config = Self::default();
        config.engine.directory = directory.into();
        config
    }

    /// Returns the defaults alone, as the base for other layers.
    pub fn layers() -> Layers {
        Layers::default()
    }

    /// Writes the settings as TOML, with every key.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(ConfigError::Write)
    }
}
