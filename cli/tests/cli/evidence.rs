use trunkline::{Batch, Config, Engine, Requirement};

use crate::support::{Workplace, run};

/// Makes files with evidence about a submission that took effect and about one that was refused, and returns the values
/// to check each against.
fn evidence(workplace: &Workplace) -> [(String, String, String); 2] {
    let config = Config::in_directory(workplace.path("state"));
    let engine = Engine::open_blocking(config).unwrap();
    let mut refused = Batch::new();
    refused
        .put("alice", "1")
        .require("alice", Requirement::value(b"0"));
    let mut applied = Batch::new();
    applied.put("alice", "1");
    let files = [("applied", applied), ("refused", refused)].map(|(name, batch)| {
        let receipt = engine.submit_blocking(batch).unwrap();
        let bytes = receipt.evidence_blocking().unwrap().encode().unwrap();
        std::fs::write(workplace.path(name), bytes).unwrap();
        let commit_id = receipt.durable_blocking().unwrap().commit_id;
        (
            workplace.text(name),
            hex::encode(receipt.provisional_root()),
            hex::encode(commit_id),
        )
    });
    engine.shutdown_blocking().unwrap();
    files
}

fn arguments<'a>(file: &'a str, promised: &'a str, commit_id: &'a str) -> [&'a str; 7] {
    let verify = ["evidence", "verify", file, "--provisional-root"];
    let [a, b, c, d] = verify;
    [a, b, c, d, promised, "--commit-id", commit_id]
}

#[test]
fn against_the_promise_and_a_trusted_commit() {
    let workplace = Workplace::new();
    let [applied, refused] = evidence(&workplace);
    let ran = run(arguments(&applied.0, &applied.1, &applied.2)).done();
    assert!(
        ran.stdout
            .starts_with("PROVEN: submission 1 has its place in version 1")
    );
    assert!(ran.stdout.contains("outcome       applied"));
    assert!(ran.stdout.contains("not shown: what came before"));
    let ran = run(arguments(&refused.0, &refused.1, &refused.2)).done();
    assert!(
        ran.stdout
            .contains("outcome       refused: a requirement on")
    );
    for (promised, commit_id) in [(&refused.1, &applied.2), (&applied.1, &refused.2)] {
        let ran = run(arguments(&applied.0, promised, commit_id));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stdout.starts_with("REFUSED: "));
    }
}

#[test]
fn in_json_too() {
    let workplace = Workplace::new();
    let [applied, refused] = evidence(&workplace);
    let json = |(file, promised, commit_id): &(String, String, String)| {
        let arguments = arguments(file, promised, commit_id);
        run(arguments.into_iter().chain(["--json"])).json()
    };
    let verdict = json(&applied);
    assert_eq!(
        (&verdict["result"], &verdict["applied"]),
        (&"proven".into(), &true.into())
    );
    assert_eq!(
        (&verdict["sequence"], &verdict["displaced"]),
        (&1.into(), &0.into())
    );
    let verdict = json(&refused);
    assert_eq!(
        (&verdict["version"], &verdict["applied"]),
        (&2.into(), &false.into())
    );
    assert!(verdict["refusal"].is_string());
    let verdict = json(&(applied.0, refused.1, applied.2));
    assert_eq!(verdict["result"], "refused");
    assert!(verdict["reason"].is_string() && verdict["sequence"].is_null());
}

#[test]
fn or_the_file_is_unusable() {
    let workplace = Workplace::new();
    let [applied, _] = evidence(&workplace);
    let file = workplace.text("text");
    std::fs::write(&file, "no evidence").unwrap();
    run(arguments(&file, &applied.1, &applied.2)).unusable("is not evidence");
}
