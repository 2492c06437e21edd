//! Background tasks: a thread for work that should not delay a stage.
//!
//! Freeing old versions touches much memory; on this thread it delays no commit.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use trunkline_core::batch::PreparedBatch;

use crate::context::StageContext;
use crate::failure::EngineFailure;
use crate::runtime::clock;
use crate::runtime::wait::receive;
use crate::state::past::PastBounds;
use crate::state::versions::Expired;

/// A task for the background thread.
pub enum Task {
    /// Forgets versions that no reader needs any more.
    Forget(Expired),
    /// Drops applied batches, and frees those that no layer holds.
    Free(Vec<(u64, Arc<PreparedBatch>)>),
    /// Removes versions that exceed the archive's limits.
    Prune,
}

/// Works until all senders of tasks are gone.
pub fn run(tasks: &Receiver<Task>, context: &StageContext) {
    let state = &context.state;
    while let Ok(task) = receive(tasks) {
        match task {
            Task::Forget(expired) => state.forget(expired),
            Task::Free(batches) => drop(batches),
            Task::Prune => prune(context),
        }
    }
}

fn prune(context: &StageContext) {
    let Some(past) = &context.state.past else {
        return;
    };
    let bounds = PastBounds::of(&context.config().versions);
    let now_ms = u64::try_from(clock::since_1970().as_millis()).unwrap_or(0);
    if let Err(error) = past.prune(&bounds, now_ms) {
        context.health.fail(EngineFailure::checkpoint(error));
    }
}
