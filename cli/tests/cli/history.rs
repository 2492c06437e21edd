use serde_json::json;

use crate::support::{Workplace, contents, run, run_with_input};

/// Makes a directory with `count` versions, each by its own process. Returns the commit id of each. The record of
/// version 2 is in a file that `history head` wrote while that was the last version.
fn versions(count: u64) -> (Workplace, Vec<String>) {
    let workplace = Workplace::new();
    let (directory, record) = (workplace.text("state"), workplace.text("record"));
    let mut ids = vec![String::new()];
    for version in 1..=count {
        run(["put", "key", &version.to_string(), "--dir", &directory]).done();
        let head = ["history", "head", "--dir", &directory, "--json", "--out"];
        let out = match version {
            2 => record.clone(),
            _ => workplace.text("another"),
        };
        let head = run(head.into_iter().chain([&*out])).done().json();
        assert_eq!(head["head_version"], version);
        ids.push(head["head"].as_str().unwrap().to_owned());
    }
    (workplace, ids)
}

fn other(hex: &str) -> String {
    let first = if hex.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &hex[1..])
}

#[test]
fn an_older_version_below_the_head() {
    let (workplace, ids) = versions(4);
    let (directory, proof) = (workplace.text("state"), workplace.text("proof"));
    let before = contents(&workplace.path("state"));
    let prove = ["history", "prove", "--dir", &directory, "--version", "2"];
    let ran = run(prove.into_iter().chain(["--out", &proof])).done();
    assert!(ran.stdout.contains(&ids[2]) && ran.stdout.contains(&ids[4]));
    assert_eq!(contents(&workplace.path("state")), before);

    let verify = |head: &str| run(["history", "verify", &proof, "--head", head]);
    let ran = verify(&ids[4]).done();
    assert!(ran.stdout.starts_with("PROVEN: version 2"), "{ran:?}");
    assert!(ran.stdout.contains(&ids[2]));
    for wrong in [&ids[3], &other(&ids[4])] {
        let ran = verify(wrong);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.starts_with("REFUSED: "));
    }
    let verdict = run(["history", "verify", &proof, "--json", "--head", &ids[4]]);
    let verdict = verdict.done().json();
    assert_eq!(verdict["result"], "proven");
    assert_eq!(verdict["commit_id"], ids[2]);
    assert_eq!(
        (&verdict["version"], &verdict["head_version"]),
        (&2.into(), &4.into())
    );
    let ran = run(["history", "verify", &proof, "--json", "--head", &ids[3]]);
    let verdict = ran.json();
    assert_eq!((ran.code, &verdict["result"]), (1, &json!("refused")));
    assert!(verdict["reason"].is_string() && verdict["commit_id"].is_null());
}

#[test]
fn a_history_that_went_on_from_a_head_that_was_held() {
    let (workplace, ids) = versions(5);
    let (directory, record) = (workplace.text("state"), workplace.text("record"));
    let proof = workplace.text("proof");
    let prove = ["history", "consistency", "prove", "--dir", &directory];
    let proven = run(prove
        .into_iter()
        .chain(["--older", "2", "--out", &proof, "--json"]));
    let proven = proven.done().json();
    assert_eq!(
        (&proven["version"], &proven["head"]),
        (&2.into(), &(&*ids[5]).into())
    );

    let verify = |more: &[&str]| {
        let verify = [
            "history",
            "consistency",
            "verify",
            &proof,
            "--head",
            &ids[5],
        ];
        run(verify.iter().chain(more))
    };
    let ran = verify(&["--older-record", &record]).done();
    assert!(ran.stdout.starts_with("PROVEN: the history of version 5"));
    verify(&["--older-record", &record, "--older", &ids[2]]).done();
    // The proof carries the record of a version that the log still has.
    verify(&["--older", &ids[2]]).done();
    assert_eq!(verify(&["--older", &ids[3]]).code, 1);
    let wrong = verify(&["--older-record", &record, "--older", &ids[1], "--json"]);
    assert_eq!(
        (wrong.code, &wrong.json()["result"]),
        (1, &json!("refused"))
    );
    assert_eq!(verify(&[]).code, 2);
    let verdict = verify(&["--older-record", &record, "--json"]).done().json();
    assert_eq!(
        (&verdict["older_version"], &verdict["head_version"]),
        (&2.into(), &5.into())
    );
}

#[test]
fn through_standard_output_and_input() {
    let (workplace, ids) = versions(3);
    let directory = workplace.text("state");
    let prove = [
        "history",
        "prove",
        "--dir",
        &directory,
        "--version",
        "0",
        "--out",
        "-",
    ];
    let output = crate::support::command().args(prove).output().unwrap();
    let ran = run_with_input(
        ["history", "verify", "-", "--head", &ids[3]],
        &output.stdout,
    );
    assert!(ran.done().stdout.starts_with("PROVEN: version 0"));
}

#[test]
fn what_cannot_be_proven_or_read_is_said() {
    let (workplace, ids) = versions(1);
    let (directory, record) = (workplace.text("state"), workplace.text("another"));
    let proof = workplace.text("proof");
    for version in ["1", "7"] {
        let prove = [
            "history",
            "prove",
            "--dir",
            &directory,
            "--version",
            version,
        ];
        run(prove.into_iter().chain(["--out", &proof])).unusable("take a later snapshot");
    }
    run(["history", "verify", &record, "--head", &ids[1]]).unusable("is not an ancestor proof");
    let verify = [
        "history",
        "consistency",
        "verify",
        &record,
        "--older",
        &ids[1],
    ];
    run(verify.into_iter().chain(["--head", &ids[1]])).unusable("is not a consistency proof");
    let nothing = workplace.text("nothing");
    run(["history", "verify", &nothing, "--head", &ids[1]]).unusable("No such file");
    assert_eq!(
        run(["history", "verify", &record, "--head", "abcd"]).code,
        2
    );
}
