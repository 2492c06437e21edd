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
