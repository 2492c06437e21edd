//! Kzg: a hashed version comes in; it goes out with its KZG root, or is passed on without.
//!
//! The commitment follows from the last one computed by the slots that differ, so skipping versions
//! costs nothing later. In mode `coalesce` a version with others behind it is passed on at once, and
//! the next commitment covers it; the last one of a burst is always committed. In mode `on_demand`
//! only versions that somebody asks for are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::{Actor, Addr, Context, Handler};
use trunkline_core::hash::{Digest, ZERO};
use trunkline_core::kzg::CommitmentPoint;
use trunkline_core::params::WIDTH;

use super::persist::PersistStage;
use super::serve;
use crate::config::KzgMode;
use crate::failure::{EngineFailure, Stage};
use crate::message::{CommittedVersion, Demanded, Drain, Halt, HashedVersion};
use crate::receipt::{CommitPromise, RootReady};
use crate::shared::Shared;
use crate::state::versions::Version;
use crate::state::versions::slot_changes;

pub struct KzgStage {
    shared: Arc<Shared>,
    persist: Addr<PersistStage>,
    slots: Box<[Digest; WIDTH]>,
    point: CommitmentPoint,
    skipped: u64,
    /// Who waits for a commitment that was skipped (`coalesce`) or asked for before its version came
    /// (`on_demand`), by version.
    promises: BTreeMap<u64, Vec<CommitPromise>>,
    /// The last version seen.
    last: Option<Arc<Version>>,
}

impl KzgStage {
    pub fn new(shared: Arc<Shared>, persist: Addr<PersistStage>) -> Self {
        Self {
            shared,
            persist,
            slots: Box::new([ZERO; WIDTH]),
            point: CommitmentPoint::IDENTITY,
            skipped: 0,
            promises: BTreeMap::new(),
            last: None,
        }
    }

    /// The KZG root of a version, from the last commitment and the slots that differ.
    fn commit(&mut self, version: &Version) -> [u8; 48] {
        if let Some(kzg_root) = version.kzg_root.get() {
            return *kzg_root;
        }
        let new = &version.roots.slots;
        let changes = slot_changes(&self.slots, new);
        self.point = self.shared.state.committer.update(&self.point, &changes);
        self.slots.copy_from_slice(&new[..]);
        *version.kzg_root.get_or_init(|| self.point.to_bytes().0)
    }

    /// Commits to a version and tells everybody who waits for it or an earlier one.
    fn commit_and_tell(&mut self, version: &Version) {
        let committed = RootReady {
            version: version.number(),
            kzg_root: self.commit(version),
        };
        self.skipped = 0;
        let later = self.promises.split_off(&(version.number() + 1));
        let due = std::mem::replace(&mut self.promises, later);
        for promise in due.into_values().flatten() {
            promise.keep(committed);
        }
    }

    /// Whether a commitment now would hold others up: the next version waits for it already, or is on its way while
    /// the pipeline is full, where it would take the core of another stage.
    fn is_behind(&self, version: &Version) -> bool {
        let shared = &self.shared;
        let is_full = shared.in_flight.groups() >= shared.config().group.in_flight_max;
        let has_next = shared.applied() > version.number();
        shared.kzg_queue.load(Ordering::Acquire) > 0 || (is_full && has_next)
    }

    fn promise(&mut self, version: u64, promises: impl Iterator<Item = CommitPromise>) {
        self.promises.entry(version).or_default().extend(promises);
    }

    fn take(&mut self, hashed: HashedVersion) -> Result<(), EngineFailure> {
        let version = hashed.version.clone();
        self.last = Some(version.clone());
        let mode = self.shared.config().kzg.mode;
        if mode != KzgMode::OnDemand {
            let waiting = hashed.waiting.iter();
            let promises = waiting.map(|(waiting, _)| waiting.ticket.commit_promise());
            self.promise(version.number(), promises);
        }
        match mode {
            KzgMode::Eager => {
                self.commit_and_tell(&version);
                self.pass_on(hashed);
            }
            KzgMode::Coalesce => {
                // Durability does not wait for the commitment.
                self.pass_on(hashed);
                let skipped_max = self.shared.config().kzg.coalesce_versions_max;
                if self.is_behind(&version) && self.skipped < skipped_max {
                    self.skipped += 1;
                } else {
                    self.commit_and_tell(&version);
                }
            }
            KzgMode::OnDemand => {
                let asked = self.promises.contains_key(&version.number());
                self.pass_on(hashed);
                if asked {
                    self.commit_and_tell(&version);
                }
            }
        }
        Ok(())
    }

    fn pass_on(&self, hashed: HashedVersion) {
        self.persist.do_send(CommittedVersion {
            hashed,
            sent_at: Instant::now(),
        });
    }

    fn demanded(&mut self, demanded: Demanded) -> Result<(), EngineFailure> {
        let arrived = self.last.as_ref().map_or(0, |last| last.number());
        let retained = self.shared.state.versions.get(demanded.version);
        let last = self.last.clone();
        // A version on its way to the disk is neither retained yet nor, unless it is the last one
        // here, at hand; the last one covers it.
        let version = retained.or(last.filter(|_| demanded.version <= arrived));
        self.promise(demanded.version, std::iter::once(demanded.promise));
        if let Some(version) = version {
            self.commit_and_tell(&version);
        }
        Ok(())
    }
}

impl Actor for KzgStage {
    type Context = Context<Self>;
}

impl Handler<HashedVersion> for KzgStage {
    type Result = ();

    fn handle(&mut self, hashed: HashedVersion, _: &mut Context<Self>) {
        self.shared.kzg_queue.fetch_sub(1, Ordering::AcqRel);
        let (shared, sent_at) = (self.shared.clone(), hashed.sent_at);
        let (tag, begun_us) = (hashed.slot.tag, shared.metrics.uptime_us());
        match serve(&shared, Stage::Kzg, sent_at, || self.take(hashed)) {
            Some(()) => shared.metrics.span(Stage::Kzg, &tag, begun_us),
            None => self.promises.clear(),
        }
    }
}

impl Handler<Demanded> for KzgStage {
    type Result = ();

    fn handle(&mut self, demanded: Demanded, _: &mut Context<Self>) {
        let (shared, now) = (self.shared.clone(), Instant::now());
        let _ = serve(&shared, Stage::Kzg, now, || self.demanded(demanded));
    }
}

impl Handler<Drain> for KzgStage {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) {
        self.persist.do_send(drain);
    }
}

impl Handler<Halt> for KzgStage {
    type Result = ();

    fn handle(&mut self, _: Halt, _: &mut Context<Self>) {
        self.promises.clear();
    }
}
