use trunkline::{Config, Engine};

use crate::support::{Workplace, run};

#[test]
fn the_state_of_an_older_version_is_taken_back_as_a_new_one() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let inspected = |stdout: &str, name: &str| {
        let line = stdout
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        line.unwrap().split_whitespace().last().unwrap().to_owned()
    };
    let old = run(["put", "alice", "10", "--dir", &directory])
        .done()
        .stdout;
    run(["put", "alice", "20", "--dir", &directory]).done();
    run(["put", "bob", "7", "--dir", &directory]).done();
    let revert = ["revert", "--dir", &directory, "--version", "1"];
    let reverted = run(revert).done().stdout;
    assert!(
        reverted.starts_with("durable (sync) in version 4, with the state of version 1\n"),
        "{reverted}"
    );
    for name in ["state digest", "kzg root"] {
        assert_eq!(inspected(&reverted, name), inspected(&old, name));
    }
    assert_eq!(
        inspected(&reverted, "reverted to"),
        inspected(&old, "commit id")
    );
    assert_ne!(
        inspected(&reverted, "commit id"),
        inspected(&old, "commit id")
    );
    assert_eq!(
        run(["get", "alice", "--dir", &directory]).done().stdout,
        "10"
    );
    assert_eq!(run(["get", "bob", "--dir", &directory]).code, 1);
    run(["check", "--dir", &directory]).done();
}

#[test]
fn a_version_that_is_not_there_a_directory_in_use_and_one_without_a_tree_are_refused() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.text("state");
    let revert =
        |directory: &str, version: &str| run(["revert", "--dir", directory, "--version", version]);
    revert(&directory, "9").unusable("version 9 is not in the directory");
    let config = Config::in_directory(workplace.path("state"));
    let engine = Engine::open_blocking(config).unwrap();
    revert(&directory, "0").unusable("has the tree open; close it first");
    engine.shutdown_blocking().unwrap();
    revert(&workplace.text("nothing"), "0").unusable("does not exist");
    std::fs::create_dir(workplace.path("empty")).unwrap();
    revert(&workplace.text("empty"), "0").unusable("holds no trunkline tree");
    assert_eq!(
        std::fs::read_dir(workplace.path("empty")).unwrap().count(),
        0
    );
}
