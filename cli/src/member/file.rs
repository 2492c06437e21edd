//! The member file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use trunkline::core::frame::{PublicKey, SecretKey, SecretKeyError};
use trunkline_archive::{Archive, LocationError};
use trunkline_replication::nats::{NatsCarrier, NatsError, NatsOptions};
use trunkline_replication::{Acknowledge, Options, UnknownLevel};

use crate::error::CommandError;

/// Longest member file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A member of a replicated tree. Relative paths are relative to the directory of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberFile {
    /// The name of this member.
    name: String,
    /// The names of all members.
    members: Vec<String>,
    /// The file of this member's secret key (`trunkline keygen`).
    key_file: PathBuf,
    /// The public keys of all members.
    public_keys: Vec<String>,
    /// A file that this member keeps outside its directory.
    memory_file: PathBuf,
    /// The addresses of NATS servers.
    servers: Vec<String>,
    /// The name of the stream.
    stream: String,
    /// The number of servers that keep the stream, used when it is created.
    #[serde(default = "three")]
    replicas: usize,
    /// The number of bytes that the stream keeps, used when it is created. Older messages come from the archive.
    stream_bytes_max: Option<i64>,
    /// A credentials file for the servers.
    credentials_file: Option<PathBuf>,
    /// An archive. The primary writes to it, signed with this member's key, and a replica reads from it the versions
    /// that the stream no longer has. `s3://bucket/prefix`, or a directory.
    archive: Option<String>,
    /// The level that a submission waits for: `durable`, `replicated` or `followed:` and a number.
    #[serde(default = "durable")]
    acknowledge: String,
    /// The longest wait for that level, in milliseconds.
    #[serde(default = "ten_seconds_ms")]
    acknowledge_timeout_ms: u64,
    /// The directory of the file.
    #[serde(skip)]
    base: PathBuf,
}

fn three() -> usize {
    3
}

fn durable() -> String {
    "durable".to_owned()
}

fn ten_seconds_ms() -> u64 {
    10_000
}

/// The reason why a member file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberFileError {
    #[error("it is not TOML, or has other fields: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("key_file {}: {source}", path.display())]
    Key {
        path: PathBuf,
        source: SecretKeyError,
    },
    #[error("public_keys: {text:?} is not a public key; `trunkline keygen` prints one")]
    PublicKey { text: String },
    #[error("archive: {0}")]
    Archive(#[from] LocationError),
    #[error("acknowledge: {0}")]
    Level(#[from] UnknownLevel),
    #[error("public_keys does not have the key of this member, {0}; add it")]
    OwnKey(String),
}

impl MemberFile {
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let text = read_text(path)?;
        let parsed = toml::from_str::<Self>(&text).map_err(MemberFileError::from);
        let mut member = parsed.map_err(unusable(path))?;
        member.base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(member)
    }

    /// Returns the options of the member.
    pub(super) fn options(&self, path: &Path) -> Result<Options, CommandError> {
        let key_file = self.base.join(&self.key_file);
        let text = read_text(&key_file)?;
        let options = SecretKey::from_text(&text)
            .map_err(|source| MemberFileError::Key {
                path: key_file,
                source,
            })
            .and_then(|key| self.with_key(key));
        options.map_err(unusable(path))
    }

    fn with_key(&self, key: SecretKey) -> Result<Options, MemberFileError> {
        let parse = |text: &String| {
            let parsed = text.parse::<PublicKey>();
            parsed.map_err(|_| MemberFileError::PublicKey { text: text.clone() })
        };
        let keys = self
            .public_keys
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        if !keys.contains(&key.public()) {
            return Err(MemberFileError::OwnKey(key.public().to_string()));
        }
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        let memory_file = self.base.join(&self.memory_file);
        Ok(Options {
            keys,
            acknowledge: Acknowledge {
                level: self.acknowledge.parse()?,
                timeout: Duration::from_millis(self.acknowledge_timeout_ms),
            },
            ..Options::new(&self.name, &members, key, memory_file)
        })
    }

    /// Returns the archive, if one is named.
    pub(super) fn archive(&self, path: &Path) -> Result<Option<Archive>, CommandError> {
        let Some(location) = &self.archive else {
            return Ok(None);
        };
        let location = match location.contains("://") {
            true => location.clone(),
            false => self.base.join(location).to_string_lossy().into_owned(),
        };
        let archive = Archive::at(&location).map_err(MemberFileError::from);
        archive.map(Some).map_err(unusable(path))
    }

    /// Connects to the servers, and creates the stream if there is none.
    pub(super) async fn connect(&self) -> Result<Arc<NatsCarrier>, NatsError> {
        let credentials = self.credentials_file.as_ref();
        let usual = NatsOptions::new(self.servers.clone(), &self.stream);
        let options = NatsOptions {
            replicas: self.replicas,
            bytes_max: self.stream_bytes_max.unwrap_or(usual.bytes_max),
            credentials: credentials.map(|file| self.base.join(file)),
            ..usual
        };
        Ok(Arc::new(NatsCarrier::open(options).await?))
    }
}

/// Starts the threads on which the tasks of a member run.
pub(crate) fn runtime() -> Result<Runtime, CommandError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(CommandError::Thread)
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    let length = length.map_err(CommandError::file("read", path))?;
    if length > FILE_BYTES_MAX {
        let error = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
        return Err(CommandError::file("read", path)(error));
    }
    std::fs::read_to_string(path).map_err(CommandError::file("read", path))
}

fn unusable(path: &Path) -> impl FnOnce(MemberFileError) -> CommandError {
    let file = path.to_owned();
    move |source| CommandError::Content {
        file,
        what: "a usable member file",
        source: Box::new(source),
    }
}
