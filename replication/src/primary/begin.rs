//! Beginning an epoch: the tree of the new primary, and its bid for the stream.

use trunkline::{Engine, FeedError, Snapshot};
use trunkline_core::frame::Beginning;
use trunkline_core::hash::Digest;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::log::LogPosition;

use super::unix_ms;
use crate::carrier::{Carrier, CarrierError, Ends};
use crate::member::{self, Options, StreamError};
use crate::protocol::takeover::{self, Chain, TakeoverError};
use crate::protocol::{Pinned, Publisher, Regime, Stopped};
use crate::wire::{Begin, Writer};

/// The reason why a primary cannot begin its epoch.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stream cannot be read, or does not fit the tree.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The tree must not write now.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// The engine has already written.
    #[error(
        "the engine has already written version {0} in this epoch: open the engine again, and write nothing before the primary has begun"
    )]
    WroteBefore(u64),
    /// Another process appended at each attempt.
    #[error("other processes keep appending to the stream; find out which ones, and try again")]
    Contended,
    /// The stream cannot be written.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The engine cannot be read.
    #[error("cannot read the engine's own history: {0}")]
    Engine(String),
}

impl From<CarrierError> for StartError {
    fn from(error: CarrierError) -> Self {
        Self::Stream(error.into())
    }
}

/// A beginning that is in the stream.
pub(crate) struct Claim {
    pub(crate) publisher: Publisher,
    /// The tip of the stream at the beginning of the epoch.
    pub(crate) tip: LogPosition,
}

/// Returns the commit id of a version in the history of a snapshot.
pub(crate) fn commit_id(snapshot: &Snapshot, version: u64) -> Option<Digest> {
    match version {
        0 => Some(CommitRecord::genesis(snapshot.record().tree_id).commit_id()),
        version if version == snapshot.version() => Some(snapshot.commit_id()),
        version => Some(snapshot.prove_ancestor(version).ok()?.commit_id),
    }
}

/// The tree of the new primary.
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

    pub(super) fn verifier(&self, options: &Options) -> Pinned {
        Pinned {
            tree_id: self.record.tree_id,
            keys: options.keys.clone(),
        }
    }

    /// Returns the version that the next frame follows.
    pub(super) fn tip(&self, regime: Option<&Regime>) -> Result<LogPosition, StartError> {
        match regime {
            Some(regime) => {
                takeover::check(regime, self.epoch, &self.position, self)?;
                Ok(regime.tip)
            }
            None => self.oldest(),
        }
    }

    /// Returns the version before the oldest one in the log: a new stream gets everything that the log has.
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

/// Appends the beginning of an epoch; `None` if another process appended first.
pub(super) async fn claim<C: Carrier>(
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

/// Appends a beginning after a message; `None` if another process appended first.
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
