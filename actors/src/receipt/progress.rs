//! The progress of submissions: the pipeline's end of receipts, and the waiters at the other end.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::Outcome;

use super::facts::{Durability, DurableFacts, Facts, RootReady, VersionFacts};
use crate::failure::EngineFailure;
use crate::health::{Health, Waiter};
use crate::metrics::{Metrics, State as Reached};
use crate::state::State;

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

/// The state of a submission, and its waiters.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The facts of its version and its outcome, once it is part of a version.
    group: Option<(Arc<Mutex<Facts>>, Outcome)>,
    /// The failure of the engine, if the submission never became part of a version.
    failed: Option<EngineFailure>,
    waiting: Vec<(Reached, Waker)>,
}

impl Place {
    /// Returns the place of a submission whose facts are known.
    pub(super) fn settled(facts: Facts, outcome: Outcome) -> Self {
        Self {
            group: Some((Arc::new(Mutex::new(facts)), outcome)),
            ..Self::default()
        }
    }

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
pub(super) struct Progress {
    pub(super) place: Mutex<Place>,
    pub(super) accepted_at: Instant,
    pub(super) issuer: Arc<Issuer>,
    /// True if the submission was already durable, so that the pipeline no longer knows it.
    pub(super) is_settled: bool,
}

impl Progress {
    pub(super) async fn reached<T>(
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
    pub(super) fn use_newest_root(&self) {
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
    pub(super) fn request_root(self: &Arc<Self>, version: u64) {
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
pub struct Completion(pub(super) Option<Arc<Progress>>);

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
