//! The source of a backup: a running engine or replica, or a closed directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline::config::DurabilityMode;
use trunkline::core::params::TreeParams;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::idempotency_file::KeyedSubmission;
use trunkline::core::store::log::{FollowError, LOG_DIRECTORY, LogEntry, LogFollower};
use trunkline::{Engine, EngineFailure, Feed, FeedError, OpenError, ReadOnly, Replica, Snapshot};

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
    /// A running replica.
    Replica(Replica),
    /// A directory that no engine has open. It stays locked while it is read.
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
            Self::Replica(replica) => replica.params(),
            Self::Directory(closed) => closed.tree.inspect().params,
        }
    }

    /// Returns a snapshot of the newest version, once a power loss cannot lose it. If versions are durable long before
    /// they are synced, it is a snapshot of the newest synced one; `None` if that is no longer kept. Also returns the
    /// submissions that are remembered by their idempotency keys.
    pub(crate) async fn snapshot(
        &self,
    ) -> Result<Option<(Snapshot, Vec<KeyedSubmission>)>, FeedError> {
        let ((newest, keyed), mut feed) = match self {
            Self::Directory(closed) => {
                let keyed = closed.tree.idempotency_keys().to_vec();
                return Ok(Some((closed.tree.snapshot(), keyed)));
            }
            Self::Engine(engine) if engine.config().durability.mode == DurabilityMode::Os => {
                return Ok(synced_snapshot(engine));
            }
            Self::Engine(engine) => {
                let newest = engine.snapshot_with_keys();
                let feed = engine.feed(newest.0.version());
                (newest, feed)
            }
            Self::Replica(replica) => {
                let newest = replica.snapshot_with_keys();
                let feed = replica.feed(newest.0.version());
                (newest, feed)
            }
        };
        if newest.version() == 0 {
            return Ok(Some((newest, keyed)));
        }
        match feed.next_entry().await {
            // A trimmed version was synced before.
            Some(Ok(_) | Err(FeedError::Gap { .. })) => Ok(Some((newest, keyed))),
            Some(Err(error)) => Err(error),
            None => Err(EngineFailure::Closed.into()),
        }
    }

    pub(crate) fn entries(&self, from: u64) -> Entries {
        match self {
            Self::Engine(engine) => Entries::Feed(engine.feed(from)),
            Self::Replica(replica) => Entries::Feed(replica.feed(from)),
            Self::Directory(closed) => {
                let log = closed.path.join(LOG_DIRECTORY);
                let tree_id = closed.tree.snapshot().record().tree_id;
                Entries::Log(LogFollower::new(Arc::new(OsDisk), &log, tree_id, from))
            }
        }
    }
}

/// Returns a snapshot of the newest version that is synced, if it is kept. The oldest keys may be missing, if the
/// engine has forgotten them because of later versions.
fn synced_snapshot(engine: &Engine) -> Option<(Snapshot, Vec<KeyedSubmission>)> {
    let synced = engine.snapshot_at(engine.synced_version()).ok()?;
    let (_, mut keyed) = engine.snapshot_with_keys();
    keyed.retain(|submission| submission.version <= synced.version());
    Some((synced, keyed))
}

impl Entries {
    /// Returns the next entry, which the source must have.
    pub(crate) async fn next(&mut self) -> Result<LogEntry, FeedError> {
        match self {
            Self::Feed(feed) => {
                let ended = || Err(EngineFailure::Closed.into());
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
