//! A part of a gauge.

use metrics::Gauge;

/// An amount that a gauge includes as long as this value exists: a connection, a stream, the bytes of a message.
///
/// ```
/// use trunkline_service::observe::held::Held;
/// use trunkline_service::observe::{metrics, table};
///
/// let recorder = metrics::install()?;
/// let connection = Held::add(table::connections(), 1);
/// assert!(recorder.render().contains("trunkline_service_connections 1\n"));
/// drop(connection);
/// assert!(recorder.render().contains("trunkline_service_connections 0\n"));
/// # Ok::<(), metrics::InstallError>(())
/// ```
pub struct Held {
    gauge: Gauge,
    amount: f64,
}

impl Held {
    /// Adds an amount to a gauge.
    pub fn add(gauge: Gauge, amount: u32) -> Self {
        let amount = f64::from(amount);
        gauge.increment(amount);
        Self { gauge, amount }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Held({})", self.amount)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.decrement(self.amount);
    }
}
