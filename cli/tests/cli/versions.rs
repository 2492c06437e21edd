use trunkline::{Config, Engine};

use crate::support::{Workplace, run};

/// Makes a directory with archived versions, and returns the newest of them.
fn archived() -> (Workplace, u64) {
    let workplace = Workplace::new();
    let mut config = Config::in_directory(workplace.path("state"));
    config.versions.archive = true;
    config.versions.retain_versions = 1;
    config.checkpoint.bytes_max = 4096;
    let engine = Engine::open_blocking(config).unwrap();
    let put = |key: &str, value: &str| {
        let receipt = engine.put_blocking(key, value);
        receipt.unwrap().durable_blocking().unwrap().version
    };
    for version in 1..=9 {
        put("alice", &version.to_string());
    }
    while engine.metrics().checkpoints == 0 {
        put("filler", &"x".repeat(3000));
    }
    put("alice", "last");
    // Enough for a checkpoint when the engine is closed.
    let newest = put("filler", &"x".repeat(300));
    engine.shutdown_blocking().unwrap();
    (workplace, newest)
}

#[test]
fn old_versions_are_listed_read_and_proven() {
    let (workplace, newest) = archived();
    let directory = workplace.text("state");
    let list = [
        "versions", "--dir", &directory, "--from", "0", "--count", "1000", "--json",
    ];
    let list = run(list).done().json();
    assert_eq!(
        (&list["oldest"], &list["newest"]),
        (&0.into(), &newest.into())
    );
    let versions = list["versions"].as_array().unwrap();
    assert_eq!(versions.len() as u64, newest + 1);
    assert_eq!(
        (&versions[3]["version"], &versions[3]["place"]),
        (&3.into(), &"archive".into())
    );
    assert!(versions[3]["durable_unix_ms"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(versions[newest as usize]["place"], "archive");
    let text = run(["versions", "--dir", &directory, "--count", "2"]).done();
    assert!(
        text.stdout
            .starts_with(&format!("versions 0 to {newest} can be read\n"))
    );
    assert_eq!(text.stdout.lines().count(), 4, "{text:?}");

    let get = |version: &str| run(["get", "alice", "--dir", &directory, "--version", version]);
    assert_eq!(get("4").done().stdout, "4");
    assert_eq!(get(&newest.to_string()).done().stdout, "last");
    assert_eq!(get("0").code, 1, "absent then");
    get(&(newest + 1).to_string()).unusable("not durable yet");

    let proof = workplace.text("proof");
    let prove = [
        "prove",
        "--dir",
        &directory,
        "--key",
        "alice",
        "--version",
        "4",
        "--out",
        &proof,
    ];
    let made = run(prove).done();
    assert!(made.stdout.contains("at version 4"));
    let root = versions[4]["kzg_root"].as_str().unwrap();
    let tree_id = workplace.root().tree_id;
    let tree_id = hex::encode(tree_id);
    run(["verify", &proof, "--root", root, "--tree-id", &tree_id]).done();
    let other = versions[5]["kzg_root"].as_str().unwrap();
    let verified = run(["verify", &proof, "--root", other, "--tree-id", &tree_id]);
    assert_eq!(verified.code, 1, "{verified:?}");

    let record = workplace.text("record");
    let head = [
        "history",
        "head",
        "--dir",
        &directory,
        "--version",
        "4",
        "--out",
        &record,
        "--json",
    ];
    let head = run(head).done().json();
    assert_eq!(head["head"], versions[4]["commit_id"]);
}
