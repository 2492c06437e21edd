//! Errors of a configuration, and the origin of a setting.

use std::fmt;
use std::path::PathBuf;

use super::encoding::TextError;

/// The origin of a setting.
///
/// ```
/// use trunkline::config::Origin;
/// let origin = Origin::File { path: "trunkline.toml".into(), line: 7 };
/// assert_eq!(origin.to_string(), "trunkline.toml:7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The default; the setting is not set.
    #[default]
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Name of the variable.
        name: String,
    },
    /// A flag `section.key=value`.
    Flag {
        /// The flag as it was given.
        text: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { text } => write!(f, "flag {text}"),
        }
    }
}

/// A value of the right type that is not allowed.
///
/// ```
/// use trunkline::Config;
/// let mut config = Config::default();
/// config.workers.hash_parallelism = 0;
/// let invalid = config.validate().unwrap_err();
/// assert_eq!(invalid.key(), "workers.hash_parallelism");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// Too small or too large.
    #[error("{key} = {found}: must be {min} to {max}")]
    Range {
        /// Section and key.
        key: &'static str,
        /// The value.
        found: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// The value is smaller than another setting, which it must not be.
    #[error("{key} = {found}: must be at least {floor_key} = {floor}")]
    BelowOther {
        /// Section and key.
        key: &'static str,
        /// The value.
        found: u64,
        /// The other setting.
        floor_key: &'static str,
        /// Its value.
        floor: u64,
    },
    /// A memory budget without a store: evicted leaves could not be read again.
    #[error(
        "{key} = {found}: a memory budget needs a store; set store.kind to fjall, or {key} to 0"
    )]
    NeedsStore {
        /// Section and key.
        key: &'static str,
        /// The value.
        found: u64,
    },
    /// A text that is empty, too long, or has control characters, which labels and paths must not have.
    #[error("{key} = {found:?}: must have 1 to {bytes_max} bytes and no control characters")]
    Text {
        /// Section and key.
        key: &'static str,
        /// The text.
        found: String,
        /// Longest text allowed, bytes.
        bytes_max: usize,
    },
}

impl InvalidSetting {
    /// Returns section and key of the setting.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Range { key, .. }
            | Self::BelowOther { key, .. }
            | Self::NeedsStore { key, .. }
            | Self::Text { key, .. } => key,
        }
    }

    /// Returns section and key of the other setting that is involved, if any.
    pub(super) fn other_key(&self) -> Option<&'static str> {
        match self {
            Self::BelowOther { floor_key, .. } => Some(floor_key),
            Self::NeedsStore { .. } => Some("store.kind"),
            Self::Range { .. } | Self::Text { .. } => None,
        }
    }
}

/// The reason why a configuration was refused. Each error names the file and line, the variable or the flag.
///
/// ```
/// use trunkline::Config;
/// let error = Config::layers().text("my.toml", "[group]\nlinger = 5\n").unwrap_err();
/// assert!(error.to_string().starts_with("my.toml:2: unknown key group.linger"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is longer than [`super::FILE_BYTES_MAX`].
    #[error("{}: too long for a configuration; allowed are {} bytes", path.display(), super::FILE_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("cannot read the configuration {}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: TextError,
    },
    /// The text is not TOML.
    #[error("{origin}: not TOML: {message}")]
    Syntax {
        /// The origin of the text.
        origin: Origin,
        /// Message of the parser.
        message: String,
    },
    /// A section that does not exist.
    #[error(
        "{origin}: unknown section {section}; the nearest is {nearest}; known sections: {known}"
    )]
    UnknownSection {
        /// The origin of the section.
        origin: Origin,
        /// The section.
        section: String,
        /// The section or setting with the most similar name.
        nearest: String,
        /// The sections that exist.
        known: String,
    },
    /// A key that its section does not have.
    #[error(
        "{origin}: unknown key {key}; the nearest is {nearest}; known keys of the section: {known}"
    )]
    UnknownKey {
        /// The origin of the key.
        origin: Origin,
        /// Section and key.
        key: String,
        /// The setting with the most similar name.
        nearest: String,
        /// The keys of the section.
        known: String,
    },
    /// A variable with our prefix whose name cannot be that of a setting.
    #[error("environment variable {name:?}: not a setting, whose names are {prefix}<SECTION>_<KEY> in capital letters; the nearest is {nearest}; unset or rename it", prefix = super::ENVIRONMENT_PREFIX)]
    Variable {
        /// Name of the variable.
        name: std::ffi::OsString,
        /// The variable with the most similar name.
        nearest: String,
    },
    /// A key outside of a section, or a section that is a plain value.
    #[error(
        "{origin}: {key} is not in a section; write [section] on one line and {key} = value on the next"
    )]
    NoSection {
        /// The origin of the key.
        origin: Origin,
        /// The key.
        key: String,
    },
    /// A value of a wrong type.
    #[error("{origin}: {key}: {message}")]
    Value {
        /// The origin of the value.
        origin: Origin,
        /// Section and key.
        key: String,
        /// The value that was found, and the allowed ones.
        message: String,
    },
    /// A flag of another form than `section.key=value`.
    #[error("flag {text}: must look like section.key=value")]
    Flag {
        /// The flag.
        text: String,
    },
    /// A value that is not allowed.
    #[error("{origin}: {invalid}")]
    Invalid {
        /// The origin of the value; if it is a default, that of the value with which it conflicts.
        origin: Origin,
        /// The violated rule.
        invalid: InvalidSetting,
    },
    /// A setting that TOML cannot express, such as a path that is not UTF-8.
    #[error("the configuration cannot be written as TOML; are all paths UTF-8?")]
    Write(#[source] toml::ser::Error),
}
