//! What one run is to do: made by the parent process, carried out by a child.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engines::EngineKind;
use crate::workload::Fresh;

/// One line of the table: what is compared. Each round runs each line once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Line {
    /// Which engine.
    pub(crate) engine: EngineKind,
    /// Submissions on their way at once, at most.
    pub(crate) in_flight: usize,
    /// Single puts from this many tasks, instead of batches.
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
    /// Which engine, under what load.
    pub(crate) line: Line,
    /// Where its directory is made, and removed.
    pub(crate) directory: PathBuf,
    /// Keys put before time is taken.
    pub(crate) keys: u64,
    /// Puts while time is taken.
    pub(crate) operations: u64,
    /// Which of them are of fresh keys.
    pub(crate) fresh: Fresh,
    /// Puts in a batch.
    pub(crate) batch: u64,
    /// Puts in a batch of the preload.
    pub(crate) preload_batch: u64,
    /// Settings of trunkline that are not its defaults.
    pub(crate) settings: Vec<String>,
    /// Reads of each kind.
    pub(crate) reads: usize,
    /// Proofs of each kind.
    pub(crate) proofs: usize,
    /// Batches by the clock instead of one after the other.
    pub(crate) schedule: Option<Schedule>,
    /// Bytes for all caches of an engine that has a setting for them, instead of what it has by default.
    pub(crate) cache_bytes: Option<u64>,
}

/// An open loop: batches come whether or not the earlier ones are done.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Schedule {
    /// Puts a second.
    pub(crate) rate: f64,
}

impl Job {
    /// The sizes of the batches of a closed loop.
    pub(crate) fn batches(&self) -> impl Iterator<Item = u64> {
        let (operations, batch) = (self.operations, self.batch);
        (0..operations.div_ceil(batch)).map(move |index| batch.min(operations - index * batch))
    }
}
