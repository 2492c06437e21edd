//! The content of `records.json`: commit records, mountain ranges and a chain of provisional roots, by definition.

use std::collections::BTreeMap;

use trunkline_testkit::naive::{self, Hash, NOTHING, join, keyed};
use trunkline_testkit::vectors::{Decimal, Hex};

use super::form::{
    History, Provisional, RecordVector, Records, RequirementVector, SubmissionVector, WriteVector,
};
use super::states::States;

const HISTORY: [&str; 3] = ["history leaf", "history node", "history root"];
const OUTCOMES: [&str; 3] = ["outcome leaf", "outcome node", "outcomes root"];

pub(super) fn vectors(states: &States) -> Records {
    Records {
        records: records(states),
        histories: ranges(HISTORY, 9, |number| vec![number + 1; 32]),
        outcomes: ranges(OUTCOMES, 6, outcome),
        provisional: provisional(),
    }
}

/// Returns ranges of 0 to `most` items.
fn ranges(labels: [&str; 3], most: u8, item: fn(u8) -> Vec<u8>) -> Vec<History> {
    let range = |count| {
        let items: Vec<Vec<u8>> = (0..count).map(item).collect();
        History {
            digest: range_digest(labels, &items).into(),
            items: items.iter().map(Hex::from).collect(),
        }
    };
    (0..=most).map(range).collect()
}

/// Returns an applied submission, one that displaced keys, three that are refused, and a revert, with idempotency keys
/// of any length.
fn outcome(number: u8) -> Vec<u8> {
    let detail = match number {
        0 => NOTHING,
        1 => {
            let mut displaced = NOTHING;
            displaced[0] = 3;
            displaced
        }
        _ => [0x99; 32],
    };
    let number_of = usize::from(number);
    let code = [0, 0, 1, 2, 3, 4][number_of];
    let key = vec![b'k'; [0, 1, 64, 0, 9, 63][number_of]];
    let sequence = (7 + u64::from(number)).to_le_bytes();
    let head = [&sequence[..], &[number; 32], &[code], &detail].concat();
    [&head[..], &[key.len() as u8], &key].concat()
}

fn range_digest(labels: [&str; 3], items: &[Vec<u8>]) -> Hash {
    let mut body = (items.len() as u64).to_le_bytes().to_vec();
    let mut rest = items;
    while let Some(height) = rest.len().checked_ilog2() {
        let (first, others) = rest.split_at(1 << height);
        body.extend(peak(labels, first));
        rest = others;
    }
    keyed(labels[2], &body)
}

fn peak(labels: [&str; 3], items: &[Vec<u8>]) -> Hash {
    if let [item] = items {
        return keyed(labels[0], item);
    }
    let (older, newer) = items.split_at(items.len() / 2);
    keyed(labels[1], &join(&peak(labels, older), &peak(labels, newer)))
}

fn records(states: &States) -> Vec<RecordVector> {
    let genesis = RecordVector {
        name: "genesis".into(),
        tree_id: states.empty.tree_id().into(),
        version: Decimal(0),
        parent: NOTHING.into(),
        open_epoch: Decimal(0),
        first_sequence: Decimal(0),
        last_sequence: Decimal(0),
        provisional_root: NOTHING.into(),
        outcomes_digest: range_digest(OUTCOMES, &[]).into(),
        state_digest: NOTHING.into(),
        key_count: Decimal(0),
        history_digest: range_digest(HISTORY, &[]).into(),
        metadata: Hex(vec![]),
        bytes: Hex(vec![]),
        commit_id: Hex(vec![]),
    };
    let genesis = sealed(genesis);
    let first = sealed(RecordVector {
        name: "version 1, with metadata".into(),
        tree_id: genesis.tree_id.clone(),
        version: Decimal(1),
        parent: genesis.commit_id.clone(),
        open_epoch: Decimal(2),
        first_sequence: Decimal(1),
        last_sequence: Decimal(3),
        provisional_root: [0x55; 32].into(),
        outcomes_digest: range_digest(OUTCOMES, &[0, 1, 2].map(outcome)).into(),
        state_digest: states.three_keys.state_digest().into(),
        key_count: Decimal(3),
        history_digest: range_digest(HISTORY, std::slice::from_ref(&genesis.commit_id.0)).into(),
        metadata: b"why".into(),
        ..blank()
    });
    let largest = sealed(RecordVector {
        name: "the largest numbers and metadata".into(),
        version: Decimal(u64::MAX),
        open_epoch: Decimal(u64::MAX - 1),
        first_sequence: Decimal(u64::MAX - 3),
        last_sequence: Decimal(u64::MAX - 2),
        key_count: Decimal(u64::MAX - 4),
        metadata: [0x6d; 256].into(),
        ..blank()
    });
    vec![genesis, first, largest]
}

/// Returns a record with a different byte for each digest.
fn blank() -> RecordVector {
    RecordVector {
        name: String::new(),
        tree_id: [1; 32].into(),
        version: Decimal(0),
        parent: [2; 32].into(),
        open_epoch: Decimal(0),
        first_sequence: Decimal(0),
        last_sequence: Decimal(0),
        provisional_root: [3; 32].into(),
        outcomes_digest: [4; 32].into(),
        state_digest: [5; 32].into(),
        key_count: Decimal(0),
        history_digest: [6; 32].into(),
        metadata: Hex(vec![]),
        bytes: Hex(vec![]),
        commit_id: Hex(vec![]),
    }
}

/// Adds its bytes and its commit id.
fn sealed(record: RecordVector) -> RecordVector {
    let number = |number: Decimal| number.0.to_le_bytes();
    let bytes = [
        &2_u16.to_le_bytes()[..],
        &record.tree_id.0,
        &number(record.version),
        &record.parent.0,
        &number(record.open_epoch),
        &number(record.first_sequence),
        &number(record.last_sequence),
        &record.provisional_root.0,
        &record.outcomes_digest.0,
        &record.state_digest.0,
        &number(record.key_count),
        &record.history_digest.0,
        &(record.metadata.0.len() as u16).to_le_bytes(),
        &record.metadata.0,
    ]
    .concat();
    RecordVector {
        commit_id: keyed("commit id", &bytes).into(),
        bytes: bytes.into(),
        ..record
    }
}

fn provisional() -> Provisional {
    let commit_id = [0x11; 32];
    let open_epoch = 4_u64;
    let start = keyed(
        "epoch",
        &[&commit_id[..], &open_epoch.to_le_bytes()].concat(),
    );
    let mut last = start;
    let submissions = submissions().map(|mut submission| {
        let digest = submission_digest(&submission);
        last = keyed("provisional root", &join(&last, &digest));
        submission.submission_digest = digest.into();
        submission.provisional_root = last.into();
        submission
    });
    Provisional {
        last_durable_commit_id: commit_id.into(),
        open_epoch: Decimal(open_epoch),
        start: start.into(),
        submissions: submissions.into(),
    }
}

/// Returns submissions: one write; one key written twice, a delete and requirements; only metadata; several
/// requirements on one key.
fn submissions() -> [SubmissionVector; 4] {
    let put = |key: &str, value: &str| WriteVector {
        key: key.into(),
        value: Some(value.into()),
    };
    let delete = |key: &str| WriteVector {
        key: key.into(),
        value: None,
    };
    let require = |key: &str, value_hash: Option<Hash>| RequirementVector {
        key: key.into(),
        value_hash: value_hash.map(Hex::from),
    };
    let submission = |writes, requirements, metadata: &str| SubmissionVector {
        writes,
        requirements,
        metadata: metadata.into(),
        submission_digest: Hex(vec![]),
        provisional_root: Hex(vec![]),
    };
    [
        submission(vec![put("a", "1")], vec![], ""),
        submission(
            vec![put("b", "early"), delete("a"), put("c", ""), put("b", "2")],
            vec![
                require("a", Some(naive::plain(b"1"))),
                require("b", None),
                require("x", None),
            ],
            "",
        ),
        submission(vec![], vec![], "why"),
        submission(
            vec![put("a", "1")],
            vec![
                require("b", Some(naive::plain(b"3"))),
                require("a", None),
                require("b", None),
                require("b", Some(naive::plain(b"3"))),
            ],
            "",
        ),
    ]
}

fn submission_digest(submission: &SubmissionVector) -> Hash {
    let part = |key: &Hex, value_hash: Option<Hash>| {
        let mut body = naive::plain(&key.0).to_vec();
        body.push(value_hash.is_some().into());
        body.extend(value_hash.unwrap_or(NOTHING));
        (naive::plain(&key.0), body)
    };
    let writes: BTreeMap<Hash, Vec<u8>> = submission
        .writes
        .iter()
        .map(|write| {
            let value_hash = write.value.as_ref().map(|value| naive::plain(&value.0));
            part(&write.key, value_hash)
        })
        .collect();
    let mut requirements: Vec<(Hash, Vec<u8>)> = submission
        .requirements
        .iter()
        .map(|require| part(&require.key, require.value_hash.as_ref().map(Hex::array)))
        .collect();
    requirements.sort_by_key(|(key_hash, _)| *key_hash);
    let mut body = Vec::new();
    for parts in [writes.into_iter().collect(), requirements] {
        body.extend((parts.len() as u64).to_le_bytes());
        body.extend(parts.into_iter().flat_map(|(_, part)| part));
    }
    body.extend((submission.metadata.0.len() as u16).to_le_bytes());
    body.extend(&submission.metadata.0);
    keyed("submission", &body)
}
