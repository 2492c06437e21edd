use trunkline_core::evidence::{EVIDENCE_BYTES_MAX, Evidence, LATER_MAX};
use trunkline_core::history::{AncestorProof, ConsistencyProof, HISTORY_PROOF_BYTES_MAX};
use trunkline_core::record::CommitRecord;
use trunkline_core::wire::FormError;

use crate::model::{Chain, Hash, Version};

const DIGEST: Hash = [0xff; 32];

/// Returns the longest possible record.
fn record() -> CommitRecord {
    CommitRecord {
        metadata: vec![1; 256],
        ..CommitRecord::genesis(DIGEST)
    }
}

fn longest_ancestor() -> AncestorProof {
    let mut proof = Chain::new(2).ancestor(2, 1);
    (proof.head, proof.version) = (record(), u64::MAX);
    proof.inclusion.siblings = vec![DIGEST; 63];
    proof.inclusion.peaks = vec![DIGEST; 64];
    proof
}

fn longest_consistency() -> ConsistencyProof {
    ConsistencyProof {
        older: Some(record()),
        head: record(),
        peaks: vec![DIGEST; 64],
        nodes: vec![DIGEST; 128],
    }
}

fn longest_evidence() -> Evidence {
    let mut evidence = Version::new(1).evidence(0);
    evidence.record = record();
    evidence.inclusion = longest_ancestor().inclusion;
    evidence.later = vec![DIGEST; LATER_MAX];
    evidence
}

#[test]
fn the_longest_proof_that_has_an_encoding_can_be_read() {
    let bytes = longest_ancestor().encode().unwrap();
    assert!(bytes.len() <= HISTORY_PROOF_BYTES_MAX);
    assert_eq!(AncestorProof::decode(&bytes), Ok(longest_ancestor()));
    let bytes = longest_consistency().encode().unwrap();
    assert!(bytes.len() <= HISTORY_PROOF_BYTES_MAX);
    assert_eq!(ConsistencyProof::decode(&bytes), Ok(longest_consistency()));
    let bytes = longest_evidence().encode().unwrap();
    assert!(bytes.len() <= EVIDENCE_BYTES_MAX);
    assert!(Evidence::decode(&bytes) == Ok(longest_evidence()));
}

#[test]
fn too_many_digests_have_no_encoding() {
    let too_many = |what, max| FormError::TooMany {
        what,
        found: max + 1,
        max,
    };
    let mut proof = longest_ancestor();
    proof.inclusion.siblings.push(DIGEST);
    assert_eq!(proof.encode(), Err(too_many("siblings", 63)));
    let mut proof = longest_ancestor();
    proof.inclusion.peaks.push(DIGEST);
    assert_eq!(proof.encode(), Err(too_many("peaks", 64)));
    let mut proof = longest_consistency();
    proof.peaks.push(DIGEST);
    assert_eq!(proof.encode(), Err(too_many("peaks", 64)));
    let mut proof = longest_consistency();
    proof.nodes.push(DIGEST);
    assert_eq!(proof.encode(), Err(too_many("nodes", 128)));
    let mut evidence = longest_evidence();
    evidence.later.push(DIGEST);
    let later = too_many("later submissions", LATER_MAX);
    assert_eq!(evidence.encode(), Err(later));
}

#[test]
fn too_much_metadata_has_no_encoding() {
    let metadata = |record: &mut CommitRecord| record.metadata.push(1);
    let mut proof = longest_ancestor();
    metadata(&mut proof.head);
    assert_eq!(proof.encode(), Err(FormError::MetadataBytes(257)));
    let mut proof = longest_consistency();
    proof.older.as_mut().map(metadata).unwrap();
    assert_eq!(proof.encode(), Err(FormError::MetadataBytes(257)));
    let mut evidence = longest_evidence();
    metadata(&mut evidence.record);
    assert_eq!(evidence.encode(), Err(FormError::MetadataBytes(257)));
}
