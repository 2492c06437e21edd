//! A directory that is moved, deleted, replaced or opened a second time while an engine writes to it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::store::lock::LockError;
use trunkline::core::store::own_directory::ReplacedError;
use trunkline::{Engine, EngineFailure, OpenError, ReadOnly};

use crate::directories::{copy, leaving_alone, log_segments};
use crate::killed::{Process, Said, config};

const MODES: [DurabilityMode; 3] = [
    DurabilityMode::Sync,
    DurabilityMode::Interval,
    DurabilityMode::Os,
];

/// An engine whose directory is in a place where it can be moved.
struct Rig {
    place: TempDir,
    engine: Engine,
}

impl Rig {
    fn open(mode: DurabilityMode) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut config = config(&place.path().join("tree"), mode);
        // There is no checkpoint, so that the engine writes only the log.
        config.checkpoint.bytes_max = 1 << 30;
        config.checkpoint.unflushed_bytes_max = 1 << 30;
        config.durability.interval_ms = 60_000;
        let engine = Engine::open_blocking(config).unwrap();
        let rig = Self { place, engine };
        assert!(rig.put("before").is_ok());
        rig
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("tree")
    }

    fn moved(&self) -> PathBuf {
        self.place.path().join("moved")
    }

    fn put(&self, key: &str) -> Result<(), EngineFailure> {
        let receipt = self.engine.put_blocking(key, "1").unwrap();
        receipt.durable_blocking().map(drop)
    }

    /// Writes, and shuts the engine down. Both fail for the same reason.
    fn fails(&self) -> ReplacedError {
        let Err(EngineFailure::Replaced(cause)) = self.put("after") else {
            panic!("a write was acknowledged");
        };
        let Err(EngineFailure::Replaced(again)) = self.engine.shutdown_blocking() else {
            panic!("the end was no failure");
        };
        assert_eq!(cause, again);
        cause
    }
}

fn has(directory: &Path, key: &str) -> bool {
    let tree = ReadOnly::open(directory).unwrap();
    tree.snapshot().get(key.as_bytes()).unwrap().is_some()
}

#[test]
fn a_copy_in_place_of_the_directory_stops_the_engine() {
    for mode in MODES {
        let rig = Rig::open(mode);
        fs::rename(rig.path(), rig.moved()).unwrap();
        copy(&rig.moved(), &rig.path());
        let cause = leaving_alone(&rig.path(), || rig.fails());
        assert!(matches!(cause, ReplacedError::Replaced { path, .. } if path == rig.path()));
        assert!(has(&rig.path(), "before") && has(&rig.moved(), "before"));
    }
}

#[test]
fn a_second_engine_in_the_copy_loses_nothing_to_the_first() {
    let rig = Rig::open(DurabilityMode::Sync);
    fs::rename(rig.path(), rig.moved()).unwrap();
    copy(&rig.moved(), &rig.path());
    let second = Engine::open_blocking(config(&rig.path(), DurabilityMode::Sync)).unwrap();
    rig.fails();
    for key in ["x", "y"] {
        let receipt = second.put_blocking(key, "1").unwrap();
        receipt.durable_blocking().unwrap();
    }
    second.shutdown_blocking().unwrap();
    assert!(["before", "x", "y"].iter().all(|key| has(&rig.path(), key)));
}

#[test]
fn a_directory_that_is_moved_or_deleted_stops_the_engine() {
    for is_deleted in [false, true] {
        let rig = Rig::open(DurabilityMode::Sync);
        match is_deleted {
            true => fs::remove_dir_all(rig.path()).unwrap(),
            false => fs::rename(rig.path(), rig.moved()).unwrap(),
        }
        let cause = rig.fails();
        assert!(matches!(cause, ReplacedError::Gone { path, .. } if path == rig.path()));
        assert!(is_deleted || has(&rig.moved(), "before"));
    }
}

#[test]
fn an_idle_engine_says_at_its_end_that_its_directory_was_replaced() {
    let rig = Rig::open(DurabilityMode::Sync);
    fs::rename(rig.path(), rig.moved()).unwrap();
    copy(&rig.moved(), &rig.path());
    let ended = leaving_alone(&rig.path(), || rig.engine.shutdown_blocking());
    assert!(matches!(ended, Err(EngineFailure::Replaced(_))));
}

#[test]
fn a_copy_in_place_of_the_log_or_its_last_segment_stops_the_engine() {
    for is_segment in [false, true] {
        let rig = Rig::open(DurabilityMode::Sync);
        let (log, moved) = (rig.path().join("log"), rig.moved());
        match is_segment {
            true => {
                let last = log_segments(&rig.path()).pop().unwrap();
                fs::rename(&last, &moved).unwrap();
                fs::copy(&moved, &last).unwrap();
            }
            false => {
                fs::rename(&log, &moved).unwrap();
                copy(&moved, &log);
            }
        }
        let cause = leaving_alone(&log, || rig.fails());
        assert!(matches!(cause, ReplacedError::Replaced { path, .. } if path.starts_with(&log)));
    }
}

#[test]
fn another_lock_file_stops_the_engine_and_none_does_not() {
    let rig = Rig::open(DurabilityMode::Sync);
    let lock = rig.path().join("LOCK");
    fs::remove_file(&lock).unwrap();
    rig.put("without").unwrap();
    fs::write(&lock, "").unwrap();
    assert_eq!(rig.fails(), ReplacedError::OpenedTwice { path: lock });
}

#[test]
fn a_directory_is_opened_once_whatever_it_is_called_and_without_its_lock_file() {
    let rig = Rig::open(DurabilityMode::Sync);
    let link = rig.place.path().join("link");
    symlink(rig.path(), &link).unwrap();
    let around = rig.place.path().join("tree/../link/log/..");
    for lock_file in [true, false] {
        if !lock_file {
            fs::remove_file(rig.path().join("LOCK")).unwrap();
        }
        for name in [&rig.path(), &link, &around] {
            let again = Engine::open_blocking(config(name, DurabilityMode::Sync));
            let held = |error| matches!(error, OpenError::Lock(LockError::Held { .. }));
            assert!(held(again.unwrap_err()));
            assert!(held(ReadOnly::open(name).unwrap_err()));
        }
        rig.put("again").unwrap();
    }
    rig.engine.shutdown_blocking().unwrap();
}

#[test]
fn a_directory_of_another_process_is_not_opened_without_its_lock_file() {
    let place = tempfile::tempdir().unwrap();
    let mut process = Process::start(place.path(), DurabilityMode::Sync, 3, 1);
    while !matches!(process.listen(), Some(Said::Durable(..))) {}
    fs::remove_file(place.path().join("LOCK")).unwrap();
    let again = Engine::open_blocking(config(place.path(), DurabilityMode::Sync));
    assert!(matches!(
        again,
        Err(OpenError::Lock(LockError::Held { .. }))
    ));
    assert!(!place.path().join("LOCK").exists());
    process.kill();
    let engine = Engine::open_blocking(config(place.path(), DurabilityMode::Sync)).unwrap();
    engine.shutdown_blocking().unwrap();
}

/// Hard links make a second directory with the same files.
#[test]
fn a_directory_of_hard_links_is_not_opened_while_the_other_is_open() {
    fn link_all(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => link_all(&entry.path(), &target),
                false => fs::hard_link(entry.path(), target).unwrap(),
            }
        }
    }
    let rig = Rig::open(DurabilityMode::Sync);
    link_all(&rig.path(), &rig.moved());
    let again = Engine::open_blocking(config(&rig.moved(), DurabilityMode::Sync));
    assert!(matches!(
        again,
        Err(OpenError::Lock(LockError::Held { .. }))
    ));
    rig.put("after").unwrap();
    // The replacement has the same segment, but it is another directory.
    fs::rename(rig.path(), rig.place.path().join("away")).unwrap();
    fs::rename(rig.moved(), rig.path()).unwrap();
    assert!(matches!(rig.fails(), ReplacedError::Replaced { path, .. } if path == rig.path()));
}

#[test]
fn the_engine_writes_to_its_directory_after_the_process_changed_its_own() {
    // The working directory belongs to the whole process, so this runs in its own process.
    let place = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "replaced::a_process_that_changes_its_directory"])
        .args(["--ignored", "--test-threads=1"])
        .env(CHANGES, "1")
        .current_dir(place.path())
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert!(has(&place.path().join("tree"), "key 99"));
}

const CHANGES: &str = "TRUNKLINE_CHANGES_DIRECTORY";

#[test]
#[ignore = "a process that another test starts; does nothing by itself"]
fn a_process_that_changes_its_directory() {
    if std::env::var_os(CHANGES).is_none() {
        return;
    }
    let engine = Engine::open_blocking(config(Path::new("tree"), DurabilityMode::Sync)).unwrap();
    std::env::set_current_dir("/").unwrap();
    for key in 0..100 {
        // Enough for new segments and checkpoints.
        let receipt = engine
            .put_blocking(format!("key {key}"), [7; 1000])
            .unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    assert!(engine.metrics().checkpoints > 0);
}
