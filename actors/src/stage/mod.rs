//! The five stages, one file each. A stage takes a message, calls one function on it, records how long that took, and
//! forwards the result: [`serve`] does the recording.

pub mod hash;
pub mod ingest;
pub mod kzg;
pub mod persist;
pub mod tree;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::context::StageContext;
use crate::failure::{EngineFailure, Stage};
use crate::metrics::group::GroupTag;
use crate::runtime::clock;

/// Does a stage's work on one message and records queue wait, service time and span. Returns `None` if the engine has
/// failed, before or by this.
pub fn serve<T>(
    context: &StageContext,
    stage: Stage,
    sent_at: Instant,
    tag: Option<GroupTag>,
    work: impl FnOnce() -> Result<T, EngineFailure>,
) -> Option<T> {
    let (taken_at, begun_us) = (clock::now(), context.metrics.uptime_us());
    let result = guard(context, stage, || {
        context.faults.strike(stage)?;
        work()
    })?;
    let queue_wait = taken_at.saturating_duration_since(sent_at);
    let service = clock::now().saturating_duration_since(taken_at);
    context.metrics.stage_served(stage, queue_wait, service);
    if let Some(tag) = tag {
        context.metrics.span(stage, &tag, begun_us);
    }
    Some(result)
}

/// Runs unless the engine has failed. An error or a panic fails the engine: the stage's own state may then be half
/// changed, but it is not used again.
pub fn guard<T>(
    context: &StageContext,
    stage: Stage,
    work: impl FnOnce() -> Result<T, EngineFailure>,
) -> Option<T> {
    context.health.check().ok()?;
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => return Some(result),
        Ok(Err(failure)) => failure,
        Err(payload) => EngineFailure::panic(stage, &*payload),
    };
    context.health.fail(failure);
    None
}
