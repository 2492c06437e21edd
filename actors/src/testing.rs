//! Failures that a test requests, to try a service's reaction to a failing engine. They need the feature `testing`.

#[cfg(feature = "testing")]
pub use faults::{InjectedError, StageFault};

use crate::failure::{EngineFailure, Stage};

/// The failures that are still to happen.
#[derive(Debug, Default)]
pub struct Faults {
    #[cfg(feature = "testing")]
    planned: parking_lot::Mutex<Vec<faults::Fault>>,
}

impl Faults {
    /// Makes a stage fail at the message after this many.
    #[cfg(feature = "testing")]
    pub fn add(&mut self, stage: Stage, after_messages: u64, fault: StageFault) {
        self.planned.get_mut().push(faults::Fault {
            stage,
            messages_left: after_messages,
            fault,
        });
    }

    /// Returns an error, or panics, if a failure of this stage is due.
    #[cfg(feature = "testing")]
    pub(crate) fn strike(&self, stage: Stage) -> Result<(), EngineFailure> {
        let mut due = None;
        for fault in self
            .planned
            .lock()
            .iter_mut()
            .filter(|fault| fault.stage == stage)
        {
            match fault.messages_left.checked_sub(1) {
                Some(left) => fault.messages_left = left,
                None => due = Some(fault.fault),
            }
        }
        match due {
            None => Ok(()),
            Some(StageFault::Error) => Err(EngineFailure::stage(stage, InjectedError)),
            Some(StageFault::Panic) => std::panic::panic_any("a panic that a test asked for"),
        }
    }

    #[cfg(not(feature = "testing"))]
    pub(crate) fn strike(&self, _: Stage) -> Result<(), EngineFailure> {
        Ok(())
    }
}

#[cfg(feature = "testing")]
mod faults {
    use crate::failure::Stage;

    /// The way in which a stage fails.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum StageFault {
        /// The stage panics.
        Panic,
        /// The stage returns an error.
        Error,
    }

    /// The error of [`StageFault::Error`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("a failure that a test requested")]
    pub struct InjectedError;

    #[derive(Debug)]
    pub(super) struct Fault {
        pub(super) stage: Stage,
        pub(super) messages_left: u64,
        pub(super) fault: StageFault,
    }
}
