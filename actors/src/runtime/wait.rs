//! Waiting: for a value to change, for a message until a deadline, and for a future.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::task::coop::unconstrained;

use super::clock;

/// A value behind a lock, whose changes can be waited for.
#[derive(Debug, Default)]
pub struct Signal<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Signal<T> {
    /// Locks the value. Waiters do not learn of changes that are made through this guard.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// Changes the value and wakes all waiters.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock());
        self.changed.notify_all();
        result
    }

    /// Blocks until `get` returns something for the value, and returns that.
    pub fn wait_for<R>(&self, get: impl Fn(&T) -> Option<R>) -> R {
        let mut value = self.value.lock();
        loop {
            if let Some(result) = get(&value) {
                return result;
            }
            self.changed.wait(&mut value);
        }
    }

    /// Blocks until `holds` returns true for the value, for `limit` at most.
    pub fn wait_at_most(&self, limit: Duration, holds: impl Fn(&T) -> bool) {
        let mut value = self.value.lock();
        let waits = |value: &mut T| !holds(value);
        self.changed.wait_while_for(&mut value, waits, limit);
    }
}

/// Blocks until a message arrives, or until the deadline.
///
/// # Errors
///
/// Returns [`RecvTimeoutError::Timeout`] at the deadline, and [`RecvTimeoutError::Disconnected`] once all senders
/// are gone.
pub fn receive_until<T>(
    messages: &Receiver<T>,
    deadline: Option<Instant>,
) -> Result<T, RecvTimeoutError> {
    match deadline {
        None => Ok(messages.recv()?),
        Some(at) => messages.recv_timeout(at.saturating_duration_since(clock::now())),
    }
}

/// Blocks the thread until a future is ready. Works on any thread, also inside a task of any executor.
///
/// A task of tokio has a budget. Once that is used up, tokio's own futures are pending although they are ready, and are
/// woken when the task yields. A thread that blocks never yields, so the budget must not count here.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(unconstrained(future))
}
