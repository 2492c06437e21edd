//! The vectors of `core/tests/vectors` through the command: each gets the exit code of its answer.

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

/// Gives the proof to the command on standard input, and compares the exit code.
#[track_caller]
fn check(vector: &Value, arguments: &[&str]) {
    let expected = match text(vector, "rule") {
        "accepted" => 0,
        "malformed" => 2,
        _ => 1,
    };
    let ran = run_with_input(arguments, &bytes(vector, "proof"));
    let (of, mutation) = (text(vector, "of"), text(vector, "mutation"));
    assert_eq!(ran.code, expected, "{of}: {mutation}: {ran:?}");
}

#[test]
fn ancestor_proofs() {
    for vector in vectors("history.json")["ancestors"]
        .as_array()
        .expect("a list")
    {
        let head = text(&vector["trusted"], "head");
        check(vector, &["history", "verify", "-", "--head", head]);
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
        check(vector, &arguments);
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
        check(vector, &arguments);
    }
}
