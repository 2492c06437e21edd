use crate::support::{Workplace, contents, run};

#[test]
fn an_import_is_proven_and_verified_by_other_processes() {
    let workplace = Workplace::new();
    let records: String = (0..5000)
        .map(|i| format!("{{\"key\": \"k{i}\", \"value\": \"v{i}\"}}\n"))
        .collect();
    let (file, directory) = (workplace.text("records.ndjson"), workplace.text("state"));
    std::fs::write(&file, records).unwrap();
    let imported = run(["import", &file, "--dir", &directory]).done();
    assert!(imported.stdout.contains("5,000 keys are present"));

    for top in ["kzg", "hash"] {
        let out = workplace.text(top);
        let prove = ["prove", "--dir", &directory, "--out", &out, "--top", top];
        let keys = ["--key", "k0", "k4999", "0x6b37", "absent"];
        let proven = run(prove.into_iter().chain(keys)).done();
        assert!(
            proven
                .stdout
                .starts_with("a proof of 3 present and 1 absent keys")
        );

        let field = if top == "kzg" {
            "kzg root"
        } else {
            "state digest"
        };
        let printed = |field| {
            let mut lines = imported.stdout.lines();
            let line = lines.find(|line| line.trim().starts_with(field));
            line.unwrap().split_whitespace().last().unwrap().to_owned()
        };
        // The root and the tree id that the importing process printed.
        let (root, tree_id) = (printed(field), printed("tree id"));
        let verified = run(["verify", &out, "--root", &root, "--tree-id", &tree_id]).done();
        for line in [
            "\"k0\" = \"v0\"",
            "\"k4999\" = \"v4999\"",
            "\"k7\" = \"v7\"",
            "absent   \"absent\"",
        ] {
            assert!(verified.stdout.contains(line), "{verified:?}");
        }
    }
}

#[test]
fn proving_changes_nothing() {
    let workplace = Workplace::with_three_keys();
    let before = contents(&workplace.path("state"));
    let (directory, out) = (workplace.text("state"), workplace.text("proof"));
    run(["prove", "--dir", &directory, "--key", "a", "--out", &out]).done();
    assert_eq!(contents(&workplace.path("state")), before);
}
