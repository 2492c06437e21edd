//! The scheduler runs an engine.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use trunkline::{Config, Engine};

use crate::machine::{Machine, Power};
use crate::scheduler::{Schedule, Simulation};

fn schedule(seed: u64) -> Schedule {
    Schedule {
        seed,
        weight_max: 4,
        step_max: Duration::from_micros(20),
    }
}

/// Commits batches one by one and returns the hash of the trace.
fn commit(seed: u64, batches: u64) -> u64 {
    let simulation = Simulation::new(schedule(seed), false);
    let done = Rc::new(Cell::new(0));
    let counted = done.clone();
    let ran = simulation.run(move || {
        let machine = Machine::new(seed);
        let power = Power::on(200);
        let engine = Engine::builder(Config::in_directory("tree"))
            .disk(machine.disk(&power))
            .leaf_store(machine.leaves(&power))
            .open_blocking()
            .unwrap();
        for batch in 0..batches {
            let receipt = engine.put_blocking(batch.to_string(), "value").unwrap();
            receipt.durable_blocking().unwrap();
            counted.set(counted.get() + 1);
        }
        assert_eq!(engine.snapshot().key_count(), batches);
        engine.shutdown_blocking().unwrap();
    });
    assert_eq!(ran, Ok(()));
    assert_eq!(done.get(), batches);
    simulation.trace_hash()
}

#[test]
fn an_engine_runs_in_one_thread_and_a_seed_decides_everything() {
    let run = |seed| {
        std::thread::spawn(move || commit(seed, 100))
            .join()
            .unwrap()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
