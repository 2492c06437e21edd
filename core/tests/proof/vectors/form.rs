//! The form of the vectors, as described in `tests/vectors/README.md`.

use serde::{Deserialize, Serialize};
use trunkline_core::proof::{Claim, Entry};
use trunkline_testkit::vectors::{Decimal, Hex, Trusted};

/// An item of the list in `states.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateVector {
    pub(crate) name: String,
    pub(crate) nonce: Hex,
    pub(crate) salt: Option<Hex>,
    pub(crate) policy: u8,
    pub(crate) tree_id: Hex,
    pub(crate) leaves: Vec<LeafVector>,
    pub(crate) slots: Vec<SlotVector>,
    pub(crate) state_digest: Hex,
    pub(crate) kzg_root: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeafVector {
    pub(crate) key: Option<Hex>,
    pub(crate) value: Option<Hex>,
    pub(crate) key_hash: Hex,
    pub(crate) value_hash: Hex,
    pub(crate) leaf_digest: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlotVector {
    pub(crate) slot: u8,
    pub(crate) digest: Hex,
}

/// The content of `records.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Records {
    pub(crate) records: Vec<RecordVector>,
    pub(crate) histories: Vec<History>,
    pub(crate) outcomes: Vec<History>,
    pub(crate) provisional: Provisional,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordVector {
    pub(crate) name: String,
    pub(crate) tree_id: Hex,
    pub(crate) version: Decimal,
    pub(crate) parent: Hex,
    pub(crate) open_epoch: Decimal,
    pub(crate) first_sequence: Decimal,
    pub(crate) last_sequence: Decimal,
    pub(crate) provisional_root: Hex,
    pub(crate) outcomes_digest: Hex,
    pub(crate) state_digest: Hex,
    pub(crate) key_count: Decimal,
    pub(crate) history_digest: Hex,
    pub(crate) metadata: Hex,
    pub(crate) bytes: Hex,
    pub(crate) commit_id: Hex,
}

/// A mountain range over these items.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    pub(crate) items: Vec<Hex>,
    pub(crate) digest: Hex,
}

/// A chain of provisional roots.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provisional {
    pub(crate) last_durable_commit_id: Hex,
    pub(crate) open_epoch: Decimal,
    pub(crate) start: Hex,
    pub(crate) submissions: Vec<SubmissionVector>,
}

/// A caller's submission, in the caller's order, in a tree without salt.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmissionVector {
    pub(crate) writes: Vec<WriteVector>,
    pub(crate) requirements: Vec<RequirementVector>,
    pub(crate) metadata: Hex,
    pub(crate) submission_digest: Hex,
    pub(crate) provisional_root: Hex,
}

/// A put, or a delete if there is no value.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteVector {
    pub(crate) key: Hex,
    pub(crate) value: Option<Hex>,
}

/// A value hash, or "absent" if there is none.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequirementVector {
    pub(crate) key: Hex,
    pub(crate) value_hash: Option<Hex>,
}

/// An item of the list in `proofs.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofVector {
    pub(crate) name: String,
    pub(crate) proof: Hex,
    pub(crate) trusted: Vec<Trusted>,
    pub(crate) claims: Vec<VersionClaims>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionClaims {
    /// The name of a state of `states.json`.
    pub(crate) state: String,
    pub(crate) version: Decimal,
    pub(crate) entries: Vec<ClaimedEntry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimedEntry {
    pub(crate) key: Hex,
    pub(crate) claim: Claimed,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Claimed {
    Value(Hex),
    ValueHash(Hex),
    Absent,
}

impl From<&Entry> for ClaimedEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            key: Hex::from(&entry.key),
            claim: match &entry.claim {
                Claim::Present(value) => Claimed::Value(value.into()),
                Claim::PresentHash(value_hash) => Claimed::ValueHash(value_hash.into()),
                Claim::Absent => Claimed::Absent,
            },
        }
    }
}

/// An item of the lists of refused proofs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedVector {
    pub(crate) name: String,
    /// A name of SPEC.md §10, or `malformed`.
    pub(crate) rule: String,
    /// The reason why it is malformed, as this crate names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) malformed: Option<String>,
    pub(crate) why: String,
    pub(crate) proof: Hex,
    pub(crate) trusted: Vec<Trusted>,
}
