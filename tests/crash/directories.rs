//! Directories of trees, for damage and comparison.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;
use trunkline::Engine;
use trunkline::config::DurabilityMode;
use trunkline::core::store::log::LOG_DIRECTORY;

use crate::killed::{config, shape};

/// The parts of a file that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first bytes; the journal of fjall continues with zeros for 64 MiB.
    bytes: Vec<u8>,
    length: u64,
    mode: u32,
    inode: u64,
    modified: SystemTime,
}

/// Returns all files and directories below a directory, by path.
pub(crate) fn entries(directory: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let mut bytes = Vec::new();
            if metadata.is_file() {
                let file = fs::File::open(&path).unwrap();
                file.take(1 << 20).read_to_end(&mut bytes).unwrap();
            }
            let entry = Entry {
                bytes,
                length: metadata.len(),
                mode: metadata.permissions().mode(),
                inode: metadata.ino(),
                modified: metadata.modified().unwrap(),
            };
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            entries.insert(path, entry);
        }
    }
    entries
}

/// Runs `work` and checks that it does not change a directory.
pub(crate) fn leaving_alone<T>(directory: &Path, work: impl FnOnce() -> T) -> T {
    let before = entries(directory);
    let result = work();
    let after = entries(directory);
    let names = |entries: &BTreeMap<PathBuf, Entry>| entries.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for (path, entry) in before {
        assert!(entry == after[&path], "{} was changed", path.display());
    }
    result
}

/// Returns a closed tree with checkpoints, and with several segments after the last one.
pub(crate) fn closed_tree() -> TempDir {
    closed_tree_of(7)
}

/// Returns such a tree with submissions from this seed.
pub(crate) fn closed_tree_of(seed: u64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), DurabilityMode::Sync);
    config.checkpoint.bytes_max = 60 << 10;
    config.checkpoint.unflushed_bytes_max = 60 << 10;
    let mut sequence = 0;
    let engine = Engine::open_blocking(config.clone()).unwrap();
    while engine.metrics().checkpoints < 2 {
        submit(&engine, seed, &mut sequence);
    }
    engine.shutdown_blocking().unwrap();

    // Checkpoints start at any time, so what follows the last one is written while none can start.
    config.checkpoint.bytes_max = 1 << 30;
    config.checkpoint.unflushed_bytes_max = 1 << 30;
    let engine = Engine::open_blocking(config).unwrap();
    let segments = log_segments(directory.path()).len();
    while log_segments(directory.path()).len() < segments + 3 {
        submit(&engine, seed, &mut sequence);
    }
    engine.shutdown_blocking().unwrap();
    directory
}

fn submit(engine: &Engine, seed: u64, sequence: &mut u64) {
    *sequence += 1;
    let batch = shape(seed).submission(1, *sequence).batch();
    let receipt = engine.submit_blocking(batch).unwrap();
    receipt.durable_blocking().unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).unwrap()),
        }
    }
}

/// Returns the segments of a log, oldest first.
pub(crate) fn log_segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join(LOG_DIRECTORY)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    segments.sort();
    segments
}
