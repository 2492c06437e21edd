//! Threads, each with a name that starts with `trunkline-`.

use std::cell::Cell;
use std::io;
use std::thread::Builder;

#[cfg(feature = "simulation")]
use super::simulated;

#[cfg(feature = "simulation")]
pub use simulated::JoinHandle;
#[cfg(not(feature = "simulation"))]
pub use std::thread::JoinHandle;

thread_local! {
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether the calling thread was started by [`spawn`]. If so, it must not wait for the pipeline, which may
/// wait for it.
pub fn is_own() -> bool {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return scheduler.is_own();
    }
    IS_OWN.get()
}

/// Starts a thread.
///
/// # Errors
///
/// Fails if the system has no thread left; `work` is then dropped.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return simulated::spawn(&*scheduler, name, work);
    }
    let thread = Builder::new().name(format!("trunkline-{name}"));
    let started = thread.spawn(|| {
        IS_OWN.set(true);
        work()
    });
    #[cfg(feature = "simulation")]
    let started = started.map(JoinHandle::of_thread);
    started
}
