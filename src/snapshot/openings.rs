//! Openings of a version's KZG root, one for each slot. An opening is made once for a version and then kept with it.

use trunkline_actors::metrics::OpeningUse;
use trunkline_actors::state::versions::slot_changes;
use trunkline_core::kzg::{CommitmentPoint, Fr, G1Bytes, Slot, slot_value};
use trunkline_core::params::WIDTH;

use super::Snapshot;

/// The maximum number of changed slots with which an opening is derived from that of an earlier version; with more it
/// is computed from all slots (docs/decisions/018-openings-one-by-one.md).
const MOVED_CHANGES_MAX: usize = 96;

impl Snapshot {
    /// Returns the KZG root. The first call for a version that has none yet computes it (2 ms).
    pub fn kzg_root(&self) -> [u8; 48] {
        self.state.kzg_root(&self.version)
    }

    /// Returns the opening of a slot. The first call derives it from that of an earlier version, if there is one and
    /// few slots changed since, and otherwise computes it (2 ms).
    pub(crate) fn opening(&self, slot: Slot) -> G1Bytes {
        let mut used = OpeningUse::Kept;
        let opening = self.version.openings.get_or_open(slot, || {
            let moved = self.moved_opening(slot);
            used = match moved {
                Some(_) => OpeningUse::Moved,
                None => OpeningUse::Computed,
            };
            let committer = &self.state.committer;
            moved.unwrap_or_else(|| committer.open_point(&self.slot_values(), slot))
        });
        self.state.metrics.opening_used(used);
        opening
    }

    fn moved_opening(&self, slot: Slot) -> Option<CommitmentPoint> {
        let (earlier, opening) = self.state.versions.opened_before(self.version(), slot)?;
        let changes = slot_changes(&earlier.roots.slots, &self.version.roots.slots);
        let committer = &self.state.committer;
        (changes.len() <= MOVED_CHANGES_MAX)
            .then(|| committer.update_opening(&opening, &changes, slot))
    }

    pub(crate) fn slot_values(&self) -> [Fr; WIDTH] {
        self.version.roots.slots.each_ref().map(slot_value)
    }
}
