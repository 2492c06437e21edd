//! Restoring after opening: a thread that restores the leaves of a tree without a memory budget, slot by slot.
//!
//! Opening reads only page digests. Until a slot is restored, reads of its keys look into the leaf store, and the tree
//! stage restores the pages that a group touches. Commits do not wait: a slot is locked only while its parts are
//! joined.

use std::sync::mpsc::{Receiver, TryRecvError};

use trunkline_core::tree::SlotRestorer;

use crate::context::StageContext;
use crate::failure::{EngineFailure, Stage};
use crate::runtime::priority;
use crate::runtime::wait::yield_point;
use crate::state::cold_leaves::{self, ScanError};

/// Works until all slots are restored, the engine has failed, or the sender of `stop` is gone.
pub fn run(mut restorer: SlotRestorer, context: &StageContext, stop: &Receiver<()>) {
    priority::lower(context.config().checkpoint.nice);
    while context.health.check().is_ok() && stop.try_recv() == Err(TryRecvError::Empty) {
        context.metrics.slots_to_restore(restorer.left());
        match restore_next(&mut restorer, context) {
            Ok(true) => yield_point(),
            Ok(false) => return,
            Err(failure) => return context.health.fail(failure),
        }
    }
}

/// Restores the next slot. Returns whether there was one.
fn restore_next(
    restorer: &mut SlotRestorer,
    context: &StageContext,
) -> Result<bool, EngineFailure> {
    let Some(range) = restorer.next() else {
        return Ok(false);
    };
    let state = &context.state;
    // In this order, the view from which leaves come covers every version that is covered when they are restored.
    let (covered, view) = (state.versions.covered(), state.values.store());
    let leaves = view.leaves().map_err(failed)?;
    let found = cold_leaves::scan(&state.params, &*leaves, range, covered);
    let found = found.map_err(|error| match error {
        ScanError::Differ(error) => failed(error),
        error => failed(error),
    })?;
    yield_point();
    // A slot whose directory was resized in the meantime is tried again.
    restorer.restore(&found).map_err(failed)?;
    Ok(true)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineFailure {
    EngineFailure::stage(Stage::Tree, error)
}
