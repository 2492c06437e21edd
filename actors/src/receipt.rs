//! The receipt of a submission. Its holder can wait until the submission has digests, a KZG root, and is durable, from
//! any async runtime or none.
//!
//! The pipeline holds the other end, a [`Completion`]. If that is dropped before the submission is durable, the waiters
//! fail with the engine's failure, so that nobody waits for work that is lost.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Instant;

use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::Outcome;

use crate::failure::EngineFailure;
use crate::health::{Health, Waiter};
use crate::metrics::{Metrics, State as Reached};
use crate::runtime::clock;
use crate::runtime::wait::Signal;
use crate::state::State;
use crate::state::evidence::{self, EvidenceError};

/// The durability of a version when it was acknowledged. `durability.mode` of the configuration sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The version was synced before: it survives a power loss.
    Sync,
    /// The version was handed to the operating system, which survives the end of the process. It is synced after
    /// `durability.interval_ms`, or as soon afterwards as the disk allows. A power loss may lose what came since the
    /// last sync.
    Interval,
    /// The version was handed to the operating system, which survives the end of the process, and is written to the
    /// disk when the system chooses to.
    Os,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
            Self::Os => "os",
        })
    }
}

/// A submission that is part of a version with digests.
///
/// ```
/// use trunkline::{Batch, Requirement};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let mut create = Batch::new();
/// create.require("alice", Requirement::Absent).put("alice", "10");
/// let first = engine.submit_blocking(create.clone())?.hashed_blocking()?;
/// let second = engine.submit_blocking(create)?.hashed_blocking()?;
/// // Both are part of a version; the second was refused, since the key is there already.
/// assert!(first.outcome.is_applied() && !second.outcome.is_applied());
/// assert!(first.version <= second.version);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The version that the submission is part of.
    pub version: u64,
    /// Commit id of the version.
    pub commit_id: Digest,
    /// Digest of the whole state at the version.
    pub state_digest: Digest,
    /// Whether the submission was applied or refused.
    pub outcome: Outcome,
}

/// A KZG root that covers a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootReady {
    /// The version of the root: that of the submission, or a later one if its root was skipped (commit mode
    /// `coalesce`).
    pub version: u64,
    /// The KZG commitment to the slots of that version.
    pub kzg_root: [u8; 48],
}

/// A submission that is as durable as the configuration asks for. It survives a restart of the process;
/// [`Self::durability`] says whether it also survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The version that the submission is part of.
    pub version: u64,
    /// Commit id of the version.
    pub commit_id: Digest,
    /// Digest of the whole state at the version.
    pub state_digest: Digest,
    /// KZG root of the version, if it was computed by then.
    pub kzg_root: Option<[u8; 48]>,
    /// Whether the submission was applied or refused.
    pub outcome: Outcome,
    /// The durability of the version.
    pub durability: Durability,
}

/// The receipt of an accepted submission. Dropping it does not affect the submission.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let receipt = engine.put_blocking("alice", "10")?;
/// let durable = receipt.durable_blocking()?;
/// assert_eq!(durable.durability, trunkline::Durability::Sync);
/// assert_eq!(durable.commit_id, receipt.hashed_blocking()?.commit_id);
/// assert_eq!(receipt.root_ready_blocking()?.version, durable.version);
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Receipt {
    sequence: u64,
    provisional_root: Digest,
    progress: Arc<Progress>,
    root_source: Option<Arc<dyn RootSource>>,
    /// Weak, so that a receipt that is kept for long does not keep the tree in memory.
    state: Weak<State>,
}

/// Computes the KZG root of a version that has none yet.
pub trait RootSource: Send + Sync + std::fmt::Debug {
    /// Asks for the root of a version.
    fn request(&self, version: u64, completion: RootCompletion);
}

impl Receipt {
    /// Returns the sequence number: the place of the submission among all submissions to the tree.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the provisional root, which commits to this submission and all earlier ones in their order. After a crash
    /// it only holds if the submission was durable.
    pub fn provisional_root(&self) -> Digest {
        self.provisional_root
    }

    /// Waits until the submission is part of a version with digests.
    ///
    /// # Errors
    ///
    /// Fails if the engine failed or was shut down before; so do all functions that wait.
    pub async fn hashed(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached(|facts| facts.hashed).await
    }

    /// As [`Self::hashed`], but blocks the thread.
    pub fn hashed_blocking(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached_blocking(|facts| facts.hashed)
    }

    /// Waits for a KZG root that covers the submission. In commit mode `on_demand` this requests the root.
    pub async fn root_ready(&self) -> Result<RootReady, EngineFailure> {
        self.request_root(self.hashed().await?);
        self.progress.reached(|facts| facts.root_ready).await
    }

    /// As [`Self::root_ready`], but blocks the thread.
    pub fn root_ready_blocking(&self) -> Result<RootReady, EngineFailure> {
        self.request_root(self.hashed_blocking()?);
        self.progress.reached_blocking(|facts| facts.root_ready)
    }

    /// Waits until the submission is as durable as the configuration asks for; see [`Durability`].
    pub async fn durable(&self) -> Result<Durable, EngineFailure> {
        self.progress.reached(|facts| facts.durable).await
    }

    /// As [`Self::durable`], but blocks the thread.
    pub fn durable_blocking(&self) -> Result<Durable, EngineFailure> {
        self.progress.reached_blocking(|facts| facts.durable)
    }

    /// Waits until the submission is durable and returns its evidence, which shows the submission's place and outcome to
    /// anybody who trusts the commit id of its version.
    ///
    /// # Errors
    ///
    /// Fails if the version is no longer kept, or if the engine failed or was dropped.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let receipt = engine.put_blocking("alice", "10")?;
    /// let promised = receipt.provisional_root();
    /// let bytes = receipt.evidence_blocking()?.encode()?;
    /// let trusted = receipt.durable_blocking()?.commit_id;
    ///
    /// // A verifier needs the provisional root from the receipt and a trusted commit id:
    /// use trunkline::core::evidence::Evidence;
    /// let verified = Evidence::decode(&bytes)?.verify(&promised, &trusted)?;
    /// assert_eq!(verified.sequence, receipt.sequence());
    /// assert!(verified.outcome.is_applied());
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn evidence(&self) -> Result<Evidence, EvidenceError> {
        self.durable().await?;
        self.evidence_of_durable()
    }

    /// As [`Self::evidence`], but blocks the thread.
    pub fn evidence_blocking(&self) -> Result<Evidence, EvidenceError> {
        self.durable_blocking()?;
        self.evidence_of_durable()
    }

    fn evidence_of_durable(&self) -> Result<Evidence, EvidenceError> {
        let state = self.state.upgrade().ok_or(EvidenceError::Gone)?;
        evidence::of_kept(&state, self.sequence)
    }

    fn request_root(&self, hashed: Hashed) {
        if let Some(source) = &self.root_source {
            source.request(hashed.version, RootCompletion(self.progress.clone()));
        }
    }
}

/// The facts about a submission that are known so far.
#[derive(Debug, Default)]
struct Facts {
    hashed: Option<Hashed>,
    root_ready: Option<RootReady>,
    durable: Option<Durable>,
    failed: Option<EngineFailure>,
    wakers: Vec<Waker>,
}

impl Facts {
    /// Returns a fact, or the failure if there will be no such fact.
    fn answer<T>(&self, get: impl Fn(&Self) -> Option<T>) -> Option<Result<T, EngineFailure>> {
        match (get(self), &self.failed) {
            (Some(fact), _) => Some(Ok(fact)),
            (None, Some(failure)) => Some(Err(failure.clone())),
            (None, None) => None,
        }
    }
}

/// Shared by a receipt and its completions.
#[derive(Debug)]
struct Progress {
    facts: Signal<Facts>,
    accepted_at: Instant,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Progress {
    /// Adds a fact, counts the state that was reached, and wakes the waiters.
    fn learn(&self, state: Option<Reached>, learn: impl FnOnce(&mut Facts)) {
        if let Some(state) = state {
            self.metrics.state_reached(state, self.accepted_at);
        }
        let wakers = self.facts.update(|facts| {
            learn(facts);
            std::mem::take(&mut facts.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn reached<T: Copy>(
        &self,
        get: impl Fn(&Facts) -> Option<T>,
    ) -> Result<T, EngineFailure> {
        poll_fn(|context| {
            let mut facts = self.facts.lock();
            if let Some(answer) = facts.answer(&get) {
                return Poll::Ready(answer);
            }
            let waker = context.waker();
            if !facts.wakers.iter().any(|known| known.will_wake(waker)) {
                facts.wakers.push(waker.clone());
            }
            Poll::Pending
        })
        .await
    }

    fn reached_blocking<T: Copy>(
        &self,
        get: impl Fn(&Facts) -> Option<T>,
    ) -> Result<T, EngineFailure> {
        self.facts.wait_for(|facts| facts.answer(&get))
    }
}

impl Waiter for Progress {
    fn fail(&self, cause: EngineFailure) {
        self.learn(None, |facts| facts.failed = Some(cause));
    }
}

/// Creates a receipt and the pipeline's end of it. Without `root_source` the pipeline computes every KZG root without
/// being asked.
pub fn issue(
    sequence: u64,
    provisional_root: Digest,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    root_source: Option<Arc<dyn RootSource>>,
    state: Weak<State>,
) -> (Completion, Receipt) {
    let progress = Arc::new(Progress {
        facts: Signal::default(),
        accepted_at: clock::now(),
        metrics: metrics.clone(),
        health: health.clone(),
    });
    let receipt = Receipt {
        sequence,
        provisional_root,
        progress: progress.clone(),
        root_source,
        state,
    };
    (Completion(progress), receipt)
}

/// The pipeline's end of a receipt. Dropping it before the submission is durable fails the waiters.
#[derive(Debug)]
pub struct Completion(Arc<Progress>);

impl Completion {
    /// Returns when the submission was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.0.accepted_at
    }

    /// Tells the waiters that the submission's version has digests.
    pub fn hashed(&self, hashed: Hashed) {
        self.0
            .learn(Some(Reached::Hashed), |facts| facts.hashed = Some(hashed));
    }

    /// Tells the waiters that the submission is durable.
    pub fn durable(self, durable: Durable) {
        self.0.learn(Some(Reached::Durable), |facts| {
            facts.durable = Some(durable);
        });
    }

    /// Returns a completion for the KZG root.
    pub fn root(&self) -> RootCompletion {
        RootCompletion(self.0.clone())
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if self.0.facts.lock().durable.is_none() {
            self.0.health.abandon(self.0.clone());
        }
    }
}

/// The pipeline's end of a receipt's KZG root. Dropping it before [`Self::complete`] fails the waiters.
#[derive(Debug)]
pub struct RootCompletion(Arc<Progress>);

impl RootCompletion {
    /// Tells the waiters a KZG root that covers the submission. Only the first root counts.
    pub fn complete(self, root_ready: RootReady) {
        if self.0.facts.lock().root_ready.is_none() {
            self.0.learn(Some(Reached::RootReady), |facts| {
                facts.root_ready = Some(root_ready);
            });
        }
    }
}

impl Drop for RootCompletion {
    fn drop(&mut self) {
        if self.0.facts.lock().root_ready.is_none() {
            self.0.health.abandon(self.0.clone());
        }
    }
}
