//! Every state that a process leaves if it is killed while fjall creates a store: the files of a complete store, in the
//! order in which fjall writes them, each of them empty, truncated and whole.

use std::fs;
use std::path::{Path, PathBuf};

use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::leaves::{LeafChange, LeafRef, LeafStore, LeafStoreError};

use crate::leaf_stores::scanned;

/// The next step of fjall.
enum Step {
    Directory(PathBuf),
    /// A file with this content, or with this many zeros.
    File(PathBuf, Content),
    Rename(PathBuf, PathBuf),
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    Zeros(u64),
}

impl Content {
    /// Returns the file as empty, partial and whole.
    fn beginnings(&self) -> [Self; 3] {
        match self {
            Self::Bytes(bytes) => [0, bytes.len().div_ceil(2), bytes.len()]
                .map(|length| Self::Bytes(bytes[..length].to_vec())),
            Self::Zeros(bytes) => [0, bytes / 2, *bytes].map(Self::Zeros),
        }
    }

    fn write(&self, path: &Path) {
        match self {
            Self::Bytes(bytes) => fs::write(path, bytes).unwrap(),
            Self::Zeros(bytes) => fs::File::create(path).unwrap().set_len(*bytes).unwrap(),
        }
    }
}

/// A way of creating a store, step by step.
#[derive(Default)]
struct Making(Vec<Step>);

impl Making {
    fn directory(&mut self, name: &str) {
        self.0.push(Step::Directory(name.into()));
    }

    fn file(&mut self, name: impl Into<PathBuf>, content: Content) {
        let name = name.into();
        let beginnings = content.beginnings().into_iter();
        let steps = beginnings.map(|content| Step::File(name.clone(), content));
        self.0.extend(steps);
    }

    fn copy(&mut self, model: &Path, name: impl Into<PathBuf>) {
        let name = name.into();
        let content = Content::Bytes(fs::read(model.join(&name)).unwrap());
        self.file(name, content);
    }

    /// Adds a version of a keyspace, and the file that names it, which is replaced by rename.
    fn version(&mut self, model: &Path, keyspace: &str, version: &str) {
        let keyspace = Path::new(keyspace);
        self.copy(model, keyspace.join(version));
        let (temporary, current) = (keyspace.join(".tmpAbCdEf"), keyspace.join("current"));
        let content = Content::Bytes(fs::read(model.join(&current)).unwrap());
        self.file(temporary.clone(), content);
        self.0.push(Step::Rename(temporary, current));
    }

    /// Performs the first steps.
    fn follow(&self, steps: usize, directory: &Path) {
        for step in &self.0[..steps] {
            match step {
                Step::Directory(name) => fs::create_dir(directory.join(name)).unwrap(),
                Step::File(name, content) => content.write(&directory.join(name)),
                Step::Rename(from, to) => {
                    fs::rename(directory.join(from), directory.join(to)).unwrap();
                }
            }
        }
    }
}

/// Returns the steps by which fjall 3.1.13 creates a store, from its source and its system calls. The models are a
/// database without the keyspace of the leaves, and a whole store.
fn making(database: &Path, store: &Path) -> Making {
    let mut making = Making::default();
    making.directory("");
    making.file("lock", Content::Bytes(Vec::new()));
    making.directory("keyspaces");
    let journal_bytes = fs::metadata(store.join("0.jnl")).unwrap().len();
    making.file("0.jnl", Content::Zeros(journal_bytes));
    making.copy(store, "version");
    making.directory("keyspaces/0");
    making.directory("keyspaces/0/tables");
    making.version(database, "keyspaces/0", "v0");
    making.directory("keyspaces/1");
    making.directory("keyspaces/1/tables");
    making.version(store, "keyspaces/1", "v0");
    making.copy(store, "keyspaces/0/tables/0");
    making.copy(store, "keyspaces/0/v1");
    making.version(store, "keyspaces/0", "v2");
    making
}

fn open(directory: &Path) -> Result<FjallLeafStore, LeafStoreError> {
    FjallLeafStore::open(directory, &FjallOptions::default())
}

const LEAF: LeafRef<'_> = LeafRef {
    key: b"key",
    value: b"value",
};

fn put() -> LeafChange<'static> {
    LeafChange {
        key_hash: [1; 32],
        leaf: Some(LEAF),
    }
}

/// Creates a store with one leaf.
fn store_with_a_leaf(directory: &Path) {
    let store = open(directory).unwrap();
    store.ingest(&mut [put()].into_iter()).unwrap();
}

fn holds_the_leaf(directory: &Path) -> bool {
    let found = scanned(&*open(directory).unwrap().snapshot().unwrap());
    found.into_values().eq([LEAF.owned()])
}

#[test]
fn a_store_whose_making_was_cut_off_after_any_step_opens_empty_and_is_of_use() {
    let models = tempfile::tempdir().unwrap();
    let (database, store) = (models.path().join("database"), models.path().join("store"));
    drop(fjall::Database::builder(&database).open().unwrap());
    drop(open(&store).unwrap());
    let making = making(&database, &store);
    for steps in 0..=making.0.len() {
        let directory = models.path().join(format!("after {steps}"));
        making.follow(steps, &directory);
        let found = open(&directory).unwrap_or_else(|error| panic!("step {steps}: {error:?}"));
        assert!(scanned(&*found.snapshot().unwrap()).is_empty());
        found.ingest(&mut [put()].into_iter()).unwrap();
        drop(found);
        assert!(holds_the_leaf(&directory), "step {steps}");
        fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn a_cut_store_that_had_leaves_in_it_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let version = directory.path().join("version");
    store_with_a_leaf(directory.path());
    let whole = fs::read(&version).unwrap();
    for length in 0..whole.len() {
        fs::write(&version, &whole[..length]).unwrap();
        assert!(matches!(
            open(directory.path()),
            Err(LeafStoreError::Backend(_))
        ));
    }
    fs::remove_file(&version).unwrap();
    assert!(matches!(
        open(directory.path()),
        Err(LeafStoreError::Backend(_))
    ));
    fs::write(&version, &whole).unwrap();
    assert!(holds_the_leaf(directory.path()));
}

#[test]
fn a_store_that_somebody_is_making_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("0.jnl");
    fs::write(&journal, "").unwrap();
    let lock = fs::File::create(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(open(directory.path()).is_err());
    assert!(journal.exists());
    lock.unlock().unwrap();
    store_with_a_leaf(directory.path());
}
