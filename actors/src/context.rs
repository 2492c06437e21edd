//! What the stages of one engine share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::Config;
use crate::config::runtime::RuntimeSettings;
use crate::health::Health;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::state::State;
use crate::testing::Faults;

/// Everything that the stages of one engine share. Each part has its own owner and its own locks.
pub struct StageContext {
    /// Settings in force; the adaptive controller and reloads write them.
    pub settings: Arc<RuntimeSettings>,
    /// Published state; tree, persist and the checkpoint write it, readers read it.
    pub state: Arc<State>,
    /// Measurements; everybody adds to them.
    pub metrics: Arc<Metrics>,
    /// The first failure.
    pub health: Arc<Health>,
    /// Groups between sealing and durability.
    pub in_flight: Arc<InFlight>,
    /// Whether a checkpoint runs.
    pub checkpoint_running: Arc<AtomicBool>,
    /// Failures that a test asks for.
    pub faults: Faults,
}

impl StageContext {
    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.settings.config()
    }
}

impl fmt::Debug for StageContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StageContext")
            .field("engine", &self.config().engine.name)
            .finish_non_exhaustive()
    }
}
