//! What of a configuration may change while an engine runs, and what differs between two.

use toml::{Table, Value};

use super::{Config, ConfigError};

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
    "workers.tree_parallelism",
    "workers.hash_parallelism",
    "workers.proof_parallelism",
    "kzg.coalesce_versions_max",
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
}
