//! The durable versions that can be read: the newest few, and older ones that snapshots hold.

mod openings;
mod version;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use trunkline_core::kzg::{CommitmentPoint, Slot};

pub use version::{Submissions, Version, provisional_before, slot_changes};

use crate::config::VersionsConfig;
use crate::state::values::{StoreView, Values};

/// The maximum number of earlier versions that are searched for an opening to update.
const SEARCHED_VERSIONS_MAX: usize = 16;

/// The data that no reader needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The oldest version that can still be read.
    pub oldest: u64,
    /// Layers up to this version are in every view of the leaf store that is still read.
    pub layers_up_to: u64,
}

/// The durable versions that can be read.
#[derive(Debug)]
pub struct Versions {
    durable: RwLock<DurableVersions>,
    /// The oldest version that can be read, for readers that take no lock.
    oldest: AtomicU64,
    /// Every view of the leaf store that is still read has all changes up to this version.
    covered: AtomicU64,
}

#[derive(Debug)]
struct DurableVersions {
    /// The versions, the oldest first, without gaps, never empty.
    versions: VecDeque<Arc<Version>>,
    /// The number of snapshots that hold each version.
    pins: BTreeMap<u64, usize>,
    /// The version whose pages a checkpoint reads: it stays, independent of the limits.
    held: Option<u64>,
    limits: VersionsConfig,
}

impl DurableVersions {
    fn newest(&self) -> &Arc<Version> {
        &self.versions[self.versions.len() - 1]
    }

    fn get(&self, number: u64) -> Option<&Arc<Version>> {
        let place = number.checked_sub(self.versions[0].number())?;
        self.versions.get(usize::try_from(place).ok()?)
    }

    fn pin(&mut self, version: &Version) {
        *self.pins.entry(version.number()).or_default() += 1;
    }

    /// Returns the oldest version to keep: everything that is retained or pinned, if the limits allow it.
    fn oldest_to_keep(&self, oldest_now: u64) -> u64 {
        let (limits, newest) = (&self.limits, self.newest().number());
        let retained = (newest + 1).saturating_sub(limits.retain_versions);
        // Pins of expired versions no longer hold anything.
        let pinned = self.pins.range(oldest_now..).next();
        let wanted = pinned.map_or(retained, |(pinned, _)| retained.min(*pinned));
        let allowed = newest.saturating_sub(limits.snapshot_versions_behind_max);
        let affordable = self.oldest_within(limits.retained_bytes_max);
        let held = self.held.unwrap_or(u64::MAX);
        let oldest = wanted.max(allowed).max(affordable).min(held);
        oldest.max(oldest_now)
    }

    /// Returns the oldest version that can be kept for this many bytes. The newest one costs nothing.
    fn oldest_within(&self, bytes_max: u64) -> u64 {
        let (mut bytes, mut oldest) = (0, self.newest().number());
        for version in self.versions.iter().rev() {
            if bytes > bytes_max {
                break;
            }
            oldest = version.number();
            bytes += version.replaced_bytes as u64;
        }
        oldest
    }
}

impl Versions {
    /// Starts with one durable version.
    pub fn new(first: Arc<Version>, limits: VersionsConfig) -> Self {
        Self::starting_with(Vec::new(), first, limits)
    }

    /// Starts with a durable version, and those right before it, in order.
    pub fn starting_with(
        earlier: Vec<Arc<Version>>,
        newest: Arc<Version>,
        limits: VersionsConfig,
    ) -> Self {
        let mut versions = VecDeque::from(earlier);
        versions.push_back(newest);
        let first = &versions[0];
        Self {
            oldest: AtomicU64::new(first.number()),
            covered: AtomicU64::new(first.store().map_or(0, |view| view.version)),
            durable: RwLock::new(DurableVersions {
                versions,
                pins: BTreeMap::new(),
                held: None,
                limits,
            }),
        }
    }

    /// Adds the next durable version, drops versions that the limits no longer allow, and returns what expired.
    ///
    /// The version gets its view of the leaf store under the lock. A checkpoint that ends at the same time either gave
    /// `values` the new view before, or finds this version among those that it moves to the new view.
    ///
    /// `retired` is called for each version that is dropped, before it cannot be found here any more.
    pub fn publish(
        &self,
        version: Arc<Version>,
        values: &Values,
        retired: impl Fn(&Version),
    ) -> Expired {
        let mut durable = self.durable.write();
        version.read_from(values.store());
        durable.versions.push_back(version);
        let oldest = durable.oldest_to_keep(self.oldest());
        // Before anything is dropped: a reader that checks after its read notices that its version expired.
        self.oldest.store(oldest, Ordering::SeqCst);
        let expired = durable
            .versions
            .partition_point(|version| version.number() < oldest);
        durable
            .versions
            .range(..expired)
            .for_each(|version| retired(version));
        durable.versions.drain(..expired);
        self.expired(&durable)
    }

    /// Sets the limits, which apply from the next durable version on.
    pub fn limit(&self, limits: VersionsConfig) {
        self.durable.write().limits = limits;
    }

    /// Returns about how many bytes records, slot digests, outcomes and openings of all versions take in memory.
    pub fn memory_bytes(&self) -> usize {
        let durable = self.durable.read();
        let versions = durable.versions.iter();
        versions.map(|version| version.memory_bytes()).sum()
    }

    /// Moves all versions that a new view of the leaf store covers to that view, and returns what expired.
    pub fn checkpointed(&self, view: &Arc<StoreView>) -> Expired {
        let durable = self.durable.read();
        for version in &durable.versions {
            if version.number() >= view.version {
                version.read_from(view.clone());
            }
        }
        self.expired(&durable)
    }

    fn expired(&self, durable: &DurableVersions) -> Expired {
        // Later versions never read from an older view, so the oldest version has the oldest view.
        let view = durable.versions[0].store();
        let layers_up_to = view.map_or(0, |view| view.version);
        self.covered.fetch_max(layers_up_to, Ordering::SeqCst);
        Expired {
            oldest: self.oldest(),
            layers_up_to,
        }
    }

    /// Returns the version up to which every view of the leaf store that is still read has all changes. It is no later
    /// than the oldest version that can be read.
    pub fn covered(&self) -> u64 {
        self.covered.load(Ordering::SeqCst)
    }

    /// Returns the oldest version that can be read.
    pub fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::SeqCst)
    }

    /// Returns the newest durable version.
    pub fn newest(&self) -> Arc<Version> {
        self.durable.read().newest().clone()
    }

    /// Keeps the newest durable version readable until [`Self::release`], independent of the limits, and returns it.
    /// One version is held at a time.
    pub fn hold_newest(&self) -> Arc<Version> {
        let mut durable = self.durable.write();
        let version = durable.newest().clone();
        durable.held = Some(version.number());
        version
    }

    /// Releases the version that is held.
    pub fn release(&self) {
        self.durable.write().held = None;
    }

    /// Pins the newest durable version and returns it.
    pub fn pin_newest(&self) -> Arc<Version> {
        let mut durable = self.durable.write();
        let version = durable.newest().clone();
        durable.pin(&version);
        version
    }

    /// Pins a version and returns it.
    ///
    /// # Errors
    ///
    /// Returns the oldest and the newest version that can be read if it is none of them.
    pub fn pin(&self, number: u64) -> Result<Arc<Version>, (u64, u64)> {
        let mut durable = self.durable.write();
        let found = durable.get(number).cloned();
        let version = found.ok_or_else(|| (self.oldest(), durable.newest().number()))?;
        durable.pin(&version);
        Ok(version)
    }

    /// Releases one pin of a version.
    pub fn unpin(&self, number: u64) {
        let pins = &mut self.durable.write().pins;
        if let Some(count) = pins.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&number);
            }
        }
    }

    /// Returns a version if it can be read.
    pub fn get(&self, number: u64) -> Option<Arc<Version>> {
        self.durable.read().get(number).cloned()
    }

    /// Returns the version that a submission is part of.
    ///
    /// # Errors
    ///
    /// Returns the first and the last sequence number of the versions that can be read if it is part of none of them.
    pub fn of_submission(&self, sequence: u64) -> Result<Arc<Version>, (u64, u64)> {
        let durable = self.durable.read();
        let versions = &durable.versions;
        let place = versions.partition_point(|version| version.record.last_sequence < sequence);
        let found = versions.get(place);
        let found = found.filter(|version| version.record.first_sequence <= sequence);
        found.cloned().ok_or_else(|| {
            let first = versions[0].record.first_sequence;
            (first, durable.newest().record.last_sequence)
        })
    }

    /// Returns the opening of a slot from the last earlier version that has one, with that version. Searches only the
    /// last few versions before `number`.
    pub fn opened_before(
        &self,
        number: u64,
        slot: Slot,
    ) -> Option<(Arc<Version>, CommitmentPoint)> {
        let durable = self.durable.read();
        let before = number.checked_sub(durable.versions[0].number())?;
        let earlier = durable.versions.iter().take(usize::try_from(before).ok()?);
        let mut opened = earlier
            .rev()
            .take(SEARCHED_VERSIONS_MAX)
            .filter_map(|version| Some((version.clone(), version.openings.get(slot)?)));
        opened.next()
    }
}

#[cfg(test)]
mod tests {
    use trunkline_core::history::MountainRange;
    use trunkline_core::record::CommitRecord;
    use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};
    use trunkline_core::tree::Roots;

    use super::*;
    use crate::metrics::Metrics;

    fn version(number: u64) -> Arc<Version> {
        let mut record = CommitRecord::genesis([0; 32]);
        record.version = number;
        let roots = Roots::of(number, 0, Box::new([[0; 32]; 128]));
        Arc::new(Version::new(
            record,
            roots,
            MountainRange::default(),
            None,
            100,
        ))
    }

    /// Publishes versions 0 to `newest` under these limits. `visit` is called after each and may pin.
    fn published(limits: VersionsConfig, newest: u64, visit: impl Fn(&Versions)) -> Versions {
        let leaves = MemoryLeafStore::default().snapshot().unwrap();
        let view = Arc::new(StoreView::new(0, leaves));
        let values = Values::new(view, 0, Arc::new(Metrics::new("test")));
        let versions = Versions::new(version(0), limits);
        for number in 1..=newest {
            versions.publish(version(number), &values, |_| {});
            visit(&versions);
        }
        versions
    }

    fn limits(retain: u64, behind: u64, bytes: u64) -> VersionsConfig {
        VersionsConfig {
            retain_versions: retain,
            snapshot_versions_behind_max: behind,
            retained_bytes_max: bytes,
            ..VersionsConfig::default()
        }
    }

    #[test]
    fn the_newest_versions_are_retained() {
        let versions = published(limits(3, 100, u64::MAX), 9, |_| {});
        assert_eq!(versions.oldest(), 7);
        assert!(versions.get(6).is_none() && versions.get(7).is_some());
    }

    #[test]
    fn a_held_version_stays_until_it_is_too_far_behind_and_then_holds_nothing() {
        let pin_first = |versions: &Versions| {
            if versions.newest().number() == 2 {
                versions.pin(2).unwrap();
            }
        };
        assert_eq!(published(limits(3, 6, u64::MAX), 8, pin_first).oldest(), 2);
        assert_eq!(published(limits(3, 6, u64::MAX), 9, pin_first).oldest(), 3);
        assert_eq!(published(limits(3, 6, u64::MAX), 10, pin_first).oldest(), 8);
    }

    #[test]
    fn the_version_of_a_checkpoint_stays_whatever_it_costs() {
        let hold = |versions: &Versions| match versions.newest().number() {
            3 => drop(versions.hold_newest()),
            8 => versions.release(),
            _ => {}
        };
        assert_eq!(published(limits(1, 1, 0), 8, hold).oldest(), 3);
        assert_eq!(published(limits(1, 1, 0), 9, hold).oldest(), 9);
    }

    #[test]
    fn the_oldest_versions_are_dropped_if_they_cost_too_much() {
        let no_pins = |_: &Versions| {};
        assert_eq!(published(limits(9, 100, 250), 9, no_pins).oldest(), 7);
        assert_eq!(published(limits(9, 100, 0), 9, no_pins).oldest(), 9);
    }
}
