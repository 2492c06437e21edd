//! The recorder of metrics, and the text for `/metrics`.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use trunkline::metrics::{Kind, Metric, Unit};

use crate::observe::table;

/// Upper bounds of the buckets of durations: from a group's hashing to the longest deadline.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
/// Upper bounds of the buckets of numbers: a group has at most a million operations.
const COUNTS: [f64; 11] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
];

/// The media type of [`MetricsHandle::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static INSTALLED: OnceLock<MetricsHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// The recorder of metrics cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The process has another recorder.
    #[error(
        "metrics already have another recorder: call observe::metrics::install before anything else does"
    )]
    Taken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads recorded metrics. Clones read the same ones.
#[derive(Clone, Debug)]
pub struct MetricsHandle(PrometheusHandle);

/// Returns every metric of the engine and of the service.
pub fn all_metrics() -> impl Iterator<Item = &'static Metric> {
    let engine = trunkline::metrics::TABLE.iter();
    engine
        .chain(table::TABLE)
        .chain(trunkline_replication::METRICS)
}

/// Installs the recorder of this process. Call it before an engine is opened: an engine that was opened before is not
/// measured. Later calls return the same handle.
///
/// # Errors
///
/// Fails if the process has a recorder of another kind.
///
/// ```
/// use trunkline_service::observe::{metrics, table};
///
/// let handle = metrics::install()?;
/// table::rejected(table::Rejection::Deadline).increment(1);
/// assert!(handle.render().contains("trunkline_service_rejected_total{reason=\"deadline\"} 1"));
/// # Ok::<(), metrics::InstallError>(())
/// ```
pub fn install() -> Result<MetricsHandle, InstallError> {
    let _one_at_a_time = INSTALLING.lock();
    if let Some(handle) = INSTALLED.get() {
        return Ok(handle.clone());
    }
    let taken = |error| InstallError::Taken(Box::new(error));
    let mut builder = PrometheusBuilder::new();
    for metric in all_metrics().filter(|metric| metric.kind == Kind::Histogram) {
        let buckets: &[f64] = match metric.unit {
            Unit::Seconds => &SECONDS,
            Unit::Count | Unit::Bytes => &COUNTS,
        };
        let name = Matcher::Full(metric.name.to_owned());
        builder = builder
            .set_buckets_for_metric(name, buckets)
            .map_err(taken)?;
    }
    let handle = MetricsHandle(builder.install_recorder().map_err(taken)?);
    describe();
    table::begin();
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

/// Returns the handle of the recorder, if [`install`] has installed it.
pub fn installed() -> Option<MetricsHandle> {
    INSTALLED.get().cloned()
}

/// Registers the help text of every metric. If metrics share a name, the first one's text is used.
fn describe() {
    for metric in all_metrics() {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

impl MetricsHandle {
    /// Returns all metrics in the text format of Prometheus ([`CONTENT_TYPE`]). Report the engine's
    /// [figures](crate::observe::figures::Figures) first.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded values into the buckets. Without it, they accumulate in memory until metrics are requested.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}
