//! The mailbox of an actor in a simulation.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::{Pause, Place, Scheduler, current};

/// A queue with a single receiving task. Clones refer to the same queue.
pub(crate) struct Queue<M>(Arc<Mutex<State<M>>>);

struct State<M> {
    messages: VecDeque<M>,
    closed: bool,
}

/// The next item from a queue.
pub(crate) enum Next<M> {
    Message(M),
    Deadline,
    Closed,
}

impl<M> fmt::Debug for Queue<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Queue")
    }
}

impl<M> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Queue<M> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            messages: VecDeque::new(),
            closed: false,
        })))
    }

    /// Adds a message, or drops it if the queue is closed.
    pub(crate) fn push(&self, message: M) {
        let mut state = self.0.lock();
        if state.closed {
            drop(state);
            return drop(message);
        }
        state.messages.push_back(message);
        drop(state);
        self.notify();
    }

    /// Closes the queue and drops its messages.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.messages);
        drop(state);
        drop(waiting);
        self.notify();
    }

    /// Pauses until there is a message, until the deadline, or until the queue is closed. If a message waits at the
    /// deadline, either may come first.
    pub(crate) fn next(&self, scheduler: &dyn Scheduler, until: Option<Instant>) -> Next<M> {
        scheduler.pause(Pause::Yield);
        loop {
            let is_due = until.is_some_and(|at| at <= scheduler.now());
            let mut state = self.0.lock();
            if state.closed {
                return Next::Closed;
            }
            let first =
                is_due && (state.messages.is_empty() || scheduler.random().is_multiple_of(2));
            if first {
                return Next::Deadline;
            }
            if let Some(message) = state.messages.pop_front() {
                return Next::Message(message);
            }
            drop(state);
            scheduler.pause(Pause::Wait {
                on: self.place(),
                until,
                what: "a message",
            });
        }
    }

    fn place(&self) -> Place {
        Place::of(&*self.0)
    }

    fn notify(&self) {
        if let Some(scheduler) = current() {
            scheduler.notify(self.place());
        }
    }
}
