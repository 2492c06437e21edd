//! Byte order marks: that of UTF-8 is skipped in every text input, UTF-16 and UTF-32 are refused by name.

use std::path::Path;

use crate::support::{Workplace, run};

const MARK: &[u8] = b"\xef\xbb\xbf";

fn utf_16(text: &str) -> Vec<u8> {
    let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn utf_32(text: &str) -> Vec<u8> {
    let characters = ['\u{feff}'].into_iter().chain(text.chars());
    characters
        .flat_map(|character| u32::from(character).to_be_bytes())
        .collect()
}

/// Writes a text with a byte order mark and runs a command that reads it, and then repeats that in other encodings.
#[track_caller]
fn check(file: &Path, text: &str, arguments: &[&str]) {
    std::fs::write(file, [MARK, text.as_bytes()].concat()).unwrap();
    run(arguments).done();
    std::fs::write(file, utf_16(text)).unwrap();
    run(arguments).unusable("the text is UTF-16, as its byte order mark says; convert it: iconv");
    std::fs::write(file, utf_32(text)).unwrap();
    run(arguments).unusable("the text is UTF-32");
    std::fs::write(file, text).unwrap();
}

#[test]
fn the_first_key_of_an_import_does_not_have_the_mark() {
    for (name, text) in [
        ("records.tsv", "alice\t10\nbob\t7\n"),
        (
            "records.ndjson",
            "{\"key\":\"alice\",\"value\":\"10\"}\n{\"key\":\"bob\",\"value\":\"7\"}\n",
        ),
    ] {
        let workplace = Workplace::new();
        let (file, state) = (workplace.text(name), workplace.text("state"));
        check(
            &workplace.path(name),
            text,
            &["import", &file, "--dir", &state],
        );
        for (key, value) in [("alice", "10"), ("bob", "7")] {
            assert_eq!(run(["get", key, "--dir", &state]).done().stdout, value);
        }
    }
}

#[test]
fn only_the_first_line_of_an_import_has_a_mark() {
    let workplace = Workplace::new();
    let (file, state) = (workplace.text("records.tsv"), workplace.text("state"));
    std::fs::write(&file, [MARK, b"\n", MARK, b"a\t1\n"].concat()).unwrap();
    run(["import", &file, "--dir", &state]).done();
    let key = format!("0x{}", hex::encode([MARK, b"a"].concat()));
    assert_eq!(run(["get", &key, "--dir", &state]).done().stdout, "1");
}

#[test]
fn configurations_plans_traces_and_runs_may_have_a_mark() {
    let workplace = Workplace::new();
    let text = |name: &str| workplace.text(name);
    let path = |name: &str| workplace.path(name);
    fn load(more: [&str; 2]) -> impl Iterator<Item = &str> {
        let small = ["--ops", "100", "--rate", "50000", "--proofs", "4"];
        ["load"].into_iter().chain(more).chain(small)
    }
    let plan = text("plan.toml");
    let planned: Vec<&str> = load(["--plan", &plan]).collect();
    check(&path("plan.toml"), "keys = 100\n", &planned);
    let phases = text("phases.toml");
    let phased: Vec<&str> = load(["--phases", &phases])
        .chain(["--keys", "100"])
        .collect();
    check(
        &path("phases.toml"),
        "[shape]\nkind = \"constant\"\n",
        &phased,
    );
    let settings = text("my.toml");
    let config = ["config", "check", "--config", &settings];
    check(&path("my.toml"), "[group]\nlinger_ms = 1\n", &config);
    let trace = text("operations.trace");
    let replay = ["load", "--replay", &trace, "--proofs", "4"];
    let operations = "trunkline-trace 1\nkeys 10\nvalue_bytes 4\n5 read 1\n";
    check(&path("operations.trace"), operations, &replay);

    let out = text("run");
    run(load(["--out", &out]).chain(["--keys", "100"])).done();
    for name in ["run.json", "latency.hlog"] {
        let file = path("run").join(name);
        let content = std::fs::read_to_string(&file).unwrap();
        check(&file, &content, &["report", &out]);
    }
}
