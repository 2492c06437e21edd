//! A past version that was verified against its record, with the digests folded so far.

use std::sync::{Arc, OnceLock};

use trunkline_core::hash::Digest;
use trunkline_core::history::MountainRange;
use trunkline_core::params::WIDTH;
use trunkline_core::store::past::{PastDigest, PastVersion};
use trunkline_core::tree::{PastSlot, Roots, TreeReader};

use super::{OPENED_MAX, Past, PastError};
use crate::state::versions::{Submissions, Version};

/// A past version.
#[derive(Debug)]
pub struct OpenedVersion {
    /// The record of the version, its digests, and results computed from them.
    pub version: Arc<Version>,
    tops: [PastDigest; WIDTH],
    slots: [OnceLock<Arc<PastSlot>>; WIDTH],
}

impl OpenedVersion {
    /// Returns the top of a slot at the version.
    pub(super) fn top(&self, slot: usize) -> PastDigest {
        self.tops[slot]
    }
}

impl Past {
    /// Returns a version, checked against its commit id; `None` if the version is still in memory, or not yet durable.
    ///
    /// # Errors
    ///
    /// Fails if the version is too old, or if the stored state is not that of the version.
    pub fn open(
        &self,
        reader: &TreeReader,
        number: u64,
        commit_id: impl FnOnce() -> Option<Digest>,
    ) -> Result<Option<Arc<OpenedVersion>>, PastError> {
        self.check(number)?;
        let is_it = |opened: &&Arc<OpenedVersion>| opened.version.number() == number;
        if let Some(opened) = self.opened.lock().iter().find(is_it) {
            return Ok(Some(opened.clone()));
        }
        let Some(found) = self.version(number)? else {
            return Ok(None);
        };
        let tops = self.tops(reader, number)?;
        let damaged = |what| PastError::Damaged {
            version: number,
            what,
        };
        if commit_id() != Some(found.record.commit_id()) {
            return Err(damaged("the record"));
        }
        let slots = Box::new(tops.map(|top| top.digest));
        let roots = Roots::of(number, found.record.key_count, slots);
        if roots.state_digest != found.record.state_digest {
            return Err(damaged("the digests of the slots"));
        }
        let opened = Arc::new(OpenedVersion {
            version: Arc::new(version_of(found, roots)),
            tops,
            slots: [const { OnceLock::new() }; WIDTH],
        });
        let mut all = self.opened.lock();
        all.truncate(OPENED_MAX - 1);
        all.push_front(opened.clone());
        Ok(Some(opened))
    }

    /// Returns a slot of a version.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn opened_slot(
        &self,
        reader: &TreeReader,
        opened: &OpenedVersion,
        slot: usize,
    ) -> Result<Arc<PastSlot>, PastError> {
        if let Some(found) = opened.slots[slot].get() {
            return Ok(found.clone());
        }
        let found = self.slot(reader, opened.version.number(), slot, opened.tops[slot])?;
        Ok(opened.slots[slot].get_or_init(|| Arc::new(found)).clone())
    }
}

fn version_of(found: PastVersion, roots: Roots) -> Version {
    let submissions = found.submissions.map(|kept| Submissions {
        provisional_before: kept.provisional_before,
        outcomes: kept.outcomes,
    });
    let version = Version::new(
        found.record,
        roots,
        MountainRange::default(),
        submissions,
        0,
    );
    if let Some(kzg_root) = found.kzg_root {
        let _ = version.kzg_root.set(kzg_root);
    }
    version.became_durable(found.durable_ms);
    version
}
