//! Blocking on a future in a simulation.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::{Pause, Place, Scheduler, current};

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
        if let Some(scheduler) = current() {
            scheduler.notify(Place::of(&*self));
        }
    }
}

/// Pauses the task until a future is ready, or until a deadline.
pub fn wait_for<F: Future>(
    scheduler: &dyn Scheduler,
    future: F,
    until: Option<Instant>,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    scheduler.pause(Pause::Yield);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        while !woken.0.swap(false, Ordering::AcqRel) {
            if until.is_some_and(|at| at <= scheduler.now()) {
                return None;
            }
            scheduler.pause(Pause::Wait {
                on: Place::of(&*woken),
                until,
                what: "a future",
            });
        }
    }
}
