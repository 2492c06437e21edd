//! A tree that writes versions, archives of it, and directories restored from them.

#![allow(unreachable_pub, reason = "modules of one test binary")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::memory::InMemory;
use tempfile::TempDir;
use trunkline::core::frame::SecretKey;
use trunkline::core::record::Root;
use trunkline::{Batch, Config, Engine, ReadOnly};
use trunkline_archive::{
    Archive, Backup, BackupError, BasePolicy, Restored, Source, Trust, object_store,
};
use trunkline_testkit::random::Random;

/// Directories of one test.
pub struct Rig {
    pub directory: TempDir,
    pub random: Random,
}

impl Rig {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            random: Random(7),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self, name: &str) -> Config {
        Config::in_directory(self.path(name))
    }

    pub fn engine(&self) -> Engine {
        Engine::open_blocking(self.config("tree")).unwrap()
    }

    pub fn closed(&self) -> Source {
        Source::directory(&self.path("tree")).unwrap()
    }

    pub fn local_archive(&self) -> Archive {
        Archive::at(self.path("archive").to_str().unwrap()).unwrap()
    }

    /// Opens the tree, writes versions, closes it, and returns the root of each version.
    pub fn write(&mut self, versions: u64) -> Vec<Root> {
        let engine = self.engine();
        let roots = write(&engine, &mut self.random, versions);
        engine.shutdown_blocking().unwrap();
        roots
    }

    /// Backs up the closed tree.
    pub async fn back_up(&self, archive: &Archive) -> Result<Backup, BackupError> {
        archive
            .back_up(&self.closed(), BasePolicy::IfNeeded, None)
            .await
    }

    /// Restores a version, and returns its root.
    pub async fn restored(&self, archive: &Archive, version: Option<u64>) -> (Restored, Root) {
        let config = self.config("restored");
        let restored = archive
            .restore(version, &config, &Trust::default())
            .await
            .unwrap();
        let root = root_in(&self.path("restored"));
        std::fs::remove_dir_all(self.path("restored")).unwrap();
        (restored, root)
    }
}

pub fn memory_archive() -> Archive {
    Archive::on(Arc::new(InMemory::new()), "some/prefix".into())
}

pub fn key() -> SecretKey {
    SecretKey::generate([7; 32])
}

/// Writes versions of random puts and deletes, and returns the root of each.
pub fn write(engine: &Engine, random: &mut Random, versions: u64) -> Vec<Root> {
    (0..versions)
        .map(|_| write_batch(engine, batch(random)))
        .collect()
}

pub fn write_batch(engine: &Engine, batch: Batch) -> Root {
    let durable = engine
        .submit_blocking(batch)
        .unwrap()
        .durable_blocking()
        .unwrap();
    engine.snapshot_at(durable.version).unwrap().root()
}

fn batch(random: &mut Random) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..=random.below(20) {
        let key = format!("key {}", random.below(200));
        match random.below(4) {
            0 => batch.delete(key),
            _ => batch.put(key, format!("value {}", random.below(1 << 40))),
        };
    }
    batch
}

pub fn root_in(directory: &Path) -> Root {
    ReadOnly::open(directory).unwrap().inspect().root
}

/// Returns the paths of all objects of an archive in a directory, below it.
pub fn objects(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}
