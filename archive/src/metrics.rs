//! The metrics of an archiver, exported through the `metrics` facade with the labels `engine` and `cursor`.

use metrics::{Counter, Gauge, Label};
use trunkline::metrics::{Kind, Metric, Unit};

const VERSION: Metric = Metric {
    field: "archive_version",
    name: "trunkline_archive_version",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: &[("cursor", "")],
    help: "Last version that is in the archive.",
};
const FAILURES: Metric = Metric {
    field: "archive_failures",
    name: "trunkline_archive_failures_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: &[("cursor", "")],
    help: "Attempts to write to the archive that failed; they are made again.",
};

/// All metrics of archivers. Each also has the label `engine`.
///
/// ```
/// for metric in trunkline_archive::METRICS {
///     println!("# HELP {} {}", metric.name, metric.help);
/// }
/// ```
pub const METRICS: &[Metric] = &[VERSION, FAILURES];

/// The metrics of one archiver.
pub(crate) struct ArchiverMetrics {
    pub(crate) version: Gauge,
    pub(crate) failures: Counter,
}

impl ArchiverMetrics {
    pub(crate) fn new(engine: String, cursor: &str) -> Self {
        let labels = vec![
            Label::new("engine", engine),
            Label::new("cursor", cursor.to_owned()),
        ];
        Self {
            version: metrics::gauge!(description: VERSION.help, VERSION.name, labels.clone()),
            failures: metrics::counter!(description: FAILURES.help, FAILURES.name, labels),
        }
    }
}
