use trunkline::{Config, Engine};

use crate::support::{Ran, Workplace, run};

fn tree(workplace: &Workplace, key_order: bool) -> String {
    let mut config = Config::in_directory(workplace.path("state"));
    config.store.key_order = key_order;
    let engine = Engine::open_blocking(config).unwrap();
    for key in ["user/bob", "job/1", "user/alice", "zebra"] {
        let receipt = engine.put_blocking(key, "1").unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    workplace.text("state")
}

fn range(directory: &str, more: &[&str]) -> Ran {
    let all = ["range", "--dir", directory, "--format", "tsv"];
    run(all.iter().chain(more))
}

#[test]
fn a_range_is_written_in_byte_order_within_its_bounds() {
    let workplace = Workplace::new();
    let state = tree(&workplace, true);
    let written = |more: &[&str]| range(&state, more).done().stdout.replace("\t1\n", " ");
    assert_eq!(written(&[]), "job/1 user/alice user/bob zebra ");
    assert_eq!(written(&["--prefix", "user/"]), "user/alice user/bob ");
    assert_eq!(
        written(&["--prefix", "user/", "--reverse"]),
        "user/bob user/alice "
    );
    assert_eq!(written(&["--from", "k", "--to", "user/bob"]), "user/alice ");
    assert_eq!(written(&["--reverse", "--limit", "1"]), "zebra ");
    assert_eq!(written(&["--version", "2"]), "job/1 user/bob ");
}

#[test]
fn an_export_in_key_order_has_the_same_records_in_byte_order() {
    let workplace = Workplace::new();
    let state = tree(&workplace, true);
    let export = ["export", "--dir", &state, "--format", "tsv", "--key-order"];
    let ran = run(export).done();
    assert_eq!(
        ran.stdout,
        "job/1\t1\nuser/alice\t1\nuser/bob\t1\nzebra\t1\n"
    );
    assert!(
        ran.stderr
            .contains("exported 4 keys in byte order of version 4")
    );
    let older = run(export.iter().chain(&["--version", "2"])).done();
    assert_eq!(older.stdout, "job/1\t1\nuser/bob\t1\n");
    let without = Workplace::new();
    let refused = run(["export", "--key-order", "--dir", &tree(&without, false)]);
    assert!(refused.stderr.contains("store.key_order = true"));
    assert_eq!(refused.stdout, "");
}

#[test]
fn archived_versions_are_read_in_byte_order_exported_and_reverted_to() {
    let workplace = Workplace::new();
    let mut config = Config::in_directory(workplace.path("state"));
    config.store.key_order = true;
    config.versions.archive = true;
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = 8192;
    let engine = Engine::open_blocking(config.clone()).unwrap();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        let receipt = engine.put_blocking(key, value).unwrap();
        receipt.durable_blocking().unwrap();
    }
    let receipt = engine.delete_blocking("b").unwrap();
    receipt.durable_blocking().unwrap();
    // After a checkpoint, only the archive has the versions before.
    while engine.metrics().checkpoints == 0 {
        let receipt = engine.put_blocking("z", vec![b'z'; 5000]).unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    let state = workplace.text("state");
    let archived = |command: &str| {
        let all = [
            command,
            "--dir",
            &state,
            "--version",
            "2",
            "--format",
            "tsv",
        ];
        run(all).done().stdout
    };
    assert_eq!(archived("range"), "a\t1\nb\t1\n");
    let mut lines: Vec<String> = archived("export").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a\t1", "b\t1"]);
    let revert = ["revert", "--dir", &state, "--version", "2"];
    let with_archive = [
        "--set",
        "versions.archive=true",
        "--set",
        "store.key_order=true",
    ];
    run(revert.iter().chain(&with_archive)).done();
    assert_eq!(range(&state, &[]).done().stdout, "a\t1\nb\t1\n");
}

#[test]
fn without_an_index_the_error_names_the_setting() {
    let workplace = Workplace::new();
    let state = tree(&workplace, false);
    let ran = range(&state, &[]);
    assert!(
        ran.stderr.contains("store.key_order = true"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "");
}
