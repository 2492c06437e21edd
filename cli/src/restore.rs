//! `restore`: builds the directory of a replica from an archive. Also declares the flags for trust in an archive.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use trunkline::core::frame::PublicKey;
use trunkline_archive::{Archive, Restored, Shown, Trust};

use crate::Exit;
use crate::arguments::{Hex32, parse_digest};
use crate::backup::attend::attend;
use crate::configuration::{self, SettingsArguments};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, grouped};

#[derive(Debug, Args)]
// The command's own version flag is replaced by one for a version of the tree.
#[command(disable_version_flag = true)]
pub(crate) struct RestoreArguments {
    /// Archive: s3://bucket/prefix (credentials in AWS_* environment variables), or a directory.
    #[arg(long, value_name = "URL|DIR")]
    from: String,
    /// Version to restore [default: the last one].
    #[arg(long)]
    version: Option<u64>,
    /// Directory to restore into, absent or empty. It becomes that of a replica.
    #[arg(long, visible_alias = "directory")]
    dir: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The values that are trusted about an archive.
#[derive(Debug, Args)]
pub(crate) struct TrustArguments {
    /// Trusted commit id in hex (32 bytes) of the named version, or of the last one if none is named.
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    commit_id: Option<Hex32>,
    /// Trusted public key of a primary in hex (32 bytes); may be repeated.
    #[arg(long, value_name = "HEX")]
    public_key: Vec<PublicKey>,
}

impl TrustArguments {
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            commit_id: self.commit_id.map(|id| id.0),
            keys: self.public_key.clone(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commit_id.is_none() && self.public_key.is_empty()
    }
}

pub(crate) fn run(arguments: &RestoreArguments) -> Result<Exit, CommandError> {
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    let archive = Archive::at(&arguments.from)?;
    let interrupt = Interrupt::listen()?;
    let trust = arguments.trust.trust();
    let work = archive.restore(arguments.version, &config, &trust);
    let Some(restored) = attend("restore", &archive, &interrupt, work)? else {
        output::tell("interrupted: nothing was restored; the next restore begins anew");
        return Ok(Exit::Interrupted);
    };
    let restored = restored?;
    output::show_either(arguments.json, || json(&restored), || text(&restored));
    Ok(Exit::Done)
}

fn text(restored: &Restored) -> String {
    let position = restored.position;
    let mut text = format!(
        "restored version {}, commit id {}\n  from the base of version {} and {} versions after it\n",
        grouped(position.version),
        hex::encode(position.commit_id),
        grouped(restored.base.version),
        grouped(position.version - restored.base.version),
    );
    text += match restored.shown {
        Shown::Authentic => "  authentic: it is what you trust\n",
        Shown::Consistent => {
            "  consistent: it agrees with itself; nothing shows who wrote it, since nothing is trusted (--commit-id, --public-key)\n"
        }
    };
    text + &format!(
        "The directory is that of a replica. Promote it to write: its epoch is above {} then.\n",
        restored.epoch_max
    )
}

fn json(restored: &Restored) -> Value {
    json!({
        "version": restored.position.version,
        "commit_id": hex::encode(restored.position.commit_id),
        "base_version": restored.base.version,
        "epoch_max": restored.epoch_max,
        "result": restored.shown.to_string(),
    })
}
