//! `replica`, `promote`, `rejoin`: follow a primary, take its place, and come back behind another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};
use trunkline::core::params::Nonce;
use trunkline::{Config, Engine};
use trunkline_replication::{Following, Loss, Options, Primary, Status};

use super::file::{MemberFile, runtime};
use crate::configuration::{self, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::grouped;
use crate::single::cannot_open;
use crate::{Exit, output};

/// Time between two looks at interrupts, and lines about where the replica is.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_PER_LINE: u64 = 10;
/// Longest wait for the other members after a loss, and for the last versions to be published.
const WAIT: Duration = Duration::from_secs(30);

/// The directory and the member that a command is about.
#[derive(Debug, Args)]
struct MemberArguments {
    /// Directory of the member.
    #[arg(long, visible_alias = "directory")]
    dir: PathBuf,
    /// Member file (TOML): names, keys and servers.
    #[arg(long, value_name = "FILE")]
    member: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ReplicaArguments {
    #[command(flatten)]
    member: MemberArguments,
    /// Nonce of the primary's tree in hex (16 bytes, `trunkline inspect` prints it), to create the directory. One that was
    /// restored from an archive needs none.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<Nonce>,
    /// End once this version is synced.
    #[arg(long)]
    until: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArguments {
    #[command(flatten)]
    member: MemberArguments,
    /// After the carrier lost what it had acknowledged: the number of replicas that receipts waited for.
    #[arg(long, value_name = "K")]
    after_loss: Option<usize>,
    /// With --after-loss: promote although too few members answer. Versions that only others have are lost.
    #[arg(long, requires = "after_loss")]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RejoinArguments {
    #[command(flatten)]
    member: MemberArguments,
    /// File for the versions that only this directory has.
    #[arg(long, value_name = "FILE")]
    surplus: PathBuf,
}

fn parse_nonce(text: &str) -> Result<Nonce, String> {
    let mut nonce = Nonce::default();
    let decoded = hex::decode_to_slice(text, &mut nonce);
    decoded.map_err(|error| format!("{error}; a nonce has 32 hexadecimal digits"))?;
    Ok(nonce)
}

/// A member whose file was read.
struct Member {
    file: MemberFile,
    options: Options,
    config: Config,
}

impl MemberArguments {
    fn read(&self) -> Result<Member, CommandError> {
        let file = MemberFile::read(&self.member)?;
        Ok(Member {
            options: file.options(&self.member)?,
            config: configuration::for_directory(&self.settings, &self.dir)?,
            file,
        })
    }
}

impl Member {
    async fn follow(&self, nonce: Option<Nonce>) -> Result<Following, CommandError> {
        let carrier = self.file.connect().await?;
        let mut builder = Engine::builder(self.config.clone());
        if let Some(nonce) = nonce {
            builder = builder.nonce(nonce);
        }
        let failed = cannot_open(&self.config.engine.directory);
        let replica = builder
            .open_replica(self.options.keys.clone())
            .await
            .map_err(failed)?;
        Ok(Following::start(replica, carrier, self.options.clone(), None).await?)
    }
}

pub(crate) fn run(arguments: &ReplicaArguments) -> Result<Exit, CommandError> {
    let member = arguments.member.read()?;
    let has_tree = has_files(&arguments.member.dir);
    if !has_tree && arguments.nonce.is_none() {
        return Err(CommandError::NoReplica(arguments.member.dir.clone()));
    }
    let interrupt = Interrupt::listen()?;
    runtime()?.block_on(async {
        let following = member.follow(arguments.nonce).await?;
        let exit = attend(&following, &interrupt, arguments.until).await;
        following.stop().await.shutdown().await?;
        exit
    })
}

fn has_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Says every second where a replica is, until it is there, fails, or is interrupted.
async fn attend(
    following: &Following,
    interrupt: &Interrupt,
    until: Option<u64>,
) -> Result<Exit, CommandError> {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0_u64.. {
        looks.tick().await;
        let status = following.status();
        if let Some(failure) = status.failure {
            return Err(CommandError::Following(failure));
        }
        let is_there = until.is_some_and(|version| status.synced >= version);
        if look.is_multiple_of(LOOKS_PER_LINE) || is_there {
            output::show(line(&status));
        }
        if is_there {
            return Ok(Exit::Done);
        }
        if interrupt.is_requested() {
            break;
        }
    }
    Ok(Exit::Interrupted)
}

fn line(status: &Status) -> String {
    let behind = status.stream.saturating_sub(status.synced);
    let mut text = format!(
        "version {} synced, {} behind, epoch {}",
        grouped(status.synced),
        grouped(behind),
        status.epoch
    );
    if status.epoch > 0 {
        text += &format!(", primary silent for {} ms", grouped(status.silence_ms()));
    }
    text + "\n"
}

pub(crate) fn promote(arguments: &PromoteArguments) -> Result<Exit, CommandError> {
    let member = arguments.member.read()?;
    let runtime = runtime()?;
    let promoted: Result<Primary, CommandError> = runtime.block_on(async {
        let following = member.follow(None).await?;
        let carrier = member.file.connect().await?;
        let options = member.options.clone();
        let primary = match arguments.after_loss {
            None => following.promote(carrier, options).await?,
            Some(k) => {
                let loss = Loss {
                    k,
                    is_forced: arguments.force,
                    timeout: WAIT,
                };
                following.promote_after_loss(carrier, options, loss).await?
            }
        };
        Ok(primary)
    });
    let primary = promoted?;
    let version = primary.engine().snapshot().version();
    output::show(format!(
        "epoch {} begins behind version {version}\n{} is the directory of the primary now\n",
        primary.epoch(),
        arguments.member.dir.display()
    ));
    runtime.block_on(primary.shutdown(WAIT))?;
    Ok(Exit::Done)
}

pub(crate) fn rejoin(arguments: &RejoinArguments) -> Result<Exit, CommandError> {
    let member = arguments.member.read()?;
    let rejoined = runtime()?.block_on(async {
        let carrier = member.file.connect().await?;
        let (config, options) = (member.config, member.options);
        let surplus = arguments.surplus.clone();
        let rejoined = trunkline_replication::rejoin(config, carrier, options, surplus).await;
        rejoined.map_err(|error| CommandError::Rejoin(Box::new(error)))
    })?;
    let mut text = format!("back at version {}\n", rejoined.common.version);
    if let Some((first, last)) = rejoined.surplus {
        let file = arguments.surplus.display();
        text += &format!("versions {first} to {last} are in {file}\n");
    }
    output::show(text);
    Ok(Exit::Done)
}
