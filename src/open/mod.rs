//! From a directory and a configuration to a running engine, in numbered steps.
//!
//! Nothing that writes is opened until everything else was read and found sound. A directory that is refused therefore
//! stays as it is, except that opening the leaf store may remove its temporary files.
//!
//! 0. `directory`: the directory is locked, and the tree file is read.
//! 1. `recovery`: the checkpoint manifest, the log, the history file, the idempotency keys and the page digests are read and
//!    checked.
//! 2. `leaf_store` is opened. `pages`: the page digests become a tree, whose leaves are read when they are touched; without
//!    them, all leaves do. `replay`: the log after the checkpoint is replayed.
//! 3. `kzg_tables`: the tables for commitments are read or built.
//! 4. The log begins a new segment. `creation`: a new tree gets its tree file. Tables that were built are stored.
//! 5. The pipeline starts.
//!
//! `read_only` takes steps 0 to 3 without writing, with a copy of the leaf store (`leaf_copy`).

pub(crate) mod creation;
pub(crate) mod directory;
mod key_order;
pub(crate) mod kzg_tables;
#[cfg(feature = "fjall")]
mod leaf_copy;
pub(crate) mod leaf_store;
pub(crate) mod pages;
pub(crate) mod read_only;
pub(crate) mod recovery;
pub(crate) mod replay;
mod role;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use trunkline_actors::adaptive::controls::{Controls, Windows};
use trunkline_actors::adaptive::decision_log::DecisionLog;
use trunkline_actors::adaptive::watch::Watch;
use trunkline_actors::admission::{Admission, Sequencer};
use trunkline_actors::checkpoint::ManifestFile;
use trunkline_actors::config::{Config, KzgMode};
use trunkline_actors::context::StageContext;
use trunkline_actors::feed::{FeedSource, FeedState, Synced};
use trunkline_actors::forks::Forks;
use trunkline_actors::health::Health;
use trunkline_actors::idempotency::IdempotencyKeys;
use trunkline_actors::pipeline::{self, Parts};
use trunkline_actors::receipt::{Issuer, RootSource};
use trunkline_actors::runtime::entropy;
use trunkline_actors::state::State;
use trunkline_actors::state::remembered_keys::RememberedKeys;
use trunkline_actors::testing::Faults;
use trunkline_core::batch::provisional_start;
use trunkline_core::params::Nonce;
use trunkline_core::store::disk::{Disk, OsDisk};
use trunkline_core::store::feed_cursors;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::{CommitLog, FoundLog, LOG_DIRECTORY, LogOptions, Recovery};
use trunkline_core::store::tree_file::TREE_FILE;

use crate::error::{OpenError, ReplayError};
use crate::running::Running;
use directory::Claimed;
use leaf_store::{Given, LeavesInUse};
use recovery::Found;
use replay::{Archive, Loading};
use role::Marked;
pub(crate) use role::Role;

/// The inputs of opening an engine.
#[derive(Default)]
pub(crate) struct OpenOptions {
    pub(crate) config: Config,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    /// The nonce of the tree; a new tree gets a random one without it.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) stores: Given,
    pub(crate) watch: Option<Watch>,
    pub(crate) faults: Faults,
    pub(crate) role: Role,
    /// The first version that stays readable, instead of only the last one.
    pub(crate) keep_from: Option<u64>,
}

/// Refuses a directory without a tree, before anything is written there.
fn require_tree(disk: Option<&dyn Disk>, directory: &Path) -> Result<(), OpenError> {
    let path = directory.to_owned();
    match recovery::read_params(disk.unwrap_or(&OsDisk), directory)? {
        Some(_) => Ok(()),
        None => Err(OpenError::NoTree { path }),
    }
}

/// Opens an engine.
pub(crate) fn open(options: OpenOptions) -> Result<Running, OpenError> {
    let (config, role) = (options.config, options.role);
    config.validate()?;
    if options.keep_from.is_some() {
        require_tree(options.disk.as_deref(), &config.engine.directory)?;
    }
    // 0. The directory. If a later step fails, the lock is dropped last.
    let Claimed {
        lock,
        disk,
        directory,
        params,
        is_new,
    } = directory::claim(options.disk, options.nonce, &config)?;
    let marked = Marked::read(&*disk, &directory, &params.tree_id(), role, is_new)?;
    if !is_new {
        key_order::check(&*disk, &directory, &params.tree_id(), &config)?;
    }
    // Only a locked directory gets files other than those of the disk.
    let locked = lock.is_some().then_some(&*directory);
    // 1. Everything but the leaves.
    let Found {
        marker,
        history,
        remembered,
        newest,
        pages,
    } = match is_new {
        true => recovery::nothing(&params),
        false => recovery::find(&*disk, &directory, &params)?,
    };
    if let Some(version) = options.keep_from {
        read_only::check_kept(version, &marker, newest)?;
    }
    // 2. The leaves and the log.
    let LeavesInUse {
        leaves,
        past,
        persist,
    } = leaf_store::open(options.stores, &config, &directory, &marker)?;
    let snapshot = leaves.snapshot()?;
    let cold = match pages {
        Some(pages) => pages.build(&*disk, &directory, &params, &marker, &*snapshot)?,
        None => None,
    };
    let loading = Loading::begin(
        params,
        config.clone(),
        &marker,
        (history, remembered),
        snapshot,
        cold,
    );
    let loading = loading.map_err(|error| match error {
        // Only a checkpoint stores leaves, so there was a tree.
        OpenError::Replay(ReplayError::Differs { .. }) if is_new && locked.is_some() => {
            creation::missing(&directory, TREE_FILE)
        }
        error => error,
    })?;
    let loading = loading.keep_from(options.keep_from.unwrap_or(u64::MAX));
    let log_directory = directory.join(LOG_DIRECTORY);
    let (loaded, log) = loading.replay(|from, visit| {
        CommitLog::read(disk.clone(), &log_directory, params.tree_id(), from, visit)
    })?;
    // 3. The KZG tables.
    let cursors = feed_cursors::read(&*disk, &directory, &params.tree_id())?;
    let tables_path = locked.map(|_| kzg_tables::path(&config));
    if let Some(path) = &tables_path {
        kzg_tables::read(path);
    }
    let loaded = loaded.finish(config.kzg.mode != KzgMode::OnDemand, past.map(Archive::of))?;
    // 4. The first writes.
    let last_epoch = loaded.state.versions.newest().record.open_epoch;
    let epoch_min = marked.epoch_min(role, last_epoch)?;
    let (log, recovery) = begin_segment(log, &config, epoch_min)?;
    Marked::promoted(&*disk, &directory, role)?;
    if is_new {
        Marked::create(&*disk, &directory, &params.tree_id(), role)?;
        key_order::record(&*disk, &directory, &params.tree_id(), &config)?;
        creation::complete(&*disk, &directory, &params)?;
    }
    if let Some(path) = &tables_path {
        kzg_tables::store(path, &loaded.state.metrics);
        leaf_store::sweep_copies(&directory);
    }
    // 5. The pipeline.
    let source = FeedSource {
        disk: disk.clone(),
        directory: directory.clone(),
        tree_id: params.tree_id(),
    };
    // Opening has made everything in the log durable.
    let synced = Synced {
        position: log.last(),
        open_epoch: last_epoch,
    };
    let feed = FeedState::new(source, cursors, synced, log.oldest_version());
    let (context, controls) = share(loaded.state, loaded.keys, feed, locked, options.faults);
    let manifest = persist.then_some(ManifestFile {
        disk,
        directory,
        marker,
    });
    let parts = Parts {
        context,
        controls,
        writer: loaded.writer,
        hasher: loaded.hasher,
        log,
        leaves,
        manifest,
        watch: options.watch,
    };
    start(lock, parts, recovery)
}

/// Begins a new segment of a log that was read and found sound.
fn begin_segment(
    log: FoundLog,
    config: &Config,
    open_epoch_min: u64,
) -> Result<(CommitLog, Recovery), OpenError> {
    Ok(log.begin::<ReplayError>(LogOptions {
        segment_bytes_max: config.log.segment_bytes_max,
        open_epoch_min,
        nonce: entropy::bytes(),
    })?)
}

/// Returns the state that the stages share, and the settings that the adaptive controller changes. Decisions are stored
/// in the locked directory, if there is one.
fn share(
    state: Arc<State>,
    keys: RememberedKeys,
    feed: FeedState,
    locked: Option<&Path>,
    faults: Faults,
) -> (Arc<StageContext>, Arc<Controls>) {
    let (settings, metrics) = (state.settings.clone(), state.metrics.clone());
    let (config, health) = (settings.config(), Arc::new(Health::new(metrics.clone())));
    let context = StageContext {
        settings: settings.clone(),
        state: state.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        idempotency: Arc::new(IdempotencyKeys::new(keys, metrics.clone())),
        feed: Arc::new(feed),
        forks: Arc::new(Forks::new(metrics.clone())),
        in_flight: Arc::default(),
        checkpoint_running: Arc::default(),
        faults,
    };
    let submit = &config.submit;
    let admission = Admission::new(submit.in_flight_operations_max, submit.in_flight_bytes_max);
    let controls = Controls {
        decisions: DecisionLog::new(config.control.decisions_kept, locked, metrics.clone()),
        settings,
        admission: Arc::new(admission),
        state,
        metrics,
        health,
        checkpoint_running: context.checkpoint_running.clone(),
        windows: Windows::default(),
        one_at_a_time: Mutex::new(()),
    };
    controls.show_bounds();
    (Arc::new(context), Arc::new(controls))
}

/// Starts the pipeline.
fn start(
    lock: Option<DirectoryLock>,
    parts: Parts,
    recovery: Recovery,
) -> Result<Running, OpenError> {
    let (context, controls) = (parts.context.clone(), parts.controls.clone());
    let last = context.state.versions.newest();
    let (pipeline, threads) = pipeline::start(parts).map_err(OpenError::Thread)?;
    let sequencer = Sequencer {
        next_sequence: last.record.last_sequence + 1,
        provisional_root: provisional_start(&last.commit_id, recovery.open_epoch),
        closed: false,
    };
    let pipeline = Arc::new(pipeline);
    let is_on_demand = context.config().kzg.mode == KzgMode::OnDemand;
    let issuer = Issuer {
        health: context.health.clone(),
        metrics: context.metrics.clone(),
        root_source: is_on_demand.then(|| pipeline.clone() as Arc<dyn RootSource>),
        state: Arc::downgrade(&context.state),
    };
    Ok(Running {
        context,
        controls,
        sequencer: Mutex::new(sequencer),
        pipeline,
        issuer: Arc::new(issuer),
        threads: Mutex::new(Some(threads)),
        ended: watch::Sender::new(false),
        recovery,
        lock: Mutex::new(lock),
    })
}
