//! What the table of metrics says of one metric.

use metrics::Label;

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution.
    Histogram,
}

/// What the exported values of a metric count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds; the snapshot has microseconds.
    Seconds,
    /// Microseconds.
    Microseconds,
}

/// A metric, as [`TABLE`](super::TABLE) describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its field in [`MetricsSnapshot`](super::MetricsSnapshot) or, with a label `stage`, in [`StageMetrics`](super::StageMetrics).
    pub field: &'static str,
    /// Its name outside, in the `metrics` facade.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// What its values count.
    pub unit: Unit,
    /// Its labels besides `engine`, with their values. An empty value stands for any: there is a series for each.
    pub labels: &'static [(&'static str, &'static str)],
    /// What it measures.
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
