//! A replica that follows the stream, reports what it has synced, and can be promoted.
//!
//! `follow` reads the stream, `fallback` an archive; `report` tells the primary, and answers members that are promoted;
//! `promotion` makes a primary of a replica. `shared` is what these tasks share.

mod fallback;
mod follow;
mod promotion;
mod report;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trunkline::{ApplyError, Replica};

use crate::carrier::Carrier;
use crate::member::{Options, StreamError};
use crate::memory::Memory;
use crate::primary::{Primary, unix_ms};
use crate::protocol::{FollowError, Stray};

pub use fallback::{Archive, ArchiveError, ArchivedFrames};
use promotion::Promotion;
pub use promotion::{Loss, PromoteError};
use shared::Shared;

/// Attempts to begin an epoch, while others append.
const ATTEMPTS: usize = 100;

/// The reason why a replica follows no more. Everything that it shows is what the primary committed.
#[derive(Debug, thiserror::Error)]
pub enum FollowingFailure {
    /// The stream is at fault, or does not fit the tree.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The replica does not take a version, or has failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Where a replica is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last version that is durable here.
    pub synced: u64,
    /// The last version that the stream was seen to have.
    pub stream: u64,
    /// The epoch that the stream is in, or 0.
    pub epoch: u64,
    /// The primary's clock when it was heard last, milliseconds since 1970.
    pub primary_unix_ms: u64,
    /// Parts of messages that were ignored because they do not belong into the stream.
    pub strays: u64,
    /// The last of them: its message, and what is wrong with it.
    pub last_stray: Option<(u64, Stray)>,
    /// The epoch below which it applies nothing.
    pub refuses_below: u64,
    /// True if the stream is in such an epoch, so that it waits for the next one.
    pub is_held: bool,
    /// The reason why the archive gave nothing when it was asked last. It is asked again.
    pub archive_failure: Option<ArchiveError>,
    /// The reason why it follows no more.
    pub failure: Option<Arc<FollowingFailure>>,
    /// Times at which the primary was heard last, and at which the stream was read to its end last.
    heard_at: Option<Instant>,
    ended_at: Option<Instant>,
    sequence: u64,
    /// The place in the stream that it can remember once a version is synced.
    resumable: Option<(Memory, u64)>,
}

impl Status {
    /// Returns how long the primary was not heard, by its clock and this machine's.
    pub fn silence_ms(&self) -> u64 {
        unix_ms().saturating_sub(self.primary_unix_ms)
    }

    /// Returns how long the stream had no sign of life from the primary, when it was read to its end last. It counts by
    /// this machine's clock alone, and not while the carrier does not answer. It is 0 before a primary was heard.
    pub fn unheard(&self) -> Duration {
        match (self.heard_at, self.ended_at) {
            (Some(heard), Some(ended)) => ended.saturating_duration_since(heard),
            _ => Duration::ZERO,
        }
    }

    /// Returns in which state it is.
    pub fn state(&self) -> FollowerState {
        match (&self.failure, &self.archive_failure) {
            (Some(_), _) => FollowerState::Stopped,
            (None, _) if self.is_held => FollowerState::Held,
            (None, Some(_)) => FollowerState::WaitsForArchive,
            (None, None) => FollowerState::Follows,
        }
    }
}

/// The state of a replica that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerState {
    /// It follows.
    Follows,
    /// It needs versions that the stream no longer has, and the archive does not give them yet.
    WaitsForArchive,
    /// It refuses the epoch that the stream is in: [`Status::is_held`].
    Held,
    /// It follows no more: [`Status::failure`].
    Stopped,
}

/// A replica that follows a stream, until it is dropped, stopped or promoted.
pub struct Following {
    replica: Replica,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    archive: Option<Arc<dyn Archive>>,
    task: Option<JoinHandle<()>>,
    reporting: JoinHandle<()>,
}

impl Following {
    /// Begins to follow.
    ///
    /// # Errors
    ///
    /// Fails if the carrier does not answer. If the stream is not the one that this member knows, it does not fail: the
    /// replica answers those who promote after a loss, and says in its status that it does not follow.
    pub async fn start<C: Carrier>(
        replica: Replica,
        carrier: Arc<C>,
        options: Options,
        archive: Option<Arc<dyn Archive>>,
    ) -> Result<Self, StreamError> {
        let (stop, stopped) = watch::channel(false);
        let (sender, status) = watch::channel(Status::default());
        let source = archive.clone();
        let shared = Shared::open(replica.clone(), carrier, options, source, sender, stopped);
        let shared = Arc::new(shared.await?);
        Ok(Self {
            replica,
            status,
            stop,
            archive,
            reporting: tokio::spawn(report::report(shared.clone())),
            task: Some(tokio::spawn(follow::follow(shared))),
        })
    }

    /// Returns the replica, which answers reads.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Returns where it is.
    pub fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        status.synced = self.replica.synced_version();
        status
    }

    /// Waits until it follows no more, and returns why; `None` if it was stopped.
    pub async fn failed(&self) -> Option<Arc<FollowingFailure>> {
        let mut status = self.status.clone();
        let failed = status.wait_for(|status| status.failure.is_some()).await;
        failed.ok()?.failure.clone()
    }

    /// Stops to follow. The replica stays open.
    pub async fn stop(mut self) -> Replica {
        self.end().await;
        self.replica.clone()
    }

    async fn end(&mut self) {
        self.stop.send_replace(true);
        self.reporting.abort();
        if let Some(task) = self.task.take() {
            let _aborted = task.await;
        }
    }

    /// Makes this replica the primary: reads the stream to its end, applies everything, and appends the beginning of
    /// the next epoch. The primary before is fenced by that.
    ///
    /// # Errors
    ///
    /// Fails if somebody else took over first again and again, or if the stream is at fault. Follow again then: nothing
    /// has changed.
    pub async fn promote<C: Carrier>(
        mut self,
        carrier: Arc<C>,
        options: Options,
    ) -> Result<Primary, PromoteError> {
        self.end().await;
        let (replica, archive) = (self.replica.clone(), self.archive.clone());
        let promotion = Promotion::open(replica, carrier, options, archive).await?;
        promotion.check()?;
        for attempt in 0..ATTEMPTS {
            let (regime, ends) = promotion.catch_up_steadily().await?;
            let Some(regime) = regime else {
                return Err(PromoteError::NoEpoch);
            };
            let epoch = promotion.next_epoch(regime.epoch).await;
            if let Some(claim) = promotion.claim(epoch, regime.tip, ends.last).await? {
                return promotion.finish(epoch, claim).await;
            }
            if attempt == 0 {
                promotion.ask_to_pause(epoch).await?;
            }
        }
        Err(PromoteError::Contended)
    }

    /// Makes this replica the primary if nobody was heard since it followed: for promotions without an operator. The
    /// stream's compare-and-append decides between several, and the one that appends first is the primary.
    ///
    /// # Errors
    ///
    /// Fails with [`PromoteError::Heard`] if anything was appended meanwhile, and with [`PromoteError::OthersAhead`] if a
    /// member reports a version that the stream does not have: the carrier may have lost its tail then, and an operator
    /// has to decide. Follow again then: nothing has changed.
    pub async fn promote_if_silent<C: Carrier>(
        mut self,
        carrier: Arc<C>,
        options: Options,
    ) -> Result<Primary, PromoteError> {
        self.end().await;
        let heard_until = self.status.borrow().sequence;
        let (replica, archive) = (self.replica.clone(), self.archive.clone());
        let promotion = Promotion::open(replica, carrier, options, archive).await?;
        promotion.if_silent(heard_until).await
    }

    /// Makes this replica the primary after the carrier lost what it had acknowledged. See [`crate::protocol::loss`].
    ///
    /// A stream that does not fit this tree any more is emptied. Versions that it does not have are published again.
    ///
    /// # Errors
    ///
    /// Fails if too few members answer, or if another one has more.
    pub async fn promote_after_loss<C: Carrier>(
        mut self,
        carrier: Arc<C>,
        options: Options,
        loss: Loss,
    ) -> Result<Primary, PromoteError> {
        self.end().await;
        // An archive may have what a primary wrote that was replaced: members alone decide.
        let promotion = Promotion::open(self.replica.clone(), carrier, options, None).await?;
        promotion.after_loss(loss).await
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Following")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.reporting.abort();
    }
}
