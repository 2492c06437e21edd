//! A replica that follows the stream, reports what it has synced, and can be promoted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use trunkline::{ApplyError, EngineFailure, OpenError, Replica};
use trunkline_core::frame::{Beginning, Frame};
use trunkline_core::store::log::LogPosition;

use crate::carrier::{Carried, Carrier, CarrierError, Ends};
use crate::member::{self, MESSAGES_AT_ONCE, Options, RETRY, StreamError};
use crate::memory::{Memory, MemoryFile};
use crate::primary::{self, Claim, PAUSE_KEY, Primary, bid, report_key, unix_ms};
use crate::protocol::loss::{Height, LossError, Round};
use crate::protocol::takeover::{self, Chain};
use crate::protocol::{
    FollowError, Follower, Pinned, ReadError, Reader, Regime, Step, Stopped, Stray, Verifier,
};
use crate::wire::{Begin, Refusal, Report};

/// The key of the request to refuse epochs.
const REFUSAL_KEY: &str = "refusal";
/// How often a lost tail has to be seen: a server that just joined its peers again may know less than there is.
const LOST_SIGHTINGS: u32 = 5;
/// How often a message may be missing that the stream has.
const HOLES_MAX: u32 = 50;
/// Attempts to begin an epoch, while others append.
const ATTEMPTS: usize = 100;
/// The longest wait until everything that was taken is durable.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before an archive is asked again.
const ARCHIVE_RETRY: Duration = Duration::from_secs(1);
/// How often an archive may lack what the stream no longer has: it may be a little behind.
const ARCHIVE_LACKS_MAX: u32 = 30;

/// A source of the versions that the stream no longer has.
pub trait Archive: Send + Sync + 'static {
    /// Returns frames from a version on, in order and without gaps, as many as it likes. Returns none unless it has all
    /// versions up to `until`: part of them could be what a primary wrote that was replaced.
    fn frames(&self, from: u64, until: u64) -> ArchivedFrames<'_>;
}

/// Frames that an archive is about to return.
pub type ArchivedFrames<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Frame>, ArchiveError>> + Send + 'a>>;

/// The reason why an archive gave no frames.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the archive cannot be read: {cause}")]
pub struct ArchiveError {
    /// The reason that the archive gave.
    pub cause: String,
    /// Whether the same call may succeed later.
    pub may_pass: bool,
}

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
    /// Whether the stream is in such an epoch, so that it waits for the next one.
    pub is_held: bool,
    /// The reason why the archive gave nothing when it was asked last. It is asked again.
    pub archive_failure: Option<ArchiveError>,
    /// The reason why it follows no more.
    pub failure: Option<Arc<FollowingFailure>>,
    sequence: u64,
    /// What it can remember once this version is synced.
    resumable: Option<(Memory, u64)>,
}

impl Status {
    /// Returns how long the primary was not heard, by this machine's clock.
    pub fn silence_ms(&self) -> u64 {
        unix_ms().saturating_sub(self.primary_unix_ms)
    }
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

/// What the tasks of a replica share.
struct Shared<C> {
    replica: Replica,
    carrier: Arc<C>,
    options: Options,
    verifier: Pinned,
    memory: MemoryFile,
    remembered: Mutex<Memory>,
    archive: Option<Arc<dyn Archive>>,
    /// Locked while a message is taken, so that nothing that is refused is applied behind the refusal.
    follower: Mutex<Follower<Pinned>>,
    status: watch::Sender<Status>,
    stop: watch::Receiver<bool>,
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
            reporting: tokio::spawn(report(shared.clone())),
            task: Some(tokio::spawn(follow(shared))),
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
        if let Some(failure) = promotion.shared.status.borrow().failure.clone() {
            return Err(PromoteError::Failed(failure));
        }
        for attempt in 0..ATTEMPTS {
            let (regime, ends) = promotion.catch_up(0).await?;
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

impl<C: Carrier> Shared<C> {
    async fn open(
        replica: Replica,
        carrier: Arc<C>,
        options: Options,
        archive: Option<Arc<dyn Archive>>,
        status: watch::Sender<Status>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, StreamError> {
        options.check()?;
        let tree_id = replica.params().tree_id();
        let verifier = Pinned {
            tree_id,
            keys: options.keys.clone(),
        };
        let memory = MemoryFile::new(&options.memory_file, tree_id);
        let remembered = memory.read()?;
        let ends = carrier.ends().await?;
        let (next, replaced) = match member::resume_point(&*carrier, remembered.resume).await {
            Ok((next, _)) => (next, None),
            // It does not follow then, and answers those who ask it to refuse epochs.
            Err(StreamError::Follow(replaced)) => (ends.first, Some(replaced)),
            Err(error) => return Err(error),
        };
        let refuses_below = remembered.refuses_below;
        let position = replica.last_taken();
        let follower = Follower::new(verifier.clone(), next, position, refuses_below);
        status.send_modify(|status| {
            status.refuses_below = refuses_below;
            status.failure = replaced.map(|replaced| Arc::new(replaced.into()));
        });
        Ok(Self {
            follower: Mutex::new(follower),
            remembered: Mutex::new(remembered),
            replica,
            carrier,
            options,
            verifier,
            memory,
            archive,
            status,
            stop,
        })
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Writes what is remembered, if it is new.
    async fn remember(&self, change: impl FnOnce(&mut Memory)) -> std::io::Result<()> {
        let mut remembered = self.remembered.lock().await;
        let mut changed = *remembered;
        change(&mut changed);
        if changed != *remembered {
            self.memory.write(changed).await?;
            *remembered = changed;
        }
        Ok(())
    }
}

// Following.

async fn follow<C: Carrier>(shared: Arc<Shared<C>>) {
    if shared.status.borrow().failure.is_some() {
        return;
    }
    if let Err(failure) = follow_until_stopped(&shared).await {
        let failure = Some(Arc::new(failure));
        shared.status.send_modify(|status| status.failure = failure);
    }
}

async fn follow_until_stopped<C: Carrier>(shared: &Shared<C>) -> Result<(), FollowingFailure> {
    let (mut holes, mut sightings, mut lacks) = (0, 0, 0);
    while !shared.is_stopped() {
        let next = shared.follower.lock().await.next();
        let Ok(messages) = shared.carrier.read(next, MESSAGES_AT_ONCE).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let is_end = messages.is_empty();
        match take_all(shared, messages).await {
            Ok(()) if is_end => check_end(shared, &mut sightings).await?,
            Ok(()) => (holes, sightings) = (0, 0),
            Err(FollowingFailure::Follow(FollowError::Gap { wanted, oldest })) => {
                fetch_or_wait(shared, wanted, oldest, &mut lacks).await?;
            }
            Err(FollowingFailure::Follow(FollowError::Read(ReadError::Hole {
                expected,
                found,
            }))) => {
                holes += 1;
                if holes > HOLES_MAX {
                    return Err(FollowError::from(ReadError::Hole { expected, found }).into());
                }
                skip_trimmed(shared).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn take_all<C: Carrier>(
    shared: &Shared<C>,
    messages: Vec<Carried>,
) -> Result<(), FollowingFailure> {
    for message in messages {
        let sequence = message.sequence;
        if !take(shared, message).await? {
            // Held: nothing can be done until the next epoch begins.
            return look_ahead(shared, sequence).await;
        }
    }
    Ok(())
}

/// Takes a message, and returns whether it was not held.
async fn take<C: Carrier>(shared: &Shared<C>, message: Carried) -> Result<bool, FollowingFailure> {
    let sequence = message.sequence;
    let mut follower = shared.follower.lock().await;
    let mut is_held = false;
    for step in follower.take(sequence, message.bytes)? {
        match step {
            Step::Apply(_, frame) => shared.replica.apply(frame).await?,
            Step::Held => is_held = true,
            step => note(shared, sequence, step),
        }
    }
    let (stream, epoch) = match follower.regime() {
        Some(regime) => (regime.tip.version, regime.epoch),
        None => (0, 0),
    };
    shared.replica.observe_primary(stream);
    let memory = Memory {
        refuses_below: follower.refuses_below(),
        resume: follower.resume(),
    };
    let resumable = Some((memory, follower.position().version));
    shared.status.send_modify(|status| {
        (status.stream, status.epoch, status.is_held) = (stream, epoch, is_held);
        status.sequence = follower.next() - 1;
        if memory.resume != status.resumable.and_then(|(memory, _)| memory.resume) {
            status.resumable = resumable;
        }
    });
    Ok(!is_held)
}

fn note<C, F>(shared: &Shared<C>, sequence: u64, step: Step<F>) {
    match step {
        Step::Beat(unix_ms) => shared
            .status
            .send_modify(|status| status.primary_unix_ms = unix_ms),
        Step::Stray(stray) => shared.status.send_modify(|status| {
            status.strays += 1;
            status.last_stray = Some((sequence, stray));
        }),
        _ => {}
    }
}

/// Looks for the beginning of an epoch that is not refused; what comes before it may be applied then.
async fn look_ahead<C: Carrier>(shared: &Shared<C>, from: u64) -> Result<(), FollowingFailure> {
    let (mut reader, below) = {
        let follower = shared.follower.lock().await;
        (follower.look_ahead(), follower.refuses_below())
    };
    let mut next = from;
    loop {
        let messages = shared.carrier.read(next, MESSAGES_AT_ONCE).await;
        let messages = messages.unwrap_or_default();
        if messages.is_empty() || shared.is_stopped() {
            tokio::time::sleep(RETRY).await;
            return Ok(());
        }
        for Carried { sequence, bytes } in messages {
            let read = reader.read(sequence, bytes);
            drop(read.map_err(FollowError::from)?);
            if reader.regime().is_some_and(|regime| regime.epoch >= below) {
                shared.follower.lock().await.license(sequence);
                return Ok(());
            }
        }
        next = reader.next();
    }
}

async fn check_end<C: Carrier>(
    shared: &Shared<C>,
    sightings: &mut u32,
) -> Result<(), FollowingFailure> {
    let Ok(ends) = shared.carrier.ends().await else {
        tokio::time::sleep(RETRY).await;
        return Ok(());
    };
    let checked = shared.follower.lock().await.check_end(ends.last);
    match checked {
        Ok(()) => *sightings = 0,
        Err(_) if *sightings < LOST_SIGHTINGS => {
            *sightings += 1;
            tokio::time::sleep(RETRY).await;
        }
        Err(lost) => return Err(lost.into()),
    }
    Ok(())
}

/// Reads from the first message on if the next one was trimmed.
async fn skip_trimmed<C: Carrier>(shared: &Shared<C>) {
    tokio::time::sleep(RETRY).await;
    let Ok(ends) = shared.carrier.ends().await else {
        return;
    };
    let mut follower = shared.follower.lock().await;
    if follower.next() < ends.first {
        follower.read_again_from(ends.first);
    }
}

/// Applies what the stream no longer has, or waits until the archive is asked again.
async fn fetch_or_wait<C: Carrier>(
    shared: &Shared<C>,
    wanted: u64,
    oldest: u64,
    lacks: &mut u32,
) -> Result<(), FollowingFailure> {
    let fetched = fetch(shared, wanted, oldest).await;
    let failure = match fetched {
        Ok(()) => {
            *lacks = 0;
            None
        }
        Err(FollowingFailure::Archive(failure)) if failure.may_pass => Some(failure),
        Err(FollowingFailure::Follow(FollowError::Gap { .. }))
            if shared.archive.is_some() && *lacks < ARCHIVE_LACKS_MAX =>
        {
            *lacks += 1;
            Some(ArchiveError {
                cause: format!("it does not have all versions from {wanted} to {oldest}"),
                may_pass: true,
            })
        }
        Err(failure) => return Err(failure),
    };
    let has_failed = failure.is_some();
    shared
        .status
        .send_modify(|status| status.archive_failure = failure);
    if has_failed {
        let mut stop = shared.stop.clone();
        let _stopped = tokio::time::timeout(ARCHIVE_RETRY, stop.wait_for(|stop| *stop)).await;
    }
    Ok(())
}

/// Applies what the stream no longer has: some of the versions from one on, up to the tip of the beginning that was
/// read. Reads that beginning again afterwards.
async fn fetch<C: Carrier>(
    shared: &Shared<C>,
    wanted: u64,
    oldest: u64,
) -> Result<(), FollowingFailure> {
    if is_held(shared).await {
        let next = shared.follower.lock().await.next();
        look_ahead(shared, next).await?;
        shared.follower.lock().await.read_again();
        return Ok(());
    }
    let gap = || FollowError::Gap { wanted, oldest };
    let archive = shared.archive.as_ref().ok_or_else(gap)?;
    let mut stop = shared.stop.clone();
    let frames = tokio::select! {
        frames = archive.frames(wanted, oldest) => frames,
        Ok(_) = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let mut follower = shared.follower.lock().await;
    let result = match frames {
        Ok(frames) if frames.is_empty() => Err(gap().into()),
        // It was asked to refuse this epoch meanwhile.
        Ok(_) if follower.is_held() => Ok(()),
        Ok(frames) => apply_archived(shared, &mut follower, frames, oldest).await,
        Err(error) => Err(error.into()),
    };
    follower.read_again();
    result
}

/// Returns whether it waits for another epoch than the stream is in, and says so in the status.
async fn is_held<C>(shared: &Shared<C>) -> bool {
    let is_held = shared.follower.lock().await.is_held();
    shared.status.send_modify(|status| status.is_held = is_held);
    is_held
}

async fn apply_archived<C>(
    shared: &Shared<C>,
    follower: &mut Follower<Pinned>,
    frames: Vec<Frame>,
    oldest: u64,
) -> Result<(), FollowingFailure> {
    let wanted = frames
        .into_iter()
        .take_while(|frame| frame.entry.record.version <= oldest);
    for frame in wanted {
        follower.check_tip_of(&LogPosition::of(&frame.entry.record))?;
        shared.replica.apply(frame).await?;
    }
    follower.moved_to(shared.replica.last_taken());
    Ok(())
}

// Reporting.

async fn report<C: Carrier>(shared: Arc<Shared<C>>) {
    let mut reported = None;
    let mut remember = tokio::time::interval(shared.options.beat);
    let mut look = tokio::time::interval(shared.options.report);
    loop {
        let version = shared.replica.synced_version();
        tokio::select! {
            // It becomes ready at once if the replica has failed.
            _ = shared.replica.wait_for(version + 1), if shared.replica.failure().is_none() => {}
            _ = look.tick() => refuse_if_asked(&shared).await,
            _ = remember.tick() => {
                remember_resume(&shared).await;
                // The carrier may have lost the last one.
                reported = None;
            }
        }
        let report = current_report(&shared);
        let what = (report.synced, report.epoch, report.refuses_below);
        if reported != Some(what) && say(&shared, report).await.is_ok() {
            reported = Some(what);
        }
    }
}

fn current_report<C>(shared: &Shared<C>) -> Report {
    let synced = shared.replica.synced();
    let status = shared.status.borrow();
    Report {
        synced: synced.position,
        written_in: synced.open_epoch,
        refuses_below: status.refuses_below,
        epoch: status.epoch,
        sequence: status.sequence,
        unix_ms: unix_ms(),
    }
}

async fn say<C: Carrier>(shared: &Shared<C>, report: Report) -> Result<(), CarrierError> {
    let key = report_key(&shared.options.name);
    shared.carrier.put(&key, report.encode()).await
}

async fn remember_resume<C: Carrier>(shared: &Shared<C>) {
    let resumable = shared.status.borrow().resumable;
    let Some((memory, version)) = resumable else {
        return;
    };
    if shared.replica.synced_version() >= version {
        // What is remembered already is right, too.
        let _later = shared.remember(|own| own.resume = memory.resume).await;
    }
}

/// Refuses lower epochs if a pinned key asks for it, and answers only when that is durable.
async fn refuse_if_asked<C: Carrier>(shared: &Shared<C>) {
    let Ok(Some(value)) = shared.carrier.get(REFUSAL_KEY).await else {
        return;
    };
    let beginning = Refusal::decode(&value)
        .ok()
        .and_then(|refusal| shared.verifier.beginning(&refusal.beginning).ok());
    let Some(begun) = beginning else { return };
    if begun.epoch <= shared.status.borrow().refuses_below {
        return;
    }
    let mut follower = shared.follower.lock().await;
    let refused = shared.remember(|own| own.refuses_below = begun.epoch).await;
    if refused.is_err() {
        return;
    }
    follower.refuse_below(begun.epoch);
    // Everything that it has taken is part of the answer.
    let taken = follower.position().version;
    if shared.replica.wait_for(taken).await.is_ok() {
        let refuses_below = begun.epoch;
        shared
            .status
            .send_modify(|status| status.refuses_below = refuses_below);
    }
}

// Promotion.

/// The rules of a promotion after a loss.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Replicas that had to follow, the `k` of `followed(k)`.
    pub k: usize,
    /// Whether fewer answers are enough. What only members have that did not answer is lost then.
    pub is_forced: bool,
    /// The longest wait for answers.
    pub timeout: Duration,
}

/// The reason why a replica was not promoted.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The stream cannot be read, or does not fit the tree.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The replica cannot follow to the end of the stream.
    #[error(transparent)]
    Follow(#[from] FollowingFailure),
    /// The stream is not the one that it followed.
    #[error(transparent)]
    Failed(Arc<FollowingFailure>),
    /// No epoch has begun in this stream.
    #[error("no primary has begun in this stream; start the first one, or promote after a loss")]
    NoEpoch,
    /// The stream goes on behind this replica.
    #[error(
        "the replica has version {own} and the stream version {stream}; wait until it has followed"
    )]
    Behind {
        /// The version of the tree.
        own: u64,
        /// The last version of the stream.
        stream: u64,
    },
    /// The stream is in an epoch that this member was asked to refuse.
    #[error(
        "this member refuses the epoch that the stream is in, because a promotion after a loss was begun; finish that one, or promote after a loss here"
    )]
    Held,
    /// The stream was not the same when it was read again.
    #[error("the stream was not the same when it was read again; check the carrier, and try again")]
    Unsteady,
    /// Another process appended each time.
    #[error("others append to the stream all the time; find out who writes, and try again")]
    Contended,
    /// The stream cannot be written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Too few members answered, or another one has more.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The replica has failed before.
    #[error(transparent)]
    Replica(#[from] EngineFailure),
    /// The engine cannot be opened. Its epoch has begun in the stream: promote again, here or elsewhere.
    #[error("epoch {epoch} has begun, but the engine cannot be opened: {source}")]
    Open {
        /// The epoch.
        epoch: u64,
        /// The reason.
        source: OpenError,
    },
    /// The engine was opened in another epoch than the one that has begun.
    #[error("epoch {begun} has begun, but the engine writes in epoch {engine}; promote again")]
    Epoch {
        /// The epoch in the stream.
        begun: u64,
        /// The epoch of the engine.
        engine: u64,
    },
}

impl From<CarrierError> for PromoteError {
    fn from(error: CarrierError) -> Self {
        Self::Stream(error.into())
    }
}

/// A replica that is about to become the primary.
struct Promotion<C> {
    shared: Shared<C>,
}

impl<C: Carrier> Promotion<C> {
    async fn open(
        replica: Replica,
        carrier: Arc<C>,
        options: Options,
        archive: Option<Arc<dyn Archive>>,
    ) -> Result<Self, PromoteError> {
        let (_, stop) = watch::channel(false);
        let (status, _) = watch::channel(Status::default());
        let shared = Shared::open(replica, carrier, options, archive, status, stop).await?;
        Ok(Self { shared })
    }

    /// Applies the stream to its end, and returns its epoch. Messages up to `license` are applied although they are of
    /// a refused epoch.
    async fn catch_up(&self, license: u64) -> Result<(Option<Regime>, Ends), PromoteError> {
        let shared = &self.shared;
        shared.follower.lock().await.license(license);
        let mut ends = shared.carrier.ends().await?;
        loop {
            let next = shared.follower.lock().await.next();
            if next > ends.last {
                break;
            }
            let messages = shared.carrier.read(next, MESSAGES_AT_ONCE).await?;
            match take_all(shared, messages).await {
                Err(FollowingFailure::Follow(FollowError::Read(ReadError::Hole { .. }))) => {
                    skip_trimmed(shared).await;
                }
                Err(FollowingFailure::Follow(FollowError::Gap { wanted, oldest })) => {
                    fetch(shared, wanted, oldest).await?;
                }
                taken => taken?,
            }
            if shared.status.borrow().is_held && shared.follower.lock().await.is_held() {
                return Err(PromoteError::Held);
            }
            ends = shared.carrier.ends().await?;
        }
        let follower = shared.follower.lock().await;
        follower
            .check_end(ends.last)
            .map_err(FollowingFailure::from)?;
        let taken = follower.position().version;
        let synced = tokio::time::timeout(SYNC_TIMEOUT, shared.replica.wait_for(taken)).await;
        if !matches!(synced, Ok(Ok(()))) {
            return Err(shared
                .replica
                .failure()
                .unwrap_or(EngineFailure::Closed)
                .into());
        }
        self.check_twice(&follower).await?;
        Ok((follower.regime().copied(), ends))
    }

    /// Reads the end of the stream once more: what was changed on its way once is not changed twice.
    async fn check_twice(&self, follower: &Follower<Pinned>) -> Result<(), PromoteError> {
        let Some(regime) = follower.regime() else {
            return Ok(());
        };
        let (own, stream) = (follower.position().version, regime.tip.version);
        if own < stream {
            return Err(PromoteError::Behind { own, stream });
        }
        let from = follower
            .resume()
            .map_or(follower.first_read(), |resume| resume.sequence);
        let (reader, _): (Reader<Pinned>, Ends) =
            member::read_from(&*self.shared.carrier, &self.shared.verifier, from).await?;
        // If more was appended meanwhile, the append is refused.
        match follower.agrees_with(&reader) || reader.next() > follower.next() {
            true => Ok(()),
            false => Err(PromoteError::Unsteady),
        }
    }

    /// Returns an epoch above that of the stream, of the tree, and of all that are refused.
    async fn next_epoch(&self, stream: u64) -> u64 {
        let refused = self.shared.remembered.lock().await.refuses_below;
        let written = self.shared.replica.snapshot().record().open_epoch;
        // Each opening of the directory has a number of its own, and the engine's epoch is above all of them.
        let opened = self.shared.replica.recovery().open_epoch;
        stream.max(written).max(refused).max(opened) + 1
    }

    fn beginning(&self, epoch: u64) -> Beginning {
        let position = self.shared.replica.position();
        let params = self.shared.replica.params();
        Beginning::sign(params, epoch, position, &self.shared.options.key)
    }

    async fn claim(
        &self,
        epoch: u64,
        tip: LogPosition,
        last: u64,
    ) -> Result<Option<Claim>, PromoteError> {
        let begin = Begin {
            beginning: self.beginning(epoch).encode().into(),
            tip,
            unix_ms: unix_ms(),
        };
        let publisher = bid(&*self.shared.carrier, epoch, begin, last).await?;
        Ok(publisher.map(|publisher| Claim { publisher, tip }))
    }

    /// Opens the engine of an epoch that has begun.
    async fn finish(self, epoch: u64, claim: Claim) -> Result<Primary, PromoteError> {
        let Shared {
            replica,
            carrier,
            options,
            remembered,
            ..
        } = self.shared;
        let engine = replica.promote(epoch - 1).await;
        let engine = engine.map_err(|source| PromoteError::Open { epoch, source })?;
        let opened = engine.recovery().open_epoch;
        if opened != epoch {
            return Err(PromoteError::Epoch {
                begun: epoch,
                engine: opened,
            });
        }
        let remembered = remembered.into_inner();
        Ok(Primary::run(engine, carrier, options, remembered, claim))
    }

    async fn after_loss(self, loss: Loss) -> Result<Primary, PromoteError> {
        let members = self.shared.options.members.clone();
        let mut epoch = self.next_epoch(0).await;
        let mut round = Round::new(epoch, members.clone(), loss.k)?;
        let deadline = tokio::time::Instant::now() + loss.timeout;
        self.ask(epoch).await?;
        while !round.is_enough() && tokio::time::Instant::now() < deadline {
            for (name, report) in self.reports(&members).await {
                // Another round has asked for more, or a later epoch has begun: none of its refusals must be undercut.
                let least = report
                    .refuses_below
                    .max(report.epoch)
                    .max(report.written_in);
                if least > epoch {
                    epoch = least + 1;
                    round = Round::new(epoch, members.clone(), loss.k)?;
                    self.ask(epoch).await?;
                }
                round.take(&name, &report);
            }
            tokio::time::sleep(self.shared.options.report).await;
        }
        round.check(&self.height(), loss.is_forced)?;
        self.begin_after_loss(epoch).await
    }

    fn height(&self) -> Height {
        let snapshot = self.shared.replica.snapshot();
        Height {
            written_in: snapshot.record().open_epoch,
            position: LogPosition::of(snapshot.record()),
        }
    }

    /// Asks a primary that appends all the time to pause, so that somebody else can append at all.
    async fn ask_to_pause(&self, epoch: u64) -> Result<(), PromoteError> {
        let request = Refusal {
            beginning: self.beginning(epoch).encode().into(),
        };
        let carrier = &self.shared.carrier;
        carrier.put(PAUSE_KEY, request.encode()).await?;
        Ok(())
    }

    /// Asks all members to refuse lower epochs, and refuses them here first.
    async fn ask(&self, epoch: u64) -> Result<(), PromoteError> {
        let shared = &self.shared;
        let refused = shared.remember(|own| own.refuses_below = epoch).await;
        refused.map_err(StreamError::WriteMemory)?;
        shared.follower.lock().await.refuse_below(epoch);
        let taken = shared.replica.last_taken().version;
        let waited = shared.replica.wait_for(taken).await;
        if waited.is_err() {
            return Err(shared
                .replica
                .failure()
                .unwrap_or(EngineFailure::Closed)
                .into());
        }
        shared
            .status
            .send_modify(|status| status.refuses_below = epoch);
        say(shared, current_report(shared)).await?;
        let request = Refusal {
            beginning: self.beginning(epoch).encode().into(),
        };
        shared.carrier.put(REFUSAL_KEY, request.encode()).await?;
        Ok(())
    }

    async fn reports(&self, members: &[String]) -> Vec<(String, Report)> {
        let mut reports = Vec::new();
        for name in members {
            if let Ok(Some(value)) = self.shared.carrier.get(&report_key(name)).await
                && let Ok(report) = Report::decode(&value)
            {
                reports.push((name.clone(), report));
            }
        }
        reports
    }

    /// Begins behind what is left of the stream. A stream behind which the tree must not write is emptied before.
    async fn begin_after_loss(self, epoch: u64) -> Result<Primary, PromoteError> {
        let carrier = self.shared.carrier.clone();
        // No earlier writer appends any more, whatever sequence number it expects.
        carrier.renew().await?;
        for _ in 0..ATTEMPTS {
            let ends = carrier.ends().await?;
            self.shared
                .follower
                .lock()
                .await
                .begin_anew(ends.first, self.shared.replica.last_taken());
            let rest = self.what_is_left(ends.last).await?;
            let chain = Snapshot(&self.shared.replica);
            let own = self.shared.replica.position();
            let fits = |regime: &Regime| takeover::check(regime, epoch, &own, &chain).is_ok();
            let tip = match rest.filter(fits) {
                Some(regime) => regime.tip,
                None => {
                    carrier.empty().await?;
                    self.lowest(&chain).await
                }
            };
            let ends = carrier.ends().await?;
            if let Some(claim) = self.claim(epoch, tip, ends.last).await? {
                return self.finish(epoch, claim).await;
            }
        }
        Err(PromoteError::Contended)
    }

    /// Applies what is left of the stream, and returns its epoch; `None` if it does not fit this tree.
    async fn what_is_left(&self, last: u64) -> Result<Option<Regime>, PromoteError> {
        use FollowingFailure::{Follow, Stream};
        match self.catch_up(last).await {
            Ok((regime, _)) => Ok(regime),
            Err(PromoteError::Follow(Follow(FollowError::Ahead { .. }))) => {
                Ok(self.shared.follower.lock().await.regime().copied())
            }
            Err(PromoteError::Follow(Follow(_)) | PromoteError::Behind { .. }) => Ok(None),
            Err(PromoteError::Follow(Stream(error)) | PromoteError::Stream(error)) => match error {
                StreamError::Read(_) | StreamError::Follow(_) => Ok(None),
                error => Err(error.into()),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the lowest version that a member has and from which on the log is here, so that all can follow.
    async fn lowest(&self, chain: &Snapshot<'_>) -> LogPosition {
        let own = self.shared.replica.position();
        let reports = self.reports(&self.shared.options.members).await;
        let versions = reports.iter().map(|(_, report)| report.synced.version);
        let wanted = versions.min().unwrap_or(own.version).min(own.version);
        let version = match self.shared.replica.feed(wanted + 1).try_next() {
            Ok(_) => wanted,
            Err(trunkline::FeedError::Gap { oldest, .. }) => oldest - 1,
            Err(_) => own.version,
        };
        match chain.commit_id(version) {
            Some(commit_id) if version < own.version => LogPosition { version, commit_id },
            _ => own,
        }
    }
}

/// The chain of a replica.
struct Snapshot<'a>(&'a Replica);

impl Chain for Snapshot<'_> {
    fn commit_id(&self, version: u64) -> Option<trunkline_core::hash::Digest> {
        primary::commit_id(&self.0.snapshot(), version)
    }

    fn epoch(&self, version: u64) -> Option<u64> {
        let entry = self.0.feed(version).try_next().ok()??;
        Some(entry.record.open_epoch)
    }
}
