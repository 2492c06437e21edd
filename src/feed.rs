//! The feed of an engine: its versions in order, as in the log, for its followers.
//!
//! A feed reads the log's files and shares only its progress with the engine. So an unread feed delays nothing, and any
//! number of feeds can be read at once.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use trunkline_actors::context::StageContext;
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::feed::{FeedState, FeedWaiter, Reach};
use trunkline_actors::health::Health;
use trunkline_actors::runtime::wait::block_on;
use trunkline_actors::state::State;
use trunkline_core::store::log::{FollowError, LOG_DIRECTORY, LogEntry, LogFollower, ReadLogError};

/// The reason why a feed ended.
///
/// ```
/// let error = trunkline::FeedError::Gap { wanted: 3, oldest: 9 };
/// assert!(error.to_string().ends_with("begin from a backup or another copy that has version 8 or a later one"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The next version was trimmed from the log.
    #[error(
        "version {wanted} is no longer in the log, which begins with version {oldest}; begin from a backup or another \
         copy that has version {} or a later one",
        oldest.saturating_sub(1)
    )]
    Gap {
        /// The next version in the feed.
        wanted: u64,
        /// The oldest version with which a feed can begin.
        oldest: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadLogError),
    /// The engine has failed.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

impl From<FollowError> for FeedError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Gap { wanted, oldest } => Self::Gap {
                wanted,
                oldest: oldest.unwrap_or(wanted + 1),
            },
            FollowError::Log(error) => error.into(),
        }
    }
}

/// The versions of an engine from one on, in order. Returned by [`Engine::feed`](crate::Engine::feed).
///
/// It is an iterator, which blocks at its end until there is more, and a stream, which is pending there. It reads the
/// log's files on the polling thread, mostly from the system's page cache. When the engine is shut down, it ends after
/// everything synced by then. After an error it is at the same version, and can be polled again if the error may be
/// temporary.
pub struct Feed {
    follower: LogFollower,
    shared: Arc<FeedState>,
    waiter: FeedWaiter,
    health: Arc<Health>,
    /// Weak, so that a feed that is kept for long does not keep the tree in memory.
    state: Weak<State>,
    has_ended: bool,
}

impl Feed {
    pub(crate) fn new(context: &StageContext, from: u64) -> Self {
        let shared = context.feed.clone();
        let source = shared.source.clone();
        let log = source.directory.join(LOG_DIRECTORY);
        Self {
            follower: LogFollower::new(source.disk, &log, source.tree_id, from),
            waiter: shared.waiter(),
            shared,
            health: context.health.clone(),
            state: Arc::downgrade(&context.state),
            has_ended: false,
        }
    }

    /// Returns the next version.
    pub fn next_version(&self) -> u64 {
        self.follower.next_version()
    }

    /// Returns the next version, or `None` if it is not synced yet. Never waits.
    ///
    /// # Errors
    ///
    /// Fails if the version was trimmed, or if the log cannot be read.
    pub fn try_next(&mut self) -> Result<Option<LogEntry>, FeedError> {
        match self.shared.synced_version() >= self.next_version() {
            true => self.read().map(Some),
            false => Ok(None),
        }
    }

    /// Waits for the next version and returns it; `None` once the engine is shut down and everything was read.
    pub async fn next_entry(&mut self) -> Option<Result<LogEntry, FeedError>> {
        let reach = self.waiter.reach(self.follower.next_version()).await;
        self.reached(reach)
    }

    fn reached(&mut self, reach: Reach) -> Option<Result<LogEntry, FeedError>> {
        match reach {
            Reach::Version(_) => Some(self.read()),
            Reach::End if std::mem::replace(&mut self.has_ended, true) => None,
            Reach::End => match self.health.cause() {
                EngineFailure::Closed => None,
                failure => Some(Err(failure.into())),
            },
        }
    }

    fn read(&mut self) -> Result<LogEntry, FeedError> {
        let mut entry = self.follower.read_next()?;
        // The root may have been computed while the log was synced.
        if entry.kzg_root.is_none() {
            let state = self.state.upgrade();
            let version = state.and_then(|state| state.versions.get(entry.record.version));
            entry.kzg_root = version.and_then(|version| version.kzg_root.get().copied());
        }
        Ok(entry)
    }
}

impl Iterator for Feed {
    type Item = Result<LogEntry, FeedError>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.next_entry())
    }
}

impl Stream for Feed {
    type Item = Result<LogEntry, FeedError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let version = self.next_version();
        let reach = ready!(self.waiter.poll_reach(version, context));
        Poll::Ready(self.reached(reach))
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Feed")
            .field("next_version", &self.next_version())
            .finish_non_exhaustive()
    }
}
