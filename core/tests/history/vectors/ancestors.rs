//! Ancestor proofs: some that hold, and some that break each rule.

use trunkline_core::history::{AncestorProof, HISTORY_PROOF_BYTES_MAX};
use trunkline_core::params::FORMAT;
use trunkline_core::record::CommitRecord;
use trunkline_testkit::vectors::{ACCEPTED, Decimal};
use trunkline_testkit::wire_mutations::{Message, Mutation};

use super::parts::{
    arbitrary, bytes, malformed, number, refused, row, spoilt_digest, spoilt_records, spoilt_row,
};
use super::{AncestorVector, ShownAncestor, TrustedHead, made_up};
use crate::model::{Chain, HISTORY, Hash, OUTCOMES, digest, keyed};

/// An ancestor proof with its trusted head.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) proof: AncestorProof,
    pub(super) head: Hash,
}

impl Case {
    fn of(chain: &Chain, head: usize, version: usize) -> Self {
        Self {
            proof: chain.ancestor(head, version),
            head: chain.ids[head],
        }
    }

    fn name(&self) -> String {
        let (version, head) = (self.proof.version, self.proof.head.version);
        format!("version {version} below version {head}")
    }

    fn trusted(&self) -> TrustedHead {
        TrustedHead {
            head: self.head.into(),
        }
    }

    pub(super) fn accepted(&self) -> AncestorVector {
        self.accepted_as("original")
    }

    fn accepted_as(&self, mutation: &str) -> AncestorVector {
        let proof = &self.proof;
        let shown = ShownAncestor {
            tree_id: proof.head.tree_id.into(),
            version: Decimal(proof.version),
            commit_id: proof.commit_id.into(),
            head_version: Decimal(proof.head.version),
        };
        AncestorVector {
            shown: Some(shown),
            ..self.refused(&self.name(), mutation, ACCEPTED)
        }
    }

    fn refused(&self, of: &str, mutation: &str, rule: &str) -> AncestorVector {
        let bytes = self.proof.encode().unwrap();
        refused(of, mutation, rule, bytes, self.trusted())
    }

    /// Changes the proof or the trusted head.
    pub(super) fn changed(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut Self),
    ) -> AncestorVector {
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
    ) -> AncestorVector {
        let mutation = format!("{mutation}, trusted");
        self.changed(&mutation, rule, |case| {
            change(&mut case.proof.head);
            case.head = keyed("commit id", &case.proof.head.encode());
        })
    }

    fn message(&self) -> Message {
        let proof = &self.proof;
        let message = Message::new([
            number(FORMAT.into()),
            bytes(proof.head.encode()),
            number(proof.version),
            bytes(proof.commit_id),
            row(&proof.inclusion.siblings),
            row(&proof.inclusion.peaks),
        ]);
        assert_eq!(message.encode(), proof.encode().unwrap());
        message
    }
}

pub(super) fn vectors() -> Vec<AncestorVector> {
    let chain = Chain::new(23);
    let mut vectors: Vec<AncestorVector> = [
        (1, 0),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 3),
        (7, 1),
        (7, 6),
        (8, 4),
        (16, 1),
        (16, 8),
        (16, 15),
        (23, 0),
        (23, 1),
        (23, 22),
    ]
    .map(|(head, version)| Case::of(&chain, head, version).accepted())
    .into();
    let cases = made_up::unbounded_ancestors();
    vectors.extend(cases.iter().map(Case::accepted));
    vectors.extend(of_heads(&chain));
    vectors.extend(of_places(&chain));
    vectors.extend(of_digests(&chain));
    vectors.extend(of_histories(&chain));
    vectors.extend(of_parents(&chain, &cases[1]));
    vectors.extend(of_unbounded(&cases));
    vectors.extend(of_numbers());
    vectors.extend(of_bytes(&Case::of(&chain, 7, 1)));
    vectors
}

/// The record of the head is not the trusted one.
fn of_heads(chain: &Chain) -> Vec<AncestorVector> {
    let case = Case::of(chain, 7, 1);
    let of = |mutation: &str, change: fn(&mut CommitRecord)| {
        let mutation = format!("another {mutation} of the head");
        case.changed(&mutation, "HeadCommit", |case| change(&mut case.proof.head))
    };
    vec![
        case.changed("another head is trusted", "HeadCommit", |case| {
            case.head = chain.ids[6];
        }),
        case.changed("no head is trusted", "HeadCommit", |case| {
            case.head = [0; 32];
        }),
        case.changed("the record of another head", "HeadCommit", |case| {
            case.proof.head = chain.records[6].clone();
        }),
        of("tree id", |head| head.tree_id[0] ^= 1),
        of("version", |head| head.version += 1),
        of("parent", |head| head.parent[31] ^= 1),
        of("open epoch", |head| head.open_epoch = 1),
        of("first sequence", |head| head.first_sequence = 1),
        of("last sequence", |head| head.last_sequence = 1),
        of("provisional root", |head| head.provisional_root[0] = 1),
        of("outcomes' digest", |head| head.outcomes_digest[0] ^= 1),
        of("state digest", |head| head.state_digest[0] = 1),
        of("key count", |head| head.key_count = 1),
        of("history digest", |head| head.history_digest[0] ^= 1),
        of("metadata", |head| head.metadata.push(1)),
    ]
}

/// The version is not that of the commit id, or not older.
fn of_places(chain: &Chain) -> Vec<AncestorVector> {
    let case = Case::of(chain, 7, 1);
    let at = |version, rule| {
        let mutation = format!("version {version} instead");
        case.changed(&mutation, rule, |case| case.proof.version = version)
    };
    let mut vectors = vec![
        at(0, "Digest"),
        at(2, "Digest"),
        at(3, "Digest"),
        at(4, "SiblingCount"),
        at(6, "SiblingCount"),
        at(7, "NotOlder"),
        at(8, "NotOlder"),
        at(u64::MAX, "NotOlder"),
    ];
    vectors.push(
        case.with_head("the head is of version 0", "NotOlder", |head| {
            head.version = 0;
        }),
    );
    vectors.push(
        case.with_head("the head is of version 1", "NotOlder", |head| {
            head.version = 1;
        }),
    );
    vectors.push(
        case.with_head("the head is of version 8", "SiblingCount", |head| {
            head.version = 8;
        }),
    );
    vectors.push(
        case.with_head("the head is of version 6", "PeakCount", |head| {
            head.version = 6;
        }),
    );
    vectors.push(
        case.with_head("the head is of version 13", "SiblingCount", |head| {
            head.version = 13;
        }),
    );
    vectors
}

/// The commit id, the siblings or the peaks differ.
fn of_digests(chain: &Chain) -> Vec<AncestorVector> {
    let case = Case::of(chain, 7, 1);
    let of = |mutation, rule, change: fn(&mut AncestorProof)| {
        case.changed(mutation, rule, |case| change(&mut case.proof))
    };
    let of_id =
        |mutation, id: Hash| case.changed(mutation, "Digest", |case| case.proof.commit_id = id);
    vec![
        of_id("the commit id of the next version", chain.ids[2]),
        of_id("the commit id of the head", chain.ids[7]),
        of_id("a commit id of zeros", [0; 32]),
        of_id(
            "the leaf digest in place of the commit id",
            keyed(HISTORY.0, &chain.ids[1]),
        ),
        of("a bit of the commit id", "Digest", |proof| {
            proof.commit_id[31] ^= 1;
        }),
        of("a bit of a sibling", "Digest", |proof| {
            proof.inclusion.siblings[1][0] ^= 0x80;
        }),
        of("siblings reversed", "Digest", |proof| {
            proof.inclusion.siblings.reverse();
        }),
        of("no siblings", "SiblingCount", |proof| {
            proof.inclusion.siblings.clear();
        }),
        of("a sibling less", "SiblingCount", |proof| {
            proof.inclusion.siblings.pop();
        }),
        of("a sibling more", "SiblingCount", |proof| {
            proof.inclusion.siblings.push([7; 32]);
        }),
        of("the last sibling is a peak", "SiblingCount", |proof| {
            let sibling = proof.inclusion.siblings.pop();
            proof.inclusion.peaks.insert(0, sibling.unwrap());
        }),
        of("a bit of a peak", "Digest", |proof| {
            proof.inclusion.peaks[0][15] ^= 8;
        }),
        of("peaks reversed", "Digest", |proof| {
            proof.inclusion.peaks.reverse();
        }),
        of("no peaks", "PeakCount", |proof| {
            proof.inclusion.peaks.clear();
        }),
        of("a peak less", "PeakCount", |proof| {
            proof.inclusion.peaks.pop();
        }),
        of("a peak more", "PeakCount", |proof| {
            proof.inclusion.peaks.push([7; 32]);
        }),
        case.changed("its own peak among the peaks", "PeakCount", |case| {
            let peaks = crate::model::peaks(HISTORY, &chain.ids[..7]);
            case.proof.inclusion.peaks = peaks;
        }),
    ]
}

/// The trusted head has another history than the proof.
fn of_histories(chain: &Chain) -> Vec<AncestorVector> {
    let case = Case::of(chain, 7, 1);
    let fork = Chain::changed_from(7, 1);
    let items = &chain.ids[..7];
    let with_history = |mutation, history: Hash| {
        case.with_head(mutation, "Digest", |head| head.history_digest = history)
    };
    vec![
        case.changed("the head of a fork, trusted", "Digest", |case| {
            case.proof.head = fork.records[7].clone();
            case.head = fork.ids[7];
        }),
        with_history(
            "the history has a version less",
            digest(HISTORY, &items[..6]),
        ),
        with_history(
            "the history has a version more",
            digest(HISTORY, &chain.ids[..8]),
        ),
        with_history(
            "the history in the outcomes' domain",
            digest(OUTCOMES, items),
        ),
        with_history("the history is a peak", keyed(HISTORY.0, &chain.ids[6])),
        with_history("the history is empty", digest::<Hash>(HISTORY, &[])),
        with_history("the history is another's", arbitrary("history")),
    ]
}

/// A trusted head names a parent that its history does not have at that position. Only a proof of that position can
/// show it.
fn of_parents(chain: &Chain, unbounded: &Case) -> Vec<AncestorVector> {
    let another = |head: &mut CommitRecord| head.parent[31] ^= 1;
    let last = Case::of(chain, 7, 6);
    let mut vectors = vec![
        last.with_head("another parent", "Parent", another),
        last.with_head("no parent", "Parent", |head| head.parent = [0; 32]),
        last.with_head("the parent of its parent", "Parent", |head| {
            head.parent = chain.ids[5];
        }),
        Case::of(chain, 1, 0).with_head("another parent", "Parent", another),
        unbounded.with_head("another parent", "Parent", another),
    ];
    for version in [4, 5] {
        let mut earlier = Case::of(chain, 7, version);
        another(&mut earlier.proof.head);
        earlier.head = keyed("commit id", &earlier.proof.head.encode());
        vectors.push(earlier.accepted_as("another parent, trusted"));
    }
    vectors
}

/// Proofs over the longest possible histories.
fn of_unbounded(cases: &[Case]) -> Vec<AncestorVector> {
    let [first_of_all, last_of_all, .., of_a_power, behind_a_power] = cases else {
        unreachable!("there are more");
    };
    vec![
        first_of_all.changed("version 1 instead", "Digest", |case| {
            case.proof.version = 1;
        }),
        first_of_all.changed("version 2^63 instead", "SiblingCount", |case| {
            case.proof.version = 1 << 63;
        }),
        last_of_all.changed("version 0 instead", "SiblingCount", |case| {
            case.proof.version = 0;
        }),
        of_a_power.changed("a peak more", "PeakCount", |case| {
            case.proof.inclusion.peaks.push([7; 32]);
        }),
        behind_a_power.changed("a peak less", "PeakCount", |case| {
            case.proof.inclusion.peaks.clear();
        }),
    ]
}

/// The trusted head's history is made to match siblings and peaks of another number.
fn of_numbers() -> Vec<AncestorVector> {
    let of = |head, version, more, mutation: &str, rule| {
        let mutation = format!("{mutation}, the history made to fit, trusted");
        made_up::ancestor(head, version, more).changed(&mutation, rule, |_| {})
    };
    vec![
        of(8, 3, [1, 0], "a sibling more", "SiblingCount"),
        of(8, 3, [-1, 0], "a sibling less", "SiblingCount"),
        of(8, 3, [-3, 0], "no siblings", "SiblingCount"),
        of(
            12,
            3,
            [1, -1],
            "a sibling more for a peak less",
            "SiblingCount",
        ),
        of(12, 3, [0, 1], "a peak more", "PeakCount"),
        of(12, 3, [0, -1], "no other peak", "PeakCount"),
        of(8, 3, [0, 1], "another peak", "PeakCount"),
    ]
}

/// Bytes that are not a proof.
fn of_bytes(case: &Case) -> Vec<AncestorVector> {
    let message = case.message();
    let mut mutations = message.spoilt();
    mutations.push(Mutation {
        name: "no record of the head".into(),
        malformed: "Record.Length",
        bytes: message.with_bytes(2, &[]),
    });
    mutations.extend(spoilt_records(&message, 2, "the head"));
    mutations.extend(spoilt_digest(&message, 4, "a commit id"));
    mutations.extend(spoilt_row(&message, 5, "siblings", 63));
    mutations.extend(spoilt_row(&message, 6, "peaks", 64));
    mutations.push(Mutation {
        name: "longer than any proof".into(),
        malformed: "TooLong",
        bytes: vec![0; HISTORY_PROOF_BYTES_MAX + 1],
    });
    let of = case.name();
    let vectors = mutations.into_iter();
    vectors
        .map(|mutation| malformed(&of, mutation, case.trusted()))
        .collect()
}
