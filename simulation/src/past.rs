//! Versions that memory does not keep: the store below an engine, and a caller that reads them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::SmallRng;
use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::core::store::leaves::LeafStoreError;
use trunkline::core::store::past::{MemoryPast, PastEntry, PastStore, PastVisitor, Segment};
use trunkline::{PastError, ReadError, Snapshot, SnapshotError, SnapshotProveError, TopKind};
use trunkline_actors::runtime::wait::yield_point;

use crate::caller::{Caller, Ended, shown};
use crate::ensure;
use crate::machine::{Power, backend};
use crate::plan::Call;

/// The store of archived versions as one engine sees it.
pub(crate) struct EnginePast {
    pub(crate) past: Arc<MemoryPast>,
    pub(crate) power: Arc<Power>,
}

impl PastStore for EnginePast {
    fn segments(&self) -> Result<Vec<Segment>, LeafStoreError> {
        let segments = self.power.read(|| Ok(self.past.segments()));
        segments.map_err(backend)?
    }

    fn ingest(
        &self,
        segment: u64,
        entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
    ) -> Result<(), LeafStoreError> {
        let ingested = self
            .power
            .write(Call::Ingest, || Ok(self.past.ingest(segment, entries)));
        ingested.map_err(backend)?
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        let synced = self.power.sync(Call::SyncLeaves, || Ok(self.past.sync()));
        synced.map_err(backend)?
    }

    fn scan(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        yield_point();
        let scanned = self
            .power
            .read(|| Ok(self.past.scan(segment, range, visit)));
        yield_point();
        scanned.map_err(backend)?
    }

    fn scan_back(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        yield_point();
        let scanned = self
            .power
            .read(|| Ok(self.past.scan_back(segment, range, visit)));
        yield_point();
        scanned.map_err(backend)?
    }

    fn last_key(&self, segment: u64) -> Result<Option<Vec<u8>>, LeafStoreError> {
        let last = self.power.read(|| Ok(self.past.last_key(segment)));
        last.map_err(backend)?
    }

    fn remove(&self, segment: u64) -> Result<(), LeafStoreError> {
        let removed = self
            .power
            .write(Call::Ingest, || Ok(self.past.remove(segment)));
        yield_point();
        removed.map_err(backend)?
    }
}

impl Caller {
    /// Reads or proves any version that there ever was.
    pub(crate) fn read_past(&mut self, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        let newest = engine.snapshot().version();
        let number = random.random_range(0..=newest);
        let snapshot = match engine.snapshot_at(number) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.not_kept(number, newest, error),
        };
        self.life.world.counts.borrow_mut().past_versions += u64::from(number < newest);
        match random.random_range(0..5) {
            0 => self.walk(&snapshot),
            4 => self.range(&snapshot, random),
            1 => self.prove_past(&snapshot, random),
            2 => {
                self.hold(snapshot);
                Ok(())
            }
            _ => self.read(&snapshot, random),
        }
    }

    /// Checks that a version that once was cannot be read for a reason.
    fn not_kept(&self, number: u64, newest: u64, error: SnapshotError) -> Result<(), Ended> {
        let config = &self.life.world.plan.config.versions;
        match error {
            SnapshotError::Past(error) => self.past_failed(number, &error),
            SnapshotError::Expired { .. } => {
                ensure!(
                    !config.archive,
                    "version {number} is not archived at {newest}"
                );
                Ok(())
            }
            error => crate::scheduler::fail(format!("version {number} of {newest}: {error}")),
        }
    }

    /// Checks that an archived version is not read for a reason.
    pub(crate) fn past_failed(&self, number: u64, error: &PastError) -> Result<(), Ended> {
        let config = &self.life.world.plan.config.versions;
        match error {
            PastError::Pruned { .. } => {
                let newest = self.life.engine.snapshot().version();
                let bound = config.archive_versions_max;
                let may_be_pruned = bound > 0 && newest - number >= bound;
                ensure!(
                    may_be_pruned,
                    "version {number} was pruned at {newest}, the bound is {bound}"
                );
                self.life.world.counts.borrow_mut().snapshots_expired += 1;
                Ok(())
            }
            PastError::Closed if self.life.is_closing.get() => Ok(()),
            PastError::Store(_) if self.life.may_fail => Ok(()),
            error => {
                let report = format!("version {number} is not read: {error}: {error:?}");
                crate::scheduler::fail(report)
            }
        }
    }

    fn prove_past(&self, snapshot: &Snapshot, random: &mut SmallRng) -> Result<(), Ended> {
        let last = self.life.world.truth.borrow_mut().see(snapshot);
        let keys: Vec<_> = (0..3).map(|_| self.any_key(random)).collect();
        let proof = match snapshot.prove(&keys, TopKind::Hash) {
            Ok(proof) => proof,
            Err(SnapshotProveError::Read(error)) => return self.expired(snapshot, &error),
            Err(error) => crate::scheduler::fail(format!("no proof: {error}: {error:?}")),
        };
        let verified = match verify(&proof, &Expected::CommitId(snapshot.commit_id())) {
            Ok(verified) => verified,
            Err(error) => crate::scheduler::fail(format!("a proof does not verify: {error}")),
        };
        let truth = self.life.world.truth.borrow();
        for key in &keys {
            let value = truth.state(last).map.get(key).cloned();
            let claim = value.map_or(Claim::Absent, Claim::Present);
            let proven = verified.claim(key);
            let version = snapshot.version();
            ensure!(
                proven == Some(&claim),
                "{} is proven {proven:?} at version {version}, not {claim:?}",
                shown(key)
            );
        }
        Ok(())
    }

    /// Checks that a read of a version that is perhaps archived had a reason to fail.
    pub(crate) fn read_past_failed(
        &self,
        snapshot: &Snapshot,
        error: &ReadError,
    ) -> Option<Result<(), Ended>> {
        match error {
            ReadError::Past(error) => Some(self.past_failed(snapshot.version(), error)),
            _ => None,
        }
    }
}
