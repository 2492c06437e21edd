//! What a load is put on: an engine, or a service of your own.
//!
//! Not here: when what is asked for (`driver`), and what came out (`measure`).

use std::error::Error;

use bytes::Bytes;
use trunkline::core::batch::{Batch, BatchLimits, Requirement};
use trunkline::core::outcome::{Outcome, Refusal};
use trunkline::core::proof::{Claim, Expected, Proof, verify};

use super::plan::ProofTop;
use super::records::{MustHold, WriteBatch};
use trunkline::EngineFailure;
use trunkline::Span;
use trunkline::TopKind;
use trunkline::decisions::{Decision, Window};
use trunkline::{Engine, SubmitError};

/// Why an operation on a target failed.
///
/// ```
/// use trunkline_load::TargetError;
/// let error = TargetError::failed(std::io::Error::other("the service answered 503"));
/// assert!(!error.ends_the_run());
/// assert_eq!(error.to_string(), "the service answered 503");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// This operation failed; others may do better. It is counted.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// Nothing will work any more: the run ends.
    #[error(transparent)]
    Ended(Box<dyn Error + Send + Sync>),
    /// The target can't do this at all: the run ends.
    #[error("the target can't {0}; choose a workload without that")]
    Unsupported(&'static str),
}

impl TargetError {
    /// A failure of one operation.
    pub fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }

    /// A failure after which nothing works any more.
    pub fn ended(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Ended(Box::new(error))
    }

    /// Whether the run goes on.
    pub fn ends_the_run(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// What became of a batch that is durable.
///
/// ```
/// assert_ne!(trunkline_load::Written::Applied, trunkline_load::Written::Refused("too old".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// All its writes took effect.
    Applied,
    /// None of them did, for this reason. What its keys hold is not what the load believes, so this is a mistake
    /// of the target, or of its settings.
    Refused(String),
}

/// Waits, blocking the thread, until a batch is durable.
pub type Pending = Box<dyn FnOnce() -> Result<Written, TargetError> + Send>;

/// What a target told of itself already.
///
/// ```
/// assert_eq!(trunkline_load::Seen::default().window, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of the last window, 0 if none.
    pub window: u64,
    /// Number of the last decision, 0 if none.
    pub decision: u64,
    /// Spans that ended before this are not wanted any more, microseconds since the target was opened.
    pub span_us: u64,
}

/// What a target tells of itself.
///
/// ```
/// assert!(trunkline_load::Observation::default().windows.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Microseconds since it was opened: the clock of everything below.
    pub uptime_us: u64,
    /// Windows since the last one that was seen.
    pub windows: Vec<Window>,
    /// Decisions since the last one that was seen.
    pub decisions: Vec<Decision>,
    /// What its stages worked on since.
    pub spans: Vec<Span>,
}

/// What a load is put on. All calls block; they come from several threads at once, but batches from one.
///
/// [`Engine`] is one. A service of your own may be another:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use bytes::Bytes;
/// use trunkline_load::{Load, Pending, Plan, Target, TargetError, WriteBatch, Written};
///
/// #[derive(Default)]
/// struct Table(Mutex<HashMap<Vec<u8>, Bytes>>);
///
/// impl Target for Table {
///     fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
///         let mut table = self.0.lock().unwrap();
///         batch.for_each(|write| match write.value {
///             Some(value) => drop(table.insert(write.key.to_vec(), Bytes::copy_from_slice(value))),
///             None => drop(table.remove(write.key)),
///         });
///         Ok(Box::new(|| Ok(Written::Applied)))
///     }
///
///     fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
/// }
///
/// let plan = Plan { keys: 100, ops: Some(1000), rate: Some(1e6), ..Plan::default() };
/// let table = Table::default();
/// let outcome = Load::new(&plan, &table)?.run()?;
/// let totals = &outcome.run.totals;
/// assert_eq!(totals.offered, 1000);
/// assert_eq!(totals.achieved + totals.dropped, 1000);
/// // What every key must hold is known without asking the target:
/// let key = outcome.records.key(7);
/// assert_eq!(table.read(&key)?.map(Vec::from), outcome.records.value(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Target: Send + Sync {
    /// Submits a batch, waiting for room if there is none, and gives what waits until it is durable. Batches come one
    /// after the other; those that came earlier are waited for first.
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError>;

    /// Reads a key.
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError>;

    /// Reads many keys, in the order asked for. As it is, one by one.
    fn read_many(&self, keys: &[[u8; 16]]) -> Result<Vec<Option<Bytes>>, TargetError> {
        keys.iter().map(|key| self.read(key)).collect()
    }

    /// Reads a key with a proof, and checks the proof against a root that is trusted. As it is, it can't.
    fn read_proven(&self, key: &[u8], top: ProofTop) -> Result<Option<Bytes>, TargetError> {
        let _ = (key, top);
        Err(TargetError::Unsupported("prove what it reads"))
    }

    /// The most that one batch may hold. Requirements count as operations.
    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    /// Its settings, as TOML, for the run's record.
    fn settings(&self) -> String {
        String::new()
    }

    /// What it knows of itself since then. As it is, nothing.
    fn observe(&self, since: &Seen) -> Observation {
        let _ = since;
        Observation::default()
    }
}

impl Target for Engine {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let mut submission = Batch::with_capacity(batch.len(), batch.bytes());
        batch.for_each(|write| {
            match write.requires {
                None => {}
                Some(MustHold::Absent) => {
                    submission.require(write.key, Requirement::Absent);
                }
                Some(MustHold::Value(value)) => {
                    submission.require(write.key, Requirement::value(value));
                }
            }
            match write.value {
                Some(value) => submission.put(write.key, value),
                None => submission.delete(write.key),
            };
        });
        let receipt = self.submit_blocking(submission)?;
        Ok(Box::new(move || {
            Ok(match receipt.durable_blocking()?.outcome {
                Outcome::Applied { .. } => Written::Applied,
                Outcome::Refused(refusal) => refused(refusal),
            })
        }))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.get(key).map_err(TargetError::failed)
    }

    fn read_many(&self, keys: &[[u8; 16]]) -> Result<Vec<Option<Bytes>>, TargetError> {
        self.multi_get(keys).map_err(TargetError::failed)
    }

    /// From the last durable version: proven, written out, read again and verified, as if by somebody else.
    fn read_proven(&self, key: &[u8], top: ProofTop) -> Result<Option<Bytes>, TargetError> {
        let snapshot = self.snapshot();
        let top = match top {
            ProofTop::Hash => TopKind::Hash,
            ProofTop::Kzg => TopKind::Kzg,
        };
        let proof = snapshot.prove([key], top).map_err(TargetError::failed)?;
        let bytes = proof.encode().map_err(TargetError::failed)?;
        let proof = Proof::decode(&bytes).map_err(TargetError::failed)?;
        let expected = Expected::Root(snapshot.root());
        let verified = verify(&proof, &expected).map_err(TargetError::failed)?;
        Ok(match verified.claim(key) {
            Some(Claim::Present(value)) => Some(Bytes::copy_from_slice(value)),
            _ => None,
        })
    }

    fn limits(&self) -> BatchLimits {
        self.config().submit.batch_limits()
    }

    fn settings(&self) -> String {
        // What was loaded can be written again.
        self.config().to_toml().unwrap_or_default()
    }

    fn observe(&self, since: &Seen) -> Observation {
        Observation {
            uptime_us: self.uptime_us(),
            windows: self.windows_since(since.window),
            decisions: self.decisions_since(since.decision),
            spans: self.spans_since(since.span_us),
        }
    }
}

fn refused(refusal: Refusal) -> Written {
    Written::Refused(refusal.to_string())
}

impl From<SubmitError> for TargetError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Engine(failure) => Self::ended(failure),
            SubmitError::Batch(_) | SubmitError::Busy => Self::failed(error),
        }
    }
}

impl From<EngineFailure> for TargetError {
    fn from(failure: EngineFailure) -> Self {
        Self::ended(failure)
    }
}
