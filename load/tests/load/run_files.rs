use std::fs::{self, File};

use trunkline_load::{FILE_BYTES_MAX, FileError, Load, RUN_FILE, RUN_FORMAT, Run, RunFileError};

use crate::support::{Table, small};

#[test]
fn a_run_is_read_with_all_its_figures() {
    let directory = tempfile::tempdir().unwrap();
    let table = Table::default();
    let load = Load::new(&small(), &table).unwrap().revision("5e1f");
    let outcome = load.run().unwrap();
    let runs = directory.path().join("some/where");
    outcome.write_to(&runs).unwrap();
    let read = Run::read_from(&runs).unwrap();
    assert_eq!(read, outcome.run);
    assert_eq!(read.format, RUN_FORMAT);
    assert_eq!((read.seed, read.git_revision.as_str()), (1, "5e1f"));
    let text = fs::read_to_string(runs.join(RUN_FILE)).unwrap();
    assert_eq!(text.lines().count(), 1);
    // The file replaces an earlier one.
    outcome.write_to(&runs).unwrap();
    assert_eq!(fs::read_dir(&runs).unwrap().count(), 2);
}

#[test]
fn a_run_that_broke_off_is_read_with_what_ended_it() {
    let directory = tempfile::tempdir().unwrap();
    let run = Run {
        format: RUN_FORMAT,
        ended_by: Some("it is gone".to_owned()),
        ..Run::default()
    };
    run.write_to(directory.path()).unwrap();
    assert_eq!(Run::read_from(directory.path()).unwrap(), run);
    // A run that reached its end does not mention it.
    let text = serde_json::to_string(&Run::default()).unwrap();
    assert!(!text.contains("ended_by"));
}

#[test]
fn what_is_no_run_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(RUN_FILE);
    let read = || Run::read_from(directory.path()).unwrap_err();
    assert!(matches!(read(), RunFileError::File(FileError::Io { .. })));
    for found in [2, 3, 99] {
        fs::write(&path, format!("{{\"format\": {found}, \"new\": 1}}")).unwrap();
        let error = read();
        assert!(matches!(error, RunFileError::Format { found: seen, .. } if seen == found));
        let text = error.to_string();
        assert!(text.contains(&format!("has format {found}")), "{text}");
    }
    for text in ["", "[]", "{}", "{\"format\": 4}", "{\"format\": -1}"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(read(), RunFileError::Form { .. }), "{text}");
    }
    let mut run = serde_json::to_value(Run {
        format: RUN_FORMAT,
        ..Run::default()
    })
    .unwrap();
    run["more"] = 1.into();
    fs::write(&path, run.to_string()).unwrap();
    assert!(matches!(read(), RunFileError::Form { .. }));
}

#[test]
fn where_nothing_can_be_written_is_known_before() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("some/where");
    Run::can_be_written_to(&runs).unwrap();
    assert_eq!(fs::read_dir(&runs).unwrap().count(), 0);
    fs::write(directory.path().join("file"), "").unwrap();
    let error = Run::can_be_written_to(&directory.path().join("file/run")).unwrap_err();
    assert!(error.to_string().ends_with("file/run/run.json"), "{error}");
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    // The file is sparse: it takes no space on the disk.
    let file = File::create(directory.path().join(RUN_FILE)).unwrap();
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = Run::read_from(directory.path()).unwrap_err();
    assert!(matches!(
        error,
        RunFileError::File(FileError::TooLong { .. })
    ));
}
