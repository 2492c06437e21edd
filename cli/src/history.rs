//! `history`: writes the head of a history, proves that an older version is its ancestor, and proves that a later head
//! continues the history of an older one. Verifying needs only the files.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use trunkline::core::hash::Digest;
use trunkline::core::history::{
    Ancestor, AncestorProof, ConsistencyProof, Consistent, HISTORY_PROOF_BYTES_MAX,
};
use trunkline::core::record::{CommitRecord, RECORD_BYTES_MAX};

use crate::arguments::{Hex32, parse_digest};
use crate::error::CommandError;
use crate::output::{self, byte_size};
use crate::single::snapshot_at;
use crate::{Exit, input, verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Write the commit record of a version. Keep it to check later that the history continues from there.
    #[command(disable_version_flag = true)]
    Head(HeadArguments),
    /// Prove that an older version is an ancestor of the last durable one, with its commit id.
    #[command(disable_version_flag = true)]
    Prove(ProveArguments),
    /// Check such a proof. Exit code 0 if proven, 1 if refused, 2 if the input is unusable.
    Verify(VerifyArguments),
    /// Prove and check that a history continues from an older head.
    #[command(subcommand)]
    Consistency(ConsistencyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConsistencyCommand {
    /// Prove that the history of the last durable version continues that of an older one.
    Prove(ProveConsistencyArguments),
    /// Check such a proof. Exit code 0 if proven, 1 if refused, 2 if the input is unusable.
    Verify(VerifyConsistencyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct WriteArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// File that the record or proof is written to; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HeadArguments {
    /// The version: an archived one, or one that the log still has. Default: the last durable one.
    #[arg(long)]
    version: Option<u64>,
    #[command(flatten)]
    write: WriteArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// The older version.
    #[arg(long)]
    version: u64,
    /// The version that the proof leads from. Default: the last durable one.
    #[arg(long)]
    from_version: Option<u64>,
    #[command(flatten)]
    write: WriteArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the proof; - is standard input.
    file: PathBuf,
    /// Trusted commit id of the head in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    head: Hex32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProveConsistencyArguments {
    /// Version of the older head. The proof contains its record if the version can be read.
    #[arg(long)]
    older: u64,
    /// The version that the proof leads from. Default: the last durable one.
    #[arg(long)]
    from_version: Option<u64>,
    #[command(flatten)]
    write: WriteArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyConsistencyArguments {
    /// File of the proof; - is standard input.
    file: PathBuf,
    /// Commit id of the older head in hex (32 bytes). Default: that of the record.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, required_unless_present = "older_record")]
    older: Option<Hex32>,
    /// File with the commit record of the older head, written by `history head`. Without it the proof must carry one.
    #[arg(long, value_name = "FILE")]
    older_record: Option<PathBuf>,
    /// Commit id of the head in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    head: Hex32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &HistoryCommand) -> Result<Exit, CommandError> {
    match command {
        HistoryCommand::Head(arguments) => head(arguments),
        HistoryCommand::Prove(arguments) => prove(arguments),
        HistoryCommand::Verify(arguments) => verify(arguments),
        HistoryCommand::Consistency(ConsistencyCommand::Prove(arguments)) => {
            prove_consistency(arguments)
        }
        HistoryCommand::Consistency(ConsistencyCommand::Verify(arguments)) => {
            verify_consistency(arguments)
        }
    }
}

fn head(arguments: &HeadArguments) -> Result<Exit, CommandError> {
    let write_to = &arguments.write;
    let snapshot = snapshot_at(&write_to.dir, arguments.version)?;
    let (record, what) = (
        snapshot.record(),
        match arguments.version {
            None => "the commit record of the last durable version".to_owned(),
            Some(version) => format!("the commit record of version {version}"),
        },
    );
    write(write_to, &what, record, None, None, &record.encode())
}

fn prove(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let write_to = &arguments.write;
    let proof =
        snapshot_at(&write_to.dir, arguments.from_version)?.prove_ancestor(arguments.version)?;
    let what = format!("a proof of version {}", proof.version);
    let (version, commit_id) = (Some(proof.version), Some(proof.commit_id));
    write(
        write_to,
        &what,
        &proof.head,
        version,
        commit_id,
        &proof.encode()?,
    )
}

fn prove_consistency(arguments: &ProveConsistencyArguments) -> Result<Exit, CommandError> {
    let (older, write_to) = (arguments.older, &arguments.write);
    let proof = snapshot_at(&write_to.dir, arguments.from_version)?.prove_consistency(older)?;
    let what = format!("a proof that the history continues from version {older}");
    write(
        write_to,
        &what,
        &proof.head,
        Some(older),
        None,
        &proof.encode()?,
    )
}

/// Writes a record or proof, and reports it unless it went to standard output.
fn write(
    arguments: &WriteArguments,
    what: &str,
    head: &CommitRecord,
    version: Option<u64>,
    commit_id: Option<Digest>,
    bytes: &[u8],
) -> Result<Exit, CommandError> {
    let out = &arguments.out;
    if !output::write(out, bytes)? {
        return Ok(Exit::Done);
    }
    let (head_version, head_id) = (head.version, hex::encode(head.commit_id()));
    let commit_id = commit_id.map(hex::encode);
    let text = || {
        let id_line = |id: &String| format!("  commit id     {id}\n");
        format!(
            "{what}, {}: {}\n{}  head version  {head_version}\n  head          {head_id}\n",
            byte_size(bytes.len() as u64),
            out.display(),
            commit_id.as_ref().map(id_line).unwrap_or_default(),
        )
    };
    let json = || {
        let json = json!({
            "bytes": bytes.len(),
            "head_version": head_version,
            "head": head_id,
            "version": version,
            "commit_id": commit_id,
        });
        output::without_nulls(json, &["version", "commit_id"])
    };
    output::show_either(arguments.json, json, text);
    Ok(Exit::Done)
}

fn verify(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let (file, what) = (&arguments.file, "an ancestor proof");
    let proof = input::decode(file, HISTORY_PROOF_BYTES_MAX, what, AncestorProof::decode)?;
    let text = |ancestor: &Ancestor| {
        format!(
            "PROVEN: version {} is an ancestor of the trusted head\n  commit id     {}\n  tree id       {}\n  head version  {}\n",
            ancestor.version,
            hex::encode(ancestor.commit_id),
            hex::encode(ancestor.tree_id),
            ancestor.head_version,
        )
    };
    let fields = |ancestor: Option<&Ancestor>| match ancestor {
        None => json!({}),
        Some(ancestor) => json!({
            "tree_id": hex::encode(ancestor.tree_id),
            "version": ancestor.version,
            "commit_id": hex::encode(ancestor.commit_id),
            "head_version": ancestor.head_version,
        }),
    };
    let verified = proof.verify(&arguments.head.0);
    verdict::print(arguments.json, true, &verified, text, fields)
}

fn verify_consistency(arguments: &VerifyConsistencyArguments) -> Result<Exit, CommandError> {
    let (file, what) = (&arguments.file, "a consistency proof");
    let proof = input::decode(
        file,
        HISTORY_PROOF_BYTES_MAX,
        what,
        ConsistencyProof::decode,
    )?;
    let what = "a commit record";
    let record = arguments
        .older_record
        .as_ref()
        .map(|path| input::decode(path, RECORD_BYTES_MAX, what, CommitRecord::decode));
    let record = record.transpose()?;
    let of_record = || record.as_ref().map(CommitRecord::commit_id);
    // The arguments require one of the two.
    let older = arguments.older.map(|id| id.0).or_else(of_record);
    let older = older.unwrap_or_default();
    let proof = match record {
        None => Ok(proof),
        Some(record) => proof.with_older(record),
    };
    let verified = proof.and_then(|proof| proof.verify(&older, &arguments.head.0));
    let text = |consistent: &Consistent| {
        format!(
            "PROVEN: the history of version {} continues that of version {}\n  tree id       {}\n",
            consistent.head_version,
            consistent.older_version,
            hex::encode(consistent.tree_id),
        )
    };
    let fields = |consistent: Option<&Consistent>| match consistent {
        None => json!({}),
        Some(consistent) => json!({
            "tree_id": hex::encode(consistent.tree_id),
            "older_version": consistent.older_version,
            "head_version": consistent.head_version,
        }),
    };
    verdict::print(arguments.json, true, &verified, text, fields)
}
