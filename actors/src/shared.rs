//! What the stages, the handle and its snapshots share. Lock order: the gate before anything else;
//! no lock is held while another stage is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::kzg::Committer;
use trunkline_core::params::TreeParams;
use trunkline_core::tree::{Glance, TreeReader};

use crate::config::Config;
use crate::credit::CreditPool;
use crate::decisions::Decisions;
use crate::failure::{EngineFailure, Health};
use crate::history::History;
use crate::hot::Touched;
use crate::in_flight::InFlight;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::testing::Faults;
use crate::tuner::Windows;
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
    /// Threads for work of commits that is cut into pieces: preparing, loading, hashing.
    pub(crate) pool: rayon::ThreadPool,
    /// Threads for proofs and reads of many keys, so that neither kind of work queues behind the other.
    pub(crate) read_pool: rayon::ThreadPool,
    pub(crate) live: Arc<Live>,
    pub(crate) touched: Touched,
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
    /// What a key's value is at a version, if that can be told without its leaf: `Some(None)` if it has none.
    /// The version must be readable still when this has returned.
    pub(crate) fn glance(&self, version: u64, key_hash: &Digest) -> Option<Option<Bytes>> {
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
    pub(crate) fn glanced(&self, value: Option<&Bytes>) {
        match value {
            Some(_) => self.metrics.cache_hit(),
            None => self.metrics.absent_read(),
        }
    }

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
    pub(crate) live: Arc<Live>,
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
    pub(crate) in_flight: Arc<InFlight>,
    /// Checkpoints under way.
    pub(crate) checkpoints_running: AtomicUsize,
    pub(crate) windows: Windows,
    pub(crate) decisions: Decisions,
    /// Held while a configuration is put in place of another.
    pub(crate) reloading: Mutex<()>,
    pub(crate) faults: Faults,
    pub(crate) on_failure: OnceLock<OnFailure>,
    pub(crate) halted: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("engine", &self.live.config().engine.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Fails the engine: waiters are told, nobody is let in, stages drop what they hold.
    pub(crate) fn fail(&self, failure: EngineFailure) {
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
    pub(crate) fn config(&self) -> Arc<Config> {
        self.live.config()
    }

    pub(crate) fn checkpoint_runs(&self) -> bool {
        self.checkpoints_running.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }
}
