//! Layers of settings: a later layer overrides an earlier one, and each setting keeps the place that it came from.
//!
//! Every setting is tried alone against [`Config`] as soon as it is read, so that an error names its line, variable or
//! flag. Settings that depend on each other are checked at the end. The caller chooses the file and the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::{Config, ConfigError, InvalidSetting, Origin, utf8};

/// Prefix of the environment variables that are settings: `TRUNKLINE_<SECTION>_<KEY>`.
pub const ENVIRONMENT_PREFIX: &str = "TRUNKLINE_";
/// Longest configuration file, bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Settings by section and key, each from the last layer that sets it.
///
/// ```
/// use trunkline::Config;
/// let config = Config::layers()
///     .text("my.toml", "[group]\nlinger_ms = 5\noperations_max = 1000\n")?
///     .environment([("TRUNKLINE_GROUP_LINGER_MS", "6"), ("HOME", "/root")])?
///     .set("group.linger_ms=7")?
///     .build()?;
/// assert_eq!(config.group.linger_ms, 7);
/// assert_eq!(config.group.operations_max, 1000);
/// # Ok::<(), trunkline::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    settings: BTreeMap<String, BTreeMap<String, (Value, Origin)>>,
}

impl Layers {
    /// Adds a TOML file as the top layer.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        self.text(path, &text)
    }

    /// Adds a TOML text as the top layer; errors name it `path`.
    pub fn text(mut self, path: impl Into<PathBuf>, text: &str) -> Result<Self, ConfigError> {
        let path = path.into();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let at = |offset: usize| Origin::File {
            path: path.clone(),
            line: line_of(text, offset),
        };
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            origin: at(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        for (section, content) in document.into_inner() {
            let origin = at(section.span().start);
            let section = section.into_inner().into_owned();
            let DeValue::Table(content) = content.into_inner() else {
                return Err(ConfigError::NoSection {
                    origin,
                    key: section,
                });
            };
            keys_of(&section, &origin)?;
            for (key, value) in content {
                let origin = at(key.span().start);
                let value = owned(value, &origin)?;
                self = self.put(&section, key.get_ref(), vec![value], origin)?;
            }
        }
        Ok(self)
    }

    /// Adds environment variables as the top layer: those that start with [`ENVIRONMENT_PREFIX`]. A value is TOML, or
    /// a text without quotes.
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let Ok(name) = name.into().into_string() else {
                continue;
            };
            let Some(setting) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            let setting = setting.to_ascii_lowercase();
            let origin = Origin::Environment { name };
            let Ok(value) = value.into().into_string() else {
                return Err(ConfigError::Value {
                    origin,
                    key: setting,
                    message: "the value is not UTF-8".to_owned(),
                });
            };
            let (section, key) = setting.split_once('_').unwrap_or((&setting, ""));
            self = self.put(section, key, readings(&value), origin)?;
        }
        Ok(self)
    }

    /// Adds a flag `section.key=value` as the top layer. A value is TOML, or a text without quotes.
    pub fn set(self, flag: &str) -> Result<Self, ConfigError> {
        let split = flag
            .split_once('=')
            .and_then(|(name, value)| Some((name.trim().split_once('.')?, value.trim())));
        let text = flag.to_owned();
        let Some(((section, key), value)) = split else {
            return Err(ConfigError::Flag { text });
        };
        self.put(section, key, readings(value), Origin::Flag { text })
    }

    /// Returns where a setting comes from.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        let setting = self.settings.get(section).and_then(|keys| keys.get(key));
        setting.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Returns the configuration that the layers give, checked.
    pub fn build(&self) -> Result<Config, ConfigError> {
        let sections = self.settings.iter().map(|(section, keys)| {
            let values = keys
                .iter()
                .map(|(key, (value, _))| (key.clone(), value.clone()));
            (section.clone(), Value::Table(values.collect()))
        });
        let merged: Table = sections.collect();
        let config = Config::deserialize(merged).map_err(|error| ConfigError::Value {
            origin: Origin::Default,
            key: "configuration".to_owned(),
            message: error.message().to_owned(),
        })?;
        match config.validate() {
            Ok(()) => Ok(config),
            Err(invalid) => Err(ConfigError::Invalid {
                origin: self.cause(&invalid),
                invalid,
            }),
        }
    }

    /// Returns where the invalid setting comes from; if it is a default, where the other one comes from.
    fn cause(&self, invalid: &InvalidSetting) -> Origin {
        let keys = std::iter::once(invalid.key()).chain(invalid.other_key());
        keys.filter_map(|key| key.split_once('.'))
            .map(|(section, key)| self.origin(section, key))
            .find(|origin| *origin != Origin::Default)
            .unwrap_or_default()
    }

    /// Adds the first reading of a value that fits its key.
    fn put(
        mut self,
        section: &str,
        key: &str,
        readings: Vec<Value>,
        origin: Origin,
    ) -> Result<Self, ConfigError> {
        let known = keys_of(section, &origin)?;
        let name = format!("{section}.{key}");
        let Some(default) = known.get(key) else {
            return Err(ConfigError::UnknownKey {
                origin,
                key: name,
                known: names(&known),
            });
        };
        let mut message = String::new();
        for value in readings {
            match try_alone(section, key, &value) {
                Ok(()) => {
                    let keys = self.settings.entry(section.to_owned()).or_default();
                    keys.insert(key.to_owned(), (value, origin));
                    return Ok(self);
                }
                Err(error) => message = format!("{}; the default is {default}", error.message()),
            }
        }
        Err(ConfigError::Value {
            origin,
            key: name,
            message,
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
        });
    }
    let text = utf8(&bytes).map_err(|source| ConfigError::Text {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.to_owned())
}

/// Returns the line of a byte, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

fn owned(value: Spanned<DeValue<'_>>, origin: &Origin) -> Result<Value, ConfigError> {
    Value::deserialize(ValueDeserializer::from(value)).map_err(|error| ConfigError::Syntax {
        origin: origin.clone(),
        message: error.message().to_owned(),
    })
}

/// Returns what a value without a type can mean: TOML first, then a text.
fn readings(text: &str) -> Vec<Value> {
    let parsed = ValueDeserializer::parse(text).and_then(Value::deserialize);
    parsed
        .into_iter()
        .chain([Value::String(text.to_owned())])
        .collect()
}

fn try_alone(section: &str, key: &str, value: &Value) -> Result<(), toml::de::Error> {
    let content = Table::from_iter([(key.to_owned(), value.clone())]);
    let alone = Table::from_iter([(section.to_owned(), Value::Table(content))]);
    Config::deserialize(alone).map(|_| ())
}

/// Returns the keys of a section with their defaults.
fn keys_of(section: &str, origin: &Origin) -> Result<Table, ConfigError> {
    let mut known = Table::try_from(Config::default()).map_err(ConfigError::Write)?;
    match known.remove(section) {
        Some(Value::Table(keys)) => Ok(keys),
        _ => Err(ConfigError::UnknownSection {
            origin: origin.clone(),
            section: section.to_owned(),
            known: names(&known),
        }),
    }
}

fn names(table: &Table) -> String {
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    names.join(", ")
}
