//! Which changes of a configuration a running engine takes, and why it takes none. Not here: what follows from them
//! (`tuner`).

use crate::config::{Config, ConfigError, InvalidSetting, SettingChange};
use crate::failure::EngineFailure;

/// Why a running engine kept the configuration that it had.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config.clone())?;
/// let mut other = config;
/// other.store.worker_threads = 2;
/// other.group.linger_ms = 1;
/// let error = engine.reload(other).unwrap_err();
/// assert!(error.to_string().starts_with("store.worker_threads can't change while the engine runs"));
/// assert_eq!(engine.config().group.linger_ms, 0); // nothing of it was taken
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file, the environment or a flag is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// Settings that only a newly opened engine takes.
    #[error("{} can't change while the engine runs; set back, or open the engine again", .keys.join(", "))]
    Static {
        /// Sections and keys.
        keys: Vec<String>,
    },
    /// What makes the configuration anew panicked.
    #[error("what makes the configuration anew panicked ({message}); the engine keeps what it had")]
    Panic {
        /// What it said.
        message: String,
    },
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

/// The changes that a running engine is asked for, if it can take all of them.
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
