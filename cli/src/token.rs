//! `token`: makes a bearer token for callers of a service.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trunkline_service::auth::{Scope, new_token};

use crate::error::CommandError;
use crate::{Exit, output};

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// Name of the caller, for logs.
    #[arg(long)]
    name: String,
    /// Permission of the caller; may be repeated.
    #[arg(long, value_enum, required = true)]
    scope: Vec<ScopeName>,
    /// Token file (`server.tokens_path`) to add it to, created if missing. Without it, the lines to add are printed.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeName {
    /// Values, proofs, history, feed.
    Read,
    /// Submissions.
    Write,
    /// Configuration and reloads.
    Admin,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Read => Self::Read,
            ScopeName::Write => Self::Write,
            ScopeName::Admin => Self::Admin,
        }
    }
}

/// Prints the token once. The file holds only its hash.
pub(crate) fn run(arguments: &TokenArguments) -> Result<Exit, CommandError> {
    let scopes = arguments.scope.iter().map(|scope| Scope::from(*scope));
    let token = new_token(&arguments.name, scopes.collect());
    match &arguments.file {
        None => output::tell(format!("add this to the token file:\n\n{}", token.entry)),
        Some(path) => {
            let failed = || CommandError::file("write", path);
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path);
            let mut file = file.map_err(failed())?;
            file.write_all(format!("\n{}", token.entry).as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed())?;
        }
    }
    output::show(format!("{}\n", token.secret));
    Ok(Exit::Done)
}
