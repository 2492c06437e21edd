use trunkline_testkit::states;

use crate::model::{Chain, TREE, Version};

const SPECIFICATION: &str = include_str!("../../../SPEC.md");

fn assert_stated(name: &str, bytes: &[u8]) {
    let row = format!("| {name} | `{}` |", hex::encode(bytes));
    assert!(SPECIFICATION.contains(&row), "SPEC.md lacks the row\n{row}");
}

#[test]
fn the_examples_of_the_tree_hold() {
    assert_eq!(states::plain().tree_id(), TREE);
}

#[test]
fn the_examples_of_proofs_over_the_history_hold() {
    let chain = Chain::new(3);
    for version in 1..=3 {
        let name = format!("commit id of version {version}");
        assert_stated(&name, &chain.ids[version]);
    }
    let history = chain.records[3].history_digest;
    assert_stated("history digest of version 3", &history);
    let proof = chain.ancestor(3, 1);
    assert!(proof.verify(&chain.ids[3]).is_ok());
    assert_stated("ancestor proof", &proof.encode().unwrap());
    let proof = chain.consistency(1, 3);
    assert!(proof.verify(&chain.ids[1], &chain.ids[3]).is_ok());
    assert_stated("consistency proof", &proof.encode().unwrap());
}

#[test]
fn the_examples_of_evidence_hold() {
    let version = Version::new(3);
    let evidence = version.evidence(1);
    assert!(evidence.verify(&version.promised(1), &version.id).is_ok());
    assert_stated("commit id of version 7", &version.id);
    assert_stated("provisional root of submission 101", &version.promised(1));
    let last = version.record.provisional_root;
    assert_stated("provisional root of version 7", &last);
    assert_stated("evidence", &evidence.encode().unwrap());
}

#[cfg(feature = "state")]
#[test]
fn the_examples_of_a_history_file_hold() {
    use std::path::Path;

    use trunkline_core::history::{HISTORY, MountainRange};
    use trunkline_core::store::disk::read_file;
    use trunkline_core::store::history_file::{HISTORY_FILE, HistoryWriter};
    use trunkline_core::store::simulated::SimulatedDisk;

    let (mut range, mut nodes) = (MountainRange::default(), Vec::new());
    for id in &Chain::new(2).ids {
        nodes.push(*id);
        range.append_noting(&HISTORY, id, |node| nodes.push(*node));
    }
    let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
    let mut writer = HistoryWriter::open(&disk, here, &TREE, 0).unwrap();
    writer.append(&nodes).unwrap();
    let content = read_file(&disk, Path::new(HISTORY_FILE), 1000).unwrap();
    assert_stated("`HISTORY` of versions 0 to 2", &content);
}
