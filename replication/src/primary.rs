//! A primary: an engine whose versions are published, and what is acknowledged of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trunkline::{Engine, EngineFailure, Feed, FeedError, Snapshot};
use trunkline_core::frame::{Beginning, EncodeFrameError, Frame};
use trunkline_core::hash::Digest;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::log::{LogEntry, LogPosition};

use crate::acknowledge::Acknowledge;
use crate::carrier::{Carrier, CarrierError, Ends};
use crate::member::{self, Options, StreamError};
use crate::memory::{Memory, MemoryFile};
use crate::protocol::takeover::{self, Chain, TakeoverError};
use crate::protocol::{Acknowledgements, Pinned, Publisher, Regime, Stopped, Verifier};
use crate::wire::{Begin, Refusal, Report, Writer};

/// The cursor by which the engine keeps what is not replicated yet.
const CURSOR: &str = "replication";
/// Versions whose commit ids are kept, to compare reports with.
const POSITIONS_MAX: usize = 1 << 16;
/// The key of the request to pause.
pub(crate) const PAUSE_KEY: &str = "pause";
/// How long a primary appends nothing if a member that is being promoted asks for it. If that one does not take over
/// within it, nothing has happened.
const PAUSE: Duration = Duration::from_secs(5);
/// Attempts to begin an epoch, while others append.
const ATTEMPTS: usize = 10;

/// The reason why a primary cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stream cannot be read, or does not fit the tree.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The tree must not write now.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// The engine has written already.
    #[error(
        "the engine has written version {0} in this epoch already: write nothing before the primary has begun; open the engine again"
    )]
    WroteBefore(u64),
    /// Another process appended each time.
    #[error("others append to the stream all the time; find out who writes, and try again")]
    Contended,
    /// The stream cannot be written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The engine cannot be read.
    #[error("cannot read the engine's own past: {0}")]
    Engine(String),
}

impl From<CarrierError> for StartError {
    fn from(error: CarrierError) -> Self {
        Self::Stream(error.into())
    }
}

/// The reason why a primary publishes no more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PrimaryFailure {
    /// Somebody else writes, or the carrier is at fault.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A version is too long for a frame.
    #[error("version {version} cannot be published: {error}")]
    Frame {
        /// The version.
        version: u64,
        /// The fault in it.
        error: EncodeFrameError,
    },
    /// The engine's log cannot be read.
    #[error("the engine's log cannot be published: {0}")]
    Feed(Arc<FeedError>),
    /// The engine was shut down, and everything that it had was published.
    #[error("the engine was shut down")]
    Closed,
}

/// A level of acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Durable in the engine's own log.
    Durable,
    /// A majority of the carrier's servers keeps it.
    Replicated,
    /// So many replicas have synced it themselves.
    Followed(usize),
}

/// The reason why a level was not reached.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LevelError {
    /// It may be reached later.
    #[error("version {version} is not {level} yet; version {reached} is. It may become so later")]
    Timeout {
        /// The version that was waited for.
        version: u64,
        /// The level.
        level: Level,
        /// The last version that has reached it.
        reached: u64,
    },
    /// This primary will never know. The version may be in the stream, or not.
    #[error("nobody knows whether version {version} will be {level}: {failure}")]
    Failed {
        /// The version that was waited for.
        version: u64,
        /// The level.
        level: Level,
        /// The reason.
        failure: PrimaryFailure,
    },
    /// There are not as many replicas.
    #[error("followed({0}) needs as many members besides the primary; name them")]
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
/// It begins an epoch of its own when it starts. If another primary begins a later one, it stops for good and shuts its
/// engine down.
#[derive(Debug)]
pub struct Primary {
    engine: Engine,
    epoch: u64,
    acknowledge: Acknowledge,
    progress: watch::Receiver<Progress>,
    tasks: [JoinHandle<()>; 2],
}

/// A beginning that is in the stream.
pub(crate) struct Claim {
    pub(crate) publisher: Publisher,
    /// The tip of the stream when it began.
    pub(crate) tip: LogPosition,
}

impl Primary {
    /// Begins the engine's epoch in the stream, and publishes its versions from there on: first those that the stream
    /// does not have.
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
        });
        let publishing = Publishing {
            feed: engine.feed(claim.tip.version + 1),
            publisher: claim.publisher,
            remembered,
            kept: claim.tip.version,
            shared: shared.clone(),
        };
        let tasks = [
            tokio::spawn(publishing.run()),
            tokio::spawn(count_reports(shared)),
        ];
        Self {
            engine,
            epoch,
            acknowledge,
            progress,
            tasks,
        }
    }

    /// Returns the engine, which takes writes.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the epoch that it writes in.
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

    /// Returns why it publishes no more, if so.
    pub fn failure(&self) -> Option<PrimaryFailure> {
        self.progress.borrow().failure.clone()
    }

    /// Waits until a majority of the carrier's servers keeps a version.
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
    /// With [`LevelError::Timeout`] it may reach it later. With [`LevelError::Failed`] this primary cannot tell any more.
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
        let waited = tokio::time::timeout(timeout, progress.wait_for(is_over)).await;
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

    /// Waits until it publishes no more, and returns why.
    pub async fn stopped(&self) -> PrimaryFailure {
        let mut progress = self.progress.clone();
        let has_failed = |progress: &Progress| progress.failure.is_some();
        let failure = match progress.wait_for(has_failed).await {
            Ok(progress) => progress.failure.clone(),
            Err(_) => None,
        };
        failure.unwrap_or(PrimaryFailure::Closed)
    }

    /// Shuts the engine down, publishes what it has, and returns when that is in the stream or the time is over.
    ///
    /// # Errors
    ///
    /// Returns the failure that stopped the engine before.
    pub async fn shutdown(self, timeout: Duration) -> Result<(), EngineFailure> {
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

/// Returns the commit id of a version in the history of a snapshot.
pub(crate) fn commit_id(snapshot: &Snapshot, version: u64) -> Option<Digest> {
    match version {
        0 => Some(CommitRecord::genesis(snapshot.record().tree_id).commit_id()),
        version if version == snapshot.version() => Some(snapshot.commit_id()),
        version => Some(snapshot.prove_ancestor(version).ok()?.commit_id),
    }
}

/// The tree that wants to write.
pub(crate) struct Own<'a> {
    engine: &'a Engine,
    record: CommitRecord,
    pub(crate) position: LogPosition,
    epoch: u64,
}

impl<'a> Own<'a> {
    pub(crate) fn of(engine: &'a Engine) -> Result<Self, StartError> {
        let record = engine.snapshot().record().clone();
        let epoch = engine.recovery().open_epoch;
        if record.open_epoch >= epoch {
            return Err(StartError::WroteBefore(record.version));
        }
        Ok(Self {
            engine,
            position: LogPosition::of(&record),
            record,
            epoch,
        })
    }

    fn verifier(&self, options: &Options) -> Pinned {
        Pinned {
            tree_id: self.record.tree_id,
            keys: options.keys.clone(),
        }
    }

    /// Returns the version behind which the next frame comes.
    fn tip(&self, regime: Option<&Regime>) -> Result<LogPosition, StartError> {
        match regime {
            Some(regime) => {
                takeover::check(regime, self.epoch, &self.position, self)?;
                Ok(regime.tip)
            }
            None => self.oldest(),
        }
    }

    /// Returns the version before the oldest one in the log: a new stream gets all that there is.
    fn oldest(&self) -> Result<LogPosition, StartError> {
        let version = match self.engine.feed(1).try_next() {
            Ok(Some(_)) => 0,
            Ok(None) => self.position.version,
            Err(FeedError::Gap { oldest, .. }) => oldest - 1,
            Err(error) => return Err(StartError::Engine(error.to_string())),
        };
        match self.at(version.min(self.position.version)) {
            Some(position) => Ok(position),
            None => Err(TakeoverError::Unknown(version).into()),
        }
    }

    fn at(&self, version: u64) -> Option<LogPosition> {
        let commit_id = commit_id(&self.engine.snapshot(), version)?;
        Some(LogPosition { version, commit_id })
    }
}

impl Chain for Own<'_> {
    fn commit_id(&self, version: u64) -> Option<Digest> {
        self.at(version).map(|position| position.commit_id)
    }

    fn epoch(&self, version: u64) -> Option<u64> {
        let entry = self.engine.feed(version).try_next().ok()??;
        Some(entry.record.open_epoch)
    }
}

/// Appends the beginning of an epoch; `None` if somebody else appended first.
async fn claim<C: Carrier>(
    carrier: &C,
    options: &Options,
    own: &Own<'_>,
    tip: LogPosition,
    ends: Ends,
) -> Result<Option<Claim>, StartError> {
    let params = own.engine.params();
    let beginning = Beginning::sign(params, own.epoch, own.position, &options.key);
    let begin = Begin {
        beginning: beginning.encode().into(),
        tip,
        unix_ms: unix_ms(),
    };
    let publisher = bid(carrier, own.epoch, begin, ends.last).await?;
    Ok(publisher.map(|publisher| Claim { publisher, tip }))
}

/// Appends a beginning behind a message; `None` if somebody else appended first.
pub(crate) async fn bid<C: Carrier>(
    carrier: &C,
    epoch: u64,
    begin: Begin,
    last: u64,
) -> Result<Option<Publisher>, Stopped> {
    let writer: Writer = rand::random();
    let bytes_max = carrier.message_bytes_max();
    let mut publisher = Publisher::new(writer, epoch, begin, last, bytes_max);
    while !publisher.has_begun() {
        match member::drive(carrier, &mut publisher).await {
            Ok(_) => {}
            Err(Stopped::Fenced { .. }) => return Ok(None),
            Err(stopped) => return Err(stopped),
        }
    }
    Ok(Some(publisher))
}

/// What the tasks of a primary share.
struct Shared<C> {
    engine: Engine,
    carrier: Arc<C>,
    options: Options,
    memory: MemoryFile,
    epoch: u64,
    /// The last versions that were published, in order.
    positions: Mutex<VecDeque<LogPosition>>,
    /// Nothing is appended before this time.
    paused_until: Mutex<Option<tokio::time::Instant>>,
    verifier: Pinned,
    progress: watch::Sender<Progress>,
}

impl<C> Shared<C> {
    fn has_failed(&self) -> bool {
        self.progress.borrow().failure.is_some()
    }

    /// Returns whether a position is one of the last that were published.
    fn is_own(&self, position: &LogPosition) -> bool {
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
struct Publishing<C> {
    feed: Feed,
    publisher: Publisher,
    remembered: Memory,
    /// The version from which on the engine keeps its log.
    kept: u64,
    shared: Arc<Shared<C>>,
}

impl<C: Carrier> Publishing<C> {
    async fn run(mut self) {
        let failure = match self.publish().await {
            Ok(()) => PrimaryFailure::Closed,
            Err(failure) => failure,
        };
        let is_fenced = matches!(failure, PrimaryFailure::Stopped(_));
        self.shared
            .progress
            .send_modify(|progress| progress.failure = Some(failure));
        if is_fenced {
            // It must not acknowledge anything more as durable that the next primary does not have.
            let _failed_before = self.shared.engine.shutdown().await;
        }
    }

    async fn publish(&mut self) -> Result<(), PrimaryFailure> {
        let mut beat = tokio::time::interval(self.shared.options.beat);
        let mut is_closed = false;
        // Where a cursor is further already, nothing is lost.
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

    /// Takes what is in the log already, as far as there is room. Returns whether the engine was shut down.
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

    /// Tells those who wait.
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

    /// Shows that it is there, and remembers how far it got.
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
        // An older memory is right, too: it is tried again with the next beat.
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

/// Looks at the reports of the other members, again and again.
async fn count_reports<C: Carrier>(shared: Arc<Shared<C>>) {
    let mut interval = tokio::time::interval(shared.options.report);
    let members = &shared.options.members;
    let others: Vec<&String> = members
        .iter()
        .filter(|name| **name != shared.options.name)
        .collect();
    let mut paused_for = shared.epoch;
    while !shared.has_failed() {
        interval.tick().await;
        pause_if_asked(&shared, &mut paused_for).await;
        for name in &others {
            if let Ok(Some(value)) = shared.carrier.get(&report_key(name)).await
                && let Ok(report) = Report::decode(&value)
            {
                count_report(&shared, name, &report);
            }
        }
    }
}

/// Pauses if a pinned key asks for it, once for each epoch.
async fn pause_if_asked<C: Carrier>(shared: &Shared<C>, paused_for: &mut u64) {
    let Ok(Some(value)) = shared.carrier.get(PAUSE_KEY).await else {
        return;
    };
    let begun = Refusal::decode(&value)
        .ok()
        .and_then(|request| shared.verifier.beginning(&request.beginning).ok());
    if let Some(begun) = begun
        && begun.epoch > *paused_for
    {
        *paused_for = begun.epoch;
        let until = tokio::time::Instant::now() + PAUSE;
        *shared.paused_until.lock() = Some(until);
    }
}

fn count_report<C>(shared: &Shared<C>, name: &str, report: &Report) {
    if report.epoch != shared.epoch || !shared.is_own(&report.synced) {
        return;
    }
    shared.progress.send_if_modified(|progress| {
        if progress.failure.is_some() {
            return false;
        }
        progress
            .acknowledgements
            .followed_by(name, report.synced.version)
    });
}

/// Returns the key of a member's report.
pub(crate) fn report_key(name: &str) -> String {
    format!("report-{name}")
}
