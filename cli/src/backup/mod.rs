//! `backup`: backs a closed directory up into an archive. `verify` checks an archive, `prune` removes objects that are
//! no longer needed, `list` shows the content. `attend` runs all of them, and `restore`, with progress and interrupts.

pub(crate) mod attend;
mod list;
mod prune;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline::core::frame::SecretKey;
use trunkline_archive::{Archive, Backup, BasePolicy, Source};

use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, byte_size, counted, grouped};
use crate::single::cannot_open;
use crate::{Exit, input};

use attend::attend;
use list::ListArguments;
use prune::PruneArguments;
use verify::VerifyArguments;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BackupArguments {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    #[command(flatten)]
    make: Option<MakeArguments>,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Show which bases and versions an archive has.
    List(ListArguments),
    /// Check every object of an archive, and rebuild the state of every base and of the versions after it. Exit code 0
    /// if authentic, 1 if damaged, 3 if the archive is consistent and nothing was trusted.
    Verify(VerifyArguments),
    /// Remove bases that are no longer wanted, and the objects that only they need.
    Prune(PruneArguments),
}

#[derive(Debug, Args)]
struct MakeArguments {
    /// Directory of the state. No engine may have it open; a running one is backed up by the program that runs it.
    #[arg(long)]
    dir: PathBuf,
    /// Archive: s3://bucket/prefix (credentials in AWS_* environment variables), or a directory.
    #[arg(long, value_name = "URL|DIR")]
    to: String,
    /// Make a new base, even if the archive can be continued without.
    #[arg(long, conflicts_with = "no_base")]
    base: bool,
    /// Fail rather than make a base.
    #[arg(long)]
    no_base: bool,
    /// File of the secret key that signs the archived frames, so that they can be shown to be authentic.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &BackupArguments) -> Result<Exit, CommandError> {
    match (&arguments.command, &arguments.make) {
        (Some(BackupCommand::List(arguments)), _) => list::run(arguments),
        (Some(BackupCommand::Verify(arguments)), _) => verify::run(arguments),
        (Some(BackupCommand::Prune(arguments)), _) => prune::run(arguments),
        (None, Some(arguments)) => make(arguments),
        (None, None) => Err(CommandError::NoBackup),
    }
}

fn make(arguments: &MakeArguments) -> Result<Exit, CommandError> {
    let archive = Archive::at(&arguments.to)?;
    let key = arguments.key.as_deref().map(read_key).transpose()?;
    let interrupt = Interrupt::listen()?;
    let source = Source::directory(&arguments.dir).map_err(cannot_open(&arguments.dir))?;
    let policy = match (arguments.base, arguments.no_base) {
        (true, _) => BasePolicy::Always,
        (_, true) => BasePolicy::Never,
        _ => BasePolicy::IfNeeded,
    };
    let work = archive.back_up(&source, policy, key);
    let Some(backup) = attend("backup", &archive, &interrupt, work)? else {
        return Ok(Exit::Interrupted);
    };
    let backup = backup?;
    let bytes = archive.transferred_bytes();
    output::show_either(arguments.json, || json(&backup), || text(&backup, bytes));
    Ok(Exit::Done)
}

/// Reads a secret key. No error repeats the content of the file.
fn read_key(file: &Path) -> Result<SecretKey, CommandError> {
    /// More bytes than the text of a key has.
    const BYTES_MAX: usize = 256;
    input::decode(file, BYTES_MAX, "a file of a secret key", |bytes| {
        SecretKey::from_text(&String::from_utf8_lossy(bytes))
    })
}

fn text(backup: &Backup, bytes: u64) -> String {
    let mut text = String::new();
    if backup.versions > 0 {
        text += &format!(
            "{} archived in segments\n",
            counted(backup.versions, "version")
        );
    }
    match backup.base {
        Some((base, reason)) => {
            text += &format!("base of version {} made: {reason}\n", grouped(base.version));
        }
        None if backup.versions == 0 => text += "nothing is new since the last backup\n",
        None => {}
    }
    text + &format!(
        "the archive ends at version {}, commit id {} ({} transferred)\n",
        grouped(backup.last.version),
        hex::encode(backup.last.commit_id),
        byte_size(bytes),
    )
}

fn json(backup: &Backup) -> Value {
    json!({
        "version": backup.last.version,
        "commit_id": hex::encode(backup.last.commit_id),
        "versions": backup.versions,
        "base": backup.base.map(|(base, reason)| json!({
            "version": base.version,
            "open_epoch": base.open_epoch,
            "reason": reason.to_string(),
        })),
    })
}
