//! `get`, `put` and `delete`: reads or changes one key.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use trunkline::core::params::VALUE_BYTES_MAX;
use trunkline::{
    Config, Durable, Engine, OpenError, Outcome, ReadOnly, Receipt, Snapshot, SubmitError,
};

use crate::arguments::{Key, parse_bytes, parse_key};
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::counted;
use crate::{Exit, configuration, output};

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    key: Key,
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// Read this version: an archived one, or one that the log still has. Default: the last durable one.
    #[arg(long)]
    version: Option<u64>,
    /// Print the value in hex.
    #[arg(long)]
    hex: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    key: Key,
    /// Value: text, 0x and hex, or - for standard input.
    value: String,
    /// Directory of the engine, created if missing.
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    key: Key,
    /// Directory of the engine.
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(crate) fn get(arguments: &GetArguments) -> Result<Exit, CommandError> {
    let snapshot = snapshot_at(&arguments.dir, arguments.version)?;
    let Some(value) = snapshot.get(&arguments.key.0)? else {
        output::tell(format!(
            "{} is absent at version {}",
            output::shown(&arguments.key.0),
            snapshot.version()
        ));
        return Ok(Exit::Failed);
    };
    if arguments.hex {
        output::print(hex::encode(&value) + "\n")?;
    } else if io::stdout().is_terminal() {
        output::print(output::plain_lines(&value) + "\n")?;
    } else {
        output::print_raw(&value)?;
    }
    Ok(Exit::Done)
}

pub(crate) fn put(arguments: &PutArguments) -> Result<Exit, CommandError> {
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    let value = match &*arguments.value {
        "-" => read_value()?,
        text => parse_bytes(text)?,
    };
    let key = Bytes::copy_from_slice(&arguments.key.0);
    submit(config, |engine| engine.put_blocking(key, value))
}

pub(crate) fn delete(arguments: &DeleteArguments) -> Result<Exit, CommandError> {
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    if !arguments.dir.exists() {
        return Err(CommandError::Missing(arguments.dir.clone()));
    }
    let key = Bytes::copy_from_slice(&arguments.key.0);
    submit(config, |engine| engine.delete_blocking(key))
}

/// Opens a directory for reading only.
pub(crate) fn open_read_only(directory: &Path) -> Result<ReadOnly, CommandError> {
    Interrupt::clean_up_only()?;
    ReadOnly::open(directory).map_err(cannot_open(directory))
}

/// Opens a directory for reading only, and returns one of its versions: by default the last durable one.
pub(crate) fn snapshot_at(
    directory: &Path,
    version: Option<u64>,
) -> Result<Snapshot, CommandError> {
    let tree = open_read_only(directory)?;
    match version {
        None => Ok(tree.snapshot()),
        Some(version) => Ok(tree.snapshot_at(version)?),
    }
}

/// Opens a directory for reading only, and returns one of its versions, by default the last durable one. Replays the log up
/// to a version that no checkpoint covers.
pub(crate) fn replayed_at(
    directory: &Path,
    version: Option<u64>,
) -> Result<Snapshot, CommandError> {
    let opened = match version {
        None => ReadOnly::open(directory),
        Some(version) => ReadOnly::open_at(directory, version),
    };
    let not_kept = match (opened, version) {
        (Err(error @ OpenError::VersionNotKept { .. }), Some(version)) => (error, version),
        (opened, _) => return Ok(opened.map_err(cannot_open(directory))?.snapshot()),
    };
    let (error, version) = not_kept;
    let archived = ReadOnly::open(directory).map_err(cannot_open(directory))?;
    let archived = archived.snapshot_at(version);
    archived.map_err(|_| cannot_open(directory)(error))
}

/// Opens an engine for reading and writing.
pub(crate) fn open_engine(config: Config) -> Result<Engine, CommandError> {
    let failed = cannot_open(&config.engine.directory);
    Engine::open_blocking(config).map_err(failed)
}

/// Returns a function that turns a failure to open a directory into an error of the command.
pub(crate) fn cannot_open(directory: &Path) -> impl FnOnce(OpenError) -> CommandError + use<> {
    let directory = directory.to_owned();
    move |source| CommandError::Open {
        directory,
        source: Box::new(source),
    }
}

fn submit(
    config: Config,
    submit: impl FnOnce(&Engine) -> Result<Receipt, SubmitError>,
) -> Result<Exit, CommandError> {
    let engine = open_engine(config)?;
    let durable = submit(&engine)
        .map_err(CommandError::from)
        .and_then(|receipt| Ok(receipt.durable_blocking()?));
    let root = engine.snapshot().root();
    let closed = engine.shutdown_blocking();
    let durable = durable?;
    closed?;
    report(&durable);
    output::show(output::root_lines(&root));
    Ok(Exit::of(durable.outcome.is_applied()))
}

fn report(durable: &Durable) {
    let (version, durability) = (durable.version, durable.durability);
    let displaced = match durable.outcome {
        Outcome::Refused(refusal) => {
            return output::tell(format!("refused in version {version}: {refusal}"));
        }
        Outcome::Applied { displaced: 0 } | Outcome::Reverted { .. } => String::new(),
        Outcome::Applied { displaced } => {
            format!("; {} displaced", counted(displaced.into(), "colliding key"))
        }
    };
    output::show(format!(
        "durable ({durability}) in version {version}{displaced}\n"
    ));
}

fn read_value() -> Result<Vec<u8>, CommandError> {
    let mut value = Vec::new();
    io::stdin()
        .lock()
        .take(VALUE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut value)
        .map_err(CommandError::file("read", "standard input"))?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(CommandError::ValueTooLong);
    }
    Ok(value)
}
