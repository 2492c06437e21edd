//! One measure each: kept here for snapshots, and the same one carried out by the `metrics` facade.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use metrics::{Counter, Gauge, Histogram as Exported};

use super::Quantiles;
use crate::metrics::interval::micros;

#[derive(Debug)]
struct Series {
    histogram: Mutex<Histogram<u64>>,
}

impl Series {
    fn new() -> Self {
        // Three digits up to an hour in microseconds; larger values count as that.
        let histogram = Histogram::new_with_max(3_600_000_000, 3).unwrap_or_else(|_| {
            unreachable!("bounds and precision are constants that the library takes")
        });
        Self {
            histogram: Mutex::new(histogram),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.histogram
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, value: u64) {
        self.lock().saturating_record(value);
    }

    fn quantiles(&self) -> Quantiles {
        Quantiles::of(&self.lock())
    }
}

/// A histogram here and the same one outside.
pub(super) struct Timed {
    series: Series,
    exported: Exported,
}

impl Timed {
    pub(super) fn new(exported: Exported) -> Self {
        Self {
            series: Series::new(),
            exported,
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        self.series.record(micros(duration));
        self.exported.record(duration.as_secs_f64());
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        self.series.quantiles()
    }
}

/// A histogram of plain numbers here and the same one outside.
pub(super) struct Amounts {
    series: Series,
    exported: Exported,
}

impl Amounts {
    pub(super) fn new(exported: Exported) -> Self {
        Self {
            series: Series::new(),
            exported,
        }
    }

    pub(super) fn record(&self, value: usize) {
        self.series.record(value as u64);
        self.exported.record(value as f64);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        self.series.quantiles()
    }
}

/// A number here and the same one outside.
pub(super) struct Counted {
    value: AtomicU64,
    exported: Counter,
}

impl Counted {
    pub(super) fn new(exported: Counter) -> Self {
        Self {
            value: AtomicU64::new(0),
            exported,
        }
    }

    pub(super) fn add(&self, count: u64) {
        self.value.fetch_add(count, Ordering::Relaxed);
        self.exported.increment(count);
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

pub(super) struct Level {
    value: AtomicU64,
    exported: Gauge,
}

impl Level {
    pub(super) fn new(exported: Gauge) -> Self {
        Self {
            value: AtomicU64::new(0),
            exported,
        }
    }

    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        self.exported.set(value as f64);
    }

    /// One more; what threads raise and lower at the same time is added up, where what they set could be out of date.
    pub(super) fn raise(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
        self.exported.increment(1.0);
    }

    /// One less; only after it was raised.
    pub(super) fn lower(&self) {
        self.value.fetch_sub(1, Ordering::Relaxed);
        self.exported.decrement(1.0);
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}
