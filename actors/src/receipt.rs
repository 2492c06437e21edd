//! The receipt of a submission: four states that its holder can wait for, from any runtime or none.
//!
//! The pipeline holds the other end, a [`Ticket`]. A ticket that is dropped before its submission is
//! durable fails the waiters with the engine's cause, so that nobody waits for work that is gone.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Instant;

use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::Outcome;

use crate::failure::{EngineFailure, Health, Orphan};
use crate::metrics::{Metrics, State as Reached};
use crate::shared::State;
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
///     outcome: Outcome::Applied { evicted: 0 },
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
///     outcome: Outcome::Applied { evicted: 0 },
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
    health: Arc<Health>,
    demand: Option<Arc<dyn Demand>>,
    /// Not held: a receipt that is kept for long keeps no tree in memory.
    state: Weak<State>,
}

/// Somebody who can be asked for the KZG root of a version that has none yet.
pub trait Demand: Send + Sync + std::fmt::Debug {
    fn commit(&self, version: u64, promise: CommitPromise);
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
        self.demand(self.hashed().await?);
        self.progress.reached(|facts| facts.root_ready).await
    }

    /// As [`Self::root_ready`], blocking the thread.
    pub fn root_ready_blocking(&self) -> Result<RootReady, EngineFailure> {
        self.demand(self.hashed_blocking()?);
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

    fn demand(&self, hashed: Hashed) {
        if let Some(demand) = &self.demand {
            let promise = CommitPromise {
                progress: self.progress.clone(),
                health: self.health.clone(),
            };
            demand.commit(hashed.version, promise);
        }
    }
}

/// What is known of a submission so far.
#[derive(Debug, Default)]
struct Facts {
    hashed: Option<Hashed>,
    root_ready: Option<RootReady>,
    durable: Option<Durable>,
    failed: Option<EngineFailure>,
    wakers: Vec<Waker>,
}

/// Shared by a receipt and its ticket.
#[derive(Debug)]
struct Progress {
    facts: Mutex<Facts>,
    changed: Condvar,
    accepted_at: Instant,
    metrics: Arc<Metrics>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, state: Option<Reached>, learn: impl FnOnce(&mut Facts)) {
        if let Some(state) = state {
            self.metrics.state_reached(state, self.accepted_at);
        }
        let mut facts = self.lock();
        learn(&mut facts);
        let wakers = std::mem::take(&mut facts.wakers);
        drop(facts);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn reached<T: Copy>(
        &self,
        get: impl Fn(&Facts) -> Option<T>,
    ) -> Result<T, EngineFailure> {
        poll_fn(|context| {
            let mut facts = self.lock();
            match Self::answer(&facts, &get) {
                Some(answer) => Poll::Ready(answer),
                None => {
                    let waker = context.waker();
                    if !facts.wakers.iter().any(|known| known.will_wake(waker)) {
                        facts.wakers.push(waker.clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn reached_blocking<T: Copy>(
        &self,
        get: impl Fn(&Facts) -> Option<T>,
    ) -> Result<T, EngineFailure> {
        let mut facts = self.lock();
        loop {
            if let Some(answer) = Self::answer(&facts, &get) {
                return answer;
            }
            facts = self
                .changed
                .wait(facts)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer<T>(
        facts: &Facts,
        get: impl Fn(&Facts) -> Option<T>,
    ) -> Option<Result<T, EngineFailure>> {
        match (get(facts), &facts.failed) {
            (Some(fact), _) => Some(Ok(fact)),
            (None, Some(failure)) => Some(Err(failure.clone())),
            (None, None) => None,
        }
    }
}

/// The pipeline's end of a receipt.
#[derive(Debug)]
pub struct Ticket {
    progress: Arc<Progress>,
    health: Arc<Health>,
}

/// Makes the two ends. Without `demand`, the pipeline computes every KZG root unasked.
pub fn issue(
    sequence: u64,
    provisional_root: Digest,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    demand: Option<Arc<dyn Demand>>,
    state: Weak<State>,
) -> (Ticket, Receipt) {
    let progress = Arc::new(Progress {
        facts: Mutex::default(),
        changed: Condvar::new(),
        accepted_at: Instant::now(),
        metrics: metrics.clone(),
    });
    let ticket = Ticket {
        progress: progress.clone(),
        health: health.clone(),
    };
    let receipt = Receipt {
        sequence,
        provisional_root,
        progress,
        health: health.clone(),
        demand,
        state,
    };
    (ticket, receipt)
}

impl Ticket {
    pub fn accepted_at(&self) -> Instant {
        self.progress.accepted_at
    }

    pub fn hashed(&self, hashed: Hashed) {
        self.progress
            .learn(Some(Reached::Hashed), |facts| facts.hashed = Some(hashed));
    }

    pub fn durable(self, durable: Durable) {
        self.progress.learn(Some(Reached::Durable), |facts| {
            facts.durable = Some(durable)
        });
    }

    pub fn commit_promise(&self) -> CommitPromise {
        CommitPromise {
            progress: self.progress.clone(),
            health: self.health.clone(),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.progress.lock().durable.is_none() {
            self.health.orphan(self.progress.clone());
        }
    }
}

impl Orphan for Progress {
    fn fail(&self, cause: EngineFailure) {
        self.learn(None, |facts| facts.failed = Some(cause));
    }
}

/// The pipeline's duty to tell a receipt its KZG root. Dropping it before fails the waiters.
#[derive(Debug)]
pub struct CommitPromise {
    progress: Arc<Progress>,
    health: Arc<Health>,
}

impl CommitPromise {
    pub fn keep(self, root_ready: RootReady) {
        if self.progress.lock().root_ready.is_none() {
            self.progress.learn(Some(Reached::RootReady), |facts| {
                facts.root_ready = Some(root_ready);
            });
        }
    }
}

impl Drop for CommitPromise {
    fn drop(&mut self) {
        if self.progress.lock().root_ready.is_none() {
            self.health.orphan(self.progress.clone());
        }
    }
}
