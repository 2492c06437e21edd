use trunkline_core::audit::{AuditProof, verify};
use trunkline_core::kzg::encode_scalar;
use trunkline_core::proof::Expected;
use trunkline_testkit::states;

use crate::fixture;

const SPECIFICATION: &str = include_str!("../../../SPEC.md");

/// Checks that SPEC.md has a row for each of these.
#[track_caller]
fn assert_stated(examples: &[(&str, &[u8])]) {
    let rows = examples
        .iter()
        .map(|(name, bytes)| format!("| {name} | `{}` |", hex::encode(bytes)));
    let missing: Vec<String> = rows.filter(|row| !SPECIFICATION.contains(row)).collect();
    assert_eq!(missing, Vec::<String>::new(), "SPEC.md lacks these rows");
}

/// Returns the state of SPEC.md §11: the leaf digests of `a`, `b` and `c`, each alone in its slot.
fn slots() -> fixture::Slots {
    let mut slots = [[0; 32]; 128];
    for (key, value) in [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")] {
        let (key_hash, value_hash) = (blake3::hash(key), blake3::hash(value));
        let leaf = [*key_hash.as_bytes(), *value_hash.as_bytes()].concat();
        let domain = blake3::derive_key("trunkline v1 leaf", &[]);
        let slot = usize::from(key_hash.as_bytes()[0] >> 1);
        slots[slot] = *blake3::keyed_hash(&domain, &leaf).as_bytes();
    }
    slots
}

#[test]
fn the_example_of_the_label_holds() {
    let key = blake3::derive_key("trunkline v1 audit point", &[]);
    assert_stated(&[("`audit point`", &key)]);
}

#[test]
fn the_example_of_an_audit_proof_holds() {
    let mut proof = fixture::audit_of(states::plain(), slots());
    proof.version = 1;
    let z = fixture::point(&proof);
    let bytes = proof.encode().unwrap();
    assert_stated(&[
        ("state digest", &fixture::state_digest(&slots())),
        ("KZG root", &proof.kzg_root),
        ("z", &encode_scalar(&z)),
        ("opening", &proof.opening),
        ("audit proof", &bytes),
    ]);
    let read = AuditProof::decode(&bytes).unwrap();
    assert!(verify(&read, &fixture::by_state(&proof)).is_ok());
    assert!(verify(&read, &Expected::Carried).is_ok());
}
