//! `primary`: stores records as `import` does, and publishes every version.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use trunkline::Engine;
use trunkline_replication::Acknowledge;

use super::file::runtime;
use super::running::{Leading, Member};
use crate::error::CommandError;
use crate::import::{self, ImportArguments};
use crate::single::open_engine;
use crate::{Exit, output};

/// Longest wait for the last versions to be published when the command ends.
const LAST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct PrimaryArguments {
    /// Member file (TOML): names, keys and servers.
    #[arg(long, value_name = "FILE")]
    member: PathBuf,
    #[command(flatten)]
    import: ImportArguments,
}

pub(crate) fn run(arguments: &PrimaryArguments) -> Result<Exit, CommandError> {
    let member = Member::read(&arguments.member)?;
    let runtime = runtime()?;
    let leading = RefCell::new(None);
    let exit = import::run_on(
        &arguments.import,
        |config| {
            let engine = open_engine(config)?;
            let started = runtime.block_on(member.lead(engine.clone()))?;
            output::tell(format!("primary of epoch {}", started.primary().epoch()));
            leading.replace(Some(started));
            Ok(engine)
        },
        |engine: &Engine| match leading.borrow_mut().as_mut() {
            Some(leading) => runtime.block_on(finish(&member, leading, engine)),
            None => Ok(()),
        },
    );
    if let Some(leading) = leading.into_inner() {
        // The engine is shut down already, but its last versions may still be in flight.
        let _ended = runtime.block_on(leading.shutdown(LAST_WAIT));
    }
    exit
}

/// Waits until everything has reached the level that the member requires, and is archived.
async fn finish(
    member: &Member,
    leading: &mut Leading,
    engine: &Engine,
) -> Result<(), CommandError> {
    let version = engine.synced_version();
    let Acknowledge { level, timeout } = member.options().acknowledge;
    let waited = leading.primary().wait_for(version, level, timeout).await;
    leading.stop_archiving().await;
    waited?;
    output::show(format!("version {version} is {level}\n"));
    Ok(())
}
