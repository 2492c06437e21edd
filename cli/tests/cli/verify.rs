use serde_json::Value;
use trunkline::TopKind;

use crate::support::{Workplace, run, run_with_input};

/// The last digit changed.
fn other(hex: &str) -> String {
    let (start, last) = hex.split_at(hex.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

#[test]
fn a_proof_holds_against_the_root_it_was_made_for_and_no_other() {
    let workplace = Workplace::with_three_keys();
    let root = workplace.root();
    let cases = [
        (TopKind::Kzg, "--root", hex::encode(root.kzg_root.unwrap())),
        (TopKind::Hash, "--root", hex::encode(root.state_digest)),
        (TopKind::Hash, "--commit-id", hex::encode(root.commit_id)),
    ];
    for (top, flag, trusted) in cases {
        let proof = workplace.proof(top);
        let ran = run(["verify", &proof, flag, &trusted]).done();
        assert!(ran.stdout.starts_with("PROVEN against the trusted "));
        assert!(ran.stdout.contains("present  \"alice\" = \"10\""));
        assert!(ran.stdout.contains("absent   0x00ff"));

        let ran = run(["verify", &proof, flag, &other(&trusted)]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.starts_with("NOT PROVEN: "));
    }
}

#[test]
fn root_and_commit_id_must_both_hold_if_both_are_given() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = hex::encode(workplace.root().state_digest);
    let commit_id = hex::encode(workplace.root().commit_id);
    let verify = |root: &str, commit_id: &str| {
        run(["verify", &proof, "--root", root, "--commit-id", commit_id]).code
    };
    assert_eq!(verify(&root, &commit_id), 0);
    assert_eq!(verify(&other(&root), &commit_id), 1);
    assert_eq!(verify(&root, &other(&commit_id)), 1);
}

#[test]
fn another_tree_id_is_not_proven() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Kzg);
    let root = hex::encode(workplace.root().kzg_root.unwrap());
    let tree_id = hex::encode(workplace.root().tree_id);
    let verify = ["verify", &proof, "--root", &root, "--tree-id"];
    assert_eq!(run(verify.into_iter().chain([&*tree_id])).code, 0);
    assert_eq!(run(verify.into_iter().chain([&*other(&tree_id)])).code, 1);
}

#[test]
fn a_kind_of_root_that_the_proof_does_not_lead_to_is_not_proven() {
    let workplace = Workplace::with_three_keys();
    let root = workplace.root();
    let kzg_root = hex::encode(root.kzg_root.unwrap());
    let commit_id = hex::encode(root.commit_id);
    let (kzg, hash) = (
        workplace.proof(TopKind::Kzg),
        workplace.proof(TopKind::Hash),
    );
    assert_eq!(run(["verify", &hash, "--root", &kzg_root]).code, 1);
    assert_eq!(run(["verify", &kzg, "--commit-id", &commit_id]).code, 1);
}

#[test]
fn without_a_root_the_carried_one_is_printed() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Kzg);
    let ran = run(["verify", &proof]).done();
    assert!(
        ran.stdout
            .starts_with("the proof fits the root that it carries")
    );
    let kzg_root = hex::encode(workplace.root().kzg_root.unwrap());
    assert!(ran.stdout.contains(&kzg_root));
}

#[test]
fn json_says_what_is_proven_and_what_it_rests_on() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = workplace.root();
    let commit_id = hex::encode(root.commit_id);
    let verify = ["verify", &proof, "--json", "--commit-id"];
    let verdict = run(verify.into_iter().chain([&*commit_id])).done().json();
    assert_eq!(verdict["proven"], true);
    let version = &verdict["versions"][0];
    assert_eq!(version["bound_to"], serde_json::json!(["commit id"]));
    assert_eq!(version["commit_is_bound"], true);
    assert_eq!(version["state_digest"], hex::encode(root.state_digest));
    let entries = version["entries"].as_array().unwrap();
    let of = |key: &str| entries.iter().find(|entry| entry["key"] == key).unwrap();
    assert_eq!(of("616c696365")["value"], "3130");
    assert_eq!(of("00ff")["claim"], "absent");

    let ran = run(verify.into_iter().chain([&*other(&commit_id)]));
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["proven"]), (1, &Value::Bool(false)));
    assert!(verdict["reason"].is_string());
    assert_eq!(verdict["versions"][0]["entries"], serde_json::json!([]));
}

#[test]
fn a_root_is_given_for_each_version_and_no_more() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = hex::encode(workplace.root().state_digest);
    let ran = run(["verify", &proof, "--root", &root, "--root", &root]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("1 versions, yet 2 trusted roots"));
}

#[test]
fn what_no_trusted_thing_vouches_for_is_marked() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = workplace.root();
    let by_own_word = |flag: &str, trusted: &[u8]| {
        let ran = run(["verify", &proof, flag, &hex::encode(trusted)]).done();
        ran.stdout.matches("stated by the proof alone").count()
    };
    // Version, tree id and commit id.
    assert_eq!(by_own_word("--root", &root.state_digest), 3);
    assert_eq!(by_own_word("--commit-id", &root.commit_id), 0);
}

#[test]
fn a_changed_byte_is_unproven_or_unusable() {
    let workplace = Workplace::with_three_keys();
    let bytes = std::fs::read(workplace.proof(TopKind::Hash)).unwrap();
    let commit_id = hex::encode(workplace.root().commit_id);
    // The library's tests change every byte; here a few show the exit codes.
    for place in (0..bytes.len()).step_by(31) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let ran = run_with_input(["verify", "-", "--commit-id", &commit_id], &changed);
        assert!(matches!(ran.code, 1 | 2), "byte {place}: {ran:?}");
    }
}

#[test]
fn what_is_no_proof_is_unusable() {
    let workplace = Workplace::new();
    let file = workplace.text("text");
    std::fs::write(&file, "no proof").unwrap();
    run(["verify", &file]).unusable("is not a proof");
    run(["proof", "show", &file]).unusable("is not a proof");
    run(["verify", &workplace.text("nothing")]).unusable("No such file");
    run_with_input(["verify", "-"], b"").unusable("is not a proof");
    assert_eq!(run(["verify", &file, "--root", "abcd"]).code, 2);
    assert_eq!(run(["verify", &file, "--commit-id", "abcd"]).code, 2);
}
