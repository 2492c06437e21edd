//! Admission: limits the operations and bytes in the pipeline, and fixes the order of submissions.
//!
//! A submission acquires permits before it is prepared and carries them along. Wherever the submission is dropped, in
//! the last stage or in a failing one, the permits are returned. So mailboxes need no bound of their own.
//!
//! The number of permits is fixed, and the limit determines how many a submission needs (its weight). So a limit can be
//! changed while submissions wait and are in flight, no submission waits for more permits than there are, and one above
//! the limit passes alone.
//!
//! Waiters are woken in the order in which they came, when there are permits for them. A future that is woken is not
//! polled while a blocking call has its thread. That call must not wait for the permits of the future, which tokio's
//! semaphore would already have given to it. So waiting threads pass a waiter that was woken a while ago but has not
//! taken its permits.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use trunkline_core::hash::Digest;

use crate::runtime::clock;
use crate::runtime::wait::Signal;

/// The number of permits for operations, and for bytes.
const PERMITS: u32 = 1 << 30;
/// The time in which a woken waiter must take its permits. After that, waiting threads pass it.
const GRACE: Duration = Duration::from_millis(10);

/// Permits for operations and for bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    operations: u32,
    bytes: u32,
}

impl Weight {
    fn plus(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Returns the difference, unless a part of it would be negative.
    fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            operations: self.operations.checked_sub(other.operations)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
        })
    }
}

/// The permits of one engine.
#[derive(Debug)]
pub struct Admission {
    operations_max: AtomicU64,
    bytes_max: AtomicU64,
    queue: Mutex<Queue>,
}

/// The free permits, and the waiters. Each waiter has a ticket, in the order of arrival.
#[derive(Debug)]
struct Queue {
    free: Weight,
    waiting: BTreeMap<u64, Waiter>,
    /// The waiters that were woken but have not taken their permits, with the time at which they were woken.
    woken: BTreeMap<u64, (Waiter, Instant)>,
    /// The sum of the permits that these waiters need. It may exceed the free ones, if others have passed them.
    promised: Weight,
    next_ticket: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiter {
    weight: Weight,
    wake: Waking,
}

/// The way to wake a waiter.
#[derive(Clone, Debug)]
enum Waking {
    Task(Waker),
    Thread(Arc<Signal<bool>>),
}

impl Waking {
    fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Thread(woken) => woken.update(|woken| *woken = true),
        }
    }
}

/// Admission is closed: the engine has failed or was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("admission is closed")]
pub struct Closed;

/// The reason why there are no permits now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryAcquireError {
    /// Others hold them, or wait for them.
    #[error("there are not enough permits")]
    NoPermits,
    /// Admission is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Acquired permits. Dropping them returns them.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    weight: Weight,
}

impl Permit {
    /// Adds the permits of another one, so that all are returned together.
    pub fn absorb(&mut self, mut other: Self) {
        let added = std::mem::take(&mut other.weight);
        self.weight = self.weight.plus(added);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let weight = self.weight;
        if weight != Weight::default() {
            self.admission
                .change(|queue| queue.free = queue.free.plus(weight));
        }
    }
}

impl Queue {
    /// Takes permits for a new submission, if there are no waiters.
    fn take_new(&mut self, weight: Weight) -> Result<bool, Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let unpromised = self.free.minus(self.promised);
        let is_free = unpromised.and_then(|free| free.minus(weight)).is_some();
        Ok(is_free && self.waiting.is_empty() && self.take(weight))
    }

    /// Takes permits past a waiter that was woken a while ago but has not taken its own.
    fn pass(&mut self, weight: Weight) -> bool {
        let first = self.woken.first_key_value();
        let is_late = first.is_some_and(|(_, (_, since))| clock::now() - *since >= GRACE);
        is_late && self.take(weight)
    }

    /// Takes the permits of a woken waiter, and returns it. It waits again if they are no longer available.
    fn take_woken(&mut self, ticket: u64) -> Result<Option<Waiter>, Closed> {
        if self.is_closed {
            return Err(Closed);
        }
        let Some((waiter, _)) = self.woken.remove(&ticket) else {
            return Ok(None);
        };
        self.promised = self.promised.minus(waiter.weight).unwrap_or_default();
        if self.take(waiter.weight) {
            return Ok(Some(waiter));
        }
        self.waiting.insert(ticket, waiter);
        Ok(None)
    }

    /// Takes the permits of a thread that was woken or that passes others, and returns it.
    fn take_or_pass(&mut self, ticket: u64, weight: Weight) -> Result<Option<Waiter>, Closed> {
        if let Some(waiter) = self.take_woken(ticket)? {
            return Ok(Some(waiter));
        }
        let passes = self.pass(weight);
        Ok(passes.then(|| self.leave(ticket)).flatten())
    }

    fn take(&mut self, weight: Weight) -> bool {
        let left = self.free.minus(weight);
        self.free = left.unwrap_or(self.free);
        left.is_some()
    }

    fn wait(&mut self, weight: Weight, wake: Waking) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiter { weight, wake });
        ticket
    }

    /// Removes a waiter that no longer waits.
    fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let Some((waiter, _)) = self.woken.remove(&ticket) else {
            return self.waiting.remove(&ticket);
        };
        self.promised = self.promised.minus(waiter.weight).unwrap_or_default();
        Some(waiter)
    }

    /// Promises the first waiter its permits, if there are enough, and returns how to wake it.
    fn promise_next(&mut self) -> Option<Waking> {
        let first = self.waiting.first_entry()?;
        let promised = self.promised.plus(first.get().weight);
        if !self.is_closed {
            self.free.minus(promised)?;
            self.promised = promised;
        }
        let (ticket, waiter) = first.remove_entry();
        let wake = waiter.wake.clone();
        self.woken.insert(ticket, (waiter, clock::now()));
        Some(wake)
    }
}

impl Admission {
    /// Creates the permits for these limits.
    pub fn new(operations_max: usize, bytes_max: usize) -> Self {
        Self {
            operations_max: AtomicU64::new(operations_max as u64),
            bytes_max: AtomicU64::new(bytes_max as u64),
            queue: Mutex::new(Queue {
                free: Weight {
                    operations: PERMITS,
                    bytes: PERMITS,
                },
                waiting: BTreeMap::new(),
                woken: BTreeMap::new(),
                promised: Weight::default(),
                next_ticket: 0,
                is_closed: false,
            }),
        }
    }

    /// Returns the limit on operations in the pipeline.
    pub fn operations_max(&self) -> u64 {
        self.operations_max.load(Ordering::Relaxed)
    }

    /// Changes the limit on operations in the pipeline. It applies to later acquisitions.
    pub fn set_operations_max(&self, operations: u64) {
        self.operations_max.store(operations, Ordering::Relaxed);
    }

    /// Changes the limit on bytes in the pipeline. It applies to later acquisitions.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Waits for permits. Waiters are woken in the order in which they came.
    ///
    /// # Errors
    ///
    /// Fails once admission is closed.
    pub async fn acquire(
        self: &Arc<Self>,
        operations: usize,
        bytes: usize,
    ) -> Result<Permit, Closed> {
        let weight = self.weight(operations, bytes);
        let acquiring = Acquiring {
            admission: self,
            weight,
            ticket: None,
        };
        acquiring.await?;
        Ok(self.permit(weight))
    }

    /// Waits for all permits: until nothing is in the pipeline. Nothing enters it while they are held. Later callers
    /// queue after it, so it does not wait for ever.
    ///
    /// # Errors
    ///
    /// As [`Self::acquire`].
    pub async fn acquire_all(self: &Arc<Self>) -> Result<Permit, Closed> {
        let weight = Weight {
            operations: PERMITS,
            bytes: PERMITS,
        };
        let acquiring = Acquiring {
            admission: self,
            weight,
            ticket: None,
        };
        acquiring.await?;
        Ok(self.permit(weight))
    }

    /// Does what [`Self::acquire`] does, and blocks the thread while it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::acquire`].
    pub fn acquire_blocking(
        self: &Arc<Self>,
        operations: usize,
        bytes: usize,
    ) -> Result<Permit, Closed> {
        let weight = self.weight(operations, bytes);
        let woken = Arc::new(Signal::default());
        let ticket = {
            let mut queue = self.queue.lock();
            if queue.take_new(weight)? || queue.pass(weight) {
                return Ok(self.permit(weight));
            }
            queue.wait(weight, Waking::Thread(woken.clone()))
        };
        loop {
            woken.wait_at_most(GRACE, |woken| *woken);
            *woken.lock() = false;
            let taken = self.change(|queue| queue.take_or_pass(ticket, weight))?;
            if taken.is_some() {
                return Ok(self.permit(weight));
            }
        }
    }

    /// Acquires permits without waiting.
    ///
    /// # Errors
    ///
    /// Fails if there are not enough permits now, or if admission is closed.
    pub fn try_acquire(
        self: &Arc<Self>,
        operations: usize,
        bytes: usize,
    ) -> Result<Permit, TryAcquireError> {
        let weight = self.weight(operations, bytes);
        match self.queue.lock().take_new(weight)? {
            true => Ok(self.permit(weight)),
            false => Err(TryAcquireError::NoPermits),
        }
    }

    /// Admits nothing more. Waiters get an error.
    pub fn close(&self) {
        self.change(|queue| queue.is_closed = true);
    }

    fn weight(&self, operations: usize, bytes: usize) -> Weight {
        Weight {
            operations: weight(operations, self.operations_max.load(Ordering::Relaxed)),
            bytes: weight(bytes, self.bytes_max.load(Ordering::Relaxed)),
        }
    }

    fn permit(self: &Arc<Self>, weight: Weight) -> Permit {
        Permit {
            admission: self.clone(),
            weight,
        }
    }

    /// Changes the queue, and wakes all waiters for whom there are then enough permits. Wakes them without the queue's
    /// lock, since a waker may run any code.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock();
        let result = change(&mut queue);
        let mut next = queue.promise_next();
        drop(queue);
        while let Some(waking) = next {
            waking.wake();
            next = self.queue.lock().promise_next();
        }
        result
    }
}

/// Returns the permits that an amount needs: its share of the limit, rounded down so that the limit can be reached, and
/// at most all permits.
fn weight(amount: usize, limit: u64) -> u32 {
    let weight = amount as u128 * u128::from(PERMITS) / u128::from(limit.max(1));
    let least = u32::from(amount > 0);
    u32::try_from(weight).map_or(PERMITS, |weight| weight.clamp(least, PERMITS))
}

/// A task that waits for permits.
struct Acquiring<'a> {
    admission: &'a Admission,
    weight: Weight,
    /// Its ticket in the queue, while it waits there.
    ticket: Option<u64>,
}

impl Future for Acquiring<'_> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut queue = self.admission.queue.lock();
        let Some(ticket) = self.ticket else {
            if queue.take_new(self.weight)? {
                return Poll::Ready(Ok(()));
            }
            let wake = Waking::Task(context.waker().clone());
            let ticket = queue.wait(self.weight, wake);
            drop(queue);
            self.ticket = Some(ticket);
            return Poll::Pending;
        };
        // Old wakers are dropped without the lock, since a waker may run any code then.
        let taken = queue.take_woken(ticket)?;
        if taken.is_some() {
            drop(queue);
            self.ticket = None;
            return Poll::Ready(Ok(()));
        }
        let mut wake = Waking::Task(context.waker().clone());
        if let Some(waiter) = queue.waiting.get_mut(&ticket) {
            std::mem::swap(&mut waiter.wake, &mut wake);
        }
        drop(queue);
        Poll::Pending
    }
}

impl Drop for Acquiring<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };
        let _waiter = self.admission.change(|queue| queue.leave(ticket));
    }
}

/// The next position in the order of submissions.
#[derive(Debug)]
pub struct Sequencer {
    /// The next sequence number.
    pub next_sequence: u64,
    /// The provisional root after the last submission.
    pub provisional_root: Digest,
    /// True if the engine is shutting down and accepts no submission.
    pub closed: bool,
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    fn admission(operations_max: usize, bytes_max: usize) -> Arc<Admission> {
        Arc::new(Admission::new(operations_max, bytes_max))
    }

    #[test]
    fn dropped_permits_come_back() {
        let admission = admission(10, 100);
        let permit = admission.try_acquire(8, 100).unwrap();
        assert!(admission.try_acquire(1, 1).is_err());
        assert!(admission.try_acquire(3, 0).is_err());
        drop(permit);
        assert!(admission.try_acquire(10, 100).is_ok());
    }

    #[test]
    fn closed_admission_admits_nothing() {
        let admission = admission(1, 1);
        admission.close();
        let refused = admission.try_acquire(1, 1);
        assert!(matches!(refused, Err(TryAcquireError::Closed(_))));
        assert!(admission.acquire_blocking(1, 1).is_err());
    }

    #[test]
    fn a_limit_changes_while_permits_are_out() {
        let admission = admission(1000, 1000);
        let half = admission.try_acquire(500, 0).unwrap();
        admission.set_operations_max(100);
        // The other half of the permits now stands for 50 operations.
        let others = admission.try_acquire(50, 0).unwrap();
        assert!(admission.try_acquire(1, 0).is_err());
        drop((half, others));
        admission.set_operations_max(2000);
        assert!(admission.try_acquire(2000, 0).is_ok());
    }

    #[test]
    fn a_submission_above_the_limit_passes_alone() {
        let admission = admission(10, 10);
        let large = admission.try_acquire(1_000_000, 1 << 40).unwrap();
        assert!(admission.try_acquire(1, 0).is_err());
        drop(large);
        assert!(admission.try_acquire(10, 10).is_ok());
    }

    #[test]
    fn a_limit_can_be_reached_to_its_last_operation() {
        for limit in [1, 3, 7, 10, 1000] {
            let admission = admission(limit, 0);
            let acquire = |_| admission.try_acquire(1, 0).unwrap();
            let held: Vec<_> = (0..limit).map(acquire).collect();
            assert!(admission.try_acquire(1, 0).is_err());
            drop(held);
        }
    }

    #[test]
    fn weights_stay_within_the_number_of_permits() {
        assert_eq!(weight(0, u64::MAX), 0);
        assert_eq!(weight(1, u64::MAX), 1);
        assert_eq!(weight(usize::MAX, 1), PERMITS);
    }

    /// A future that is polled by hand, with a count of its wake-ups.
    struct Polled<'a> {
        future: Pin<Box<dyn Future<Output = Result<Permit, Closed>> + 'a>>,
        wakes: Arc<Wakes>,
    }

    #[derive(Default)]
    struct Wakes(AtomicU64);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl<'a> Polled<'a> {
        fn new(admission: &'a Arc<Admission>, operations: usize) -> Self {
            Self {
                future: Box::pin(admission.acquire(operations, 0)),
                wakes: Arc::default(),
            }
        }

        fn poll(&mut self) -> Poll<Result<Permit, Closed>> {
            let waker = Waker::from(self.wakes.clone());
            self.future.as_mut().poll(&mut Context::from_waker(&waker))
        }

        fn wakes(&self) -> u64 {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn waiters_are_woken_in_the_order_in_which_they_came() {
        let admission = admission(10, 0);
        let held = admission.try_acquire(10, 0).unwrap();
        let mut waiters = [4, 6, 1].map(|operations| Polled::new(&admission, operations));
        assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
        drop(held);
        assert_eq!(waiters.each_ref().map(Polled::wakes), [1, 1, 0]);
        // Promised permits are not given to new submissions.
        assert!(admission.try_acquire(1, 0).is_err());
        assert!(waiters[2].poll().is_pending());
        let second = waiters[1].poll();
        assert!(second.is_ready());
        assert!(waiters[0].poll().is_ready());
        drop(second);
        assert_eq!(waiters[2].wakes(), 1);
        assert!(waiters[2].poll().is_ready());
    }

    #[test]
    fn a_waiter_that_leaves_lets_the_next_one_pass() {
        let admission = admission(10, 0);
        let held = admission.try_acquire(5, 0).unwrap();
        let mut large = Polled::new(&admission, 10);
        let mut small = Polled::new(&admission, 5);
        assert!(large.poll().is_pending() && small.poll().is_pending());
        drop(large);
        assert_eq!(small.wakes(), 1);
        assert!(small.poll().is_ready());
        // This includes a waiter that was woken.
        let [mut one, mut two] = [(); 2].map(|()| Polled::new(&admission, 6));
        assert!(one.poll().is_pending() && two.poll().is_pending());
        drop(held);
        drop(one);
        assert!(two.poll().is_ready());
    }

    #[test]
    fn who_waits_for_all_permits_gets_them_although_others_keep_coming() {
        let admission = admission(10, 10);
        let held = admission.try_acquire(1, 0).unwrap();
        let mut all = Polled {
            future: Box::pin(admission.acquire_all()),
            wakes: Arc::default(),
        };
        assert!(all.poll().is_pending());
        let mut later = Polled::new(&admission, 1);
        assert!(later.poll().is_pending() && admission.try_acquire(1, 0).is_err());
        drop(held);
        let all = all.poll();
        assert!(all.is_ready() && later.poll().is_pending());
        drop(all);
        assert!(later.poll().is_ready());
    }

    #[test]
    fn a_thread_passes_a_future_that_is_not_polled() {
        let admission = admission(10, 0);
        let held = admission.try_acquire(10, 0).unwrap();
        let mut future = Polled::new(&admission, 10);
        assert!(future.poll().is_pending());
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| admission.acquire_blocking(3, 0).unwrap());
            drop(held);
            // The future has been promised all permits, and nobody polls it.
            let passed = blocked.join().unwrap();
            assert_eq!(future.wakes(), 1);
            assert!(future.poll().is_pending(), "the permits are out");
            drop(passed);
        });
        assert_eq!(future.wakes(), 2);
        assert!(future.poll().is_ready());
    }

    #[test]
    fn closing_wakes_tasks_and_threads() {
        let admission = admission(1, 0);
        let _held = admission.try_acquire(1, 0).unwrap();
        let mut future = Polled::new(&admission, 1);
        assert!(future.poll().is_pending());
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| admission.acquire_blocking(1, 0).is_err());
            admission.close();
            assert!(blocked.join().unwrap());
        });
        assert_eq!(future.wakes(), 1);
        assert!(matches!(future.poll(), Poll::Ready(Err(Closed))));
    }
}
