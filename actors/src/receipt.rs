//! The receipt of a submission: four states that its holder can wait for, from any runtime or none.
//!
//! The pipeline holds the other end, a [`Completion`]. If it is dropped before its submission is durable, the waiters
//! fail with the engine's cause, so that nobody waits for work that is lost.

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

/// How sure the disk is of a version that was acknowledged as durable.
///
/// ```
/// assert_eq!(trunkline::Durability::Sync.to_string(), "sync");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It was synced before it was acknowledged: it survives a loss of power.
    Sync,
    /// The operating system has it, and it is synced when `durability.interval_ms` are over, or as soon after as the
    /// disk and what commits meanwhile allow: it survives the end of the process; a loss of power may cost what came
    /// since the last sync.
    Interval,
    /// The operating system has it and writes it when it pleases: it survives the end of the process.
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
/// use trunkline::{Hashed, Outcome};
/// let hashed = Hashed {
///     version: 1,
///     commit_id: [1; 32],
///     state_digest: [2; 32],
///     outcome: Outcome::Applied { displaced: 0 },
/// };
/// assert!(hashed.outcome.is_applied());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The version that the submission became part of.
    pub version: u64,
    /// Its commit id.
    pub commit_id: Digest,
    /// Digest of the whole state at that version.
    pub state_digest: Digest,
    /// What became of the submission.
    pub outcome: Outcome,
}

/// A KZG root that covers a submission.
///
/// ```
/// let ready = trunkline::RootReady { version: 3, kzg_root: [0xc0; 48] };
/// assert_eq!(ready.version, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootReady {
    /// The version that was committed to: that of the submission, or a later one if the commitment
    /// to it was skipped (commit mode `coalesce`).
    pub version: u64,
    /// The commitment to that version's slots.
    pub kzg_root: [u8; 48],
}

/// A submission that is as durable as the configuration asks for: it is there after a restart of the process in any
/// mode, and after one of the machine if its [`Durability`] is `Sync`; with `Interval` or `Os` that may cost what was
/// not synced yet.
///
/// ```
/// use trunkline::{Durability, Durable, Outcome};
/// let durable = Durable {
///     version: 1,
///     commit_id: [1; 32],
///     state_digest: [2; 32],
///     kzg_root: None,
///     outcome: Outcome::Applied { displaced: 0 },
///     durability: Durability::Sync,
/// };
/// assert_eq!(durable.durability, Durability::Sync);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The version that the submission became part of.
    pub version: u64,
    /// Its commit id.
    pub commit_id: Digest,
    /// Digest of the whole state at that version.
    pub state_digest: Digest,
    /// The KZG root of that version, if it was computed by then.
    pub kzg_root: Option<[u8; 48]>,
    /// What became of the submission.
    pub outcome: Outcome,
    /// How sure the disk is.
    pub durability: Durability,
}

/// What was accepted, and what becomes of it. Dropping it loses nothing but the news.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let mut batch = trunkline::Batch::new();
/// batch.put("alice", "10");
/// let receipt = engine.submit_blocking(batch)?;
/// let durable = receipt.durable_blocking()?;
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
    /// Not held: a receipt that is kept for long keeps no tree in memory.
    state: Weak<State>,
}

/// Computes the KZG root of a version that has none yet.
pub trait RootSource: Send + Sync + std::fmt::Debug {
    /// Asks for the root of a version.
    fn request(&self, version: u64, completion: RootCompletion);
}

impl Receipt {
    /// The submission's place among all submissions of the tree.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The provisional root: a promise of this submission's place and content after all earlier ones.
    /// Void after a crash unless the submission was durable.
    pub fn provisional_root(&self) -> Digest {
        self.provisional_root
    }

    /// Waits until the submission is part of a version with digests, and says what became of it.
    pub async fn hashed(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached(|facts| facts.hashed).await
    }

    /// As [`Self::hashed`], blocking the thread.
    pub fn hashed_blocking(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached_blocking(|facts| facts.hashed)
    }

    /// Waits for a KZG root that covers the submission; in commit mode `on_demand`, asks for it.
    pub async fn root_ready(&self) -> Result<RootReady, EngineFailure> {
        self.request_root(self.hashed().await?);
        self.progress.reached(|facts| facts.root_ready).await
    }

    /// As [`Self::root_ready`], blocking the thread.
    pub fn root_ready_blocking(&self) -> Result<RootReady, EngineFailure> {
        self.request_root(self.hashed_blocking()?);
        self.progress.reached_blocking(|facts| facts.root_ready)
    }

    /// Waits until the submission's version is durable in the way that the configuration asks for; what that means for
    /// a loss of power is in [`Durable::durability`].
    pub async fn durable(&self) -> Result<Durable, EngineFailure> {
        self.progress.reached(|facts| facts.durable).await
    }

    /// As [`Self::durable`], blocking the thread.
    pub fn durable_blocking(&self) -> Result<Durable, EngineFailure> {
        self.progress.reached_blocking(|facts| facts.durable)
    }

    /// Waits until the submission is durable, then gives what shows its place and outcome to whoever trusts
    /// the commit id of its version. To be asked for while the version is kept, and its engine lives.
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
    /// // Elsewhere, with the provisional root that was given out and a trusted commit id:
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

    /// As [`Self::evidence`], blocking the thread.
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

/// Facts about a submission, as far as they are known.
#[derive(Debug, Default)]
struct Facts {
    hashed: Option<Hashed>,
    root_ready: Option<RootReady>,
    durable: Option<Durable>,
    failed: Option<EngineFailure>,
    wakers: Vec<Waker>,
}

impl Facts {
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

/// Creates a receipt and the pipeline's end of it. Without `root_source` the pipeline computes every KZG root by
/// itself.
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

/// The pipeline's duty to tell a receipt its KZG root. Dropping it before fails the waiters.
#[derive(Debug)]
pub struct RootCompletion(Arc<Progress>);

impl RootCompletion {
    /// Tells the waiters a KZG root that covers the submission. The first one counts.
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
