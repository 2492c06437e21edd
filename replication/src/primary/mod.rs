//! A primary: an engine whose versions are published, and their acknowledgements.
//!
//! `begin` begins its epoch in the stream, `publish` appends its versions, and `reports` counts the replicas that have
//! them.

mod begin;
mod publish;
mod reports;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use trunkline::{Engine, EngineFailure, FeedError};
use trunkline_core::frame::EncodeFrameError;

use crate::acknowledge::Acknowledge;
use crate::carrier::Carrier;
use crate::member::{self, Options, StreamError};
use crate::memory::{Memory, MemoryFile};
use crate::protocol::{Acknowledgements, Pinned, Stopped};

pub use begin::StartError;
use begin::claim;
pub(crate) use begin::{Claim, Own, bid, commit_id};
use publish::{Publishing, Shared};
use reports::{AWAITED_REPORT, count_reports};
pub(crate) use reports::{PAUSE_KEY, report_key};

/// Number of attempts to begin an epoch while other processes append.
const ATTEMPTS: usize = 10;

/// The reason why a primary stopped publishing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PrimaryFailure {
    /// Another process writes, or the carrier is at fault.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A version is too long for a frame.
    #[error("version {version} cannot be published: {error}")]
    Frame {
        /// The version.
        version: u64,
        /// The cause.
        error: EncodeFrameError,
    },
    /// The engine's log cannot be read.
    #[error("the engine's log cannot be published: {0}")]
    Feed(Arc<FeedError>),
    /// The engine was shut down, and all its versions were published.
    #[error("the engine was shut down")]
    Closed,
}

/// A level of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Durable in the engine's own log.
    Durable,
    /// Stored by a majority of the carrier's servers.
    Replicated,
    /// Synced by this number of replicas.
    Followed(usize),
}

/// The reason why a level was not reached.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LevelError {
    /// The time is over. The level may be reached later.
    #[error(
        "version {version} is not {level} yet, only version {reached} is; it may still become {level} later"
    )]
    Timeout {
        /// The version that was waited for.
        version: u64,
        /// The level.
        level: Level,
        /// The last version that has reached the level.
        reached: u64,
    },
    /// This primary will never know. The version may or may not be in the stream.
    #[error("it is unknown whether version {version} will be {level}: {failure}")]
    Failed {
        /// The version that was waited for.
        version: u64,
        /// The level.
        level: Level,
        /// The failure of the primary.
        failure: PrimaryFailure,
    },
    /// There are too few members.
    #[error("followed({0}) needs {0} members in addition to the primary; name them")]
    TooFewMembers(usize),
}

#[derive(Clone, Debug)]
struct Progress {
    durable: u64,
    acknowledgements: Acknowledgements,
    failure: Option<PrimaryFailure>,
}

impl Progress {
    fn reached(&self, level: Level) -> u64 {
        match level {
            Level::Durable => self.durable,
            Level::Replicated => self.acknowledgements.replicated(),
            Level::Followed(k) => self.acknowledgements.followed(k),
        }
    }
}

/// An engine whose versions are published.
///
/// It begins its own epoch when it starts. If another primary begins a later one, it stops for good and shuts its
/// engine down.
#[derive(Debug)]
pub struct Primary {
    engine: Engine,
    epoch: u64,
    acknowledge: Acknowledge,
    progress: watch::Receiver<Progress>,
    reports_awaited: Arc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

impl Primary {
    /// Begins the engine's epoch in the stream, and publishes its versions from then on, starting with those that the
    /// stream does not have.
    ///
    /// The engine must not have written since it was opened.
    ///
    /// # Errors
    ///
    /// Fails if another primary has taken over, or if the stream is not the one that this member knows.
    pub async fn start<C: Carrier>(
        engine: Engine,
        carrier: Arc<C>,
        options: Options,
    ) -> Result<Self, StartError> {
        options.check().map_err(StreamError::from)?;
        let memory = memory_file(&options, &engine);
        let remembered = memory.read().map_err(StreamError::from)?;
        let own = Own::of(&engine)?;
        let verifier = own.verifier(&options);
        for _ in 0..ATTEMPTS {
            let read = member::read_end(&*carrier, &verifier, remembered.resume).await?;
            let tip = own.tip(read.0.regime())?;
            let claim = claim(&*carrier, &options, &own, tip, read.1).await?;
            if let Some(claim) = claim {
                return Ok(Self::run(engine, carrier, options, remembered, claim));
            }
        }
        Err(StartError::Contended)
    }

    /// Publishes the versions of an engine whose epoch has begun.
    pub(crate) fn run<C: Carrier>(
        engine: Engine,
        carrier: Arc<C>,
        options: Options,
        remembered: Memory,
        claim: Claim,
    ) -> Self {
        let others = options.members.iter().filter(|name| **name != options.name);
        let mut acknowledgements = Acknowledgements::new(others.cloned());
        acknowledgements.replicated_to(claim.tip.version);
        let (sender, progress) = watch::channel(Progress {
            durable: engine.synced_version(),
            acknowledgements,
            failure: None,
        });
        let (epoch, acknowledge) = (claim.publisher.epoch(), options.acknowledge);
        let verifier = Pinned {
            tree_id: engine.params().tree_id(),
            keys: options.keys.clone(),
        };
        let shared = Arc::new(Shared {
            verifier,
            paused_until: Mutex::default(),
            memory: memory_file(&options, &engine),
            engine: engine.clone(),
            carrier,
            options,
            epoch,
            positions: Mutex::new(VecDeque::from([claim.tip])),
            progress: sender,
            reports_awaited: Arc::default(),
        });
        let publishing = Publishing {
            feed: engine.feed(claim.tip.version + 1),
            publisher: claim.publisher,
            remembered,
            kept: claim.tip.version,
            shared: shared.clone(),
        };
        let reports_awaited = shared.reports_awaited.clone();
        let tasks = [
            tokio::spawn(publishing.run()),
            tokio::spawn(count_reports(shared)),
        ];
        Self {
            engine,
            epoch,
            acknowledge,
            progress,
            reports_awaited,
            tasks,
        }
    }

    /// Returns the engine, which accepts writes.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the epoch in which it writes.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn acknowledge(&self) -> Acknowledge {
        self.acknowledge
    }

    /// Returns the last version that has reached a level.
    pub fn reached(&self, level: Level) -> u64 {
        self.progress.borrow().reached(level)
    }

    /// Returns the names of the other members, each with the last version that it has reported as synced, or 0.
    pub fn followers(&self) -> Vec<(String, u64)> {
        let progress = self.progress.borrow();
        let versions = progress.acknowledgements.versions();
        versions
            .map(|(name, version)| (name.to_owned(), version))
            .collect()
    }

    /// Returns the reason why it stopped publishing, if it has.
    pub fn failure(&self) -> Option<PrimaryFailure> {
        self.progress.borrow().failure.clone()
    }

    /// Waits until a majority of the carrier's servers has stored a version.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_for`].
    pub async fn replicated(&self, version: u64, timeout: Duration) -> Result<(), LevelError> {
        self.wait_for(version, Level::Replicated, timeout).await
    }

    /// Waits until `k` replicas have synced a version.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_for`].
    pub async fn followed(
        &self,
        version: u64,
        k: usize,
        timeout: Duration,
    ) -> Result<(), LevelError> {
        self.wait_for(version, Level::Followed(k), timeout).await
    }

    /// Waits until a version has reached a level.
    ///
    /// # Errors
    ///
    /// After [`LevelError::Timeout`] the version may reach the level later. After [`LevelError::Failed`] this primary
    /// can no longer tell.
    pub async fn wait_for(
        &self,
        version: u64,
        level: Level,
        timeout: Duration,
    ) -> Result<(), LevelError> {
        let mut progress = self.progress.clone();
        if let Level::Followed(k) = level
            && k > progress.borrow().acknowledgements.names().count()
        {
            return Err(LevelError::TooFewMembers(k));
        }
        let is_over =
            |progress: &Progress| progress.reached(level) >= version || progress.failure.is_some();
        let over = progress.wait_for(is_over);
        let waited = tokio::time::timeout(timeout, self.looking(level, over)).await;
        let now = match waited {
            Ok(Ok(now)) => now.clone(),
            _ => self.progress.borrow().clone(),
        };
        let reached = now.reached(level);
        match now.failure {
            _ if reached >= version => Ok(()),
            Some(failure) => Err(LevelError::Failed {
                version,
                level,
                failure,
            }),
            None => Err(LevelError::Timeout {
                version,
                level,
                reached,
            }),
        }
    }

    /// Waits for a future. If the level depends on the reports of replicas, they are read often meanwhile.
    async fn looking<T>(&self, level: Level, waited: impl Future<Output = T>) -> T {
        let mut waited = std::pin::pin!(waited);
        loop {
            if !matches!(level, Level::Followed(_)) {
                return waited.await;
            }
            self.reports_awaited.notify_one();
            tokio::select! {
                over = &mut waited => return over,
                () = tokio::time::sleep(AWAITED_REPORT) => {}
            }
        }
    }

    /// Waits until it stops publishing, and returns the reason.
    pub async fn stopped(&self) -> PrimaryFailure {
        let mut progress = self.progress.clone();
        let has_failed = |progress: &Progress| progress.failure.is_some();
        let failure = match progress.wait_for(has_failed).await {
            Ok(progress) => progress.failure.clone(),
            Err(_) => None,
        };
        failure.unwrap_or(PrimaryFailure::Closed)
    }

    /// Shuts the engine down, publishes its remaining versions, and returns when they are in the stream or the time is
    /// over.
    ///
    /// # Errors
    ///
    /// Returns the failure that stopped the engine before.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), EngineFailure> {
        let outcome = self.engine.shutdown().await;
        let _late = tokio::time::timeout(timeout, self.stopped()).await;
        outcome
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn memory_file(options: &Options, engine: &Engine) -> MemoryFile {
    MemoryFile::new(&options.memory_file, engine.params().tree_id())
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
