//! What one run found.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The figures of one run of the engine or of the baseline; 0 for what it does not measure.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// From the call to open until it answered, milliseconds.
    pub(crate) open_ms: f64,
    /// Puts a second, from the first submission until the last batch is durable.
    pub(crate) updates_per_second: f64,
    /// From submission to durable, half of the batches, milliseconds.
    pub(crate) durable_p50_ms: f64,
    /// From submission to durable, 99 of 100 batches, milliseconds.
    pub(crate) durable_p99_ms: f64,
    /// Thread time of the whole process for each put, microseconds.
    pub(crate) cpu_us_per_update: f64,
    /// Handed to block devices for each put, until all was closed.
    pub(crate) written_bytes_per_update: f64,
    /// Resident when the last batch was durable.
    pub(crate) resident_bytes: u64,
    /// Reads of present keys a second, when idle and read before.
    pub(crate) reads_present_per_second: f64,
    /// Reads of absent keys a second, when idle.
    pub(crate) reads_absent_per_second: f64,
    /// State digest and KZG root (of the baseline: its root) in hexadecimal.
    pub(crate) root: String,
}

/// What a comparison within one process found: the time of both ways, medians of several turns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Comparison {
    /// Of what the times are.
    pub(crate) unit: String,
    /// With the optimisation.
    pub(crate) with: f64,
    /// Without it.
    pub(crate) without: f64,
    /// What else was found.
    pub(crate) remark: String,
}

/// What a child process says.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Outcome {
    /// Of the engine or the baseline.
    Run(Figures),
    /// Of a comparison.
    Comparison(Comparison),
}

/// Latencies from 1 µs to an hour, three digits; longer ones count as an hour.
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
