//! Targets of a load: an engine, or a service of your own.

use std::error::Error;

use bytes::Bytes;
use trunkline::core::batch::{Batch, BatchLimits, Requirement};
use trunkline::core::outcome::Outcome;
use trunkline::core::proof::{Claim, Expected, Proof, verify};
use trunkline::decisions::{Decision, Window};
use trunkline::{Engine, EngineFailure, Span, SubmitError, TopKind};

use super::plan::ProofTop;
use super::records::{MustHold, WriteBatch};

/// The failure of an operation on a target.
///
/// ```
/// use trunkline_load::TargetError;
/// let error = TargetError::failed(std::io::Error::other("the service answered 503"));
/// assert!(!error.ends_the_run());
/// assert_eq!(error.to_string(), "the service answered 503");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// This operation failed; later ones may succeed. The failure is counted.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// No later operation can succeed. The run ends.
    #[error(transparent)]
    Ended(Box<dyn Error + Send + Sync>),
    /// The target cannot perform this operation at all. The run ends.
    #[error("the target cannot {0}; choose a workload without that")]
    Unsupported(&'static str),
}

impl TargetError {
    /// Returns the failure of one operation.
    pub fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }

    /// Returns a failure after which no operation can succeed.
    pub fn ended(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Ended(Box::new(error))
    }

    /// Returns whether the run ends with this failure.
    pub fn ends_the_run(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// The outcome of a batch that is durable.
///
/// See [`Target`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// All its writes took effect.
    Applied,
    /// All its writes took effect, but before those of a batch that was submitted earlier, so that its keys may hold
    /// what the earlier batch wrote. Targets return it if they may apply batches in another order than they were
    /// submitted in.
    OutOfOrder,
    /// None of its writes took effect, for this reason. The load does not expect that: the target or its settings are
    /// at fault, and the keys do not hold what the load's records say.
    Refused(String),
}

/// Blocks the thread until a batch is durable.
pub type Pending = Box<dyn FnOnce() -> Result<Written, TargetError> + Send>;

/// The observations that a target has reported already.
///
/// See [`Target::observe`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of the last window, 0 if none.
    pub window: u64,
    /// Number of the last decision, 0 if none.
    pub decision: u64,
    /// Time before which spans were reported, in microseconds since the target was opened.
    pub span_us: u64,
}

/// The observations that a target reports about itself.
///
/// See [`Target::observe`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Microseconds since the target was opened. All times below count from then.
    pub uptime_us: u64,
    /// Windows after the last one that was reported.
    pub windows: Vec<Window>,
    /// Decisions after the last one that was reported.
    pub decisions: Vec<Decision>,
    /// Spans of its stages since then.
    pub spans: Vec<Span>,
}

/// The target of a load. All calls block. They come from several threads at once, but batches from one thread.
///
/// [`Engine`] is a target. A service of your own may be another:
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
/// // The load knows what every key must hold:
/// let key = outcome.records.key(7);
/// assert_eq!(table.read(&key)?.map(Vec::from), outcome.records.value(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Target: Send + Sync {
    /// Submits a batch and returns a function that waits until it is durable. If the target has too many batches in
    /// flight, the call blocks. Batches are submitted one after the other, and waited for in the same order.
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError>;

    /// Reads a key.
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError>;

    /// Reads many keys, in the order of `keys`. The default reads them one by one.
    fn read_many(&self, keys: &[[u8; 16]]) -> Result<Vec<Option<Bytes>>, TargetError> {
        keys.iter().map(|key| self.read(key)).collect()
    }

    /// Reads a key with a proof, and checks the proof against a trusted root. The default returns
    /// [`TargetError::Unsupported`].
    fn read_proven(&self, key: &[u8], top: ProofTop) -> Result<Option<Bytes>, TargetError> {
        let _ = (key, top);
        Err(TargetError::Unsupported("prove what it reads"))
    }

    /// Returns the most that one batch may hold. Requirements count as operations.
    fn limits(&self) -> BatchLimits {
        BatchLimits::default()
    }

    /// Returns the target's settings as TOML, which are stored in the run. The default has none.
    fn settings(&self) -> String {
        String::new()
    }

    /// Returns the target's measurements and decisions after those that were reported already. The default returns
    /// nothing.
    fn observe(&self, since: &Seen) -> Observation {
        let _ = since;
        Observation::default()
    }
}

impl Target for Engine {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let mut submission = Batch::with_capacity(batch.len(), batch.bytes());
        batch.for_each(|write| {
            if let Some(required) = write.requires {
                let requirement = match required {
                    MustHold::Absent => Requirement::Absent,
                    MustHold::Value(value) => Requirement::value(value),
                };
                submission.require(write.key, requirement);
            }
            match write.value {
                Some(value) => submission.put(write.key, value),
                None => submission.delete(write.key),
            };
        });
        let receipt = self.submit_blocking(submission)?;
        Ok(Box::new(move || {
            Ok(match receipt.durable_blocking()?.outcome {
                Outcome::Applied { .. } | Outcome::Reverted { .. } => Written::Applied,
                Outcome::Refused(refusal) => Written::Refused(refusal.to_string()),
            })
        }))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.get(key).map_err(TargetError::failed)
    }

    fn read_many(&self, keys: &[[u8; 16]]) -> Result<Vec<Option<Bytes>>, TargetError> {
        self.multi_get(keys).map_err(TargetError::failed)
    }

    /// Proves a key at the last durable version, encodes the proof, decodes it and verifies it, as a verifier would.
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
        // A configuration that was loaded can be written.
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

impl From<SubmitError> for TargetError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Engine(failure) => Self::ended(failure),
            error => Self::failed(error),
        }
    }
}

impl From<EngineFailure> for TargetError {
    fn from(failure: EngineFailure) -> Self {
        Self::ended(failure)
    }
}
