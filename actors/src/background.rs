//! Background tasks: a thread for work that should not delay a stage.
//!
//! Freeing old versions touches memory all over; here it delays no commit.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use trunkline_core::batch::PreparedBatch;

use crate::runtime::wait::receive;
use crate::state::State;
use crate::state::versions::Expired;

/// A task for the background thread.
pub enum Task {
    /// Forgets versions that no reader needs any more.
    Forget(Expired),
    /// Drops batches that were applied, and frees those that no layer holds.
    Free(Vec<(u64, Arc<PreparedBatch>)>),
}

/// Works until all senders of tasks are gone.
pub fn run(tasks: &Receiver<Task>, state: &State) {
    while let Ok(task) = receive(tasks) {
        match task {
            Task::Forget(expired) => state.forget(expired),
            Task::Free(batches) => drop(batches),
        }
    }
}
