//! Observability of the service: metrics for Prometheus, log lines, and spans of requests, groups and stages.
//!
//! | file | for |
//! | --- | --- |
//! | `table` | every metric of the service, declared once, with a typed function each |
//! | `metrics` | the recorder, and the text for `/metrics` |
//! | `figures` | the figures that are read from the engine when metrics are requested |
//! | `held` | a part of a gauge, as long as a value exists |
//! | `trace_context` | request ids and the header `traceparent` |
//! | `request` | the middleware that measures a request |
//! | `groups` | spans of groups and stages, from the engine's timeline |
//! | `log` | log lines as text or JSON, and the receivers of spans |
//! | `otlp` | export of spans (feature `otlp`) |
//!
//! A program calls [`metrics::install`] and [`log::init`] before it opens an engine, [`Background::spawn`] with the
//! engine, and [`Background::stop`] and [`log::Tracing::shutdown`] at its end.

pub mod figures;
pub mod groups;
pub mod held;
pub mod log;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod request;
pub mod table;
pub mod trace_context;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::observe::figures::Observed;
use crate::observe::groups::GroupSpans;
use crate::observe::metrics::MetricsHandle;

/// Time between two reads of the timeline. It holds 8,192 spans, five per version: enough for 16,000 versions per
/// second.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Number of reads between two upkeeps of the metrics: recorded values of histograms accumulate for a second.
const LOOKS_BETWEEN_UPKEEPS: u32 = 10;

/// The task that makes spans of the engine's work, and bounds the memory of the metrics.
#[derive(Debug)]
pub struct Background {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Background {
    /// Starts the task on the caller's runtime.
    pub fn spawn(metrics: MetricsHandle, observed: impl Observed) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(metrics, observed, stopped));
        Self { stop, task }
    }

    /// Makes spans of the remaining work, and ends the task. Call it after the engine was shut down, and before
    /// [`log::Tracing::shutdown`].
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that observes the engine failed");
        }
    }
}

async fn run(metrics: MetricsHandle, observed: impl Observed, mut stopped: oneshot::Receiver<()>) {
    let mut groups = GroupSpans::default();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_upkeep = 0;
    loop {
        let is_last = tokio::select! {
            _ = looks.tick() => false,
            _ = &mut stopped => true,
        };
        groups.look(&observed);
        if is_last {
            groups.finish(&observed);
            return metrics.upkeep();
        }
        until_upkeep = match until_upkeep {
            0 => {
                metrics.upkeep();
                LOOKS_BETWEEN_UPKEEPS
            }
            looks => looks - 1,
        };
    }
}
