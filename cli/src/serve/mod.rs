//! `serve`: serves an engine, a primary or a replica on a network, until a signal ends it.

mod companion;

use std::num::NonZeroU64;
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
use crate::member::{Leading, Member, TakenOver, is_replica, parse_nonce};
use crate::{Exit, output};

pub(crate) use companion::Companion;

/// Time between two checks that the engine is still running.
const LOOK: Duration = Duration::from_millis(200);
/// Number of checks that a replica is no longer in use.
const LOOKS_MAX: usize = 25;
/// Longest wait for the last versions to be published.
const PUBLISH: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Directory of the state, instead of engine.directory.
    #[arg(long, visible_alias = "directory")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Member file (TOML): runs the primary of a replicated tree, or a replica if the directory is a replica's.
    #[arg(long, value_name = "FILE")]
    member: Option<PathBuf>,
    /// Create a replica of the tree with this nonce (hex, 16 bytes, printed by `trunkline inspect`). An archive in the
    /// member file serves the same purpose.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce, requires = "member")]
    nonce: Option<Nonce>,
    /// Serve a replica, and create its directory from the archive of the member file if there is none.
    #[arg(long, requires = "member")]
    replica: bool,
    /// Become the primary once the stream has had no sign of life from the primary for this time, and then serve as the
    /// primary. The stream decides between several replicas. This never happens after the carrier lost data: then an
    /// operator must promote.
    #[arg(long, value_name = "MS", requires = "member")]
    promote_after_silence_ms: Option<NonZeroU64>,
    /// Form of log lines: text or json. RUST_LOG chooses which lines.
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
    // This comes before the engine: wrong addresses and tokens are reported at once, and a signal counts while the
    // engine opens.
    let bind = || Server::bind(&config.server).map_err(CommandError::serving);
    let mut server = bind()?;
    let mut signals = Signals::listen()?;
    let mut served = Served::open(arguments, &config).await?;
    loop {
        let background = Background::spawn(metrics.clone(), served.backend());
        let stopped = serve_one(arguments, server, signals, &served).await;
        background.stop().await;
        match stopped {
            Ok(Stop::Silent(listening)) => {
                served = served.take_over().await?;
                (server, signals) = (bind()?, listening);
            }
            Ok(Stop::Failed(failure)) => {
                let _failed_before = served.close().await;
                return Err(CommandError::Stopped(failure));
            }
            Ok(Stop::Signal) => return served.close().await.map(|()| Exit::Done),
            Err(error) => {
                let _closed = served.close().await;
                return Err(error);
            }
        }
    }
}

/// Serves an engine or member until it has to end, and drains it. Returns the reason for the end.
async fn serve_one(
    arguments: &ServeArguments,
    server: Server,
    signals: Signals,
    served: &Served,
) -> Result<Stop, CommandError> {
    let addresses = server.addresses().to_string();
    let service = server.in_front_of(served.backend(), reload(arguments, served));
    let api = service.api();
    output::tell(format!(
        "{} at version {}, listening on {addresses}",
        served.backend().role(),
        served.backend().snapshot().version()
    ));
    systemd::ready(&format!("listening on {addresses}"));
    let watchdog = tokio::spawn(feed_watchdog(api.clone()));
    let (stopped, why) = tokio::sync::oneshot::channel();
    let silence = arguments.promote_after_silence_ms;
    let silence = silence.map(|ms| Duration::from_millis(ms.get()));
    let stop = async {
        let reason = stop(signals, api, served.backend(), silence).await;
        if !matches!(reason, Stop::Silent(_)) {
            systemd::stopping("finishing requests");
        }
        let _kept = stopped.send(reason);
    };
    let drained = service.serve(stop).await;
    watchdog.abort();
    let _aborted = watchdog.await;
    let drained = drained.map_err(CommandError::serving)?;
    if drained.cut_off > 0 {
        output::tell(format!(
            "{} requests had not ended after server.drain_ms and were cut off",
            drained.cut_off
        ));
    }
    Ok(why.await.unwrap_or(Stop::Signal))
}

async fn feed_watchdog(api: Arc<Api>) {
    systemd::feed_watchdog(|| api.backend().failure().is_none()).await;
}

/// Returns a function that reads the configuration again, and passes it to the engine.
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

/// The served engine or member, to be closed at the end.
enum Served {
    Alone(trunkline::Engine),
    Leading(Leading),
    Following(Box<Member>, Arc<Following>),
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
            return Ok(Self::Following(Box::new(member), Arc::new(following)));
        }
        let engine = configuration::open_watching(&arguments.settings, config.clone())?;
        Ok(Self::Leading(member.lead(engine).await?))
    }

    fn backend(&self) -> Backend {
        match self {
            Self::Alone(engine) => Backend::Engine(engine.clone()),
            Self::Leading(leading) => Backend::Primary(leading.primary().clone()),
            Self::Following(_, following) => Backend::Replica(following.clone()),
        }
    }

    /// Makes a replica of a silent primary the primary itself. It stays a replica if that is not possible now.
    async fn take_over(self) -> Result<Self, CommandError> {
        let Self::Following(member, following) = self else {
            return Ok(self);
        };
        let following = sole(following).await?;
        Ok(match member.take_over(following).await? {
            TakenOver::Leading(leading) => {
                let epoch = leading.primary().epoch();
                output::tell(format!("the primary is silent: promoted to epoch {epoch}"));
                Self::Leading(leading)
            }
            TakenOver::Following(following) => Self::Following(member, Arc::new(following)),
        })
    }

    /// Makes everything accepted durable, and publishes it.
    async fn close(self) -> Result<(), CommandError> {
        match self {
            Self::Alone(engine) => Ok(engine.shutdown().await?),
            Self::Leading(leading) => leading.shutdown(PUBLISH).await,
            Self::Following(_, following) => Ok(following.replica().shutdown().await?),
        }
    }
}

/// Waits until the requests that were cut off no longer use a replica.
async fn sole(mut following: Arc<Following>) -> Result<Following, CommandError> {
    let mut looks = tokio::time::interval(LOOK);
    for _ in 0..LOOKS_MAX {
        following = match Arc::try_unwrap(following) {
            Ok(following) => return Ok(following),
            Err(shared) => shared,
        };
        looks.tick().await;
    }
    let held = "requests that were cut off still hold the replica; start the service again";
    Err(CommandError::Stopped(held.to_owned()))
}

/// The reason why the service stops.
enum Stop {
    Signal,
    Failed(String),
    /// The primary was silent for as long as the command allows.
    Silent(Signals),
}

/// Waits for a signal to stop, a failure of the engine, or silence of the primary. Reloads on SIGHUP meanwhile.
async fn stop(
    mut signals: Signals,
    api: Arc<Api>,
    backend: Backend,
    silence: Option<Duration>,
) -> Stop {
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
                if silence.is_some_and(|silence| is_silent(&backend, silence)) {
                    return Stop::Silent(signals);
                }
            }
        }
    }
    // A second signal ends the process.
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

/// Returns whether a replica has not heard from its primary for a time.
fn is_silent(backend: &Backend, silence: Duration) -> bool {
    match backend {
        Backend::Replica(following) => following.status().unheard() >= silence,
        Backend::Engine(_) | Backend::Primary(_) => false,
    }
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
