//! Queues between the generator and the threads that carry out its decisions, and counts of finished work.
//!
//! A queue has no bound of its own: the generator never starts more operations than the plan allows in flight.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The longest wait before a thread checks whether the run was stopped.
const PATIENCE: Duration = Duration::from_millis(50);

/// A first-in, first-out queue from one thread to one or several.
pub(crate) struct Queue<T> {
    items: Mutex<Items<T>>,
    ready: Condvar,
}

struct Items<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let items = Items {
            waiting: VecDeque::new(),
            is_closed: false,
        };
        Self {
            items: Mutex::new(items),
            ready: Condvar::new(),
        }
    }

    pub(crate) fn push(&self, item: T) {
        self.items.lock().waiting.push_back(item);
        self.ready.notify_one();
    }

    /// Pushes all items of a buffer and empties it.
    pub(crate) fn push_all(&self, more: &mut Vec<T>) {
        if !more.is_empty() {
            self.items.lock().waiting.extend(more.drain(..));
            self.ready.notify_all();
        }
    }

    /// Waits for an item. Returns `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut one = Vec::new();
        self.pop_share(1, 1, &mut one);
        one.pop()
    }

    /// Waits for items and takes the share of one of `threads` threads, at most `max`, so that the others have work
    /// too. Returns false once the queue is closed and empty.
    pub(crate) fn pop_share(&self, threads: usize, max: usize, taken: &mut Vec<T>) -> bool {
        let mut items = self.items.lock();
        self.ready.wait_while(&mut items, |items| {
            items.waiting.is_empty() && !items.is_closed
        });
        let count = max.min(items.waiting.len().div_ceil(threads.max(1)));
        taken.extend(items.waiting.drain(..count));
        count > 0
    }

    /// Closes the queue. Items that are in it can still be taken.
    pub(crate) fn close(&self) {
        self.items.lock().is_closed = true;
        self.ready.notify_all();
    }
}

/// Counts finished work. The one thread that starts work counts that itself.
#[derive(Default)]
pub(crate) struct CompletionCounter {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    ended: u64,
    /// The count that a thread is waiting for; 0 if no thread is.
    awaited: u64,
}

impl CompletionCounter {
    pub(crate) fn add(&self, count: u64) {
        let mut counts = self.counts.lock();
        counts.ended += count;
        if counts.awaited != 0 && counts.ended >= counts.awaited {
            self.changed.notify_all();
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.counts.lock().ended
    }

    /// Waits until `count` have ended, or for a short time.
    pub(crate) fn wait_for(&self, count: u64) {
        let mut counts = self.counts.lock();
        counts.awaited = count;
        let is_missing = |counts: &mut Counts| counts.ended < count;
        self.changed
            .wait_while_for(&mut counts, is_missing, PATIENCE);
        counts.awaited = 0;
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
    fn a_thread_leaves_the_others_their_share() {
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
        let (queue, ends) = (Queue::new(), CompletionCounter::default());
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
