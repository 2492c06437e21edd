//! The health of an engine: healthy until the first failure, and failed for good from then on.
//!
//! Work that fails is dropped while its error still travels up the stack. Its waiters are kept here and told the cause
//! once it is known.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::failure::EngineFailure;
use crate::metrics::Metrics;

/// A waiter for work of the pipeline.
pub trait Waiter: Send + Sync + fmt::Debug {
    /// Tells the waiter that its work is lost.
    fn fail(&self, cause: EngineFailure);
}

/// Called once, at the first failure.
pub type OnFailure = Box<dyn Fn() + Send + Sync>;

/// The health of one engine.
pub struct Health {
    failure: OnceLock<EngineFailure>,
    waiters: Mutex<Vec<Arc<dyn Waiter>>>,
    on_failure: OnceLock<OnFailure>,
    metrics: Arc<Metrics>,
}

impl Health {
    /// Creates the health of a healthy engine.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            failure: OnceLock::new(),
            waiters: Mutex::default(),
            on_failure: OnceLock::new(),
            metrics,
        }
    }

    /// Sets the function that is called at the first failure. Only the first call of this function has an effect.
    pub fn on_failure(&self, call: OnFailure) {
        let _ = self.on_failure.set(call);
    }

    /// Fails the engine: stores the first failure, tells it to all waiters and stops the stages.
    pub fn fail(&self, failure: EngineFailure) {
        let mut waiters = self.waiters.lock();
        let is_first = self.failure.get().is_none();
        if is_first && !matches!(failure, EngineFailure::Closed) {
            // The metrics are set before anyone can learn of the failure, so that they show it by then.
            self.metrics.failed();
        }
        let _ = self.failure.set(failure);
        let abandoned = std::mem::take(&mut *waiters);
        drop(waiters);
        for waiter in abandoned {
            waiter.fail(self.cause());
        }
        if let Some(on_failure) = self.on_failure.get().filter(|_| is_first) {
            on_failure();
        }
    }

    /// Takes a waiter whose work was dropped. It is told the cause now if there is one, and otherwise later.
    pub fn abandon(&self, waiter: Arc<dyn Waiter>) {
        let mut waiters = self.waiters.lock();
        if self.failure.get().is_none() {
            waiters.push(waiter);
            return;
        }
        drop(waiters);
        waiter.fail(self.cause());
    }

    /// Returns the failure that stopped the engine, if any.
    pub fn failure(&self) -> Option<&EngineFailure> {
        self.failure.get()
    }

    /// Returns the cause for callers that come after the failure.
    pub fn cause(&self) -> EngineFailure {
        self.failure().cloned().unwrap_or(EngineFailure::Closed)
    }

    /// Returns an error if the engine has failed.
    ///
    /// # Errors
    ///
    /// Returns the first failure.
    pub fn check(&self) -> Result<(), EngineFailure> {
        match self.failure() {
            None => Ok(()),
            Some(failure) => Err(failure.clone()),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Health")
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Stage;

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let health = Health::new(Arc::new(Metrics::new("test")));
        assert!(health.check().is_ok());
        health.fail(EngineFailure::panic(Stage::Hash, &"boom"));
        health.fail(EngineFailure::Closed);
        let Err(EngineFailure::Panic { stage, message }) = health.check() else {
            unreachable!("the first failure was a panic");
        };
        assert_eq!((stage, &*message), (Stage::Hash, "boom"));
    }
}
