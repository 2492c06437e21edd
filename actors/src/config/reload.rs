//! The difference between two configurations.

use toml::{Table, Value};

use super::{Config, ConfigError, RELOADABLE};

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
    /// Value before, as TOML.
    pub from: String,
    /// Value after, as TOML.
    pub to: String,
}

impl SettingChange {
    /// Returns whether a running engine takes the change.
    pub fn is_reloadable(&self) -> bool {
        RELOADABLE.contains(&self.key.as_str())
    }
}

impl Config {
    /// Returns the settings that differ in `new`, ordered by section and key.
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
    fn nothing_differs_from_itself() {
        let config = Config::in_directory("somewhere");
        assert_eq!(config.changes(&config).unwrap(), []);
    }
}
