//! Persist: versions come in; they go out durable, as receipts.
//!
//! Whatever has arrived while a sync was running shares the next one: a version is appended when it
//! comes, and a note to oneself, queued behind all that is already there, starts the sync.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler};
use trunkline_core::store::effect::encode_effects;
use trunkline_core::store::log::{CommitLog, EntryHead};

use super::serve;
use crate::background::Chore;
use crate::checkpoint::Checkpoints;
use crate::config::DurabilityMode;
use crate::failure::{EngineFailure, Stage};
use crate::message::{Checkpointed, CommittedVersion, Drain, Flush, Halt, HashedVersion, SyncDue};
use crate::receipt::{Durability, Durable};
use crate::shared::Shared;

pub struct PersistStage {
    shared: Arc<Shared>,
    log: Option<CommitLog>,
    keeper: Sender<Chore>,
    checkpoints: Checkpoints,
    /// What the log had in all when the last checkpoint was started, bytes.
    checkpoint_log_bytes: u64,
    synced_at: Instant,
    /// Versions not yet synced, each with the time at which it was taken up.
    appended: Vec<(HashedVersion, u64)>,
}

/// What an effect takes in the log beside key and value, bytes: lengths of 2 and 4 bytes at most.
const EFFECT_HEAD_BYTES: usize = 6;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineFailure {
    EngineFailure::stage(Stage::Persist, error)
}

/// A message came after the log was closed.
#[derive(Debug, thiserror::Error)]
#[error("the commit log is closed already")]
struct LogClosed;

impl PersistStage {
    pub fn new(
        shared: Arc<Shared>,
        log: CommitLog,
        keeper: Sender<Chore>,
        checkpoints: Checkpoints,
    ) -> Self {
        Self {
            shared,
            log: Some(log),
            keeper,
            checkpoints,
            checkpoint_log_bytes: 0,
            synced_at: Instant::now(),
            appended: Vec::new(),
        }
    }

    fn log(&mut self) -> Result<&mut CommitLog, EngineFailure> {
        self.log.as_mut().ok_or_else(|| failed(LogClosed))
    }

    fn append(&mut self, committed: HashedVersion) -> Result<(), EngineFailure> {
        let begun_us = self.shared.metrics.uptime_us();
        let head = EntryHead {
            record: &committed.version.record,
            kzg_root: committed.version.kzg_root.get(),
            outcomes: &committed.outcomes,
        };
        let layer = &committed.layer;
        let encode = |out: &mut Vec<u8>| {
            out.reserve(layer.payload_bytes() + layer.len() * EFFECT_HEAD_BYTES);
            encode_effects(layer.effects(), out)
        };
        let bytes = self.log()?.append_with(&head, encode).map_err(failed)?;
        self.shared.metrics.log_appended(bytes);
        self.appended.push((committed, begun_us));
        Ok(())
    }

    /// Makes what was appended as durable as the configuration asks for, then says so.
    fn flush(&mut self, sync: bool) -> Result<(), EngineFailure> {
        if self.log.is_none() && self.appended.is_empty() {
            // A note to oneself, or a drain, that came behind the last drain.
            return Ok(());
        }
        let begun = Instant::now();
        let mode = self.shared.config().durability.mode;
        if sync || self.must_sync(mode) {
            self.sync()?;
        } else {
            self.log()?.flush().map_err(failed)?;
        }
        let durability = match mode {
            DurabilityMode::Sync => Durability::Sync,
            DurabilityMode::Interval => Durability::Interval,
            DurabilityMode::Os => Durability::Os,
        };
        let Some(last) = self.appended.last() else {
            return Ok(());
        };
        let keys = last.0.version.record.key_count;
        self.shared.metrics.keys(keys);
        let state = self.shared.state.clone();
        for (committed, begun_us) in std::mem::take(&mut self.appended) {
            let version = committed.version.clone();
            state.history.push(version.number(), &version.commit_id);
            let expired = state.versions.publish(version, &state.values);
            let _ = self.keeper.send(Chore::Forget(expired));
            self.acknowledge(committed, durability, begun_us);
        }
        let metrics = &self.shared.metrics;
        metrics.interval.busy(Stage::Persist, begun.elapsed());
        self.checkpoint_if_due()
    }

    /// Whether what was appended has to be synced before it is acknowledged. In mode `interval` that is so when
    /// the last sync is as long ago as that: a tick that comes late costs no more than it may.
    fn must_sync(&self, mode: DurabilityMode) -> bool {
        let interval_ms = self.shared.config().durability.interval_ms;
        match mode {
            DurabilityMode::Sync => true,
            DurabilityMode::Interval => {
                self.synced_at.elapsed() >= Duration::from_millis(interval_ms)
            }
            DurabilityMode::Os => false,
        }
    }

    fn sync(&mut self) -> Result<(), EngineFailure> {
        let log = self.log()?;
        let before = log.synced_version();
        let versions = log.sync().map_err(failed)? - before;
        self.synced_at = Instant::now();
        if versions > 0 {
            self.shared.metrics.versions_synced(versions);
        }
        Ok(())
    }

    /// Starts a checkpoint when enough has gathered in memory or in the log, holds back while more gathers than it
    /// takes, and waits for it when too much has. (Of submissions that change nothing the log alone gets something.)
    fn checkpoint_if_due(&mut self) -> Result<(), EngineFailure> {
        let limits = self.shared.config().checkpoint.clone();
        let unflushed_bytes = self.shared.state.values.unflushed_bytes() as u64;
        let gathered_bytes = unflushed_bytes.max(self.untrimmed_bytes()?);
        if gathered_bytes < limits.bytes_max {
            return Ok(());
        }
        if !self.checkpoints.running() {
            // What a checkpoint covers must be synced, whatever the receipts said.
            self.sync()?;
            self.checkpoint_log_bytes = self.log()?.bytes();
            let newest = self.shared.state.versions.newest();
            let is_telling = unflushed_bytes >= limits.bytes_max;
            self.checkpoints.start(newest, unflushed_bytes, is_telling);
        }
        let begun = Instant::now();
        if gathered_bytes >= limits.unflushed_bytes_max {
            self.sync_before_pause()?;
            self.checkpoints.wait();
        } else if !self.hold_back(unflushed_bytes, limits.unflushed_bytes_max)? {
            return Ok(());
        }
        self.shared.metrics.held_back(begun.elapsed());
        Ok(())
    }

    /// What the log got since the last checkpoint was started, bytes: what the next one lets it be trimmed by, if
    /// checkpoints let it be trimmed at all.
    fn untrimmed_bytes(&mut self) -> Result<u64, EngineFailure> {
        if !self.checkpoints.trim_the_log() {
            return Ok(0);
        }
        Ok(self.log()?.bytes() - self.checkpoint_log_bytes)
    }

    /// Lets a checkpoint that runs keep up; says whether that took a pause.
    fn hold_back(
        &mut self,
        unflushed_bytes: u64,
        waits_at_bytes: u64,
    ) -> Result<bool, EngineFailure> {
        let backlog = self.checkpoints.backlog(unflushed_bytes, waits_at_bytes);
        let pause_us = backlog.map_or(0, |backlog| backlog.pause_us());
        if pause_us == 0 {
            return Ok(false);
        }
        self.sync_before_pause()?;
        self.checkpoints
            .wait_at_most(Duration::from_micros(pause_us));
        Ok(true)
    }

    /// While this thread waits, no tick reaches it: what was acknowledged on the promise of one is synced before.
    fn sync_before_pause(&mut self) -> Result<(), EngineFailure> {
        match self.shared.config().durability.mode {
            DurabilityMode::Interval => self.sync(),
            DurabilityMode::Sync | DurabilityMode::Os => Ok(()),
        }
    }

    fn acknowledge(&self, committed: HashedVersion, durability: Durability, begun_us: u64) {
        let version = &committed.version;
        let (tag, metrics) = (&committed.slot.tag, &self.shared.metrics);
        let accepted = committed.waiting.iter();
        let accepted = accepted.map(|(waiting, _)| waiting.ticket.accepted_at());
        let cap_of_now = self.shared.settings.group_operations_max.get() as u64;
        metrics.interval.durable(tag, accepted, cap_of_now);
        metrics.span(Stage::Persist, tag, begun_us);
        for (waiting, outcome) in committed.waiting {
            waiting.ticket.durable(Durable {
                version: version.number(),
                commit_id: version.commit_id,
                state_digest: version.roots.state_digest,
                kzg_root: version.kzg_root.get().copied(),
                outcome,
                durability,
            });
        }
    }

    fn drain(&mut self, close: bool) -> Result<(), EngineFailure> {
        self.flush(true)?;
        if !close {
            return Ok(());
        }
        self.checkpoints.wait();
        self.shared.health.check()?;
        match self.log.take() {
            Some(log) => log.close().map_err(failed),
            None => Ok(()),
        }
    }
}

impl Actor for PersistStage {
    type Context = Context<Self>;
}

impl Handler<CommittedVersion> for PersistStage {
    type Result = ();

    fn handle(&mut self, committed: CommittedVersion, context: &mut Context<Self>) {
        let (shared, sent_at) = (self.shared.clone(), committed.sent_at);
        let first = self.appended.is_empty();
        let appended = serve(&shared, Stage::Persist, sent_at, || {
            self.append(committed.hashed)
        });
        if appended.is_some() && first {
            context.address().do_send(Flush);
        }
    }
}

impl Handler<Flush> for PersistStage {
    type Result = ();

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) {
        self.guarded(|stage| stage.flush(false));
    }
}

impl Handler<SyncDue> for PersistStage {
    type Result = ();

    fn handle(&mut self, _: SyncDue, _: &mut Context<Self>) {
        self.guarded(|stage| match stage.log {
            Some(_) => stage.sync(),
            None => Ok(()),
        });
    }
}

impl Handler<Checkpointed> for PersistStage {
    type Result = ();

    fn handle(&mut self, checkpointed: Checkpointed, _: &mut Context<Self>) {
        self.guarded(|stage| match &mut stage.log {
            Some(log) => log.trim(checkpointed.0).map_err(failed),
            None => Ok(()),
        });
    }
}

impl Handler<Drain> for PersistStage {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) {
        self.guarded(|stage| stage.drain(drain.close));
        // Nobody may be waiting any more.
        let _ = drain.done.send(self.shared.health.check());
    }
}

impl Handler<Halt> for PersistStage {
    type Result = ();

    fn handle(&mut self, _: Halt, _: &mut Context<Self>) {
        self.appended.clear();
    }
}

impl PersistStage {
    /// Work that is not timed as service of a version.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), EngineFailure>) {
        let shared = self.shared.clone();
        super::guard(&shared, Stage::Persist, || work(self));
    }
}
