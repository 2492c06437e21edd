//! Reporting the synced version to the primary, and answering members that are promoted after a loss.

use std::sync::Arc;

use tokio::time::Instant;

use super::shared::Shared;
use crate::carrier::{Carrier, CarrierError};
use crate::metrics::{FollowerMetrics, Labels};
use crate::primary::{report_key, unix_ms};
use crate::protocol::Verifier;
use crate::wire::{Refusal, Report};

/// The key of the request to refuse epochs.
pub(super) const REFUSAL_KEY: &str = "refusal";

pub(super) async fn report<C: Carrier>(shared: Arc<Shared<C>>) {
    let metrics = FollowerMetrics::new(&Labels {
        engine: shared.replica.metrics().engine,
        member: shared.options.name.clone(),
    });
    let began = Instant::now();
    let mut reported = None;
    let mut remember = tokio::time::interval(shared.options.beat);
    let mut look = tokio::time::interval(shared.options.report);
    loop {
        let version = shared.replica.synced_version();
        tokio::select! {
            // It becomes ready at once if the replica has failed.
            _ = shared.replica.wait_for(version + 1), if shared.replica.failure().is_none() => {}
            _ = look.tick() => {
                record(&metrics, &shared, began);
                refuse_if_asked(&shared).await;
            }
            _ = remember.tick() => {
                remember_resume(&shared).await;
                // The carrier may have lost the last report.
                reported = None;
            }
        }
        let report = current_report(&shared);
        let what = (report.synced, report.epoch, report.refuses_below);
        if reported != Some(what) && say(&shared, report).await.is_ok() {
            reported = Some(what);
        }
    }
}

fn record<C>(metrics: &FollowerMetrics, shared: &Shared<C>, began: Instant) {
    let status = shared.status.borrow();
    let silence = status.heard_at.unwrap_or(began).elapsed();
    metrics.record(&status, shared.replica.synced_version(), silence);
}

pub(super) fn current_report<C>(shared: &Shared<C>) -> Report {
    let synced = shared.replica.synced();
    let status = shared.status.borrow();
    Report {
        synced: synced.position,
        written_in: synced.open_epoch,
        refuses_below: status.refuses_below,
        epoch: status.epoch,
        sequence: status.sequence,
        unix_ms: unix_ms(),
    }
}

pub(super) async fn say<C: Carrier>(
    shared: &Shared<C>,
    report: Report,
) -> Result<(), CarrierError> {
    let key = report_key(&shared.options.name);
    shared.carrier.put(&key, report.encode()).await
}

async fn remember_resume<C: Carrier>(shared: &Shared<C>) {
    let resumable = shared.status.borrow().resumable;
    let Some((memory, version)) = resumable else {
        return;
    };
    if shared.replica.synced_version() >= version {
        // The position stored earlier is valid, too.
        let _later = shared.remember(|own| own.resume = memory.resume).await;
    }
}

/// Refuses lower epochs if a pinned key requests it, and answers only once that is durable.
async fn refuse_if_asked<C: Carrier>(shared: &Shared<C>) {
    let Ok(Some(value)) = shared.carrier.get(REFUSAL_KEY).await else {
        return;
    };
    let beginning = Refusal::decode(&value)
        .ok()
        .and_then(|refusal| shared.verifier.beginning(&refusal.beginning).ok());
    let Some(begun) = beginning else { return };
    if begun.epoch <= shared.status.borrow().refuses_below {
        return;
    }
    let mut follower = shared.follower.lock().await;
    let refused = shared.remember(|own| own.refuses_below = begun.epoch).await;
    if refused.is_err() {
        return;
    }
    follower.refuse_below(begun.epoch);
    // Everything that it has taken is part of the answer.
    let taken = follower.position().version;
    if shared.replica.wait_for(taken).await.is_ok() {
        let refuses_below = begun.epoch;
        shared
            .status
            .send_modify(|status| status.refuses_below = refuses_below);
    }
}
