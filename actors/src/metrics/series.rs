//! One measured value each: kept here for snapshots, and exported through the `metrics` facade.
//!
//! Series whose label has no value are only kept here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram as HdrHistogram;
use metrics::{counter, gauge, histogram};
use parking_lot::Mutex;

use super::metric::Metric;
use crate::decisions::Quantiles;
use crate::runtime::clock::micros;

macro_rules! series {
    ($(#[$doc:meta])+ $kind:ident($values:ty = $none:expr), $register:ident) => {
        $(#[$doc])+
        pub(super) struct $kind {
            values: $values,
            exported: metrics::$kind,
        }

        impl $kind {
            /// Registers the series whose open labels have these values.
            pub(super) fn new(metric: &Metric, engine: &str, values: &[&str]) -> Self {
                let exported = match metric.labels(engine, values) {
                    Some(labels) => $register!(description: metric.help, metric.name, labels),
                    None => metrics::$kind::noop(),
                };
                Self { values: $none, exported }
            }
        }
    };
}

series! {
    /// A number that only grows.
    Counter(AtomicU64 = AtomicU64::new(0)), counter
}

series! {
    /// A number that rises and falls.
    Gauge(AtomicU64 = AtomicU64::new(0)), gauge
}

series! {
    /// A distribution. Recording takes a short lock.
    Histogram(Mutex<HdrHistogram<u64>> = Mutex::new(histogram_of_hours())), histogram
}

/// Returns a histogram of three digits up to an hour in microseconds; larger values count as an hour.
fn histogram_of_hours() -> HdrHistogram<u64> {
    HdrHistogram::new_with_max(3_600_000_000, 3)
        .unwrap_or_else(|_| unreachable!("the bounds and the precision are valid constants"))
}

impl Counter {
    /// Adds to the number.
    pub(super) fn record(&self, count: u64) {
        self.values.fetch_add(count, Ordering::Relaxed);
        self.exported.increment(count);
    }

    pub(super) fn get(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the number.
    pub(super) fn record(&self, value: u64) {
        self.values.store(value, Ordering::Relaxed);
        self.exported.set(value as f64);
    }

    /// Adds a difference. Threads that do so at the same time lose none, as they could with [`Self::record`].
    pub(super) fn shift(&self, difference: i64) {
        self.values.fetch_add(difference as u64, Ordering::Relaxed);
        self.exported.increment(difference as f64);
    }

    pub(super) fn get(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub(super) fn record(&self, count: u64) {
        self.values.lock().saturating_record(count);
        self.exported.record(count as f64);
    }

    /// Records microseconds for snapshots and seconds for the facade.
    pub(super) fn record_durations(&self, durations: impl Iterator<Item = Duration>) {
        let mut values = self.values.lock();
        for duration in durations {
            values.saturating_record(micros(duration));
            self.exported.record(duration.as_secs_f64());
        }
    }

    /// Returns the bytes of its counts.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values.lock().distinct_values() * size_of::<u64>()
    }

    pub(super) fn get(&self) -> Quantiles {
        Quantiles::of(&self.values.lock())
    }
}
