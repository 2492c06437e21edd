//! Waiting for a condition, with a bound, so that a hang is reported. The bound counts short waits and not wall-clock
//! time: a machine that stops for a minute, as shared ones may, is not a hang.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A time far beyond that of any wait: a test that is not done by then hangs.
pub const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The longest time that one wait counts for.
pub const STEP: Duration = Duration::from_millis(100);

/// Receives the next item, or an error if none came within `at_most`.
pub fn receive<T>(from: &Receiver<T>, at_most: Duration) -> Result<T, RecvTimeoutError> {
    for _ in 0..at_most.as_millis() / STEP.as_millis() {
        match from.recv_timeout(STEP) {
            Err(RecvTimeoutError::Timeout) => {}
            received => return received,
        }
    }
    Err(RecvTimeoutError::Timeout)
}

/// Polls a condition until it holds. Panics if it takes too long.
pub fn until(holds: impl Fn() -> bool) {
    let (mut waited, mut looked) = (Duration::ZERO, Instant::now());
    while !holds() {
        assert!(waited < HANGS_AFTER, "the condition never holds");
        std::thread::yield_now();
        waited += looked.elapsed().min(STEP);
        looked = Instant::now();
    }
}
