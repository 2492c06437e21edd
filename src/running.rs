//! The parts of an engine whose threads run, and its shutdown.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use trunkline_actors::adaptive::controls::Controls;
use trunkline_actors::admission::Sequencer;
use trunkline_actors::context::StageContext;
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::pipeline::{PipelineHandle, Threads};
use trunkline_actors::receipt::Issuer;
use trunkline_actors::runtime::thread;
use trunkline_actors::runtime::wait::block_on;
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::log::Recovery;

/// The parts of an engine whose threads were started.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) context: Arc<StageContext>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) pipeline: Arc<PipelineHandle>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) threads: Mutex<Option<Threads>>,
    /// True once the shutdown is complete.
    pub(crate) ended: watch::Sender<bool>,
    pub(crate) recovery: Recovery,
    /// The lock of the directory, released last in a shutdown.
    pub(crate) lock: Mutex<Option<DirectoryLock>>,
}

impl Running {
    /// Accepts nothing more. Returns whether this was the first call; its caller then shuts down.
    pub(crate) fn close_sequencer(&self) -> bool {
        !std::mem::replace(&mut self.sequencer.lock().closed, true)
    }

    /// Waits until everything accepted is durable and synced. With `close`, the pipeline then accepts nothing more.
    pub(crate) async fn drain(&self, close: bool) -> Result<(), EngineFailure> {
        let drained = self.pipeline.drain(close).await;
        // A failing pipeline drops the sender.
        drained.unwrap_or_else(|_| Err(self.context.health.cause()))
    }

    /// Ends everything. Called once, after the first [`Self::close_sequencer`].
    pub(crate) fn shut_down(&self) {
        // A failure is stored in the health, where every caller finds it.
        let _ = block_on(self.drain(true));
        let threads = self.threads.lock().take();
        if let Some(threads) = threads {
            threads.stop();
        }
        self.context.health.fail(EngineFailure::Closed);
        self.context.state.values.close();
        if let Some(past) = &self.context.state.past {
            past.close();
        }
        self.controls.decisions.close_file();
        *self.lock.lock() = None;
        self.ended.send_replace(true);
    }
}

/// An engine, as owned by its handles. Dropping it shuts the engine down.
#[derive(Debug)]
pub(crate) struct Owner(pub(crate) Arc<Running>);

impl Deref for Owner {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.close_sequencer() {
            return;
        }
        if !thread::is_own() {
            return self.shut_down();
        }
        // A waker dropped the last handle on a thread that the shutdown waits for. Without another thread for the
        // shutdown, only the end of the process can end the engine.
        let running = self.0.clone();
        let _ = thread::spawn("shutdown", move || running.shut_down());
    }
}
