//! Building the pipeline, starting its threads, draining it and joining it.
//!
//! Each stage is an actix actor in a system of its own, on a thread that the engine owns; nothing
//! depends on the caller's runtime. Stages are never restarted one by one: the pipeline lives and
//! fails whole.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::{Actor, Addr, Context, System};
use tokio::sync::oneshot;
use trunkline_core::store::leaves::LeafStore;
use trunkline_core::store::log::CommitLog;
use trunkline_core::tree::{TreeHasher, TreeWriter};

use crate::adaptive::controller::{Tuner, Watch};
use crate::background::{self, Ticks};
use crate::checkpoint::{self, MarkerPlace};
use crate::config::{DurabilityConfig, DurabilityMode};
use crate::failure::{EngineFailure, Stage, panic_message};
use crate::message::{Demanded, Drain, Halt, Submission};
use crate::receipt::{CommitPromise, Demand};
use crate::shared::Shared;
use crate::stage::hash::HashStage;
use crate::stage::ingest::IngestStage;
use crate::stage::kzg::KzgStage;
use crate::stage::persist::PersistStage;
use crate::stage::tree::TreeStage;

/// The way into the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineHandle {
    ingest: Addr<IngestStage>,
    kzg: Addr<KzgStage>,
}

impl PipelineHandle {
    pub fn submit(&self, submission: Submission) {
        self.ingest.do_send(submission);
    }

    /// Sends a drain behind everything submitted before.
    pub fn drain(&self, close: bool) -> oneshot::Receiver<Result<(), EngineFailure>> {
        let (done, drained) = oneshot::channel();
        self.ingest.do_send(Drain { close, done });
        drained
    }
}

impl Demand for PipelineHandle {
    fn commit(&self, version: u64, promise: CommitPromise) {
        self.kzg.do_send(Demanded { version, promise });
    }
}

/// The threads of an engine.
#[derive(Debug)]
pub struct Threads {
    systems: Vec<System>,
    handles: Vec<JoinHandle<()>>,
    /// Dropped, it ends the tuner.
    tuner: Option<Sender<()>>,
}

/// What the pipeline is built from.
pub struct Parts {
    pub shared: Arc<Shared>,
    pub writer: TreeWriter,
    pub hasher: TreeHasher,
    pub log: CommitLog,
    pub leaves: Arc<dyn LeafStore>,
    pub marker: Option<MarkerPlace>,
    pub watch: Option<Watch>,
}

/// Starts all threads, from the last stage to the first, since each knows the next.
pub fn start(parts: Parts) -> io::Result<(PipelineHandle, Threads)> {
    let mut threads = Threads {
        systems: Vec::new(),
        handles: Vec::new(),
        tuner: None,
    };
    match start_all(parts, &mut threads) {
        Ok(pipeline) => Ok((pipeline, threads)),
        Err(error) => {
            threads.stop();
            Err(error)
        }
    }
}

fn start_all(parts: Parts, threads: &mut Threads) -> io::Result<PipelineHandle> {
    let Parts {
        shared,
        writer,
        hasher,
        log,
        leaves,
        marker,
        watch,
    } = parts;
    let last = shared.state.versions.newest();
    let open_epoch = log.open_epoch();
    let (chores, chores_to_do) = channel();
    let (checkpoints, checkpointer) = checkpoint::channel(shared.clone(), leaves, marker);

    let persist = threads.stage(Stage::Persist, {
        let (shared, chores) = (shared.clone(), chores.clone());
        move || PersistStage::new(shared, log, chores, checkpoints)
    })?;
    let trim = persist.clone().recipient();
    threads.plain(&shared, "checkpoint", move || checkpointer.run(&trim))?;
    let ticks = ticks(&shared.config().durability, &persist);
    let state = shared.state.clone();
    threads.plain(&shared, "keeper", move || {
        background::run(&chores_to_do, &state, ticks.as_ref());
    })?;

    let kzg = threads.stage(Stage::Kzg, {
        let (shared, persist) = (shared.clone(), persist.clone());
        move || KzgStage::new(shared, persist)
    })?;
    let hash = threads.stage(Stage::Hash, {
        let (shared, kzg, last) = (shared.clone(), kzg.clone(), last.clone());
        move || HashStage::new(shared, kzg, hasher, last, open_epoch)
    })?;
    let tree = threads.stage(Stage::Tree, {
        let (shared, chores, version) = (shared.clone(), chores.clone(), last.number());
        move || TreeStage::new(shared, hash, chores, writer, version)
    })?;
    let ingest = threads.stage(Stage::Ingest, {
        let (shared, version) = (shared.clone(), last.number());
        move || IngestStage::new(shared, tree, chores, version)
    })?;

    threads.tuner(&shared, watch)?;
    let (halt_ingest, halt_kzg) = (ingest.clone(), kzg.clone());
    let _ = shared.on_failure.set(Box::new(move || {
        halt_ingest.do_send(Halt);
        halt_kzg.do_send(Halt);
        persist.do_send(Halt);
    }));
    Ok(PipelineHandle { ingest, kzg })
}

/// When persist is told to sync, if by the clock.
fn ticks(durability: &DurabilityConfig, persist: &Addr<PersistStage>) -> Option<Ticks> {
    (durability.mode == DurabilityMode::Interval).then(|| Ticks {
        interval: Duration::from_millis(durability.interval_ms),
        persist: persist.clone().recipient(),
    })
}

impl Threads {
    /// Starts a thread with a system of its own and an actor in it.
    fn stage<A>(
        &mut self,
        stage: Stage,
        build: impl FnOnce() -> A + Send + 'static,
    ) -> io::Result<Addr<A>>
    where
        A: Actor<Context = Context<A>>,
    {
        let (started, starting) = channel();
        let thread = std::thread::Builder::new().name(format!("trunkline-{stage}"));
        let handle = thread.spawn(move || {
            let system = System::new();
            let address = system.block_on(async { build().start() });
            // If nobody listens any more, starting failed elsewhere and this thread ends too.
            if started.send((address, System::current())).is_ok() {
                let _ = system.run();
            }
        })?;
        self.handles.push(handle);
        let (address, system) = starting.recv().map_err(io::Error::other)?;
        self.systems.push(system);
        Ok(address)
    }

    fn tuner(&mut self, shared: &Arc<Shared>, watch: Option<Watch>) -> io::Result<()> {
        let (runs, stop) = channel();
        self.tuner = Some(runs);
        let tuner = Tuner::new(shared.clone(), watch);
        self.plain(shared, "tuner", move || tuner.run(&stop))
    }

    fn plain(
        &mut self,
        shared: &Arc<Shared>,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let name: Arc<str> = format!("trunkline-{name}").into();
        let thread = std::thread::Builder::new().name(name.to_string());
        let shared = shared.clone();
        self.handles.push(thread.spawn(move || {
            let work = std::panic::AssertUnwindSafe(work);
            if let Err(payload) = std::panic::catch_unwind(work) {
                let message = panic_message(&*payload).into();
                shared.fail(EngineFailure::Thread {
                    thread: name,
                    message,
                });
            }
        })?);
        Ok(())
    }

    /// Ends all threads and waits for them. What is still in the pipeline is dropped.
    pub fn stop(self) {
        drop(self.tuner);
        for system in &self.systems {
            system.stop();
        }
        for handle in self.handles {
            // Stages catch their panics; what a thread said last was said to the waiters.
            let _ = handle.join();
        }
    }
}
