//! Verifies an archive on its own: every object by its checksum, then every base and the versions after it by
//! rebuilding the state.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use trunkline::Config;
use trunkline::core::hash::Digest;
use trunkline::core::params::TreeParams;
use trunkline::core::store::archive::manifest::Part;
use trunkline::core::store::archive::part::{decode_commit_ids, decode_keyed, decode_leaves};
use trunkline::core::store::archive::{BaseName, ObjectError, PartName, SegmentName};
use trunkline::core::store::log::LogPosition;

use crate::archive::Archive;
use crate::base::{BaseReader, PARTS_AT_ONCE};
use crate::catalog::{Catalog, Live};
use crate::error::AccessError;
use crate::restore::{RestoreError, Shown, Trust};
use crate::segments;

/// The result of verifying an archive.
///
/// ```
/// let found = trunkline_archive::Verified::default();
/// assert!(found.is_whole()); // an empty archive lacks nothing
/// ```
#[derive(Debug, Default)]
pub struct Verified {
    /// Objects that are damaged, each with the reason.
    pub damaged: Vec<(String, RestoreError)>,
    /// Versions before a later base that no segment has: first and last of each range. They cannot be restored, but
    /// later ones can.
    pub lost: Vec<(u64, u64)>,
    /// Versions after the last base that no segment has: first and last of each range. Neither they nor later ones can
    /// be restored.
    pub holes: Vec<(u64, u64)>,
    /// The bases that were rebuilt, each with the last version that was reached from it.
    pub rebuilt: Vec<(BaseName, LogPosition)>,
    /// The guarantee for everything that was rebuilt; `None` if nothing was rebuilt, or if something is damaged.
    pub shown: Option<Shown>,
    /// Bases without a manifest.
    pub unfinished: Vec<BaseName>,
    /// Objects that do not belong to an archive.
    pub others: Vec<String>,
    /// Number of objects that were read.
    pub objects: u64,
}

impl Verified {
    /// Returns whether no object is damaged and the last version can be reached.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.holes.is_empty()
    }
}

/// The reason why an archive was not verified.
///
/// ```
/// use trunkline_archive::{AccessError, VerifyError};
/// let error = VerifyError::from(AccessError::Missing { object: "tree".to_owned() });
/// assert_eq!(error.to_string(), "the archive has no object tree");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store does not answer, or there is no archive.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A directory could not be removed.
    #[error("{} cannot be removed", path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Archive {
    /// Verifies the archive. Reads every object, and checks its checksum and its form. If a configuration is given, it
    /// also rebuilds the state of every base, and of every version after it up to the next base, in the directory of
    /// that configuration, which must be absent, and is removed again. State digests, key counts, histories, outcomes
    /// and KZG roots are computed from the archive alone, and compared with the records.
    ///
    /// The author of the archive is verified only if a commit id (of the last version) or a key is trusted.
    ///
    /// # Errors
    ///
    /// Fails if the store does not answer, or if there is no archive. Damage is not an error but a finding.
    pub async fn verify(
        &self,
        rebuild: Option<&Config>,
        trust: &Trust,
    ) -> Result<Verified, VerifyError> {
        let params = self.params().await?;
        let catalog = self.catalog().await?;
        let tree_id = params.tree_id();
        let live = catalog.live();
        let (mut lost, mut holes) = (Vec::new(), Vec::new());
        for (index, base) in live.bases.iter().enumerate() {
            let next = live.bases.get(index + 1).map(|next| next.version);
            let missing = missing_after(&live, *base, next);
            match next {
                Some(_) => lost.extend(missing),
                None => holes.extend(missing),
            }
        }
        let mut found = Verified {
            lost,
            holes,
            unfinished: catalog.unfinished().collect(),
            others: catalog.others().to_vec(),
            ..Verified::default()
        };
        for base in catalog.bases() {
            self.check_base(&tree_id, base, &mut found).await?;
        }
        self.check_segments(&tree_id, &catalog, &mut found).await?;
        match rebuild {
            Some(config) => self.rebuild(&catalog, params, config, trust, found).await,
            None => Ok(found),
        }
    }

    async fn check_base(
        &self,
        tree_id: &Digest,
        name: BaseName,
        found: &mut Verified,
    ) -> Result<(), AccessError> {
        let manifest = format!("{name}/{}", PartName::Manifest);
        let opened = BaseReader::open(self, tree_id, name).await;
        let Some(base) = found.note(manifest, opened)? else {
            return Ok(());
        };
        let mut checked = stream::iter(base.parts())
            .map(async |(name, part)| (base.path(name), check_part(&base, name, part).await))
            .buffered(PARTS_AT_ONCE);
        while let Some((object, read)) = checked.next().await {
            found.note(object, read)?;
        }
        Ok(())
    }

    async fn check_segments(
        &self,
        tree_id: &Digest,
        catalog: &Catalog,
        found: &mut Verified,
    ) -> Result<(), AccessError> {
        let mut checked = stream::iter(catalog.segments())
            .map(async |name| (name, check_segment(self, tree_id, name).await))
            .buffered(PARTS_AT_ONCE);
        while let Some((name, read)) = checked.next().await {
            found.note(name.to_string(), read)?;
        }
        Ok(())
    }

    /// Rebuilds the live objects.
    async fn rebuild(
        &self,
        catalog: &Catalog,
        params: TreeParams,
        config: &Config,
        trust: &Trust,
        mut found: Verified,
    ) -> Result<Verified, VerifyError> {
        let live = catalog.live();
        let mut shown = (!live.bases.is_empty()).then_some(Shown::Authentic);
        for (index, base) in live.bases.iter().enumerate() {
            let next = live.bases.get(index + 1);
            let route = live.route_from(*base, next.map_or(u64::MAX, |next| next.version));
            let built = self
                .build(catalog, &route, params, config, &trust.keys)
                .await;
            remove(&config.engine.directory)?;
            let built = built.and_then(|built| {
                let trust = Trust {
                    commit_id: trust.commit_id.filter(|_| next.is_none()),
                    keys: trust.keys.clone(),
                };
                let judged = match built.shown(&trust) {
                    Err(RestoreError::NotSigned { .. }) => Shown::Consistent,
                    judged => judged?,
                };
                Ok((built.position, judged))
            });
            match built {
                Ok((position, judged)) => {
                    self.check_next(&params, next, position, &mut found).await?;
                    found.rebuilt.push((*base, position));
                    shown = shown
                        .filter(|_| judged == Shown::Authentic)
                        .or(Some(Shown::Consistent));
                }
                Err(RestoreError::Access(error)) if error.may_pass() => return Err(error.into()),
                // A damaged object was found before.
                Err(RestoreError::Access(_)) => {}
                Err(error) => found.damaged.push((base.to_string(), error)),
            }
        }
        found.shown = shown.filter(|_| found.damaged.is_empty());
        Ok(found)
    }

    /// Checks that the reached position is the next base, if it is of that version.
    async fn check_next(
        &self,
        params: &TreeParams,
        next: Option<&BaseName>,
        reached: LogPosition,
        found: &mut Verified,
    ) -> Result<(), AccessError> {
        let Some(next) = next.filter(|next| next.version == reached.version) else {
            return Ok(());
        };
        match BaseReader::open(self, &params.tree_id(), *next).await {
            Ok(base) if base.position() != reached => {
                let error = RestoreError::OtherCommit {
                    found: base.position(),
                    expected: reached.commit_id,
                };
                found.damaged.push((next.to_string(), error));
                Ok(())
            }
            Err(error) if error.may_pass() => Err(error),
            _ => Ok(()),
        }
    }
}

impl Verified {
    /// Notes an object that was read, or its damage. Fails if the store does not answer.
    fn note<T>(
        &mut self,
        object: String,
        read: Result<T, AccessError>,
    ) -> Result<Option<T>, AccessError> {
        self.objects += 1;
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                self.damaged.push((object, error.into()));
                Ok(None)
            }
        }
    }
}

/// Reads a part.
async fn check_part(base: &BaseReader, name: PartName, part: Part) -> Result<(), AccessError> {
    let bytes = base.part(name, part).await?;
    let decoded = match name {
        PartName::Leaves(index) => decode_leaves(&base.place(index), &bytes).map(drop),
        PartName::CommitIds(index) => decode_commit_ids(&base.place(index), &bytes).map(drop),
        PartName::IdempotencyKeys(index) => decode_keyed(&base.place(index), &bytes).map(drop),
        PartName::Manifest => Ok(()),
    };
    decoded.map_err(|source| AccessError::Object {
        object: base.path(name),
        source,
    })
}

/// Reads a segment, and checks that each version follows the previous one.
async fn check_segment(
    archive: &Archive,
    tree_id: &Digest,
    name: SegmentName,
) -> Result<(), AccessError> {
    let segment = segments::read(archive, tree_id, name).await?;
    let wrong = |what| AccessError::Object {
        object: name.to_string(),
        source: ObjectError::Contradiction(what),
    };
    let mut last = segment.parent;
    for version in name.first_version..=name.last_version {
        let record = segments::frame(name, &segment, version)?.entry.record;
        if record.parent != last.commit_id {
            return Err(wrong("a version in it does not follow from the one before"));
        }
        last = LogPosition::of(&record);
    }
    match last == segment.last {
        true => Ok(()),
        false => Err(wrong("its last version is not the one that it names")),
    }
}

/// Returns the versions that are missing after a base: the first and the last of them.
fn missing_after(live: &Live, base: BaseName, next: Option<u64>) -> Option<(u64, u64)> {
    let until = next.unwrap_or(u64::MAX);
    let reached = live.route_from(base, until).version;
    let found = live.first_after(reached, until).or(next)?;
    (found > reached + 1).then_some((reached + 1, found - 1))
}

fn remove(directory: &Path) -> Result<(), VerifyError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(VerifyError::Scratch {
            path: directory.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
