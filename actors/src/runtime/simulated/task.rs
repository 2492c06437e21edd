//! Tasks of a simulation, instead of threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Pause, Place, Scheduler, current};

/// A thread or a task that can be waited for.
#[derive(Debug)]
pub struct JoinHandle<T>(Ending<T>);

#[derive(Debug)]
enum Ending<T> {
    Thread(std::thread::JoinHandle<T>),
    Task(Arc<Mutex<Option<std::thread::Result<T>>>>),
}

impl<T> JoinHandle<T> {
    pub(crate) fn of_thread(thread: std::thread::JoinHandle<T>) -> Self {
        Self(Ending::Thread(thread))
    }

    /// Waits until the thread or task has ended, and returns its result.
    ///
    /// # Errors
    ///
    /// Fails with the payload if it panicked.
    pub fn join(self) -> std::thread::Result<T> {
        let result = match self.0 {
            Ending::Thread(thread) => return thread.join(),
            Ending::Task(result) => result,
        };
        loop {
            if let Some(result) = result.lock().take() {
                return result;
            }
            match current() {
                Some(scheduler) => scheduler.pause(Pause::Wait {
                    on: Place::of(&*result),
                    until: None,
                    what: "the end of a thread",
                }),
                None => panic!("a task is waited for outside of its simulation"),
            }
        }
    }
}

/// Starts a task.
pub(crate) fn spawn<T: Send + 'static>(
    scheduler: &dyn Scheduler,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let result = Arc::new(Mutex::new(None));
    let ending = result.clone();
    let task = move || {
        let ended = catch_unwind(AssertUnwindSafe(work));
        *ending.lock() = Some(ended);
        if let Some(scheduler) = current() {
            scheduler.notify(Place::of(&*ending));
        }
    };
    scheduler.spawn(name, Box::new(task))?;
    Ok(JoinHandle(Ending::Task(result)))
}
