//! What one run is to do: made by the parent process, carried out by a child.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Job {
    /// The engine.
    Engine(EngineJob),
    /// The naive baseline.
    Naive(NaiveJob),
    /// A comparison within one process, by its name.
    Micro(MicroJob),
}

/// A closed loop on the engine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct EngineJob {
    /// Where its directory is made, and removed.
    pub(crate) directory: PathBuf,
    /// Settings that differ from the defaults, `section.key=value`.
    pub(crate) settings: Vec<String>,
    /// Keys put before time is taken.
    pub(crate) keys: u64,
    /// Puts while time is taken.
    pub(crate) operations: u64,
    /// Puts in a batch.
    pub(crate) batch: u64,
    /// Submissions in flight.
    pub(crate) in_flight: usize,
    /// Reads of present keys, and of absent ones.
    pub(crate) reads: usize,
}

impl EngineJob {
    /// The sizes of the batches.
    pub(crate) fn batches(&self) -> impl Iterator<Item = u64> + use<> {
        let (operations, batch) = (self.operations, self.batch);
        (0..operations.div_ceil(batch)).map(move |index| batch.min(operations - index * batch))
    }
}

/// The naive baseline.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NaiveJob {
    /// Where its directory is made, and removed.
    pub(crate) directory: PathBuf,
    /// Keys that are there before time is taken.
    pub(crate) keys: u64,
    /// Puts while time is taken.
    pub(crate) puts: u64,
}

/// A comparison.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MicroJob {
    /// Which.
    pub(crate) name: String,
    /// Where its directory is made, and removed.
    pub(crate) directory: PathBuf,
    /// Keys of the states that it makes.
    pub(crate) keys: u64,
}
