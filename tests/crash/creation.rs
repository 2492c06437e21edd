//! Trees whose creation was interrupted.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::store::leaves::LEAVES_DIRECTORY;
use trunkline::core::store::lock::LOCK_FILE;
use trunkline::core::store::log::SEGMENT_HEADER_BYTES;
use trunkline::core::store::manifest::CHECKPOINT_FILE;
use trunkline::core::store::tree_file::TREE_FILE;
use trunkline::{Engine, OpenError, ReadOnly};

use crate::directories::leaving_alone;
use crate::killed::config;

/// A step of creating a tree, with the files that it leaves in the directory.
struct Step {
    what: &'static str,
    leave: fn(&Path),
    /// True if a reader finds a tree after this step.
    is_tree: bool,
}

/// All steps. The tests of the leaf store (`core/tests`) cover the steps after it has a keyspace.
const STEPS: [Step; 17] = [
    step("nothing", |_| {}, false),
    step("the lock", |at| write(at, LOCK_FILE, b""), false),
    step("a store", |at| directory(at, ""), false),
    step("its lock", |at| write_store(at, "lock", b""), false),
    step("no keyspaces", |at| directory(at, "keyspaces"), false),
    step("its journal", |at| write_store(at, "0.jnl", b""), false),
    step("a version", |at| write_store(at, "version", b""), false),
    step("half of it", |at| write_store(at, "version", b"FJL"), false),
    step("a log", |at| fs::create_dir(at.join("log")).unwrap(), false),
    step("a segment", |at| write(at, SEGMENT_TMP, b"trunk"), false),
    step("all of it", |at| copy_segment(&another_tree(), at), false),
    step("a manifest", |at| write(at, "CHECKPOINT.tmp", b""), false),
    step("part of it", |at| write(at, "CHECKPOINT.tmp", b"t"), false),
    step("all of it", copy_manifest, false),
    step("a tree file", |at| write(at, "TREE.tmp", b""), false),
    step("part of it", |at| write(at, "TREE.tmp", b"trunk"), false),
    step("all of it", copy_everything, true),
];

const SEGMENT: &str = "log/00000000000000000001-0000000001.seg";
const SEGMENT_TMP: &str = "log/00000000000000000001-0000000001.seg.tmp";

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

/// Returns a tree that was just created.
fn another_tree() -> TempDir {
    let other = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(config(other.path(), DurabilityMode::Sync)).unwrap();
    engine.shutdown_blocking().unwrap();
    other
}

fn copy_segment(from: &TempDir, to: &Path) {
    let whole = fs::read(from.path().join(SEGMENT)).unwrap();
    write(to, SEGMENT, &whole[..SEGMENT_HEADER_BYTES]);
    fs::remove_file(to.join(SEGMENT_TMP)).unwrap_or_default();
}

fn copy_file(from: &TempDir, to: &Path, name: &str) {
    fs::copy(from.path().join(name), to.join(name)).unwrap();
    fs::remove_file(to.join(format!("{name}.tmp"))).unwrap_or_default();
}

fn copy_manifest(to: &Path) {
    copy_file(&another_tree(), to, CHECKPOINT_FILE);
}

/// Copies all parts from one tree, since each tree has its own id.
fn copy_everything(to: &Path) {
    let other = another_tree();
    copy_segment(&other, to);
    copy_file(&other, to, CHECKPOINT_FILE);
    copy_file(&other, to, TREE_FILE);
}

fn reads_as_nothing(directory: &Path, step: &Step) {
    leaving_alone(directory, || match ReadOnly::open(directory) {
        Ok(tree) if step.is_tree => {
            assert_eq!(tree.inspect().key_count, 0);
            assert_eq!(tree.snapshot().version(), 0);
        }
        Err(OpenError::NoTree { .. }) if !step.is_tree => {}
        read => panic!("after {}: {read:?}", step.what),
    });
}

fn is_of_use(directory: &Path) {
    let mut config = config(directory, DurabilityMode::Sync);
    // No step creates the file that records an index.
    config.store.key_order = false;
    let engine = Engine::open_blocking(config).unwrap();
    // Enough versions for more than one checkpoint.
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
