//! `history`: the head to hold on to, proofs that an older version is its ancestor, and that a later head
//! goes on where an older one ended.
//!
//! Verifying needs nothing but the files. Not here: what a version holds (`prove`, `verify`).

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use trunkline::core::hash::Digest;
use trunkline::core::history::{
    Ancestor, AncestorProof, ConsistencyProof, Consistent, HISTORY_PROOF_BYTES_MAX,
};
use trunkline::core::record::{CommitRecord, RECORD_BYTES_MAX};
use trunkline::core::wire::DecodeError;

use crate::arguments::{Hex32, parse_digest};
use crate::error::CommandError;
use crate::input;
use crate::output::{self, byte_size};
use crate::single::open_read_only;
use crate::{Exit, verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Write the commit record of the last durable version: what to hold on to, to ask later whether the
    /// history went on from there.
    Head(HeadArguments),
    /// Prove that an older version is an ancestor of the last durable one, and what its commit id is.
    #[command(disable_version_flag = true)]
    Prove(ProveArguments),
    /// Check such a proof: exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(VerifyArguments),
    /// Prove and check that a history went on from an older head.
    #[command(subcommand)]
    Consistency(ConsistencyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConsistencyCommand {
    /// Prove that the history of the last durable version goes on where that of an older one ended.
    Prove(ProveConsistencyArguments),
    /// Check such a proof: exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(VerifyConsistencyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct HeadArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// File that the record is written to; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// The older version.
    #[arg(long)]
    version: u64,
    /// File that the proof is written to; - is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// Version of the older head.
    #[arg(long)]
    older: u64,
    /// File that the proof is written to; - is standard output. It carries no record of the older head:
    /// whoever checks it holds that.
    #[arg(long)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyConsistencyArguments {
    /// File of the proof; - is standard input.
    file: PathBuf,
    /// Commit id of the older head in hex (32 bytes); without it that of the record is taken.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, required_unless_present = "older_record")]
    older: Option<Hex32>,
    /// File with the commit record of the older head, as `history head` wrote it; without it the proof must
    /// carry one.
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
    let snapshot = open_read_only(&arguments.dir)?.snapshot();
    let record = snapshot.record();
    write(
        "the commit record of the last durable version",
        record,
        None,
        &record.encode(),
        &arguments.out,
        arguments.json,
    )
}

fn prove(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let proof = open_read_only(&arguments.dir)?.prove_ancestor(arguments.version)?;
    let what = format!("a proof of version {}", proof.version);
    let older = Some((proof.version, Some(proof.commit_id)));
    let (bytes, out) = (proof.encode()?, &arguments.out);
    write(&what, &proof.head, older, &bytes, out, arguments.json)
}

fn prove_consistency(arguments: &ProveConsistencyArguments) -> Result<Exit, CommandError> {
    let proof = open_read_only(&arguments.dir)?.prove_consistency(arguments.older)?;
    let what = format!(
        "a proof that the history goes on from version {}",
        arguments.older
    );
    let (bytes, out) = (proof.encode()?, &arguments.out);
    let older = Some((arguments.older, None));
    write(&what, &proof.head, older, &bytes, out, arguments.json)
}

/// Writes a file, and says what is in it unless that is standard output itself.
fn write(
    what: &str,
    head: &CommitRecord,
    older: Option<(u64, Option<Digest>)>,
    bytes: &[u8],
    out: &Path,
    json: bool,
) -> Result<Exit, CommandError> {
    if out == Path::new("-") {
        output::print(bytes)?;
        return Ok(Exit::Done);
    }
    std::fs::write(out, bytes).map_err(CommandError::file("write", out))?;
    let (head_version, head_id) = (head.version, hex::encode(head.commit_id()));
    let (version, commit_id) = older.unzip();
    let commit_id = commit_id.flatten().map(hex::encode);
    if json {
        output::print_json(&Written {
            bytes: bytes.len(),
            head_version,
            head: head_id,
            version,
            commit_id,
        })?;
        return Ok(Exit::Done);
    }
    let mut text = format!(
        "{what}, {}: {}\n",
        byte_size(bytes.len() as u64),
        out.display()
    );
    if let Some(commit_id) = commit_id {
        text += &format!("  commit id     {commit_id}\n");
    }
    text += &format!("  head version  {head_version}\n  head          {head_id}\n");
    output::print(text)?;
    Ok(Exit::Done)
}

/// What was written, for programs.
#[derive(Serialize)]
struct Written {
    bytes: usize,
    head_version: u64,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_id: Option<String>,
}

fn verify(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let proof = input::decode(
        &arguments.file,
        HISTORY_PROOF_BYTES_MAX,
        "an ancestor proof",
        AncestorProof::decode,
    )?;
    let verified = proof.verify(&arguments.head.0);
    verdict::tell(arguments.json, verified, ancestor_text, AncestorJson::of)
}

fn ancestor_text(ancestor: &Ancestor) -> String {
    format!(
        "PROVEN: version {} is an ancestor of the trusted head\n  commit id     {}\n  tree id       {}\n  head version  {}\n",
        ancestor.version,
        hex::encode(ancestor.commit_id),
        hex::encode(ancestor.tree_id),
        ancestor.head_version,
    )
}

#[derive(Serialize)]
struct AncestorJson {
    tree_id: String,
    version: u64,
    commit_id: String,
    head_version: u64,
}

impl AncestorJson {
    fn of(ancestor: &Ancestor) -> Self {
        Self {
            tree_id: hex::encode(ancestor.tree_id),
            version: ancestor.version,
            commit_id: hex::encode(ancestor.commit_id),
            head_version: ancestor.head_version,
        }
    }
}

fn verify_consistency(arguments: &VerifyConsistencyArguments) -> Result<Exit, CommandError> {
    let mut proof = input::decode(
        &arguments.file,
        HISTORY_PROOF_BYTES_MAX,
        "a consistency proof",
        ConsistencyProof::decode,
    )?;
    let mut older = arguments.older.map(|id| id.0);
    if let Some(path) = &arguments.older_record {
        let read = |bytes: &[u8]| CommitRecord::decode(bytes).map_err(DecodeError::from);
        let record = input::decode(path, RECORD_BYTES_MAX, "a commit record", read)?;
        older.get_or_insert(record.commit_id());
        proof = proof.with_older(record);
    }
    // Without either the arguments are refused.
    let verified = proof.verify(&older.unwrap_or_default(), &arguments.head.0);
    verdict::tell(
        arguments.json,
        verified,
        consistent_text,
        ConsistentJson::of,
    )
}

fn consistent_text(consistent: &Consistent) -> String {
    format!(
        "PROVEN: the history of version {} goes on where that of version {} ended\n  tree id       {}\n",
        consistent.head_version,
        consistent.older_version,
        hex::encode(consistent.tree_id),
    )
}

#[derive(Serialize)]
struct ConsistentJson {
    tree_id: String,
    older_version: u64,
    head_version: u64,
}

impl ConsistentJson {
    fn of(consistent: &Consistent) -> Self {
        Self {
            tree_id: hex::encode(consistent.tree_id),
            older_version: consistent.older_version,
            head_version: consistent.head_version,
        }
    }
}
