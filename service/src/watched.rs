//! The content of files, read again when they change. After an invalid change the old content stays in force, and the
//! error is reported.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::observe::table::{Attempt, ReloadedFile, file_reloads};

/// Longest file in bytes. Longer ones are refused.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The error of a file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not allow reading the file.
    #[error("cannot read {path}: {source}; check that it exists and that this process may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is longer than any file of its kind.
    #[error(
        "{path} is longer than {FILE_BYTES_MAX} bytes; check that the setting names the right file"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// A file that was read.
pub(crate) struct Content {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

type Parse<T, E> = Box<dyn Fn(&[Content]) -> Result<T, E> + Send + Sync>;

/// The parsed content of some files. They are compared by content, at most once per interval and only on request: so
/// two changes within one tick of the file system's clock are both noticed.
pub(crate) struct Watched<T, E> {
    /// The name for logs and metrics.
    kind: ReloadedFile,
    paths: Vec<PathBuf>,
    parse: Parse<T, E>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
    begun: Instant,
    interval: Duration,
    next_check_ms: AtomicU64,
}

struct Seen {
    /// Digest of the content in force.
    in_force: blake3::Hash,
    /// Digest of the content that was reported as invalid.
    refused: Option<blake3::Hash>,
}

/// Stands in for the digest of files that cannot be read.
const UNREADABLE: blake3::Hash = blake3::Hash::from_bytes([0; 32]);

impl<T, E: From<FileError> + Display> Watched<T, E> {
    /// Reads the files.
    pub(crate) fn open(
        kind: ReloadedFile,
        paths: Vec<PathBuf>,
        interval: Duration,
        parse: impl Fn(&[Content]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let contents = read_all(&paths)?;
        let current = parse(&contents)?;
        Ok(Self {
            kind,
            paths,
            parse: Box::new(parse),
            current: RwLock::new(Arc::new(current)),
            seen: Mutex::new(Seen {
                in_force: digest(&contents),
                refused: None,
            }),
            begun: Instant::now(),
            interval,
            next_check_ms: AtomicU64::new(millis(interval)),
        })
    }

    /// Returns the content of the files, at most an interval old.
    pub(crate) fn get(&self) -> Arc<T> {
        if self.is_due() {
            // The error was reported there.
            let _ = self.read(false);
        }
        self.current.read().clone()
    }

    /// Reads the files now. Returns whether they changed.
    pub(crate) fn reload(&self) -> Result<bool, E> {
        self.read(true)
    }

    fn is_due(&self) -> bool {
        let now = millis(self.begun.elapsed());
        let due = self.next_check_ms.load(Ordering::Relaxed);
        let next = now + millis(self.interval);
        now >= due
            && self
                .next_check_ms
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn read(&self, is_asked_for: bool) -> Result<bool, E> {
        let mut seen = self.seen.lock();
        let contents = match read_all(&self.paths) {
            Ok(contents) => contents,
            Err(error) => return Err(self.refuse(error.into(), UNREADABLE, &mut seen)),
        };
        let digest = digest(&contents);
        if digest == seen.in_force {
            seen.refused = None;
            return Ok(false);
        }
        if seen.refused == Some(digest) && !is_asked_for {
            return Ok(false);
        }
        match (self.parse)(&contents) {
            Ok(value) => {
                *self.current.write() = Arc::new(value);
                *seen = Seen {
                    in_force: digest,
                    refused: None,
                };
                self.count(Attempt::Success);
                tracing::info!(kind = self.kind.name(), "files were read again");
                Ok(true)
            }
            Err(error) => Err(self.refuse(error, digest, &mut seen)),
        }
    }

    fn count(&self, result: Attempt) {
        file_reloads(self.kind, result).increment(1);
    }

    /// Reports an error once.
    fn refuse(&self, error: E, digest: blake3::Hash, seen: &mut Seen) -> E {
        if seen.refused != Some(digest) {
            self.count(Attempt::Failure);
            tracing::warn!(
                kind = self.kind.name(),
                %error,
                "a changed file cannot be used; what was read before stays in force"
            );
        }
        seen.refused = Some(digest);
        error
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Content>, FileError> {
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Content, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(Content {
        path: path.to_owned(),
        bytes,
        mode,
    })
}

fn digest(contents: &[Content]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for content in contents {
        hasher.update(&(content.bytes.len() as u64).to_le_bytes());
        hasher.update(&content.mode.to_le_bytes());
        hasher.update(&content.bytes);
    }
    hasher.finalize()
}
