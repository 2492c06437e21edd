//! Admission: decides whether a request is served, from its head, before its body is read.
//!
//! Submissions in flight form a queue. Its length in bytes over the rate at which bytes became durable is the time that
//! a new submission will wait (Little's law). A submission is refused if that is more than a quarter of its deadline.
//! So under overload the accepted submissions meet their deadlines, and a refusal costs almost nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline::config::ServerConfig;

use crate::error::{Code, ServiceError};
use crate::observe::held::Held;
use crate::observe::table;

/// Time over which a rate is measured.
const WINDOW: Duration = Duration::from_millis(100);
/// Factor of the highest rate after a window that did not reach it: half is left after 7 seconds.
const DECAY: f64 = 0.99;
/// Rate that is assumed before one was measured, and the lowest one afterwards, in bytes per second.
const RATE_MIN: f64 = 4e6;
/// Share of a deadline that may be spent in the queue. The rest is for receiving the body, and for times when the
/// engine is slower than it was recently.
const QUEUE_SHARE: f64 = 0.25;
/// Size of a submission of unknown length, in bytes, before one was measured.
const BYTES_ASSUMED: f64 = 4096.0;

/// Decides which requests are served.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    requests_max: usize,
    bytes: Arc<Semaphore>,
    message_bytes_max: usize,
    queue: Mutex<Queue>,
}

/// The submissions in flight.
#[derive(Debug)]
struct Queue {
    /// Total size of the submissions in bytes, or an estimate.
    bytes: f64,
    /// Number of submissions.
    submissions: usize,
    /// Highest recent rate, in bytes per second.
    rate: f64,
    /// Mean size of recent submissions in bytes.
    mean_bytes: f64,
    window_began: Instant,
    window_bytes: f64,
}

/// A request that is being served, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _request: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
    _counted: Held,
}

/// A submission in the queue, until this is dropped.
#[derive(Debug)]
pub struct Queued {
    admission: Arc<Admission>,
    bytes: f64,
    measured_bytes: Mutex<Option<f64>>,
    is_accepted: AtomicBool,
}

impl Queued {
    /// Notes that the engine has accepted the submission: from now on it may take effect.
    pub(crate) fn accept(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }

    /// Returns whether the engine has accepted the submission.
    pub(crate) fn is_accepted(&self) -> bool {
        self.is_accepted.load(Ordering::Relaxed)
    }

    /// Notes that the submission took effect, with its size in bytes.
    pub fn done(&self, bytes: usize) {
        *self.measured_bytes.lock() = Some(bytes as f64);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let done = *self.measured_bytes.lock();
        self.admission
            .queue
            .lock()
            .leave(self.bytes, done, Instant::now());
    }
}

impl Queue {
    fn new(now: Instant) -> Self {
        Self {
            bytes: 0.0,
            submissions: 0,
            rate: RATE_MIN,
            mean_bytes: BYTES_ASSUMED,
            window_began: now,
            window_bytes: 0.0,
        }
    }

    /// Adds a submission, unless it would wait too long. The first one is always accepted, so that a rate can be
    /// measured.
    fn enter(&mut self, bytes: Option<usize>, budget: Duration) -> Option<f64> {
        let bytes = bytes.map_or(self.mean_bytes, |bytes| bytes as f64);
        let wait_s = self.bytes / self.rate;
        if self.submissions > 0 && wait_s > budget.as_secs_f64() * QUEUE_SHARE {
            return None;
        }
        self.bytes += bytes;
        self.submissions += 1;
        Some(bytes)
    }

    fn leave(&mut self, bytes: f64, done: Option<f64>, now: Instant) {
        self.bytes -= bytes;
        self.submissions -= 1;
        if self.submissions == 0 {
            // Rounding errors would accumulate.
            self.bytes = 0.0;
        }
        if let Some(done) = done {
            self.mean_bytes += (done - self.mean_bytes) / 16.0;
            self.window_bytes += done;
        }
        let elapsed = now.saturating_duration_since(self.window_began);
        if elapsed >= WINDOW {
            let seen = self.window_bytes / elapsed.as_secs_f64();
            self.rate = seen.max(self.rate * DECAY).max(RATE_MIN);
            self.window_began = now;
            self.window_bytes = 0.0;
        }
    }
}

impl Admission {
    /// Creates the limits of the configuration.
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(config.requests_in_flight_max)),
            requests_max: config.requests_in_flight_max,
            bytes: Arc::new(Semaphore::new(config.request_bytes_in_flight_max)),
            message_bytes_max: config.message_bytes_max,
            queue: Mutex::new(Queue::new(Instant::now())),
        }
    }

    /// Returns the number of requests that are being served.
    pub(crate) fn in_flight(&self) -> usize {
        self.requests_max - self.requests.available_permits()
    }

    /// Admits a request with a body of this size, if the size is known.
    ///
    /// # Errors
    ///
    /// Fails if the body is too long, or if there is no free capacity.
    pub(crate) fn admit(&self, body_bytes: Option<u64>) -> Result<Admitted, ServiceError> {
        let bytes = body_bytes.unwrap_or(0);
        if bytes > self.message_bytes_max as u64 {
            let message = format!(
                "the message has {bytes} bytes, more than server.message_bytes_max = {}",
                self.message_bytes_max
            );
            return Err(ServiceError::new(Code::TooLarge, message));
        }
        let full = |_| ServiceError::overloaded();
        let permit = self.requests.clone().try_acquire_owned().map_err(full)?;
        // The value is not above `message_bytes_max`, which fits.
        let permits = bytes as u32;
        let bytes = match permits {
            0 => None,
            permits => {
                let bytes = self.bytes.clone().try_acquire_many_owned(permits);
                Some(bytes.map_err(full)?)
            }
        };
        Ok(Admitted {
            _request: permit,
            _bytes: bytes,
            _counted: Held::add(table::request_bytes_in_flight(), permits),
        })
    }

    /// Adds a submission to the queue.
    ///
    /// # Errors
    ///
    /// Fails if it would probably miss its deadline.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        body_bytes: Option<u64>,
        budget: Duration,
    ) -> Result<Queued, ServiceError> {
        let bytes = body_bytes.map(|bytes| bytes as usize);
        let entered = self.queue.lock().enter(bytes, budget);
        let bytes = entered.ok_or_else(ServiceError::overloaded)?;
        Ok(Queued {
            admission: self.clone(),
            bytes,
            measured_bytes: Mutex::new(None),
            is_accepted: AtomicBool::new(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_queue_takes_what_it_can_finish_in_a_quarter_of_the_deadline() {
        let began = Instant::now();
        let mut queue = Queue::new(began);
        // 10 MB in a tenth of a second.
        let entered = queue.enter(Some(10_000_000), SECOND).unwrap();
        queue.leave(entered, Some(10_000_000.0), began + WINDOW);
        let taken = (0..100)
            .take_while(|_| queue.enter(Some(10_000_000), SECOND).is_some())
            .count();
        assert_eq!(taken, 3); // 25 MB are a quarter of a second; the last one still found 20 MB.
    }

    #[test]
    fn a_quiet_time_does_not_make_the_queue_short_at_once() {
        let began = Instant::now();
        let mut queue = Queue::new(began);
        let entered = queue.enter(Some(10_000_000), SECOND).unwrap();
        queue.leave(entered, Some(10_000_000.0), began + WINDOW);
        for window in 2..12 {
            let entered = queue.enter(Some(10), SECOND).unwrap();
            queue.leave(entered, Some(10.0), began + WINDOW * window);
        }
        assert!(queue.rate > 0.9 * 100e6, "{}", queue.rate);
    }

    #[test]
    fn one_submission_is_always_let_in() {
        let mut queue = Queue::new(Instant::now());
        assert!(queue.enter(Some(usize::MAX), Duration::ZERO).is_some());
        assert!(queue.enter(Some(1), Duration::ZERO).is_none());
    }
}
