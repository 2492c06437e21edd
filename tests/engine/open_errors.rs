//! Directories that are not opened: each refusal is typed, and leaves every file as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use trunkline::core::params::CollisionPolicy;
use trunkline::core::store::lock::LockError;
use trunkline::core::store::tree_file::{self, ReadTreeFileError, TreeFileError};
use trunkline::{Config, Engine, OpenError, ReplayError};

use crate::support::{Rig, log_only, put, without_hanging};

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

fn refused(config: &Config) -> OpenError {
    let before = files(&config.engine.directory);
    let error = Engine::open_blocking(config.clone()).unwrap_err();
    assert!(
        before == files(&config.engine.directory),
        "files were changed by {error}"
    );
    error
}

fn created(directory: &Path, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = log_only(directory);
    change(&mut config);
    let engine = Engine::open_blocking(config.clone()).unwrap();
    put(&engine, "key", "value");
    engine.shutdown_blocking().unwrap();
    config
}

#[test]
fn a_tree_of_another_policy_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = created(directory.path(), |_| {});
        config.tree.collision = CollisionPolicy::Reject;
        let OpenError::OtherPolicy { stored, configured } = refused(&config) else {
            panic!("not what was expected");
        };
        assert_eq!(
            (stored, configured),
            (CollisionPolicy::Bucket, CollisionPolicy::Reject)
        );
    });
}

#[test]
fn a_tree_of_another_salt_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = created(directory.path(), |config| config.tree.salt = Some([1; 32]));
        config.tree.salt = Some([2; 32]);
        assert!(matches!(refused(&config), OpenError::OtherSalt));
        // Without a configured salt, the salt of the tree is used.
        config.tree.salt = None;
        let engine = Engine::open_blocking(config).unwrap();
        assert_eq!(engine.params().salt_bytes(), Some([1; 32]));
        assert_eq!(engine.get(b"key").unwrap(), Some("value".into()));
    });
}

#[test]
fn a_tree_without_the_configured_salt_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut config = created(directory.path(), |_| {});
        config.tree.salt = Some([2; 32]);
        assert!(matches!(refused(&config), OpenError::OtherSalt));
    });
}

#[test]
fn a_tree_of_another_nonce_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = log_only(directory.path());
        let open = |nonce| Engine::builder(config.clone()).nonce(nonce).open_blocking();
        let engine = open([1; 16]).unwrap();
        assert_eq!(engine.params().nonce, [1; 16]);
        engine.shutdown_blocking().unwrap();
        let before = files(directory.path());
        assert!(matches!(open([2; 16]).unwrap_err(), OpenError::OtherNonce));
        assert!(before == files(directory.path()));
        // The nonce of a tree is in no configuration.
        let engine = Engine::open_blocking(config.clone()).unwrap();
        assert_eq!(engine.params().nonce, [1; 16]);
    });
}

#[test]
fn a_directory_of_format_1_is_refused_by_name() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = created(directory.path(), |_| {});
        let path = directory.path().join(tree_file::TREE_FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8] = 1;
        fs::write(&path, bytes).unwrap();
        let error = refused(&config);
        assert!(matches!(
            error,
            OpenError::TreeFile(ReadTreeFileError::Content {
                source: TreeFileError::Format(1),
                ..
            })
        ));
        let text = error.to_string();
        assert!(text.contains("format 1; this build reads format 2: use a build that reads it"));
    });
}

#[test]
fn a_directory_that_another_engine_has_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = created(directory.path(), |_| {});
        let engine = Engine::open_blocking(config.clone()).unwrap();
        let error = refused(&config);
        assert!(
            matches!(error, OpenError::Lock(LockError::Held { .. })),
            "{error}"
        );
        put(&engine, "key", "goes on");
        drop(engine);
        Engine::open_blocking(config).unwrap();
    });
}

#[test]
fn a_directory_of_something_else_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("diary.txt"), "dear diary").unwrap();
        let error = refused(&log_only(directory.path()));
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    });
}

#[test]
fn a_file_in_place_of_the_directory_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        let error = Engine::open_blocking(log_only(&path)).unwrap_err();
        assert!(matches!(error, OpenError::Directory { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"content");
    });
}

#[test]
fn a_damaged_tree_file_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = created(directory.path(), |_| {});
        let path = directory.path().join("TREE");
        let mut content = fs::read(&path).unwrap();
        content[40] ^= 1;
        fs::write(&path, content).unwrap();
        let error = refused(&config);
        assert!(matches!(error, OpenError::TreeFile(_)), "{error}");
    });
}

#[test]
fn a_log_with_a_damaged_commit_is_not_opened() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = created(directory.path(), |_| {});
        let log = directory.path().join("log");
        let path = files(&log).into_keys().next().unwrap();
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&path, content).unwrap();
        let error = refused(&config);
        assert!(matches!(error, OpenError::Log(_)), "{error}");
    });
}

/// A wrong KZG root in the last entry of the log is found only after all of it was replayed.
#[test]
fn a_log_whose_last_kzg_root_is_another_is_not_opened() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let params = engine.params();
        put(&engine, "a", "1");
        put(&engine, "b", "2");
        engine.shutdown_blocking().unwrap();
        let other = rig.with_other_log(&params, |entries| {
            entries.last_mut().unwrap().kzg_root = Some([7; 48]);
        });
        let memory = &other.disk.memory;
        let changes_before = memory.calls();
        let error = other.builder().open_blocking().unwrap_err();
        let OpenError::Replay(ReplayError::Differs { what, version, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!((what, version), ("the KZG root", 2));
        assert_eq!(memory.calls(), changes_before, "the disk was changed");
    });
}

#[test]
fn a_configuration_with_an_impossible_value_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = log_only(&directory.path().join("new"));
    config.group.in_flight_max = 0;
    let error = Engine::open_blocking(config.clone()).unwrap_err();
    assert!(matches!(error, OpenError::Config(_)), "{error}");
    assert!(!config.engine.directory.exists());
}
