//! What can be wrong with a configuration, and where it came from.

use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
///
/// ```
/// use trunkline::config::Origin;
/// let origin = Origin::File { path: "trunkline.toml".into(), line: 7 };
/// assert_eq!(origin.to_string(), "trunkline.toml:7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
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
        /// Its name.
        name: String,
    },
    /// A flag `section.key=value`.
    Flag {
        /// The flag as given.
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

/// A value that is of the right type but not allowed.
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
        /// The least one allowed.
        min: u64,
        /// The greatest one allowed.
        max: u64,
    },
    /// Smaller than another setting that it has to hold.
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
    /// Leaves can't leave memory if there is no store to read them from again.
    #[error(
        "{key} = {found}: needs a store to read leaves from again: set store.kind to fjall, or this to 0"
    )]
    NeedsStore {
        /// Section and key.
        key: &'static str,
        /// The value.
        found: u64,
    },
    /// A text that is empty, too long or has characters that would spoil a label or a path.
    #[error("{key} = {found:?}: must have 1 to {bytes_max} bytes and no control characters")]
    Text {
        /// Section and key.
        key: &'static str,
        /// The text.
        found: String,
        /// The longest one allowed, bytes.
        bytes_max: usize,
    },
}

impl InvalidSetting {
    /// Section and key of the setting.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Range { key, .. }
            | Self::BelowOther { key, .. }
            | Self::NeedsStore { key, .. }
            | Self::Text { key, .. } => key,
        }
    }

    /// Section and key of the other setting that is involved.
    pub(super) fn other_key(&self) -> Option<&'static str> {
        match self {
            Self::BelowOther { floor_key, .. } => Some(floor_key),
            Self::NeedsStore { .. } => Some("store.kind"),
            Self::Range { .. } | Self::Text { .. } => None,
        }
    }
}

/// Why no configuration came out. Each error says where the culprit is.
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
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than [`super::FILE_BYTES_MAX`].
    #[error("{} is no configuration: longer than {} bytes", path.display(), super::FILE_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML.
    #[error("{origin}: not TOML: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// A section that does not exist.
    #[error("{origin}: unknown section {section}; known: {known}")]
    UnknownSection {
        /// Where.
        origin: Origin,
        /// The section.
        section: String,
        /// Those that exist.
        known: String,
    },
    /// A key that its section does not have.
    #[error("{origin}: unknown key {key}; known in this section: {known}")]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// Section and key.
        key: String,
        /// Those that exist.
        known: String,
    },
    /// A setting outside of a section, or a section that is a plain value.
    #[error("{origin}: {key} is not in a section; write it as [section] and key = value")]
    NoSection {
        /// Where.
        origin: Origin,
        /// What stands there.
        key: String,
    },
    /// A value of a wrong type.
    #[error("{origin}: {key}: {message}")]
    Value {
        /// Where.
        origin: Origin,
        /// Section and key.
        key: String,
        /// What was expected.
        message: String,
    },
    /// A flag that is not `section.key=value`.
    #[error("flag {text}: must look like section.key=value")]
    Flag {
        /// The flag.
        text: String,
    },
    /// A value that is not allowed.
    #[error("{origin}: {invalid}")]
    Invalid {
        /// Where the value was set, or the one that it conflicts with.
        origin: Origin,
        /// What is wrong.
        invalid: InvalidSetting,
    },
    /// A setting that TOML cannot express, such as a directory that is not UTF-8.
    #[error("the configuration cannot be written as TOML")]
    Write(#[source] toml::ser::Error),
}
