//! Kzg: takes a hashed version and forwards it at once; its KZG root is computed while the log syncs it.
//!
//! In mode `eager`, persist acknowledges a version only when it also has its root. A commitment is updated from the
//! last one by the slots that differ, so skipping versions costs nothing later. In mode `coalesce` a root is skipped
//! while the stage is behind, and the next root covers it; the last version of a burst always gets one. In mode
//! `on_demand` only requested versions get a root.

use std::collections::BTreeMap;
use std::sync::Arc;

use trunkline_core::hash::{Digest, ZERO};
use trunkline_core::kzg::CommitmentPoint;
use trunkline_core::params::WIDTH;
use trunkline_core::record::Root;

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::config::KzgMode;
use crate::context::StageContext;
use crate::failure::{Divergence, EngineFailure, Stage};
use crate::message::{HashedVersion, KzgMessage, PersistMessage};
use crate::receipt::{RootCompletion, RootReady};
use crate::runtime::clock;
use crate::state::versions::{Version, slot_changes};

/// The stage's state.
pub struct KzgStage {
    context: Arc<StageContext>,
    persist: Mailbox<PersistMessage>,
    own: Mailbox<KzgMessage>,
    slots: Box<[Digest; WIDTH]>,
    point: CommitmentPoint,
    /// Versions since the last root (mode `coalesce`).
    skipped: u64,
    /// Waiters for a root, by the version that it must cover.
    waiters: BTreeMap<u64, Vec<RootCompletion>>,
    /// The last version that arrived.
    last: Option<Arc<Version>>,
}

impl KzgStage {
    /// Creates the stage.
    pub fn new(
        context: Arc<StageContext>,
        persist: Mailbox<PersistMessage>,
        own: Mailbox<KzgMessage>,
    ) -> Self {
        Self {
            context,
            persist,
            own,
            slots: Box::new([ZERO; WIDTH]),
            point: CommitmentPoint::IDENTITY,
            skipped: 0,
            waiters: BTreeMap::new(),
            last: None,
        }
    }

    /// Returns the KZG root of a version; computes it if necessary.
    fn root(&mut self, version: &Version) -> [u8; 48] {
        if let Some(kzg_root) = version.kzg_root.get() {
            return *kzg_root;
        }
        let new = &version.roots.slots;
        let changes = slot_changes(&self.slots, new);
        let (context, pool) = (&self.context, self.context.cut_group(1));
        let committer = &context.state.committer;
        self.point = committer.update_on(pool, &self.point, &changes);
        self.slots.copy_from_slice(&new[..]);
        *version.kzg_root.get_or_init(|| self.point.to_bytes().0)
    }

    /// Computes the root of a version and sends it to all that wait for it or for an earlier one.
    fn complete(&mut self, version: &Version) {
        let root_ready = RootReady {
            version: version.number(),
            kzg_root: self.root(version),
        };
        self.skipped = 0;
        let later = self.waiters.split_off(&(version.number() + 1));
        let due = std::mem::replace(&mut self.waiters, later);
        for waiter in due.into_values().flatten() {
            waiter.complete(root_ready);
        }
    }

    /// Returns whether computing the root now would delay others: something waits for this stage, or the next version
    /// is coming while the pipeline is full, and another stage needs the core.
    fn is_behind(&self, version: &Version) -> bool {
        let context = &self.context;
        let is_full = context.in_flight.groups() >= context.config().group.in_flight_max;
        let has_next = context.state.present() > version.number();
        self.own.waiting() > 0 || (is_full && has_next)
    }

    fn take(&mut self, hashed: HashedVersion) -> Result<(), EngineFailure> {
        let version = hashed.version.clone();
        let number = version.number();
        self.last = Some(version.clone());
        let config = self.context.config();
        if config.kzg.mode != KzgMode::OnDemand {
            let waiter = hashed.pending.completion.root();
            self.waiters.entry(number).or_default().push(waiter);
        }
        // A root from the primary is not trusted before it was computed.
        if let Some(given) = &hashed.given_root {
            self.complete(&version);
            self.check_root(&version, **given)?;
        }
        self.pass_on(hashed);
        match config.kzg.mode {
            KzgMode::Eager => {
                self.complete(&version);
                self.persist.send(PersistMessage::RootReady);
            }
            KzgMode::Coalesce => {
                let may_skip = self.skipped < config.kzg.coalesce_versions_max;
                match may_skip && self.is_behind(&version) {
                    true => self.skipped += 1,
                    false => self.complete(&version),
                }
            }
            KzgMode::OnDemand => {
                if self.waiters.contains_key(&number) {
                    self.complete(&version);
                }
            }
        }
        Ok(())
    }

    /// Compares the root of a version with that of the primary.
    fn check_root(&mut self, version: &Version, given: [u8; 48]) -> Result<(), EngineFailure> {
        let replica = version.root();
        match replica.kzg_root == Some(given) {
            true => Ok(()),
            false => Err(EngineFailure::Diverged(Box::new(Divergence {
                primary: Root {
                    kzg_root: Some(given),
                    ..replica
                },
                replica,
            }))),
        }
    }

    fn pass_on(&self, mut hashed: HashedVersion) {
        hashed.sent_at = clock::now();
        self.persist.send(PersistMessage::Version(hashed));
    }

    /// Computes the requested root of a version, once the version has arrived.
    fn root_wanted(&mut self, number: u64, waiter: RootCompletion) {
        self.waiters.entry(number).or_default().push(waiter);
        let retained = self.context.state.versions.get(number);
        // A version on its way to the disk is not retained yet. The last one that arrived covers it.
        let last = self.last.clone().filter(|last| last.number() >= number);
        if let Some(version) = retained.or(last) {
            self.complete(&version);
        }
    }

    /// Computes the root that was skipped last: after a drain, no further version may come.
    fn complete_skipped(&mut self) {
        if let Some(last) = self.last.clone().filter(|_| self.skipped > 0) {
            self.complete(&last);
        }
    }
}

impl Actor for KzgStage {
    type Message = KzgMessage;

    fn handle(&mut self, message: KzgMessage) {
        let (context, now) = (self.context.clone(), clock::now());
        let served = match message {
            KzgMessage::Version(hashed) => {
                let (sent_at, tag) = (hashed.sent_at, Some(hashed.slot.tag));
                serve(&context, Stage::Kzg, sent_at, tag, || self.take(hashed))
            }
            KzgMessage::RootWanted(version, waiter) => {
                serve(&context, Stage::Kzg, now, None, || {
                    self.root_wanted(version, waiter);
                    Ok(())
                })
            }
            KzgMessage::Drain(drain) => {
                let completed = super::guard(&context, Stage::Kzg, || {
                    self.complete_skipped();
                    Ok(())
                });
                self.persist.send(PersistMessage::Drain(drain));
                completed
            }
        };
        if served.is_none() {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.waiters.clear();
    }
}
