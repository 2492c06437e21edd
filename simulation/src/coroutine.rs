//! Coroutines: tasks with stacks of their own that take turns on one thread. The only file with `unsafe`.

use std::cell::Cell;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine as Inner, CoroutineResult, Yielder};

/// The size of a stack, bytes. Unused pages take no memory.
const STACK_BYTES: usize = 1 << 20;

/// A task that can be suspended with a `P` and resumed.
pub(crate) struct Coroutine<P: 'static> {
    inner: Inner<(), P, (), DefaultStack>,
    suspender: Suspender<P>,
}

/// The handle with which the coroutine that it belongs to suspends itself.
pub(crate) struct Suspender<P>(Rc<Cell<*const Yielder<(), P>>>);

impl<P> Clone for Suspender<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The state of a coroutine after a step: suspended or ended.
pub(crate) enum Resumed<P> {
    /// The coroutine was suspended.
    Suspended(P),
    /// The coroutine has ended. Its stack can be used again.
    Ended(DefaultStack),
}

impl<P: 'static> Coroutine<P> {
    /// Makes a coroutine, on the stack of an ended one if there is one.
    pub(crate) fn new(stack: Option<DefaultStack>, work: impl FnOnce() + 'static) -> Self {
        let stack = stack.unwrap_or_else(|| {
            DefaultStack::new(STACK_BYTES).expect("there is memory for a stack")
        });
        let suspender = Suspender(Rc::new(Cell::new(std::ptr::null())));
        let own = suspender.clone();
        let inner = Inner::with_stack(stack, move |yielder: &Yielder<(), P>, ()| {
            own.0.set(yielder);
            work();
            own.0.set(std::ptr::null());
        });
        Self { inner, suspender }
    }

    /// Returns the handle that suspends this coroutine from inside.
    pub(crate) fn suspender(&self) -> Suspender<P> {
        self.suspender.clone()
    }

    /// Runs the coroutine until it is suspended or ends.
    pub(crate) fn resume(mut self) -> (Option<Self>, Resumed<P>) {
        match self.inner.resume(()) {
            CoroutineResult::Yield(pause) => (Some(self), Resumed::Suspended(pause)),
            CoroutineResult::Return(()) => (None, Resumed::Ended(self.inner.into_stack())),
        }
    }

    /// Leaves a suspended coroutine as it is forever: nothing on its stack is dropped.
    pub(crate) fn abandon(self) {
        std::mem::forget(self);
    }
}

impl<P> Suspender<P> {
    /// Suspends the coroutine until it is resumed. Must be called by the coroutine that it belongs to.
    pub(crate) fn suspend(&self, pause: P) {
        let yielder = self.0.get();
        assert!(!yielder.is_null(), "the coroutine runs");
        // SAFETY: the pointer is set while the coroutine's function runs, which has the yielder by reference, and it is
        // null before and after that. The scheduler makes only the suspender of the running coroutine available, so the
        // caller is on the stack that the yielder belongs to.
        unsafe { &*yielder }.suspend(pause);
    }
}
