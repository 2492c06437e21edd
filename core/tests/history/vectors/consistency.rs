//! Consistency proofs: some that hold, and some that break each rule.

use trunkline_core::history::ConsistencyProof;
use trunkline_core::params::FORMAT;
use trunkline_core::record::CommitRecord;
use trunkline_testkit::vectors::{ACCEPTED, Decimal, Hex};
use trunkline_testkit::wire_mutations::Message;

use super::parts::{bytes, malformed, number, refused, row, spoilt_records, spoilt_row};
use super::{ConsistencyVector, ShownConsistency, TrustedHeads, made_up};
use crate::model::{Chain, HISTORY, Hash, digest, extension, keyed, peaks};

/// A consistency proof with its trusted heads, and with the older record if the client adds it.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) proof: ConsistencyProof,
    pub(super) older: Hash,
    pub(super) head: Hash,
    pub(super) older_record: Option<CommitRecord>,
}

impl Case {
    fn of(chain: &Chain, older: usize, head: usize) -> Self {
        Self {
            proof: chain.consistency(older, head),
            older: chain.ids[older],
            head: chain.ids[head],
            older_record: None,
        }
    }

    /// The client adds the record, and the proof does not carry it.
    fn with_added_record(mut self) -> Self {
        self.older_record = self.proof.older.take();
        self
    }

    /// The client adds the record, and the proof carries it, too.
    fn with_both_records(mut self) -> Self {
        self.older_record = self.proof.older.clone();
        self
    }

    fn name(&self) -> String {
        let older = self.proof.older.as_ref().or(self.older_record.as_ref());
        let (older, head) = (older.unwrap().version, self.proof.head.version);
        let carried = match (&self.proof.older, &self.older_record) {
            (Some(_), None) => "carried",
            (None, _) => "added by the client",
            (Some(_), Some(_)) => "carried and added",
        };
        format!("version {older} to version {head}, the older record is {carried}")
    }

    fn trusted(&self) -> TrustedHeads {
        TrustedHeads {
            older: self.older.into(),
            head: self.head.into(),
            older_record: self
                .older_record
                .as_ref()
                .map(|record| Hex::from(record.encode())),
        }
    }

    fn accepted(&self) -> ConsistencyVector {
        self.accepted_as("original")
    }

    fn accepted_as(&self, mutation: &str) -> ConsistencyVector {
        let older = self.proof.older.as_ref().or(self.older_record.as_ref());
        let shown = ShownConsistency {
            tree_id: self.proof.head.tree_id.into(),
            older_version: Decimal(older.unwrap().version),
            head_version: Decimal(self.proof.head.version),
        };
        ConsistencyVector {
            shown: Some(shown),
            ..self.refused(&self.name(), mutation, ACCEPTED)
        }
    }

    fn refused(&self, of: &str, mutation: &str, rule: &str) -> ConsistencyVector {
        let bytes = self.proof.encode().unwrap();
        refused(of, mutation, rule, bytes, self.trusted())
    }

    /// Changes the proof or its trusted heads.
    fn changed(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut Self),
    ) -> ConsistencyVector {
        let mut changed = self.clone();
        change(&mut changed);
        changed.refused(&self.name(), mutation, rule)
    }

    /// Changes the head's record, and trusts the changed one.
    fn with_head(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut CommitRecord),
    ) -> ConsistencyVector {
        let mutation = format!("{mutation}, trusted");
        self.changed(&mutation, rule, |case| {
            change(&mut case.proof.head);
            case.head = keyed("commit id", &case.proof.head.encode());
        })
    }

    /// Changes the older record, and trusts the changed one.
    fn with_older(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut CommitRecord),
    ) -> ConsistencyVector {
        let mutation = format!("{mutation}, trusted");
        self.changed(&mutation, rule, |case| {
            let older = case.proof.older.as_mut().unwrap();
            change(older);
            case.older = keyed("commit id", &older.encode());
        })
    }

    fn message(&self) -> Message {
        let proof = &self.proof;
        let message = Message::new([
            number(FORMAT.into()),
            bytes(
                proof
                    .older
                    .as_ref()
                    .map(CommitRecord::encode)
                    .unwrap_or_default(),
            ),
            bytes(proof.head.encode()),
            row(&proof.peaks),
            row(&proof.nodes),
        ]);
        assert_eq!(message.encode(), proof.encode().unwrap());
        message
    }
}

pub(super) fn vectors() -> Vec<ConsistencyVector> {
    let chain = Chain::new(23);
    let case = |(older, head): &(usize, usize)| Case::of(&chain, *older, *head);
    let ends = [
        (0, 1),
        (0, 2),
        (0, 8),
        (1, 2),
        (1, 3),
        (2, 3),
        (3, 4),
        (3, 23),
        (6, 22),
        (7, 8),
        (7, 23),
        (8, 16),
        (22, 23),
    ];
    let mut cases: Vec<Case> = ends.iter().map(case).collect();
    let added = [(0, 2), (1, 2), (7, 8), (8, 16), (12, 20)];
    cases.extend(added.iter().map(|ends| case(ends).with_added_record()));
    let both = [(0, 2), (2, 3), (8, 16)];
    cases.extend(both.iter().map(|ends| case(ends).with_both_records()));
    let huge = made_up::unbounded_consistency();
    cases.extend(huge.iter().cloned());
    let mut vectors: Vec<ConsistencyVector> = cases.iter().map(Case::accepted).collect();
    vectors.extend(of_records(&chain));
    vectors.extend(of_heads(&chain));
    vectors.extend(of_digests(&chain));
    vectors.extend(of_histories(&chain));
    vectors.extend(of_parents(&chain, &huge[0]));
    vectors.extend(of_unbounded(&huge));
    vectors.extend(of_numbers());
    vectors.extend(of_bytes(&Case::of(&chain, 3, 7)));
    vectors
}

/// The older record is missing, or a record is not the trusted one.
fn of_records(chain: &Chain) -> Vec<ConsistencyVector> {
    let case = Case::of(chain, 3, 11);
    let of = |mutation, rule, change: fn(&mut ConsistencyProof)| {
        case.changed(mutation, rule, |case| change(&mut case.proof))
    };
    let added = case.clone().with_added_record();
    let both = case.clone().with_both_records();
    vec![
        of("no older record", "NeedsOlder", |proof| proof.older = None),
        of("an older record of another state", "OlderCommit", |proof| {
            proof.older.as_mut().unwrap().state_digest[0] ^= 1;
        }),
        of("the older record is the head's", "OlderCommit", |proof| {
            proof.older = Some(proof.head.clone());
        }),
        of("records swapped", "OlderCommit", |proof| {
            let older = proof.older.as_mut().unwrap();
            std::mem::swap(older, &mut proof.head);
        }),
        case.changed("another older head is trusted", "OlderCommit", |case| {
            case.older = chain.ids[2];
        }),
        case.changed("no older head is trusted", "OlderCommit", |case| {
            case.older = [0; 32];
        }),
        case.changed("trusted heads swapped", "OlderCommit", |case| {
            std::mem::swap(&mut case.older, &mut case.head);
        }),
        added.changed("the client adds another record", "OlderCommit", |case| {
            case.older_record = Some(chain.records[4].clone());
        }),
        both.changed("the client adds another record", "OtherOlder", |case| {
            case.older_record = Some(chain.records[4].clone());
        }),
        both.changed("the proof carries another record", "OtherOlder", |case| {
            case.proof.older = Some(chain.records[4].clone());
        }),
        both.changed(
            "the proof carries a record of another state",
            "OtherOlder",
            |case| {
                case.proof.older.as_mut().unwrap().state_digest[0] ^= 1;
            },
        ),
        both.changed("another older head is trusted", "OlderCommit", |case| {
            case.older = chain.ids[4];
        }),
        of("a head of another state", "HeadCommit", |proof| {
            proof.head.state_digest[0] ^= 1;
        }),
        of("a head of another tree", "HeadCommit", |proof| {
            proof.head.tree_id[0] ^= 1;
        }),
        of(
            "the record of the version before the head",
            "HeadCommit",
            |proof| {
                proof.head.version -= 1;
            },
        ),
        case.changed("another head is trusted", "HeadCommit", |case| {
            case.head = chain.ids[10];
        }),
        case.changed("no head is trusted", "HeadCommit", |case| {
            case.head = [0; 32];
        }),
    ]
}

/// Trusted heads that do not follow each other.
fn of_heads(chain: &Chain) -> Vec<ConsistencyVector> {
    let case = Case::of(chain, 3, 11);
    let another_tree = |head: &mut CommitRecord| head.tree_id = [0x99; 32];
    vec![
        case.with_head("a head of another tree", "Tree", another_tree),
        case.clone()
            .with_added_record()
            .with_head("a head of another tree", "Tree", another_tree),
        case.with_older("an older head of another tree", "Tree", another_tree),
        case.changed("the older head is the head, trusted", "NotOlder", |case| {
            case.proof.older = Some(case.proof.head.clone());
            case.older = case.head;
        }),
        case.changed("heads swapped, trusted", "NotOlder", |case| {
            let older = case.proof.older.as_mut().unwrap();
            std::mem::swap(older, &mut case.proof.head);
            std::mem::swap(&mut case.older, &mut case.head);
        }),
        case.with_head("a head of the same version", "NotOlder", |head| {
            head.version = 3
        }),
        case.with_head("a head of version 0", "NotOlder", |head| head.version = 0),
        case.with_older("an older head of version 2^64 - 1", "NotOlder", |older| {
            older.version = u64::MAX;
        }),
    ]
}

/// The peaks or the nodes differ.
fn of_digests(chain: &Chain) -> Vec<ConsistencyVector> {
    let case = Case::of(chain, 3, 11);
    let of = |mutation, rule, change: fn(&mut ConsistencyProof)| {
        case.changed(mutation, rule, |case| change(&mut case.proof))
    };
    vec![
        of("no peaks", "PeakCount", |proof| proof.peaks.clear()),
        of("a peak less", "PeakCount", |proof| proof.peaks.truncate(1)),
        of("a peak more", "PeakCount", |proof| {
            proof.peaks.push([7; 32])
        }),
        of("peaks swapped", "OlderHistory", |proof| {
            proof.peaks.swap(0, 1)
        }),
        of("a bit of a peak", "OlderHistory", |proof| {
            proof.peaks[1][7] ^= 1
        }),
        of("no nodes", "NodeCount", |proof| proof.nodes.clear()),
        of("a node less", "NodeCount", |proof| {
            proof.nodes.pop();
        }),
        of("a node more", "NodeCount", |proof| {
            proof.nodes.push([7; 32])
        }),
        of("nodes swapped", "HeadHistory", |proof| {
            proof.nodes.swap(0, 2)
        }),
        of("a bit of the first node", "HeadHistory", |proof| {
            proof.nodes[0][0] ^= 0x80
        }),
        of("a bit of the last node", "HeadHistory", |proof| {
            proof.nodes[2][31] ^= 1
        }),
        case.changed(
            "peaks and nodes of another older head",
            "PeakCount",
            |case| {
                let other = chain.consistency(4, 11);
                (case.proof.peaks, case.proof.nodes) = (other.peaks, other.nodes);
            },
        ),
        Case::of(chain, 0, 1).changed("a peak more", "PeakCount", |case| {
            case.proof.peaks.push([7; 32]);
        }),
        Case::of(chain, 0, 1).changed("a node more", "NodeCount", |case| {
            case.proof.nodes.push([7; 32]);
        }),
    ]
}

/// The later one of the trusted heads has another history.
fn of_histories(chain: &Chain) -> Vec<ConsistencyVector> {
    let case = Case::of(chain, 3, 11);
    let forked = |mutation, from, rule| {
        let fork = Chain::changed_from(11, from);
        case.changed(mutation, rule, |case| {
            let other = fork.consistency(3, 11);
            case.proof = ConsistencyProof {
                older: case.proof.older.take(),
                ..other
            };
            case.head = fork.ids[11];
        })
    };
    let items = &chain.ids[..11];
    let with_history = |mutation, history: Hash| {
        case.with_head(mutation, "HeadHistory", |head| {
            head.history_digest = history
        })
    };
    let of_another = digest(HISTORY, &chain.ids[..2]);
    // It has the older commit id at its position, but after another version than that of the older head.
    let behind_another = {
        let mut ids = items.to_vec();
        ids[1] = [0x66; 32];
        let (peaks, nodes) = (peaks(HISTORY, &ids[..3]), extension(HISTORY, &ids, 4));
        case.changed(
            "the older head behind another version, trusted",
            "OlderHistory",
            |case| {
                let head = &mut case.proof.head;
                head.history_digest = digest(HISTORY, &ids);
                case.head = keyed("commit id", &head.encode());
                (case.proof.peaks, case.proof.nodes) = (peaks, nodes);
            },
        )
    };
    vec![
        behind_another,
        forked(
            "the head of a fork before the older head, trusted",
            2,
            "OlderHistory",
        ),
        forked(
            "the head of a fork at the older head, trusted",
            3,
            "HeadHistory",
        ),
        with_history(
            "the head's history has a version less",
            digest(HISTORY, &items[..10]),
        ),
        with_history(
            "the head's history has a version more",
            digest(HISTORY, &chain.ids[..12]),
        ),
        with_history(
            "the head's history is the older one",
            digest(HISTORY, &items[..3]),
        ),
        case.with_head("a head of version 12", "NodeCount", |head| {
            head.version = 12
        }),
        case.with_head("a head of version 13", "HeadHistory", |head| {
            // As many nodes as for 11, of other heights.
            head.version = 13;
        }),
        case.with_older(
            "an older head of another history",
            "OlderHistory",
            |older| {
                older.history_digest = of_another;
            },
        ),
        case.with_older("an older head of version 5", "OlderHistory", |older| {
            older.version = 5
        }),
        case.with_older("an older head of version 2", "PeakCount", |older| {
            older.version = 2
        }),
        case.with_older("an older head of another state", "HeadHistory", |older| {
            older.state_digest = [1; 32];
        }),
    ]
}

/// A trusted head names a parent that its history does not have at that position. Only a proof from there can show it.
fn of_parents(chain: &Chain, unbounded: &Case) -> Vec<ConsistencyVector> {
    let another = |head: &mut CommitRecord| head.parent[31] ^= 1;
    let next = Case::of(chain, 3, 4);
    let mut later = Case::of(chain, 3, 5);
    another(&mut later.proof.head);
    later.head = keyed("commit id", &later.proof.head.encode());
    vec![
        next.with_head("another parent", "Parent", another),
        next.with_head("no parent", "Parent", |head| head.parent = [0; 32]),
        next.with_head("the parent of its parent", "Parent", |head| {
            head.parent = chain.ids[2];
        }),
        next.clone()
            .with_added_record()
            .with_head("another parent", "Parent", another),
        Case::of(chain, 0, 1).with_head("another parent", "Parent", another),
        unbounded.with_head("another parent", "Parent", another),
        later.accepted_as("another parent, trusted"),
    ]
}

/// Proofs over the longest possible histories.
fn of_unbounded(cases: &[Case]) -> Vec<ConsistencyVector> {
    let [without_nodes, most_nodes, ..] = cases else {
        unreachable!("there are more");
    };
    vec![
        without_nodes.changed("a node more", "NodeCount", |case| {
            case.proof.nodes.push([7; 32]);
        }),
        without_nodes.changed("a peak less", "PeakCount", |case| {
            case.proof.peaks.pop();
        }),
        most_nodes.changed("a node less", "NodeCount", |case| {
            case.proof.nodes.pop();
        }),
        most_nodes.changed("nodes reversed", "HeadHistory", |case| {
            case.proof.nodes.reverse();
        }),
    ]
}

/// The trusted heads' histories are made to match peaks and nodes of another number.
fn of_numbers() -> Vec<ConsistencyVector> {
    let of = |older, head, more, mutation: &str, rule| {
        let mutation = format!("{mutation}, the histories made to fit, trusted");
        made_up::consistent(older, head, more).changed(&mutation, rule, |_| {})
    };
    vec![
        of(7, 12, [-1, 0], "a peak less", "PeakCount"),
        of(8, 12, [-1, 0], "no peaks", "PeakCount"),
        of(3, 12, [0, -1], "a node less", "NodeCount"),
        of(3, 12, [0, 1], "a node more", "NodeCount"),
        of(3, 4, [0, 1], "a node", "NodeCount"),
        of(3, 3, [0, 0], "a head of the same version", "NotOlder"),
        of(3, 2, [0, 0], "a head of the version before", "NotOlder"),
    ]
}

/// Bytes that are not a proof.
fn of_bytes(case: &Case) -> Vec<ConsistencyVector> {
    let message = case.message();
    let mut mutations = message.spoilt();
    mutations.extend(spoilt_records(&message, 2, "the older head"));
    mutations.extend(spoilt_records(&message, 3, "the head"));
    mutations.extend(spoilt_row(&message, 4, "peaks", 64));
    mutations.extend(spoilt_row(&message, 5, "nodes", 128));
    let of = case.name();
    let vectors = mutations.into_iter();
    let mut vectors: Vec<ConsistencyVector> = vectors
        .map(|mutation| malformed(&of, mutation, case.trusted()))
        .collect();
    let ancestor = Chain::new(7).ancestor(7, 3).encode().unwrap();
    let mut as_another = refused(
        &of,
        "an ancestor proof",
        "malformed",
        ancestor,
        case.trusted(),
    );
    as_another.malformed = Some("Protobuf".into());
    vectors.push(as_another);
    vectors
}
