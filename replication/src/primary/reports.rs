//! Reading the reports of replicas, and pausing for one that takes over.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::publish::Shared;
use crate::carrier::Carrier;
use crate::metrics::{Labels, PrimaryMetrics};
use crate::protocol::Verifier;
use crate::wire::{Refusal, Report};

/// The key of the request to pause.
pub(crate) const PAUSE_KEY: &str = "pause";
/// Time for which a primary appends nothing at the request of a member that is being promoted. If that member does not
/// take over in this time, the primary continues.
const PAUSE: Duration = Duration::from_secs(5);
/// Time between reads of the reports while a caller waits for them.
pub(super) const AWAITED_REPORT: Duration = Duration::from_millis(2);

/// Reads the reports of the other members periodically.
pub(super) async fn count_reports<C: Carrier>(shared: Arc<Shared<C>>) {
    let mut interval = tokio::time::interval(shared.options.report);
    let mut at_most = tokio::time::interval(AWAITED_REPORT);
    at_most.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let members = &shared.options.members;
    let others: Vec<&String> = members
        .iter()
        .filter(|name| **name != shared.options.name)
        .collect();
    let replicas: Vec<&str> = others.iter().map(|name| name.as_str()).collect();
    let labels = Labels {
        engine: shared.engine.metrics().engine,
        member: shared.options.name.clone(),
    };
    let metrics = PrimaryMetrics::new(&labels, &replicas);
    let mut paused_for = shared.epoch;
    while !shared.has_failed() {
        at_most.tick().await;
        tokio::select! {
            _ = interval.tick() => {}
            () = shared.reports_awaited.notified() => {}
        }
        metrics.record(shared.epoch, &shared.progress.borrow().acknowledgements);
        pause_if_asked(&shared, &mut paused_for).await;
        for name in &others {
            if let Ok(Some(value)) = shared.carrier.get(&report_key(name)).await
                && let Ok(report) = Report::decode(&value)
            {
                count_report(&shared, name, &report);
            }
        }
    }
}

/// Pauses if a pinned key requests it, once for each epoch.
async fn pause_if_asked<C: Carrier>(shared: &Shared<C>, paused_for: &mut u64) {
    let Ok(Some(value)) = shared.carrier.get(PAUSE_KEY).await else {
        return;
    };
    let begun = Refusal::decode(&value)
        .ok()
        .and_then(|request| shared.verifier.beginning(&request.beginning).ok());
    if let Some(begun) = begun
        && begun.epoch > *paused_for
    {
        *paused_for = begun.epoch;
        let until = tokio::time::Instant::now() + PAUSE;
        *shared.paused_until.lock() = Some(until);
    }
}

fn count_report<C>(shared: &Shared<C>, name: &str, report: &Report) {
    if report.epoch != shared.epoch || !shared.is_own(&report.synced) {
        return;
    }
    shared.progress.send_if_modified(|progress| {
        if progress.failure.is_some() {
            return false;
        }
        progress
            .acknowledgements
            .followed_by(name, report.synced.version)
    });
}

/// Returns the key of a member's report.
pub(crate) fn report_key(name: &str) -> String {
    format!("report-{name}")
}
