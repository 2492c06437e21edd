//! Threads, each with a name that starts with `trunkline-`.

use std::io;
use std::thread::Builder;

#[cfg(feature = "simulation")]
use super::simulated;

#[cfg(feature = "simulation")]
pub use simulated::JoinHandle;
#[cfg(not(feature = "simulation"))]
pub use std::thread::JoinHandle;

/// Starts a thread.
///
/// # Errors
///
/// Fails if the system has no thread left; `work` is dropped then.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return simulated::spawn(&*scheduler, name, work);
    }
    let thread = Builder::new().name(format!("trunkline-{name}"));
    let started = thread.spawn(work);
    #[cfg(feature = "simulation")]
    let started = started.map(JoinHandle::of_thread);
    started
}
