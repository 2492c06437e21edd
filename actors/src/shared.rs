//! What the stages, the handle and its snapshots share. Lock order: the gate before anything else;
//! no lock is held while another stage is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use trunkline_core::hash::Digest;
use trunkline_core::kzg::Committer;
use trunkline_core::params::TreeParams;
use trunkline_core::tree::TreeReader;

use crate::config::Config;
use crate::credit::CreditPool;
use crate::failure::{EngineFailure, Health};
use crate::history::History;
use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::testing::Faults;
use crate::values::Values;
use crate::versions::{Expired, Versions};

/// The state as readers see it: enough for snapshots, with or without an engine around it.
pub(crate) struct State {
    pub(crate) params: TreeParams,
    pub(crate) reader: TreeReader,
    pub(crate) values: Values,
    pub(crate) versions: Versions,
    pub(crate) history: History,
    pub(crate) committer: Arc<Committer>,
    /// Threads for work that is cut into pieces: preparing, loading, hashing, proving many keys.
    pub(crate) pool: rayon::ThreadPool,
    pub(crate) metrics: Arc<Metrics>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("State")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Forgets what no reader needs any more, on the caller's thread.
    pub(crate) fn forget(&self, expired: Expired) {
        self.reader.retire(expired.oldest);
        self.values.forget(expired.layers_up_to);
    }
}

/// The next place in the sequence of submissions.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) next_sequence: u64,
    pub(crate) provisional_root: Digest,
    pub(crate) closed: bool,
}

/// Told when the engine fails, so that every stage drops what it holds.
pub(crate) type OnFailure = Box<dyn Fn() + Send + Sync>;

/// What the stages of one engine share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) state: Arc<State>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) credits: CreditPool,
    pub(crate) overlay: Overlay,
    pub(crate) gate: Mutex<Gate>,
    /// The last version that the tree has applied.
    pub(crate) applied: AtomicU64,
    /// Versions that wait for the kzg stage.
    pub(crate) kzg_queue: AtomicUsize,
    pub(crate) groups_in_flight: Arc<AtomicUsize>,
    pub(crate) faults: Faults,
    pub(crate) on_failure: OnceLock<OnFailure>,
    pub(crate) halted: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("engine", &self.config.engine.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Fails the engine: waiters are told, nobody is let in, stages drop what they hold.
    pub(crate) fn fail(&self, failure: EngineFailure) {
        self.health.fail(failure);
        self.credits.close();
        if !self.halted.swap(true, Ordering::AcqRel)
            && let Some(on_failure) = self.on_failure.get()
        {
            on_failure();
        }
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }
}
