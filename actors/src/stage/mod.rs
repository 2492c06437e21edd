//! The five stages, one file each. A stage's handler does four things: take a message, call one
//! function on it, record how long that took, forward the result.

pub mod hash;
pub mod ingest;
pub mod kzg;
pub mod persist;
pub mod tree;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::failure::{EngineFailure, Stage};
use crate::shared::Shared;

/// Serves one message and records how long it took.
pub fn serve<T>(
    shared: &Shared,
    stage: Stage,
    sent_at: Instant,
    work: impl FnOnce() -> Result<T, EngineFailure>,
) -> Option<T> {
    let taken_at = Instant::now();
    let result = guard(shared, stage, || {
        shared.faults.strike(stage)?;
        work()
    })?;
    let queue_wait = taken_at.saturating_duration_since(sent_at);
    shared
        .metrics
        .stage_served(stage, queue_wait, taken_at.elapsed());
    Some(result)
}

/// Works unless the engine has failed; a panic or an error is its failure. The stage's own state may
/// then be half changed, but nobody looks at it again.
pub fn guard<T>(
    shared: &Shared,
    stage: Stage,
    work: impl FnOnce() -> Result<T, EngineFailure>,
) -> Option<T> {
    shared.health.check().ok()?;
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => return Some(result),
        Ok(Err(failure)) => failure,
        Err(payload) => EngineFailure::panic(stage, &*payload),
    };
    shared.fail(failure);
    None
}
