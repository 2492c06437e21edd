//! Layers of settings: a later layer overrides an earlier one, and each setting keeps its origin.
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
    ignored_variables: Vec<String>,
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
            known_keys(&section, "", &origin)?;
            for (key, value) in content {
                let origin = at(key.span().start);
                let value = owned(value, &origin)?;
                self = self.put(&section, key.get_ref(), vec![value], origin)?;
            }
        }
        Ok(self)
    }

    /// Adds environment variables as the top layer: those that start with [`ENVIRONMENT_PREFIX`]. A value is TOML, or
    /// a text without quotes. Variables that Kubernetes sets for a service called `trunkline` are ignored
    /// ([`Layers::ignored_variables`]).
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let name = name.into();
            let prefix = ENVIRONMENT_PREFIX.as_bytes();
            if !name.as_encoded_bytes().starts_with(prefix) {
                continue;
            }
            let is_plain = |name: &String| *name == name.to_ascii_uppercase();
            let Some(name) = name.to_str().map(str::to_owned).filter(is_plain) else {
                let typed = name.to_string_lossy().to_ascii_uppercase();
                let nearest = nearest(&typed, variable_names());
                return Err(ConfigError::Variable { name, nearest });
            };
            let setting = &name[ENVIRONMENT_PREFIX.len()..];
            if kubernetes::sets(setting) {
                self.ignored_variables.push(name);
                continue;
            }
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

    /// Returns the variables that were ignored because Kubernetes sets them for a service called `trunkline`. Warn
    /// about them: a service with another name, or `enableServiceLinks: false`, avoids them.
    ///
    /// ```
    /// use trunkline::Config;
    /// let layers = Config::layers().environment([("TRUNKLINE_SERVICE_HOST", "10.0.0.7")])?;
    /// assert_eq!(layers.ignored_variables(), ["TRUNKLINE_SERVICE_HOST"]);
    /// # Ok::<(), trunkline::ConfigError>(())
    /// ```
    pub fn ignored_variables(&self) -> &[String] {
        &self.ignored_variables
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

    /// Returns the origin of a setting.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        let setting = self.settings.get(section).and_then(|keys| keys.get(key));
        setting.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Returns the checked configuration that results from the layers.
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

    /// Returns the origin of the invalid setting; if it is a default, that of the other one.
    fn cause(&self, invalid: &InvalidSetting) -> Origin {
        let keys = std::iter::once(invalid.key()).chain(invalid.other_key());
        keys.filter_map(|key| key.split_once('.'))
            .map(|(section, key)| self.origin(section, key))
            .find(|origin| *origin != Origin::Default)
            .unwrap_or_default()
    }

    /// Adds the first interpretation of a value that fits its key.
    fn put(
        mut self,
        section: &str,
        key: &str,
        readings: Vec<Value>,
        origin: Origin,
    ) -> Result<Self, ConfigError> {
        let known = known_keys(section, key, &origin)?;
        let name = format!("{section}.{key}");
        let Some(default) = known.get(key) else {
            return Err(ConfigError::UnknownKey {
                nearest: nearest_setting(&name, &origin),
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

/// Returns the possible interpretations of a value without a type: TOML first, then a text.
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

/// Returns the keys of a section with their defaults. If there is no such section, the error names the setting with the
/// most similar name, or the section if there is no key.
fn known_keys(section: &str, key: &str, origin: &Origin) -> Result<Table, ConfigError> {
    let mut known = defaults();
    match known.remove(section) {
        Some(Value::Table(keys)) => Ok(keys),
        _ => Err(ConfigError::UnknownSection {
            origin: origin.clone(),
            section: section.to_owned(),
            nearest: match (key, origin) {
                ("", Origin::File { .. }) => nearest(section, known.keys().cloned()),
                _ => nearest_setting(&format!("{section}.{key}"), origin),
            },
            known: names(&known),
        }),
    }
}

fn defaults() -> Table {
    // The defaults have no path that is not UTF-8, which is the only thing that TOML cannot express.
    Table::try_from(Config::default()).unwrap_or_default()
}

fn names(table: &Table) -> String {
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    names.join(", ")
}

/// Returns all settings as `section.key`.
fn setting_names() -> impl Iterator<Item = String> {
    defaults().into_iter().flat_map(|(section, keys)| {
        let keys = match keys {
            Value::Table(keys) => keys,
            _ => Table::new(),
        };
        keys.into_iter()
            .map(move |(key, _)| format!("{section}.{key}"))
    })
}

fn variable_names() -> impl Iterator<Item = String> {
    setting_names().map(|name| variable_name(&name))
}

/// Returns the environment variable of a setting.
fn variable_name(setting: &str) -> String {
    ENVIRONMENT_PREFIX.to_owned() + &setting.replace('.', "_").to_ascii_uppercase()
}

/// Returns the setting with the most similar name, in the form of the given origin.
fn nearest_setting(name: &str, origin: &Origin) -> String {
    match origin {
        Origin::Environment { .. } => nearest(&variable_name(name), variable_names()),
        _ => nearest(name, setting_names()),
    }
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    let likeness = |known: &String| strsim::normalized_damerau_levenshtein(name, known);
    known
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .unwrap_or_default()
}

/// The variables that Kubernetes sets in every container for a service called `trunkline`.
mod kubernetes {
    /// Returns whether Kubernetes sets the variable whose name is `name` after the prefix.
    pub(super) fn sets(name: &str) -> bool {
        match name {
            "SERVICE_HOST" | "SERVICE_PORT" | "PORT" => true,
            _ => {
                name.strip_prefix("SERVICE_PORT_").is_some_and(is_port_name)
                    || name.strip_prefix("PORT_").is_some_and(is_link)
            }
        }
    }

    fn is_port_name(name: &str) -> bool {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_part)
    }

    /// Returns whether a name has the form of Docker's links: `80_TCP`, `80_TCP_ADDR`.
    fn is_link(name: &str) -> bool {
        let mut parts = name.split('_');
        let port = parts.next().unwrap_or_default();
        port.parse::<u16>().is_ok()
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
            && parts.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_has_a_name_that_kubernetes_sets() {
        for name in variable_names() {
            let setting = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap();
            assert!(!kubernetes::sets(setting), "{name}");
        }
        assert!(setting_names().count() > 30);
    }

    #[test]
    fn only_the_exact_patterns_are_those_of_kubernetes() {
        for name in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP_2",
            "PORT",
            "PORT_80_TCP",
            "PORT_53_UDP_ADDR",
            "PORT_80_TCP_PROTO",
            "PORT_80_TCP_PORT",
        ] {
            assert!(kubernetes::sets(name), "{name}");
        }
        for name in [
            "SERVICE",
            "SERVICE_HOSTS",
            "SERVICE_PORT_",
            "PORTS",
            "PORT_",
            "PORT_80",
            "PORT_x_TCP",
            "PORT_80_TCP_NAME",
            "PORT_80_TCP_ADDR_2",
            "PORT_99999_TCP",
            "A_SERVICE_HOST",
        ] {
            assert!(!kubernetes::sets(name), "{name}");
        }
    }
}
