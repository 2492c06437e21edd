//! `replica`, `promote`, `rejoin`: follow a primary, replace it, or return as a replica of another one.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::{Interval, MissedTickBehavior, interval};
use trunkline::core::params::Nonce;
use trunkline::{Config, Engine};
use trunkline_replication::{Following, Loss, Status};

use super::file::runtime;
use super::running::{Leading, Member, TakenOver};
use crate::configuration::{self, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::grouped;
use crate::{Exit, output};

/// Time between two checks for interrupts; also the interval of status lines.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_PER_LINE: u64 = 10;
/// Longest wait for the other members after a loss, and for the last versions to be published.
const WAIT: Duration = Duration::from_secs(30);

/// The directory and the member of a command.
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
    /// Nonce of the primary's tree in hex (16 bytes, printed by `trunkline inspect`), to create the directory. A member
    /// with an archive needs none: an empty directory is restored from it.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<Nonce>,
    /// Become the primary once the stream has had no sign of life from the primary for this time. The stream decides
    /// between several replicas. This never happens after the carrier lost data: then an operator must promote.
    #[arg(long, value_name = "MS")]
    promote_after_silence_ms: Option<NonZeroU64>,
    /// End once this version is synced.
    #[arg(long)]
    until: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArguments {
    #[command(flatten)]
    member: MemberArguments,
    /// After the carrier lost acknowledged data: the number of replicas that receipts waited for.
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

pub(crate) fn parse_nonce(text: &str) -> Result<Nonce, String> {
    let mut nonce = Nonce::default();
    let decoded = hex::decode_to_slice(text, &mut nonce);
    decoded.map_err(|error| format!("{error}; a nonce has 32 hexadecimal digits"))?;
    Ok(nonce)
}

impl MemberArguments {
    fn read(&self) -> Result<(Member, Config), CommandError> {
        let member = Member::read(&self.member)?;
        let config = configuration::for_directory(&self.settings, &self.dir)?;
        Ok((member, config))
    }
}

pub(crate) fn run(arguments: &ReplicaArguments) -> Result<Exit, CommandError> {
    let (member, config) = arguments.member.read()?;
    let interrupt = Interrupt::listen()?;
    let Some(builder) = member.replica(&config, arguments.nonce, &interrupt)? else {
        output::tell("interrupted: nothing was restored; the next restore begins again");
        return Ok(Exit::Interrupted);
    };
    runtime()?.block_on(async {
        let mut following = member.follow(&config, builder).await?;
        loop {
            match attend(&following, &interrupt, arguments).await {
                Ok(Attended::Silent) => {}
                Ok(Attended::Ended(exit)) => {
                    following.stop().await.shutdown().await?;
                    return Ok(exit);
                }
                Err(error) => {
                    drop(following.stop().await.shutdown().await);
                    return Err(error);
                }
            }
            following = match member.take_over(following).await? {
                TakenOver::Following(following) => following,
                TakenOver::Leading(leading) => return lead(leading, &interrupt).await,
            };
        }
    })
}

/// The reason why the command stops watching a replica.
enum Attended {
    Ended(Exit),
    /// The primary was silent for as long as the command allows.
    Silent,
}

/// Prints the position of a replica every second, until it reaches the version, fails, is interrupted, or its primary
/// is silent.
async fn attend(
    following: &Following,
    interrupt: &Interrupt,
    arguments: &ReplicaArguments,
) -> Result<Attended, CommandError> {
    let silence = arguments
        .promote_after_silence_ms
        .map(|ms| Duration::from_millis(ms.get()));
    let mut looks = looks();
    for look in 0_u64.. {
        looks.tick().await;
        let status = following.status();
        if let Some(failure) = status.failure {
            return Err(CommandError::Following(failure));
        }
        let is_there = arguments
            .until
            .is_some_and(|version| status.synced >= version);
        if look.is_multiple_of(LOOKS_PER_LINE) || is_there {
            output::show(line(&status));
        }
        if is_there {
            return Ok(Attended::Ended(Exit::Done));
        }
        if interrupt.is_requested() {
            break;
        }
        if silence.is_some_and(|silence| status.unheard() >= silence) {
            return Ok(Attended::Silent);
        }
    }
    Ok(Attended::Ended(Exit::Interrupted))
}

fn looks() -> Interval {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Keeps a promoted replica running as the primary, until it is fenced or interrupted.
async fn lead(leading: Leading, interrupt: &Interrupt) -> Result<Exit, CommandError> {
    let primary = leading.primary();
    let (epoch, version) = (primary.epoch(), primary.engine().synced_version());
    output::show(format!(
        "promoted: epoch {epoch} begins behind version {version}\n"
    ));
    let mut looks = looks();
    while !interrupt.is_requested() {
        looks.tick().await;
        if let Some(failure) = leading.primary().failure() {
            leading.shutdown(WAIT).await?;
            return Err(CommandError::Replaced(failure));
        }
    }
    leading.shutdown(WAIT).await?;
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
    if let Some(failure) = &status.archive_failure {
        text += &format!("; {failure}");
    }
    text + "\n"
}

pub(crate) fn promote(arguments: &PromoteArguments) -> Result<Exit, CommandError> {
    let (member, config) = arguments.member.read()?;
    let runtime = runtime()?;
    let loss = arguments.after_loss.map(|k| Loss {
        k,
        is_forced: arguments.force,
        timeout: WAIT,
    });
    let primary = runtime.block_on(async {
        let following = member
            .follow(&config, Engine::builder(config.clone()))
            .await?;
        member.promote(following, loss).await
    })?;
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
    let (member, config) = arguments.member.read()?;
    let rejoined = runtime()?.block_on(member.rejoin(config, &arguments.surplus))?;
    let mut text = format!("back at version {}\n", rejoined.common.version);
    if let Some((first, last)) = rejoined.surplus {
        let file = arguments.surplus.display();
        text += &format!("versions {first} to {last} are in {file}\n");
    }
    output::show(text);
    Ok(Exit::Done)
}
