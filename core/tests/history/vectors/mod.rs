//! The contents of `history.json` and `evidence.json`, made by the model.
//!
//! The crate is compared with them elsewhere.

mod ancestors;
mod consistency;
mod evidence;
mod made_up;
mod parts;

use serde::{Deserialize, Serialize};
use trunkline_testkit::vectors::{AnsweredVector, Decimal, Hex, VectorFile};

/// The content of `history.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryVectors {
    pub(crate) ancestors: Vec<AncestorVector>,
    pub(crate) consistency: Vec<ConsistencyVector>,
}

pub(crate) type AncestorVector = AnsweredVector<TrustedHead, ShownAncestor>;
pub(crate) type ConsistencyVector = AnsweredVector<TrustedHeads, ShownConsistency>;
/// An item of the list in `evidence.json`.
pub(crate) type EvidenceVector = AnsweredVector<TrustedPlace, ShownEvidence>;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedHead {
    pub(crate) head: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownAncestor {
    pub(crate) tree_id: Hex,
    pub(crate) version: Decimal,
    pub(crate) commit_id: Hex,
    pub(crate) head_version: Decimal,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedHeads {
    pub(crate) older: Hex,
    pub(crate) head: Hex,
    /// The record of the older head, if the client adds it.
    pub(crate) older_record: Option<Hex>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownConsistency {
    pub(crate) tree_id: Hex,
    pub(crate) older_version: Decimal,
    pub(crate) head_version: Decimal,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedPlace {
    pub(crate) provisional_root: Hex,
    pub(crate) commit_id: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownEvidence {
    pub(crate) tree_id: Hex,
    pub(crate) version: Decimal,
    pub(crate) sequence: Decimal,
    pub(crate) index: Decimal,
    pub(crate) submission: Hex,
    /// The encoded outcome.
    pub(crate) outcome: Hex,
}

/// Makes both files.
pub(crate) fn made() -> [VectorFile; 2] {
    let history = HistoryVectors {
        ancestors: ancestors::vectors(),
        consistency: consistency::vectors(),
    };
    [
        VectorFile::new("history.json", &history),
        VectorFile::new("evidence.json", &evidence::vectors()),
    ]
}
