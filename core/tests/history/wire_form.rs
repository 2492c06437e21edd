use crate::model::{Chain, Version};

/// Made once and never changed: changing these means changing the format.
const ANCESTOR: &str = "af8930cbebc7211262060d8995fb902141dd79474563beb73517079c9ab37a9c";
const CONSISTENCY: &str = "8fe9528b55ffe02c2b59ed979f745ec5eae42a9a845d713bdacfe445216bb1d9";
const EVIDENCE: &str = "b71bafdf1d5d703f9bb217d8a674364fda121667ec27146af9cf8184a8740779";

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[test]
fn the_wire_form_of_an_ancestor_proof_is_fixed() {
    let bytes = Chain::new(11).ancestor(11, 9).encode().unwrap();
    assert_eq!(hash(&bytes), ANCESTOR);
}

#[test]
fn the_wire_form_of_a_consistency_proof_is_fixed() {
    let bytes = Chain::new(11).consistency(3, 11).encode().unwrap();
    assert_eq!(hash(&bytes), CONSISTENCY);
}

#[test]
fn the_wire_form_of_evidence_is_fixed() {
    let bytes = Version::new(6).evidence(4).encode().unwrap();
    assert_eq!(hash(&bytes), EVIDENCE);
}
