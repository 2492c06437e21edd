//! The log writer: appends versions and syncs them as the durability mode asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_core::store::effect::encode_effects;
use trunkline_core::store::log::{CommitLog, EntryHead};

use super::failed;
use crate::config::{DurabilityConfig, DurabilityMode};
use crate::failure::EngineFailure;
use crate::feed::FeedState;
use crate::message::HashedVersion;
use crate::metrics::Metrics;
use crate::receipt::Durability;
use crate::runtime::clock;

/// Bytes of an effect in the log besides key and value: two lengths of 2 and 4 bytes at most.
const EFFECT_HEAD_BYTES: usize = 6;

/// A message came after the log was closed.
#[derive(Debug, thiserror::Error)]
#[error("the commit log is closed already")]
struct LogClosed;

/// The commit log, and what of it is synced.
pub(super) struct LogWriter {
    log: Option<CommitLog>,
    metrics: Arc<Metrics>,
    synced_version: u64,
    synced_at: Instant,
    has_unsynced: bool,
}

impl LogWriter {
    pub(super) fn new(log: CommitLog, metrics: Arc<Metrics>) -> Self {
        Self {
            synced_version: log.synced_version(),
            log: Some(log),
            metrics,
            synced_at: clock::now(),
            has_unsynced: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.log.is_none()
    }

    fn log(&mut self) -> Result<&mut CommitLog, EngineFailure> {
        self.log.as_mut().ok_or_else(|| failed(LogClosed))
    }

    /// Appends a version; nothing is on disk yet.
    pub(super) fn append(&mut self, hashed: &HashedVersion) -> Result<(), EngineFailure> {
        let head = EntryHead {
            record: &hashed.version.record,
            kzg_root: hashed.version.kzg_root.get(),
            outcomes: &hashed.outcomes,
        };
        let layer = &hashed.layer;
        let encode = |out: &mut Vec<u8>| {
            out.reserve(layer.payload_bytes() + layer.effects().len() * EFFECT_HEAD_BYTES);
            encode_effects(layer.effects(), out)
        };
        let log = self.log()?;
        let bytes = log.append_with(&head, encode).map_err(failed)?;
        let buffer_bytes = log.buffer_bytes();
        self.metrics.log_appended(bytes);
        self.metrics.log_buffer(buffer_bytes);
        self.has_unsynced = true;
        Ok(())
    }

    /// Makes everything appended as durable as the mode asks for, and returns how durable that is.
    ///
    /// In mode `interval` this syncs too if the last sync is an interval ago: a timer that fires late must not
    /// lengthen what a power loss may lose.
    pub(super) fn make_durable(
        &mut self,
        config: &DurabilityConfig,
    ) -> Result<Durability, EngineFailure> {
        let (syncs, durability) = match config.mode {
            DurabilityMode::Sync => (true, Durability::Sync),
            DurabilityMode::Interval => (
                clock::now() >= self.sync_due(config.interval_ms),
                Durability::Interval,
            ),
            DurabilityMode::Os => (false, Durability::Os),
        };
        match syncs {
            true => self.sync()?,
            false => self.log()?.flush().map_err(failed)?,
        }
        Ok(durability)
    }

    /// Syncs the log.
    pub(super) fn sync(&mut self) -> Result<(), EngineFailure> {
        let synced = self.log()?.sync().map_err(failed)?;
        let versions = synced - std::mem::replace(&mut self.synced_version, synced);
        self.synced_at = clock::now();
        self.has_unsynced = false;
        if versions > 0 {
            self.metrics.versions_synced(versions);
        }
        Ok(())
    }

    /// Returns when the log must be synced next, if the mode sets a time.
    pub(super) fn deadline(&self, config: &DurabilityConfig) -> Option<Instant> {
        let is_due = self.has_unsynced && config.mode == DurabilityMode::Interval;
        is_due.then(|| self.sync_due(config.interval_ms))
    }

    fn sync_due(&self, interval_ms: u64) -> Instant {
        self.synced_at + Duration::from_millis(interval_ms)
    }

    /// Returns the bytes appended since the engine was opened.
    pub(super) fn bytes(&mut self) -> Result<u64, EngineFailure> {
        Ok(self.log()?.bytes())
    }

    /// Returns the last version that is synced.
    pub(super) fn synced_version(&self) -> u64 {
        self.synced_version
    }

    /// Trims segments that a checkpoint of this version covers, except what is held for `feed`. A closed log stays as it
    /// is.
    pub(super) fn trim(
        &mut self,
        version: u64,
        feed: &FeedState,
        held_bytes_max: u64,
    ) -> Result<(), EngineFailure> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let held = feed.held(log.oldest_version(), held_bytes_max);
        let held_bytes = log.trim_except(version, held).map_err(failed)?;
        feed.trimmed(log.oldest_version());
        self.metrics.log_held(held_bytes);
        Ok(())
    }

    /// Syncs and closes the log.
    pub(super) fn close(&mut self) -> Result<(), EngineFailure> {
        match self.log.take() {
            Some(log) => log.close().map_err(failed),
            None => Ok(()),
        }
    }
}
