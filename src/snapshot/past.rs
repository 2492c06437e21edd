//! Snapshots of versions that memory does not keep (`versions.archive`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_actors::state::State;
use trunkline_actors::state::order::{KeyRange, RangePage};
use trunkline_actors::state::past::{OpenedVersion, Past, PastChanges, PastError, PastStep};
use trunkline_actors::state::read::ReadError;
use trunkline_core::hash::Digest;
use trunkline_core::proof::Draft;

use super::Snapshot;
use super::prove::SnapshotProveError;
use crate::error::SnapshotError;

/// A version that memory does not keep, with its location.
#[derive(Clone, Copy)]
pub(crate) struct PastView<'a> {
    past: &'a Past,
    state: &'a State,
    opened: &'a OpenedVersion,
}

impl Snapshot {
    /// Returns a snapshot of a version that is kept in memory or archived.
    pub(crate) fn at(state: &Arc<State>, version: u64) -> Result<Self, SnapshotError> {
        let (oldest, newest) = match state.versions.pin(version) {
            Ok(pinned) => return Ok(Self::of_pinned(state.clone(), pinned)),
            Err(kept) => kept,
        };
        if version > newest {
            return Err(SnapshotError::NotYet { version, newest });
        }
        let expired = SnapshotError::Expired { version, oldest };
        let past = state.past.as_ref().ok_or(expired)?;
        let commit_id = || state.history.commit_id(version).ok();
        let opened = past.open(&state.reader, version, commit_id)?;
        let version = opened.ok_or(SnapshotError::Expired { version, oldest })?;
        Ok(Self {
            state: state.clone(),
            version: version.version.clone(),
            opened: Some(version),
        })
    }

    /// Returns the location of the version, if memory does not keep it.
    pub(crate) fn past(&self) -> Option<PastView<'_>> {
        Some(PastView {
            past: self.state.past.as_ref()?,
            state: &self.state,
            opened: self.opened.as_ref()?,
        })
    }
}

impl PastView<'_> {
    fn version(&self) -> u64 {
        self.opened.version.number()
    }

    /// Checks that the version can still be read.
    pub(super) fn check(&self) -> Result<(), PastError> {
        self.past.check(self.version())
    }

    /// Returns the key and the value at a key hash.
    pub(super) fn get(&self, key_hash: &Digest) -> Result<Option<(Bytes, Bytes)>, ReadError> {
        self.state.metrics.store_read();
        let values = &self.state.values;
        Ok(self.past.get(values, self.version(), key_hash)?)
    }

    /// Returns the first keys and values from a key hash on, and the key hash at which the next ones begin.
    pub(super) fn step(&self, from: Digest) -> Result<PastStep, ReadError> {
        self.state.metrics.store_read();
        let range = from..=[0xff; 32];
        let step = self.past.scan(&self.state.values, self.version(), range);
        Ok(step?)
    }

    /// Returns the first page of a range.
    pub(super) fn range(&self, range: &KeyRange) -> Result<RangePage, ReadError> {
        self.state.range_past(self.past, self.version(), range)
    }

    /// Returns the ranges of key hashes of a slot in which a newer version differs that memory keeps.
    pub(crate) fn differences(
        &self,
        slot: usize,
        newer: u64,
    ) -> Result<Vec<RangeInclusive<Digest>>, ReadError> {
        let (past, reader) = (self.past, &self.state.reader);
        Ok(past.differences(reader, self.opened, slot, newer)?)
    }

    /// Returns the first key hashes of a range that newer versions have written, with what this one saw.
    pub(crate) fn changes_since(
        &self,
        range: RangeInclusive<Digest>,
    ) -> Result<PastChanges, ReadError> {
        self.state.metrics.store_read();
        let values = &self.state.values;
        Ok(self.past.changes_since(values, self.version(), range)?)
    }

    /// Collects the content of a proof of some keys.
    pub(super) fn draft<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Draft, SnapshotProveError> {
        let (past, state, opened) = (self.past, self.state, self.opened);
        let read = |error: PastError| SnapshotProveError::Read(error.into());
        let slots = |slot| past.opened_slot(&state.reader, opened, slot).map_err(read);
        let leaves = |range| {
            past.leaves(&state.values, self.version(), range)
                .map_err(read)
        };
        let roots = &opened.version.roots;
        let draft = Draft::walk_past(roots, &state.params, keys, slots, leaves);
        // Entries that were removed in the meantime may have been missing.
        self.check().map_err(read)?;
        draft
    }
}
