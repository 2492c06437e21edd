//! For tests of trunkline and of programs that embed it: what does my service do when the engine
//! fails? Nothing here runs unless it is asked for.

use std::sync::{Mutex, PoisonError};

use crate::failure::{EngineFailure, Stage};

/// How a stage fails.
///
/// ```
/// assert_ne!(trunkline::testing::StageFault::Panic, trunkline::testing::StageFault::Error);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageFault {
    /// It panics.
    Panic,
    /// It meets an error.
    Error,
}

/// The error of [`StageFault::Error`].
///
/// ```
/// assert_eq!(trunkline::testing::InjectedError.to_string(), "a failure that a test asked for");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a failure that a test asked for")]
pub struct InjectedError;

#[derive(Debug)]
struct Fault {
    stage: Stage,
    groups_left: u64,
    fault: StageFault,
}

/// The faults that are to come.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&mut self, stage: Stage, after_groups: u64, fault: StageFault) {
        let faults = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        faults.push(Fault {
            stage,
            groups_left: after_groups,
            fault,
        });
    }

    /// Lets a stage meet its fault, if it is due.
    pub fn strike(&self, stage: Stage) -> Result<(), EngineFailure> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        for fault in faults.iter_mut().filter(|fault| fault.stage == stage) {
            match fault.groups_left.checked_sub(1) {
                Some(left) => fault.groups_left = left,
                None => due = Some(fault.fault),
            }
        }
        drop(faults);
        match due {
            None => Ok(()),
            Some(StageFault::Error) => Err(EngineFailure::stage(stage, InjectedError)),
            Some(StageFault::Panic) => std::panic::panic_any("a panic that a test asked for"),
        }
    }
}
