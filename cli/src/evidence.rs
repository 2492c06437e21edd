//! `evidence verify`: whether a submission stands at the place that was promised, and its outcome. Needs
//! nothing but the file.
//!
//! Evidence is made by the engine that accepted the submission (`trunkline::Receipt::evidence`).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use trunkline::Outcome;
use trunkline::core::evidence::{EVIDENCE_BYTES_MAX, Evidence, VerifiedEvidence};

use crate::arguments::{Hex32, parse_digest};
use crate::error::CommandError;
use crate::{Exit, input, verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check evidence: exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the evidence; - is standard input.
    file: PathBuf,
    /// Provisional root that the submission's receipt gave, in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    provisional_root: Hex32,
    /// Trusted commit id of the submission's version in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    commit_id: Hex32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &EvidenceCommand) -> Result<Exit, CommandError> {
    let EvidenceCommand::Verify(arguments) = command;
    let evidence = input::decode(
        &arguments.file,
        EVIDENCE_BYTES_MAX,
        "evidence",
        Evidence::decode,
    )?;
    let (promised, commit_id) = (&arguments.provisional_root.0, &arguments.commit_id.0);
    let verified = evidence.verify(promised, commit_id);
    verdict::tell(arguments.json, verified, text, Json::of)
}

fn text(verified: &VerifiedEvidence) -> String {
    let outcome = match verified.outcome {
        Outcome::Applied { displaced: 0 } => "applied".to_owned(),
        Outcome::Applied { displaced } => format!("applied, {displaced} keys displaced"),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
    };
    format!(
        "PROVEN: submission {} stands at its place in version {}\n  outcome       {outcome}\n  submission    {}\n  tree id       {}\n",
        verified.sequence,
        verified.version,
        hex::encode(verified.submission),
        hex::encode(verified.tree_id),
    )
}

#[derive(Serialize)]
struct Json {
    tree_id: String,
    version: u64,
    sequence: u64,
    index: u64,
    submission: String,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    evicted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl Json {
    fn of(verified: &VerifiedEvidence) -> Self {
        let (evicted, refusal) = match verified.outcome {
            Outcome::Applied { displaced } => (Some(displaced), None),
            Outcome::Refused(refusal) => (None, Some(refusal.to_string())),
        };
        Self {
            tree_id: hex::encode(verified.tree_id),
            version: verified.version,
            sequence: verified.sequence,
            index: verified.index,
            submission: hex::encode(verified.submission),
            applied: verified.outcome.is_applied(),
            evicted,
            refusal,
        }
    }
}
