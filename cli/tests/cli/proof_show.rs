use serde_json::Value;
use trunkline::core::kzg::{
    AggregateProof, G1Bytes, OpenedVersion, Slot, verify_aggregate, verify_opening,
};

use crate::support::{Workplace, run};

fn bytes<const N: usize>(field: &Value) -> [u8; N] {
    let bytes = hex::decode(field.as_str().unwrap()).unwrap();
    bytes.try_into().unwrap()
}

/// Returns the output for a proof of these keys.
fn shown(keys: &[&str]) -> Value {
    let workplace = Workplace::with_three_keys();
    let (directory, out) = (workplace.text("state"), workplace.text("proof"));
    let prove = ["prove", "--dir", &directory, "--out", &out, "--key"];
    run(prove.into_iter().chain(keys.iter().copied())).done();
    run(["proof", "show", &out, "--json"]).done().json()
}

#[test]
fn the_opening_of_one_slot_is_one_that_verifies_alone() {
    let shown = shown(&["alice"]);
    let version = &shown["versions"][0];
    let slot = &version["top"]["slots"][0];
    assert_eq!(slot["slot"], version["entries"][0]["slot"]);
    let commitment = bytes(&version["top"]["kzg_root"]);
    let proof = bytes(&shown["opening"]["proof"]);
    let (z, mut y) = (bytes(&slot["z"]), bytes::<32>(&slot["y"]));
    assert_eq!(verify_opening(&commitment, &z, &y, &proof), Ok(true));
    y[31] ^= 1;
    assert_eq!(verify_opening(&commitment, &z, &y, &proof), Ok(false));
}

#[test]
fn that_of_several_is_an_aggregate_of_the_slots_shown() {
    let shown = shown(&["alice", "bob", "carol", "dave"]);
    let version = &shown["versions"][0];
    let slots = version["top"]["slots"].as_array().unwrap();
    let opened = OpenedVersion {
        version: version["version"].as_u64().unwrap(),
        commitment: G1Bytes(bytes(&version["top"]["kzg_root"])),
        slots: slots
            .iter()
            .map(|slot| {
                let index = slot["slot"].as_u64().unwrap() as usize;
                (Slot::new(index).unwrap(), bytes(&slot["y"]))
            })
            .collect(),
    };
    let [quotient, opening] =
        ["quotient", "opening"].map(|field| G1Bytes(bytes(&shown["opening"][field])));
    let proof = AggregateProof { quotient, opening };
    assert_eq!(verify_aggregate(&[opened], &proof), Ok(true));
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
    assert_eq!(
        shown["versions"][0]["record"]["commit_id"],
        inspected["commit_id"]
    );
    assert_eq!(shown["tree"]["tree_id"], inspected["tree_id"]);
    assert_eq!(shown["versions"][0]["top"]["kind"], "hash");
    assert_eq!(shown["versions"][0]["entries"][0]["value"], "37");

    let text = run(["proof", "show", &out]).done().stdout;
    assert!(text.contains(inspected["commit_id"].as_str().unwrap()));
}
