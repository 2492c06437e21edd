use trunkline_core::evidence::Evidence;
use trunkline_core::history::{AncestorProof, ConsistencyProof};

use crate::model::{Chain, Version};

/// Returns every byte changed in three ways, and every shorter prefix.
fn spoilt(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let changed = (0..bytes.len()).flat_map(move |index| {
        [0x01, 0x80, 0xff].map(|bits| {
            let mut changed = bytes.to_vec();
            changed[index] ^= bits;
            changed
        })
    });
    changed.chain((0..bytes.len()).map(|length| bytes[..length].to_vec()))
}

#[test]
fn a_changed_byte_of_an_ancestor_proof_proves_nothing() {
    let chain = Chain::new(13);
    for bytes in spoilt(&chain.ancestor(13, 6).encode().unwrap()) {
        if let Ok(proof) = AncestorProof::decode(&bytes) {
            assert!(proof.verify(&chain.ids[13]).is_err());
        }
    }
}

#[test]
fn a_changed_byte_of_a_consistency_proof_proves_nothing() {
    let chain = Chain::new(13);
    for bytes in spoilt(&chain.consistency(3, 13).encode().unwrap()) {
        if let Ok(proof) = ConsistencyProof::decode(&bytes) {
            assert!(proof.verify(&chain.ids[3], &chain.ids[13]).is_err());
        }
    }
}

#[test]
fn a_changed_byte_of_evidence_proves_nothing() {
    let version = Version::new(7);
    for bytes in spoilt(&version.evidence(4).encode().unwrap()) {
        if let Ok(evidence) = Evidence::decode(&bytes) {
            assert!(evidence.verify(&version.promised(4), &version.id).is_err());
        }
    }
}
