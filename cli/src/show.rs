//! `proof show`: every field of a proof, and what a verifier computes on the way: key hashes, slots,
//! points and values. It says nothing about whether the proof holds.

use serde::Serialize;
use trunkline::core::hash::Digest;
use trunkline::core::kzg::{OpenedVersion, Slot, slot_point};
use trunkline::core::params::{CollisionPolicy, FORMAT, TreeParams};
use trunkline::core::proof::{
    Claim, Entry, Place, Proof, ShownLeaf, Siblings, Terminal, Top, TopOpening, VersionProof,
    opened_slots,
};
use trunkline::core::record::CommitRecord;

use crate::Exit;
use crate::arguments::ShowArguments;
use crate::error::CommandError;
use crate::output;
use crate::verify::read_proof;

pub(crate) fn run(arguments: &ShowArguments) -> Result<Exit, CommandError> {
    let proof = read_proof(&arguments.file)?;
    let shown = ProofJson::of(&proof);
    if arguments.json {
        output::print_json(&shown)?;
    } else {
        output::print(text(&shown)?)?;
    }
    Ok(Exit::Done)
}

/// The same fields as indented lines, lists counted off.
fn text(shown: &ProofJson) -> Result<String, CommandError> {
    let mut text = String::new();
    write_value(&serde_json::to_value(shown)?, 0, &mut text);
    Ok(text)
}

fn write_value(value: &serde_json::Value, indent: usize, text: &mut String) {
    let children: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => return,
    };
    for (name, child) in children {
        let margin = " ".repeat(indent);
        match child {
            serde_json::Value::Object(_) | serde_json::Value::Array(_) => {
                *text += &format!("{margin}{name}\n");
                write_value(child, indent + 2, text);
            }
            serde_json::Value::String(string) => *text += &format!("{margin}{name}  {string}\n"),
            other => *text += &format!("{margin}{name}  {other}\n"),
        }
    }
}

#[derive(Serialize)]
struct ProofJson {
    format: u16,
    tree: TreeJson,
    versions: Vec<VersionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<OpeningJson>,
    /// Why no points and values go with the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct VersionJson {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordJson>,
    entries: Vec<EntryJson>,
    terminals: Vec<TerminalJson>,
    /// Digests beside the paths below the slots, empty ones as zeros.
    siblings: Vec<String>,
    top: TopJson,
}

#[derive(Serialize)]
struct TreeJson {
    tree_id: String,
    salt: Option<String>,
    collision: &'static str,
}

#[derive(Serialize)]
struct RecordJson {
    commit_id: String,
    tree_id: String,
    version: u64,
    parent: String,
    open_epoch: u64,
    first_sequence: u64,
    last_sequence: u64,
    provisional_root: String,
    outcomes_digest: String,
    state_digest: String,
    key_count: u64,
    history_digest: String,
    metadata: String,
}

#[derive(Serialize)]
struct EntryJson {
    key: String,
    key_hash: String,
    slot: usize,
    claim: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hash: Option<String>,
}

#[derive(Serialize)]
struct TerminalJson {
    depth: u8,
    place: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leaves: Vec<LeafJson>,
}

#[derive(Serialize)]
struct LeafJson {
    key_hash: String,
    value_hash: String,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum TopJson {
    Kzg {
        kzg_root: String,
        /// Slots and the values that the opening has to show; none if the claims lead to none.
        slots: Vec<SlotJson>,
    },
    Hash {
        siblings: Vec<String>,
    },
}

/// A slot of a KZG root: its point of evaluation and the value that the claims lead to.
#[derive(Serialize)]
struct SlotJson {
    slot: usize,
    z: String,
    y: String,
}

/// What opens all slots: one point, as a point-evaluation precompile takes it, or the two of an
/// aggregate.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum OpeningJson {
    Single { proof: String },
    Aggregate { quotient: String, opening: String },
}

impl ProofJson {
    fn of(proof: &Proof) -> Self {
        let (opened, problem) = match opened_slots(proof) {
            Ok(opened) => (opened, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let opened_at = |version| opened.iter().find(|opened| opened.version == version);
        let version = |version: &VersionProof| {
            VersionJson::of(version, &proof.params, opened_at(version.version))
        };
        Self {
            format: FORMAT,
            tree: TreeJson::of(&proof.params),
            versions: proof.versions.iter().map(version).collect(),
            opening: proof.opening.as_ref().map(OpeningJson::of),
            problem,
        }
    }
}

impl VersionJson {
    fn of(version: &VersionProof, params: &TreeParams, opened: Option<&OpenedVersion>) -> Self {
        let entry = |entry| EntryJson::of(entry, params);
        Self {
            version: version.version,
            record: version.record.as_ref().map(RecordJson::of),
            entries: version.entries.iter().map(entry).collect(),
            terminals: version.terminals.iter().map(TerminalJson::of).collect(),
            siblings: digests(&version.siblings),
            top: TopJson::of(&version.top, opened),
        }
    }
}

fn digests(siblings: &Siblings) -> Vec<String> {
    siblings.iter().map(hex::encode::<Digest>).collect()
}

impl TreeJson {
    fn of(params: &TreeParams) -> Self {
        Self {
            tree_id: hex::encode(params.tree_id()),
            salt: params.salt.map(hex::encode),
            collision: collision_name(params.collision),
        }
    }
}

/// A collision policy as the configuration writes it.
pub(crate) fn collision_name(collision: CollisionPolicy) -> &'static str {
    match collision {
        CollisionPolicy::Bucket => "bucket",
        CollisionPolicy::Overwrite => "overwrite",
        CollisionPolicy::Reject => "reject",
    }
}

impl RecordJson {
    fn of(record: &CommitRecord) -> Self {
        Self {
            commit_id: hex::encode(record.commit_id()),
            tree_id: hex::encode(record.tree_id),
            version: record.version,
            parent: hex::encode(record.parent),
            open_epoch: record.open_epoch,
            first_sequence: record.first_sequence,
            last_sequence: record.last_sequence,
            provisional_root: hex::encode(record.provisional_root),
            outcomes_digest: hex::encode(record.outcomes_digest),
            state_digest: hex::encode(record.state_digest),
            key_count: record.key_count,
            history_digest: hex::encode(record.history_digest),
            metadata: hex::encode(&record.metadata),
        }
    }
}

impl EntryJson {
    fn of(entry: &Entry, params: &TreeParams) -> Self {
        let key_hash = params.key_hash(&entry.key);
        let (claim, value) = match &entry.claim {
            Claim::Present(value) => ("present", Some(hex::encode(value))),
            Claim::PresentHash(_) => ("present_hash", None),
            Claim::Absent => ("absent", None),
        };
        Self {
            key: hex::encode(&entry.key),
            key_hash: hex::encode(key_hash),
            slot: Slot::of_key_hash(&key_hash).index(),
            claim,
            value,
            value_hash: entry.claim.value_hash().map(hex::encode),
        }
    }
}

impl TerminalJson {
    fn of(terminal: &Terminal) -> Self {
        let (place, leaves) = match &terminal.place {
            Place::Empty => ("empty", &[][..]),
            Place::OwnLeaf => ("own_leaf", &[][..]),
            Place::OtherLeaf(leaf) => ("other_leaf", std::slice::from_ref(leaf)),
            Place::Bucket(members) => ("bucket", &members[..]),
        };
        Self {
            depth: terminal.depth,
            place,
            leaves: leaves.iter().map(LeafJson::of).collect(),
        }
    }
}

impl LeafJson {
    fn of(leaf: &ShownLeaf) -> Self {
        Self {
            key_hash: hex::encode(leaf.key_hash),
            value_hash: hex::encode(leaf.value_hash),
        }
    }
}

impl TopJson {
    fn of(top: &Top, opened: Option<&OpenedVersion>) -> Self {
        match top {
            Top::Hash { siblings } => Self::Hash {
                siblings: digests(siblings),
            },
            Top::Kzg { kzg_root } => Self::Kzg {
                kzg_root: hex::encode(kzg_root),
                slots: opened.map_or_else(Vec::new, SlotJson::all),
            },
        }
    }
}

impl SlotJson {
    fn all(opened: &OpenedVersion) -> Vec<Self> {
        let slot = |(slot, value): &(Slot, [u8; 32])| Self {
            slot: slot.index(),
            z: hex::encode(slot_point(*slot)),
            y: hex::encode(value),
        };
        opened.slots.iter().map(slot).collect()
    }
}

impl OpeningJson {
    fn of(opening: &TopOpening) -> Self {
        match opening {
            TopOpening::Single(proof) => Self::Single {
                proof: hex::encode(proof.0),
            },
            TopOpening::Aggregate(aggregate) => Self::Aggregate {
                quotient: hex::encode(aggregate.quotient.0),
                opening: hex::encode(aggregate.opening.0),
            },
        }
    }
}
