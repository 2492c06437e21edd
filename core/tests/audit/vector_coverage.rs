//! A rule without a name here does not compile, and a name without a vector fails.

use std::collections::BTreeSet;

use trunkline_core::audit::VerifyAuditError;
use trunkline_testkit::names;
use trunkline_testkit::vectors::{self, ACCEPTED, MALFORMED, MALFORMED_RULE};

use crate::vectors::AuditVector;

names!(rule_of, RULES, VerifyAuditError, {
    VerifyAuditError::Form(_) => "malformed",
    VerifyAuditError::RecordTree => "RecordTree",
    VerifyAuditError::RecordVersion => "RecordVersion",
    VerifyAuditError::RecordState => "RecordState",
    VerifyAuditError::TrustedTree => "TrustedTree",
    VerifyAuditError::TrustedVersion => "TrustedVersion",
    VerifyAuditError::TrustedCommit => "TrustedCommit",
    VerifyAuditError::TrustedState => "TrustedState",
    VerifyAuditError::TrustedKzgRoot => "TrustedKzgRoot",
    VerifyAuditError::NeedsRecord => "NeedsRecord",
    VerifyAuditError::PointOnDomain => "PointOnDomain",
    VerifyAuditError::KzgRootPoint => "KzgRootPoint",
    VerifyAuditError::OpeningPoint => "OpeningPoint",
    VerifyAuditError::Opening => "Opening",
});

/// A rule that only a digest which is a 128th root of unity would break.
const CANT_BE_MADE: &str = "PointOnDomain";

/// Errors of other proofs, and those that are found as errors of the record first.
const NOT_OF_AUDITS: [&str; 4] = ["Digests", "Outcome", "Form.TooMany", "Form.MetadataBytes"];

#[test]
fn each_rule_and_each_kind_of_malformed_bytes_has_a_vector() {
    let vectors: Vec<AuditVector> = vectors::read("audits.json");
    let found: BTreeSet<&str> = vectors.iter().map(|vector| &vector.rule[..]).collect();
    let mut all: BTreeSet<&str> = RULES.iter().copied().collect();
    all.extend([ACCEPTED, MALFORMED_RULE]);
    all.remove(CANT_BE_MADE);
    assert_eq!(found, all);
    let malformed = vectors
        .iter()
        .filter_map(|vector| vector.malformed.as_deref());
    let found: BTreeSet<&str> = malformed.chain(NOT_OF_AUDITS).collect();
    assert_eq!(found, MALFORMED.iter().copied().collect());
}

#[test]
fn no_two_vectors_have_the_same_name() {
    let vectors: Vec<AuditVector> = vectors::read("audits.json");
    let mut names = BTreeSet::new();
    for vector in &vectors {
        let name = (&vector.of, &vector.mutation);
        assert!(names.insert(name), "{name:?}");
    }
}
