//! Opening for reading only never writes.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::store::lock::LockError;
use trunkline::{Engine, OpenError, ReadOnly, TopKind};

use crate::directories::{closed_tree, leaving_alone};
use crate::killed::{Process, Said, config};

fn use_everything(directory: &Path) {
    let tree = ReadOnly::open(directory).unwrap();
    let inspection = tree.inspect();
    let snapshot = tree.snapshot();
    assert_eq!(snapshot.iter().count() as u64, inspection.key_count);
    for entry in snapshot.iter() {
        let (key, value) = entry.unwrap();
        assert_eq!(snapshot.get(&key).unwrap(), Some(value));
    }
    snapshot.prove(["key 1", "nobody"], TopKind::Kzg).unwrap();
    snapshot.prove(["key 1", "nobody"], TopKind::Hash).unwrap();
}

#[test]
fn a_tree_that_was_closed_is_left_alone() {
    let tree = closed_tree();
    leaving_alone(tree.path(), || use_everything(tree.path()));
}

#[test]
fn a_tree_whose_process_was_killed_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), DurabilityMode::Sync, 5, 1);
    let mut heard = 0;
    while heard < 300 {
        let said = process.listen().expect("it lives until it is killed");
        heard += u64::from(matches!(said, Said::Durable(..)));
    }
    process.kill();
    leaving_alone(directory.path(), || use_everything(directory.path()));
}

#[test]
fn a_tree_in_a_read_only_directory_can_be_read() {
    let tree = closed_tree();
    let directories = ["", "log", "leaves"].map(|name| tree.path().join(name));
    for directory in &directories {
        fs::set_permissions(directory, Permissions::from_mode(0o555)).unwrap();
    }
    // The directory is writable for root; then this test is like those above.
    leaving_alone(tree.path(), || use_everything(tree.path()));
    for directory in &directories {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn readers_and_engines_keep_each_other_out() {
    let tree = closed_tree();
    let config = config(tree.path(), DurabilityMode::Sync);
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let refused = ReadOnly::open(tree.path());
    assert!(matches!(
        refused,
        Err(OpenError::Lock(LockError::Held { .. }))
    ));
    engine.shutdown_blocking().unwrap();
    drop(engine);

    let one = ReadOnly::open(tree.path()).unwrap();
    let other = ReadOnly::open(tree.path()).unwrap();
    let refused = leaving_alone(tree.path(), || Engine::open_blocking(config.clone()));
    assert!(matches!(
        refused,
        Err(OpenError::Lock(LockError::Shared { .. }))
    ));
    drop((one, other));
    Engine::open_blocking(config)
        .unwrap()
        .shutdown_blocking()
        .unwrap();
}

/// Returns the copies of the leaf store in a directory.
fn copies(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("LEAVES-COPY-")
    };
    paths.filter(is_copy).collect()
}

#[test]
fn leaves_are_read_from_a_copy_in_the_directory_that_shares_their_tables() {
    let tree = closed_tree();
    let read = ReadOnly::open(tree.path()).unwrap();
    let copy = copies(tree.path()).pop().expect("it is beside the leaves");
    let mut directories = vec![copy];
    let mut shared = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => directories.push(entry.path()),
                false => shared += usize::from(entry.metadata().unwrap().nlink() > 1),
            }
        }
    }
    assert!(shared > 0, "every table was copied");
    drop(read);
    assert!(copies(tree.path()).is_empty());
}

#[test]
fn a_copy_that_a_killed_reader_left_is_removed_and_one_in_use_stays() {
    let tree = closed_tree();
    let snapshot = ReadOnly::open(tree.path()).unwrap().snapshot();
    let in_use = copies(tree.path());
    let left = tree.path().join("LEAVES-COPY-left");
    fs::create_dir_all(left.join("content/leaves")).unwrap();
    fs::write(left.join("content/leaves/table"), "of old").unwrap();
    fs::write(left.join("TRUNKLINE-TEMPORARY"), "").unwrap();
    let config = config(tree.path(), DurabilityMode::Sync);
    let engine = Engine::open_blocking(config).unwrap();
    assert_eq!(copies(tree.path()), in_use);
    assert_eq!(
        snapshot.iter().map(Result::unwrap).count() as u64,
        snapshot.key_count()
    );
    engine.shutdown_blocking().unwrap();
    drop(snapshot);
    assert!(copies(tree.path()).is_empty());
}

#[test]
fn a_snapshot_outlives_what_it_was_taken_from() {
    let tree = closed_tree();
    let read = ReadOnly::open(tree.path()).unwrap();
    let snapshot = read.snapshot();
    let expected: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
    drop(read);
    let found: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_tree_can_be_opened_again_while_a_handle_to_the_closed_engine_is_left() {
    let tree = closed_tree();
    let config = config(tree.path(), DurabilityMode::Sync);
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let snapshot = engine.snapshot();
    engine.shutdown_blocking().unwrap();
    let again = Engine::open_blocking(config).expect("the directory was given back");
    assert_eq!(again.snapshot().commit_id(), snapshot.commit_id());
    again.shutdown_blocking().unwrap();
}

#[test]
fn a_tree_can_be_read_without_its_lock_file() {
    let tree = closed_tree();
    fs::remove_file(tree.path().join("LOCK")).unwrap();
    leaving_alone(tree.path(), || use_everything(tree.path()));
    assert!(!tree.path().join("LOCK").exists());
}

/// A small file system in memory.
struct Mount(TempDir);

impl Mount {
    fn new(megabytes: u64) -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        let size = format!("size={megabytes}m");
        mount.run("mount", &["-t", "tmpfs", "-o", &size, "none"]);
        mount
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let status = command.args(arguments).arg(self.0.path()).status();
        assert!(status.unwrap().success(), "{program} needs root");
    }

    /// Creates a tree with a checkpoint.
    fn tree(&self) -> PathBuf {
        let directory = self.0.path().join("tree");
        let engine = Engine::open_blocking(config(&directory, DurabilityMode::Sync)).unwrap();
        for key in 0..40 {
            let receipt = engine
                .put_blocking(format!("key {key}"), [7; 1000])
                .unwrap();
            receipt.durable_blocking().unwrap();
        }
        engine.shutdown_blocking().unwrap();
        assert!(engine.metrics().checkpoints > 0);
        directory
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filler")).unwrap();
        let full = (0..)
            .find_map(|_| file.write_all(&[1; 4096]).err())
            .unwrap();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "mounts a file system, which needs root; run it with --ignored"]
fn a_tree_on_a_full_file_system_can_be_read() {
    let mount = Mount::new(16);
    let tree = mount.tree();
    mount.fill();
    leaving_alone(&tree, || use_everything(&tree));
    fs::remove_file(tree.join("LOCK")).unwrap();
    leaving_alone(&tree, || use_everything(&tree));
    // With free space again, everything works.
    fs::remove_file(mount.0.path().join("filler")).unwrap();
    let engine = Engine::open_blocking(config(&tree, DurabilityMode::Sync)).unwrap();
    assert_eq!(engine.snapshot().key_count(), 40);
    engine.shutdown_blocking().unwrap();
}

#[test]
#[ignore = "mounts a file system, which needs root; run it with --ignored"]
fn a_tree_on_a_file_system_that_is_mounted_read_only_can_be_read() {
    let mount = Mount::new(16);
    let tree = mount.tree();
    fs::remove_file(tree.join("LOCK")).unwrap();
    mount.run("mount", &["-o", "remount,ro"]);
    leaving_alone(&tree, || use_everything(&tree));
}
