//! What is archived: a running engine, or the directory of one that is closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline::core::params::TreeParams;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::log::{FollowError, LOG_DIRECTORY, LogEntry, LogFollower};
use trunkline::{Engine, Feed, FeedError, OpenError, ReadOnly, Snapshot};

/// A tree that is archived.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # trunkline::Engine::open_blocking(config)?.shutdown_blocking()?;
/// let closed = trunkline_archive::Source::directory(directory.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Source {
    /// A running engine.
    Engine(Engine),
    /// A directory that no engine has open. It is locked meanwhile.
    Directory(ClosedDirectory),
}

/// A directory that no engine has open.
#[derive(Debug)]
pub struct ClosedDirectory {
    path: PathBuf,
    tree: ReadOnly,
}

/// The entries of a source from a version on.
pub(crate) enum Entries {
    Feed(Feed),
    Log(LogFollower),
}

impl Source {
    /// Opens a directory that no engine has open. Blocks while it reads and checks all leaves and the log.
    ///
    /// # Errors
    ///
    /// As [`ReadOnly::open`].
    pub fn directory(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::Directory(ClosedDirectory {
            path: path.to_owned(),
            tree: ReadOnly::open(path)?,
        }))
    }

    pub(crate) fn params(&self) -> TreeParams {
        match self {
            Self::Engine(engine) => engine.params(),
            Self::Directory(closed) => closed.tree.inspect().params,
        }
    }

    /// Returns a snapshot of a version that a loss of power does not take back, the newest one if it is such.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        match self {
            Self::Directory(closed) => Some(closed.tree.snapshot()),
            Self::Engine(engine) => {
                let (newest, synced) = (engine.snapshot(), engine.synced_version());
                match newest.version() <= synced {
                    true => Some(newest),
                    false => engine.snapshot_at(synced).ok(),
                }
            }
        }
    }

    pub(crate) fn entries(&self, from: u64) -> Entries {
        match self {
            Self::Engine(engine) => Entries::Feed(engine.feed(from)),
            Self::Directory(closed) => {
                let log = closed.path.join(LOG_DIRECTORY);
                let tree_id = closed.tree.snapshot().record().tree_id;
                Entries::Log(LogFollower::new(Arc::new(OsDisk), &log, tree_id, from))
            }
        }
    }
}

impl Entries {
    /// Returns the next entry, which the source has.
    pub(crate) async fn next(&mut self) -> Result<LogEntry, FeedError> {
        match self {
            Self::Feed(feed) => {
                let ended = || Err(trunkline::EngineFailure::Closed.into());
                feed.next_entry().await.unwrap_or_else(ended)
            }
            Self::Log(log) => log.read_next().map_err(|error| match error {
                FollowError::Gap { wanted, oldest } => FeedError::Gap {
                    wanted,
                    oldest: oldest.unwrap_or(wanted + 1),
                },
                FollowError::Log(error) => error.into(),
            }),
        }
    }
}
