//! Waiting: for a value to change, for a message until a deadline, and for a future.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SendError, SyncSender};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::task::coop::unconstrained;

use super::clock;
#[cfg(feature = "simulation")]
use super::simulated::{self, Pause, Place};

/// A value behind a lock, whose changes can be waited for.
#[derive(Debug, Default)]
pub struct Signal<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Signal<T> {
    /// Locks the value. Waiters are not notified of changes that are made through this guard.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// Changes the value and wakes all waiters.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock());
        self.changed.notify_all();
        #[cfg(feature = "simulation")]
        if let Some(scheduler) = simulated::current() {
            scheduler.notify(Place::of(self));
        }
        result
    }

    /// Blocks until `get` returns a result for the value, and returns it.
    pub fn wait_for<R>(&self, get: impl Fn(&T) -> Option<R>) -> R {
        #[cfg(feature = "simulation")]
        if let Some(scheduler) = simulated::current() {
            scheduler.pause(Pause::Yield);
            loop {
                let result = get(&self.value.lock());
                match result {
                    Some(result) => return result,
                    None => scheduler.pause(self.changes(None)),
                }
            }
        }
        let mut value = self.value.lock();
        loop {
            if let Some(result) = get(&value) {
                return result;
            }
            self.changed.wait(&mut value);
        }
    }

    /// Blocks until `holds` returns true for the value, for at most `limit`.
    pub fn wait_at_most(&self, limit: Duration, holds: impl Fn(&T) -> bool) {
        #[cfg(feature = "simulation")]
        if let Some(scheduler) = simulated::current() {
            let until = clock::now() + limit;
            scheduler.pause(Pause::Yield);
            while !holds(&self.value.lock()) && clock::now() < until {
                scheduler.pause(self.changes(Some(until)));
            }
            return;
        }
        let mut value = self.value.lock();
        let waits = |value: &mut T| !holds(value);
        self.changed.wait_while_for(&mut value, waits, limit);
    }

    #[cfg(feature = "simulation")]
    fn changes(&self, until: Option<Instant>) -> Pause {
        Pause::Wait {
            on: Place::of(self),
            until,
            what: std::any::type_name::<T>(),
        }
    }
}

/// Blocks until a message arrives.
///
/// # Errors
///
/// Fails once all senders are gone and no message is left.
pub fn receive<T>(messages: &Receiver<T>) -> Result<T, RecvError> {
    #[cfg(feature = "simulation")]
    if simulated::current().is_some() {
        return receive_until(messages, None).map_err(|_| RecvError);
    }
    messages.recv()
}

/// Blocks until there is space for a message, and sends it.
///
/// # Errors
///
/// Fails with the message if the receiver is gone.
pub fn send<T>(messages: &SyncSender<T>, message: T) -> Result<(), SendError<T>> {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return simulated::send(&*scheduler, messages, message);
    }
    messages.send(message)
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
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return simulated::receive(&*scheduler, messages, deadline);
    }
    match deadline {
        None => Ok(messages.recv()?),
        Some(at) => messages.recv_timeout(at.saturating_duration_since(clock::now())),
    }
}

/// Blocks the thread until a future is ready. Works on any thread, also inside a task of any executor.
///
/// A tokio task has a budget. Once that is used up, tokio's own futures are pending although they are ready, and are
/// woken when the task yields. A blocked thread never yields, so the budget must not apply here.
pub fn block_on<F: Future>(future: F) -> F::Output {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return match simulated::wait_for(&*scheduler, future, None) {
            Some(output) => output,
            None => unreachable!("a wait without a deadline ends with the future"),
        };
    }
    pollster::block_on(unconstrained(future))
}

/// Blocks the thread until a future is ready, or until the deadline: then it returns `None`.
pub fn block_on_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return simulated::wait_for(&*scheduler, future, Some(deadline));
    }
    let mut future = pin!(unconstrained(future));
    let woken = Arc::new(Signal::<bool>::default());
    let waker = Waker::from(woken.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let left = deadline.saturating_duration_since(clock::now());
        woken.wait_at_most(left, |woken| *woken);
        if !std::mem::take(&mut *woken.lock()) {
            return None;
        }
    }
}

impl Wake for Signal<bool> {
    fn wake(self: Arc<Self>) {
        self.update(|woken| *woken = true);
    }
}

/// A point at which other threads may run: a simulation switches to them here. Does nothing otherwise.
pub fn yield_point() {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        scheduler.pause(Pause::Yield);
    }
}
