//! `serve`: an engine, a primary or a replica on a network, until a signal ends it.

mod companion;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkline::Config;
use trunkline::core::params::Nonce;
use trunkline_replication::Following;
use trunkline_service::api::Api;
use trunkline_service::error::{Code, ServiceError};
use trunkline_service::observe::metrics::MetricsHandle;
use trunkline_service::observe::{Background, log, metrics};
use trunkline_service::{Backend, Reload, Server, systemd};

use crate::configuration::{self, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::member::{Leading, Member, is_replica, parse_nonce};
use crate::{Exit, output};

pub(crate) use companion::Companion;

/// Time between two looks at whether the engine still runs.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for the last versions to be published.
const PUBLISH: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Directory of the state, instead of engine.directory.
    #[arg(long, visible_alias = "directory")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Member file (TOML): runs the primary of a replicated tree, or a replica if the directory is one.
    #[arg(long, value_name = "FILE")]
    member: Option<PathBuf>,
    /// Creates a replica of the tree with this nonce (hex, 16 bytes; `trunkline inspect` prints it). An archive in the member
    /// file serves as well.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce, requires = "member")]
    nonce: Option<Nonce>,
    /// Serve a replica, and create its directory from the archive of the member file if there is none.
    #[arg(long, requires = "member")]
    replica: bool,
    /// Form of log lines: text or json. RUST_LOG chooses which.
    #[arg(long, default_value = "text", value_name = "FORM")]
    log: log::Format,
}

pub(crate) fn run(arguments: &ServeArguments) -> Result<Exit, CommandError> {
    let config = build(arguments)?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Thread)?;
    runtime.block_on(async {
        let tracing = log::init(arguments.log).map_err(CommandError::serving)?;
        let metrics = metrics::install().map_err(CommandError::serving)?;
        let ended = serve(arguments, config, metrics).await;
        tracing.shutdown().await;
        ended
    })
}

fn build(arguments: &ServeArguments) -> Result<Config, CommandError> {
    let mut config = configuration::layers(&arguments.settings)?.build()?;
    if let Some(directory) = &arguments.dir {
        config.engine.directory.clone_from(directory);
    }
    Ok(config)
}

async fn serve(
    arguments: &ServeArguments,
    config: Config,
    metrics: MetricsHandle,
) -> Result<Exit, CommandError> {
    // Before the engine: what is wrong with addresses and tokens shows at once, and a signal while it opens counts.
    let server = Server::bind(&config.server).map_err(CommandError::serving)?;
    let signals = Signals::listen()?;
    let addresses = server.addresses().to_string();
    let served = Served::open(arguments, &config).await?;
    let background = Background::spawn(metrics, served.backend());
    let service = server.in_front_of(served.backend(), reload(arguments, &served));
    let api = service.api();
    output::tell(format!(
        "{} at version {}, listening on {addresses}",
        served.backend().role(),
        served.backend().snapshot().version()
    ));
    systemd::ready(&format!("listening on {addresses}"));
    let watchdog = tokio::spawn(feed_watchdog(api.clone()));
    let (stopped, why) = tokio::sync::oneshot::channel();
    let stop = async {
        let reason = stop(signals, api, served.backend()).await;
        systemd::stopping("finishing requests");
        let _kept = stopped.send(reason);
    };
    let drained = service.serve(stop).await;
    watchdog.abort();
    let closed = served.close().await;
    background.stop().await;
    let drained = drained.map_err(CommandError::serving)?;
    if drained.cut_off > 0 {
        output::tell(format!(
            "{} requests had not ended after server.drain_ms and were cut off",
            drained.cut_off
        ));
    }
    match why.await {
        Ok(Stop::Failed(failure)) => Err(CommandError::Stopped(failure)),
        _ => closed.map(|()| Exit::Done),
    }
}

async fn feed_watchdog(api: Arc<Api>) {
    systemd::feed_watchdog(|| api.backend().failure().is_none()).await;
}

/// Returns what reads the configuration again, and hands it to the engine.
fn reload(arguments: &ServeArguments, served: &Served) -> Reload {
    let backend = served.backend();
    let (settings, dir) = (
        arguments.settings.clone(),
        backend.config().engine.directory.clone(),
    );
    Box::new(move || {
        let invalid = |error: &dyn std::error::Error| {
            ServiceError::new(Code::InvalidRequest, error.to_string())
        };
        let config = configuration::for_directory(&settings, &dir);
        let config = config.map_err(|error| invalid(&error))?;
        backend.reload(config).map_err(|error| invalid(&error))
    })
}

/// The engine or member that is served, to be closed at the end.
enum Served {
    Alone(trunkline::Engine),
    Leading(Leading),
    Following(Arc<Following>),
}

impl Served {
    async fn open(arguments: &ServeArguments, config: &Config) -> Result<Self, CommandError> {
        let Some(file) = &arguments.member else {
            let engine = configuration::open_watching(&arguments.settings, config.clone());
            return Ok(Self::Alone(engine?));
        };
        let member = Member::read(file)?;
        let directory = &config.engine.directory;
        if arguments.replica || arguments.nonce.is_some() || is_replica(directory) {
            let builder = member.replica(config, arguments.nonce, &Interrupt::default());
            let Some(builder) = builder? else {
                return Err(CommandError::NoReplica(directory.clone()));
            };
            let following = member.follow(config, builder).await?;
            return Ok(Self::Following(Arc::new(following)));
        }
        let engine = configuration::open_watching(&arguments.settings, config.clone())?;
        Ok(Self::Leading(member.lead(engine).await?))
    }

    fn backend(&self) -> Backend {
        match self {
            Self::Alone(engine) => Backend::Engine(engine.clone()),
            Self::Leading(leading) => Backend::Primary(leading.primary().clone()),
            Self::Following(following) => Backend::Replica(following.clone()),
        }
    }

    /// Makes everything durable that was accepted, and publishes it.
    async fn close(self) -> Result<(), CommandError> {
        match self {
            Self::Alone(engine) => Ok(engine.shutdown().await?),
            Self::Leading(leading) => leading.shutdown(PUBLISH).await,
            Self::Following(following) => Ok(following.replica().shutdown().await?),
        }
    }
}

/// The reason why the service stops.
enum Stop {
    Signal,
    Failed(String),
}

/// Waits for a signal to stop, or for the engine's failure. Reloads on SIGHUP meanwhile.
async fn stop(mut signals: Signals, api: Arc<Api>, backend: Backend) -> Stop {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hang_up.recv() => reload_all(&api),
            _ = looks.tick() => {
                if let Some(failure) = backend.failure() {
                    return Stop::Failed(failure);
                }
            }
        }
    }
    // A second one ends the process.
    tokio::spawn(async move {
        tokio::select! {
            _ = signals.terminate.recv() => (),
            _ = signals.interrupt.recv() => (),
        }
        output::tell("stopped at once; nothing that was acknowledged is lost");
        std::process::exit(130);
    });
    Stop::Signal
}

fn reload_all(api: &Api) {
    systemd::reloading();
    match api.reload() {
        Ok(_) => output::tell("configuration, tokens and certificates were read again"),
        Err(error) => output::tell(format!("not reloaded: {error}")),
    }
    systemd::ready("serving");
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::Interrupts);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }
}
