//! Persist: takes versions and acknowledges them as durable.
//!
//! The order is append → sync → publish → acknowledge. A version is appended when it arrives, and all versions that
//! have arrived by the time the mailbox is empty share one sync. In commit mode `eager`, publishing also waits for the
//! KZG root.

mod checkpoint_trigger;
mod log_writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use trunkline_core::store::log::{CommitLog, LogPosition};

use super::{guard, serve};
use crate::actor::Actor;
use crate::background::Task;
use crate::checkpoint::Checkpoints;
use crate::config::KzgMode;
use crate::context::StageContext;
use crate::failure::{EngineFailure, Stage};
use crate::feed::Synced;
use crate::message::{Drain, HashedVersion, PersistMessage};
use crate::receipt::Durability;
use crate::runtime::clock;
use crate::runtime::wait::yield_point;
use crate::state::versions::Version;

use checkpoint_trigger::CheckpointTrigger;
use log_writer::LogWriter;

/// The stage's state.
pub struct PersistStage {
    context: Arc<StageContext>,
    log: LogWriter,
    checkpoints: CheckpointTrigger,
    background: Sender<Task>,
    /// Versions that are appended and not durable yet, each with the time at which it was appended.
    appended: Vec<(HashedVersion, u64)>,
    /// Versions that are durable and not published yet.
    durable: VecDeque<(HashedVersion, u64, Durability)>,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineFailure {
    EngineFailure::stage(Stage::Persist, error)
}

impl PersistStage {
    /// Creates the stage.
    pub fn new(
        context: Arc<StageContext>,
        log: CommitLog,
        background: Sender<Task>,
        checkpoints: Checkpoints,
    ) -> Self {
        Self {
            log: LogWriter::new(log, context.metrics.clone()),
            checkpoints: CheckpointTrigger::new(checkpoints),
            context,
            background,
            appended: Vec::new(),
            durable: VecDeque::new(),
        }
    }

    fn append(&mut self, mut hashed: HashedVersion) -> Result<(), EngineFailure> {
        let begun_us = self.context.metrics.uptime_us();
        self.log.append(&hashed)?;
        // Otherwise kzg may still compute its root.
        if !self.needs_root() {
            hashed.slot.computed();
        }
        self.appended.push((hashed, begun_us));
        Ok(())
    }

    /// Makes the appended versions durable, and publishes and acknowledges those that are ready.
    fn commit(&mut self) -> Result<(), EngineFailure> {
        if self.appended.is_empty() && self.durable.is_empty() {
            return Ok(());
        }
        let begun = clock::now();
        if !self.appended.is_empty() {
            let durability = self.log.make_durable(&self.context.config().durability)?;
            let appended = self.appended.drain(..);
            let durable = appended.map(|(hashed, begun_us)| (hashed, begun_us, durability));
            self.durable.extend(durable);
        }
        let mut has_published = false;
        while let Some((hashed, begun_us, durability)) = self.next_ready() {
            self.publish(&hashed);
            yield_point();
            self.acknowledge(hashed, durability, begun_us);
            has_published = true;
        }
        let busy = clock::now() - begun;
        self.context.metrics.interval.busy(Stage::Persist, busy);
        // Not earlier: a checkpoint covers the published versions, and commits may wait for it.
        match has_published {
            true => self.checkpoints.run(&self.context, &mut self.log),
            false => Ok(()),
        }
    }

    /// Takes the next durable version, unless it still waits for its KZG root.
    fn next_ready(&mut self) -> Option<(HashedVersion, u64, Durability)> {
        let (hashed, ..) = self.durable.front()?;
        let is_ready = !self.needs_root() || hashed.version.kzg_root.get().is_some();
        is_ready.then(|| self.durable.pop_front()).flatten()
    }

    /// Returns whether a version is acknowledged only with its KZG root.
    fn needs_root(&self) -> bool {
        self.context.config().kzg.mode == KzgMode::Eager
    }

    /// Makes a version readable.
    fn publish(&self, hashed: &HashedVersion) {
        let (state, version) = (&self.context.state, hashed.version.clone());
        self.context.metrics.keys(version.record.key_count);
        state.history.push(version.number(), &version.commit_id);
        yield_point();
        let now_ms = clock::since_1970().as_millis();
        version.became_durable(u64::try_from(now_ms).unwrap_or(0));
        let retired = |version: &Version| {
            if let Some(past) = &state.past {
                past.retired(|| version.to_past(), version.number());
            }
        };
        let publish = || {
            state
                .versions
                .publish(version.clone(), &state.values, retired)
        };
        let expired = self.context.idempotency.settle(&version, publish);
        let _ = self.background.send(Task::Forget(expired));
        // Before it is acknowledged: the holder of the receipt finds the version in the feed.
        self.show_synced();
    }

    fn acknowledge(&self, hashed: HashedVersion, durability: Durability, begun_us: u64) {
        let version = &hashed.version;
        let (tag, metrics) = (&hashed.slot.tag, &self.context.metrics);
        let completion = hashed.pending.completion;
        let current_cap = self.context.settings.group_operations_max.get() as u64;
        metrics
            .interval
            .durable(tag, completion.accepted_at(), current_cap);
        metrics.span(Stage::Persist, tag, begun_us);
        completion.durable(version.kzg_root.get().copied(), durability);
    }

    /// Commits and syncs everything, in any durability mode; with `close`, makes a last checkpoint if that is
    /// worthwhile, and closes the log.
    fn drain(&mut self, close: bool) -> Result<(), EngineFailure> {
        if self.log.is_closed() {
            return Ok(());
        }
        self.log.sync()?;
        self.commit()?;
        if !close {
            return Ok(());
        }
        if let Some(version) = self.checkpoints.close(&self.context, &mut self.log)? {
            self.trim(version)?;
        }
        self.log.close()
    }

    /// Trims the log up to the version of a checkpoint.
    fn trim(&mut self, version: u64) -> Result<(), EngineFailure> {
        let held_bytes_max = self.context.config().log.held_bytes_max;
        self.log.trim(version, &self.context.feed, held_bytes_max)
    }

    /// Lets followers read the versions that are synced and published.
    fn show_synced(&self) {
        let newest = self.context.state.versions.newest();
        let version = newest.number();
        // A sync covers all appended versions, so it is at the newest version or after it.
        if self.log.synced_version() < version {
            return;
        }
        let (feed, metrics) = (&self.context.feed, &self.context.metrics);
        metrics.synced_version(version);
        metrics.replica_lag(feed.lag_versions(version));
        feed.advance(Synced {
            position: LogPosition {
                version,
                commit_id: newest.commit_id,
            },
            open_epoch: newest.record.open_epoch,
        });
    }

    fn is_sync_due(&self) -> bool {
        self.deadline().is_some_and(|at| at <= clock::now())
    }

    fn answer(&mut self, drain: Drain) {
        self.guarded(|stage| stage.drain(drain.close));
        self.show_synced();
        // The caller may no longer wait.
        let _ = drain.done.send(self.context.health.check());
    }

    /// Does work that does not belong to the service of a version.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), EngineFailure>) {
        let context = self.context.clone();
        guard(&context, Stage::Persist, || work(self));
    }
}

impl Actor for PersistStage {
    type Message = PersistMessage;

    fn handle(&mut self, message: PersistMessage) {
        match message {
            PersistMessage::Version(hashed) => {
                let (context, sent_at) = (self.context.clone(), hashed.sent_at);
                let append = || self.append(hashed);
                serve(&context, Stage::Persist, sent_at, None, append);
            }
            // Looked at when the mailbox is empty.
            PersistMessage::RootReady => {}
            PersistMessage::Checkpointed(version) => {
                self.guarded(|stage| stage.trim(version));
                let _ = self.background.send(Task::Prune);
            }
            PersistMessage::Drain(drain) => self.answer(drain),
        }
    }

    fn idle(&mut self) {
        self.guarded(|stage| {
            stage.commit()?;
            match stage.is_sync_due() {
                true => {
                    stage.log.sync()?;
                    stage.show_synced();
                    Ok(())
                }
                false => Ok(()),
            }
        });
    }

    fn deadline(&self) -> Option<Instant> {
        self.context.health.check().ok()?;
        self.log.deadline(&self.context.config().durability)
    }

    fn abort(&mut self) {
        self.appended.clear();
        self.durable.clear();
    }
}
