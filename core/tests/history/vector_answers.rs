//! The files as any reader parses them, and this crate's answers to them.

use trunkline_core::evidence::{Evidence, VerifiedEvidence};
use trunkline_core::history::{Ancestor, AncestorProof, ConsistencyProof, Consistent};
use trunkline_core::outcome::SubmissionOutcome;
use trunkline_core::record::CommitRecord;
use trunkline_core::wire::DecodeError;
use trunkline_testkit::vectors::{
    self, ACCEPTED, AnsweredVector, Decimal, MALFORMED_RULE, malformed_of,
};

use crate::vector_coverage::{rule_of_ancestor, rule_of_consistency, rule_of_evidence};
use crate::vectors::{
    AncestorVector, ConsistencyVector, EvidenceVector, HistoryVectors, ShownAncestor,
    ShownConsistency, ShownEvidence,
};

/// The shown facts, or the broken rule with the reason why bytes are malformed.
type Answer<S> = Result<S, (&'static str, Option<&'static str>)>;

fn malformed<S>(error: &DecodeError) -> Answer<S> {
    Err((MALFORMED_RULE, Some(malformed_of(error))))
}

#[track_caller]
fn check<T, S: std::fmt::Debug + PartialEq>(vector: &AnsweredVector<T, S>, answer: Answer<S>) {
    let name = format!("{}: {}", vector.of, vector.mutation);
    match answer {
        Ok(shown) => {
            assert_eq!(vector.rule, ACCEPTED, "{name}");
            assert_eq!(Some(shown), vector.shown, "{name}");
        }
        Err((rule, malformed)) => {
            assert_eq!(rule, vector.rule, "{name}");
            assert_eq!(malformed, vector.malformed.as_deref(), "{name}");
            assert_eq!(None, vector.shown, "{name}");
        }
    }
}

fn ancestor(vector: &AncestorVector) -> Answer<ShownAncestor> {
    let proof = match AncestorProof::decode(&vector.proof.0) {
        Err(error) => return malformed(&error),
        Ok(proof) => proof,
    };
    let Ancestor {
        tree_id,
        version,
        commit_id,
        head_version,
    } = proof
        .verify(&vector.trusted.head.array())
        .map_err(|error| (rule_of_ancestor(&error), None))?;
    Ok(ShownAncestor {
        tree_id: tree_id.into(),
        version: Decimal(version),
        commit_id: commit_id.into(),
        head_version: Decimal(head_version),
    })
}

#[test]
fn every_ancestor_proof_gets_its_answer() {
    let vectors: HistoryVectors = vectors::read("history.json");
    for vector in &vectors.ancestors {
        check(vector, ancestor(vector));
    }
}

fn consistency(vector: &ConsistencyVector) -> Answer<ShownConsistency> {
    let mut proof = match ConsistencyProof::decode(&vector.proof.0) {
        Err(error) => return malformed(&error),
        Ok(proof) => proof,
    };
    let trusted = &vector.trusted;
    if let Some(record) = &trusted.older_record {
        let record = CommitRecord::decode(&record.0).unwrap();
        proof = proof
            .with_older(record)
            .map_err(|error| (rule_of_consistency(&error), None))?;
    }
    let Consistent {
        tree_id,
        older_version,
        head_version,
    } = proof
        .verify(&trusted.older.array(), &trusted.head.array())
        .map_err(|error| (rule_of_consistency(&error), None))?;
    Ok(ShownConsistency {
        tree_id: tree_id.into(),
        older_version: Decimal(older_version),
        head_version: Decimal(head_version),
    })
}

#[test]
fn every_consistency_proof_gets_its_answer() {
    let vectors: HistoryVectors = vectors::read("history.json");
    for vector in &vectors.consistency {
        check(vector, consistency(vector));
    }
}

fn evidence(vector: &EvidenceVector) -> Answer<ShownEvidence> {
    let evidence = match Evidence::decode(&vector.proof.0) {
        Err(error) => return malformed(&error),
        Ok(evidence) => evidence,
    };
    let trusted = &vector.trusted;
    let VerifiedEvidence {
        tree_id,
        version,
        sequence,
        index,
        submission,
        outcome,
        idempotency_key,
    } = evidence
        .verify(
            &trusted.provisional_root.array(),
            &trusted.commit_id.array(),
        )
        .map_err(|error| (rule_of_evidence(&error), None))?;
    let outcome = SubmissionOutcome {
        sequence,
        submission,
        outcome,
        idempotency_key,
    };
    Ok(ShownEvidence {
        tree_id: tree_id.into(),
        version: Decimal(version),
        sequence: Decimal(sequence),
        index: Decimal(index),
        submission: submission.into(),
        outcome: outcome.encode().into(),
    })
}

#[test]
fn all_evidence_gets_its_answer() {
    let vectors: Vec<EvidenceVector> = vectors::read("evidence.json");
    for vector in &vectors {
        check(vector, evidence(vector));
    }
}
