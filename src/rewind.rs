//! Rewinds a directory to an earlier version, so that it can follow another primary. A primary that was replaced does
//! this before it rejoins.
//!
//! The versions that are dropped can be read first, so that the caller can keep them. Then the directory is marked as a
//! replica's, and a new segment of the log begins after the last remaining version; it supersedes the later ones.

use std::sync::Arc;

use trunkline_actors::config::Config;
use trunkline_actors::runtime::entropy;
use trunkline_core::hash::{Digest, hex};
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, ReadFileError};
use trunkline_core::store::feed_cursors::{self, CursorsError};
use trunkline_core::store::log::{
    CommitLog, FoundLog, LOG_DIRECTORY, LogEntry, LogFollower, LogOptions, LogPosition,
};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::replica_file;

use crate::error::{OpenError, ReplayError};
use crate::feed::FeedError;
use crate::open::creation::unusable;
use crate::open::directory::{self, Claimed};
use crate::open::recovery;

/// A locked directory whose log was read, ready to be rewound to an earlier version.
///
/// ```
/// use trunkline::core::store::log::LogPosition;
/// use trunkline::{Config, Engine, Rewind};
/// # let directory = tempfile::tempdir()?;
/// let config = Config::in_directory(directory.path());
/// let engine = Engine::open_blocking(config.clone())?;
/// let first = engine.put_blocking("alice", "10")?.durable_blocking()?;
/// engine.put_blocking("alice", "20")?.durable_blocking()?;
/// engine.shutdown_blocking()?;
///
/// let to = LogPosition { version: first.version, commit_id: first.commit_id };
/// let rewind = Rewind::begin(&config)?;
/// for entry in rewind.entries_after(to.version) {
///     println!("version {} is lost", entry?.record.version);
/// }
/// rewind.finish(to)?;
/// let replica = Engine::builder(config).open_replica_blocking(vec![])?;
/// assert_eq!(replica.position(), to);
/// # replica.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rewind {
    claimed: Claimed,
    marker: CheckpointManifest,
    log: FoundLog,
    /// Positions of the versions to which the directory can be rewound: from the checkpoint on.
    positions: Vec<LogPosition>,
    config: Config,
}

/// The reason why a directory was not rewound.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A checkpoint has stored leaves of later versions.
    #[error(
        "the leaf store already has version {checkpoint}, so the directory cannot be rewound to version {to}; move it \
         away, and restore it from a backup or a copy of another replica"
    )]
    Checkpoint {
        /// The version of the leaf store.
        checkpoint: u64,
        /// The requested version.
        to: u64,
    },
    /// The version is not in the directory, or has another commit id there.
    #[error(
        "the directory has no version {version} with commit id {}; name one that it has in common with the new primary, or \
         restore it from a backup",
        hex(commit_id)
    )]
    NotThere {
        /// The requested version.
        version: u64,
        /// Its commit id.
        commit_id: Digest,
    },
    /// The cursors cannot be read.
    #[error(transparent)]
    Cursors(#[from] ReadFileError<CursorsError>),
}

impl Rewind {
    /// Locks a directory that no engine has open, and reads its log.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`](crate::Engine::open).
    pub fn begin(config: &Config) -> Result<Self, OpenError> {
        Self::begin_on(None, config)
    }

    /// Does what [`Self::begin`] does, on a given disk, if there is one.
    pub(crate) fn begin_on(
        disk: Option<Arc<dyn Disk>>,
        config: &Config,
    ) -> Result<Self, OpenError> {
        config.validate()?;
        let claimed = directory::claim(disk, None, config)?;
        let directory = &claimed.directory;
        if claimed.is_new {
            return Err(OpenError::NoTree {
                path: directory.clone(),
            });
        }
        let found = recovery::find(&*claimed.disk, directory, &claimed.params)?;
        let from = LogPosition::of(&found.marker.record);
        let mut positions = vec![from];
        let log = CommitLog::read(
            claimed.disk.clone(),
            &directory.join(LOG_DIRECTORY),
            claimed.params.tree_id(),
            from,
            |entry| {
                positions.push(LogPosition::of(&entry.record));
                Ok::<_, ReplayError>(())
            },
        )?;
        Ok(Self {
            marker: found.marker,
            log,
            positions,
            config: config.clone(),
            claimed,
        })
    }

    /// Returns the parameters of the tree.
    pub fn params(&self) -> TreeParams {
        self.claimed.params
    }

    /// Returns the last version.
    pub fn last(&self) -> LogPosition {
        self.positions[self.positions.len() - 1]
    }

    /// Returns the versions to which the directory can be rewound, in ascending order. The last one is the current
    /// version.
    pub fn positions(&self) -> &[LogPosition] {
        match self.marker.intent {
            // Leaves of the intended version may be stored.
            Some(intent) => {
                let first = intent - self.marker.record.version;
                self.positions.get(first as usize..).unwrap_or_default()
            }
            None => &self.positions,
        }
    }

    /// Returns the entries after a version, as far as the log still has them.
    pub fn entries_after(
        &self,
        version: u64,
    ) -> impl Iterator<Item = Result<LogEntry, FeedError>> + use<> {
        let (claimed, last) = (&self.claimed, self.last().version);
        let log = claimed.directory.join(LOG_DIRECTORY);
        let tree_id = claimed.params.tree_id();
        let mut follower = LogFollower::new(
            claimed.disk.clone(),
            &log,
            tree_id,
            version.saturating_add(1),
        );
        std::iter::from_fn(move || {
            let has_more = follower.next_version() <= last;
            has_more.then(|| follower.read_next().map_err(FeedError::from))
        })
    }

    /// Rewinds the directory to a version and marks it as a replica's. The later versions are gone when the call
    /// returns.
    ///
    /// # Errors
    ///
    /// Fails if a checkpoint has gone beyond the version, if the version does not exist, or if the system cannot write.
    /// If it fails while it writes, the directory is a replica's, at the old version or at the new one.
    pub fn finish(self, to: LogPosition) -> Result<(), RewindError> {
        let stored = self.marker.intent.unwrap_or(self.marker.record.version);
        if to.version < stored {
            return Err(RewindError::Checkpoint {
                checkpoint: stored,
                to: to.version,
            });
        }
        if !self.positions.contains(&to) {
            return Err(RewindError::NotThere {
                version: to.version,
                commit_id: to.commit_id,
            });
        }
        let (disk, directory) = (&*self.claimed.disk, &*self.claimed.directory);
        let tree_id = self.claimed.params.tree_id();
        let mut cursors = feed_cursors::read(disk, directory, &tree_id)?;
        cursors.retain(|_, version| *version <= to.version);
        let epoch = replica_file::read(disk, directory, &tree_id).map_err(OpenError::from)?;
        replica_file::write(disk, directory, &tree_id, epoch.unwrap_or(0))
            .and_then(|()| feed_cursors::write(disk, directory, &tree_id, &cursors))
            .map_err(unusable(directory))?;
        let options = LogOptions {
            segment_bytes_max: self.config.log.segment_bytes_max,
            ..LogOptions::new(entropy::bytes())
        };
        let begun = self.log.up_to(to).begin::<ReplayError>(options);
        let (log, _) = begun.map_err(OpenError::from)?;
        Ok(log.close().map_err(OpenError::from)?)
    }
}

impl std::fmt::Debug for Rewind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rewind")
            .field("directory", &self.claimed.directory)
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}
