//! `proof show`: prints every field of a proof and what a verifier computes from it: key hashes, slots, points and
//! values. Proves nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline::core::hash::Digest;
use trunkline::core::kzg::{OpenedVersion, Slot, slot_point};
use trunkline::core::params::{CollisionPolicy, FORMAT, TreeParams};
use trunkline::core::proof::{
    Claim, Entry, Place, Proof, ShownLeaf, Siblings, Terminal, Top, TopOpening, VersionProof,
    opened_slots,
};
use trunkline::core::record::CommitRecord;

use crate::Exit;
use crate::error::CommandError;
use crate::input;
use crate::output::{self, without_nulls};

#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Print every field of a proof and what a verifier computes from it. Proves nothing.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// File of the proof; - is standard input.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &ProofCommand) -> Result<Exit, CommandError> {
    let ProofCommand::Show(arguments) = command;
    let shown = proof_json(&input::proof(&arguments.file)?);
    output::print_either(arguments.json, || &shown, || lines(&shown, 0))?;
    Ok(Exit::Done)
}

/// Returns the same fields as indented lines. Items of a list are numbered.
fn lines(value: &Value, indent: usize) -> String {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered
                .map(|(index, item)| (index.to_string(), item))
                .collect()
        }
        _ => Vec::new(),
    };
    let line = |(name, child): (String, &Value)| {
        let name = format!("{:indent$}{name}", "");
        match child {
            Value::Object(_) | Value::Array(_) => format!("{name}\n{}", lines(child, indent + 2)),
            Value::String(string) => format!("{name}  {string}\n"),
            other => format!("{name}  {other}\n"),
        }
    };
    children.into_iter().map(line).collect()
}

fn proof_json(proof: &Proof) -> Value {
    let (opened, problem) = match opened_slots(proof) {
        Ok(opened) => (opened, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let version = |version: &VersionProof| {
        let opened = opened
            .iter()
            .find(|opened| opened.version == version.version);
        version_json(version, &proof.params, opened)
    };
    let json = json!({
        "format": FORMAT,
        "tree": {
            "tree_id": hex::encode(proof.params.tree_id()),
            "nonce": hex::encode(proof.params.nonce),
            "salt": proof.params.salt_bytes().map(hex::encode),
            "collision": collision_name(proof.params.collision),
        },
        "versions": list(&proof.versions, version),
        "opening": proof.opening.as_ref().map(opening_json),
        // The reason why the opening has no points and values.
        "problem": problem,
    });
    without_nulls(json, &["opening", "problem"])
}

fn list<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T>,
    json: impl FnMut(&'a T) -> Value,
) -> Value {
    items.into_iter().map(json).collect()
}

fn version_json(
    version: &VersionProof,
    params: &TreeParams,
    opened: Option<&OpenedVersion>,
) -> Value {
    let json = json!({
        "version": version.version,
        "record": version.record.as_ref().map(record_json),
        "entries": list(&version.entries, |entry| entry_json(entry, params)),
        "terminals": list(&version.terminals, terminal_json),
        "siblings": digests(&version.siblings),
        "top": top_json(&version.top, opened),
    });
    without_nulls(json, &["record"])
}

fn digests(siblings: &Siblings) -> Vec<String> {
    siblings.iter().map(hex::encode::<Digest>).collect()
}

/// Returns a collision policy as the configuration writes it.
pub(crate) fn collision_name(collision: CollisionPolicy) -> &'static str {
    match collision {
        CollisionPolicy::Bucket => "bucket",
        CollisionPolicy::Overwrite => "overwrite",
        CollisionPolicy::Reject => "reject",
    }
}

fn record_json(record: &CommitRecord) -> Value {
    json!({
        "commit_id": hex::encode(record.commit_id()),
        "tree_id": hex::encode(record.tree_id),
        "version": record.version,
        "parent": hex::encode(record.parent),
        "open_epoch": record.open_epoch,
        "first_sequence": record.first_sequence,
        "last_sequence": record.last_sequence,
        "provisional_root": hex::encode(record.provisional_root),
        "outcomes_digest": hex::encode(record.outcomes_digest),
        "state_digest": hex::encode(record.state_digest),
        "key_count": record.key_count,
        "history_digest": hex::encode(record.history_digest),
        "metadata": hex::encode(&record.metadata),
    })
}

fn entry_json(entry: &Entry, params: &TreeParams) -> Value {
    let key_hash = params.key_hash(&entry.key);
    let (claim, value) = match &entry.claim {
        Claim::Present(value) => ("present", Some(hex::encode(value))),
        Claim::PresentHash(_) => ("present_hash", None),
        Claim::Absent => ("absent", None),
    };
    let json = json!({
        "key": hex::encode(&entry.key),
        "key_hash": hex::encode(key_hash),
        "slot": Slot::of_key_hash(&key_hash).index(),
        "claim": claim,
        "value": value,
        "value_hash": entry.claim.value_hash().map(hex::encode),
    });
    without_nulls(json, &["value", "value_hash"])
}

fn terminal_json(terminal: &Terminal) -> Value {
    let (place, leaves) = match &terminal.place {
        Place::Empty => ("empty", &[][..]),
        Place::OwnLeaf => ("own_leaf", &[][..]),
        Place::OtherLeaf(leaf) => ("other_leaf", std::slice::from_ref(leaf)),
        Place::Bucket(members) => ("bucket", &members[..]),
    };
    let leaf = |leaf: &ShownLeaf| json!({"key_hash": hex::encode(leaf.key_hash), "value_hash": hex::encode(leaf.value_hash)});
    let leaves = (!leaves.is_empty()).then(|| list(leaves, leaf));
    let json = json!({"depth": terminal.depth, "place": place, "leaves": leaves});
    without_nulls(json, &["leaves"])
}

/// Returns the top of a version. With a KZG root, each slot has its point of evaluation `z` and the value `y` that the
/// claims lead to.
fn top_json(top: &Top, opened: Option<&OpenedVersion>) -> Value {
    let slot = |(slot, value): &(Slot, [u8; 32])| {
        json!({
            "slot": slot.index(),
            "z": hex::encode(slot_point(*slot)),
            "y": hex::encode(value),
        })
    };
    match top {
        Top::Hash { siblings } => json!({"kind": "hash", "siblings": digests(siblings)}),
        Top::Kzg { kzg_root } => json!({
            "kind": "kzg",
            "kzg_root": hex::encode(kzg_root),
            "slots": list(opened.iter().flat_map(|opened| &opened.slots), slot),
        }),
    }
}

/// Returns the points that open all slots: one point, as a point-evaluation precompile takes it, or the two of an
/// aggregate.
fn opening_json(opening: &TopOpening) -> Value {
    match opening {
        TopOpening::Single(proof) => json!({"kind": "single", "proof": hex::encode(proof.0)}),
        TopOpening::Aggregate(aggregate) => json!({
            "kind": "aggregate",
            "quotient": hex::encode(aggregate.quotient.0),
            "opening": hex::encode(aggregate.opening.0),
        }),
    }
}
