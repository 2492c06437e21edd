use crate::support::{Workplace, run, run_with_input};

const LINES: &str = "\
{\"key\": \"a\", \"value\": \"1\"}
{\"key\": \"b\"}

not JSON
{\"key\": \"a\", \"value\": \"2\"}
{\"key\": \"\", \"value\": \"3\"}
{\"key\": \"c\", \"value\": \"4\"}
";

fn get(directory: &str, key: &str) -> (i32, String) {
    let ran = run(["get", key, "--dir", directory]);
    (ran.code, ran.stdout)
}

#[test]
fn malformed_lines_are_counted_and_shown_with_their_numbers() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let ran = run_with_input(["import", "-", "--dir", &directory], LINES.as_bytes()).done();
    assert!(
        ran.stdout.starts_with("3 records of 7 lines in "),
        "{ran:?}"
    );
    assert!(
        ran.stdout
            .contains("3 malformed lines skipped\n2 keys are present\n")
    );
    let shown: Vec<&str> = ran.stderr.lines().collect();
    assert!(shown[0].starts_with("-:2: ") && shown[0].contains("missing field `value`"));
    assert!(shown[1].starts_with("-:4: "));
    assert_eq!(shown[2], "-:6: the key is empty");
    assert_eq!(get(&directory, "a"), (0, "2".to_owned()));
    assert_eq!(get(&directory, "c"), (0, "4".to_owned()));
}

#[test]
fn strict_stops_at_the_first_malformed_line() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let import = ["import", "-", "--strict", "--dir", &directory];
    run_with_input(import, LINES.as_bytes()).unusable("-:2: not {");
    assert_eq!(get(&directory, "a"), (0, "1".to_owned()));
    assert_eq!(get(&directory, "c").0, 1);
}

#[test]
fn only_the_first_malformed_lines_are_shown() {
    let workplace = Workplace::new();
    let lines = format!("k\tv\n{}", "no tab\n".repeat(25));
    let (file, directory) = (workplace.text("records.tsv"), workplace.text("state"));
    std::fs::write(&file, lines).unwrap();
    let ran = run(["import", &file, "--dir", &directory]).done();
    assert_eq!(ran.stderr.lines().count(), 11);
    assert!(
        ran.stderr
            .contains(&format!("{file}:2: no tab between key and value\n"))
    );
    assert!(ran.stderr.ends_with("… and 15 more malformed lines\n"));
}

#[test]
fn a_file_without_any_record_is_unusable() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let ran = run_with_input(["import", "-", "--dir", &directory], b"k\tv\nl\tw\n");
    ran.unusable("none of the 2 lines is a record");
    run_with_input(["import", "-", "--dir", &directory], b"").done();
}

#[test]
fn a_batch_is_cut_at_the_limits_of_the_engine() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let lines: String = (0..100)
        .map(|i| format!("k{i}\t{}\n", "v".repeat(30)))
        .collect();
    let set = [
        "--set",
        "submit.batch_bytes_max=100",
        "--set",
        "submit.batch_operations_max=7",
    ];
    let import = ["import", "-", "--format", "tsv", "--dir", &directory];
    let ran = run_with_input(import.into_iter().chain(set), lines.as_bytes()).done();
    assert!(ran.stdout.contains("100 keys are present"));

    let long = format!("k\t{}\nl\tv\n", "v".repeat(100));
    let ran = run_with_input(import.into_iter().chain(set), long.as_bytes()).done();
    assert!(
        ran.stderr.contains("-:1: the record has 101 bytes"),
        "{ran:?}"
    );
}
