//! The handlers: each turns a request into a reply, for both gRPC and HTTP. Messages are those of the protocol.

mod admin;
mod feed;
mod preview;
mod proofs;
mod range;
mod read;
mod revert;
mod status;
mod submit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;
use trunkline::config::ServerConfig;

use crate::admission::{Admission, Queued};
use crate::backend::Backend;
use crate::error::{Code, ServiceError};

pub use feed::FeedStream;

/// Number of calls per core that may read the store or make proofs at the same time.
const BLOCKING_PER_CORE: usize = 4;

/// A function that reads the configuration, tokens and certificates again.
pub type Reload = Box<dyn Fn() -> Result<(), ServiceError> + Send + Sync>;

/// The handlers and their shared state.
pub struct Api {
    pub(crate) backend: Backend,
    pub(crate) config: ServerConfig,
    pub(crate) admission: Arc<Admission>,
    blocking: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    reload: Reload,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

/// The context of one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The time by which it must be answered.
    pub deadline: Instant,
    /// Its place among the submissions in flight, if it is a submission.
    pub queued: Option<Arc<Queued>>,
}

impl Call {
    /// Waits for an outcome until the deadline.
    pub(crate) async fn within<T>(
        &self,
        outcome: impl Future<Output = T>,
    ) -> Result<T, ServiceError> {
        let within = timeout_at(self.deadline.into(), outcome).await;
        within.map_err(|_| ServiceError::deadline())
    }

    /// Returns the remaining time.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Api {
    /// Creates the handlers for an engine or replica.
    pub fn new(backend: Backend, config: ServerConfig, reload: Reload) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            admission: Arc::new(Admission::new(&config)),
            blocking: Arc::new(Semaphore::new(cores * BLOCKING_PER_CORE)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            draining: watch::Sender::new(false),
            backend,
            config,
            reload,
        }
    }

    /// Refuses new work from now on, so that a load balancer sends it elsewhere.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Returns the engine or replica behind the handlers.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Returns the number of requests that are being served.
    pub fn in_flight(&self) -> usize {
        self.admission.in_flight()
    }

    /// Returns whether new work is refused.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until new work is refused. Streams end then: otherwise they would delay a stop for ever.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // If the handlers are gone, there is nothing to wait for.
            let _gone = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Returns the deadline of a call that asks for this time, or the default one.
    pub(crate) fn deadline(&self, wanted: Option<Duration>) -> Instant {
        let default = Duration::from_millis(self.config.deadline_ms);
        let longest = Duration::from_millis(self.config.deadline_ms_max);
        Instant::now() + wanted.unwrap_or(default).min(longest)
    }

    /// Runs blocking work on a thread for it. A cancelled call is not begun; one that has begun completes.
    async fn blocking<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let permit = call.within(self.blocking.clone().acquire_owned()).await?;
        let permit = permit.map_err(|_| ServiceError::overloaded())?;
        let working = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        call.within(working).await?.map_err(|_| {
            ServiceError::new(
                Code::Internal,
                "the request broke the service's own code; this is a bug in trunkline",
            )
        })?
    }

    fn check_keys(&self, keys: &[Bytes]) -> Result<(), ServiceError> {
        if keys.len() <= self.config.keys_max {
            return Ok(());
        }
        let message = format!(
            "{} keys are more than server.keys_max = {}; ask several times",
            keys.len(),
            self.config.keys_max
        );
        Err(ServiceError::new(Code::TooLarge, message))
    }

    /// Waits for a version that the caller has seen elsewhere.
    async fn reach(&self, call: &Call, min_version: u64) -> Result<(), ServiceError> {
        if min_version <= self.backend.synced_version() {
            return Ok(());
        }
        let reached = call.within(self.backend.wait_for(min_version)).await;
        reached.map_err(|_| {
            let message = format!(
                "version {min_version} is not here yet, {} is; it may come later",
                self.backend.synced_version()
            );
            ServiceError::new(Code::VersionNotReached, message)
        })?
    }

    /// Returns a function that takes a snapshot of a version, 0 for the newest. It may read the disk if the version is
    /// archived.
    fn snapshot(
        &self,
        version: u64,
    ) -> impl FnOnce() -> Result<trunkline::Snapshot, ServiceError> + Send + use<> {
        let backend = self.backend.clone();
        move || match version {
            0 => Ok(backend.snapshot()),
            version => Ok(backend.snapshot_at(version)?),
        }
    }
}
