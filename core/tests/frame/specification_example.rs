use crate::model::{NaiveBeginning, NaiveEntry, SEEDS, public_key};

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

#[test]
fn the_examples_of_the_labels_hold() {
    let key = |name: &str| blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    assert_stated(&[
        ("`frame signature`", &key("frame signature")),
        ("`beginning signature`", &key("beginning signature")),
    ]);
}

#[test]
fn the_examples_of_a_frame_and_a_beginning_hold() {
    let (entry, beginning) = (NaiveEntry::example(), NaiveBeginning::example());
    let (signature, seed) = (entry.sign(&SEEDS[0]), &SEEDS[0]);
    assert_stated(&[
        ("secret key", seed),
        ("public key", &public_key(seed)),
        ("commit id", &entry.commit_id()),
        ("frame", &entry.plain(&signature).encode()),
        ("compressed frame", &entry.compressed(&signature).encode()),
        ("tree id of the beginning", &beginning.tree_id()),
        (
            "beginning",
            &beginning.message(&beginning.sign(seed)).encode(),
        ),
    ]);
}
