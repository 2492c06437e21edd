use std::path::Path;
use std::process::{Command, Stdio};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore, LeafStoreError};

use crate::leaf_stores::{
    Change, apply, borrowed, changes, follows_a_map, refuses_unsorted_changes, scanned,
};

fn open(directory: &tempfile::TempDir) -> FjallLeafStore {
    open_at(directory.path())
}

fn open_at(directory: &Path) -> FjallLeafStore {
    FjallLeafStore::open(&directory.join("leaves"), &FjallOptions::default()).unwrap()
}

#[test]
fn snapshots_taken_before_an_ingestion_do_not_see_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    follows_a_map(&store);
    refuses_unsorted_changes(&store);
}

#[test]
fn ingestions_are_there_after_reopening_and_can_continue() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = SmallRng::seed_from_u64(8);
    let mut map = Default::default();
    for round in 0..4 {
        let store = open(&directory);
        assert_eq!(scanned(&*store.snapshot().unwrap()), map);
        let changes = changes(&mut random, 80);
        apply(&mut map, &changes);
        let before = store.snapshot().unwrap();
        let seen = scanned(&*before);
        store.ingest(&mut borrowed(&changes)).unwrap();
        assert_eq!(scanned(&*before), seen);
        assert_eq!(scanned(&*store.snapshot().unwrap()), map);
        if round % 2 == 0 {
            store.sync().unwrap();
        }
    }
}

/// Environment variable with the directory of the process that ends in the middle.
const ORDER: &str = "TRUNKLINE_INGESTING_PROCESS";
/// Exit code by which it says that it got that far.
const INGESTED: i32 = 9;

fn ingested() -> Vec<Change> {
    changes(&mut SmallRng::seed_from_u64(9), 80)
}

/// An ingestion is durable when it returns: a process that ends then, with the store still open and
/// nothing synced after, leaves it in the files. A copy of the files of a running store would not be
/// of one moment: fjall replaces some of them on threads of its own.
#[test]
fn an_ingestion_is_in_the_files_when_it_returns() {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--test-threads=1"])
        .arg(concat!(
            "fjall_leaves::",
            "the_process_that_ends_when_an_ingestion_returns"
        ))
        .env(ORDER, directory.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(INGESTED));
    let mut map = Default::default();
    apply(&mut map, &ingested());
    assert_eq!(scanned(&*open(&directory).snapshot().unwrap()), map);
}

#[test]
#[ignore = "a process that another test starts; does nothing by itself"]
fn the_process_that_ends_when_an_ingestion_returns() {
    let Some(directory) = std::env::var_os(ORDER) else {
        return;
    };
    let store = open_at(Path::new(&directory));
    store.ingest(&mut borrowed(&ingested())).unwrap();
    // Nothing is dropped: no thread is waited for, and no journal is synced.
    std::process::exit(INGESTED);
}

#[test]
fn an_ingestion_that_stopped_halfway_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let leaf = Leaf {
        key: "key".into(),
        value: "value".into(),
    };
    let put = |place| LeafChange {
        key_hash: [place; 32],
        leaf: Some(leaf.borrowed()),
    };
    let store = open(&directory);
    let result = store.ingest(&mut [put(1), put(3), put(2)].into_iter());
    assert!(matches!(result, Err(LeafStoreError::Order { index: 2 })));
    assert_eq!(store.snapshot().unwrap().get(&[1; 32]).unwrap(), None);
    drop(store);
    let store = open(&directory);
    assert!(scanned(&*store.snapshot().unwrap()).is_empty());
    store.ingest(&mut [put(1)].into_iter()).unwrap();
    assert_eq!(store.snapshot().unwrap().get(&[1; 32]).unwrap(), Some(leaf));
}

#[test]
fn a_damaged_entry_is_a_typed_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leaves");
    {
        let database = fjall::Database::builder(&path).open().unwrap();
        let keyspace = database.keyspace("leaves", Default::default).unwrap();
        keyspace.insert([1; 32], b"\x09short").unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let snapshot = open(&directory).snapshot().unwrap();
    assert!(matches!(
        snapshot.get(&[1; 32]),
        Err(LeafStoreError::Damaged { key_hash }) if key_hash == [1; 32]
    ));
    let scan = snapshot.scan([0; 32]..=[9; 32], &mut |_, _, _| panic!("a leaf"));
    assert!(matches!(scan, Err(LeafStoreError::Damaged { .. })));
}
