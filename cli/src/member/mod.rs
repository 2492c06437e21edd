//! `keygen`, `primary`, `replica`, `promote`, `rejoin`: members of a replicated tree, over NATS JetStream.
//!
//! A member file names the member, its key, the keys of all members and the servers; all commands read it.

mod file;
mod primary;
mod replica;
mod running;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use trunkline::core::frame::SecretKey;
use trunkline::core::store::replica_file::REPLICA_FILE;

use crate::error::CommandError;
use crate::{Exit, output};

pub(crate) use primary::{PrimaryArguments, run as primary};
pub(crate) use replica::{
    PromoteArguments, RejoinArguments, ReplicaArguments, parse_nonce, promote, rejoin,
    run as replica,
};
pub(crate) use running::{Leading, Member, TakenOver};

/// Returns whether a directory is marked as a replica's.
pub(crate) fn is_replica(directory: &Path) -> bool {
    directory.join(REPLICA_FILE).exists()
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// File for the secret key, which must not exist. Only its owner can read it.
    #[arg(long)]
    out: PathBuf,
}

/// Makes a key, and prints its public half.
pub(crate) fn keygen(arguments: &KeygenArguments) -> Result<Exit, CommandError> {
    let key = SecretKey::generate(rand::random());
    let failed = || CommandError::file("write", &arguments.out);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&arguments.out);
    let mut file = file.map_err(failed())?;
    file.write_all(key.to_text().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed())?;
    output::show(format!("{}\n", key.public()));
    Ok(Exit::Done)
}
