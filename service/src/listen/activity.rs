//! The activity of a connection, to enforce its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::listen::limits::Limits;

/// Number of bytes below which no HTTP request can have begun: the preface of HTTP/2.
const FIRST_BYTES: u64 = 24;

/// The requests of one connection.
pub(crate) struct Activity {
    begun: Instant,
    /// Number of bytes that were read.
    pub(crate) read_bytes: Arc<AtomicU64>,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    idle_since: Mutex<Instant>,
    /// Number of requests on all connections.
    all: Arc<AtomicUsize>,
}

/// The decision about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// Let it finish.
    Finish,
    /// Close it now.
    Close,
}

impl Activity {
    pub(crate) fn new(all: Arc<AtomicUsize>, now: Instant) -> Self {
        Self {
            begun: now,
            read_bytes: Arc::default(),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            idle_since: Mutex::new(now),
            all,
        }
    }

    /// Begins a request. It ends when the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Decides about a connection that was not asked to finish.
    pub(crate) fn judge(&self, limits: &Limits, now: Instant) -> Verdict {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep;
        }
        let said_nothing = self.requests.load(Ordering::Relaxed) == 0
            && self.read_bytes.load(Ordering::Relaxed) < FIRST_BYTES;
        if said_nothing && now - self.begun >= limits.headers {
            return Verdict::Close;
        }
        if self.idle_for(now) >= limits.idle {
            return Verdict::Finish;
        }
        Verdict::Keep
    }

    /// Decides about a connection that was asked to finish at a time.
    pub(crate) fn judge_finishing(&self, since: Instant, limits: &Limits, now: Instant) -> Verdict {
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0;
        let idle_since = (*self.idle_since.lock()).max(since);
        if is_idle && now - idle_since >= limits.headers {
            return Verdict::Close;
        }
        Verdict::Keep
    }

    fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.idle_since.lock())
    }
}

/// A request, from its headers to the end of its response.
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}
