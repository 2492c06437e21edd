//! Snapshots that are held during a checkpoint.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use trunkline::core::store::leaves::{
    LeafChange, LeafSnapshot, LeafStore, LeafStoreError, MemoryLeafStore,
};
use trunkline::core::store::simulated::SimulatedDisk;
use trunkline::{Batch, Config, Engine};

/// A leaf store whose ingestions wait at a gate.
#[derive(Default)]
struct Gated {
    leaves: MemoryLeafStore,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

impl LeafStore for Gated {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        self.opened.wait_while(&mut self.open.lock(), |open| !*open);
        self.leaves.ingest(changes)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.leaves.sync()
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        self.leaves.snapshot()
    }
}

fn put(engine: &Engine, name: &str) {
    let mut batch = Batch::new();
    batch
        .put(format!("{name}, first"), vec![1; 4096])
        .put(format!("{name}, second"), vec![2; 4096]);
    engine
        .submit_blocking(batch)
        .unwrap()
        .durable_blocking()
        .unwrap();
}

#[test]
fn a_snapshot_that_was_read_before_a_checkpoint_reads_the_same_after_it() {
    let mut config = Config::in_directory("tree");
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = 4096;
    config.versions.retain_versions = 1;
    let leaves = Arc::new(Gated::default());
    let engine = Engine::builder(config)
        .disk(Arc::new(SimulatedDisk::new(1)))
        .leaf_store(leaves.clone())
        .open_blocking()
        .unwrap();
    put(&engine, "one");
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.get(b"one, first").unwrap().unwrap(), vec![1; 4096]);
    leaves.open();
    put(&engine, "two"); // waits for the checkpoint, once it is durable
    put(&engine, "three");
    assert!(engine.metrics().checkpoints > 0);
    assert_eq!(
        snapshot.get(b"one, second").unwrap().unwrap(),
        vec![2; 4096]
    );
    assert_eq!(snapshot.get(b"one, first").unwrap().unwrap(), vec![1; 4096]);
    engine.shutdown_blocking().unwrap();
}
