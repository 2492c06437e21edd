//! A rule without a name here does not compile, and a name without a vector fails.

use std::collections::BTreeSet;

use trunkline_core::proof::{DecodeProofError, ProofFormError, SiblingsError, VerifyProofError};
use trunkline_core::record::RecordError;
use trunkline_testkit::names;
use trunkline_testkit::vectors;

use crate::vectors::RefusedVector;

names!(rule_of, RULES, VerifyProofError, {
    VerifyProofError::Form(_) => "malformed",
    VerifyProofError::EntryOrder(_) => "EntryOrder",
    VerifyProofError::TerminalMissing(_) => "TerminalMissing",
    VerifyProofError::TerminalUnused(_) => "TerminalUnused",
    VerifyProofError::TerminalOverlap(_) => "TerminalOverlap",
    VerifyProofError::EmptyWithPresent(_) => "EmptyWithPresent",
    VerifyProofError::OwnLeafPresent(_) => "OwnLeafPresent",
    VerifyProofError::OtherLeafWithPresent(_) => "OtherLeafWithPresent",
    VerifyProofError::OtherLeafIsEntry(_) => "OtherLeafIsEntry",
    VerifyProofError::OtherLeafOutside(_) => "OtherLeafOutside",
    VerifyProofError::BucketPolicy(_) => "BucketPolicy",
    VerifyProofError::BucketDepth(_) => "BucketDepth",
    VerifyProofError::BucketOrder(_) => "BucketOrder",
    VerifyProofError::BucketMemberOutside(_) => "BucketMemberOutside",
    VerifyProofError::BucketWithoutPresent(_) => "BucketWithoutPresent",
    VerifyProofError::BucketWithAbsent(_) => "BucketWithAbsent",
    VerifyProofError::BucketValue(_) => "BucketValue",
    VerifyProofError::SiblingMissing => "SiblingMissing",
    VerifyProofError::SiblingUnused => "SiblingUnused",
    VerifyProofError::LeafSiblingEmpty => "LeafSiblingEmpty",
    VerifyProofError::TopSiblingMissing => "TopSiblingMissing",
    VerifyProofError::TopSiblingUnused => "TopSiblingUnused",
    VerifyProofError::VersionOrder(_) => "VersionOrder",
    VerifyProofError::OpeningKind { .. } => "OpeningKind",
    VerifyProofError::Opening => "Opening",
    VerifyProofError::RecordTree => "RecordTree",
    VerifyProofError::RecordVersion => "RecordVersion",
    VerifyProofError::RecordState => "RecordState",
    VerifyProofError::ExpectedCount { .. } => "ExpectedCount",
    VerifyProofError::ExpectedTree => "ExpectedTree",
    VerifyProofError::ExpectedVersion => "ExpectedVersion",
    VerifyProofError::ExpectedState => "ExpectedState",
    VerifyProofError::ExpectedKzgRoot => "ExpectedKzgRoot",
    VerifyProofError::ExpectedCommit => "ExpectedCommit",
    VerifyProofError::NeedsHashTop => "NeedsHashTop",
    VerifyProofError::NeedsKzgTop => "NeedsKzgTop",
    VerifyProofError::NeedsRecord => "NeedsRecord",
});

names!(malformed_of, MALFORMED, DecodeProofError, {
    DecodeProofError::Protobuf(_) => "Protobuf",
    DecodeProofError::Field => "Field",
    DecodeProofError::NotCanonical => "NotCanonical",
    DecodeProofError::Format(_) => "Format",
    DecodeProofError::Collision(_) => "Collision",
    DecodeProofError::Length { .. } => "Length",
    DecodeProofError::OpeningLength(_) => "OpeningLength",
    DecodeProofError::Missing(_) => "Missing",
    DecodeProofError::Record(RecordError::Length(_)) => "Record.Length",
    DecodeProofError::Record(RecordError::Format(_)) => "Record.Format",
    DecodeProofError::Record(RecordError::Metadata(_)) => "Record.Metadata",
    DecodeProofError::Siblings(SiblingsError::Length(_)) => "Siblings.Length",
    DecodeProofError::Siblings(SiblingsError::Bitmap { .. }) => "Siblings.Bitmap",
    DecodeProofError::Siblings(SiblingsError::Zero(_)) => "Siblings.Zero",
    DecodeProofError::Form(ProofFormError::Versions(_)) => "Form.Versions",
    DecodeProofError::Form(ProofFormError::Entries(_)) => "Form.Entries",
    DecodeProofError::Form(ProofFormError::Terminals(_)) => "Form.Terminals",
    DecodeProofError::Form(ProofFormError::KeyBytes(_)) => "Form.KeyBytes",
    DecodeProofError::Form(ProofFormError::ValueBytes(_)) => "Form.ValueBytes",
    DecodeProofError::Form(ProofFormError::MetadataBytes(_)) => "Form.MetadataBytes",
    DecodeProofError::Form(ProofFormError::Depth(_)) => "Form.Depth",
    DecodeProofError::Form(ProofFormError::BucketMembers(_)) => "Form.BucketMembers",
    DecodeProofError::Form(ProofFormError::Siblings { .. }) => "Form.Siblings",
    DecodeProofError::Form(ProofFormError::TopSiblings { .. }) => "Form.TopSiblings",
    DecodeProofError::Form(ProofFormError::Bytes(_)) => "Form.Bytes",
});

/// Errors that are too long for a file, or that are found as errors of the record first (`tests/vectors/README.md`).
const WITHOUT_A_VECTOR: [&str; 3] = ["Form.Bytes", "Form.MetadataBytes", "Form.ValueBytes"];

#[test]
fn each_rule_and_each_kind_of_malformed_bytes_has_a_vector() {
    let refused: Vec<RefusedVector> = vectors::read("refused.json");
    let rules = refused.iter().map(|vector| &vector.rule[..]);
    assert_eq!(names_of(rules), names_of(RULES.iter().copied()));
    let malformed = refused
        .iter()
        .filter_map(|vector| vector.malformed.as_deref());
    let all = names_of(MALFORMED.iter().copied());
    assert_eq!(names_of(malformed.chain(WITHOUT_A_VECTOR)), all);
}

fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.collect()
}
