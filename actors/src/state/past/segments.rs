//! The segments of the store: their list, the one that is written, and scans across them.

use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::past::{
    PastKey, PastStore, PastVersion, PastVisitor, decode_version, version_key,
};

use super::{Past, PastBounds, PastError};

/// The minimum bytes of a full segment.
const SEGMENT_BYTES_MIN: u64 = 16 << 20;
/// The reciprocal of the share that a full segment has of all stored bytes, or of the limit.
const SEGMENT_PARTS: u64 = 8;

/// A segment that readers use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// The number of the segment, which is that of its first version.
    pub(super) first: u64,
    pub(super) bytes: u64,
    /// The time at which its last version became durable, milliseconds since 1970; 0 if it is not known.
    pub(super) last_ms: u64,
}

/// The segments, ascending.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) stored: Vec<Stored>,
}

impl Segments {
    /// Reads the list of segments. One without a last version was not completed.
    pub(super) fn read(store: &dyn PastStore) -> Result<Self, LeafStoreError> {
        let mut stored = Vec::new();
        for segment in store.segments()? {
            if let Some(last) = last_version(store, segment.number)? {
                stored.push(Stored {
                    first: segment.number,
                    bytes: segment.bytes,
                    last_ms: last.durable_ms,
                });
            }
        }
        Ok(Self { stored })
    }

    /// Removes all stored data.
    pub(super) fn clear(&mut self, store: &dyn PastStore) -> Result<(), LeafStoreError> {
        self.stored.clear();
        // From the newest on, so that the remains after a crash are not mistaken for the complete store.
        for segment in store.segments()?.iter().rev() {
            store.remove(segment.number)?;
        }
        store.sync()
    }

    pub(super) fn first(&self) -> u64 {
        self.stored.first().map_or(0, |segment| segment.first)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.stored.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn last_version(
        &self,
        store: &dyn PastStore,
    ) -> Result<Option<PastVersion>, LeafStoreError> {
        match self.stored.last() {
            Some(last) => last_version(store, last.first),
            None => Ok(None),
        }
    }

    /// Returns the segment for the versions from `next` on.
    pub(super) fn to_write(&self, next: u64, bounds: &PastBounds, now_ms: u64) -> u64 {
        let Some(last) = self.stored.last() else {
            return next;
        };
        let part = |bound: u64| (bound > 0).then(|| bound.div_ceil(SEGMENT_PARTS));
        let all = part(self.bytes()).unwrap_or(0).max(SEGMENT_BYTES_MIN);
        let bytes_max = part(bounds.bytes_max).map_or(all, |bytes| bytes.min(all));
        let is_full = last.bytes >= bytes_max
            || part(bounds.versions_max).is_some_and(|versions| next - last.first >= versions)
            || part(bounds.age_max_s).is_some_and(|age| {
                last.last_ms > 0 && now_ms.saturating_sub(last.last_ms) >= 1000 * age
            });
        match is_full {
            true => next,
            false => last.first,
        }
    }
}

/// Returns the last version of a segment.
fn last_version(
    store: &dyn PastStore,
    segment: u64,
) -> Result<Option<PastVersion>, LeafStoreError> {
    let last = store.last_key(segment)?;
    let Some(PastKey::Version(number)) = last.as_deref().and_then(PastKey::decode) else {
        return Ok(None);
    };
    let (mut found, key) = (None, version_key(number).to_vec());
    store.scan(segment, key.clone()..=key, &mut |_, content| {
        found = decode_version(&Bytes::copy_from_slice(content));
        ControlFlow::Break(())
    })?;
    Ok(found.filter(|version| version.record.version == number))
}

impl Past {
    /// Visits the entries in a range of keys in each segment that may have entries of versions from `version` on, the
    /// oldest segment first. `Break` ends the whole scan.
    pub(super) fn scan_from(
        &self,
        version: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), PastError> {
        let (store, mut ended) = (self.store()?, false);
        for segment in self.segments_from(version) {
            let mut visit = |key: &[u8], content: &[u8]| {
                let flow = visit(key, content);
                ended = flow.is_break();
                flow
            };
            store.scan(segment, range.clone(), &mut visit)?;
            if ended {
                break;
            }
        }
        Ok(())
    }

    /// Returns the segments that may have entries of versions from `version` on, ascending.
    pub(super) fn segments_from(&self, version: u64) -> Vec<u64> {
        let segments = self.segments.read();
        let after = segments
            .stored
            .partition_point(|segment| segment.first <= version);
        let from = after.saturating_sub(1);
        let stored = segments.stored[from..].iter();
        stored.map(|segment| segment.first).collect()
    }
}
