//! `prove`: writes a proof of some keys at one version.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use trunkline::core::proof::Claim;
use trunkline::{ProveOptions, ShownValues};

use crate::arguments::{Key, Top, parse_key};
use crate::error::CommandError;
use crate::output::{byte_size, grouped, root_lines};
use crate::single::snapshot_at;
use crate::{Exit, output};

#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// Keys: text, or 0x and hex; may be repeated.
    #[arg(long = "key", value_name = "KEY", required = true, num_args = 1.., value_parser = parse_key)]
    keys: Vec<Key>,
    /// Prove at this version: an archived one, or one that the log still has. Default: the last durable one.
    #[arg(long)]
    version: Option<u64>,
    /// Output file of the proof; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Root that the proof leads to: a KZG root, or a state digest with a commit id.
    #[arg(long, value_enum, default_value_t = Top::Kzg)]
    top: Top,
    /// Longest value that the proof contains, bytes. It contains the hash of longer ones; 0 contains no value.
    #[arg(long, value_name = "BYTES")]
    value_bytes_max: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let snapshot = snapshot_at(&arguments.dir, arguments.version)?;
    let keys = arguments.keys.iter().map(|key| &key.0);
    let options = ProveOptions {
        top: arguments.top.into(),
        values: match arguments.value_bytes_max {
            None => ShownValues::All,
            Some(0) => ShownValues::None,
            Some(value_bytes_max) => ShownValues::UpTo { value_bytes_max },
        },
    };
    let proof = snapshot.prove_with(keys, &options)?;
    let bytes = proof.encode()?;
    if !output::write(&arguments.out, &bytes)? {
        return Ok(Exit::Done);
    }
    let entries = proof.versions.iter().flat_map(|version| &version.entries);
    let (absent, present): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry.claim == Claim::Absent);
    let (absent, present) = (absent.len(), present.len());
    let version = proof.versions.first().map_or(0, |version| version.version);
    let (root, file) = (snapshot.root(), arguments.out.display());
    let json = || {
        json!({
            "file": file.to_string(),
            "bytes": bytes.len(),
            "present": present,
            "absent": absent,
            "version": version,
            "tree_id": hex::encode(root.tree_id),
            "commit_id": hex::encode(root.commit_id),
            "state_digest": hex::encode(root.state_digest),
            "kzg_root": root.kzg_root.map(hex::encode),
        })
    };
    let text = || {
        format!(
            "a proof of {} present and {} absent keys at version {version}, {}: {file}\n{}",
            grouped(present as u64),
            grouped(absent as u64),
            byte_size(bytes.len() as u64),
            root_lines(&root)
        )
    };
    output::show_either(arguments.json, json, text);
    Ok(Exit::Done)
}
