use serde_json::json;

use crate::support::{Ran, Workplace, run, run_with_input};

/// Returns the text with its last digit changed.
fn other(hex: &str) -> String {
    let (start, last) = hex.split_at(hex.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

/// Makes a directory with three keys, and the file of its audit proof.
fn audited() -> (Workplace, String) {
    let workplace = Workplace::with_three_keys();
    let file = workplace.text("audit");
    let directory = workplace.text("state");
    let ran = run(["audit", "prove", "--dir", &directory, "--out", &file]).done();
    assert!(ran.stdout.starts_with("an audit proof of version 1, "));
    (workplace, file)
}

/// Returns the state digest, the KZG root and the commit id, in hex.
fn roots(workplace: &Workplace) -> [String; 3] {
    let root = workplace.root();
    let kzg_root = hex::encode(root.kzg_root.unwrap());
    [
        hex::encode(root.state_digest),
        kzg_root,
        hex::encode(root.commit_id),
    ]
}

fn verify(file: &str, trusted: &[&str]) -> Ran {
    run(["audit", "verify", file].iter().chain(trusted))
}

#[test]
fn against_either_root_or_both_or_the_commit_id() {
    let (workplace, file) = audited();
    let [state, kzg, commit] = roots(&workplace);
    let tree = ["--tree-id", &hex::encode(workplace.root().tree_id)];
    let trusted: [&[&str]; 5] = [
        &["--root", &state, tree[0], tree[1]],
        &["--root", &kzg, tree[0], tree[1]],
        &["--root", &state, "--root", &kzg, tree[0], tree[1]],
        &["--root", &state, "--root", &kzg, "--commit-id", &commit],
        &["--commit-id", &commit],
    ];
    for trusted in trusted {
        let ran = verify(&file, trusted).done();
        assert!(ran.stdout.starts_with("PROVEN against the trusted "));
        assert!(ran.stdout.contains(&state) && ran.stdout.contains(&kzg));
    }
    for (flag, root) in [
        ("--root", &state),
        ("--root", &kzg),
        ("--commit-id", &commit),
    ] {
        let tree = if flag == "--root" { &tree[..] } else { &[] };
        let ran = verify(&file, &[&[flag, &*other(root)], tree].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.starts_with("REFUSED: "));
    }
    let ran = verify(
        &file,
        &["--root", &state, "--root", &other(&kzg), tree[0], tree[1]],
    );
    assert_eq!(ran.code, 1);
    for root in [&state, &kzg] {
        verify(&file, &["--root", root]).unusable("name the tree by --tree-id");
    }
}

#[test]
fn with_nothing_trusted_nothing_is_proven() {
    let (_workplace, file) = audited();
    let ran = verify(&file, &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.starts_with("CONSISTENT: "), "{ran:?}");
    let ran = verify(&file, &["--json"]);
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["result"]), (3, &json!("consistent")));
    let bound =
        ["commit", "state_digest", "kzg_root"].map(|what| &verdict[format!("{what}_is_bound")]);
    assert_eq!(bound, [&json!(false); 3]);
}

#[test]
fn what_no_trusted_thing_vouches_for_is_marked() {
    let (workplace, file) = audited();
    let [state, kzg, commit] = roots(&workplace);
    let by_own_word = |trusted: &[&str]| {
        let ran = verify(&file, trusted);
        ran.stdout.matches("stated by the proof alone").count()
    };
    // Version, tree id, commit id, state digest and KZG root are shown.
    assert_eq!(by_own_word(&[]), 5);
    assert_eq!(by_own_word(&["--commit-id", &commit]), 0);
    let tree_id = hex::encode(workplace.root().tree_id);
    assert_eq!(by_own_word(&["--root", &state, "--tree-id", &tree_id]), 2);
    assert_eq!(by_own_word(&["--root", &kzg, "--tree-id", &tree_id]), 3);
    let ran = verify(&file, &["--root", &state, "--tree-id", &other(&tree_id)]);
    assert_eq!(ran.code, 1);
}

#[test]
fn json_says_what_is_bound() {
    let (workplace, file) = audited();
    let [state, kzg, commit] = roots(&workplace);
    let tree_id = hex::encode(workplace.root().tree_id);
    let by_kzg = ["--json", "--root", &kzg, "--tree-id", &tree_id];
    let verdict = verify(&file, &by_kzg).done().json();
    assert_eq!(verdict["result"], "proven");
    assert_eq!(verdict["bound_to"], json!(["kzg root"]));
    let bound =
        ["commit", "state_digest", "kzg_root"].map(|what| &verdict[format!("{what}_is_bound")]);
    assert_eq!(bound, [&json!(false), &json!(false), &json!(true)]);
    let slots = verdict["slots"].as_array().unwrap();
    let used = slots.iter().filter(|slot| **slot != "0".repeat(64));
    assert_eq!((slots.len(), used.count()), (128, 3));

    let ran = verify(&file, &["--json", "--commit-id", &commit]).done();
    let verdict = ran.json();
    assert_eq!(verdict["state_digest"], state);
    assert_eq!(verdict["kzg_root"], kzg);
    assert_eq!(verdict["commit_id"], commit);
    assert_eq!(verdict["state_digest_is_bound"], true);

    let ran = verify(&file, &["--json", "--commit-id", &other(&commit)]);
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["result"]), (1, &json!("refused")));
    assert!(verdict["reason"].is_string());
    assert_eq!(
        (&verdict["slots"], &verdict["bound_to"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn what_is_no_audit_proof_is_unusable() {
    let (workplace, file) = audited();
    let directory = workplace.text("state");
    let piped = run(["audit", "prove", "--dir", &directory, "--out", "-"]).done();
    assert!(!piped.stdout.is_empty());
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(run_with_input(["audit", "verify", "-"], &bytes).code, 3);
    let cut = run_with_input(["audit", "verify", "-"], &bytes[1..]);
    cut.unusable("is not an audit proof");
    let long = [&bytes[..], &[0; 9000]].concat();
    run_with_input(["audit", "verify", "-"], &long).unusable("is not an audit proof");
    run(["audit", "verify", &workplace.text("nothing")]).unusable("No such file");
    run(["verify", &file]).unusable("is not a proof");
}
