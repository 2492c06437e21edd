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
