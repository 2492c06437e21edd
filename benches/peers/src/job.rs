//! The job of one run: made by the parent process, carried out by a child.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engines::EngineKind;
use crate::workload::Fresh;

/// One compared line of the table. Each round runs each line once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Line {
    /// The engine.
    pub(crate) engine: EngineKind,
    /// The maximum number of submissions in flight.
    pub(crate) in_flight: usize,
    /// The number of tasks that put single keys, instead of batches.
    pub(crate) tasks: Option<u64>,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.engine.name())?;
        match self.tasks {
            Some(1) => write!(formatter, ", one task"),
            Some(tasks) => write!(formatter, ", {tasks} tasks"),
            None if self.in_flight == 1 => Ok(()),
            None => write!(formatter, ", {} in flight", self.in_flight),
        }
    }
}

/// One run of one line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    /// The engine and its load.
    pub(crate) line: Line,
    /// The directory in which that of the engine is made, and removed.
    pub(crate) directory: PathBuf,
    /// The keys that are put before the measurement.
    pub(crate) keys: u64,
    /// The puts of the measurement.
    pub(crate) operations: u64,
    /// The choice of fresh keys.
    pub(crate) fresh: Fresh,
    /// The puts in a batch.
    pub(crate) batch: u64,
    /// The puts in a batch of the preload.
    pub(crate) preload_batch: u64,
    /// The settings of trunkline that differ from its defaults.
    pub(crate) settings: Vec<String>,
    /// The reads of each kind.
    pub(crate) reads: usize,
    /// The proofs of each kind.
    pub(crate) proofs: usize,
    /// The schedule of the batches, if they do not follow one another.
    pub(crate) schedule: Option<Schedule>,
    /// Bytes for all caches of an engine that has a setting for them, instead of what it has by default.
    pub(crate) cache_bytes: Option<u64>,
}

/// An open loop: batches are submitted even if earlier ones are not done.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Schedule {
    /// The puts a second.
    pub(crate) rate: f64,
}

impl Job {
    /// Returns the sizes of the batches of a closed loop.
    pub(crate) fn batches(&self) -> impl Iterator<Item = u64> {
        let (operations, batch) = (self.operations, self.batch);
        (0..operations.div_ceil(batch)).map(move |index| batch.min(operations - index * batch))
    }
}
