//! The versions that can be read: the last few, and those that somebody holds a snapshot of.
//!
//! Not here: what they contain (the tree and `values` know).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use trunkline_core::hash::Digest;
use trunkline_core::history::MountainRange;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::Roots;

use crate::values::{StoreView, Values};

/// A version with digests: everything that its root stands for.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) record: CommitRecord,
    pub(crate) commit_id: Digest,
    pub(crate) roots: Roots,
    /// Over the commit ids of all versions up to this one.
    pub(crate) history: MountainRange,
    pub(crate) kzg_root: OnceLock<[u8; 48]>,
    /// The leaf store that its values are read from, once it is durable.
    store: RwLock<Option<Arc<StoreView>>>,
}

impl Version {
    pub(crate) fn new(record: CommitRecord, roots: Roots, history: MountainRange) -> Self {
        Self {
            commit_id: record.commit_id(),
            record,
            roots,
            history,
            kzg_root: OnceLock::new(),
            store: RwLock::new(None),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.record.version
    }

    pub(crate) fn root(&self) -> Root {
        Root {
            commit_id: self.commit_id,
            ..Root::of(&self.record, self.kzg_root.get().copied())
        }
    }

    pub(crate) fn store(&self) -> Option<Arc<StoreView>> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone()
    }

    pub(crate) fn read_from(&self, view: Arc<StoreView>) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    fn give_store_back(&self) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Debug)]
struct Inner {
    /// Durable versions, oldest first, without gaps.
    durable: VecDeque<Arc<Version>>,
    /// How many snapshots hold a version.
    pins: BTreeMap<u64, usize>,
}

/// What no reader needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Versions before this one can't be read.
    pub(crate) oldest: u64,
    /// Layers up to this version are covered by every view that is still read.
    pub(crate) layers_up_to: u64,
}

/// The durable versions that can be read.
#[derive(Debug)]
pub(crate) struct Versions {
    inner: RwLock<Inner>,
    oldest: AtomicU64,
    retain: u64,
    behind_max: u64,
}

impl Versions {
    pub(crate) fn new(first: Arc<Version>, retain: u64, behind_max: u64) -> Self {
        Self {
            oldest: AtomicU64::new(first.number()),
            inner: RwLock::new(Inner {
                durable: VecDeque::from([first]),
                pins: BTreeMap::new(),
            }),
            retain: retain.max(1),
            behind_max: behind_max.max(retain),
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
    pub(crate) fn publish(&self, version: Arc<Version>, values: &Values) -> Expired {
        let newest = version.number();
        let mut inner = self.write();
        version.read_from(values.store());
        inner.durable.push_back(version);
        let retained = (newest + 1).saturating_sub(self.retain);
        let pinned = inner.pins.keys().next().copied().unwrap_or(u64::MAX);
        let oldest = retained
            .min(pinned)
            .max(newest.saturating_sub(self.behind_max))
            .max(self.oldest());
        // Before anything is forgotten: a reader that looks afterwards knows what it read.
        self.oldest.store(oldest, Ordering::SeqCst);
        while inner.durable.len() > 1 && inner.durable[0].number() < oldest {
            if let Some(expired) = inner.durable.pop_front() {
                // A snapshot that is still held must not hold the leaf store too.
                expired.give_store_back();
            }
        }
        Expired {
            oldest,
            layers_up_to: layers_up_to(&inner),
        }
    }

    /// Lets all versions that it covers read from a new view of the leaf store.
    pub(crate) fn checkpointed(&self, view: &Arc<StoreView>) -> Expired {
        let inner = self.read();
        for version in &inner.durable {
            if version.number() >= view.version {
                version.read_from(view.clone());
            }
        }
        Expired {
            oldest: self.oldest(),
            layers_up_to: layers_up_to(&inner),
        }
    }

    /// Gives the leaf store back.
    pub(crate) fn close(&self) {
        for version in &self.read().durable {
            if let Some(view) = version.store() {
                version.read_from(view.closed());
            }
        }
    }

    /// The oldest version that can be read.
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::SeqCst)
    }

    pub(crate) fn newest(&self) -> Arc<Version> {
        let inner = self.read();
        inner.durable[inner.durable.len() - 1].clone()
    }

    /// The newest version, held.
    pub(crate) fn pin_newest(&self) -> Arc<Version> {
        let mut inner = self.write();
        let version = inner.durable[inner.durable.len() - 1].clone();
        *inner.pins.entry(version.number()).or_default() += 1;
        version
    }

    /// A version, held; or the oldest and newest there are.
    pub(crate) fn pin(&self, number: u64) -> Result<Arc<Version>, (u64, u64)> {
        let mut inner = self.write();
        let found = find(&inner.durable, number).cloned();
        let newest = inner.durable[inner.durable.len() - 1].number();
        let version = found.ok_or((self.oldest(), newest))?;
        *inner.pins.entry(number).or_default() += 1;
        Ok(version)
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<Version>> {
        find(&self.read().durable, number).cloned()
    }

    /// Gives a held version back.
    pub(crate) fn unpin(&self, number: u64) {
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
