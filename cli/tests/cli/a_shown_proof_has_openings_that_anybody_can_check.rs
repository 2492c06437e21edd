use serde_json::Value;
use trunkline::core::kzg::verify_opening;

use crate::support::{Workplace, run};

fn bytes<const N: usize>(field: &Value) -> [u8; N] {
    let bytes = hex::decode(field.as_str().unwrap()).unwrap();
    bytes.try_into().unwrap()
}

#[test]
fn each_plain_opening_is_an_object_that_verifies_alone() {
    let workplace = Workplace::with_three_keys();
    let (directory, out) = (workplace.text("state"), workplace.text("proof"));
    let prove = ["prove", "--dir", &directory, "--out", &out, "--key"];
    run(prove.into_iter().chain(["alice", "bob", "carol", "dave"])).done();
    let shown = run(["proof", "show", &out, "--json"]).done().json();
    let openings = shown["top"]["openings"].as_array().unwrap();
    let mut slots: Vec<u64> = shown["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["slot"].as_u64().unwrap())
        .collect();
    slots.dedup();
    assert_eq!(openings.len(), slots.len());
    for (opening, slot) in openings.iter().zip(slots) {
        assert_eq!(opening["slot"], slot);
        assert_eq!(opening["commitment"], shown["top"]["commitment"]);
        let (commitment, proof) = (bytes(&opening["commitment"]), bytes(&opening["proof"]));
        let (z, mut y) = (bytes(&opening["z"]), bytes::<32>(&opening["y"]));
        assert_eq!(verify_opening(&commitment, &z, &y, &proof), Ok(true));
        y[31] ^= 1;
        assert_eq!(verify_opening(&commitment, &z, &y, &proof), Ok(false));
    }
}

#[test]
fn a_hash_top_shows_the_record_and_its_commit_id() {
    let workplace = Workplace::with_three_keys();
    let (directory, out) = (workplace.text("state"), workplace.text("proof"));
    run([
        "prove", "--dir", &directory, "--top", "hash", "--out", &out, "--key", "bob",
    ])
    .done();
    let shown = run(["proof", "show", &out, "--json"]).done().json();
    let inspected = run(["inspect", "--dir", &directory, "--json"])
        .done()
        .json();
    assert_eq!(shown["record"]["commit_id"], inspected["commit_id"]);
    assert_eq!(shown["tree"]["tree_id"], inspected["tree_id"]);
    assert_eq!(shown["top"]["kind"], "hash");
    assert_eq!(shown["entries"][0]["value"], "37");

    let text = run(["proof", "show", &out]).done().stdout;
    assert!(text.contains(inspected["commit_id"].as_str().unwrap()));
}
