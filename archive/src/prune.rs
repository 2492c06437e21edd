//! Pruning: finds the objects that no kept base needs, and removes them in an order in which no incomplete base looks
//! complete.

use trunkline::core::store::archive::{BaseName, PartName, SegmentName};

use crate::archive::Archive;
use crate::catalog::Catalog;
use crate::error::AccessError;

/// The objects to keep.
///
/// ```
/// use trunkline_archive::Keep;
/// let keep = Keep { bases: 2, unfinished: true, ..Keep::default() };
/// assert_eq!(keep.since_unix_ms, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The number of newest bases to keep; at least one is kept.
    pub bases: usize,
    /// The time since which every archived version stays restorable; older bases are kept as far as necessary. The age
    /// of a base is that of its manifest, by the clock of the store.
    pub since_unix_ms: Option<u64>,
    /// True if bases without a manifest are removed, too. A running backup has one, so use this only while none is
    /// running.
    pub unfinished: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            bases: 1,
            since_unix_ms: None,
            unfinished: true,
        }
    }
}

/// The objects that pruning removes.
///
/// ```
/// use trunkline_archive::{Catalog, Keep};
/// assert!(Catalog::default().prunable(&Keep::default()).is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prunable {
    /// Finished bases.
    pub bases: Vec<BaseName>,
    /// Bases without a manifest.
    pub unfinished: Vec<BaseName>,
    /// Segments.
    pub segments: Vec<SegmentName>,
    /// Total size of the objects in bytes.
    pub bytes: u64,
    /// The objects, in the order in which they are removed.
    objects: Vec<String>,
}

impl Prunable {
    /// Returns whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl Catalog {
    /// Returns the objects that are not needed to restore the kept bases and every archived version after the oldest of
    /// them.
    pub fn prunable(&self, keep: &Keep) -> Prunable {
        let live = self.live().bases;
        let newest = live.len().saturating_sub(keep.bases.max(1));
        // The last base that is older than the time is needed for the versions after that time.
        let is_older = |base: &BaseName| {
            let finished = self.finished_unix_ms(base);
            keep.since_unix_ms.is_none_or(|since| finished <= since)
        };
        let older = live.iter().rposition(is_older).unwrap_or(0);
        let mut prunable = Prunable::default();
        if let Some(oldest_kept) = live.get(newest.min(older)) {
            let version = oldest_kept.version;
            prunable.bases = self.bases().filter(|base| base.version < version).collect();
            // The segment that contains a base's version shows that the base is authentic.
            let is_before = |segment: &SegmentName| segment.last_version < version;
            prunable.segments = self.segments().filter(is_before).collect();
        }
        if !keep.unfinished {
            prunable.unfinished = self.unfinished().collect();
        }
        self.complete(prunable)
    }

    /// Adds objects and bytes. Manifests come first: a base without its manifest is unfinished, whatever else exists of
    /// it.
    fn complete(&self, mut prunable: Prunable) -> Prunable {
        let bases = prunable.bases.iter().chain(&prunable.unfinished);
        let parts = bases
            .clone()
            .filter_map(|base| Some((base, self.objects(base)?)));
        let parts =
            parts.flat_map(|(base, objects)| objects.parts.iter().map(move |part| (base, part)));
        let (manifests, others): (Vec<_>, Vec<_>) =
            parts.partition(|(_, part)| **part == PartName::Manifest);
        let parts = manifests.into_iter().chain(others);
        let segments = prunable.segments.iter();
        prunable.objects = parts
            .map(|(base, part)| format!("{base}/{part}"))
            .chain(segments.clone().map(SegmentName::to_string))
            .collect();
        prunable.bytes = bases
            .filter_map(|base| Some(self.objects(base)?.bytes))
            .sum::<u64>()
            + segments
                .map(|segment| self.segment_bytes(segment))
                .sum::<u64>();
        prunable
    }
}

impl Archive {
    /// Removes the objects. Interrupted pruning can be repeated.
    ///
    /// # Errors
    ///
    /// Fails at the first object that cannot be removed.
    pub async fn prune(&self, prunable: &Prunable) -> Result<(), AccessError> {
        for object in &prunable.objects {
            self.remove(object).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Listed;

    /// Returns a catalog with bases (version, epoch, time) and segments (first, last, epoch).
    fn catalog(bases: &[(u64, u64, u64)], segments: &[(u64, u64, u64)]) -> Catalog {
        let mut listed = Vec::new();
        for (version, open_epoch, modified_unix_ms) in bases.iter().copied() {
            let base = BaseName {
                version,
                open_epoch,
            };
            for part in [
                PartName::CommitIds(0),
                PartName::Leaves(0),
                PartName::Manifest,
            ] {
                let path = format!("{base}/{part}");
                listed.push(Listed {
                    path,
                    bytes: 10,
                    modified_unix_ms,
                });
            }
        }
        for (first_version, last_version, open_epoch) in segments.iter().copied() {
            let segment = SegmentName {
                first_version,
                last_version,
                open_epoch,
            };
            listed.push(Listed {
                path: segment.to_string(),
                bytes: 1,
                modified_unix_ms: 0,
            });
        }
        Catalog::of(listed)
    }

    fn versions(prunable: &Prunable) -> (Vec<u64>, Vec<u64>) {
        let bases = prunable.bases.iter().map(|base| base.version);
        let segments = prunable
            .segments
            .iter()
            .map(|segment| segment.first_version);
        (bases.collect(), segments.collect())
    }

    #[test]
    fn the_newest_bases_and_what_follows_the_oldest_of_them_are_kept() {
        let all = catalog(
            &[(0, 0, 1), (4, 1, 2), (8, 1, 3)],
            &[(1, 3, 1), (4, 4, 1), (5, 9, 1), (10, 12, 1)],
        );
        let keep = |bases| Keep {
            bases,
            ..Keep::default()
        };
        assert!(all.prunable(&keep(3)).is_empty());
        assert!(all.prunable(&keep(9)).is_empty());
        assert_eq!(versions(&all.prunable(&keep(2))), (vec![0], vec![1]));
        let one = all.prunable(&keep(1));
        assert_eq!(versions(&one), (vec![0, 4], vec![1, 4]));
        assert_eq!(one.bytes, 2 * 30 + 2);
        assert_eq!(all.prunable(&keep(0)), one);
    }

    #[test]
    fn a_time_keeps_the_base_before_it() {
        let all = catalog(&[(0, 0, 100), (4, 1, 200), (8, 1, 300)], &[(1, 9, 1)]);
        let since = |since| Keep {
            since_unix_ms: Some(since),
            ..Keep::default()
        };
        assert_eq!(versions(&all.prunable(&since(250))).0, [0]);
        assert_eq!(versions(&all.prunable(&since(200))).0, [0]);
        assert!(all.prunable(&since(199)).is_empty());
        assert!(all.prunable(&since(1)).is_empty());
        assert_eq!(versions(&all.prunable(&since(300))).0, [0, 4]);
    }

    #[test]
    fn manifests_go_first_and_segments_last() {
        let prunable = catalog(&[(0, 0, 1), (4, 1, 2), (8, 1, 3)], &[(1, 3, 1), (4, 9, 1)]);
        let objects = prunable.prunable(&Keep::default()).objects;
        let kinds: Vec<&str> = objects
            .iter()
            .map(|path| path.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(kinds[..2], ["manifest", "manifest"]);
        assert!(kinds[2..6].iter().all(|kind| kind.contains("-00000")));
        assert_eq!(objects.len(), 7);
        assert!(objects[6].starts_with("segments/"));
    }

    #[test]
    fn a_superseded_base_is_not_counted_as_a_kept_one() {
        // The base of version 9 belongs to a history that ended at 6.
        let forked = catalog(&[(0, 0, 1), (5, 1, 2), (9, 1, 3)], &[(1, 9, 1), (6, 7, 2)]);
        let prunable = forked.prunable(&Keep::default());
        assert_eq!(versions(&prunable).0, [0]);
        assert_eq!(forked.route(None).unwrap().base.version, 5);
    }

    #[test]
    fn unfinished_bases_are_removed_only_if_that_is_asked_for() {
        let base = BaseName {
            version: 3,
            open_epoch: 1,
        };
        let path = format!("{base}/{}", PartName::Leaves(0));
        let catalog = Catalog::of(vec![Listed {
            path: path.clone(),
            bytes: 1,
            modified_unix_ms: 0,
        }]);
        assert!(catalog.prunable(&Keep::default()).is_empty());
        let keep = Keep {
            unfinished: false,
            ..Keep::default()
        };
        assert_eq!(catalog.prunable(&keep).objects, [path]);
    }
}
