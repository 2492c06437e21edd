//! Bounds on the past: the oldest segments are removed, on the background thread.

use std::sync::atomic::Ordering;

use trunkline_core::store::leaves::LeafStoreError;

use super::Past;
use crate::config::VersionsConfig;

/// The bounds on the past; 0 stands for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastBounds {
    /// The maximum number of versions.
    pub versions_max: u64,
    /// The maximum time since a version became durable, seconds.
    pub age_max_s: u64,
    /// The maximum bytes on disk.
    pub bytes_max: u64,
}

impl PastBounds {
    /// Returns the bounds of a configuration.
    pub fn of(config: &VersionsConfig) -> Self {
        Self {
            versions_max: config.archive_versions_max,
            age_max_s: config.archive_age_max_s,
            bytes_max: config.archive_bytes_max,
        }
    }
}

impl Past {
    /// Removes the segments that no bound allows any more. The newest segment always stays.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot remove them.
    pub fn prune(&self, bounds: &PastBounds, now_ms: u64) -> Result<(), LeafStoreError> {
        let removed = self.segments_to_prune(bounds, now_ms);
        if removed.is_empty() {
            return Ok(());
        }
        // Before anything is removed: a reader that checks after its read notices that its version is gone.
        let before = self.publish_pruned(removed.len());
        let store = self.store()?;
        for segment in removed {
            store.remove(segment)?;
        }
        self.metrics.archived_pruned(self.oldest() - before);
        self.show_metrics();
        Ok(())
    }

    fn publish_pruned(&self, count: usize) -> u64 {
        let mut segments = self.segments.write();
        segments.stored.drain(..count);
        self.oldest.swap(segments.first(), Ordering::SeqCst)
    }

    /// Returns the oldest segments that are not wanted.
    fn segments_to_prune(&self, bounds: &PastBounds, now_ms: u64) -> Vec<u64> {
        let segments = self.segments.read();
        let (mut bytes, next) = (segments.bytes(), self.next());
        let mut removed = Vec::new();
        for two in segments.stored.windows(2) {
            let (segment, following) = (two[0], two[1]);
            let is_bound = |bound: u64, value: u64| bound > 0 && value > bound;
            let age_ms = match segment.last_ms {
                0 => 0,
                last_ms => now_ms.saturating_sub(last_ms),
            };
            let is_unwanted = is_bound(bounds.bytes_max, bytes)
                // Without this one, enough versions are left.
                || (bounds.versions_max > 0 && next - following.first >= bounds.versions_max)
                || is_bound(1000 * bounds.age_max_s, age_ms);
            if !is_unwanted {
                break;
            }
            bytes -= segment.bytes;
            removed.push(segment.first);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trunkline_core::record::CommitRecord;
    use trunkline_core::store::past::{
        MemoryPast, PastStore, PastVersion, deleted_key, encode_version, version_key,
    };

    use super::*;
    use crate::metrics::Metrics;
    use crate::state::past::{PastError, Recent};

    const HOUR_MS: u64 = 3_600_000;

    fn version(number: u64) -> PastVersion {
        PastVersion {
            record: CommitRecord {
                version: number,
                ..CommitRecord::genesis([7; 32])
            },
            kzg_root: None,
            submissions: None,
            durable_ms: number * HOUR_MS,
            began: 1,
        }
    }

    /// Returns an archive of the versions 1 to 40 in segments of ten: each version became durable in the hour of its number.
    fn past() -> (Past, u64) {
        let store = MemoryPast::default();
        for first in [1, 11, 21, 31] {
            let filler = Ok((deleted_key(&[b'x'; 2000]), Vec::new()));
            let versions = (first..first + 10).map(|number| {
                let key = version_key(number).to_vec();
                Ok((key, encode_version(&version(number))))
            });
            let mut entries = [filler].into_iter().chain(versions);
            store.ingest(first, &mut entries).unwrap();
        }
        store.sync().unwrap();
        let segment_bytes = store.segments().unwrap()[3].bytes;
        let commit_id = |number| Some(version(number).record.commit_id());
        let (recent, metrics) = (Recent::after(40), Arc::new(Metrics::new("test")));
        let past = Past::begin(Arc::new(store), recent, 40, commit_id, false, metrics);
        (past.unwrap(), segment_bytes)
    }

    fn none() -> PastBounds {
        PastBounds {
            versions_max: 0,
            age_max_s: 0,
            bytes_max: 0,
        }
    }

    fn oldest_after(bounds: PastBounds, now_hour: u64) -> u64 {
        let (past, _) = past();
        past.prune(&bounds, now_hour * HOUR_MS).unwrap();
        past.oldest()
    }

    #[test]
    fn without_bounds_nothing_is_pruned() {
        assert_eq!(oldest_after(none(), 1_000_000), 1);
    }

    #[test]
    fn a_segment_is_pruned_when_its_last_version_is_too_old() {
        let bounds = PastBounds {
            age_max_s: 24 * 3600,
            ..none()
        };
        // The last version of the first segment is of hour 10, and of the second of hour 20.
        for (now_hour, oldest) in [(34, 1), (35, 11), (44, 11), (45, 21), (1_000, 31)] {
            assert_eq!(oldest_after(bounds, now_hour), oldest, "in hour {now_hour}");
        }
        // A clock that was set back prunes nothing.
        assert_eq!(oldest_after(bounds, 0), 1);
    }

    #[test]
    fn segments_are_pruned_until_the_bytes_are_within_their_bound() {
        let (_, segment_bytes) = past();
        for (segments, oldest) in [(4, 1), (3, 11), (2, 21), (1, 31)] {
            let bounds = |bytes_max| PastBounds {
                bytes_max,
                ..none()
            };
            assert_eq!(oldest_after(bounds(segments * segment_bytes), 0), oldest);
        }
        // The newest stays, whatever it takes.
        let bounds = PastBounds {
            bytes_max: 1,
            ..none()
        };
        assert_eq!(oldest_after(bounds, 0), 31);
    }

    #[test]
    fn at_least_as_many_versions_stay_as_the_bound_says() {
        for (versions_max, oldest) in [(40, 1), (31, 1), (30, 11), (20, 21), (1, 31)] {
            let bounds = PastBounds {
                versions_max,
                ..none()
            };
            assert_eq!(oldest_after(bounds, 0), oldest, "{versions_max} versions");
        }
    }

    #[test]
    fn what_was_pruned_is_refused_by_name_and_its_segments_are_gone() {
        let (past, segment_bytes) = past();
        let bounds = PastBounds {
            bytes_max: 2 * segment_bytes,
            ..none()
        };
        past.prune(&bounds, 0).unwrap();
        assert!(matches!(
            past.version(20),
            Err(PastError::Pruned {
                version: 20,
                oldest: 21
            })
        ));
        assert_eq!(past.version(21).unwrap(), Some(version(21)));
        let segments = past.store().unwrap().segments().unwrap();
        let left: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
        assert_eq!(left, [21, 31]);
    }

    #[test]
    fn a_segment_is_full_by_an_eighth_of_a_bound() {
        let (past, _) = past();
        let segments = past.segments.read();
        // The last segment began with version 31, and its last version is of hour 40.
        let full_after = |bounds: PastBounds, now_hour: u64| {
            segments.to_write(41, &bounds, now_hour * HOUR_MS) == 41
        };
        assert!(!full_after(none(), 1_000));
        for (age_max_s, now_hour, is_full) in [
            (16 * 3600, 41, false),
            (16 * 3600, 42, true),
            (8 * 3600, 41, true),
        ] {
            let bounds = PastBounds {
                age_max_s,
                ..none()
            };
            assert_eq!(full_after(bounds, now_hour), is_full);
        }
        let versions = |versions_max| PastBounds {
            versions_max,
            ..none()
        };
        assert!(full_after(versions(80), 0) && !full_after(versions(81), 0));
        let last_bytes = segments.stored[3].bytes;
        let bytes = |bytes_max| PastBounds {
            bytes_max,
            ..none()
        };
        assert!(full_after(bytes(8 * last_bytes), 0) && !full_after(bytes(8 * last_bytes + 1), 0));
    }
}
