//! Tree: a group comes in; a version that is applied to the tree goes out, with the outcome of each submission and
//! the effects that the log will hold.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::Bytes;
use rayon::ThreadPool;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::{Outcome, SubmissionOutcome};
use trunkline_core::tree::TreeWriter;

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::admission::Permit;
use crate::background::Task;
use crate::context::StageContext;
use crate::decisions::Work;
use crate::failure::{EngineFailure, Stage};
use crate::message::{AppliedGroup, Pending, SealedGroup, StageMessage, SubmissionRange};
use crate::receipt::GroupCompletion;
use crate::runtime::clock;
use crate::runtime::wait::yield_point;
use crate::state::cold_leaves::{self, ScanError};
use crate::state::layer::{Displaced, Layer, Part};
use crate::state::values::FetchError;

/// The stage's state.
pub struct TreeStage {
    context: Arc<StageContext>,
    hash: Mailbox<StageMessage<AppliedGroup>>,
    background: Sender<Task>,
    writer: TreeWriter,
    version: u64,
    /// Parts of the key space that the writer keeps in memory.
    hot_prefixes: Arc<[u16]>,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineFailure {
    EngineFailure::stage(Stage::Tree, error)
}

impl TreeStage {
    /// Creates the stage; the next version follows `version`.
    pub fn new(
        context: Arc<StageContext>,
        hash: Mailbox<StageMessage<AppliedGroup>>,
        background: Sender<Task>,
        writer: TreeWriter,
        version: u64,
    ) -> Self {
        Self {
            context,
            hash,
            background,
            writer,
            version,
            hot_prefixes: Arc::from([]),
        }
    }

    fn apply(&mut self, group: SealedGroup) -> Result<AppliedGroup, EngineFailure> {
        let version = self.version + 1;
        let pages_restored = self.restore(&group)?;
        let count = group.submissions.len();
        let (mut parts, mut outcomes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut batches, mut members) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut permits, mut given, mut resolved): (Option<Permit>, _, _) = (None, None, None);
        let mut submissions = SubmissionRange {
            first_sequence: group.submissions.first().map_or(0, |first| first.sequence),
            ..SubmissionRange::default()
        };
        let context = self.context.clone();
        let cut = context.cut(Work::Tree);
        for submission in group.submissions {
            let batch = &submission.batch;
            let outcome = match (&submission.given, &submission.resolved) {
                (None, None) => self.apply_one(cut, batch, version, &mut parts)?,
                (Some(_), _) => {
                    self.replay(cut, batch, version, &mut parts)?;
                    Outcome::Applied { displaced: 0 }
                }
                (None, Some(resolved)) => {
                    self.replay(cut, batch, version, &mut parts)?;
                    resolved.outcome
                }
            };
            (given, resolved) = (submission.given, submission.resolved);
            outcomes.push(SubmissionOutcome {
                sequence: submission.sequence,
                submission: submission.batch.digest,
                outcome,
                idempotency_key: submission.batch.idempotency_key.clone(),
            });
            submissions.last_sequence = submission.sequence;
            submissions.provisional_root = submission.provisional_root;
            submissions.metadata = submission.batch.metadata.clone();
            batches.push((submission.sequence, submission.batch));
            members.push((submission.completion, outcome));
            match &mut permits {
                Some(permits) => permits.absorb(submission.permit),
                None => permits = Some(submission.permit),
            }
        }
        let changes = self.writer.seal(version);
        self.version = version;
        let layer = Arc::new(Layer::new(version, parts));
        self.publish(&layer, &batches, given.is_none());
        if given.is_none() {
            self.count(&outcomes);
        }
        self.evict(pages_restored, group.slot.tag.operations as usize);
        // Batches that nobody else holds are freed there.
        let _ = self.background.send(Task::Free(batches));
        Ok(AppliedGroup {
            submissions,
            outcomes,
            given,
            resolved,
            changes,
            pages_restored,
            layer,
            pending: Pending {
                completion: GroupCompletion::new(members.into_iter()),
                _permits: permits,
            },
            slot: group.slot,
            sent_at: clock::now(),
        })
    }

    /// Reads the evicted pages back that a group touches. Returns how many.
    fn restore(&mut self, group: &SealedGroup) -> Result<u64, EngineFailure> {
        if !self.writer.may_have_evicted() {
            return Ok(0);
        }
        let state = &self.context.state;
        for submission in &group.submissions {
            let writes = submission.batch.writes.iter();
            let key_hashes = writes.map(|write| &write.key_hash);
            state.access_sampler.touch_all(key_hashes);
        }
        // In this order: the view that leaves come from covers every version that is covered when they come back.
        let (covered, view) = (state.versions.covered(), state.values.store());
        let leaves = view.leaves().map_err(failed)?;
        let batches = group.submissions.iter().map(|next| &*next.batch);
        let (params, pool) = (&state.params, state.pools.commit.threads());
        let writer = &mut self.writer;
        let restored = cold_leaves::restore(writer, batches, params, &*leaves, covered, pool);
        restored.map_err(|error| match error {
            ScanError::Differ(error) => failed(error),
            error => failed(error),
        })
    }

    /// Evicts cold pages as far as the budget asks for it.
    fn evict(&mut self, pages_restored: u64, operations: usize) {
        let (state, settings) = (&self.context.state, &self.context.settings);
        self.writer.set_budget_bytes(settings.tree_bytes_max());
        let hot = settings.hot_prefixes();
        if hot != self.hot_prefixes {
            self.writer.keep_hot(&hot);
            self.hot_prefixes = hot;
        }
        let covered = state.versions.covered();
        let pages_evicted = cold_leaves::evict(&mut self.writer, covered, operations);
        let memory = self.writer.memory();
        self.context
            .metrics
            .tree(memory, pages_evicted, pages_restored);
    }

    fn apply_one(
        &mut self,
        cut: Option<(&ThreadPool, usize)>,
        batch: &Arc<PreparedBatch>,
        version: u64,
        parts: &mut Vec<Part>,
    ) -> Result<Outcome, EngineFailure> {
        let applied = match self.writer.apply_on(cut, batch, version) {
            Ok(applied) => applied,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let displaced = applied.displaced.into_iter();
        let displaced = displaced.map(|key_hash| self.displaced(key_hash, version, batch, parts));
        let displaced = displaced.collect::<Result<Vec<_>, _>>()?;
        let outcome = Outcome::Applied {
            displaced: displaced.len() as u32,
        };
        parts.push(Part {
            batch: batch.clone(),
            unchanged: applied.unchanged,
            displaced,
        });
        Ok(outcome)
    }

    /// Applies effects that were resolved before: of a version that a primary committed, or against the version before.
    fn replay(
        &mut self,
        cut: Option<(&ThreadPool, usize)>,
        batch: &Arc<PreparedBatch>,
        version: u64,
        parts: &mut Vec<Part>,
    ) -> Result<(), EngineFailure> {
        let replayed = self.writer.replay(cut, &batch.writes, version);
        replayed.map_err(failed)?;
        parts.push(Part::whole(batch.clone()));
        Ok(())
    }

    /// Returns the key of a leaf that a colliding one displaced: the tree knows its hash alone, and the log needs it.
    fn displaced(
        &self,
        key_hash: Digest,
        version: u64,
        batch: &PreparedBatch,
        parts: &[Part],
    ) -> Result<Displaced, EngineFailure> {
        let earlier = parts.iter().map(|part| &*part.batch);
        for batch in earlier.chain([batch]) {
            if let Some(write) = batch.find(&key_hash) {
                let key = Bytes::copy_from_slice(batch.key(write));
                return Ok(Displaced { key_hash, key });
            }
        }
        let state = &self.context.state;
        // A leaf that this version displaced is in memory, as it was before.
        let leaf = state.reader.get(version - 1, &key_hash).ok().flatten();
        let leaf = leaf.ok_or(FetchError::Missing(key_hash));
        let found =
            leaf.and_then(|leaf| state.values.key_and_value(&leaf, || state.values.store()));
        let (key, _) = found.map_err(failed)?;
        Ok(Displaced { key_hash, key })
    }

    /// Shows the version to readers of the present, and then hides its writes in the overlay, if they are there.
    fn publish(
        &self,
        layer: &Arc<Layer>,
        batches: &[(u64, Arc<PreparedBatch>)],
        are_in_overlay: bool,
    ) {
        let state = &self.context.state;
        state.advance_present(layer.clone());
        yield_point();
        if !are_in_overlay {
            return;
        }
        for (sequence, batch) in batches {
            state.overlay.hide(*sequence, batch);
        }
    }

    fn count(&self, outcomes: &[SubmissionOutcome]) {
        let (mut refused, mut displaced_keys) = (0, 0);
        for outcome in outcomes {
            match outcome.outcome {
                Outcome::Applied { displaced } => displaced_keys += u64::from(displaced),
                Outcome::Refused(_) => refused += 1,
                Outcome::Reverted { .. } => self.context.metrics.reverted(),
            }
        }
        self.context.metrics.group_applied(refused, displaced_keys);
    }
}

impl Actor for TreeStage {
    type Message = StageMessage<SealedGroup>;

    fn handle(&mut self, message: Self::Message) {
        let group = match message {
            StageMessage::Work(group) => group,
            StageMessage::Drain(drain) => return self.hash.send(StageMessage::Drain(drain)),
        };
        let context = self.context.clone();
        let (sent_at, tag) = (group.sent_at, Some(group.slot.tag));
        if let Some(applied) = serve(&context, Stage::Tree, sent_at, tag, || self.apply(group)) {
            self.hash.send(StageMessage::Work(applied));
        }
    }
}
