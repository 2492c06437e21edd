//! Promoting a replica to primary.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use trunkline::{EngineFailure, OpenError, Replica};
use trunkline_core::frame::Beginning;
use trunkline_core::store::log::LogPosition;

use super::fallback::fetch;
use super::follow::{LOST_SIGHTINGS, STALE, skip_trimmed, take_all};
use super::report::{REFUSAL_KEY, current_report, say};
use super::shared::Shared;
use super::{ATTEMPTS, Archive, FollowingFailure, Status};
use crate::carrier::{Carrier, CarrierError, Ends};
use crate::member::{self, MESSAGES_AT_ONCE, Options, StreamError};
use crate::primary::{self, Claim, PAUSE_KEY, Primary, bid, report_key, unix_ms};
use crate::protocol::loss::{Height, LossError, Round};
use crate::protocol::takeover::{self, Chain};
use crate::protocol::{FollowError, Follower, Pinned, ReadError, Reader, Regime, Stopped};
use crate::wire::{Begin, Refusal, Report};

/// The longest wait until everything taken is durable.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// The rules of a promotion after a loss.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The number of replicas that had to follow: the `k` of `followed(k)`.
    pub k: usize,
    /// True if fewer answers are enough. Versions that only members without an answer have are then lost.
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
    /// The stream has versions that this replica lacks.
    #[error(
        "the replica has version {own} and the stream version {stream}; wait until it has followed"
    )]
    Behind {
        /// The version of the tree.
        own: u64,
        /// The last version of the stream.
        stream: u64,
    },
    /// This member was asked to refuse the epoch of the stream.
    #[error(
        "this member refuses the epoch that the stream is in, because a promotion after a loss was begun; finish that promotion, or promote after a loss here"
    )]
    Held,
    /// Another process appended meanwhile.
    #[error("another process appended to the stream meanwhile; the replica can follow again")]
    Heard,
    /// A member has a version that the stream lacks.
    #[error(
        "member {name} reports version {version}, and the stream ends at version {stream}: the carrier may have lost its tail; promote after a loss"
    )]
    OthersAhead {
        /// The member.
        name: String,
        /// The version that it has synced.
        version: u64,
        /// The last version of the stream.
        stream: u64,
    },
    /// The stream differed when it was read again.
    #[error("the stream differed when it was read again; check the carrier, and try again")]
    Unsteady,
    /// Another process appended at each attempt.
    #[error("other processes keep appending to the stream; find out which ones, and try again")]
    Contended,
    /// The stream cannot be written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Too few members answered, or another one has a higher version.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The replica had failed.
    #[error(transparent)]
    Replica(#[from] EngineFailure),
    /// The engine cannot be opened. Its epoch has begun in the stream: promote again, here or elsewhere.
    #[error("epoch {epoch} has begun, but the engine cannot be opened: {source}")]
    Open {
        /// The epoch.
        epoch: u64,
        /// The cause.
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
pub(super) struct Promotion<C> {
    pub(super) shared: Shared<C>,
}

impl<C: Carrier> Promotion<C> {
    pub(super) async fn open(
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

    /// Fails if the stream is not the one that the replica followed.
    pub(super) fn check(&self) -> Result<(), PromoteError> {
        match self.shared.status.borrow().failure.clone() {
            Some(failure) => Err(PromoteError::Failed(failure)),
            None => Ok(()),
        }
    }

    /// Takes over if nothing was appended after a message, and no member has a version that the stream lacks.
    pub(super) async fn if_silent(self, heard_until: u64) -> Result<Primary, PromoteError> {
        self.check()?;
        let (regime, ends) = self.catch_up_steadily().await?;
        let Some(regime) = regime else {
            return Err(PromoteError::NoEpoch);
        };
        if ends.last > heard_until {
            return Err(PromoteError::Heard);
        }
        let stream = regime.tip.version;
        for (name, report) in self.reports(&self.shared.options.members).await {
            let version = report.synced.version;
            if version > stream {
                return Err(PromoteError::OthersAhead {
                    name,
                    version,
                    stream,
                });
            }
        }
        let epoch = self.next_epoch(regime.epoch).await;
        match self.claim(epoch, regime.tip, ends.last).await? {
            Some(claim) => self.finish(epoch, claim).await,
            None => Err(PromoteError::Heard),
        }
    }

    /// Applies the stream to its end, and returns its epoch. Tries a few more times if the end differs when it is read
    /// again, or if the carrier does not answer: a server that has just joined its peers again may not know all
    /// messages, and servers that are choosing a leader do not answer.
    pub(super) async fn catch_up_steadily(&self) -> Result<(Option<Regime>, Ends), PromoteError> {
        for _ in 0..LOST_SIGHTINGS {
            match self.catch_up(0).await {
                Err(error) if may_pass(&error) => tokio::time::sleep(STALE).await,
                caught_up => return caught_up,
            }
        }
        self.catch_up(0).await
    }

    /// Applies the stream to its end, and returns its epoch. Messages up to `license` are applied even if their epoch
    /// is refused.
    pub(super) async fn catch_up(
        &self,
        license: u64,
    ) -> Result<(Option<Regime>, Ends), PromoteError> {
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

    /// Reads the end of the stream once more: a message that was changed in transit once is not changed the same way
    /// twice.
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

    /// Returns an epoch above that of the stream, that of the tree, and all refused ones.
    pub(super) async fn next_epoch(&self, stream: u64) -> u64 {
        let refused = self.shared.remembered.lock().await.refuses_below;
        let written = self.shared.replica.snapshot().record().open_epoch;
        // Each opening of the directory has its own number, and the engine's epoch is above all of them.
        let opened = self.shared.replica.recovery().open_epoch;
        stream.max(written).max(refused).max(opened) + 1
    }

    fn beginning(&self, epoch: u64) -> Beginning {
        let position = self.shared.replica.position();
        let params = self.shared.replica.params();
        Beginning::sign(params, epoch, position, &self.shared.options.key)
    }

    pub(super) async fn claim(
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
    pub(super) async fn finish(self, epoch: u64, claim: Claim) -> Result<Primary, PromoteError> {
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

    pub(super) async fn after_loss(self, loss: Loss) -> Result<Primary, PromoteError> {
        let members = self.shared.options.members.clone();
        let mut epoch = self.next_epoch(0).await;
        let mut round = Round::new(epoch, members.clone(), loss.k)?;
        let deadline = tokio::time::Instant::now() + loss.timeout;
        self.ask(epoch).await?;
        while !round.is_enough() && tokio::time::Instant::now() < deadline {
            for (name, report) in self.reports(&members).await {
                // Another round has asked for more, or a later epoch has begun. None of its refusals may be undercut.
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

    /// Asks a primary that keeps appending to pause, so that another process can append at all.
    pub(super) async fn ask_to_pause(&self, epoch: u64) -> Result<(), PromoteError> {
        let request = Refusal {
            beginning: self.beginning(epoch).encode().into(),
        };
        let carrier = &self.shared.carrier;
        carrier.put(PAUSE_KEY, request.encode()).await?;
        Ok(())
    }

    /// Asks all members to refuse lower epochs, after refusing them here.
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

    /// Begins after the remaining stream. A stream after which the tree must not write is emptied first.
    async fn begin_after_loss(self, epoch: u64) -> Result<Primary, PromoteError> {
        let carrier = self.shared.carrier.clone();
        // No earlier writer can append any more, whatever sequence number it expects.
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

    /// Applies the remaining stream, and returns its epoch; `None` if the stream does not fit this tree.
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

    /// Returns the lowest version of any member from which on the log is here, so that all can follow.
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

/// Returns whether the error may be temporary, because the carrier is about to recover.
fn may_pass(error: &PromoteError) -> bool {
    use FollowError::{Ahead, Replaced};
    use FollowingFailure::{Follow, Stream};
    match error {
        PromoteError::Follow(Follow(error)) => matches!(error, Ahead { .. } | Replaced { .. }),
        PromoteError::Follow(Stream(error)) | PromoteError::Stream(error) => {
            matches!(error, StreamError::Carrier(_))
        }
        error => matches!(error, PromoteError::Unsteady),
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
