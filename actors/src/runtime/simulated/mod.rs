//! The simulated halves of the seams: a thread in which a [`Scheduler`] is in force asks it for the time, for tasks in
//! place of threads, for pauses and for random numbers. Everything runs on that one thread then.
//!
//! A scheduler switches tasks only inside [`Scheduler::pause`]. So a task that looks at a condition and then pauses
//! misses no notification in between.

mod channel;
mod future;
mod queue;
mod task;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use channel::{receive, send};
pub use future::wait_for;
pub(crate) use queue::{Next, Queue};
pub use task::JoinHandle;
pub(crate) use task::spawn;

/// Something that tasks wait for, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(usize);

impl Place {
    /// Returns the place of a value that does not move while a task waits for it.
    pub fn of<T>(value: &T) -> Self {
        Self(std::ptr::from_ref(value).addr())
    }
}

/// How long a task pauses.
#[derive(Clone, Copy, Debug)]
pub enum Pause {
    /// It can continue at once, and lets others go first if the scheduler wants so.
    Yield,
    /// Until it is notified, or until a deadline.
    Wait {
        /// Where it is notified.
        on: Place,
        /// The deadline.
        until: Option<Instant>,
        /// Names what is waited for, in reports.
        what: &'static str,
    },
    /// Until another task has done something since, or until a deadline: nobody notifies, so it looks again.
    Poll {
        /// The deadline.
        until: Option<Instant>,
        /// Names what is waited for, in reports.
        what: &'static str,
    },
}

/// Decides which task of a simulation runs, and what time it is.
pub trait Scheduler {
    /// Returns the virtual time.
    fn now(&self) -> Instant;

    /// Returns the virtual time since 1970.
    fn since_1970(&self) -> Duration;

    /// Starts a task.
    ///
    /// # Errors
    ///
    /// Fails if the simulation says that no thread is left.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce()>) -> io::Result<()>;

    /// Returns whether the running task was started by [`Self::spawn`] for the engine, not by the simulated world.
    fn is_own(&self) -> bool;

    /// Pauses the running task. May return early.
    fn pause(&self, pause: Pause);

    /// Makes all tasks that wait for a place continue.
    fn notify(&self, place: Place);

    /// Returns random bits that follow from the seed of the simulation.
    fn random(&self) -> u64;
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn Scheduler>>> = const { RefCell::new(None) };
}

/// Puts a scheduler in force on this thread, or none.
pub fn enter(scheduler: Option<Rc<dyn Scheduler>>) {
    CURRENT.set(scheduler);
}

/// Returns the scheduler in force on this thread, if any.
pub fn current() -> Option<Rc<dyn Scheduler>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Pauses until `ready` returns something, which nobody notifies of, or until a deadline.
pub(crate) fn poll<T>(
    scheduler: &dyn Scheduler,
    what: &'static str,
    until: Option<Instant>,
    mut ready: impl FnMut() -> Option<T>,
) -> Option<T> {
    scheduler.pause(Pause::Yield);
    loop {
        if let Some(result) = ready() {
            return Some(result);
        }
        if until.is_some_and(|at| at <= scheduler.now()) {
            return None;
        }
        scheduler.pause(Pause::Poll { until, what });
    }
}
