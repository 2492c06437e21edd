//! Steps that must be atomic, run with a fault at each call of the disk and of the leaf store.

use std::sync::Arc;

use trunkline::core::store::simulated::{
    DiskCall, Failure, Fault, SimulatedDisk, SimulatedLeafStore,
};
use trunkline::{Config, Engine};

/// A machine whose power can be lost, with checkpoints after few versions.
pub(crate) struct Machine {
    pub(crate) disk: SimulatedDisk,
    pub(crate) leaves: Arc<SimulatedLeafStore>,
    config: Config,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let mut config = Config::in_directory("tree");
        config.workers.threads = 1;
        config.checkpoint.bytes_max = 4096;
        config.log.segment_bytes_max = 4096;
        config.memory.budget_bytes = seed % 2;
        Self {
            disk: SimulatedDisk::new(seed),
            leaves: Arc::new(SimulatedLeafStore::default()),
            config,
        }
    }

    pub(crate) fn open(&self) -> Engine {
        Engine::builder(self.config.clone())
            .disk(Arc::new(self.disk.clone()))
            .leaf_store(self.leaves.clone())
            .open_blocking()
            .unwrap()
    }
}

/// A step with a seed and a function that sets a fault. Returns whether it was acknowledged.
type Step = fn(u64, &dyn Fn(&Machine)) -> bool;

/// Runs a step until no call is left to lose power at.
pub(crate) fn power_is_lost_at_any_call(run: Step) {
    let mut lost = 0;
    for seed in 0..6 {
        let mut acknowledged = 0;
        for after in 0.. {
            let is_acknowledged = run(seed, &|machine| {
                machine.disk.inject(Fault {
                    call: None,
                    after,
                    failure: Failure::PowerLoss,
                    lasting: true,
                });
            });
            lost += u32::from(!is_acknowledged);
            acknowledged += u32::from(is_acknowledged);
            if acknowledged == 3 {
                break;
            }
        }
    }
    assert!(lost >= 6, "{lost}");
}

/// Runs a step while single calls fail.
pub(crate) fn calls_fail(run: Step) {
    let mut failed = 0;
    for seed in 0..6 {
        for after in 0..4 {
            for call in [DiskCall::Append, DiskCall::Sync] {
                let is_acknowledged = run(seed, &|machine| {
                    machine.disk.inject(Fault {
                        call: Some(call),
                        after,
                        failure: Failure::Error,
                        lasting: false,
                    });
                });
                failed += u32::from(!is_acknowledged);
            }
            run(seed, &|machine| machine.leaves.fail_after(after));
        }
    }
    assert!(failed >= 6, "{failed}");
}
