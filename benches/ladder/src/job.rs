//! The description of one run: made by the parent process, carried out by a child.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Job {
    /// A run of the engine.
    Engine(EngineJob),
    /// A run of the naive baseline.
    Naive(NaiveJob),
    /// A comparison within one process, by its name.
    Micro(MicroJob),
}

/// A closed-loop run of the engine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct EngineJob {
    /// The directory in which the run makes its own, and removes it.
    pub(crate) directory: PathBuf,
    /// The settings that differ from the defaults, as `section.key=value`.
    pub(crate) settings: Vec<String>,
    /// The number of keys that are put before the measurement.
    pub(crate) keys: u64,
    /// The number of measured puts.
    pub(crate) operations: u64,
    /// The number of puts in a batch.
    pub(crate) batch: u64,
    /// The number of submissions in flight.
    pub(crate) in_flight: usize,
    /// The number of reads of present keys, and of absent ones.
    pub(crate) reads: usize,
}

impl EngineJob {
    /// Returns the sizes of the batches.
    pub(crate) fn batches(&self) -> impl Iterator<Item = u64> + use<> {
        let (operations, batch) = (self.operations, self.batch);
        (0..operations.div_ceil(batch)).map(move |index| batch.min(operations - index * batch))
    }
}

/// A run of the naive baseline.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NaiveJob {
    /// The directory in which the run makes its own, and removes it.
    pub(crate) directory: PathBuf,
    /// The number of keys that exist before the measurement.
    pub(crate) keys: u64,
    /// The number of measured puts.
    pub(crate) puts: u64,
}

/// A comparison within one process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MicroJob {
    /// The name of the comparison.
    pub(crate) name: String,
    /// The directory in which the run makes its own, and removes it.
    pub(crate) directory: PathBuf,
    /// The number of keys of the states that it makes.
    pub(crate) keys: u64,
}
