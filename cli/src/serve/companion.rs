//! A service for an engine that another part of the command drives: `load --serve`.

use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use trunkline::Engine;
use trunkline::config::ServerConfig;
use trunkline_service::observe::{Background, metrics};
use trunkline_service::{Backend, Server, Service};

use crate::error::CommandError;
use crate::output;

/// Serves an engine on its own thread, until it is dropped.
pub(crate) struct Companion {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Companion {
    /// Starts the service, and prints its address. The settings under `[server]` apply, except the address.
    pub(crate) fn start(engine: &Engine, address: &str) -> Result<Self, CommandError> {
        let config = ServerConfig {
            listen: address.to_owned(),
            ..engine.config().server.clone()
        };
        let server = Server::bind(&config).map_err(CommandError::serving)?;
        let recorder = metrics::install().map_err(CommandError::serving)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(CommandError::Thread)?;
        output::tell(format!("the page is at http://{}", server.addresses()));
        let service = server.in_front_of(Backend::Engine(engine.clone()), Box::new(|| Ok(())));
        let background = {
            let _entered = runtime.enter();
            Background::spawn(recorder, engine.clone())
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || serve(&runtime, service, background, stopped);
        let thread = std::thread::Builder::new().name("service".to_owned());
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.spawn(serve).map_err(CommandError::Thread)?),
        })
    }
}

fn serve(
    runtime: &Runtime,
    service: Service,
    background: Background,
    stopped: oneshot::Receiver<()>,
) {
    let stop = async {
        // A dropped sender counts as a request to stop.
        let _told = stopped.await;
    };
    runtime.block_on(async {
        if let Err(error) = service.serve(stop).await {
            output::tell_error("warning", &error);
        }
        background.stop().await;
    });
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
