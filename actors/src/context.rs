//! The context that the stages of one engine share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::ThreadPool;

use crate::config::runtime::RuntimeSettings;
use crate::config::{Config, ControlMode};
use crate::decisions::Work;
use crate::feed::FeedState;
use crate::forks::Forks;
use crate::health::Health;
use crate::idempotency::IdempotencyKeys;
use crate::in_flight::{InFlight, free_shards};
use crate::metrics::Metrics;
use crate::state::State;
use crate::testing::Faults;

/// Everything that the stages of one engine share. Each part has its own owner and its own locks.
pub struct StageContext {
    /// Settings in force; the adaptive controller and reloads write them.
    pub settings: Arc<RuntimeSettings>,
    /// Published state; tree, persist and the checkpoint write it, readers read it.
    pub state: Arc<State>,
    /// Measurements; all stages add to them.
    pub metrics: Arc<Metrics>,
    /// The first failure.
    pub health: Arc<Health>,
    /// Idempotency keys; callers of `submit` take them, persist remembers them.
    pub idempotency: Arc<IdempotencyKeys>,
    /// The state that followers of the log share; persist advances it.
    pub feed: Arc<FeedState>,
    /// Forks of versions, and what they take.
    pub forks: Arc<Forks>,
    /// Groups between sealing and durability.
    pub in_flight: Arc<InFlight>,
    /// True while a checkpoint runs.
    pub checkpoint_running: Arc<AtomicBool>,
    /// Failures that a test has requested.
    pub faults: Faults,
}

impl StageContext {
    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.settings.config()
    }

    /// Returns the threads for applying or hashing a group, and the number of shards, which is recorded.
    pub fn cut(&self, work: Work) -> Option<(&ThreadPool, usize)> {
        let fixed = match work {
            Work::Tree => &self.settings.tree_parallelism,
            Work::Hash => &self.settings.hash_parallelism,
            Work::Proof => &self.settings.proof_parallelism,
        };
        let (threads, shards) = self.cut_group(fixed.get())?;
        self.metrics.interval.cut(work, shards);
        Some((threads, shards))
    }

    /// Returns the threads for other work on a group, and the number of shards: one for each free core, or `fixed` if
    /// workers do not adapt.
    pub fn cut_group(&self, fixed: usize) -> Option<(&ThreadPool, usize)> {
        let (groups, batches) = self.in_flight.busy();
        self.cut_beside(groups.saturating_sub(1), batches, fixed)
    }

    /// Returns the threads for preparing a batch, and the number of shards.
    pub fn cut_batch(&self) -> Option<(&ThreadPool, usize)> {
        let (groups, batches) = self.in_flight.busy();
        self.cut_beside(groups, batches.saturating_sub(1), 1)
    }

    fn cut_beside(
        &self,
        groups: usize,
        batches: usize,
        fixed: usize,
    ) -> Option<(&ThreadPool, usize)> {
        let threads = self.state.pools.commit.threads()?;
        let shards = match self.config().control.workers {
            ControlMode::Adaptive => free_shards(threads.current_num_threads(), groups, batches),
            ControlMode::Fixed => fixed,
        };
        Some((threads, shards))
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
