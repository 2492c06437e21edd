use std::fs;
use std::path::Path;
use std::process::Stdio;

use trunkline::{Batch, Config, Engine};

use crate::support::{Ran, Workplace, command, contents, run};

/// Returns keys and values of all kinds: text, quotes, line ends, other bytes, the longest ones, and many.
fn records() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = [
        (&b"alice"[..], &b"10"[..]),
        (b"empty", b""),
        (b"\"quoted\"\\", b"a\nb\r\n\t"),
        (b"0xff", b"0x"),
        (b"\xef\xbb\xbfmark", b"\xff\xfe"),
        (b"\0\x80\xff", b"\x1b[2J"),
        ("h\u{e4}\u{202e}".as_bytes(), "\u{2028}".as_bytes()),
    ]
    .map(|(key, value)| (key.to_vec(), value.to_vec()))
    .into();
    records.push((vec![0xfe; 4096], vec![0xc0; 100_000]));
    records.extend((0..5000).map(|n| (format!("key {n}").into_bytes(), vec![b'v'; n % 90])));
    records
}

/// Makes a tree with these records, and with a second version, in which alice has 11.
fn tree(workplace: &Workplace, records: &[(Vec<u8>, Vec<u8>)]) -> String {
    let config = Config::in_directory(workplace.path("state"));
    let engine = Engine::open_blocking(config).unwrap();
    let mut batch = Batch::new();
    for (key, value) in records {
        batch.put(key.clone(), value.clone());
    }
    let receipt = engine.submit_blocking(batch).unwrap();
    receipt.durable_blocking().unwrap();
    let receipt = engine.put_blocking("alice", "11").unwrap();
    receipt.durable_blocking().unwrap();
    engine.shutdown_blocking().unwrap();
    workplace.text("state")
}

fn state_digest(directory: &str) -> String {
    let inspected = run(["inspect", "--dir", directory, "--json"]).done().json();
    inspected["state_digest"].as_str().unwrap().to_owned()
}

fn export(directory: &str, more: &[&str]) -> Ran {
    run(["export", "--dir", directory].iter().chain(more))
}

/// Imports a file into a new tree, and returns the export of that tree.
fn imported(workplace: &Workplace, file: &str, format: &str) -> String {
    let again = workplace.text(&format!("again-{format}"));
    let ran = run([
        "import", file, "--strict", "--format", format, "--dir", &again,
    ]);
    ran.done();
    // Another tree has another nonce, and therefore another path order.
    sorted(&export(&again, &[]).done().stdout)
}

fn sorted(lines: &str) -> String {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn what_is_exported_is_imported_as_the_same_state() {
    let workplace = Workplace::new();
    let directory = tree(&workplace, &records());
    let all = sorted(&export(&directory, &[]).done().stdout);
    assert_eq!(all.lines().count(), records().len());
    for format in ["ndjson", "tsv-hex"] {
        let file = workplace.text(format);
        export(&directory, &["--format", format, "--to", &file]).done();
        assert_eq!(imported(&workplace, &file, format), all, "{format}");
    }
}

#[test]
fn plain_tsv_holds_what_has_no_line_ends_and_refuses_the_rest_by_name() {
    let workplace = Workplace::new();
    let is_plain = |(key, value): &(Vec<u8>, Vec<u8>)| {
        !key.starts_with(b"\xef") && !value.contains(&b'\n') && key[0] != 0xfe
    };
    let plain: Vec<_> = records().into_iter().filter(is_plain).collect();
    let directory = tree(&workplace, &plain);
    let file = workplace.text("all.tsv");
    export(&directory, &["--to", &file]).done();
    let all = sorted(&export(&directory, &[]).done().stdout);
    assert_eq!(imported(&workplace, &file, "tsv"), all);

    run(["put", "0x6c0a", "1", "--dir", &directory]).done();
    let other = workplace.path("other.tsv");
    let refused = export(&directory, &["--to", other.to_str().unwrap()]);
    refused.unusable(r#"the record of key "l\n" cannot be written as TSV"#);
    assert!(!other.exists());
    // A line of TSV does not show that it comes from an export.
    export(&directory, &["--to", &file]).unusable("holds something else");
}

#[test]
fn a_version_that_is_kept_can_be_named_and_the_others_are_refused() {
    let workplace = Workplace::new();
    let directory = tree(&workplace, &[(b"alice".to_vec(), b"10".to_vec())]);
    let before = contents(&workplace.path("state"));
    let older = export(&directory, &["--version", "1"]).done();
    assert_eq!(older.stdout, "{\"key\":\"alice\",\"value\":\"10\"}\n");
    assert!(
        older
            .stderr
            .starts_with("exported 1 keys in path order of version 1, commit id "),
        "{older:?}"
    );
    let last = export(&directory, &[]).done();
    assert_eq!(last.stdout, "{\"key\":\"alice\",\"value\":\"11\"}\n");
    let inspected = run(["inspect", "--dir", &directory, "--json"])
        .done()
        .json();
    let id = inspected["commit_id"].as_str().unwrap();
    assert!(last.stderr.contains(id));
    assert_eq!(export(&directory, &["--version", "0"]).done().stdout, "");
    let none = export(&directory, &["--version", "3"]);
    none.unusable("version 3 is not in the directory; versions 0 to 2 are");
    assert_eq!(contents(&workplace.path("state")), before);
}

#[test]
fn a_file_is_replaced_by_a_whole_export_alone() {
    let workplace = Workplace::new();
    let directory = tree(&workplace, &[(b"alice".to_vec(), b"10".to_vec())]);
    let (file, letter) = (workplace.text("all.ndjson"), workplace.text("letter"));
    export(&directory, &["--version", "1", "--to", &file]).done();
    export(&directory, &["--to", &file]).done();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "{\"key\":\"alice\",\"value\":\"11\"}\n"
    );
    fs::write(&letter, "dear").unwrap();
    export(&directory, &["--to", &letter]).unusable("holds something else");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "dear");
    let names: Vec<_> = fs::read_dir(Path::new(&file).parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let digest = state_digest(&directory);
    export(&directory, &["--to", &workplace.text("state/TREE")]).unusable("something else");
    assert_eq!(state_digest(&directory), digest);
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_read_enough_ends_an_export_quietly() {
    let workplace = Workplace::new();
    let directory = tree(&workplace, &records());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command()
        .args(["export", "--dir", &directory])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let ran = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
}
