//! The engine, primary or replica behind the service.

use std::sync::Arc;

use trunkline::core::evidence::Evidence;
use trunkline::core::params::TreeParams;
use trunkline::decisions::{Decision, Window};
use trunkline::{
    Config, Engine, EngineFailure, EvidenceError, Feed, FeedCursor, KeptVersion, MetricsSnapshot,
    PastError, ReloadError, Replica, Snapshot, SnapshotError, Span, WaitError,
};
use trunkline_replication::{Following, Primary};

use crate::error::{Code, ServiceError};
use crate::observe::figures::{Figures, Observed};

/// The engine or replica behind the service. Clones refer to the same one.
#[derive(Clone, Debug)]
pub enum Backend {
    /// An engine without replication.
    Engine(Engine),
    /// An engine whose versions are published.
    Primary(Arc<Primary>),
    /// A replica that follows a primary. It does not write.
    Replica(Arc<Following>),
}

/// Calls the same function of an engine or a replica.
macro_rules! either {
    ($self:ident, $reader:ident => $call:expr) => {
        match $self.reader() {
            Reader::Engine($reader) => $call,
            Reader::Replica($reader) => $call,
        }
    };
}

enum Reader<'a> {
    Engine(&'a Engine),
    Replica(&'a Replica),
}

impl Backend {
    fn reader(&self) -> Reader<'_> {
        match self {
            Self::Engine(engine) => Reader::Engine(engine),
            Self::Primary(primary) => Reader::Engine(primary.engine()),
            Self::Replica(following) => Reader::Replica(following.replica()),
        }
    }

    /// Returns the name of the role.
    pub fn role(&self) -> &'static str {
        match self {
            Self::Engine(_) => "single",
            Self::Primary(_) => "primary",
            Self::Replica(_) => "replica",
        }
    }

    /// Returns the engine, if this process writes.
    ///
    /// # Errors
    ///
    /// Fails on a replica.
    pub fn writer(&self) -> Result<&Engine, ServiceError> {
        match self.reader() {
            Reader::Engine(engine) => Ok(engine),
            Reader::Replica(_) => Err(ServiceError::new(
                Code::NotPrimary,
                "this is a replica, which does not write; submit to the primary",
            )),
        }
    }

    /// Returns the newest durable version.
    pub fn snapshot(&self) -> Snapshot {
        either!(self, reader => reader.snapshot())
    }

    /// Returns a version that is kept.
    ///
    /// # Errors
    ///
    /// As [`Engine::snapshot_at`].
    pub fn snapshot_at(&self, version: u64) -> Result<Snapshot, SnapshotError> {
        either!(self, reader => reader.snapshot_at(version))
    }

    /// Returns the feed from a version on.
    pub fn feed(&self, from: u64) -> Feed {
        either!(self, reader => reader.feed(from))
    }

    /// Returns the evidence about a submission.
    ///
    /// # Errors
    ///
    /// As [`Engine::evidence`].
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        either!(self, reader => reader.evidence(sequence))
    }

    /// Waits until a version is synced here.
    ///
    /// # Errors
    ///
    /// Fails if the engine or replica has failed or was shut down.
    pub async fn wait_for(&self, version: u64) -> Result<(), ServiceError> {
        match self.reader() {
            Reader::Engine(engine) => Ok(engine.wait_for(version).await?),
            Reader::Replica(replica) => match replica.wait_for(version).await {
                Ok(()) => Ok(()),
                Err(WaitError::Engine(failure)) => Err(failure.into()),
                Err(WaitError::Timeout { .. }) => Err(ServiceError::deadline()),
            },
        }
    }

    /// Returns the newest synced version.
    pub fn synced_version(&self) -> u64 {
        either!(self, reader => reader.synced_version())
    }

    /// Returns versions that can be read.
    ///
    /// # Errors
    ///
    /// As [`Engine::kept_versions`].
    pub fn kept_versions(
        &self,
        from: u64,
        count_max: usize,
    ) -> Result<Vec<KeptVersion>, PastError> {
        either!(self, reader => reader.kept_versions(from, count_max))
    }

    /// Returns the oldest version that is kept.
    pub fn oldest_version(&self) -> u64 {
        either!(self, reader => reader.oldest_version())
    }

    /// Returns the parameters of the tree.
    pub fn params(&self) -> TreeParams {
        either!(self, reader => reader.params())
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        either!(self, reader => reader.config())
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    ///
    /// As [`Engine::reload`].
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        either!(self, reader => reader.reload(config))
    }

    /// Returns the metrics since opening.
    pub fn metrics(&self) -> MetricsSnapshot {
        either!(self, reader => reader.metrics())
    }

    /// Returns the microseconds since opening.
    pub fn uptime_us(&self) -> u64 {
        either!(self, reader => reader.uptime_us())
    }

    /// Returns the windows after a number.
    pub fn windows_since(&self, number: u64) -> Vec<Window> {
        either!(self, reader => reader.windows_since(number))
    }

    /// Returns the decisions after a number.
    pub fn decisions_since(&self, number: u64) -> Vec<Decision> {
        either!(self, reader => reader.decisions_since(number))
    }

    /// Returns the spans of the stages that ended at a time or later.
    pub fn spans_since(&self, ended_us: u64) -> Vec<Span> {
        either!(self, reader => reader.spans_since(ended_us))
    }

    /// Returns the positions of the readers of the feed that hold back the log.
    pub fn cursors(&self) -> Vec<FeedCursor> {
        either!(self, reader => reader.cursors())
    }

    /// Returns the reason why it stopped, if it did.
    pub fn failure(&self) -> Option<String> {
        let engine = either!(self, reader => reader.failure());
        let member = match self {
            Self::Engine(_) => None,
            Self::Primary(primary) => primary.failure().map(|failure| failure.to_string()),
            Self::Replica(following) => following
                .status()
                .failure
                .map(|failure| failure.to_string()),
        };
        engine.as_ref().map(EngineFailure::to_string).or(member)
    }

    /// Returns the epoch of the stream, or that of the last record.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Engine(engine) => engine.recovery().open_epoch,
            Self::Primary(primary) => primary.epoch(),
            Self::Replica(following) => following.status().epoch,
        }
    }

    /// Returns the number of versions by which a replica is behind its primary, as far as it knows.
    pub fn lag_versions(&self) -> u64 {
        match self.reader() {
            Reader::Engine(_) => 0,
            Reader::Replica(replica) => replica.lag_versions(),
        }
    }
}

impl Observed for Backend {
    fn figures(&self) -> Figures {
        either!(self, reader => reader.figures())
    }

    fn uptime_us(&self) -> u64 {
        self.uptime_us()
    }

    fn spans_from(&self, place: u64) -> (Vec<Span>, u64) {
        either!(self, reader => reader.spans_from(place))
    }
}
