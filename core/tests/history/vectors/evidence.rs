//! The content of `evidence.json`: evidence that holds, and some that breaks each rule.

use trunkline_core::evidence::Evidence;
use trunkline_core::outcome::{IdempotencyKey, Outcome, Refusal};
use trunkline_core::params::FORMAT;
use trunkline_core::record::CommitRecord;
use trunkline_testkit::vectors::{ACCEPTED, Decimal};
use trunkline_testkit::wire_mutations::{Message, Mutation};

use super::parts::{
    bytes, malformed, number, refused, row, spoilt_digest, spoilt_records, spoilt_row,
};
use super::{EvidenceVector, ShownEvidence, TrustedPlace, made_up};
use crate::model::{HISTORY, Hash, OUTCOMES, Version, digest, keyed};

/// Evidence with its trusted values.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) evidence: Evidence,
    pub(super) promised: Hash,
    pub(super) id: Hash,
}

impl Case {
    fn of(version: &Version, index: usize) -> Self {
        Self {
            evidence: version.evidence(index),
            promised: version.promised(index),
            id: version.id,
        }
    }

    fn name(&self) -> String {
        let (record, sequence) = (&self.evidence.record, self.evidence.outcome.sequence);
        let (first, last) = (record.first_sequence, record.last_sequence);
        format!("submission {sequence} of {first} to {last}")
    }

    fn trusted(&self) -> TrustedPlace {
        TrustedPlace {
            provisional_root: self.promised.into(),
            commit_id: self.id.into(),
        }
    }

    fn accepted(&self) -> EvidenceVector {
        let (record, outcome) = (&self.evidence.record, &self.evidence.outcome);
        let shown = ShownEvidence {
            tree_id: record.tree_id.into(),
            version: Decimal(record.version),
            sequence: Decimal(outcome.sequence),
            index: Decimal(outcome.sequence - record.first_sequence),
            submission: outcome.submission.into(),
            outcome: outcome.encode().into(),
        };
        EvidenceVector {
            shown: Some(shown),
            ..self.refused(&self.name(), "original", ACCEPTED)
        }
    }

    fn refused(&self, of: &str, mutation: &str, rule: &str) -> EvidenceVector {
        let bytes = self.evidence.encode().unwrap();
        refused(of, mutation, rule, bytes, self.trusted())
    }

    /// Changes the evidence or its trusted values.
    fn changed(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut Self),
    ) -> EvidenceVector {
        let mut changed = self.clone();
        change(&mut changed);
        changed.refused(&self.name(), mutation, rule)
    }

    /// Changes the record, and trusts the changed one.
    fn with_record(
        &self,
        mutation: &str,
        rule: &str,
        change: impl FnOnce(&mut CommitRecord),
    ) -> EvidenceVector {
        let mutation = format!("{mutation}, trusted");
        self.changed(&mutation, rule, |case| {
            change(&mut case.evidence.record);
            case.id = keyed("commit id", &case.evidence.record.encode());
        })
    }

    fn message(&self) -> Message {
        let evidence = &self.evidence;
        let message = Message::new([
            number(FORMAT.into()),
            bytes(evidence.record.encode()),
            bytes(evidence.outcome.encode()),
            row(&evidence.inclusion.siblings),
            row(&evidence.inclusion.peaks),
            bytes(evidence.provisional_before),
            row(&evidence.later),
        ]);
        assert_eq!(message.encode(), evidence.encode().unwrap());
        message
    }
}

/// Offset of the code in an outcome.
const CODE: usize = 8 + 32;
/// Offset of the length of the idempotency key.
const LENGTH: usize = CODE + 1 + 32;

pub(super) fn vectors() -> Vec<EvidenceVector> {
    let sizes = [
        (1, 1),
        (1, 2),
        (100, 3),
        (5, 8),
        (0, 5),
        (7, 11),
        (u64::MAX - 7, 8),
    ];
    let mut vectors = Vec::new();
    for (first, submissions) in sizes {
        let version = Version::starting_at(first, submissions);
        let indices = [0, submissions / 2, submissions - 1];
        let mut cases: Vec<Case> = indices.map(|index| Case::of(&version, index)).into();
        cases.dedup_by_key(|case| case.evidence.outcome.sequence);
        vectors.extend(cases.iter().map(Case::accepted));
    }
    vectors.extend(of_unbounded());
    vectors.extend(of_numbers());
    let version = Version::starting_at(5, 7);
    let case = Case::of(&version, 4);
    vectors.extend(of_trust(&version, &case));
    vectors.extend(of_records(&version, &case));
    vectors.extend(of_outcomes(&case));
    vectors.extend(of_digests(&case));
    vectors.extend(of_chains(&version, &case));
    vectors.extend(of_bytes(&case));
    vectors
}

/// Versions of 2^64 - 1 submissions and nearly as many, and one with more.
fn of_unbounded() -> Vec<EvidenceVector> {
    let last = u64::MAX;
    let of = |first, sequence| made_up::evidence(first, sequence, last, [0, 0]);
    let all = of(1, last);
    vec![
        all.accepted(),
        of(1 << 63, last).accepted(),
        of(1, 1).changed("no later submissions", "LaterCount", |_| {}),
        of(0, last).changed("2^64 submissions", "Sequence", |_| {}),
        all.changed("a sibling more", "SiblingCount", |case| {
            case.evidence.inclusion.siblings.push([7; 32]);
        }),
    ]
}

/// The outcomes' digest is made to match siblings and peaks of another number.
fn of_numbers() -> Vec<EvidenceVector> {
    let of = |last: u64, more, mutation: &str, rule| {
        let mutation = format!("{mutation}, the outcomes' digest made to fit, trusted");
        made_up::evidence(4, last, last, more).changed(&mutation, rule, |_| {})
    };
    vec![
        of(11, [1, 0], "a sibling more", "SiblingCount"),
        of(11, [-1, 0], "a sibling less", "SiblingCount"),
        of(11, [-3, 0], "no siblings", "SiblingCount"),
        of(11, [0, 1], "a peak", "PeakCount"),
        of(13, [0, 1], "a peak more", "PeakCount"),
        of(14, [0, 1], "a peak more", "PeakCount"),
    ]
}

fn of_trust(version: &Version, case: &Case) -> Vec<EvidenceVector> {
    vec![
        case.changed("no commit id is trusted", "Commit", |case| {
            case.id = [0; 32]
        }),
        case.changed("a bit of the trusted commit id", "Commit", |case| {
            case.id[9] ^= 1
        }),
        case.changed("no provisional root is given", "ProvisionalRoot", |case| {
            case.promised = [0; 32];
        }),
        case.changed("a bit of the provisional root", "ProvisionalRoot", |case| {
            case.promised[0] ^= 1;
        }),
        case.changed("the provisional root before", "ProvisionalRoot", |case| {
            case.promised = version.provisional_roots[4];
        }),
        case.changed(
            "the provisional root after the next",
            "ProvisionalRoot",
            |case| {
                case.promised = version.provisional_roots[6];
            },
        ),
        case.changed(
            "the provisional root of the record",
            "ProvisionalRoot",
            |case| {
                case.promised = case.evidence.record.provisional_root;
            },
        ),
    ]
}

fn of_records(version: &Version, case: &Case) -> Vec<EvidenceVector> {
    let outcomes = version.encoded();
    let with_outcomes = |mutation, digest: Hash| {
        case.with_record(mutation, "Digest", |record| record.outcomes_digest = digest)
    };
    vec![
        case.changed("the record of another version", "Commit", |case| {
            case.evidence.record.version += 1;
        }),
        case.changed("a record of another tree", "Commit", |case| {
            case.evidence.record.tree_id[0] ^= 1;
        }),
        case.changed("a record with metadata", "Commit", |case| {
            case.evidence.record.metadata.push(1);
        }),
        case.with_record("submissions 6 to 12", "SiblingCount", |record| {
            (record.first_sequence, record.last_sequence) = (6, 12);
        }),
        case.with_record("submissions 3 to 9", "SiblingCount", |record| {
            (record.first_sequence, record.last_sequence) = (3, 9);
        }),
        case.with_record("submissions 5 to 10", "PeakCount", |record| {
            record.last_sequence = 10;
        }),
        case.with_record("submissions 10 to 9", "Sequence", |record| {
            record.first_sequence = 10;
            record.last_sequence = 9;
        }),
        case.with_record("submissions 0 to 2^64 - 1", "Sequence", |record| {
            (record.first_sequence, record.last_sequence) = (0, u64::MAX);
        }),
        case.with_record("the submissions before", "Sequence", |record| {
            (record.first_sequence, record.last_sequence) = (1, 8);
        }),
        with_outcomes("the outcomes of one less", digest(OUTCOMES, &outcomes[..6])),
        with_outcomes(
            "the outcomes in the history's domain",
            digest(HISTORY, &outcomes),
        ),
        with_outcomes("no outcomes", digest::<Hash>(OUTCOMES, &[])),
        case.with_record("another provisional root", "Chain", |record| {
            record.provisional_root[0] ^= 1;
        }),
        case.with_record(
            "the provisional root of this submission",
            "Chain",
            |record| {
                record.provisional_root = version.provisional_roots[5];
            },
        ),
    ]
}

fn of_outcomes(case: &Case) -> Vec<EvidenceVector> {
    let at = |sequence: u64, rule| {
        let mutation = format!("sequence {sequence}");
        case.changed(&mutation, rule, |case| {
            case.evidence.outcome.sequence = sequence
        })
    };
    let with = |mutation: &str, outcome: Outcome| {
        case.changed(mutation, "Digest", |case| {
            case.evidence.outcome.outcome = outcome
        })
    };
    let key_hash = [4; 32];
    let with_key = |mutation, key: &[u8]| {
        case.changed(mutation, "Digest", |case| {
            case.evidence.outcome.idempotency_key = IdempotencyKey::new(key).unwrap();
        })
    };
    vec![
        at(0, "Sequence"),
        at(4, "Sequence"),
        at(5, "SiblingCount"),
        at(10, "Digest"),
        at(11, "SiblingCount"),
        at(12, "Sequence"),
        at(u64::MAX, "Sequence"),
        case.changed("a bit of the submission digest", "Digest", |case| {
            case.evidence.outcome.submission[31] ^= 1;
        }),
        with(
            "applied instead of refused",
            Outcome::Applied { displaced: 0 },
        ),
        with(
            "refused for another reason",
            Outcome::Refused(Refusal::BucketFull { key_hash }),
        ),
        with(
            "refused about another key",
            Outcome::Refused(Refusal::PathTaken { key_hash: [5; 32] }),
        ),
        with(
            "reverted instead of refused",
            Outcome::Reverted {
                commit_id: key_hash,
            },
        ),
        with_key("another idempotency key", &[0x6c; 64]),
        with_key("a shorter idempotency key", &[0x6b; 63]),
        with_key("no idempotency key", &[]),
    ]
}

fn of_digests(case: &Case) -> Vec<EvidenceVector> {
    let of = |mutation, rule, change: fn(&mut Evidence)| {
        case.changed(mutation, rule, |case| change(&mut case.evidence))
    };
    vec![
        of("no siblings", "SiblingCount", |evidence| {
            evidence.inclusion.siblings.clear()
        }),
        of("a sibling more", "SiblingCount", |evidence| {
            evidence.inclusion.siblings.push([7; 32]);
        }),
        of("a bit of a sibling", "Digest", |evidence| {
            evidence.inclusion.siblings[0][0] ^= 1;
        }),
        of("no peaks", "PeakCount", |evidence| {
            evidence.inclusion.peaks.clear()
        }),
        of("a peak more", "PeakCount", |evidence| {
            evidence.inclusion.peaks.push([7; 32])
        }),
        of("peaks reversed", "Digest", |evidence| {
            evidence.inclusion.peaks.reverse()
        }),
        of("a bit of a peak", "Digest", |evidence| {
            evidence.inclusion.peaks[1][9] ^= 4
        }),
    ]
}

/// The chain of provisional roots does not lead from the submission to the record.
fn of_chains(version: &Version, case: &Case) -> Vec<EvidenceVector> {
    let of = |mutation, rule, change: fn(&mut Evidence)| {
        case.changed(mutation, rule, |case| change(&mut case.evidence))
    };
    vec![
        of(
            "a bit of the provisional root before",
            "ProvisionalRoot",
            |evidence| {
                evidence.provisional_before[0] ^= 1;
            },
        ),
        case.changed(
            "the promised root as the one before",
            "ProvisionalRoot",
            |case| {
                case.evidence.provisional_before = case.promised;
            },
        ),
        case.changed("the root before the version", "ProvisionalRoot", |case| {
            case.evidence.provisional_before = version.provisional_roots[0];
        }),
        of("no later submissions", "LaterCount", |evidence| {
            evidence.later.clear()
        }),
        of("a later submission less", "LaterCount", |evidence| {
            evidence.later.truncate(1)
        }),
        of("a later submission more", "LaterCount", |evidence| {
            evidence.later.push([7; 32])
        }),
        of(
            "its own submission among the later ones",
            "LaterCount",
            |evidence| {
                evidence.later.insert(0, evidence.outcome.submission);
            },
        ),
        of("later submissions swapped", "Chain", |evidence| {
            evidence.later.swap(0, 1)
        }),
        of("a bit of a later submission", "Chain", |evidence| {
            evidence.later[1][0] ^= 1
        }),
    ]
}

/// Bytes that are not evidence.
fn of_bytes(case: &Case) -> Vec<EvidenceVector> {
    let message = case.message();
    let mut mutations = message.spoilt();
    mutations.push(Mutation {
        name: "no record".into(),
        malformed: "Record.Length",
        bytes: message.with_bytes(2, &[]),
    });
    mutations.extend(spoilt_records(&message, 2, "the record"));
    mutations.extend(spoilt_outcomes(&message));
    mutations.extend(spoilt_row(&message, 4, "siblings", 63));
    mutations.extend(spoilt_row(&message, 5, "peaks", 64));
    mutations.extend(spoilt_digest(&message, 6, "a provisional root"));
    let rows = [1, 63, 65].map(|length| Mutation {
        name: format!("later submissions of {length} bytes"),
        malformed: "Digests",
        bytes: message.with_bytes(7, &[7; 65][..length]),
    });
    mutations.extend(rows);
    let of = case.name();
    let vectors = mutations.into_iter();
    vectors
        .map(|mutation| malformed(&of, mutation, case.trusted()))
        .collect()
}

fn spoilt_outcomes(message: &Message) -> Vec<Mutation> {
    let outcome = message.bytes_of(3).to_vec();
    let of = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut outcome = outcome.clone();
        change(&mut outcome);
        Mutation {
            name: name.into(),
            malformed: "Outcome",
            bytes: message.with_bytes(3, &outcome),
        }
    };
    vec![
        of("no outcome", &|outcome| outcome.clear()),
        of("an outcome without its last field", &|outcome| {
            outcome.truncate(LENGTH)
        }),
        of("an outcome that is cut", &|outcome| {
            outcome.pop();
        }),
        of("a byte behind the outcome", &|outcome| outcome.push(0)),
        of("two outcomes", &|outcome| outcome.extend_from_within(..)),
        of("an outcome of code 5", &|outcome| outcome[CODE] = 5),
        of("an outcome of code 255", &|outcome| outcome[CODE] = 255),
        of("applied, with a detail behind the count", &|outcome| {
            outcome[CODE] = 0;
            outcome[CODE + 1..LENGTH].fill(0);
            outcome[CODE + 5] = 1;
        }),
        of("applied, with a detail at the end", &|outcome| {
            outcome[CODE] = 0;
            outcome[CODE + 1..LENGTH].fill(0);
            outcome[LENGTH - 1] = 1;
        }),
        of("an idempotency key of 65 bytes", &|outcome| {
            outcome[LENGTH] = 65;
            outcome.push(0x6b);
        }),
        of(
            "an idempotency key that is longer than its length",
            &|outcome| {
                outcome[LENGTH] -= 1;
            },
        ),
        of("a length without an idempotency key", &|outcome| {
            outcome.truncate(LENGTH + 1)
        }),
    ]
}
