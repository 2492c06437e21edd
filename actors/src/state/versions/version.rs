//! One version: its record, its digests, and results computed later.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::RwLock;
use trunkline_core::batch::provisional_start;
use trunkline_core::hash::Digest;
use trunkline_core::history::MountainRange;
use trunkline_core::kzg::{Slot, SlotChange, slot_value};
use trunkline_core::params::WIDTH;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::store::past::{PastSubmissions, PastVersion};
use trunkline_core::tree::Roots;

use super::openings::Openings;
use crate::state::values::StoreView;

/// A version with digests.
#[derive(Debug)]
pub struct Version {
    /// Its commit record.
    pub record: CommitRecord,
    /// The commit id of the record.
    pub commit_id: Digest,
    /// The state digest, the slot digests and the number of keys.
    pub roots: Roots,
    /// The peaks over the commit ids of all versions up to this one.
    pub history: MountainRange,
    /// The KZG root, once it is computed.
    pub kzg_root: OnceLock<[u8; 48]>,
    /// The openings of its slots.
    pub openings: Openings,
    /// The sources of evidence about its submissions; `None` if the version was read from a checkpoint.
    pub submissions: Option<Submissions>,
    /// The time at which it became durable, milliseconds since 1970; 0 if it is not known.
    durable_ms: AtomicU64,
    /// The approximate memory that is held for as long as the version before this one stays readable, bytes.
    pub(super) replaced_bytes: usize,
    /// The view of the leaf store that it reads from, once it is durable.
    store: RwLock<Option<Arc<StoreView>>>,
}

impl Version {
    /// Creates a version that has neither a KZG root nor a view of the leaf store yet.
    pub fn new(
        record: CommitRecord,
        roots: Roots,
        history: MountainRange,
        submissions: Option<Submissions>,
        replaced_bytes: usize,
    ) -> Self {
        let outcomes_bytes = submissions.as_ref().map_or(0, |kept| kept.outcomes.len());
        Self {
            commit_id: record.commit_id(),
            record,
            roots,
            history,
            kzg_root: OnceLock::new(),
            openings: Openings::default(),
            submissions,
            durable_ms: AtomicU64::new(0),
            replaced_bytes: replaced_bytes + outcomes_bytes,
            store: RwLock::default(),
        }
    }

    /// Returns the number of the version.
    pub fn number(&self) -> u64 {
        self.record.version
    }

    /// Returns about how many bytes it takes in memory, without its view of the leaf store.
    pub fn memory_bytes(&self) -> usize {
        let submissions = self.submissions.as_ref();
        // The digests of the slots, and those above them.
        size_of::<Self>()
            + 2 * WIDTH * size_of::<Digest>()
            + self.record.metadata.len()
            + submissions.map_or(0, |kept| kept.outcomes.len())
            + self.openings.memory_bytes()
    }

    /// Records the time at which the version became durable, milliseconds since 1970.
    pub fn became_durable(&self, at_ms: u64) {
        self.durable_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Returns the time at which the version became durable, milliseconds since 1970; 0 if it is not known.
    pub fn durable_ms(&self) -> u64 {
        self.durable_ms.load(Ordering::Relaxed)
    }

    /// Returns the data that is kept of the version when its state is no longer in memory.
    pub fn to_past(&self) -> PastVersion {
        let submissions = self.submissions.as_ref().map(|kept| PastSubmissions {
            provisional_before: kept.provisional_before,
            outcomes: kept.outcomes.clone(),
        });
        PastVersion {
            record: self.record.clone(),
            kzg_root: self.kzg_root.get().copied(),
            submissions,
            durable_ms: self.durable_ms(),
            began: 0,
        }
    }

    /// Returns the root, with the KZG root if it was computed.
    pub fn root(&self) -> Root {
        Root {
            commit_id: self.commit_id,
            ..Root::of(&self.record, self.kzg_root.get().copied())
        }
    }

    /// Returns the view of the leaf store that the version reads from, if it has one.
    pub fn store(&self) -> Option<Arc<StoreView>> {
        self.store.read().clone()
    }

    /// Sets the view of the leaf store that the version reads from.
    pub fn read_from(&self, view: Arc<StoreView>) {
        *self.store.write() = Some(view);
    }
}

/// The sources of evidence about a version's submissions, in addition to its record.
#[derive(Clone, Debug)]
pub struct Submissions {
    /// The provisional root before the first submission.
    pub provisional_before: Digest,
    /// The outcomes of all submissions, encoded in order.
    pub outcomes: Bytes,
}

/// Returns the provisional root before the first submission of a version. That is the parent's provisional root, or
/// the start of a new chain if the engine was opened between the two versions.
pub fn provisional_before(parent: &CommitRecord, record: &CommitRecord) -> Digest {
    match parent.open_epoch == record.open_epoch {
        true => parent.provisional_root,
        false => provisional_start(&record.parent, record.open_epoch),
    }
}

/// Returns the slots that differ between two versions.
pub fn slot_changes(before: &[Digest; WIDTH], after: &[Digest; WIDTH]) -> Vec<SlotChange> {
    let slots = Slot::all().zip(before.iter().zip(after));
    slots
        .filter(|(_, (old, new))| old != new)
        .map(|(slot, (old, new))| SlotChange {
            slot,
            old: slot_value(old),
            new: slot_value(new),
        })
        .collect()
}
