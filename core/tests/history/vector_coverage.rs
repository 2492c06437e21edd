//! A rule without a name here does not compile, and a name without a vector fails.

use std::collections::BTreeSet;

use trunkline_core::evidence::VerifyEvidenceError;
use trunkline_core::history::{InclusionError, VerifyAncestorError, VerifyConsistencyError};
use trunkline_testkit::names;
use trunkline_testkit::vectors::{self, ACCEPTED, AnsweredVector, MALFORMED, MALFORMED_RULE};

use crate::vectors::{EvidenceVector, HistoryVectors};

names!(rule_of_ancestor, ANCESTOR, VerifyAncestorError, {
    VerifyAncestorError::HeadCommit => "HeadCommit",
    VerifyAncestorError::NotOlder { .. } => "NotOlder",
    VerifyAncestorError::Inclusion(InclusionError::Index { .. }) => "Index",
    VerifyAncestorError::Inclusion(InclusionError::SiblingCount { .. }) => "SiblingCount",
    VerifyAncestorError::Inclusion(InclusionError::PeakCount { .. }) => "PeakCount",
    VerifyAncestorError::Inclusion(InclusionError::Digest) => "Digest",
    VerifyAncestorError::Parent => "Parent",
});

names!(rule_of_consistency, CONSISTENCY, VerifyConsistencyError, {
    VerifyConsistencyError::NeedsOlder => "NeedsOlder",
    VerifyConsistencyError::OtherOlder => "OtherOlder",
    VerifyConsistencyError::OlderCommit => "OlderCommit",
    VerifyConsistencyError::HeadCommit => "HeadCommit",
    VerifyConsistencyError::Tree => "Tree",
    VerifyConsistencyError::NotOlder { .. } => "NotOlder",
    VerifyConsistencyError::PeakCount { .. } => "PeakCount",
    VerifyConsistencyError::OlderHistory => "OlderHistory",
    VerifyConsistencyError::NodeCount { .. } => "NodeCount",
    VerifyConsistencyError::HeadHistory => "HeadHistory",
    VerifyConsistencyError::Parent => "Parent",
});

names!(rule_of_evidence, EVIDENCE, VerifyEvidenceError, {
    VerifyEvidenceError::Commit => "Commit",
    VerifyEvidenceError::Sequence { .. } => "Sequence",
    VerifyEvidenceError::Inclusion(InclusionError::Index { .. }) => "Index",
    VerifyEvidenceError::Inclusion(InclusionError::SiblingCount { .. }) => "SiblingCount",
    VerifyEvidenceError::Inclusion(InclusionError::PeakCount { .. }) => "PeakCount",
    VerifyEvidenceError::Inclusion(InclusionError::Digest) => "Digest",
    VerifyEvidenceError::ProvisionalRoot => "ProvisionalRoot",
    VerifyEvidenceError::LaterCount { .. } => "LaterCount",
    VerifyEvidenceError::Chain => "Chain",
});

/// An index beyond the range is refused earlier, as `NotOlder` or `Sequence`.
const UNREACHABLE: &str = "Index";
/// Metadata that is too long is refused earlier, as `Record.Length`.
const METADATA: &str = "Form.MetadataBytes";

type Names<'a> = BTreeSet<&'a str>;

/// Checks that the vectors cover all rules, and all kinds of malformed bytes except those that are left out here.
#[track_caller]
fn check<T, S>(vectors: &[AnsweredVector<T, S>], rules: &[&str], not_malformed: &[&str]) {
    let found: Names = vectors.iter().map(|vector| &vector.rule[..]).collect();
    let mut all: Names = rules.iter().copied().collect();
    all.extend([ACCEPTED, MALFORMED_RULE]);
    all.remove(UNREACHABLE);
    assert_eq!(found, all);
    let malformed = vectors
        .iter()
        .filter_map(|vector| vector.malformed.as_deref());
    let found: Names = malformed.collect();
    let mut all: Names = MALFORMED.iter().copied().collect();
    for name in not_malformed {
        assert!(all.remove(name), "{name}");
    }
    assert_eq!(found, all);
}

#[test]
fn each_rule_and_each_kind_of_malformed_bytes_has_a_vector() {
    const OF_AUDITS: [&str; 3] = ["Collision", "SlotCount", "SlotZero"];
    let history: HistoryVectors = vectors::read("history.json");
    let none = [&OF_AUDITS[..], &["Outcome", METADATA]].concat();
    check(&history.ancestors, ANCESTOR, &none);
    // As long as an ancestor proof can be, without a single digest or number.
    let none = [&none[..], &["TooLong", "Length"]].concat();
    check(&history.consistency, CONSISTENCY, &none);
    let evidence: Vec<EvidenceVector> = vectors::read("evidence.json");
    // 33 MB, which is too long for a file.
    let none = [&OF_AUDITS[..], &["TooLong", METADATA]].concat();
    check(&evidence, EVIDENCE, &none);
}

#[test]
fn no_two_vectors_have_the_same_name() {
    fn check<T, S>(vectors: &[AnsweredVector<T, S>]) {
        let mut names = BTreeSet::new();
        for vector in vectors {
            let name = (&vector.of, &vector.mutation);
            assert!(names.insert(name), "{name:?}");
        }
    }
    let history: HistoryVectors = vectors::read("history.json");
    check(&history.ancestors);
    check(&history.consistency);
    check(&vectors::read::<Vec<EvidenceVector>>("evidence.json"));
}
