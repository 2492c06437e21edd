//! `primary`: stores records as `import` does, and publishes every version.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use trunkline::Engine;
use trunkline_replication::Primary;

use super::file::{MemberFile, runtime};
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
    let member = MemberFile::read(&arguments.member)?;
    let options = member.options(&arguments.member)?;
    let acknowledge = options.acknowledge;
    let runtime = runtime()?;
    let leading = OnceCell::new();
    let exit = import::run_on(
        &arguments.import,
        |config| {
            let engine = open_engine(config)?;
            let started = runtime.block_on(async {
                let carrier = member.connect().await?;
                Primary::start(engine.clone(), carrier, options)
                    .await
                    .map_err(CommandError::from)
            });
            let primary = started.inspect_err(|_| drop(engine.shutdown_blocking()))?;
            output::tell(format!("primary of epoch {}", primary.epoch()));
            let _first = leading.set(primary);
            Ok(engine)
        },
        |engine: &Engine| {
            let Some(primary) = leading.get() else {
                return Ok(());
            };
            let version = engine.synced_version();
            let (level, timeout) = (acknowledge.level, acknowledge.timeout);
            runtime.block_on(primary.wait_for(version, level, timeout))?;
            output::show(format!("version {version} is {level}\n"));
            Ok(())
        },
    );
    if let Some(primary) = leading.into_inner() {
        // The engine is shut down already; what it had may still be on its way.
        let _ended = runtime.block_on(primary.shutdown(LAST_WAIT));
    }
    exit
}
