use serde_json::json;
use trunkline::TopKind;
use trunkline::core::hash;
use trunkline::core::kzg::Slot;
use trunkline::core::params::{Salt, TreeParams};
use trunkline::core::proof::{Place, Proof};

use crate::support::{Workplace, run, run_with_input};

/// Returns the text with its last digit changed.
fn other(hex: &str) -> String {
    let (start, last) = hex.split_at(hex.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

#[test]
fn a_proof_holds_against_the_root_it_was_made_for_and_no_other() {
    let workplace = Workplace::with_three_keys();
    let root = workplace.root();
    let tree = ["--tree-id", &hex::encode(root.tree_id)];
    let cases = [
        (
            TopKind::Kzg,
            "--root",
            hex::encode(root.kzg_root.unwrap()),
            &tree[..],
        ),
        (
            TopKind::Hash,
            "--root",
            hex::encode(root.state_digest),
            &tree[..],
        ),
        (
            TopKind::Hash,
            "--commit-id",
            hex::encode(root.commit_id),
            &[],
        ),
    ];
    for (top, flag, trusted, tree) in cases {
        let proof = workplace.proof(top);
        let verify = |trusted: &str| run(["verify", &proof, flag, trusted].iter().chain(tree));
        let ran = verify(&trusted).done();
        assert!(ran.stdout.starts_with("PROVEN against the trusted "));
        assert!(ran.stdout.contains("present  \"alice\" = \"10\""));
        assert!(ran.stdout.contains("absent   0x00ff"));

        let ran = verify(&other(&trusted));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.starts_with("REFUSED: "));
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
    let tree_id = hex::encode(root.tree_id);
    let verify = ["verify", &hash, "--root", &kzg_root, "--tree-id", &tree_id];
    assert_eq!(run(verify).code, 1);
    assert_eq!(run(["verify", &kzg, "--commit-id", &commit_id]).code, 1);
}

#[test]
fn with_nothing_trusted_nothing_is_proven_and_the_carried_root_is_printed() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Kzg);
    let ran = run(["verify", &proof]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.starts_with("CONSISTENT: "), "{ran:?}");
    let kzg_root = hex::encode(workplace.root().kzg_root.unwrap());
    assert!(ran.stdout.contains(&kzg_root));
    let ran = run(["verify", &proof, "--json"]);
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["result"]), (3, &json!("consistent")));
    assert_eq!(verdict["versions"][0]["bound_to"], json!([]));
}

/// The maker of a proof chooses a salt, and under another salt any key is absent.
#[test]
fn a_false_absence_under_another_salt_is_proven_by_no_root() {
    let workplace = Workplace::with_three_keys();
    let (directory, file) = (workplace.text("state"), workplace.text("forged"));
    let prove = [
        "prove", "--dir", &directory, "--top", "hash", "--out", &file,
    ];
    // This is a true proof of an absent key, alone in an empty slot.
    let empty_slot = |key: &u32| {
        let key = format!("nobody {key}");
        run(prove.into_iter().chain(["--key", &key])).done();
        let proof = Proof::decode(&std::fs::read(&file).unwrap()).unwrap();
        matches!(proof.versions[0].terminals[0].place, Place::Empty).then_some(proof)
    };
    let mut proof = (0..).find_map(|key| empty_slot(&key)).unwrap();
    let version = &mut proof.versions[0];
    let slot = |params: &TreeParams, key: &[u8]| Slot::of_key_hash(&params.key_hash(key));
    let empty = slot(&proof.params, &version.entries[0].key);
    // Under this salt, "alice", who is present, belongs into that slot.
    version.record = None;
    version.entries[0].key = b"alice".to_vec();
    let salted = |salt: u32| TreeParams {
        salt: Some(Salt::new(hash::hash(&salt.to_le_bytes()))),
        ..proof.params
    };
    let mut all = (0..).map(salted);
    proof.params = all.find(|params| slot(params, b"alice") == empty).unwrap();
    std::fs::write(&file, proof.encode().unwrap()).unwrap();

    let root = workplace.root();
    let [state_digest, tree_id, commit_id] =
        [root.state_digest, root.tree_id, root.commit_id].map(hex::encode);
    let own = run(["verify", &file]);
    assert_eq!(own.code, 3, "{own:?}");
    assert!(
        own.stdout.contains(&state_digest),
        "it leads to the state digest"
    );
    let verify = ["verify", &file, "--root", &state_digest];
    run(verify).unusable("name the tree by --tree-id");
    let with = |flag: &str, trusted: &str| run(verify.into_iter().chain([flag, trusted])).code;
    assert_eq!(with("--tree-id", &tree_id), 1);
    assert_eq!(with("--commit-id", &commit_id), 1);
}

#[test]
fn json_says_what_is_proven_and_what_it_rests_on() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = workplace.root();
    let commit_id = hex::encode(root.commit_id);
    let verify = ["verify", &proof, "--json", "--commit-id"];
    let verdict = run(verify.into_iter().chain([&*commit_id])).done().json();
    assert_eq!(verdict["result"], "proven");
    let version = &verdict["versions"][0];
    assert_eq!(version["bound_to"], json!(["commit id"]));
    assert_eq!(version["commit_is_bound"], true);
    assert_eq!(version["state_digest"], hex::encode(root.state_digest));
    let entries = version["entries"].as_array().unwrap();
    let of = |key: &str| entries.iter().find(|entry| entry["key"] == key).unwrap();
    assert_eq!(of("616c696365")["value"], "3130");
    assert_eq!(of("00ff")["claim"], "absent");

    let ran = run(verify.into_iter().chain([&*other(&commit_id)]));
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["result"]), (1, &json!("refused")));
    assert!(verdict["reason"].is_string());
    assert_eq!(verdict["versions"][0]["entries"], json!([]));
}

#[test]
fn a_root_is_given_for_each_version_and_no_more() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = hex::encode(workplace.root().state_digest);
    let tree_id = hex::encode(workplace.root().tree_id);
    let verify = ["verify", &proof, "--tree-id", &tree_id];
    let ran = run(verify.into_iter().chain(["--root", &root, "--root", &root]));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("1 versions, yet 2 trusted roots"));
}

#[test]
fn what_no_trusted_thing_vouches_for_is_marked() {
    let workplace = Workplace::with_three_keys();
    let proof = workplace.proof(TopKind::Hash);
    let root = workplace.root();
    let by_own_word = |trusted: &[&str]| {
        let ran = run(["verify", &proof].iter().chain(trusted));
        ran.stdout.matches("stated by the proof alone").count()
    };
    let [state_digest, tree_id] = [root.state_digest, root.tree_id].map(hex::encode);
    // Version, tree id and commit id are shown.
    assert_eq!(by_own_word(&[]), 3);
    assert_eq!(
        by_own_word(&["--root", &state_digest, "--tree-id", &tree_id]),
        2
    );
    let commit_id = hex::encode(root.commit_id);
    assert_eq!(by_own_word(&["--commit-id", &commit_id]), 0);
    let both = ["--commit-id", &commit_id, "--root", &state_digest];
    assert_eq!(by_own_word(&both), 0);
}

#[test]
fn a_changed_byte_is_unproven_or_unusable() {
    let workplace = Workplace::with_three_keys();
    let bytes = std::fs::read(workplace.proof(TopKind::Hash)).unwrap();
    let commit_id = hex::encode(workplace.root().commit_id);
    // The library's tests change every byte; here a few changes show the exit codes.
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
