//! Threads, each with a name that starts with `trunkline-`.

use std::cell::Cell;
use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

thread_local! {
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether the calling thread was started by [`spawn`]. It must not wait for the pipeline then, which may wait
/// for it.
pub fn is_own() -> bool {
    IS_OWN.get()
}

/// Starts a thread.
///
/// # Errors
///
/// Fails if the system has no thread left; `work` is dropped then.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    named(name).spawn(|| {
        IS_OWN.set(true);
        work()
    })
}

/// Starts a thread that ends before its scope does.
///
/// # Errors
///
/// Fails if the system has no thread left; `work` is dropped then.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    named(name).spawn_scoped(scope, work)
}

fn named(name: &str) -> Builder {
    Builder::new().name(format!("trunkline-{name}"))
}
