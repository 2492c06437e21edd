//! `evidence verify`: checks that a submission has the position that its receipt promised, and its outcome. Needs only
//! the file.
//!
//! Evidence is made by the engine that accepted the submission (`trunkline::Receipt::evidence`).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline::Outcome;
use trunkline::core::evidence::{EVIDENCE_BYTES_MAX, Evidence, VerifiedEvidence};

use crate::arguments::{Hex32, parse_digest};
use crate::error::CommandError;
use crate::output::shown;
use crate::{Exit, input, output, verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check evidence. Exit code 0 if proven, 1 if refused, 2 if the input is unusable.
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the evidence; - is standard input.
    file: PathBuf,
    /// Provisional root from the receipt of the submission, in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    provisional_root: Hex32,
    /// Trusted commit id of the version that holds the submission, in hex (32 bytes).
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    commit_id: Hex32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &EvidenceCommand) -> Result<Exit, CommandError> {
    let EvidenceCommand::Verify(arguments) = command;
    let file = &arguments.file;
    let evidence = input::decode(file, EVIDENCE_BYTES_MAX, "evidence", Evidence::decode)?;
    let verified = evidence.verify(&arguments.provisional_root.0, &arguments.commit_id.0);
    verdict::print(arguments.json, true, &verified, text, fields)
}

fn text(verified: &VerifiedEvidence) -> String {
    let outcome = match verified.outcome {
        Outcome::Applied { displaced: 0 } => "applied".to_owned(),
        Outcome::Applied { displaced } => format!("applied, {displaced} keys displaced"),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
        Outcome::Reverted { commit_id } => {
            format!("reverted to the state of commit {}", hex::encode(commit_id))
        }
    };
    let key = match verified.idempotency_key.bytes() {
        [] => String::new(),
        key => format!("  idempotency   {}\n", shown(key)),
    };
    format!(
        "PROVEN: submission {} has its place in version {}\n  outcome       {outcome}\n{key}  submission    {}\n  tree id       {}\n\
         not shown: what came before the submission\n",
        verified.sequence,
        verified.version,
        hex::encode(verified.submission),
        hex::encode(verified.tree_id),
    )
}

fn fields(verified: Option<&VerifiedEvidence>) -> Value {
    let Some(verified) = verified else {
        return json!({});
    };
    let (displaced, refusal, reverted_to) = match verified.outcome {
        Outcome::Applied { displaced } => (Some(displaced), None, None),
        Outcome::Refused(refusal) => (None, Some(refusal.to_string()), None),
        Outcome::Reverted { commit_id } => (None, None, Some(hex::encode(commit_id))),
    };
    let key = verified.idempotency_key.bytes();
    let fields = json!({
        "tree_id": hex::encode(verified.tree_id),
        "version": verified.version,
        "sequence": verified.sequence,
        "index": verified.index,
        "submission": hex::encode(verified.submission),
        "applied": verified.outcome.is_applied(),
        "displaced": displaced,
        "refusal": refusal,
        "reverted_to": reverted_to,
        "idempotency_key": (!key.is_empty()).then(|| hex::encode(key)),
    });
    output::without_nulls(
        fields,
        &["displaced", "refusal", "reverted_to", "idempotency_key"],
    )
}
