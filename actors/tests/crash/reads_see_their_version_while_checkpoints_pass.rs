use std::sync::{Arc, Condvar, Mutex};

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
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl LeafStore for Gated {
    fn ingest(&self, changes: &mut dyn Iterator<Item = LeafChange>) -> Result<(), LeafStoreError> {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
        self.leaves.ingest(changes)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.leaves.sync()
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        self.leaves.snapshot()
    }
}

#[test]
fn a_snapshot_that_was_read_before_a_checkpoint_reads_the_same_after_it() {
    let mut config = Config::in_directory("tree");
    config.checkpoint.bytes_max = 4096;
    config.versions.retain_versions = 1;
    let leaves = Arc::new(Gated::default());
    let engine = Engine::builder(config)
        .disk(Arc::new(SimulatedDisk::new(1)))
        .leaf_store(leaves.clone())
        .open_blocking()
        .unwrap();
    let mut batch = Batch::new();
    batch
        .put("read before", vec![1; 4096])
        .put("read after", vec![2; 4096]);
    engine
        .submit_blocking(batch)
        .unwrap()
        .durable_blocking()
        .unwrap();

    let snapshot = engine.snapshot();
    assert_eq!(
        snapshot.get(b"read before").unwrap().unwrap(),
        vec![1; 4096]
    );
    leaves.open();
    engine.shutdown_blocking().unwrap();
    assert_eq!(engine.metrics().checkpoints, 1);
    assert_eq!(snapshot.get(b"read after").unwrap().unwrap(), vec![2; 4096]);
    assert_eq!(
        snapshot.get(b"read before").unwrap().unwrap(),
        vec![1; 4096]
    );
}
