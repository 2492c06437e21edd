//! The description of one metric in the table of metrics.

use metrics::Label;

/// The behaviour of a metric's values over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The unit of a metric's exported values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds; the snapshot has microseconds.
    Seconds,
}

/// A metric, as [`TABLE`](super::TABLE) describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of its field in [`MetricsSnapshot`](super::MetricsSnapshot) or, with a label `stage`, in
    /// [`StageMetrics`](super::StageMetrics).
    pub field: &'static str,
    /// Its exported name, in the `metrics` facade.
    pub name: &'static str,
    /// The behaviour of its values over time.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Its labels in addition to `engine`, with their values. An empty value stands for any: there is a series for
    /// each.
    pub labels: &'static [(&'static str, &'static str)],
    /// A sentence that describes the metric.
    pub help: &'static str,
}

impl Metric {
    /// Returns the labels of a series, where `values` replace those of the table; `None` if a label has no value.
    pub(super) fn labels(&self, engine: &str, values: &[&str]) -> Option<Vec<Label>> {
        let mut labels = vec![Label::new("engine", engine.to_owned())];
        for (at, (name, fixed)) in self.labels.iter().enumerate() {
            let value = values.get(at).unwrap_or(fixed);
            labels.push(Label::new(*name, (*value).to_owned()));
        }
        let all = labels.iter().all(|label| !label.value().is_empty());
        all.then_some(labels)
    }
}
