//! Lists the content of an archive, and finds the objects that lead to a version. Pure: it uses only names.
//!
//! Rules. A segment or a base of a later epoch supersedes those of earlier epochs from its first version on: a member
//! that was promoted or reopened begins an epoch above all earlier ones, and continues from a version that it has.
//! Within an epoch there is one history. So each version has one live epoch, and superseded objects are kept but never
//! restored.

use std::collections::BTreeMap;

use trunkline::core::store::archive::{BaseName, PartName, SegmentName, TREE_OBJECT};

use crate::archive::{Archive, Listed, ONCE_OBJECT};
use crate::error::AccessError;

/// The content of an archive.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let archive = trunkline_archive::Archive::at(directory.path().to_str().unwrap())?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let catalog = runtime.block_on(archive.catalog())?;
/// assert!(catalog.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    bases: BTreeMap<BaseName, Objects>,
    unfinished: BTreeMap<BaseName, Objects>,
    segments: BTreeMap<SegmentName, u64>,
    others: Vec<String>,
}

/// The objects of a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) parts: Vec<PartName>,
    pub(crate) bytes: u64,
    /// The time at which the store received the manifest.
    finished_unix_ms: u64,
}

/// The objects that lead to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The base with which to begin.
    pub base: BaseName,
    /// The segments after the base, in order, each with the last of its versions that counts. Neighbouring segments may
    /// overlap.
    pub segments: Vec<(SegmentName, u64)>,
    /// The version at which the route ends.
    pub version: u64,
}

/// The reason why no route leads to a version.
///
/// ```
/// use trunkline_archive::RouteError;
/// let error = RouteError::Hole { first: 17, last: 40 };
/// assert!(error.to_string().starts_with("the archive has no segment with the versions 17 to 40"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// There is no base.
    #[error("the archive has no finished base; make one with `trunkline backup`")]
    NoBase,
    /// All bases are of later versions.
    #[error(
        "the oldest base of the archive is of version {oldest}, after version {wanted}; ask for a version from {oldest} on"
    )]
    BeforeBases {
        /// The requested version.
        wanted: u64,
        /// The version of the oldest base.
        oldest: u64,
    },
    /// Versions are missing before others.
    #[error("the archive has no segment with the versions {first} to {last}; restore them from a copy of the archive, make a new base with `trunkline backup --base`, or ask for a version up to {}", first - 1)]
    Hole {
        /// The first version that is missing.
        first: u64,
        /// The last missing version.
        last: u64,
    },
    /// The archive ends before the version.
    #[error(
        "the archive ends at version {last}, before version {wanted}; ask for a version up to {last}"
    )]
    AfterEnd {
        /// The requested version.
        wanted: u64,
        /// The last version of the archive.
        last: u64,
    },
}

impl Archive {
    /// Lists the archive.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be listed.
    pub async fn catalog(&self) -> Result<Catalog, AccessError> {
        Ok(Catalog::of(self.list().await?))
    }
}

impl Catalog {
    pub(crate) fn of(listed: Vec<Listed>) -> Self {
        let mut catalog = Self::default();
        for Listed {
            path,
            bytes,
            modified_unix_ms,
        } in listed
        {
            if let Some(segment) = SegmentName::parse(&path) {
                catalog.segments.insert(segment, bytes);
            } else if let Some((base, part)) = PartName::parse(&path) {
                let objects = catalog.unfinished.entry(base).or_default();
                objects.parts.push(part);
                objects.bytes += bytes;
                if part == PartName::Manifest {
                    objects.finished_unix_ms = modified_unix_ms;
                }
            } else if path != TREE_OBJECT && path != ONCE_OBJECT {
                catalog.others.push(path);
            }
        }
        let is_finished =
            |_: &BaseName, objects: &mut Objects| objects.parts.contains(&PartName::Manifest);
        catalog.bases = catalog.unfinished.extract_if(.., is_finished).collect();
        catalog
    }

    /// Returns whether the archive has neither bases nor segments.
    pub fn is_empty(&self) -> bool {
        self.bases.is_empty() && self.unfinished.is_empty() && self.segments.is_empty()
    }

    /// Returns the finished bases in the order of their versions.
    pub fn bases(&self) -> impl DoubleEndedIterator<Item = BaseName> + '_ {
        self.bases.keys().copied()
    }

    /// Returns the bases without a manifest: a backup of them was interrupted, or is running.
    pub fn unfinished(&self) -> impl Iterator<Item = BaseName> + '_ {
        self.unfinished.keys().copied()
    }

    /// Returns the segments in the order of their versions.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = SegmentName> + '_ {
        self.segments.keys().copied()
    }

    /// Returns the objects that do not belong to an archive.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// Returns the bytes of all bases and segments.
    pub fn bytes(&self) -> u64 {
        let bases = self.bases.values().chain(self.unfinished.values());
        bases.map(|objects| objects.bytes).sum::<u64>() + self.segments.values().sum::<u64>()
    }

    /// Returns the highest open epoch of all bases and segments. A writer to a restored tree takes a higher one.
    pub fn epoch_max(&self) -> u64 {
        let bases = self.bases().map(|base| base.open_epoch);
        let segments = self.segments().map(|segment| segment.open_epoch);
        bases.chain(segments).max().unwrap_or(0)
    }

    /// Returns the objects of a finished or unfinished base.
    pub(crate) fn objects(&self, base: &BaseName) -> Option<&Objects> {
        self.bases.get(base).or_else(|| self.unfinished.get(base))
    }

    /// Returns the time at which the store received the manifest of a base.
    pub fn finished_unix_ms(&self, base: &BaseName) -> u64 {
        self.objects(base)
            .map_or(0, |objects| objects.finished_unix_ms)
    }

    pub(crate) fn segment_bytes(&self, segment: &SegmentName) -> u64 {
        self.segments.get(segment).copied().unwrap_or(0)
    }

    /// Returns the route to a version, or to the last one that the archive has.
    ///
    /// # Errors
    ///
    /// Fails if no base is at or before the version, or if versions between are missing. Missing versions before others
    /// are also an error if the last version is requested.
    pub fn route(&self, version: Option<u64>) -> Result<Route, RouteError> {
        let live = self.live();
        let wanted = version.unwrap_or(u64::MAX);
        let base = live.bases.iter().rev().find(|base| base.version <= wanted);
        let Some(base) = base.copied() else {
            return Err(match (live.bases.first(), version) {
                (Some(oldest), Some(wanted)) => RouteError::BeforeBases {
                    wanted,
                    oldest: oldest.version,
                },
                _ => RouteError::NoBase,
            });
        };
        let route = live.route_from(base, wanted);
        match live.first_after(route.version, wanted) {
            _ if route.version == wanted => Ok(route),
            Some(next) => Err(RouteError::Hole {
                first: route.version + 1,
                last: next - 1,
            }),
            None if version.is_none() => Ok(route),
            None => Err(RouteError::AfterEnd {
                wanted,
                last: route.version,
            }),
        }
    }

    /// Returns the objects that no later epoch supersedes.
    pub(crate) fn live(&self) -> Live {
        let mut floors: BTreeMap<u64, u64> = BTreeMap::new();
        let bases = self.bases().map(|base| (base.open_epoch, base.version));
        let segments = self
            .segments()
            .map(|segment| (segment.open_epoch, segment.first_version));
        for (epoch, first) in bases.chain(segments) {
            let floor = floors.entry(epoch).or_insert(first);
            *floor = first.min(*floor);
        }
        // The lowest first version of all later epochs.
        let mut lowest = u64::MAX;
        for floor in floors.values_mut().rev() {
            lowest = lowest.min(std::mem::replace(floor, lowest));
        }
        let floor = |epoch: u64| floors.get(&epoch).copied().unwrap_or(u64::MAX);
        let is_live = |base: &BaseName| base.version < floor(base.open_epoch);
        let end = |segment: SegmentName| {
            segment
                .last_version
                .min(floor(segment.open_epoch).saturating_sub(1))
        };
        let segments = self.segments().map(|segment| (segment, end(segment)));
        Live {
            bases: self.bases().filter(is_live).collect(),
            segments: segments
                .filter(|(segment, end)| segment.first_version <= *end)
                .collect(),
        }
    }
}

/// The objects that no later epoch supersedes.
#[derive(Debug)]
pub(crate) struct Live {
    /// The bases, in the order of their versions.
    pub(crate) bases: Vec<BaseName>,
    /// The segments, each with the last of its versions that is not superseded, in the order of their first versions.
    pub(crate) segments: Vec<(SegmentName, u64)>,
}

impl Live {
    /// Returns the route from a base as far as there are segments, but not beyond a version.
    pub(crate) fn route_from(&self, base: BaseName, wanted: u64) -> Route {
        let mut route = Route {
            base,
            segments: Vec::new(),
            version: base.version,
        };
        while route.version < wanted {
            let Some((segment, end)) = self.segment_with(route.version + 1) else {
                break;
            };
            route.version = wanted.min(end);
            route.segments.push((segment, route.version));
        }
        route
    }

    /// Returns the segment that extends furthest among those that have a version, with the last of its versions that
    /// counts.
    pub(crate) fn segment_with(&self, version: u64) -> Option<(SegmentName, u64)> {
        let begun = self
            .segments
            .partition_point(|(segment, _)| segment.first_version <= version);
        let reaching = self.segments[..begun].iter();
        reaching
            .filter(|(_, end)| *end >= version)
            .max_by_key(|(segment, end)| (*end, segment.open_epoch))
            .copied()
    }

    /// Returns whether segments have all versions from one to another.
    pub(crate) fn has_all(&self, from: u64, until: u64) -> bool {
        let mut next = from;
        while next <= until {
            match self.segment_with(next) {
                Some((_, end)) => next = end + 1,
                None => return false,
            }
        }
        true
    }

    /// Returns the first version after one, up to `wanted`, with which a segment begins.
    pub(crate) fn first_after(&self, version: u64, wanted: u64) -> Option<u64> {
        let mut firsts = self
            .segments
            .iter()
            .map(|(segment, _)| segment.first_version);
        let next = firsts.find(|first| *first > version)?;
        Some(next.min(wanted.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(bases: &[(u64, u64)], segments: &[(u64, u64, u64)]) -> Catalog {
        let bases = bases.iter().map(|(version, open_epoch)| {
            let base = BaseName {
                version: *version,
                open_epoch: *open_epoch,
            };
            format!("{base}/{}", PartName::Manifest)
        });
        let segments = segments.iter().map(|(first, last, epoch)| {
            let segment = SegmentName {
                first_version: *first,
                last_version: *last,
                open_epoch: *epoch,
            };
            segment.to_string()
        });
        Catalog::of(
            bases
                .chain(segments)
                .map(|path| Listed {
                    path,
                    bytes: 1,
                    modified_unix_ms: 0,
                })
                .collect(),
        )
    }

    fn firsts(route: &Route) -> Vec<(u64, u64)> {
        let segments = route.segments.iter();
        segments
            .map(|(segment, _)| (segment.first_version, segment.open_epoch))
            .collect()
    }

    #[test]
    fn a_route_begins_at_the_newest_base_before_the_version() {
        let catalog = catalog(
            &[(0, 0), (5, 1), (9, 1)],
            &[(1, 3, 1), (4, 7, 1), (8, 12, 1)],
        );
        let route = catalog.route(Some(8)).unwrap();
        assert_eq!((route.base.version, route.version), (5, 8));
        assert_eq!(firsts(&route), [(4, 1), (8, 1)]);
        let last = catalog.route(None).unwrap();
        assert_eq!(
            (last.base.version, last.version, firsts(&last)),
            (9, 12, vec![(8, 1)])
        );
        assert_eq!(catalog.route(Some(5)).unwrap().segments, []);
        let after = RouteError::AfterEnd {
            wanted: 13,
            last: 12,
        };
        assert_eq!(catalog.route(Some(13)), Err(after));
    }

    #[test]
    fn a_hole_is_named_and_a_base_behind_it_is_reached() {
        let with_hole = catalog(&[(2, 1)], &[(3, 4, 1), (8, 9, 1)]);
        let hole = Err(RouteError::Hole { first: 5, last: 7 });
        assert_eq!(with_hole.route(None), hole);
        assert_eq!(with_hole.route(Some(9)), hole);
        assert_eq!(
            with_hole.route(Some(6)),
            Err(RouteError::Hole { first: 5, last: 6 })
        );
        assert!(with_hole.route(Some(4)).is_ok());
        let with_base = catalog(&[(2, 1), (7, 1)], &[(3, 4, 1), (8, 9, 1)]);
        assert_eq!(with_base.route(None).unwrap().version, 9);
    }

    #[test]
    fn without_a_base_before_the_version_there_is_no_route() {
        assert_eq!(
            catalog(&[], &[(1, 3, 1)]).route(None),
            Err(RouteError::NoBase)
        );
        let late = catalog(&[(7, 1)], &[(1, 9, 1)]);
        let before = RouteError::BeforeBases {
            wanted: 3,
            oldest: 7,
        };
        assert_eq!(late.route(Some(3)), Err(before));
    }

    #[test]
    fn a_later_epoch_supersedes_earlier_ones_from_its_first_version_on() {
        // The old primary archived up to 20; another one was promoted at 15.
        let forked = catalog(&[(0, 0), (18, 1)], &[(1, 10, 1), (11, 20, 1), (16, 17, 2)]);
        let route = forked.route(None).unwrap();
        assert_eq!((route.base.version, route.version), (0, 17));
        assert_eq!(firsts(&route), [(1, 1), (11, 1), (16, 2)]);
        // Segments that an old primary archives later are all superseded.
        let late = catalog(&[(0, 0)], &[(1, 15, 1), (16, 17, 2), (18, 30, 1)]);
        assert_eq!(late.route(None).unwrap().version, 17);
        assert_eq!(late.epoch_max(), 2);
    }

    #[test]
    fn a_base_of_a_later_epoch_supersedes_as_well() {
        let catalog = catalog(&[(0, 0), (12, 2)], &[(1, 20, 1), (13, 14, 2)]);
        assert_eq!(catalog.route(None).unwrap().version, 14);
        assert_eq!(catalog.route(Some(11)).unwrap().version, 11);
    }

    #[test]
    fn segments_that_overlap_are_used_as_far_as_they_reach() {
        let catalog = catalog(&[(0, 0)], &[(1, 4, 1), (3, 9, 1), (5, 6, 1)]);
        let route = catalog.route(None).unwrap();
        assert_eq!((route.version, firsts(&route)), (9, vec![(1, 1), (3, 1)]));
    }

    #[test]
    fn a_base_without_a_manifest_is_unfinished_and_other_objects_are_named() {
        let base = BaseName {
            version: 3,
            open_epoch: 1,
        };
        let paths = [
            format!("{base}/{}", PartName::Leaves(0)),
            "notes.txt".to_owned(),
            TREE_OBJECT.to_owned(),
        ];
        let catalog = Catalog::of(
            paths
                .map(|path| Listed {
                    path,
                    bytes: 1,
                    modified_unix_ms: 0,
                })
                .to_vec(),
        );
        assert_eq!(catalog.unfinished().collect::<Vec<_>>(), [base]);
        assert_eq!(
            (catalog.bases().count(), catalog.others()),
            (0, &["notes.txt".to_owned()][..])
        );
        assert_eq!(catalog.route(None), Err(RouteError::NoBase));
    }
}
