use crate::support::{Workplace, contents, run};

#[test]
fn the_last_root_is_the_one_that_the_writer_printed() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.text("state");
    let written = run(["put", "dave", "1", "--dir", &directory]).done().stdout;
    let before = contents(&workplace.path("state"));
    let inspected = run(["inspect", "--dir", &directory, "--json"])
        .done()
        .json();
    for field in ["tree_id", "commit_id", "state_digest", "kzg_root"] {
        assert!(
            written.contains(inspected[field].as_str().unwrap()),
            "{field}"
        );
    }
    assert_eq!(inspected["version"], 2);
    assert_eq!(inspected["keys"], 4);
    assert_eq!(inspected["torn_bytes"], 0);
    assert_eq!(inspected["collision"], "bucket");

    let text = run(["inspect", "--dir", &directory]).done().stdout;
    assert!(text.contains(inspected["commit_id"].as_str().unwrap()));
    assert_eq!(contents(&workplace.path("state")), before);
}
