//! One backup: the part of a tree's history that the archive lacks, and a base if one is needed.

use trunkline::core::frame::SecretKey;
use trunkline::core::hash::Digest;
use trunkline::core::store::archive::BaseName;
use trunkline::core::store::log::LogPosition;
use trunkline::{FeedError, ReadError, Snapshot};

use crate::archive::Archive;
use crate::base::{self, BaseError, BaseReader};
use crate::catalog::Catalog;
use crate::error::{AccessError, WriteError};
use crate::segments::{self, SegmentAppender};
use crate::source::Source;

/// The condition on which a backup makes a base.
///
/// ```
/// use trunkline_archive::BasePolicy;
/// assert_eq!(BasePolicy::default(), BasePolicy::IfNeeded);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BasePolicy {
    /// If the archive cannot be continued without one.
    #[default]
    IfNeeded,
    /// Always.
    Always,
    /// Never: a backup that needs one fails.
    Never,
}

/// The reason why a base is needed.
///
/// ```
/// use trunkline_archive::BaseReason;
/// let reason = BaseReason::Gap { first: 17, last: 40 };
/// assert!(reason.to_string().starts_with("the log no longer has the versions 17 to 40"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseReason {
    /// The archive has no base.
    #[error("the archive has no base yet")]
    None,
    /// The caller requested it.
    #[error("a base was requested")]
    Asked,
    /// The log was trimmed before the archive had these versions.
    #[error(
        "the log no longer has the versions {first} to {last}, which the archive lacks; none of them can be restored: archive more often, or let a cursor hold the log back"
    )]
    Gap {
        /// The first version that the archive has lost.
        first: u64,
        /// The last of these versions.
        last: u64,
    },
    /// The archive has nothing of this tree's history.
    #[error("the archive has nothing of this tree's history")]
    Diverged,
}

/// The result of a backup.
///
/// ```
/// use trunkline_archive::Backup;
/// let last = trunkline::core::store::log::LogPosition { version: 9, commit_id: [1; 32] };
/// let nothing_new = Backup { before: Some(last), base: None, last, versions: 0 };
/// assert!(nothing_new.base.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The last position of this history that the archive had before.
    pub before: Option<LogPosition>,
    /// The base that was made, with the reason.
    pub base: Option<(BaseName, BaseReason)>,
    /// The last position that the archive has now.
    pub last: LogPosition,
    /// Number of versions that were written in segments.
    pub versions: u64,
}

/// The reason why a backup failed. Its written objects stay, and the next backup continues with them.
///
/// ```
/// use trunkline_archive::BackupError;
/// assert!(BackupError::NotSynced.retry_can_help());
/// ```
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// An object was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// No base was written.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A base is needed but not allowed.
    #[error("a new base is needed: {0}; allow it with --base")]
    NeedsBase(BaseReason),
    /// The entries of the tree cannot be read.
    #[error("the log cannot be read")]
    Feed(#[from] FeedError),
    /// None of the readable versions is synced.
    #[error(
        "none of the readable versions is synced yet; try again after the next sync, or use durability.mode = \"sync\""
    )]
    NotSynced,
}

impl BackupError {
    /// Returns whether the next attempt may succeed: if the store did not answer, if the snapshot for a base was held
    /// too long, or if nothing is synced yet.
    pub fn retry_can_help(&self) -> bool {
        match self {
            Self::Write(WriteError::Access(error))
            | Self::Base(BaseError::Write(WriteError::Access(error))) => error.may_pass(),
            Self::Base(BaseError::Read { source, .. }) => {
                source.retry_can_help() || matches!(source, ReadError::Expired { .. })
            }
            Self::NotSynced => true,
            _ => false,
        }
    }
}

impl From<AccessError> for BackupError {
    fn from(error: AccessError) -> Self {
        Self::Write(error.into())
    }
}

impl Archive {
    /// Backs a tree up to its last synced version: writes the segments that the archive lacks, and a base if one is
    /// requested or needed. Frames are signed if there is a key.
    ///
    /// A full backup is the first one, or one with [`BasePolicy::Always`]. All others are incremental.
    ///
    /// # Errors
    ///
    /// Fails if the archive cannot be written, or is of another tree; if the tree cannot be read; or if a base is
    /// needed but not allowed. A failed backup can be repeated, and then continues.
    pub async fn back_up(
        &self,
        source: &Source,
        policy: BasePolicy,
        key: Option<SecretKey>,
    ) -> Result<Backup, BackupError> {
        let params = source.params();
        self.prepare(&params).await?;
        let snapshot = source.snapshot().await?;
        let (snapshot, keyed) = snapshot.ok_or(BackupError::NotSynced)?;
        let catalog = self.catalog().await?;
        let before = known_position(self, &catalog, &snapshot).await?;
        let run = Run {
            archive: self,
            source,
            tree_id: params.tree_id(),
            key,
            until: LogPosition {
                version: snapshot.version(),
                commit_id: snapshot.commit_id(),
            },
        };
        let appended = match before {
            Some(before) => run.append_after(before).await?,
            None => Appended::default(),
        };
        let reason = match (before, appended.gap) {
            (_, Some(gap)) => Some(gap),
            (None, None) if catalog.is_empty() => Some(BaseReason::None),
            (None, None) => Some(BaseReason::Diverged),
            (Some(_), None) => (policy == BasePolicy::Always).then_some(BaseReason::Asked),
        };
        let base = match reason {
            Some(reason) if policy == BasePolicy::Never => {
                return Err(BackupError::NeedsBase(reason));
            }
            Some(reason) => Some((base::write(self, snapshot, keyed).await?, reason)),
            None => None,
        };
        Ok(Backup {
            before,
            base,
            last: run.until,
            versions: appended.versions,
        })
    }
}

/// A backup in progress.
struct Run<'a> {
    archive: &'a Archive,
    source: &'a Source,
    tree_id: Digest,
    key: Option<SecretKey>,
    /// The position up to which it goes.
    until: LogPosition,
}

/// The result of appending to the archive.
#[derive(Default)]
struct Appended {
    versions: u64,
    gap: Option<BaseReason>,
}

impl Run<'_> {
    /// Appends the versions after a position, unless the log lacks some of them.
    async fn append_after(&self, before: LogPosition) -> Result<Appended, BackupError> {
        let archive = self.archive.clone();
        let mut appender = SegmentAppender::new(archive, self.tree_id, before, self.key.clone());
        let mut entries = self.source.entries(before.version + 1);
        for version in before.version + 1..=self.until.version {
            let entry = match entries.next().await {
                Err(FeedError::Gap { wanted, oldest }) if version == before.version + 1 => {
                    let (first, last) = (wanted, oldest - 1);
                    return Ok(Appended {
                        versions: 0,
                        gap: Some(BaseReason::Gap { first, last }),
                    });
                }
                entry => entry?,
            };
            if appender.must_write_before(&entry) {
                appender.write().await?;
            }
            appender.append(entry)?;
        }
        appender.write().await?;
        Ok(Appended {
            versions: self.until.version - before.version,
            gap: None,
        })
    }
}

/// Returns the last position of the archive that is in the history of a snapshot. An archive that another primary has
/// continued in a later epoch is refused: anything written to it would be superseded.
pub(crate) async fn known_position(
    archive: &Archive,
    catalog: &Catalog,
    snapshot: &Snapshot,
) -> Result<Option<LogPosition>, BackupError> {
    let record = snapshot.record();
    let (live, tree_id) = (catalog.live(), record.tree_id);
    let Some(base) = live.bases.last() else {
        return Ok(None);
    };
    let route = live.route_from(*base, u64::MAX);
    for (name, end) in route.segments.iter().rev() {
        let segment = segments::read(archive, &tree_id, *name).await?;
        let last = match *end < name.last_version {
            true => LogPosition::of(&segments::frame(*name, &segment, *end)?.entry.record),
            false => segment.last,
        };
        for position in [last, segment.parent] {
            if is_known(snapshot, position)? {
                return Ok(Some(position));
            }
            check_epoch(catalog, snapshot, position)?;
        }
    }
    let position = BaseReader::open(archive, &tree_id, *base).await?.position();
    if is_known(snapshot, position)? {
        return Ok(Some(position));
    }
    check_epoch(catalog, snapshot, position)?;
    Ok(None)
}

/// Returns whether a position is in the history of a snapshot.
fn is_known(snapshot: &Snapshot, position: LogPosition) -> Result<bool, BackupError> {
    Ok(position.version <= snapshot.version()
        && base::commit_id(snapshot, position.version)? == position.commit_id)
}

/// Checks that the epoch of a snapshot is above all archived ones, which is required if the archive has a position that
/// the snapshot does not know.
fn check_epoch(
    catalog: &Catalog,
    snapshot: &Snapshot,
    archived: LogPosition,
) -> Result<(), WriteError> {
    match snapshot.record().open_epoch > catalog.epoch_max() {
        true => Ok(()),
        false => Err(WriteError::Diverged { archived }),
    }
}
