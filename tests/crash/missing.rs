//! A directory that has lost a part is refused with the name of the part, and is not taken for a new one.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::store::disk::ReadFileError;
use trunkline::core::store::history_file::HistoryFileError;
use trunkline::core::store::idempotency_file::{IDEMPOTENCY_FILE, IdempotencyFileError};
use trunkline::core::store::log::{LAST_SEGMENT_FILE, OpenLogError, ReadLogError};
use trunkline::{Engine, OpenError, ReadOnly};

use crate::directories::{closed_tree, leaving_alone, log_segments};
use crate::killed::config;

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// Returns a tree with a version, before its first checkpoint.
fn young_tree() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), DurabilityMode::Sync);
    // So much that closing makes no checkpoint either.
    config.checkpoint.bytes_max = 1 << 20;
    config.checkpoint.unflushed_bytes_max = 1 << 30;
    let engine = Engine::open_blocking(config).unwrap();
    engine.put_blocking("alice", "10").unwrap();
    engine.shutdown_blocking().unwrap();
    assert_eq!(engine.metrics().checkpoints, 0);
    directory
}

/// Opens a directory for writing and for reading only, without changing it. Returns both errors.
fn refused(directory: &Path) -> [OpenError; 2] {
    leaving_alone(directory, || {
        let config = config(directory, DurabilityMode::Sync);
        let engine = Engine::open_blocking(config).expect_err("a part is missing");
        let reader = ReadOnly::open(directory).expect_err("a part is missing");
        [engine, reader]
    })
}

fn refused_for(directory: &Path, part: &str) {
    for error in refused(directory) {
        let OpenError::Missing { path } = error else {
            panic!("{part}: {error:?}");
        };
        assert_eq!(path, directory.join(part));
    }
}

#[test]
fn a_young_tree_that_has_lost_a_part_is_refused() {
    for part in ["TREE", "CHECKPOINT", "log"] {
        let tree = young_tree();
        remove(&tree.path().join(part));
        refused_for(tree.path(), part);
    }
}

#[test]
fn a_young_tree_whose_log_is_empty_is_refused() {
    let tree = young_tree();
    for segment in log_segments(tree.path()) {
        remove(&segment);
    }
    refused_for(tree.path(), "log");
}

#[test]
fn a_tree_with_a_checkpoint_that_has_lost_a_part_is_refused() {
    for part in ["TREE", "CHECKPOINT", "leaves"] {
        let tree = closed_tree();
        remove(&tree.path().join(part));
        refused_for(tree.path(), part);
    }
}

#[test]
fn a_tree_with_a_checkpoint_that_has_lost_its_history_is_refused() {
    let tree = closed_tree();
    let history = tree.path().join("HISTORY");
    remove(&history);
    for error in refused(tree.path()) {
        let OpenError::History(HistoryFileError::Missing { path }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(path, history);
    }
}

#[test]
fn a_tree_with_a_checkpoint_that_has_lost_its_idempotency_keys_is_refused() {
    let tree = closed_tree();
    remove(&tree.path().join(IDEMPOTENCY_FILE));
    for error in refused(tree.path()) {
        let OpenError::IdempotencyKeys(ReadFileError::Content { source, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(source, IdempotencyFileError::Missing);
    }
}

fn of_log(error: OpenError) -> ReadLogError {
    match error {
        OpenError::Log(error) => match *error {
            OpenLogError::Log(error) => error,
            error => panic!("{error:?}"),
        },
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_tree_with_a_checkpoint_that_has_lost_its_log_is_refused() {
    let tree = closed_tree();
    for segment in log_segments(tree.path()) {
        remove(&segment);
    }
    let is_missing = |error| matches!(of_log(error), ReadLogError::Missing { .. });
    assert!(refused(tree.path()).into_iter().all(is_missing));
    remove(&tree.path().join("log"));
    assert!(refused(tree.path()).into_iter().all(is_missing));
}

#[test]
fn a_log_that_has_lost_a_segment_in_the_middle_is_refused() {
    let tree = closed_tree();
    let segments = log_segments(tree.path());
    let lost: &PathBuf = &segments[segments.len() - 2];
    remove(lost);
    let is_gap = |error| matches!(of_log(error), ReadLogError::Gap { .. });
    assert!(refused(tree.path()).into_iter().all(is_gap));
}

#[test]
fn a_log_that_has_lost_its_last_segment_is_refused() {
    let young = young_tree();
    // Its last segment follows one that was closed in order.
    let mut config = config(young.path(), DurabilityMode::Sync);
    // Closing makes no checkpoint.
    config.checkpoint.bytes_max = 1 << 20;
    config.checkpoint.unflushed_bytes_max = 1 << 20;
    let reopened = Engine::open_blocking(config).unwrap();
    reopened.put_blocking("bob", "7").unwrap();
    reopened.shutdown_blocking().unwrap();
    for tree in [young, closed_tree()] {
        remove(log_segments(tree.path()).last().unwrap());
        let is_lost = |error| matches!(of_log(error), ReadLogError::LastSegment { .. });
        assert!(refused(tree.path()).into_iter().all(is_lost));
    }
}

#[test]
fn a_log_that_has_lost_the_name_of_its_last_segment_is_refused() {
    for tree in [young_tree(), closed_tree()] {
        let named = tree.path().join("log").join(LAST_SEGMENT_FILE);
        remove(&named);
        for error in refused(tree.path()) {
            let ReadLogError::LastSegmentFile { path } = of_log(error) else {
                panic!("another error than a missing file");
            };
            assert_eq!(path, named);
        }
    }
}

#[test]
fn several_lost_parts_make_no_new_tree() {
    let lost: [&[&str]; 3] = [
        &["TREE", "CHECKPOINT"],
        &["TREE", "log"],
        &["TREE", "log", "CHECKPOINT"],
    ];
    for parts in lost {
        for tree in [young_tree(), closed_tree()] {
            for part in parts {
                remove(&tree.path().join(part));
            }
            refused_for(tree.path(), "TREE");
        }
    }
}

#[test]
fn a_tree_without_what_may_be_deleted_can_be_read_and_opened() {
    for tree in [young_tree(), closed_tree()] {
        let path = tree.path();
        let delete = || {
            let deletable = ["LOCK", "KZG-TABLES", "DECISIONS"].map(|name| path.join(name));
            let present = deletable.iter().filter(|file| file.exists());
            present.for_each(|file| remove(file));
        };
        delete();
        let read = leaving_alone(path, || ReadOnly::open(path).unwrap().inspect().record);
        let engine = Engine::open_blocking(config(path, DurabilityMode::Sync)).unwrap();
        assert_eq!(engine.snapshot().record(), &read);
        delete();
        let receipt = engine.put_blocking("after", "1").unwrap();
        receipt.durable_blocking().unwrap();
        engine.shutdown_blocking().unwrap();
        let read = ReadOnly::open(path).unwrap();
        assert_eq!(read.snapshot().get(b"after").unwrap(), Some("1".into()));
    }
}
