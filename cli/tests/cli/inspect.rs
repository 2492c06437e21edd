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

#[test]
fn decisions_of_every_opening_are_shown_with_their_reasons() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.text("state");
    let none = run(["inspect", "--dir", &directory, "--decisions"]).done();
    assert_eq!(none.stdout, "nothing was decided\n");

    let line = concat!(
        r#"{"decision":{"number":1,"at_us":1500000,"window_us":500000,"#,
        r#""change":{"what":"group_operations_max","from":20000,"to":24000},"#,
        r#""reason":"room_below_target","seen":{"durable_p99_us":90000,"target_p99_us":250000,"#,
        r#""samples":400,"operations_per_second":500000,"full_per_mille":900,"busiest_per_mille":980,"#,
        r#""evidence":{"of":"trial","rate_before":500000,"rate_after":520000,"#,
        r#""p99_before_us":90000,"p99_after_us":88000}}}}"#,
        "\n"
    );
    let file = workplace.path("state").join("DECISIONS");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(line);
    std::fs::write(&file, text).unwrap();

    let shown = run(["inspect", "--dir", &directory, "--decisions"])
        .done()
        .stdout;
    let expected = "1.5 s  group.operations_max 20000 → 24000: groups are full and the latency is below its \
        target (p99 90.00 ms of 250.00 ms, 500,000 operations/s, 900 of 1,000 groups full, busiest stage 980 of 1,000); \
        500000 → 520000 operations/s, p99 90000 → 88000 µs";
    assert!(shown.contains(expected), "{shown}");
    let json = run(["inspect", "--dir", &directory, "--decisions", "--json"])
        .done()
        .json();
    assert_eq!(json[0]["decisions"][0]["change"]["to"], 24_000);
}

#[test]
fn a_directory_that_is_missing_or_a_file_that_is_foreign_is_named() {
    let workplace = Workplace::with_three_keys();
    let missing = workplace.text("nowhere");
    run(["inspect", "--dir", &missing, "--decisions"]).unusable("DECISIONS");
    let directory = workplace.text("state");
    std::fs::write(workplace.path("state").join("DECISIONS"), "hello\n").unwrap();
    run(["inspect", "--dir", &directory, "--decisions"]).unusable("DECISIONS:1: not a decision");
}
