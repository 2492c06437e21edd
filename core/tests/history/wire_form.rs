use crate::model::{Chain, Version};

/// Made once and never changed since: who changes these changes the format.
const ANCESTOR: &str = "4f15c7e4c1e5e31b49abe5f9ea56aa2dbe41ba9db9c02d4371015feddd4365b2";
const CONSISTENCY: &str = "b086ee987196a957524148313a58d239166d94e6142f5b975dbc5a4bac74492d";
const EVIDENCE: &str = "3dae9330432c7ddfc8b5b657619cf03f24254201a64a79831aa4ab8a9be5f79f";

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
