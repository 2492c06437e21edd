//! The engines behind one trait. Each file has the settings and calls that the engine's authors recommend.

use std::path::Path;

use ::trunkline::Engine;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::job::Job;
use crate::workload::{Key, Value, Write};

#[cfg(feature = "commonware")]
mod commonware;
#[cfg(feature = "firewood")]
mod firewood;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "jmt")]
mod jmt;
#[cfg(feature = "nomt")]
mod nomt;
mod trunkline;

/// An engine in one of its forms.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineKind {
    /// trunkline with its defaults, several submissions in flight.
    Trunkline,
    /// trunkline with `kzg.mode = "coalesce"`.
    TrunklineCoalesce,
    /// trunkline with its defaults, one submission in flight.
    TrunklineOne,
    /// trunkline with `kzg.mode = "coalesce"`, one submission in flight.
    TrunklineCoalesceOne,
    /// trunkline with `group.in_flight_max = 1`, one submission in flight: nothing overlaps.
    TrunklineSingle,
    /// fjall: a log-structured merge tree, no root, no proofs.
    Fjall,
    /// commonware-storage, `qmdb::any::unordered::fixed`.
    CommonwareFixed,
    /// commonware-storage, `qmdb::any::unordered::variable`.
    CommonwareVariable,
    /// commonware-storage, `qmdb::any::ordered::fixed`.
    CommonwareOrdered,
    /// commonware-storage, `qmdb::current::unordered::fixed`.
    CommonwareCurrent,
    /// commonware-storage, `qmdb::current::ordered::fixed`.
    CommonwareCurrentOrdered,
    /// NOMT.
    Nomt,
    /// Firewood, with an additional sync after each batch.
    Firewood,
    /// jmt, a Jellyfish Merkle tree, on fjall.
    Jmt,
}

impl EngineKind {
    /// Returns its name on the command line and in tables.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Returns the number of submissions in flight if `--in-flight` asks for this many.
    pub(crate) fn in_flight(self, wanted: usize) -> usize {
        match self {
            Self::Trunkline | Self::TrunklineCoalesce => wanted,
            _ => 1,
        }
    }

    /// Returns the maximum number of submissions that the engine can have in flight.
    pub(crate) fn in_flight_max(self) -> usize {
        match self {
            Self::Trunkline | Self::TrunklineCoalesce => usize::MAX,
            // One is applied while the previous one is synced: a sync starts when the last one has ended.
            Self::CommonwareFixed
            | Self::CommonwareVariable
            | Self::CommonwareOrdered
            | Self::CommonwareCurrent
            | Self::CommonwareCurrentOrdered => 2,
            _ => 1,
        }
    }
}

/// A function that waits until a batch is durable.
pub(crate) type Pending = Box<dyn FnOnce() -> Result<(), BenchError> + Send>;

/// Returns a finished wait, for engines whose batches are durable when the call returns.
#[cfg_attr(
    not(feature = "fjall"),
    allow(dead_code, reason = "peers' features are off")
)]
pub(crate) fn durable_already() -> Pending {
    Box::new(|| Ok(()))
}

/// An engine in an empty directory.
pub(crate) trait Peer {
    /// Puts a batch atomically. The returned function waits until the batch is durable.
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError>;

    /// Returns the engine itself, if many tasks may put keys at once and one sync covers all that wait.
    fn shared(&self) -> Option<Engine> {
        None
    }

    /// Returns the newest value of a key.
    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError>;

    /// Returns the kinds of proofs of a present key that it makes.
    fn proof_kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns whether its proofs also show that a key is absent.
    fn proves_absence(&self) -> bool {
        false
    }

    /// Prepares proofs, untimed: after this call nothing is written any more.
    fn prepare_proofs(&mut self, _keys: &[Key]) -> Result<(), BenchError> {
        Ok(())
    }

    /// Returns a proof of one key, including the value.
    fn prove(&mut self, kind: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError>;

    /// Its own count of its memory, by owner, if it has one.
    fn memory_by_owner(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    /// Closes the engine in the orderly way that its authors intend, by one call or its drop.
    fn close(self: Box<Self>) -> Result<(), BenchError>;
}

/// A proof with the root that it is checked against.
pub(crate) trait Proof {
    /// Returns its size as sent: with the value, without the key and the root.
    fn encoded_bytes(&self) -> usize;

    /// Returns whether it proves that the key has this value. For another value than its own, the proof is checked as
    /// if that value had come with it.
    fn shows(&self, key: &Key, value: Option<&Value>) -> bool;
}

/// Opens an engine, runs the body with it, and lets the body close it.
pub(crate) fn with_engine<T: Send>(
    job: &Job,
    directory: &Path,
    body: impl FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    match job.line.engine {
        EngineKind::Trunkline
        | EngineKind::TrunklineCoalesce
        | EngineKind::TrunklineOne
        | EngineKind::TrunklineCoalesceOne
        | EngineKind::TrunklineSingle => {
            body(Box::new(trunkline::Trunkline::open(job, directory)?))
        }
        #[cfg(feature = "fjall")]
        EngineKind::Fjall => body(Box::new(fjall::Fjall::open(directory)?)),
        #[cfg(feature = "commonware")]
        EngineKind::CommonwareFixed => {
            commonware::with_form::<commonware::Fixed, T>(job, directory, body)
        }
        #[cfg(feature = "commonware")]
        EngineKind::CommonwareVariable => {
            commonware::with_form::<commonware::Variable, T>(job, directory, body)
        }
        #[cfg(feature = "commonware")]
        EngineKind::CommonwareOrdered => {
            commonware::with_form::<commonware::Ordered, T>(job, directory, body)
        }
        #[cfg(feature = "commonware")]
        EngineKind::CommonwareCurrent => {
            commonware::with_form::<commonware::Current, T>(job, directory, body)
        }
        #[cfg(feature = "commonware")]
        EngineKind::CommonwareCurrentOrdered => {
            commonware::with_form::<commonware::CurrentOrdered, T>(job, directory, body)
        }
        #[cfg(feature = "nomt")]
        EngineKind::Nomt => body(Box::new(nomt::NomtPeer::open(job, directory)?)),
        #[cfg(feature = "firewood")]
        EngineKind::Firewood => body(Box::new(firewood::Firewood::open(directory)?)),
        #[cfg(feature = "jmt")]
        EngineKind::Jmt => body(Box::new(jmt::Jmt::open(directory)?)),
        #[allow(unreachable_patterns, reason = "depends on the features")]
        engine => Err(BenchError::NotBuilt {
            engine: engine.name(),
            feature: feature_of(engine),
        }),
    }
}

#[allow(dead_code, reason = "unused when every feature is on")]
fn feature_of(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Trunkline
        | EngineKind::TrunklineCoalesce
        | EngineKind::TrunklineOne
        | EngineKind::TrunklineCoalesceOne
        | EngineKind::TrunklineSingle => "default",
        EngineKind::Fjall => "fjall",
        EngineKind::CommonwareFixed
        | EngineKind::CommonwareVariable
        | EngineKind::CommonwareOrdered
        | EngineKind::CommonwareCurrent
        | EngineKind::CommonwareCurrentOrdered => "commonware",
        EngineKind::Nomt => "nomt",
        EngineKind::Firewood => "firewood",
        EngineKind::Jmt => "jmt",
    }
}
