//! What one run found.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// The figures of one run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Puts a second, from the first submission until the last batch is durable.
    pub(crate) updates_per_second: f64,
    /// From submission to durable, by batch.
    pub(crate) durable: Quantiles,
    /// Thread time of the whole process while updates ran, seconds.
    pub(crate) cpu_seconds: f64,
    /// How long the preload took, seconds.
    pub(crate) preload_seconds: f64,
    /// Handed to block devices for each put, until the engine was closed.
    pub(crate) written_bytes_per_update: f64,
    /// Resident when the last batch was durable.
    pub(crate) resident_bytes: u64,
    /// The most that was resident up to then.
    pub(crate) resident_bytes_peak: u64,
    /// Allocated to the engine's files after it was closed.
    pub(crate) disk_bytes: u64,
    /// Reads of present keys a second, when idle and read before.
    pub(crate) reads_present_per_second: f64,
    /// Reads of absent keys a second, when idle.
    pub(crate) reads_absent_per_second: f64,
    /// By kind of proof.
    pub(crate) proofs: Vec<ProofFigures>,
}

/// Proofs of one key each.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ProofFigures {
    /// Which kind.
    pub(crate) kind: String,
    /// To make one, mean microseconds.
    pub(crate) prove_us: f64,
    /// To verify one, mean microseconds.
    pub(crate) verify_us: f64,
    /// Its size, mean.
    pub(crate) bytes: f64,
}

/// Latencies, milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Quantiles {
    /// Half of them are below.
    pub(crate) p50_ms: f64,
    /// 99 of 100 are below.
    pub(crate) p99_ms: f64,
    /// None is above.
    pub(crate) max_ms: f64,
}

impl Quantiles {
    /// Of a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: histogram.max() as f64 / 1e3,
        }
    }
}

/// An empty histogram of microseconds up to an hour, three digits.
pub(crate) fn latencies() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).map_err(BenchError::at("make a histogram"))
}
