//! Openings of one version's slots. Each is computed when it is first asked for, and kept with the version.

use std::sync::OnceLock;

use trunkline_core::kzg::{CommitmentPoint, G1Bytes, Slot};
use trunkline_core::params::WIDTH;

/// The openings of one version: no memory before the first one, 25 KiB after it.
#[derive(Debug, Default)]
pub struct Openings(OnceLock<Box<[OnceLock<Opened>; WIDTH]>>);

/// An opening, in the form that proofs carry and in the form that a later version updates.
#[derive(Debug)]
struct Opened {
    bytes: G1Bytes,
    point: CommitmentPoint,
}

impl Openings {
    /// Returns the opening of a slot. Calls `open` if there is none yet; other callers for the slot wait meanwhile.
    pub fn get_or_open(&self, slot: Slot, open: impl FnOnce() -> CommitmentPoint) -> G1Bytes {
        let slots = self
            .0
            .get_or_init(|| Box::new([const { OnceLock::new() }; WIDTH]));
        let opened = slots[slot.index()].get_or_init(|| {
            let point = open();
            let bytes = point.to_bytes();
            Opened { bytes, point }
        });
        opened.bytes
    }

    /// Returns the bytes that it takes in memory besides itself.
    pub fn memory_bytes(&self) -> usize {
        let slots = self.0.get();
        slots.map_or(0, |slots| size_of_val(&**slots))
    }

    /// Returns the opening of a slot if there is one.
    pub fn get(&self, slot: Slot) -> Option<CommitmentPoint> {
        Some(self.0.get()?[slot.index()].get()?.point)
    }
}
