//! What lies between the generator and the threads that do what it decides: queues, and counts of what is under way.
//!
//! Queues have no bound of their own: the generator lets in no more than the plan allows to be under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long anybody waits before looking whether the run was stopped.
const PATIENCE: Duration = Duration::from_millis(50);

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// First in, first out, from one thread to one or several.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: Mutex<Items<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct Items<T> {
    items: VecDeque<T>,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let items = VecDeque::new();
        Self {
            items: Mutex::new(Items {
                items,
                is_closed: false,
            }),
            ready: Condvar::new(),
        }
    }

    pub(crate) fn push(&self, item: T) {
        locked(&self.items).items.push_back(item);
        self.ready.notify_one();
    }

    /// Empties the buffer.
    pub(crate) fn push_all(&self, more: &mut Vec<T>) {
        if more.is_empty() {
            return;
        }
        let many = more.len() > 1;
        locked(&self.items).items.extend(more.drain(..));
        match many {
            true => self.ready.notify_all(),
            false => self.ready.notify_one(),
        }
    }

    /// Waits for one; `None` once it is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut one = Vec::new();
        self.pop_some(1, &mut one);
        one.pop()
    }

    /// Waits for up to `max`, and leaves others for others. Says whether there were any: none once it is closed.
    pub(crate) fn pop_some(&self, max: usize, taken: &mut Vec<T>) -> bool {
        let mut items = locked(&self.items);
        while items.items.is_empty() && !items.is_closed {
            items = self
                .ready
                .wait(items)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = max.min(items.items.len());
        taken.extend(items.items.drain(..count));
        count > 0
    }

    /// What is in it still comes out.
    pub(crate) fn close(&self) {
        locked(&self.items).is_closed = true;
        self.ready.notify_all();
    }
}

/// Counts what has ended. What was begun, the one thread that begins counts for itself.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    count: AtomicU64,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Ends {
    pub(crate) fn add(&self, count: u64) {
        self.count.fetch_add(count, Ordering::Release);
        drop(locked(&self.lock));
        self.changed.notify_all();
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until so many have ended, or for a moment.
    pub(crate) fn wait_for(&self, count: u64) {
        let guard = locked(&self.lock);
        if self.get() < count {
            drop(self.changed.wait_timeout(guard, PATIENCE));
        }
    }
}
