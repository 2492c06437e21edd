//! What of a configuration may change while an engine runs, and what differs between two.

use toml::{Table, Value};

use super::{Config, ConfigError, InvalidSetting};
use crate::failure::EngineFailure;

/// Sections, and single keys as `section.key`, that may change while an engine runs. All others are static: they
/// shape threads, files or what roots mean.
///
/// ```
/// use trunkline::config::RELOADABLE;
/// assert!(RELOADABLE.contains(&"group.operations_max"));
/// assert!(!RELOADABLE.contains(&"tree.salt"));
/// ```
pub const RELOADABLE: &[&str] = &[
    "submit.batch_operations_max",
    "submit.batch_bytes_max",
    "submit.in_flight_operations_max",
    "submit.in_flight_bytes_max",
    "group.operations_max",
    "group.bytes_max",
    "group.linger_ms",
    "group.in_flight_max",
    "workers.tree_pieces",
    "workers.hash_pieces",
    "workers.proof_pieces",
    "commit.coalesce_versions_max",
    "checkpoint.bytes_max",
    "checkpoint.unflushed_bytes_max",
    "cache.value_bytes_max",
    "versions.retain_versions",
    "versions.snapshot_versions_behind_max",
    "versions.retained_bytes_max",
    "control.mode",
    "control.target_p99_ms",
    "control.group_operations_min",
    "control.group_operations_max",
    "control.workers",
    "control.window_ms",
];

/// A setting that differs between two configurations.
///
/// ```
/// use trunkline::{Config, config::SettingChange};
/// let (old, mut new) = (Config::default(), Config::default());
/// new.group.linger_ms = 2;
/// let changes = old.changes(&new)?;
/// assert_eq!(changes[0].key, "group.linger_ms");
/// assert_eq!((changes[0].from.as_str(), changes[0].to.as_str()), ("0", "2"));
/// assert!(changes[0].is_reloadable());
/// # Ok::<(), trunkline::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Section and key.
    pub key: String,
    /// Before, as TOML.
    pub from: String,
    /// After, as TOML.
    pub to: String,
}

impl SettingChange {
    /// Whether a running engine takes it.
    pub fn is_reloadable(&self) -> bool {
        RELOADABLE.contains(&self.key.as_str())
    }
}

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

impl Config {
    /// What is different in `new`, in the order of sections and keys.
    pub fn changes(&self, new: &Self) -> Result<Vec<SettingChange>, ConfigError> {
        let table = |config: &Self| Table::try_from(config).map_err(ConfigError::Write);
        let (old, new) = (table(self)?, table(new)?);
        let mut changes = Vec::new();
        for (section, content) in &new {
            let keys = content.as_table().into_iter().flatten();
            for (key, to) in keys {
                let from = old.get(section).and_then(|content| content.get(key));
                if from != Some(to) {
                    changes.push(SettingChange {
                        key: format!("{section}.{key}"),
                        from: from.map_or(String::new(), Value::to_string),
                        to: to.to_string(),
                    });
                }
            }
        }
        Ok(changes)
    }

    /// The changes that a running engine is asked for, if it can take all of them.
    pub(crate) fn reload(&self, new: &Self) -> Result<Vec<SettingChange>, ReloadError> {
        new.validate()?;
        let changes = self.changes(new)?;
        let fixed = changes.iter().filter(|change| !change.is_reloadable());
        let keys: Vec<String> = fixed.map(|change| change.key.clone()).collect();
        match keys.is_empty() {
            true => Ok(changes),
            false => Err(ReloadError::Static { keys }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reloadable_key_exists() {
        let all = Table::try_from(Config::default()).unwrap();
        for name in RELOADABLE {
            let (section, key) = name.split_once('.').unwrap();
            assert!(all[section].get(key).is_some(), "{name}");
        }
    }

    #[test]
    fn nothing_differs_from_itself() {
        let config = Config::in_directory("somewhere");
        assert_eq!(config.changes(&config).unwrap(), []);
    }

    #[test]
    fn static_keys_are_refused_by_name_all_of_them() {
        let mut new = Config::default();
        new.engine.name = "other".to_owned();
        new.durability.interval_ms = 7;
        new.group.linger_ms = 3;
        let error = Config::default().reload(&new).unwrap_err();
        let ReloadError::Static { keys } = error else {
            panic!("{error}");
        };
        assert_eq!(keys, ["durability.interval_ms", "engine.name"]);
    }
}
