//! The checkpoint trigger: starts checkpoints, and slows commits down while a checkpoint cannot keep up.

use std::time::Duration;

use trunkline_core::store::idempotency_file::Remembered;

use super::log_writer::LogWriter;
use crate::checkpoint::{Checkpoints, Covered};
use crate::config::DurabilityMode;
use crate::context::StageContext;
use crate::failure::EngineFailure;
use crate::runtime::clock;

/// The reciprocal of the share of a checkpoint's bytes that makes closing the engine run one: replaying the log takes
/// longer than opening without it.
const SHARE_AT_CLOSE: u64 = 256;

/// The reciprocal of the share by which a tree must exceed its bytes to start a checkpoint early: leaves that no
/// checkpoint covers cannot be evicted.
const SURPLUS_PART: u64 = 8;
/// The reciprocal of the share of a checkpoint's bytes that must have gathered for an early one.
const PRESSED_PART: u64 = 8;
/// The minimum bytes of an early checkpoint: fewer would not be worth its syncs.
const PRESSED_BYTES_MIN: u64 = 1 << 20;

/// Returns whether the tree clearly exceeds the bytes that the budget leaves it.
fn lacks_memory(context: &StageContext) -> bool {
    let bytes_max = context.settings.tree_bytes_max();
    bytes_max > 0 && context.metrics.tree_bytes_now() > bytes_max + bytes_max / SURPLUS_PART
}

/// Starts checkpoints when enough has gathered in memory or in the log.
pub(super) struct CheckpointTrigger {
    checkpoints: Checkpoints,
    /// Bytes of the log when the last checkpoint was started.
    log_bytes_at_start: u64,
}

impl CheckpointTrigger {
    pub(super) fn new(checkpoints: Checkpoints) -> Self {
        Self {
            checkpoints,
            log_bytes_at_start: 0,
        }
    }

    /// Starts a checkpoint if enough has gathered, pauses while more gathers than it takes, and waits for it at the
    /// limit. (Submissions that change nothing add to the log alone.)
    pub(super) fn run(
        &mut self,
        context: &StageContext,
        log: &mut LogWriter,
    ) -> Result<(), EngineFailure> {
        let config = context.config();
        let (bytes_max, unflushed_bytes_max) = config.checkpoint_within_budget();
        let (unflushed_bytes, gathered_bytes) = self.gathered(context, log)?;
        let pressed_bytes = (bytes_max / PRESSED_PART).max(PRESSED_BYTES_MIN);
        let waits_for_memory = lacks_memory(context) && unflushed_bytes >= pressed_bytes;
        if gathered_bytes < bytes_max && !waits_for_memory {
            return Ok(());
        }
        if !self.checkpoints.is_running() {
            let shows_rate = unflushed_bytes >= bytes_max;
            self.start(context, log, unflushed_bytes, shows_rate)?;
        }
        let pause = match gathered_bytes >= unflushed_bytes_max {
            true => None,
            false => Some(self.pause(unflushed_bytes, unflushed_bytes_max)),
        };
        if pause == Some(Duration::ZERO) {
            return Ok(());
        }
        if config.durability.mode == DurabilityMode::Interval {
            // No timer reaches this thread while it waits.
            log.sync()?;
        }
        let begun = clock::now();
        match pause {
            Some(pause) => self.checkpoints.wait_at_most(pause),
            None => self.checkpoints.wait(),
        }
        context.metrics.held_back(clock::now() - begun);
        Ok(())
    }

    /// Returns the bytes of leaves that are not in the store, and the greater of these and the bytes of the log.
    fn gathered(
        &self,
        context: &StageContext,
        log: &mut LogWriter,
    ) -> Result<(u64, u64), EngineFailure> {
        let past = context.state.past.as_ref();
        let recent_bytes = past.map_or(0, |past| past.recent_bytes());
        let unflushed_bytes = (context.state.values.unflushed_bytes() + recent_bytes) as u64;
        let gathered_bytes = unflushed_bytes.max(self.untrimmed_bytes(log)?);
        Ok((unflushed_bytes, gathered_bytes))
    }

    fn start(
        &mut self,
        context: &StageContext,
        log: &mut LogWriter,
        unflushed_bytes: u64,
        shows_rate: bool,
    ) -> Result<u64, EngineFailure> {
        // Everything that a checkpoint covers must be synced, independent of the receipts.
        log.sync()?;
        self.log_bytes_at_start = log.bytes()?;
        let covered = Covered {
            version: context.state.versions.hold_newest(),
            // Stored only if the log is trimmed; otherwise it has all keys.
            remembered: match self.checkpoints.trims_log() {
                true => context.idempotency.remembered(),
                false => Remembered::default(),
            },
        };
        let version = covered.version.number();
        self.checkpoints.start(covered, unflushed_bytes, shows_rate);
        Ok(version)
    }

    /// Waits until no checkpoint runs, and makes a last one before the log is closed if much would have to be replayed.
    /// Returns its version.
    pub(super) fn close(
        &mut self,
        context: &StageContext,
        log: &mut LogWriter,
    ) -> Result<Option<u64>, EngineFailure> {
        self.checkpoints.wait();
        context.health.check()?;
        let (unflushed_bytes, gathered_bytes) = self.gathered(context, log)?;
        let is_much = gathered_bytes >= context.config().checkpoint.bytes_max / SHARE_AT_CLOSE;
        if !is_much || unflushed_bytes == 0 || !self.checkpoints.trims_log() {
            return Ok(None);
        }
        let version = self.start(context, log, unflushed_bytes, false)?;
        self.checkpoints.wait();
        context.health.check()?;
        Ok(Some(version))
    }

    /// Returns the bytes that the log got since the last checkpoint was started, or 0 if checkpoints do not trim it.
    fn untrimmed_bytes(&self, log: &mut LogWriter) -> Result<u64, EngineFailure> {
        match self.checkpoints.trims_log() {
            true => Ok(log.bytes()? - self.log_bytes_at_start),
            false => Ok(0),
        }
    }

    fn pause(&self, unflushed_bytes: u64, waits_at_bytes: u64) -> Duration {
        let backlog = self.checkpoints.backlog(unflushed_bytes, waits_at_bytes);
        let pause_us = backlog.map_or(0, |backlog| backlog.pause_us());
        Duration::from_micros(pause_us)
    }
}
