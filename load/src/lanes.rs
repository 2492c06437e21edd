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
    /// Threads that wait. Waking nobody is a call of the system all the same.
    waiting: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let items = VecDeque::new();
        Self {
            items: Mutex::new(Items {
                items,
                is_closed: false,
                waiting: 0,
            }),
            ready: Condvar::new(),
        }
    }

    pub(crate) fn push(&self, item: T) {
        let mut items = locked(&self.items);
        items.items.push_back(item);
        let is_awaited = items.waiting > 0;
        drop(items);
        if is_awaited {
            self.ready.notify_one();
        }
    }

    /// Empties the buffer.
    pub(crate) fn push_all(&self, more: &mut Vec<T>) {
        if more.is_empty() {
            return;
        }
        let mut items = locked(&self.items);
        items.items.extend(more.drain(..));
        let is_awaited = items.waiting > 0;
        drop(items);
        if is_awaited {
            self.ready.notify_all();
        }
    }

    /// Waits for one; `None` once it is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut one = Vec::new();
        self.pop_share(1, 1, &mut one);
        one.pop()
    }

    /// Waits for what falls to one of so many threads, up to `max`: what one took, no other can do meanwhile. Says
    /// whether there was anything: nothing once it is closed.
    pub(crate) fn pop_share(&self, threads: usize, max: usize, taken: &mut Vec<T>) -> bool {
        let mut items = locked(&self.items);
        while items.items.is_empty() && !items.is_closed {
            items.waiting += 1;
            items = self
                .ready
                .wait(items)
                .unwrap_or_else(PoisonError::into_inner);
            items.waiting -= 1;
        }
        let count = max.min(items.items.len().div_ceil(threads.max(1)));
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
    /// The count that somebody waits for, 0 if nobody does.
    awaited: Mutex<u64>,
    changed: Condvar,
}

impl Ends {
    pub(crate) fn add(&self, count: u64) {
        let now = self.count.fetch_add(count, Ordering::AcqRel) + count;
        let awaited = *locked(&self.awaited);
        if awaited != 0 && now >= awaited {
            self.changed.notify_all();
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until so many have ended, or for a moment.
    pub(crate) fn wait_for(&self, count: u64) {
        let mut awaited = locked(&self.awaited);
        if self.get() >= count {
            return;
        }
        *awaited = count;
        let waited = self.changed.wait_timeout(awaited, PATIENCE);
        let (mut awaited, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *awaited = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_out_in_order_also_after_closing() {
        let queue = Queue::new();
        queue.push(1);
        queue.push_all(&mut vec![2, 3, 4]);
        queue.close();
        let mut taken = Vec::new();
        assert!(queue.pop_share(1, 3, &mut taken));
        assert_eq!(taken, [1, 2, 3]);
        assert_eq!((queue.pop(), queue.pop()), (Some(4), None));
    }

    #[test]
    fn nobody_takes_what_others_could_do() {
        let queue = Queue::new();
        queue.push_all(&mut (0..10).collect());
        let take = |threads| {
            let mut taken = Vec::new();
            queue.pop_share(threads, 32, &mut taken);
            taken.len()
        };
        assert_eq!((take(4), take(4), take(4), take(4)), (3, 2, 2, 1));
        assert_eq!((take(4), take(4)), (1, 1));
    }

    #[test]
    fn everything_passes_between_threads() {
        let (queue, ends) = (Queue::new(), Ends::default());
        let sum = std::thread::scope(|scope| {
            let readers = [(); 3].map(|()| {
                scope.spawn(|| {
                    let (mut sum, mut taken) = (0, Vec::new());
                    while queue.pop_share(3, 7, &mut taken) {
                        ends.add(taken.len() as u64);
                        sum += taken.drain(..).sum::<u64>();
                    }
                    sum
                })
            });
            for number in 0..10_000 {
                queue.push(number);
                while number - ends.get().min(number) > 50 {
                    ends.wait_for(number - 25);
                }
            }
            queue.close();
            readers
                .map(|reader| reader.join().unwrap())
                .iter()
                .sum::<u64>()
        });
        assert_eq!((sum, ends.get()), (10_000 * 9_999 / 2, 10_000));
    }
}
