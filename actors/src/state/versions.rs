//! The versions that can be read: the last few, and those that somebody holds a snapshot of.
//!
//! Not here: what they contain (the tree and `values` know).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use trunkline_core::batch::provisional_start;
use trunkline_core::hash::Digest;
use trunkline_core::history::MountainRange;
use trunkline_core::kzg::{CommitmentPoint, G1Bytes, Slot, SlotChange, slot_value};
use trunkline_core::params::WIDTH;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::Roots;

use crate::config::VersionsConfig;
use crate::state::values::{StoreView, Values};

/// How many versions are looked through for an opening to go on from.
const LOOKED_BACK_MAX: usize = 16;

/// A version with digests: everything that its root stands for.
#[derive(Debug)]
pub struct Version {
    pub record: CommitRecord,
    pub commit_id: Digest,
    pub roots: Roots,
    /// Over the commit ids of all versions up to this one.
    pub history: MountainRange,
    pub kzg_root: OnceLock<[u8; 48]>,
    pub openings: Openings,
    /// What evidence about its submissions takes; `None` if opening did not find it in the log.
    pub submissions: Option<Submissions>,
    /// What keeping this version's submissions and the version before it readable costs in memory, about.
    replaced_bytes: usize,
    /// The leaf store that its values are read from, once it is durable.
    store: RwLock<Option<Arc<StoreView>>>,
}

impl Version {
    pub fn new(
        record: CommitRecord,
        roots: Roots,
        history: MountainRange,
        replaced_bytes: usize,
    ) -> Self {
        Self {
            commit_id: record.commit_id(),
            record,
            roots,
            history,
            kzg_root: OnceLock::new(),
            openings: Openings::default(),
            submissions: None,
            replaced_bytes,
            store: RwLock::new(None),
        }
    }

    pub fn with_submissions(self, submissions: Option<Submissions>) -> Self {
        let outcomes_bytes = submissions.as_ref().map_or(0, |kept| kept.outcomes.len());
        Self {
            replaced_bytes: self.replaced_bytes + outcomes_bytes,
            submissions,
            ..self
        }
    }

    pub fn number(&self) -> u64 {
        self.record.version
    }

    pub fn root(&self) -> Root {
        Root {
            commit_id: self.commit_id,
            ..Root::of(&self.record, self.kzg_root.get().copied())
        }
    }

    pub fn store(&self) -> Option<Arc<StoreView>> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone()
    }

    pub fn read_from(&self, view: Arc<StoreView>) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }
}

/// What evidence about a version's submissions is made from, besides its record.
#[derive(Debug)]
pub struct Submissions {
    /// The provisional root before the first submission.
    pub provisional_before: Digest,
    /// The outcomes of all submissions, encoded in order.
    pub outcomes: Bytes,
}

/// Returns the provisional root before the first submission of a version: that of its parent, or the start of a chain
/// if the tree was opened between the two.
pub fn provisional_before(parent: &CommitRecord, record: &CommitRecord) -> Digest {
    match parent.open_epoch == record.open_epoch {
        true => parent.provisional_root,
        false => provisional_start(&record.parent, record.open_epoch),
    }
}

/// The opening of each slot of a version, made when first asked for and kept with the version: nothing
/// before the first, 25 KiB after it.
#[derive(Debug, Default)]
pub struct Openings(OnceLock<Box<[OnceLock<Opened>; WIDTH]>>);

/// An opening: as it travels, and as a later version goes on from it.
#[derive(Debug)]
struct Opened {
    bytes: G1Bytes,
    point: CommitmentPoint,
}

impl Openings {
    /// The opening of a slot. Who asks for one that is being made waits for it.
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

    /// The opening of a slot, if it was made.
    pub fn made(&self, slot: Slot) -> Option<CommitmentPoint> {
        let opened = self.0.get()?[slot.index()].get()?;
        Some(opened.point)
    }
}

#[derive(Debug)]
struct Inner {
    /// Durable versions, oldest first, without gaps.
    durable: VecDeque<Arc<Version>>,
    /// How many snapshots hold a version.
    pins: BTreeMap<u64, usize>,
    /// What the durable versions cost together.
    replaced_bytes: usize,
    limits: VersionsConfig,
}

impl Inner {
    /// The oldest version that can be kept for so many bytes; the newest costs nothing.
    fn oldest_within(&self, bytes_max: u64) -> u64 {
        let mut bytes = self.replaced_bytes as u64;
        for versions in self.durable.iter().zip(self.durable.iter().skip(1)) {
            let (version, next) = versions;
            if bytes <= bytes_max {
                return version.number();
            }
            bytes -= next.replaced_bytes as u64;
        }
        self.durable.back().map_or(0, |version| version.number())
    }

    fn drop_before(&mut self, oldest: u64) {
        while self.durable.len() > 1 && self.durable[0].number() < oldest {
            self.durable.pop_front();
            // What the version after it replaced is given back with it.
            let next = self.durable.front().map_or(0, |next| next.replaced_bytes);
            self.replaced_bytes = self.replaced_bytes.saturating_sub(next);
        }
    }
}

/// What no reader needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Versions before this one can't be read.
    pub oldest: u64,
    /// Layers up to this version are covered by every view that is still read.
    pub layers_up_to: u64,
}

/// The durable versions that can be read.
#[derive(Debug)]
pub struct Versions {
    inner: RwLock<Inner>,
    oldest: AtomicU64,
    /// Every view of the leaf store that is still read has all changes up to this version.
    covered: AtomicU64,
}

impl Versions {
    pub fn new(first: Arc<Version>, limits: VersionsConfig) -> Self {
        Self {
            oldest: AtomicU64::new(first.number()),
            covered: AtomicU64::new(first.store().map_or(0, |view| view.version)),
            inner: RwLock::new(Inner {
                durable: VecDeque::from([first]),
                pins: BTreeMap::new(),
                replaced_bytes: 0,
                limits,
            }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next durable version, and says what may be forgotten for it.
    ///
    /// It gets its view of the leaf store under the lock: a checkpoint that ends meanwhile either
    /// gave `values` the new view before, or finds this version among those that it must move.
    pub fn publish(&self, version: Arc<Version>, values: &Values) -> Expired {
        let newest = version.number();
        let mut inner = self.write();
        version.read_from(values.store());
        inner.replaced_bytes += version.replaced_bytes;
        inner.durable.push_back(version);
        let oldest = self.oldest_to_keep(&inner, newest);
        // Before anything is forgotten: a reader that looks afterwards knows what it read.
        self.oldest.store(oldest, Ordering::SeqCst);
        inner.drop_before(oldest);
        self.expired(&inner)
    }

    /// Other limits, from the next durable version on.
    pub fn limit(&self, limits: VersionsConfig) {
        self.write().limits = limits;
    }

    /// What is retained and what snapshots hold, as far as the limits allow.
    fn oldest_to_keep(&self, inner: &Inner, newest: u64) -> u64 {
        let oldest_now = self.oldest();
        let limits = &inner.limits;
        let retained = (newest + 1).saturating_sub(limits.retain_versions);
        // A pin that was revoked holds nothing any more.
        let pinned = inner.pins.range(oldest_now..).next();
        let wanted = pinned.map_or(retained, |(pinned, _)| retained.min(*pinned));
        let allowed = newest.saturating_sub(limits.snapshot_versions_behind_max);
        let affordable = inner.oldest_within(limits.retained_bytes_max);
        wanted.max(allowed).max(affordable).max(oldest_now)
    }

    /// Lets all versions that it covers read from a new view of the leaf store.
    pub fn checkpointed(&self, view: &Arc<StoreView>) -> Expired {
        let inner = self.read();
        for version in &inner.durable {
            if version.number() >= view.version {
                version.read_from(view.clone());
            }
        }
        self.expired(&inner)
    }

    fn expired(&self, inner: &Inner) -> Expired {
        let layers_up_to = layers_up_to(inner);
        self.covered.fetch_max(layers_up_to, Ordering::SeqCst);
        Expired {
            oldest: self.oldest(),
            layers_up_to,
        }
    }

    /// The version up to which every view of the leaf store that is still read has all changes; no later
    /// than the oldest version that can be read.
    pub fn covered(&self) -> u64 {
        self.covered.load(Ordering::SeqCst)
    }

    /// The oldest version that can be read.
    pub fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::SeqCst)
    }

    pub fn newest(&self) -> Arc<Version> {
        let inner = self.read();
        inner.durable[inner.durable.len() - 1].clone()
    }

    /// The newest version, held.
    pub fn pin_newest(&self) -> Arc<Version> {
        let mut inner = self.write();
        let version = inner.durable[inner.durable.len() - 1].clone();
        *inner.pins.entry(version.number()).or_default() += 1;
        version
    }

    /// A version, held; or the oldest and newest there are.
    pub fn pin(&self, number: u64) -> Result<Arc<Version>, (u64, u64)> {
        let mut inner = self.write();
        let found = find(&inner.durable, number).cloned();
        let newest = inner.durable[inner.durable.len() - 1].number();
        let version = found.ok_or((self.oldest(), newest))?;
        *inner.pins.entry(number).or_default() += 1;
        Ok(version)
    }

    pub fn get(&self, number: u64) -> Option<Arc<Version>> {
        find(&self.read().durable, number).cloned()
    }

    /// The version that a submission is part of; or the sequence numbers of the first and the last
    /// submission of those there are.
    pub fn of_submission(&self, sequence: u64) -> Result<Arc<Version>, (u64, u64)> {
        let inner = self.read();
        let durable = &inner.durable;
        let place = durable.partition_point(|version| version.record.last_sequence < sequence);
        let found = durable.get(place);
        match found.filter(|version| version.record.first_sequence <= sequence) {
            Some(version) => Ok(version.clone()),
            None => Err((
                durable[0].record.first_sequence,
                durable[durable.len() - 1].record.last_sequence,
            )),
        }
    }

    /// The last version before this one that an opening of the slot was made at, and that opening; not
    /// further back than is looked.
    pub fn opened_before(
        &self,
        number: u64,
        slot: Slot,
    ) -> Option<(Arc<Version>, CommitmentPoint)> {
        let inner = self.read();
        let first = inner.durable.front()?.number();
        let before = usize::try_from(number.checked_sub(first)?).ok()?;
        let earlier = inner.durable.iter().take(before).rev();
        let mut opened = earlier.take(LOOKED_BACK_MAX).filter_map(|version| {
            let opening = version.openings.made(slot)?;
            Some((version.clone(), opening))
        });
        opened.next()
    }

    /// Gives a held version back.
    pub fn unpin(&self, number: u64) {
        let mut inner = self.write();
        if let Some(count) = inner.pins.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                inner.pins.remove(&number);
            }
        }
    }
}

fn find(durable: &VecDeque<Arc<Version>>, number: u64) -> Option<&Arc<Version>> {
    let place = number.checked_sub(durable.front()?.number())?;
    durable.get(usize::try_from(place).ok()?)
}

fn layers_up_to(inner: &Inner) -> u64 {
    let views = inner.durable.iter().filter_map(|version| version.store());
    views.map(|view| view.version).min().unwrap_or(0)
}

/// The slots that differ between two versions.
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

#[cfg(test)]
mod tests {
    use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};

    use super::*;
    use crate::metrics::Metrics;

    fn version(number: u64) -> Arc<Version> {
        let mut record = CommitRecord::genesis([0; 32]);
        record.version = number;
        let roots = Roots::of(number, 0, Box::new([[0; 32]; 128]));
        Arc::new(Version::new(record, roots, MountainRange::default(), 100))
    }

    /// Versions 0 to `newest` under these limits; `visit` may pin on the way.
    fn published(limits: VersionsConfig, newest: u64, visit: impl Fn(&Versions)) -> Versions {
        let leaves = MemoryLeafStore::default().snapshot().unwrap();
        let view = Arc::new(StoreView::new(0, leaves));
        let values = Values::new(view, Arc::new(Metrics::new("test")));
        let versions = Versions::new(version(0), limits);
        for number in 1..=newest {
            versions.publish(version(number), &values);
            visit(&versions);
        }
        versions
    }

    fn limits(retain: u64, behind: u64, bytes: u64) -> VersionsConfig {
        VersionsConfig {
            retain_versions: retain,
            snapshot_versions_behind_max: behind,
            retained_bytes_max: bytes,
        }
    }

    #[test]
    fn the_last_few_are_retained() {
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
    fn the_oldest_are_dropped_when_they_cost_too_much() {
        let go_on = |_: &Versions| {};
        assert_eq!(published(limits(9, 100, 250), 9, go_on).oldest(), 7);
        assert_eq!(published(limits(9, 100, 0), 9, go_on).oldest(), 9);
    }
}
