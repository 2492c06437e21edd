//! What the stages, the handle and its snapshots share. Lock order: the sequencer before anything else;
//! no lock is held while another stage is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::kzg::Committer;
use trunkline_core::params::TreeParams;
use trunkline_core::tree::{Glance, TreeReader};

use crate::adaptive::controller::Windows;
use crate::adaptive::decision_log::Decisions;
use crate::admission::CreditPool;
use crate::config::Config;
use crate::config::runtime::RuntimeSettings;
use crate::failure::{EngineFailure, Health};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::state::access_sampler::AccessSampler;
use crate::state::history::History;
use crate::state::overlay::Overlay;
use crate::state::values::Values;
use crate::state::versions::{Expired, Versions};
use crate::testing::Faults;

/// The state as readers see it: enough for snapshots, with or without an engine around it.
pub struct State {
    pub params: TreeParams,
    pub reader: TreeReader,
    pub values: Values,
    pub versions: Versions,
    pub history: History,
    pub committer: Arc<Committer>,
    /// Threads for work of commits that is cut into shards: preparing, loading, hashing.
    pub pool: rayon::ThreadPool,
    /// Threads for proofs and reads of many keys, so that neither kind of work queues behind the other.
    pub read_pool: rayon::ThreadPool,
    pub settings: Arc<RuntimeSettings>,
    pub access_sampler: AccessSampler,
    pub metrics: Arc<Metrics>,
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
    /// What a key's value is at a version, if that can be told without its leaf: `Some(None)` if it has none.
    /// The version must be readable still when this has returned.
    pub fn glance(&self, version: u64, key_hash: &Digest) -> Option<Option<Bytes>> {
        match self.reader.glance(version, key_hash) {
            Glance::Absent => Some(None),
            Glance::SameSince(since) => {
                let value = self.values.value_glanced(key_hash, since..=version);
                value.map(Some)
            }
            Glance::Unclear => None,
        }
    }

    /// Counts a read that a glance answered.
    pub fn glanced(&self, value: Option<&Bytes>) {
        match value {
            Some(_) => self.metrics.cache_hit(),
            None => self.metrics.absent_read(),
        }
    }

    /// Forgets what no reader needs any more, on the caller's thread.
    pub fn forget(&self, expired: Expired) {
        self.reader.retire(expired.oldest);
        self.values.forget(expired.layers_up_to);
    }
}

/// The next place in the sequence of submissions.
#[derive(Debug)]
pub struct Sequencer {
    pub next_sequence: u64,
    pub provisional_root: Digest,
    pub closed: bool,
}

/// Told when the engine fails, so that every stage drops what it holds.
pub type OnFailure = Box<dyn Fn() + Send + Sync>;

/// What the stages of one engine share.
pub struct Shared {
    pub settings: Arc<RuntimeSettings>,
    pub state: Arc<State>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub credits: CreditPool,
    pub overlay: Overlay,
    pub sequencer: Mutex<Sequencer>,
    /// The last version that the tree has applied.
    pub applied: AtomicU64,
    /// Versions that wait for the kzg stage.
    pub kzg_queue: AtomicUsize,
    pub in_flight: Arc<InFlight>,
    /// Checkpoints under way.
    pub checkpoints_running: AtomicUsize,
    pub windows: Windows,
    pub decisions: Decisions,
    /// Held while a configuration is put in place of another.
    pub reloading: Mutex<()>,
    pub faults: Faults,
    pub on_failure: OnceLock<OnFailure>,
    pub halted: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("engine", &self.settings.config().engine.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Fails the engine: waiters are told, nobody is let in, stages drop what they hold.
    pub fn fail(&self, failure: EngineFailure) {
        let is_orderly = matches!(failure, EngineFailure::Closed);
        // First: whoever learns of the failure finds it in the figures.
        if !is_orderly && self.health.failure().is_none() {
            self.metrics.failed();
        }
        self.health.fail(failure);
        self.credits.close();
        if !self.halted.swap(true, Ordering::AcqRel)
            && let Some(on_failure) = self.on_failure.get()
        {
            on_failure();
        }
    }

    /// The configuration of now.
    pub fn config(&self) -> Arc<Config> {
        self.settings.config()
    }

    pub fn checkpoint_runs(&self) -> bool {
        self.checkpoints_running.load(Ordering::Relaxed) > 0
    }

    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }
}
