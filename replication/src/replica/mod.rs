//! A replica that follows the stream, reports the version that it has synced, and can be promoted.
//!
//! `follow` reads the stream, `fallback` an archive; `report` tells the primary, and answers members that are promoted;
//! `promotion` makes a primary of a replica. `shared` is the state that these tasks share.

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

/// Number of attempts to begin an epoch while other processes append.
const ATTEMPTS: usize = 100;

/// The reason why a replica no longer follows. Everything that it shows was committed by the primary.
#[derive(Debug, thiserror::Error)]
pub enum FollowingFailure {
    /// The stream is at fault, or does not fit the tree.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The replica does not accept a version, or has failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// The state of a replica that follows.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last version that is durable here.
    pub synced: u64,
    /// The last version that was seen in the stream.
    pub stream: u64,
    /// The epoch of the stream, or 0.
    pub epoch: u64,
    /// The primary's clock at its last message, in milliseconds since 1970.
    pub primary_unix_ms: u64,
    /// The number of ignored message parts, because they do not belong into the stream.
    pub strays: u64,
    /// The last of them: its message, and the reason.
    pub last_stray: Option<(u64, Stray)>,
    /// The lowest epoch whose versions it applies.
    pub refuses_below: u64,
    /// True if the stream is in a refused epoch, so that the replica waits for the next one.
    pub is_held: bool,
    /// The reason why the archive returned nothing at the last attempt. It is read again.
    pub archive_failure: Option<ArchiveError>,
    /// The reason why it no longer follows.
    pub failure: Option<Arc<FollowingFailure>>,
    /// The times of the primary's last message, and of the last time that the stream was read to its end.
    heard_at: Option<Instant>,
    ended_at: Option<Instant>,
    sequence: u64,
    /// The position in the stream that it can store once a version is synced.
    resumable: Option<(Memory, u64)>,
}

impl Status {
    /// Returns the time since the primary's last message, by the clocks of the primary and of this machine.
    pub fn silence_ms(&self) -> u64 {
        unix_ms().saturating_sub(self.primary_unix_ms)
    }

    /// Returns the time without a sign of life from the primary, as of the last time that the stream was read to its
    /// end. It uses only this machine's clock, and does not count time in which the carrier does not answer. It is 0
    /// before the first sign of life.
    pub fn unheard(&self) -> Duration {
        match (self.heard_at, self.ended_at) {
            (Some(heard), Some(ended)) => ended.saturating_duration_since(heard),
            _ => Duration::ZERO,
        }
    }

    /// Returns its state.
    pub fn state(&self) -> FollowerState {
        match (&self.failure, &self.archive_failure) {
            (Some(_), _) => FollowerState::Stopped,
            (None, _) if self.is_held => FollowerState::Held,
            (None, Some(_)) => FollowerState::WaitsForArchive,
            (None, None) => FollowerState::Follows,
        }
    }
}

/// The state of a follower, for metrics and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerState {
    /// It follows.
    Follows,
    /// It needs versions that the stream no longer has, and the archive does not have them yet.
    WaitsForArchive,
    /// It refuses the epoch of the stream: [`Status::is_held`].
    Held,
    /// It no longer follows: [`Status::failure`].
    Stopped,
}

/// A replica that follows a stream until this is dropped, stopped or promoted.
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
    /// Fails if the carrier does not answer. It does not fail if the stream is not the one that this member knows: the
    /// replica then answers promotions after a loss, and its status says that it does not follow.
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

    /// Returns its status.
    pub fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        status.synced = self.replica.synced_version();
        status
    }

    /// Waits until it no longer follows, and returns the reason; `None` if it was stopped.
    pub async fn failed(&self) -> Option<Arc<FollowingFailure>> {
        let mut status = self.status.clone();
        let failed = status.wait_for(|status| status.failure.is_some()).await;
        failed.ok()?.failure.clone()
    }

    /// Stops following. The replica stays open.
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
    /// the next epoch. This fences the previous primary.
    ///
    /// # Errors
    ///
    /// Fails if other processes keep taking over first, or if the stream is at fault. Nothing has changed then, and the
    /// replica can follow again.
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

    /// Makes this replica the primary if the stream has been silent since it followed: for promotions without an
    /// operator. The stream's compare-and-append decides between several, and the one that appends first is the
    /// primary.
    ///
    /// # Errors
    ///
    /// Fails with [`PromoteError::Heard`] if anything was appended meanwhile, and with [`PromoteError::OthersAhead`] if
    /// a member reports a version that the stream does not have: the carrier may have lost its tail then, and an
    /// operator must decide. Nothing has changed in these cases, and the replica can follow again.
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

    /// Makes this replica the primary after the carrier lost acknowledged data. See [`crate::protocol::loss`].
    ///
    /// A stream that no longer fits this tree is emptied. Versions that the stream lacks are published again.
    ///
    /// # Errors
    ///
    /// Fails if too few members answer, or if another one has a higher version.
    pub async fn promote_after_loss<C: Carrier>(
        mut self,
        carrier: Arc<C>,
        options: Options,
        loss: Loss,
    ) -> Result<Primary, PromoteError> {
        self.end().await;
        // An archive may have versions of a primary that was replaced, so only members decide.
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
