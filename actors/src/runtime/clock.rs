//! The clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(feature = "simulation")]
use super::simulated;

/// Returns the time of the monotonic clock, on which all durations and deadlines are based.
pub fn now() -> Instant {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return scheduler.now();
    }
    Instant::now()
}

/// Returns the time since 1970, for display; zero if the system's clock is before that.
pub fn since_1970() -> Duration {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return scheduler.since_1970();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Returns a duration in microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
