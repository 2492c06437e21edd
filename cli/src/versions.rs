//! `versions`: lists the versions of a directory that can be read, in the log and in the archive of versions.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use trunkline::{KeptVersion, ReadOnly};

use crate::error::CommandError;
use crate::inspect::date;
use crate::output::grouped;
use crate::single::open_read_only;
use crate::table::Table;
use crate::{Exit, output};

/// Number of versions that are read at a time.
const STEP: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct VersionsArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// First version to list. Default: the newest versions.
    #[arg(long)]
    from: Option<u64>,
    /// Most versions to list.
    #[arg(long, default_value_t = 20)]
    count: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &VersionsArguments) -> Result<Exit, CommandError> {
    let tree = open_read_only(&arguments.dir)?;
    let (oldest, newest) = (tree.oldest_version(), tree.snapshot().version());
    let count = arguments.count as u64;
    let from = arguments
        .from
        .unwrap_or_else(|| (newest + 1).saturating_sub(count))
        .max(oldest);
    let kept = kept(&tree, from, arguments.count)?;
    let json = || {
        let versions: Vec<Value> = kept.iter().map(json).collect();
        json!({ "oldest": oldest, "newest": newest, "versions": versions })
    };
    let text = || text(&kept, oldest, newest);
    output::print_either(arguments.json, json, text)?;
    Ok(Exit::Done)
}

fn kept(tree: &ReadOnly, from: u64, count: usize) -> Result<Vec<KeptVersion>, CommandError> {
    let (mut kept, mut next) = (Vec::new(), from);
    while kept.len() < count {
        let more = tree.kept_versions(next, STEP.min(count - kept.len()))?;
        let Some(last) = more.last() else {
            break;
        };
        next = last.version + 1;
        kept.extend(more);
    }
    Ok(kept)
}

fn place(version: &KeptVersion) -> &'static str {
    match version.is_archived {
        true => "archive",
        false => "log",
    }
}

fn json(version: &KeptVersion) -> Value {
    json!({
        "version": version.version,
        "place": place(version),
        "commit_id": hex::encode(version.commit_id),
        "state_digest": hex::encode(version.state_digest),
        "kzg_root": version.kzg_root.map(hex::encode),
        "key_count": version.key_count,
        "durable_unix_ms": version.durable_ms,
    })
}

fn text(kept: &[KeptVersion], oldest: u64, newest: u64) -> String {
    let mut table = Table::new([
        "version",
        "in",
        "keys",
        "durable",
        "commit id",
        "state digest",
        "KZG root",
    ]);
    for version in kept {
        table.row([
            version.version.to_string(),
            place(version).to_owned(),
            grouped(version.key_count),
            version.durable_ms.map_or_else(|| "-".to_owned(), date),
            hex::encode(version.commit_id),
            hex::encode(version.state_digest),
            version.kzg_root.map_or_else(|| "-".to_owned(), hex::encode),
        ]);
    }
    format!("versions {oldest} to {newest} can be read\n{table}")
}
