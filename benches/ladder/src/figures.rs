//! The figures of one run.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The figures of one run of the engine or of the baseline; 0 for what it does not measure.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// The time from the call of open until it returned, in milliseconds.
    pub(crate) open_ms: f64,
    /// Puts per second, from the first submission until the last batch is durable.
    pub(crate) updates_per_second: f64,
    /// The median time of a batch from submission to durable, in milliseconds.
    pub(crate) durable_p50_ms: f64,
    /// The 99th percentile of the time of a batch from submission to durable, in milliseconds.
    pub(crate) durable_p99_ms: f64,
    /// The processor time of the whole process per put, in microseconds.
    pub(crate) cpu_us_per_update: f64,
    /// The bytes written to block devices per put, until everything was closed.
    pub(crate) written_bytes_per_update: f64,
    /// The resident memory when the last batch was durable.
    pub(crate) resident_bytes: u64,
    /// Reads of present keys per second, when the engine is idle and the keys were read before.
    pub(crate) reads_present_per_second: f64,
    /// Reads of absent keys per second, when the engine is idle.
    pub(crate) reads_absent_per_second: f64,
    /// The state digest and the KZG root (for the baseline: its root), in hexadecimal.
    pub(crate) root: String,
}

/// The result of a comparison within one process: the time of both ways, medians of several turns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Comparison {
    /// The unit of work that the times refer to.
    pub(crate) unit: String,
    /// The time with the optimisation.
    pub(crate) with: f64,
    /// The time without it.
    pub(crate) without: f64,
    /// Other findings.
    pub(crate) remark: String,
}

/// The result that a child process returns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Outcome {
    /// A run of the engine or of the baseline.
    Run(Figures),
    /// A comparison.
    Comparison(Comparison),
}

/// Latencies from 1 µs to one hour, with three digits. Longer ones count as one hour.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, 3_600_000_000, 3)?))
    }

    pub(crate) fn record(&mut self, latency: std::time::Duration) {
        self.0.saturating_record(latency.as_micros().max(1) as u64);
    }

    pub(crate) fn at_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}
