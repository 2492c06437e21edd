//! Checks whether a running engine can take a new configuration. `controls` puts it in force.

use crate::config::{Config, ConfigError, InvalidSetting, SettingChange};
use crate::failure::EngineFailure;

/// The reason why a running engine kept its configuration.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config.clone())?;
/// let mut other = config;
/// other.store.worker_threads = 2;
/// other.group.linger_ms = 1;
/// let error = engine.reload(other).unwrap_err();
/// assert!(error.to_string().starts_with("store.worker_threads cannot change while the engine runs"));
/// assert_eq!(engine.config().group.linger_ms, 0); // no part of it is in force
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file, the environment or a flag has a mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// Settings changed that only take effect when an engine is opened.
    #[error("{} cannot change while the engine runs; undo the change, or open the engine again", .keys.join(", "))]
    Static {
        /// The settings, each as section and key.
        keys: Vec<String>,
    },
    /// The function that reads the configuration again panicked.
    #[error("reading the configuration panicked ({message}); the engine keeps its current one")]
    Panic {
        /// Message of the panic.
        message: String,
    },
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

/// Returns the changes from one configuration to another, if a running engine can take all of them.
///
/// # Errors
///
/// Fails if the new configuration is invalid, or if it changes settings that cannot change while the engine runs.
pub fn changes_taken(old: &Config, new: &Config) -> Result<Vec<SettingChange>, ReloadError> {
    new.validate()?;
    let changes = old.changes(new)?;
    let fixed = changes.iter().filter(|change| !change.is_reloadable());
    let keys: Vec<String> = fixed.map(|change| change.key.clone()).collect();
    match keys.is_empty() {
        true => Ok(changes),
        false => Err(ReloadError::Static { keys }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_keys_are_refused_by_name_all_of_them() {
        let mut new = Config::default();
        new.engine.name = "other".to_owned();
        new.durability.interval_ms = 7;
        new.group.linger_ms = 3;
        let error = changes_taken(&Config::default(), &new).unwrap_err();
        let ReloadError::Static { keys } = error else {
            panic!("{error}");
        };
        assert_eq!(keys, ["durability.interval_ms", "engine.name"]);
    }
}
