//! The checkpoint trigger: starts checkpoints, and slows commits down while a checkpoint cannot keep up.

use std::time::Duration;

use trunkline_core::store::idempotency_file::Remembered;

use super::log_writer::LogWriter;
use crate::checkpoint::{Checkpoints, Covered};
use crate::config::DurabilityMode;
use crate::context::StageContext;
use crate::failure::EngineFailure;
use crate::runtime::clock;

/// A tree above its bytes by one part in so many starts a checkpoint: what no checkpoint covers cannot be evicted.
const SURPLUS_PART: u64 = 8;
/// It does so from this part of the bytes on that start a checkpoint in any case.
const PRESSED_PART: u64 = 8;
/// A checkpoint of less would not be worth its syncs.
const PRESSED_BYTES_MIN: u64 = 1 << 20;

/// Returns whether the tree is clearly above what the budget leaves it.
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
        let past = context.state.past.as_ref();
        let recent_bytes = past.map_or(0, |past| past.recent_bytes());
        let unflushed_bytes = (context.state.values.unflushed_bytes() + recent_bytes) as u64;
        let gathered_bytes = unflushed_bytes.max(self.untrimmed_bytes(log)?);
        let pressed_bytes = (bytes_max / PRESSED_PART).max(PRESSED_BYTES_MIN);
        let waits_for_memory = lacks_memory(context) && unflushed_bytes >= pressed_bytes;
        if gathered_bytes < bytes_max && !waits_for_memory {
            return Ok(());
        }
        if !self.checkpoints.is_running() {
            // Everything that a checkpoint covers must be synced, whatever the receipts said.
            log.sync()?;
            self.log_bytes_at_start = log.bytes()?;
            let shows_rate = unflushed_bytes >= bytes_max;
            let covered = Covered {
                version: context.state.versions.newest(),
                // Stored only if the log is trimmed; otherwise it has all keys.
                remembered: match self.checkpoints.trims_log() {
                    true => context.idempotency.remembered(),
                    false => Remembered::default(),
                },
            };
            self.checkpoints.start(covered, unflushed_bytes, shows_rate);
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

    /// Waits until no checkpoint runs.
    pub(super) fn wait(&self) {
        self.checkpoints.wait();
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
