//! The receipt of a submission. Its holder can wait until the submission has digests, a KZG root, and is durable, from
//! any async runtime or none.
//!
//! The pipeline holds the other end: a [`Completion`] of each submission, and from the tree on one [`GroupCompletion`]
//! of all submissions of a version. All facts are facts about the whole version. So a stage reports each once, and
//! handles single receipts only if someone waits for them. If the pipeline's end is dropped before the submission is
//! durable, the waiters fail with the engine's failure, so that nobody waits for lost work.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::Outcome;
use trunkline_core::store::idempotency_file::KeyedSubmission;

use crate::failure::EngineFailure;
use crate::health::{Health, Waiter};
use crate::metrics::{Metrics, State as Reached};
use crate::runtime::clock;
use crate::runtime::wait::block_on;
use crate::state::State;
use crate::state::evidence::{self, EvidenceError};

/// The durability of a version when it was acknowledged. `durability.mode` of the configuration sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The version was synced first: it survives a power loss.
    Sync,
    /// The version was handed to the operating system, which survives the end of the process. It is synced after
    /// `durability.interval_ms`, or as soon afterwards as the disk allows. A power loss may lose the versions since the
    /// last sync.
    Interval,
    /// The version was handed to the operating system, which survives the end of the process, and is written to the
    /// disk when the system chooses.
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
    /// The outcome of the submission: applied or refused.
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

/// A submission that is as durable as the configuration requires. It survives a restart of the process;
/// [`Self::durability`] says whether it also survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The version that the submission is part of.
    pub version: u64,
    /// Commit id of the version.
    pub commit_id: Digest,
    /// Digest of the whole state at the version.
    pub state_digest: Digest,
    /// KZG root of the version, if it was computed by then. A repeat ([`Receipt::is_repeat`]) of a submission whose version
    /// is no longer kept has none; [`Receipt::root_ready`] returns one that covers it.
    pub kzg_root: Option<[u8; 48]>,
    /// The outcome of the submission: applied or refused.
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
    is_repeat: bool,
}

/// A receipt that does not keep its submission's progress in memory.
#[derive(Debug)]
pub struct WeakReceipt {
    sequence: u64,
    provisional_root: Digest,
    progress: Weak<Progress>,
}

impl WeakReceipt {
    /// Returns the sequence number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns a receipt for a repeat of the submission, if the pipeline or a holder of a receipt still has it.
    pub fn upgrade(&self) -> Option<Receipt> {
        Some(Receipt {
            sequence: self.sequence,
            provisional_root: self.provisional_root,
            progress: self.progress.upgrade()?,
            is_repeat: true,
        })
    }
}

impl Receipt {
    /// Returns the sequence number: the position of the submission among all submissions to the tree.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the provisional root, which commits to this submission and all earlier ones in their order. After a
    /// crash it is valid only if the submission was durable.
    pub fn provisional_root(&self) -> Digest {
        self.provisional_root
    }

    /// Returns whether the batch repeats a submission that was accepted before, with the same idempotency key and the
    /// same content. The receipt is then that of the first submission, and the repeat has no effect and no position of
    /// its own.
    ///
    /// ```
    /// use trunkline::{Batch, IdempotencyKey};
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let mut batch = Batch::new();
    /// batch.put("alice", "10");
    /// batch.idempotency_key(IdempotencyKey::new(b"payment 17").ok_or("longer than 64 bytes")?);
    /// let first = engine.submit_blocking(batch.clone())?;
    /// let second = engine.submit_blocking(batch)?; // perhaps after a restart
    /// assert!(!first.is_repeat() && second.is_repeat());
    /// assert_eq!(second.sequence(), first.sequence());
    /// assert_eq!(second.durable_blocking()?.commit_id, first.durable_blocking()?.commit_id);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// Returns a receipt that does not keep the submission's progress in memory.
    pub fn downgrade(&self) -> WeakReceipt {
        WeakReceipt {
            sequence: self.sequence,
            provisional_root: self.provisional_root,
            progress: Arc::downgrade(&self.progress),
        }
    }

    /// Waits until the submission is part of a version with digests.
    ///
    /// # Errors
    ///
    /// Fails if the engine failed or was shut down first; so do all waiting functions.
    pub async fn hashed(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached(Reached::Hashed, Facts::hashed).await
    }

    /// Does what [`Self::hashed`] does, and blocks the thread.
    pub fn hashed_blocking(&self) -> Result<Hashed, EngineFailure> {
        block_on(self.hashed())
    }

    /// Waits for a KZG root that covers the submission. In commit mode `on_demand` this requests the root.
    pub async fn root_ready(&self) -> Result<RootReady, EngineFailure> {
        let hashed = self.hashed().await?;
        match self.progress.is_settled {
            true => self.progress.use_newest_root(),
            false => self.progress.request_root(hashed.version),
        }
        let root_ready = |facts: &Facts, _| facts.root_ready;
        self.progress.reached(Reached::RootReady, root_ready).await
    }

    /// Does what [`Self::root_ready`] does, and blocks the thread.
    pub fn root_ready_blocking(&self) -> Result<RootReady, EngineFailure> {
        block_on(self.root_ready())
    }

    /// Waits until the submission is as durable as the configuration requires; see [`Durability`].
    pub async fn durable(&self) -> Result<Durable, EngineFailure> {
        self.progress
            .reached(Reached::Durable, Facts::durable)
            .await
    }

    /// Does what [`Self::durable`] does, and blocks the thread.
    pub fn durable_blocking(&self) -> Result<Durable, EngineFailure> {
        block_on(self.durable())
    }

    /// Waits until the submission is durable and returns its evidence, which shows the submission's position and
    /// outcome to anyone who trusts the commit id of its version.
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

    /// Does what [`Self::evidence`] does, and blocks the thread.
    pub fn evidence_blocking(&self) -> Result<Evidence, EvidenceError> {
        self.durable_blocking()?;
        self.evidence_of_durable()
    }

    fn evidence_of_durable(&self) -> Result<Evidence, EvidenceError> {
        let state = self
            .progress
            .issuer
            .state
            .upgrade()
            .ok_or(EvidenceError::Gone)?;
        evidence::of_kept(&state, self.sequence)
    }
}

/// Computes the KZG root of a version that has none yet.
pub trait RootSource: Send + Sync + std::fmt::Debug {
    /// Requests the root of a version.
    fn request(&self, version: u64, completion: RootCompletion);
}

/// The parts of an engine that its receipts use.
#[derive(Debug)]
pub struct Issuer {
    /// The health of the engine, which is told of lost work.
    pub health: Arc<Health>,
    /// Measurements.
    pub metrics: Arc<Metrics>,
    /// The source of KZG roots in commit mode `on_demand`. In the other modes the pipeline computes them without a
    /// request.
    pub root_source: Option<Arc<dyn RootSource>>,
    /// Weak, so that a receipt that is kept for long does not keep the tree in memory.
    pub state: Weak<State>,
}

impl Issuer {
    /// Creates a receipt and the pipeline's end of it.
    pub fn issue(
        self: &Arc<Self>,
        sequence: u64,
        provisional_root: Digest,
        accepted_at: Instant,
    ) -> (Completion, Receipt) {
        let progress = Arc::new(Progress {
            place: Mutex::default(),
            accepted_at,
            issuer: self.clone(),
            is_settled: false,
        });
        let receipt = Receipt {
            sequence,
            provisional_root,
            progress: progress.clone(),
            is_repeat: false,
        };
        (Completion(Some(progress)), receipt)
    }

    /// Creates a receipt for a repeat of a submission that is already durable.
    pub fn repeat(self: &Arc<Self>, first: &KeyedSubmission, durable: &Durable) -> Receipt {
        let facts = Facts {
            version: Some(VersionFacts {
                number: durable.version,
                commit_id: durable.commit_id,
                state_digest: durable.state_digest,
            }),
            durable: Some(DurableFacts {
                kzg_root: durable.kzg_root,
                durability: durable.durability,
            }),
            ..Facts::default()
        };
        let place = Place {
            group: Some((Arc::new(Mutex::new(facts)), durable.outcome)),
            ..Place::default()
        };
        Receipt {
            sequence: first.sequence,
            provisional_root: first.provisional_root,
            progress: Arc::new(Progress {
                place: Mutex::new(place),
                accepted_at: clock::now(),
                issuer: self.clone(),
                is_settled: true,
            }),
            is_repeat: true,
        }
    }
}

/// The facts about the submissions of one version that are known so far.
#[derive(Debug, Default)]
struct Facts {
    version: Option<VersionFacts>,
    root_ready: Option<RootReady>,
    durable: Option<DurableFacts>,
    failed: Option<EngineFailure>,
    /// The facts that someone is waiting for, or has waited for.
    awaited: [bool; Reached::COUNT],
}

/// The facts that are known once a version has digests.
#[derive(Clone, Copy, Debug)]
struct VersionFacts {
    number: u64,
    commit_id: Digest,
    state_digest: Digest,
}

/// The facts that are known once a version is durable.
#[derive(Clone, Copy, Debug)]
struct DurableFacts {
    kzg_root: Option<[u8; 48]>,
    durability: Durability,
}

impl Facts {
    fn hashed(&self, outcome: Outcome) -> Option<Hashed> {
        let version = self.version?;
        Some(Hashed {
            version: version.number,
            commit_id: version.commit_id,
            state_digest: version.state_digest,
            outcome,
        })
    }

    fn durable(&self, outcome: Outcome) -> Option<Durable> {
        let (version, durable) = (self.version?, self.durable?);
        Some(Durable {
            version: version.number,
            commit_id: version.commit_id,
            state_digest: version.state_digest,
            kzg_root: durable.kzg_root,
            outcome,
            durability: durable.durability,
        })
    }
}

/// The state of a submission, and its waiters.
#[derive(Debug, Default)]
struct Place {
    /// The facts of its version and its outcome, once it is part of a version.
    group: Option<(Arc<Mutex<Facts>>, Outcome)>,
    /// The failure of the engine, if the submission never became part of a version.
    failed: Option<EngineFailure>,
    waiting: Vec<(Reached, Waker)>,
}

impl Place {
    /// Returns a fact, or the failure if it will never be known. Otherwise notes that someone waits for it.
    fn answer<T>(
        &self,
        reached: Reached,
        get: impl Fn(&Facts, Outcome) -> Option<T>,
    ) -> Option<Result<T, EngineFailure>> {
        let Some((facts, outcome)) = &self.group else {
            return self.failed.clone().map(Err);
        };
        let mut facts = facts.lock();
        let fact = get(&facts, *outcome).map(Ok);
        let answer = fact.or_else(|| facts.failed.clone().map(Err));
        facts.awaited[reached as usize] |= answer.is_none();
        answer
    }

    /// Moves the wakers of the waiters for one of these facts.
    fn take_waiting(&mut self, ended: impl Fn(Reached) -> bool, wakers: &mut Vec<Waker>) {
        let ended = self.waiting.extract_if(.., |(reached, _)| ended(*reached));
        wakers.extend(ended.map(|(_, waker)| waker));
    }
}

/// The progress of a submission, shared by its receipt and its completion.
#[derive(Debug)]
struct Progress {
    place: Mutex<Place>,
    accepted_at: Instant,
    issuer: Arc<Issuer>,
    /// True if the submission was already durable, so that the pipeline no longer knows it.
    is_settled: bool,
}

impl Progress {
    async fn reached<T>(
        &self,
        reached: Reached,
        get: impl Fn(&Facts, Outcome) -> Option<T>,
    ) -> Result<T, EngineFailure> {
        poll_fn(|context| self.poll_reached(reached, &get, context)).await
    }

    fn poll_reached<T>(
        &self,
        reached: Reached,
        get: impl Fn(&Facts, Outcome) -> Option<T>,
        context: &Context<'_>,
    ) -> Poll<Result<T, EngineFailure>> {
        let mut place = self.place.lock();
        if let Some(answer) = place.answer(reached, get) {
            return Poll::Ready(answer);
        }
        let waker = context.waker();
        let mut waiting = place.waiting.iter();
        if !waiting.any(|(awaited, known)| *awaited == reached && known.will_wake(waker)) {
            place.waiting.push((reached, waker.clone()));
        }
        Poll::Pending
    }

    /// Takes the KZG root of the newest durable version, which covers a submission that was already durable. Computes
    /// it if necessary (2 ms).
    fn use_newest_root(&self) {
        let place = self.place.lock();
        let Some((facts, _)) = &place.group else {
            return;
        };
        let mut facts = facts.lock();
        if facts.root_ready.is_some() {
            return;
        }
        match self.issuer.state.upgrade() {
            Some(state) => {
                let newest = state.versions.newest();
                facts.root_ready = Some(RootReady {
                    version: newest.number(),
                    kzg_root: state.kzg_root(&newest),
                });
            }
            None => facts.failed = Some(self.issuer.health.cause()),
        }
    }

    /// Requests the KZG root of the submission's version.
    fn request_root(self: &Arc<Self>, version: u64) {
        let group = self.place.lock().group.clone();
        if let (Some(source), Some((facts, _))) = (&self.issuer.root_source, group) {
            let group = Group {
                facts,
                accepted_at: vec![self.accepted_at],
                members: vec![self.clone()],
            };
            source.request(version, RootCompletion(Arc::new(group)));
        }
    }
}

impl Waiter for Progress {
    fn fail(&self, cause: EngineFailure) {
        let mut wakers = Vec::new();
        let mut place = self.place.lock();
        place.failed = Some(cause);
        place.take_waiting(|_| true, &mut wakers);
        drop(place);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The pipeline's end of a receipt, until the submission is part of a version. Dropping it fails the waiters.
#[derive(Debug)]
pub struct Completion(Option<Arc<Progress>>);

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(progress) = self.0.take() {
            progress.issuer.health.abandon(progress.clone());
        }
    }
}

/// The submissions of one version, with the known facts about them.
#[derive(Debug)]
struct Group {
    facts: Arc<Mutex<Facts>>,
    members: Vec<Arc<Progress>>,
    accepted_at: Vec<Instant>,
}

impl Group {
    /// Adds a fact, counts the reached state, and wakes its waiters.
    fn learn(&self, reached: Reached, learn: impl FnOnce(&mut Facts)) {
        if let Some(first) = self.members.first() {
            let metrics = &first.issuer.metrics;
            metrics.states_reached(reached, &self.accepted_at);
        }
        let mut facts = self.facts.lock();
        learn(&mut facts);
        let is_awaited = facts.awaited[reached as usize];
        drop(facts);
        if is_awaited {
            self.wake(|awaited| awaited == reached);
        }
    }

    /// Wakes the waiters for one of these facts.
    fn wake(&self, ended: impl Fn(Reached) -> bool) {
        let mut wakers = Vec::with_capacity(self.members.len());
        for member in &self.members {
            member.place.lock().take_waiting(&ended, &mut wakers);
        }
        // This runs without a lock, since a waker may run any code.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Fails the waiters for facts that will never be known.
    fn abandon(self: &Arc<Self>) {
        if let Some(first) = self.members.first() {
            first.issuer.health.abandon(self.clone());
        }
    }
}

impl Waiter for Group {
    fn fail(&self, cause: EngineFailure) {
        self.facts.lock().failed = Some(cause);
        self.wake(|_| true);
    }
}

/// The pipeline's end of the receipts of one version. Dropping it before the version is durable fails the waiters.
#[derive(Debug)]
pub struct GroupCompletion(Arc<Group>);

impl GroupCompletion {
    /// Makes submissions part of one version, each with its outcome.
    pub fn new(completions: impl ExactSizeIterator<Item = (Completion, Outcome)>) -> Self {
        let facts = Arc::<Mutex<Facts>>::default();
        let mut awaited = [false; Reached::COUNT];
        let mut members = Vec::with_capacity(completions.len());
        let mut accepted_at = Vec::with_capacity(completions.len());
        for (mut completion, outcome) in completions {
            let Some(progress) = completion.0.take() else {
                continue;
            };
            let mut place = progress.place.lock();
            place.group = Some((facts.clone(), outcome));
            for (reached, _) in &place.waiting {
                awaited[*reached as usize] = true;
            }
            drop(place);
            accepted_at.push(progress.accepted_at);
            members.push(progress);
        }
        let mut known = facts.lock();
        for (known, awaited) in known.awaited.iter_mut().zip(awaited) {
            *known |= awaited;
        }
        drop(known);
        Self(Arc::new(Group {
            facts,
            members,
            accepted_at,
        }))
    }

    /// Returns the times at which the submissions were accepted.
    pub fn accepted_at(&self) -> &[Instant] {
        &self.0.accepted_at
    }

    /// Tells the waiters that the version has digests.
    pub fn hashed(&self, number: u64, commit_id: Digest, state_digest: Digest) {
        let version = VersionFacts {
            number,
            commit_id,
            state_digest,
        };
        self.0
            .learn(Reached::Hashed, |facts| facts.version = Some(version));
    }

    /// Tells the waiters that the version is durable.
    pub fn durable(self, kzg_root: Option<[u8; 48]>, durability: Durability) {
        let durable = DurableFacts {
            kzg_root,
            durability,
        };
        self.0
            .learn(Reached::Durable, |facts| facts.durable = Some(durable));
    }

    /// Returns a completion for the KZG root.
    pub fn root(&self) -> RootCompletion {
        RootCompletion(self.0.clone())
    }
}

impl Drop for GroupCompletion {
    fn drop(&mut self) {
        if self.0.facts.lock().durable.is_none() {
            self.0.abandon();
        }
    }
}

/// The pipeline's end of the KZG root of one version. Dropping it before [`Self::complete`] fails the waiters.
#[derive(Debug)]
pub struct RootCompletion(Arc<Group>);

impl RootCompletion {
    /// Tells the waiters a KZG root that covers the version. Only the first root counts.
    pub fn complete(self, root_ready: RootReady) {
        self.0.learn(Reached::RootReady, |facts| {
            facts.root_ready.get_or_insert(root_ready);
        });
    }
}

impl Drop for RootCompletion {
    fn drop(&mut self) {
        if self.0.facts.lock().root_ready.is_none() {
            self.0.abandon();
        }
    }
}
