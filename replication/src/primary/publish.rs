//! The task that publishes the versions that the engine has synced.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use trunkline::{Engine, Feed, FeedError};
use trunkline_core::frame::Frame;
use trunkline_core::store::log::{LogEntry, LogPosition};

use super::{PrimaryFailure, Progress, unix_ms};
use crate::carrier::Carrier;
use crate::member::{self, Options};
use crate::memory::{Memory, MemoryFile};
use crate::protocol::{Pinned, Publisher};

/// The cursor by which the engine keeps versions that are not replicated yet.
const CURSOR: &str = "replication";
/// Number of versions whose commit ids are kept, to compare with reports.
const POSITIONS_MAX: usize = 1 << 16;

/// The state that the tasks of a primary share.
pub(super) struct Shared<C> {
    pub(super) engine: Engine,
    pub(super) carrier: Arc<C>,
    pub(super) options: Options,
    pub(super) memory: MemoryFile,
    pub(super) epoch: u64,
    /// The last published versions, in order.
    pub(super) positions: Mutex<VecDeque<LogPosition>>,
    /// Nothing is appended before this time.
    pub(super) paused_until: Mutex<Option<tokio::time::Instant>>,
    pub(super) verifier: Pinned,
    pub(super) progress: watch::Sender<Progress>,
    /// A caller is waiting for reports.
    pub(super) reports_awaited: Arc<Notify>,
}

impl<C> Shared<C> {
    pub(super) fn has_failed(&self) -> bool {
        self.progress.borrow().failure.is_some()
    }

    /// Returns whether a position is one of the last published ones.
    pub(super) fn is_own(&self, position: &LogPosition) -> bool {
        let positions = self.positions.lock();
        let index = positions.binary_search_by_key(&position.version, |own| own.version);
        index.is_ok_and(|index| positions[index] == *position)
    }

    fn remember(&self, position: LogPosition) {
        let mut positions = self.positions.lock();
        positions.push_back(position);
        if positions.len() > POSITIONS_MAX {
            positions.pop_front();
        }
    }
}

/// The task that publishes.
pub(super) struct Publishing<C> {
    pub(super) feed: Feed,
    pub(super) publisher: Publisher,
    pub(super) remembered: Memory,
    /// The first version that the engine must keep in its log.
    pub(super) kept: u64,
    pub(super) shared: Arc<Shared<C>>,
}

impl<C: Carrier> Publishing<C> {
    pub(super) async fn run(mut self) {
        let failure = match self.publish().await {
            Ok(()) => PrimaryFailure::Closed,
            Err(failure) => failure,
        };
        let is_fenced = matches!(failure, PrimaryFailure::Stopped(_));
        self.shared
            .progress
            .send_modify(|progress| progress.failure = Some(failure));
        if is_fenced {
            // It must not acknowledge any more versions as durable that the next primary does not have.
            let _failed_before = self.shared.engine.shutdown().await;
        }
    }

    async fn publish(&mut self) -> Result<(), PrimaryFailure> {
        let mut beat = tokio::time::interval(self.shared.options.beat);
        let mut is_closed = false;
        // If a cursor is further ahead already, nothing is lost.
        self.keep_from(self.kept);
        loop {
            is_closed |= self.fill()?;
            let paused_until = self.shared.paused_until.lock().take();
            if let Some(until) = paused_until {
                tokio::time::sleep_until(until).await;
            }
            if member::drive(&*self.shared.carrier, &mut self.publisher).await? {
                self.tell();
                if !has_passed(&mut beat) {
                    continue;
                }
                self.beat().await;
            } else if is_closed {
                return Ok(());
            } else {
                tokio::select! {
                    entry = self.feed.next_entry() => is_closed |= self.take(entry)?,
                    _ = beat.tick() => self.beat().await,
                }
            }
        }
    }

    /// Takes the synced entries of the log, as far as there is space in the queue. Returns whether the engine was shut
    /// down.
    fn fill(&mut self) -> Result<bool, PrimaryFailure> {
        while self.publisher.queued_bytes() < self.shared.options.queue_bytes_max {
            match self.feed.try_next() {
                Ok(None) => break,
                Ok(Some(entry)) => self.add(entry)?,
                Err(error) => return Err(PrimaryFailure::Feed(Arc::new(error))),
            }
        }
        Ok(false)
    }

    fn take(&mut self, entry: Option<Result<LogEntry, FeedError>>) -> Result<bool, PrimaryFailure> {
        match entry {
            None => Ok(true),
            Some(Ok(entry)) => self.add(entry).map(|()| false),
            Some(Err(error)) => Err(PrimaryFailure::Feed(Arc::new(error))),
        }
    }

    fn add(&mut self, entry: LogEntry) -> Result<(), PrimaryFailure> {
        let position = LogPosition::of(&entry.record);
        let options = &self.shared.options;
        let frame = Frame::sign(entry, &options.key).encode(options.compression);
        let frame: Bytes = frame
            .map_err(|error| PrimaryFailure::Frame {
                version: position.version,
                error,
            })?
            .into();
        self.shared.remember(position);
        self.publisher.publish(position, frame);
        Ok(())
    }

    /// Notifies those who wait.
    fn tell(&self) {
        let replicated = self.publisher.replicated().version;
        let durable = self.shared.engine.synced_version();
        self.shared.progress.send_if_modified(|progress| {
            let before = (progress.acknowledgements.replicated(), progress.durable);
            progress.acknowledgements.replicated_to(replicated);
            progress.durable = durable;
            before != (replicated, durable)
        });
    }

    /// Appends a sign of life, and stores the position.
    async fn beat(&mut self) {
        self.tell();
        self.publisher.beat(unix_ms());
        let replicated = self.publisher.replicated().version;
        if replicated > self.kept && self.keep_from(replicated) {
            self.kept = replicated;
        }
        let remembered = Memory {
            resume: self.publisher.resume(),
            ..self.remembered
        };
        // An older memory is valid, too. Writing is tried again with the next beat.
        if remembered != self.remembered && self.shared.memory.write(remembered).await.is_ok() {
            self.remembered = remembered;
        }
    }

    fn keep_from(&self, version: u64) -> bool {
        self.shared.engine.set_cursor(CURSOR, version).is_ok()
    }
}

/// Returns whether a tick is due, without waiting.
fn has_passed(interval: &mut tokio::time::Interval) -> bool {
    let tick = std::pin::pin!(interval.tick());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    tick.poll(&mut context).is_ready()
}
