//! `revert`: restores the state of an older version, as a new version.

use std::path::PathBuf;

use clap::Args;
use trunkline::{Engine, OpenError, Outcome, RevertOptions};

use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::single::cannot_open;
use crate::{Exit, configuration, output};

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RevertArguments {
    /// Directory of the state. No engine may have it open; ask a service by its call Revert.
    #[arg(long)]
    dir: PathBuf,
    /// Version whose state is restored: one that the log still has after the last checkpoint, or one that the archive of
    /// versions has.
    #[arg(long)]
    version: u64,
    /// Text for the commit record, at most 256 bytes.
    #[arg(long, default_value = "")]
    metadata: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn run(arguments: &RevertArguments) -> Result<Exit, CommandError> {
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    if !arguments.dir.exists() {
        return Err(CommandError::Missing(arguments.dir.clone()));
    }
    Interrupt::clean_up_only()?;
    let version = arguments.version;
    let has_archive = config.versions.archive;
    let kept = Engine::builder(config.clone())
        .keep_from(version)
        .open_blocking();
    let opened = match kept {
        Err(OpenError::VersionNotKept { .. }) if has_archive => Engine::open_blocking(config),
        kept => kept,
    };
    let engine = opened.map_err(cannot_open(&arguments.dir))?;
    let options = RevertOptions {
        metadata: arguments.metadata.clone().into(),
        ..RevertOptions::default()
    };
    let reverted = engine
        .revert_to_with_blocking(version, options)
        .map_err(CommandError::from)
        .and_then(|receipt| Ok(receipt.durable_blocking()?));
    let root = engine.snapshot().root();
    let closed = engine.shutdown_blocking();
    let reverted = reverted?;
    closed?;
    output::show(format!(
        "durable ({}) in version {}, with the state of version {version}\n",
        reverted.durability, reverted.version,
    ));
    output::show(output::root_lines(&root));
    if let Outcome::Reverted { commit_id } = reverted.outcome {
        output::show(format!("  reverted to   {}\n", hex::encode(commit_id)));
    }
    Ok(Exit::Done)
}
