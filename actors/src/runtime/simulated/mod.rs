//! The simulated halves of the seams: a thread with a [`Scheduler`] gets from it the time, tasks instead of threads,
//! pauses and random numbers. Everything then runs on that one thread.
//!
//! A scheduler switches tasks only inside [`Scheduler::pause`]. So a task that checks a condition and then pauses
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

/// A value that tasks wait for, identified by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(usize);

impl Place {
    /// Returns the place of a value that does not move while a task waits for it.
    pub fn of<T>(value: &T) -> Self {
        Self(std::ptr::from_ref(value).addr())
    }
}

/// The duration of a pause.
#[derive(Clone, Copy, Debug)]
pub enum Pause {
    /// It can continue at once, but lets others run first if the scheduler chooses so.
    Yield,
    /// It lasts until a notification, or until a deadline.
    Wait {
        /// The place of the notification.
        on: Place,
        /// The deadline.
        until: Option<Instant>,
        /// A name for the awaited condition, in reports.
        what: &'static str,
    },
    /// It lasts until another task has run, or until a deadline. There is no notification, so the task polls.
    Poll {
        /// The deadline.
        until: Option<Instant>,
        /// A name for the awaited condition, in reports.
        what: &'static str,
    },
}

/// Decides which task of a simulation runs, and the virtual time.
pub trait Scheduler {
    /// Returns the virtual time.
    fn now(&self) -> Instant;

    /// Returns the virtual time since 1970.
    fn since_1970(&self) -> Duration;

    /// Starts a task.
    ///
    /// # Errors
    ///
    /// Fails if the simulation has no thread left.
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

/// Sets the scheduler of this thread, or removes it.
pub fn enter(scheduler: Option<Rc<dyn Scheduler>>) {
    CURRENT.set(scheduler);
}

/// Returns the scheduler of this thread, if any.
pub fn current() -> Option<Rc<dyn Scheduler>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Pauses until `ready` returns a result, without notifications, or until a deadline.
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
