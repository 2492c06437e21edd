//! Trees whose creation was interrupted.

use std::fs;
use std::path::Path;

use trunkline::config::DurabilityMode;
use trunkline::core::store::fjall_leaves::LEAVES_DIRECTORY;
use trunkline::core::store::lock::{LOCK_FILE, LockError};
use trunkline::core::store::log::LOG_DIRECTORY;
use trunkline::core::store::tree_file::TREE_FILE;
use trunkline::{Engine, OpenError, ReadOnly};

use crate::directories::leaving_alone;
use crate::killed::config;

/// A step of creating a tree: what it leaves in the directory.
struct Step {
    what: &'static str,
    leave: fn(&Path),
    /// Whether a reader finds a tree after this step.
    is_tree: bool,
}

/// All steps until the leaf store has a keyspace. The tests of the stores (`core/tests`) cover what follows.
const STEPS: [Step; 11] = [
    step("nothing", |_| {}, false),
    step("the lock", |at| write(at, LOCK_FILE, b""), false),
    step("a tree file", |at| write(at, "TREE.tmp", b""), false),
    step("part of it", |at| write(at, "TREE.tmp", b"trunk"), false),
    step("all of it", name_tree_file, true),
    step("a store", |at| directory(at, ""), true),
    step("its lock", |at| write_store(at, "lock", b""), true),
    step("no keyspaces", |at| directory(at, "keyspaces"), true),
    step("its journal", |at| write_store(at, "0.jnl", b""), true),
    step("a version", |at| write_store(at, "version", b""), true),
    step("half of it", |at| write_store(at, "version", b"FJL"), true),
];

const fn step(what: &'static str, leave: fn(&Path), is_tree: bool) -> Step {
    Step {
        what,
        leave,
        is_tree,
    }
}

fn write(tree: &Path, name: &str, content: &[u8]) {
    fs::write(tree.join(name), content).unwrap();
}

fn write_store(tree: &Path, name: &str, content: &[u8]) {
    write(&tree.join(LEAVES_DIRECTORY), name, content);
}

fn directory(tree: &Path, name: &str) {
    fs::create_dir(tree.join(LEAVES_DIRECTORY).join(name)).unwrap();
}

fn name_tree_file(tree: &Path) {
    let other = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(config(other.path(), DurabilityMode::Sync)).unwrap();
    engine.shutdown_blocking().unwrap();
    fs::remove_file(tree.join("TREE.tmp")).unwrap();
    fs::copy(other.path().join(TREE_FILE), tree.join(TREE_FILE)).unwrap();
}

fn reads_as_nothing(directory: &Path, step: &Step) {
    leaving_alone(directory, || match ReadOnly::open(directory) {
        Ok(tree) if step.is_tree => {
            assert_eq!(tree.inspect().key_count, 0);
            assert_eq!(tree.snapshot().version(), 0);
        }
        Err(OpenError::NoTree { .. } | OpenError::Lock(LockError::Io { .. })) if !step.is_tree => {}
        read => panic!("after {}: {read:?}", step.what),
    });
}

fn is_of_use(directory: &Path) {
    let engine = Engine::open_blocking(config(directory, DurabilityMode::Sync)).unwrap();
    // Enough for more than one checkpoint.
    for key in 0..10_u64 {
        let receipt = engine.put_blocking(key.to_le_bytes(), [1; 4096]).unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    assert!(engine.metrics().checkpoints > 0);
    let read = ReadOnly::open(directory).unwrap();
    assert_eq!(read.inspect().key_count, 10);
    assert_eq!(read.snapshot().iter().count(), 10);
}

#[test]
fn a_tree_opens_after_every_step_of_its_creation() {
    for count in 1..=STEPS.len() {
        let directory = tempfile::tempdir().unwrap();
        for step in &STEPS[..count] {
            (step.leave)(directory.path());
        }
        reads_as_nothing(directory.path(), &STEPS[count - 1]);
        is_of_use(directory.path());
    }
}

#[test]
fn a_tree_opens_with_a_log_that_has_no_segment_yet() {
    let directory = tempfile::tempdir().unwrap();
    for step in &STEPS[..5] {
        (step.leave)(directory.path());
    }
    let log = directory.path().join(LOG_DIRECTORY);
    fs::create_dir(&log).unwrap();
    for leftover in [false, true] {
        if leftover {
            fs::write(log.join("00000000000000000001-0000000001.seg.tmp"), "trunk").unwrap();
        }
        reads_as_nothing(directory.path(), &STEPS[4]);
    }
    is_of_use(directory.path());
}
