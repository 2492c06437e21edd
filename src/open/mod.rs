//! From a directory and a configuration to a running engine.
//!
//! The order matters. Nothing is opened that writes until everything else was read and found sound: a directory that
//! is refused stays as it is, but for what the leaf store tidies up.
//!
//! 0. `directory`: the lock and the tree file;
//! 1. `recovery`: the checkpoint manifest, the log and the history file are read and checked;
//! 2. the leaf store is opened; `replay`: its leaves become a tree, and the log after the checkpoint is replayed;
//! 3. `kzg_tables`: the tables for commitments are read, or built and kept;
//! 4. the log begins a new segment;
//! 5. the pipeline starts.
//!
//! `read_only` does the same without writing, with a copy of the leaf store (`leaf_copy`).

mod directory;
mod kzg_tables;
#[cfg(feature = "fjall")]
mod leaf_copy;
pub(crate) mod read_only;
mod recovery;
mod replay;

use std::path::Path;
use std::sync::Arc;

use trunkline_actors::adaptive::controls::{Controls, Windows};
use trunkline_actors::adaptive::decision_log::DecisionLog;
use trunkline_actors::adaptive::watch::Watch;
use trunkline_actors::admission::{Admission, Sequencer};
use trunkline_actors::checkpoint::ManifestFile;
use trunkline_actors::config::{Config, KzgMode, StoreKind};
use trunkline_actors::context::StageContext;
use trunkline_actors::health::Health;
use trunkline_actors::metrics::Metrics;
use trunkline_actors::pipeline::{self, Parts};
use trunkline_actors::runtime::pool::Pools;
#[cfg(feature = "fjall")]
use trunkline_actors::runtime::{priority, thread};
use trunkline_actors::state::State;
use trunkline_actors::testing::Faults;
use trunkline_core::batch::provisional_start;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::leaves::{LeafStore, MemoryLeafStore};
use trunkline_core::store::log::{CommitLog, FoundLog, LOG_DIRECTORY, LogOptions};

use crate::engine::{Engine, Running};
use crate::error::{OpenError, ReplayError};
use directory::{lock_directory, tree_params};
use recovery::Found;
use replay::Loading;

/// What an engine is opened from.
pub(crate) struct Opening {
    pub(crate) config: Config,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) leaves: Option<Arc<dyn LeafStore>>,
    pub(crate) watch: Option<Watch>,
    pub(crate) faults: Faults,
}

/// Opens an engine: reads what is there, makes it durable, starts the threads.
pub(crate) fn open(opening: Opening) -> Result<Engine, OpenError> {
    let config = opening.config;
    config.validate()?;
    let directory = config.engine.directory.clone();
    let lock = match opening.disk {
        None => Some(lock_directory(&directory)?),
        Some(_) => None,
    };
    let disk = opening.disk.unwrap_or_else(|| Arc::new(OsDisk));
    let params = tree_params(&*disk, &directory, &config)?;
    let Found { marker, history } = recovery::find(&*disk, &directory, &params)?;

    let (leaves, outlives_engine) = match opening.leaves {
        Some(leaves) => (leaves, true),
        None => open_leaves(&config)?,
    };
    let version = marker.record.version;
    if !outlives_engine && version > 0 {
        return Err(OpenError::OtherStore { version });
    }
    let pools = Pools::start(config.workers.threads, config.workers.read_threads)?;
    let metrics = Arc::new(Metrics::new(&config.engine.name));
    let snapshot = leaves.snapshot()?;
    let mut loading = Loading::begin(
        params,
        (&marker, snapshot),
        history,
        &config,
        &pools,
        &metrics,
    )?;
    let found = replay_log(&mut loading, &disk, &config, params, &pools)?;

    let tables_path = lock.is_some().then(|| kzg_tables::path(&config));
    if let Some(path) = &tables_path {
        kzg_tables::read(path);
    }
    let loaded = loading.finish(config.kzg.mode != KzgMode::OnDemand)?;

    let options = LogOptions {
        segment_bytes_max: config.log.segment_bytes_max,
        nonce: rand::random(),
    };
    let (log, recovery) = found.begin::<ReplayError>(options)?;
    if let Some(path) = &tables_path {
        kzg_tables::keep(path, &metrics);
        remove_abandoned_copies(&directory);
    }

    let decisions_in = lock.is_some().then_some(&*directory);
    let decisions = DecisionLog::new(config.control.decisions_kept, decisions_in, metrics.clone());
    let last = loaded.last.clone();
    let (state, writer, hasher) = loaded.into_state(params, config, metrics, pools)?;
    let (context, controls) = share(state, decisions, opening.faults);
    let manifest = outlives_engine.then_some(ManifestFile {
        disk,
        directory,
        marker,
    });
    let (pipeline, threads) = pipeline::start(Parts {
        context: context.clone(),
        controls: controls.clone(),
        writer,
        hasher,
        log,
        leaves,
        manifest,
        watch: opening.watch,
    })
    .map_err(OpenError::Thread)?;
    Ok(Engine::of_running(Running {
        context,
        controls,
        sequencer: Sequencer {
            next_sequence: last.record.last_sequence + 1,
            provisional_root: provisional_start(&last.commit_id, recovery.open_epoch),
            closed: false,
        },
        pipeline,
        threads,
        recovery,
        lock,
    }))
}

/// Replays the log; nothing is written yet.
fn replay_log(
    loading: &mut Loading,
    disk: &Arc<dyn Disk>,
    config: &Config,
    params: TreeParams,
    pools: &Pools,
) -> Result<FoundLog, OpenError> {
    let (from, tree_id) = (loading.position(), params.tree_id());
    let directory = config.engine.directory.join(LOG_DIRECTORY);
    loading.replay(&pools.commit, |visit| {
        CommitLog::read(disk.clone(), &directory, tree_id, from, visit)
    })
}

/// Returns what the stages share, and what the adaptive controller changes.
fn share(
    state: Arc<State>,
    decisions: DecisionLog,
    faults: Faults,
) -> (Arc<StageContext>, Arc<Controls>) {
    let (settings, metrics) = (state.settings.clone(), state.metrics.clone());
    let submit = settings.config().submit.clone();
    let health = Arc::new(Health::new(metrics.clone()));
    let context = StageContext {
        settings: settings.clone(),
        state: state.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        in_flight: Arc::default(),
        checkpoint_running: Arc::default(),
        faults,
    };
    let controls = Controls {
        settings,
        admission: Arc::new(Admission::new(
            submit.in_flight_operations_max,
            submit.in_flight_bytes_max,
        )),
        state,
        metrics,
        health,
        checkpoint_running: context.checkpoint_running.clone(),
        windows: Windows::default(),
        decisions,
        one_at_a_time: parking_lot::Mutex::new(()),
    };
    controls.show_bounds();
    (Arc::new(context), Arc::new(controls))
}

/// Removes what readers left behind that were cut off.
#[cfg(feature = "fjall")]
fn remove_abandoned_copies(directory: &Path) {
    leaf_copy::remove_abandoned(directory);
}

#[cfg(not(feature = "fjall"))]
fn remove_abandoned_copies(_: &Path) {}

/// The leaf store, and whether it outlives the engine.
fn open_leaves(config: &Config) -> Result<(Arc<dyn LeafStore>, bool), OpenError> {
    match config.store.kind {
        StoreKind::Log => Ok((Arc::new(MemoryLeafStore::default()), false)),
        #[cfg(not(feature = "fjall"))]
        StoreKind::Fjall => Err(OpenError::StoreNotBuilt),
        #[cfg(feature = "fjall")]
        StoreKind::Fjall => {
            use trunkline_core::store::fjall_leaves::{
                FjallLeafStore, FjallOptions, LEAVES_DIRECTORY,
            };
            let options = FjallOptions {
                cache_bytes: config.store.cache_bytes,
                worker_threads: config.store.worker_threads,
                ..FjallOptions::default()
            };
            let directory = config.engine.directory.join(LEAVES_DIRECTORY);
            let nice = config.checkpoint.nice;
            // On a thread of its own, whose priority the store's threads inherit.
            let opening = thread::spawn("store", move || {
                priority::lower(nice);
                FjallLeafStore::open(&directory, &options)
            })
            .map_err(OpenError::Thread)?;
            match opening.join() {
                Ok(leaves) => Ok((Arc::new(leaves?), true)),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    }
}
