//! The results of one run.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// The figures of one run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Puts a second, from the first submission until the last batch is durable.
    pub(crate) updates_per_second: f64,
    /// Latencies from submission to durability, by batch.
    pub(crate) durable: Quantiles,
    /// The thread time of the whole process during the updates, seconds.
    pub(crate) cpu_seconds: f64,
    /// The time of the preload, seconds.
    pub(crate) preload_seconds: f64,
    /// The bytes handed to block devices for each put, until the engine was closed.
    pub(crate) written_bytes_per_update: f64,
    /// The resident bytes when the last batch was durable.
    pub(crate) resident_bytes: u64,
    /// The peak of the resident bytes up to then.
    pub(crate) resident_bytes_peak: u64,
    /// The bytes allocated to the engine's files after it was closed.
    pub(crate) disk_bytes: u64,
    /// Reads of present keys a second, when idle and after a first read.
    pub(crate) reads_present_per_second: f64,
    /// Reads of absent keys a second, when idle.
    pub(crate) reads_absent_per_second: f64,
    /// The figures of each kind of proof.
    pub(crate) proofs: Vec<ProofFigures>,
}

/// The figures of proofs of one key each.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ProofFigures {
    /// The kind of proof.
    pub(crate) kind: String,
    /// The mean time to make a proof, microseconds.
    pub(crate) prove_us: f64,
    /// The mean time to verify a proof, microseconds.
    pub(crate) verify_us: f64,
    /// The mean size of a proof, bytes.
    pub(crate) bytes: f64,
}

/// Latencies, milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Quantiles {
    /// The median.
    pub(crate) p50_ms: f64,
    /// The 99th percentile.
    pub(crate) p99_ms: f64,
    /// The maximum.
    pub(crate) max_ms: f64,
}

impl Quantiles {
    /// Returns the quantiles of a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: histogram.max() as f64 / 1e3,
        }
    }
}

/// Returns an empty histogram of microseconds up to an hour, with three digits.
pub(crate) fn latencies() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).map_err(BenchError::at("make a histogram"))
}
