//! Restores a version: builds the newest base before it, then applies the frames after it with a replica.
//!
//! Everything is written to a directory next to the target, which gets the target's name at the end. So the target is
//! created atomically, and an interrupted restore starts again from the beginning.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::spawn_blocking;
use trunkline::core::frame::{Frame, PublicKey, SecretKey, SignatureError};
use trunkline::core::hash::{Digest, hex};
use trunkline::core::params::TreeParams;
use trunkline::core::store::archive::part::{decode_commit_ids, decode_keyed, decode_leaves};
use trunkline::core::store::archive::segment::Segment;
use trunkline::core::store::archive::{BaseName, PartName, SegmentName};
use trunkline::core::store::disk::{Disk, OsDisk};
use trunkline::core::store::lock::LOCK_FILE;
use trunkline::core::store::log::{LOG_DIRECTORY, LogPosition};
use trunkline::core::store::replica_file;
use trunkline::{
    ApplyError, Base, Bootstrap, BootstrapError, Config, Engine, EngineFailure, OpenError, Replica,
    WaitError,
};

use crate::archive::Archive;
use crate::base::{BaseReader, PARTS_AT_ONCE};
use crate::catalog::{Catalog, Route, RouteError};
use crate::error::AccessError;
use crate::segments;

/// The suffix of the name of a directory that is being restored.
const RESTORING_SUFFIX: &str = ".restoring";
/// Number of segments that are read ahead of the replica.
const SEGMENTS_AHEAD: usize = 2;

/// Values that are trusted about an archive, from a source other than the archive.
///
/// ```
/// let nothing = trunkline_archive::Trust::default();
/// assert!(nothing.commit_id.is_none() && nothing.keys.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The commit id of the version that is restored.
    pub commit_id: Option<Digest>,
    /// The keys of the primaries that may have written the archive.
    pub keys: Vec<PublicKey>,
}

/// The guarantee for a restored or verified version.
///
/// ```
/// use trunkline_archive::Shown;
/// assert_eq!(Shown::Consistent.to_string(), "consistent");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Everything is consistent. The writer of the archive could have made it up.
    Consistent,
    /// The version is the one that the trusted commit id or key vouches for.
    Authentic,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Consistent => "consistent",
            Self::Authentic => "authentic",
        })
    }
}

/// The result of a restore.
///
/// ```
/// use trunkline_archive::{Restored, Shown};
/// # use trunkline::core::store::{archive::BaseName, log::LogPosition};
/// # let (base, position) = (BaseName { version: 7, open_epoch: 1 }, LogPosition { version: 9, commit_id: [1; 32] });
/// let restored = Restored { base, position, epoch_max: 1, shown: Shown::Consistent };
/// assert_eq!(restored.position.version - restored.base.version, 2); // applied from segments
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The base that the restore began with.
    pub base: BaseName,
    /// The version with its commit id.
    pub position: LogPosition,
    /// The highest open epoch in the archive. When the directory is promoted, it takes a higher one.
    pub epoch_max: u64,
    /// The result of the checks.
    pub shown: Shown,
}

/// The reason why nothing was restored. The target is unchanged.
///
/// ```
/// use trunkline_archive::RestoreError;
/// let error = RestoreError::NotSigned { version: 7 };
/// assert!(error.to_string().starts_with("no frame in the archive shows who wrote version 7"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// An object cannot be read.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The archive does not lead to the version.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The target is not empty.
    #[error("directory {} is not empty; restore into another one, or move it away", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// A directory could not be written.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The base cannot be used.
    #[error("{base} cannot be restored")]
    Base {
        /// The base.
        base: BaseName,
        /// The cause.
        source: Box<BootstrapError>,
    },
    /// The restored directory cannot be opened.
    #[error("the restored directory cannot be opened")]
    Open(#[from] Box<OpenError>),
    /// A version does not follow from the previous one.
    #[error(
        "version {version} in {segment} cannot be applied; the archive is damaged, or was changed"
    )]
    Apply {
        /// The version.
        version: u64,
        /// The segment with the version.
        segment: SegmentName,
        /// The cause.
        source: Box<ApplyError>,
    },
    /// The state differs from that of a record.
    #[error(
        "the archived state is not the one that its records name; the archive was changed, or is damaged"
    )]
    Differs(#[from] EngineFailure),
    /// No trusted key signed a version.
    #[error("version {version} in {segment} is not authentic")]
    Signature {
        /// The version.
        version: u64,
        /// The segment with the version.
        segment: SegmentName,
        /// The cause.
        source: SignatureError,
    },
    /// Nothing shows that a base is authentic.
    #[error(
        "no frame in the archive shows who wrote version {version}; restore a later version that has one, or trust a commit id instead of a key"
    )]
    NotSigned {
        /// The version.
        version: u64,
    },
    /// The commit id is not the trusted one.
    #[error("version {} has commit id {}, not the trusted {}", found.version, hex(&found.commit_id), hex(expected))]
    OtherCommit {
        /// The position that the archive leads to.
        found: LogPosition,
        /// The trusted commit id.
        expected: Digest,
    },
}

impl From<OpenError> for RestoreError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl Archive {
    /// Restores a version, or the last one, into the directory of a configuration, which must be absent or empty. The
    /// result is the directory of a replica at that version, with the commit ids that it had.
    ///
    /// Everything is checked: checksums, the state digest, key count, history and KZG root of the base and of every
    /// version after it. The author is checked only if a commit id or a key is trusted.
    ///
    /// # Errors
    ///
    /// Fails if the archive has no route to the version, if an object is damaged, if the archive does not match the
    /// trusted values, or if the directory cannot be written. The target is then unchanged.
    pub async fn restore(
        &self,
        version: Option<u64>,
        config: &Config,
        trust: &Trust,
    ) -> Result<Restored, RestoreError> {
        let target = &config.engine.directory;
        let target = std::path::absolute(target).map_err(in_path(target))?;
        check_empty(&target)?;
        let (params, catalog) = (self.params().await?, self.catalog().await?);
        let route = catalog.route(version)?;
        let directory = restoring_name(&target);
        begin_anew(&directory)?;
        let mut staged = config.clone();
        staged.engine.directory.clone_from(&directory);
        let built = self
            .build(&catalog, &route, params, &staged, &trust.keys)
            .await?;
        let (position, shown) = (built.position, built.shown(trust)?);
        let epoch_max = catalog.epoch_max();
        replica_file::write(&OsDisk, &directory, &params.tree_id(), epoch_max)
            .map_err(in_path(&directory))?;
        check_empty(&target)?;
        let parent = target.parent().unwrap_or(Path::new("/"));
        OsDisk
            .rename(&directory, &target)
            .and_then(|()| OsDisk.sync_directory(parent))
            .map_err(in_path(&target))?;
        Ok(Restored {
            base: route.base,
            position,
            epoch_max,
            shown,
        })
    }

    /// Builds the directory of a replica at the end of a route. Each frame on the route must be signed by one of the
    /// keys, if there are any.
    pub(crate) async fn build(
        &self,
        catalog: &Catalog,
        route: &Route,
        params: TreeParams,
        config: &Config,
        keys: &[PublicKey],
    ) -> Result<Built, RestoreError> {
        let tree_id = params.tree_id();
        let base = BaseReader::open(self, &tree_id, route.base).await?;
        if route.base.version > 0 {
            restore_base(&base, params, config).await?;
        }
        let applier = Applier::open(config, params, keys).await?;
        let applied = applier.apply(self, route).await;
        let position = applier.replica.position();
        let closed = applier.replica.shutdown().await;
        applied?;
        closed?;
        // A frame after the base names the base as its parent.
        let is_signed = match keys {
            [] => false,
            _ if !route.segments.is_empty() => true,
            keys => is_signed(self, catalog, base.position(), &tree_id, keys).await?,
        };
        Ok(Built {
            position,
            is_signed,
        })
    }
}

/// The directory of a replica, built from an archive.
pub(crate) struct Built {
    pub(crate) position: LogPosition,
    /// True if a trusted key signed the last version, or one that follows from it.
    is_signed: bool,
}

impl Built {
    /// Returns the guarantee, or an error if it is less than the trusted values require.
    pub(crate) fn shown(&self, trust: &Trust) -> Result<Shown, RestoreError> {
        let found = self.position;
        match trust.commit_id {
            Some(expected) if expected != found.commit_id => {
                Err(RestoreError::OtherCommit { found, expected })
            }
            Some(_) => Ok(Shown::Authentic),
            None if self.is_signed => Ok(Shown::Authentic),
            None if trust.keys.is_empty() => Ok(Shown::Consistent),
            None => Err(RestoreError::NotSigned {
                version: found.version,
            }),
        }
    }
}

/// Builds the directory of a base.
async fn restore_base(
    base: &BaseReader,
    params: TreeParams,
    config: &Config,
) -> Result<(), RestoreError> {
    let (sender, parts) = channel(1);
    let (reader, config) = (base.clone(), config.clone());
    let building = spawn_blocking(move || build_base(&reader, params, &config, parts));
    let mut read = stream::iter(base.parts())
        .map(async |(name, part)| base.part(name, part).await.map(|bytes| (name, bytes)))
        .buffered(PARTS_AT_ONCE);
    while let Some(part) = read.next().await {
        // The receiver is gone if the building has failed; that error is returned below.
        if sender.send(part).await.is_err() {
            break;
        }
    }
    drop(sender);
    let built = building.await;
    built.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// A part, or the reason why it could not be read.
type ReadPart = Result<(PartName, Bytes), AccessError>;

fn build_base(
    base: &BaseReader,
    params: TreeParams,
    config: &Config,
    mut parts: Receiver<ReadPart>,
) -> Result<(), RestoreError> {
    let wrong = |source| RestoreError::Base {
        base: base.name,
        source: Box::new(source),
    };
    let state = &base.manifest.state;
    let bootstrap = Bootstrap::begin(
        config,
        Base {
            params,
            record: state.record.clone(),
            kzg_root: state.kzg_root,
        },
    );
    let mut bootstrap = bootstrap.map_err(wrong)?;
    while let Some(part) = parts.blocking_recv() {
        let (name, bytes) = part?;
        let damaged = |source| AccessError::Object {
            object: base.path(name),
            source,
        };
        match name {
            PartName::Leaves(index) => {
                let leaves = decode_leaves(&base.place(index), &bytes).map_err(damaged)?;
                let leaves: Vec<_> = leaves.iter().map(|leaf| (leaf.key, leaf.value)).collect();
                bootstrap.add_leaves(&leaves).map_err(wrong)?;
            }
            PartName::CommitIds(index) => {
                let commit_ids = decode_commit_ids(&base.place(index), &bytes).map_err(damaged)?;
                bootstrap.add_commit_ids(&commit_ids).map_err(wrong)?;
            }
            PartName::IdempotencyKeys(index) => {
                let keyed = decode_keyed(&base.place(index), &bytes).map_err(damaged)?;
                bootstrap.add_idempotency_keys(&keyed).map_err(wrong)?;
            }
            PartName::Manifest => {}
        }
    }
    bootstrap.finish().map_err(wrong)
}

/// Applies archived frames to a replica.
struct Applier<'a> {
    replica: Replica,
    tree_id: Digest,
    /// The trusted keys.
    keys: &'a [PublicKey],
    /// The key that signs, for the replica, frames that were checked here: frames in an archive may be unsigned.
    own_key: SecretKey,
}

impl<'a> Applier<'a> {
    async fn open(
        config: &Config,
        params: TreeParams,
        keys: &'a [PublicKey],
    ) -> Result<Self, RestoreError> {
        let own_key = SecretKey::generate(params.tree_id());
        let builder = Engine::builder(config.clone()).params(&params);
        Ok(Self {
            replica: builder.open_replica(vec![own_key.public()]).await?,
            tree_id: params.tree_id(),
            keys,
            own_key,
        })
    }

    /// Applies the segments of a route, and waits until the last version is durable.
    async fn apply(&self, archive: &Archive, route: &Route) -> Result<(), RestoreError> {
        let segments = stream::iter(&route.segments)
            .map(async |(name, end)| {
                let segment = segments::read(archive, &self.tree_id, *name).await?;
                Ok::<_, RestoreError>((*name, segment, *end))
            })
            .buffered(SEGMENTS_AHEAD);
        let applied = segments
            .try_for_each(async |(name, segment, end)| {
                self.apply_segment(name, &segment, end).await
            })
            .await;
        // A state that differs stops the replica; that error then comes first.
        if let Some(failure) = self.replica.failure() {
            return Err(failure.into());
        }
        applied?;
        match self.replica.wait_for(route.version).await {
            Err(WaitError::Engine(failure)) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    async fn apply_segment(
        &self,
        name: SegmentName,
        segment: &Segment,
        end: u64,
    ) -> Result<(), RestoreError> {
        for version in self.replica.last_taken().version + 1..=end {
            let frame = segments::frame(name, segment, version)?;
            if !self.keys.is_empty() {
                let signed = frame.verify(self.keys);
                signed.map_err(|source| RestoreError::Signature {
                    version,
                    segment: name,
                    source,
                })?;
            }
            let frame = Frame::sign(frame.entry, &self.own_key);
            let applied = self.replica.apply(frame).await;
            applied.map_err(|source| RestoreError::Apply {
                version,
                segment: name,
                source: Box::new(source),
            })?;
        }
        Ok(())
    }
}

/// Returns whether a trusted key signed the version of a base: whether an archived frame of that version verifies.
async fn is_signed(
    archive: &Archive,
    catalog: &Catalog,
    base: LogPosition,
    tree_id: &Digest,
    keys: &[PublicKey],
) -> Result<bool, RestoreError> {
    let has_it = |segment: &SegmentName| {
        (segment.first_version..=segment.last_version).contains(&base.version)
    };
    for name in catalog.segments().filter(has_it) {
        let segment = segments::read(archive, tree_id, name).await?;
        let frame = segments::frame(name, &segment, base.version)?;
        let is_same = frame.entry.record.commit_id() == base.commit_id;
        if is_same && frame.verify(keys).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_path(path: &Path) -> impl Fn(io::Error) -> RestoreError {
    |source| RestoreError::Io {
        path: path.to_owned(),
        source,
    }
}

fn check_empty(target: &Path) -> Result<(), RestoreError> {
    match OsDisk.list(target) {
        Ok(names) if names.is_empty() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(RestoreError::NotEmpty {
            path: target.to_owned(),
        }),
        Err(error) => Err(in_path(target)(error)),
    }
}

fn restoring_name(target: &Path) -> PathBuf {
    let mut name = OsString::from(target);
    name.push(RESTORING_SUFFIX);
    PathBuf::from(name)
}

/// Names of which an interrupted restore leaves at least one: the mark of a replica, or a file that is written before
/// it.
const OWN_NAMES: [&str; 3] = [replica_file::REPLICA_FILE, LOCK_FILE, LOG_DIRECTORY];

/// Removes the remains of an interrupted restore, and nothing else. Makes sure that the parent directory exists.
fn begin_anew(directory: &Path) -> Result<(), RestoreError> {
    let failed = in_path(directory);
    let names = match OsDisk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        listed => Some(listed.map_err(&failed)?),
    };
    let is_own = |names: &Vec<String>| {
        names.is_empty() || names.iter().any(|name| OWN_NAMES.contains(&name.as_str()))
    };
    match names {
        Some(names) if !is_own(&names) => {
            return Err(RestoreError::NotEmpty {
                path: directory.to_owned(),
            });
        }
        Some(_) => std::fs::remove_dir_all(directory).map_err(&failed)?,
        None => {}
    }
    let parent = directory.parent();
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(failed)
}
