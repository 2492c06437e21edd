//! The vectors of `core/tests/vectors`, given to the command: each must result in the exit code of its answer.

use std::path::Path;

use serde_json::Value;

use crate::support::{Workplace, run_with_input};

fn vectors(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/vectors");
    let text = std::fs::read(folder.join(file)).expect("a file of vectors");
    serde_json::from_slice(&text).expect("vectors")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("a string")
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).expect("hex")
}

/// Gives a proof to the command on standard input, and compares the exit code. `trusts` says whether anything is
/// trusted.
#[track_caller]
fn check(vector: &Value, trusts: bool, arguments: &[&str]) {
    let expected = match vector["rule"].as_str() {
        Some("accepted") | None if trusts => 0,
        Some("accepted") | None => 3,
        Some("malformed") => 2,
        Some(_) => 1,
    };
    let ran = run_with_input(arguments, &bytes(vector, "proof"));
    assert_eq!(ran.code, expected, "{vector}: {ran:?}");
}

#[test]
fn ancestor_proofs() {
    for vector in vectors("history.json")["ancestors"]
        .as_array()
        .expect("a list")
    {
        let head = text(&vector["trusted"], "head");
        check(vector, true, &["history", "verify", "-", "--head", head]);
    }
}

#[test]
fn consistency_proofs() {
    let workplace = Workplace::new();
    let record = workplace.path("record");
    for vector in vectors("history.json")["consistency"]
        .as_array()
        .expect("a list")
    {
        let trusted = &vector["trusted"];
        let (older, head) = (text(trusted, "older"), text(trusted, "head"));
        let verify = ["history", "consistency", "verify", "-"];
        let mut arguments = verify.to_vec();
        arguments.extend(["--older", older, "--head", head]);
        let file = record.to_str().expect("a path in UTF-8");
        if !trusted["older_record"].is_null() {
            std::fs::write(&record, bytes(trusted, "older_record")).expect("a file");
            arguments.extend(["--older-record", file]);
        }
        check(vector, true, &arguments);
    }
}

#[test]
fn evidence() {
    for vector in vectors("evidence.json").as_array().expect("a list") {
        let trusted = &vector["trusted"];
        let promised = text(trusted, "provisional_root");
        let commit_id = text(trusted, "commit_id");
        let verify = ["evidence", "verify", "-"];
        let mut arguments = verify.to_vec();
        arguments.extend(["--provisional-root", promised, "--commit-id", commit_id]);
        check(vector, true, &arguments);
    }
}

/// Returns the arguments that name the trusted values of each version. `None` if the command has no such arguments: for
/// a whole root, and for values of several kinds or trees.
fn trusting(trusted: &[Value]) -> Option<Vec<&str>> {
    let kind = |trusted: &Value| trusted["kind"].as_str().map(str::to_owned);
    let first = trusted.first()?;
    if !trusted
        .iter()
        .all(|other| kind(other) == kind(first) && other["tree_id"] == first["tree_id"])
    {
        return None;
    }
    let of_each = |flag, field| trusted.iter().flat_map(move |one| [flag, text(one, field)]);
    let root = |field| {
        let tree = ["--tree-id", text(first, "tree_id")].into_iter();
        Some(tree.chain(of_each("--root", field)).collect())
    };
    match text(first, "kind") {
        "commit_id" => Some(of_each("--commit-id", "commit_id").collect()),
        "state_digest" => root("state_digest"),
        "kzg_root" => root("kzg_root"),
        "nothing" => Some(Vec::new()),
        _ => None,
    }
}

#[test]
fn audit_proofs() {
    for vector in vectors("audits.json").as_array().expect("a list") {
        let trusted = std::slice::from_ref(&vector["trusted"]);
        if let Some(trusting) = trusting(trusted) {
            let trusts = !trusting.is_empty();
            check(
                vector,
                trusts,
                &[&["audit", "verify", "-"], &trusting[..]].concat(),
            );
        }
    }
}

#[test]
fn proofs_of_keys() {
    for file in ["proofs.json", "refused.json"] {
        for vector in vectors(file).as_array().expect("a list") {
            // Without trusted values the command takes those of the proof, which always have the right number.
            let is_of_count = vector["rule"] == "ExpectedCount";
            let trusted = vector["trusted"].as_array().expect("a list");
            match trusting(trusted) {
                Some(trusting) if !trusting.is_empty() || !is_of_count => {
                    let trusts = !trusting.is_empty();
                    check(vector, trusts, &[&["verify", "-"], &trusting[..]].concat());
                }
                _ => {}
            }
        }
    }
}
