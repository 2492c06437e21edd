//! The wiring of the pipeline: builds the stages, starts their threads, drains and joins them.
//!
//! Stages are never restarted one by one: the pipeline runs and fails as a whole.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;
use trunkline_core::store::leaves::LeafStore;
use trunkline_core::store::log::CommitLog;
use trunkline_core::tree::{TreeHasher, TreeWriter};

use crate::actor::{self, Actor, ActorThread, Mailbox};
use crate::adaptive::controller::Controller;
use crate::adaptive::controls::Controls;
use crate::adaptive::watch::Watch;
use crate::background;
use crate::checkpoint::{self, ManifestFile};
use crate::context::StageContext;
use crate::failure::{EngineFailure, Stage, panic_message};
use crate::health::Health;
use crate::intake::Intake;
use crate::message::{Drain, IngestMessage, KzgMessage, Submission};
use crate::receipt::{RootCompletion, RootSource};
use crate::restoring;
use crate::runtime::thread::{self, JoinHandle};
use crate::stage::hash::HashStage;
use crate::stage::ingest::IngestStage;
use crate::stage::kzg::KzgStage;
use crate::stage::persist::PersistStage;
use crate::stage::tree::TreeStage;

/// The handle for sending to the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineHandle {
    intake: Arc<Intake>,
    ingest: Mailbox<IngestMessage>,
    kzg: Mailbox<KzgMessage>,
}

impl PipelineHandle {
    /// Sends a submission. Returns whether ingest must be woken for it, preferably without the sequencer's lock.
    #[must_use]
    pub fn submit(&self, submission: Submission) -> bool {
        self.intake.push(submission)
    }

    /// Wakes ingest to take submissions.
    pub fn wake(&self) {
        self.ingest.send(IngestMessage::Submitted);
    }

    /// Sends a drain that follows everything submitted before it.
    pub fn drain(&self, close: bool) -> oneshot::Receiver<Result<(), EngineFailure>> {
        let (done, drained) = oneshot::channel();
        self.ingest
            .send(IngestMessage::Drain(Drain { close, done }));
        drained
    }
}

impl RootSource for PipelineHandle {
    fn request(&self, version: u64, completion: RootCompletion) {
        self.kzg.send(KzgMessage::RootWanted(version, completion));
    }
}

/// The threads of an engine.
#[derive(Debug, Default)]
pub struct Threads {
    stages: Vec<ActorThread>,
    others: Vec<JoinHandle<()>>,
    /// Ends the adaptive controller when it is dropped.
    controller: Option<Sender<()>>,
    /// Ends the restoring of slots when it is dropped.
    restoring: Option<Sender<()>>,
}

/// The parts from which a pipeline is built.
pub struct Parts {
    /// The context that the stages share.
    pub context: Arc<StageContext>,
    /// The settings that the adaptive controller changes.
    pub controls: Arc<Controls>,
    /// The tree's writing half.
    pub writer: TreeWriter,
    /// The tree's hashing half.
    pub hasher: TreeHasher,
    /// The commit log.
    pub log: CommitLog,
    /// The leaf store.
    pub leaves: Arc<dyn LeafStore>,
    /// The checkpoint manifest, if the leaf store outlives the engine.
    pub manifest: Option<ManifestFile>,
    /// The configuration file to watch.
    pub watch: Option<Watch>,
}

/// Starts all threads, from the last stage to the first, since each knows the next.
///
/// # Errors
///
/// Fails if a thread cannot be started; the threads that were started have then ended.
pub fn start(parts: Parts) -> io::Result<(PipelineHandle, Threads)> {
    let mut threads = Threads::default();
    match start_all(parts, &mut threads) {
        Ok(handle) => Ok((handle, threads)),
        Err(error) => {
            threads.stop();
            Err(error)
        }
    }
}

fn start_all(parts: Parts, threads: &mut Threads) -> io::Result<PipelineHandle> {
    let context = parts.context;
    let last = context.state.versions.newest();
    let (version, open_epoch) = (last.number(), parts.log.open_epoch());
    let (background, tasks) = channel();
    let (checkpoints, checkpointer) =
        checkpoint::channel(context.clone(), parts.leaves, parts.manifest);

    let (shared, to_background) = (context.clone(), background.clone());
    let persist = threads.stage(Stage::Persist, move |_| {
        PersistStage::new(shared, parts.log, to_background, checkpoints)
    })?;
    let trim = persist.clone();
    threads.other(&context.health, "checkpoint", move || {
        checkpointer.run(&trim)
    })?;
    let shared = context.clone();
    threads.other(&context.health, "background", move || {
        background::run(&tasks, &shared)
    })?;

    let restorer = parts.writer.slot_restorer();
    if restorer.left() > 0 {
        let (runs, stop) = channel();
        threads.restoring = Some(runs);
        let shared = context.clone();
        threads.other(&context.health, "restore", move || {
            restoring::run(restorer, &shared, &stop)
        })?;
    }

    let (shared, next) = (context.clone(), persist.clone());
    let kzg = threads.stage(Stage::Kzg, |own| KzgStage::new(shared, next, own))?;
    let (shared, next) = (context.clone(), kzg.clone());
    let hash = threads.stage(Stage::Hash, move |_| {
        HashStage::new(shared, next, parts.hasher, last, open_epoch)
    })?;
    let shared = context.clone();
    let tree = threads.stage(Stage::Tree, move |_| {
        TreeStage::new(shared, hash, background, parts.writer, version)
    })?;
    let (shared, intake) = (context.clone(), Arc::<Intake>::default());
    let submitted = intake.clone();
    let ingest = threads.stage(Stage::Ingest, move |own| {
        IngestStage::new(shared, tree, own, submitted, version)
    })?;

    let admission = parts.controls.admission.clone();
    threads.controller(&context.health, parts.controls, parts.watch)?;
    // Tree and hash hold nothing between two messages.
    let (to_ingest, to_kzg) = (ingest.clone(), kzg.clone());
    let feed = context.feed.clone();
    context.health.on_failure(Box::new(move || {
        feed.end();
        admission.close();
        to_ingest.abort();
        to_kzg.abort();
        persist.abort();
    }));
    Ok(PipelineHandle {
        intake,
        ingest,
        kzg,
    })
}

impl Threads {
    fn stage<A: Actor>(
        &mut self,
        stage: Stage,
        build: impl FnOnce(Mailbox<A::Message>) -> A + Send + 'static,
    ) -> io::Result<Mailbox<A::Message>> {
        let (mailbox, thread) = actor::spawn(stage.name(), build)?;
        self.stages.push(thread);
        Ok(mailbox)
    }

    fn controller(
        &mut self,
        health: &Arc<Health>,
        controls: Arc<Controls>,
        watch: Option<Watch>,
    ) -> io::Result<()> {
        let (runs, stop) = channel();
        self.controller = Some(runs);
        let controller = Controller::new(controls, watch);
        self.other(health, "controller", move || controller.run(&stop))
    }

    /// Starts a thread that is not a stage. A panic in it fails the engine.
    fn other(
        &mut self,
        health: &Arc<Health>,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let health = health.clone();
        self.others.push(thread::spawn(name, move || {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                health.fail(EngineFailure::Thread {
                    thread: name.into(),
                    message: panic_message(&*payload).into(),
                });
            }
        })?);
        Ok(())
    }

    /// Ends all threads and waits for them. Work that is still in the pipeline is dropped.
    pub fn stop(self) {
        drop(self.controller);
        drop(self.restoring);
        for stage in &self.stages {
            stage.stop();
        }
        for stage in self.stages {
            stage.join();
        }
        for other in self.others {
            // The waiters were told of the panic.
            let _ = other.join();
        }
    }
}
