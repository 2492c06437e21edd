//! Tree: a group comes in; a version that is applied to the tree goes out, with the outcome of each
//! submission and the effects that the log will hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::{Outcome, SubmissionOutcome};
use trunkline_core::store::effect::Effect;
use trunkline_core::tree::TreeWriter;

use super::hash::HashStage;
use super::serve;
use crate::failure::{EngineFailure, Stage};
use crate::message::{AppliedGroup, Drain, SealedGroup, Submission};
use crate::shared::Shared;
use crate::values::{FetchError, Layer};

pub(crate) struct TreeStage {
    shared: Arc<Shared>,
    hash: Addr<HashStage>,
    writer: TreeWriter,
    version: u64,
}

impl TreeStage {
    /// Goes on after `version`, the last one applied.
    pub(crate) fn new(
        shared: Arc<Shared>,
        hash: Addr<HashStage>,
        writer: TreeWriter,
        version: u64,
    ) -> Self {
        Self {
            shared,
            hash,
            writer,
            version,
        }
    }

    fn apply(&mut self, group: SealedGroup) -> Result<AppliedGroup, EngineFailure> {
        let version = self.version + 1;
        let mut applied = Applied::default();
        let mut shown = Vec::with_capacity(group.submissions.len());
        let mut waiting = Vec::with_capacity(group.submissions.len());
        let first_sequence = group.submissions.front().map_or(0, |s| s.sequence);
        let mut last = (first_sequence, Digest::default(), Bytes::new());
        for mut submission in group.submissions {
            let outcome = self.apply_one(&mut submission, version, &mut applied)?;
            applied.outcomes.push(SubmissionOutcome {
                sequence: submission.sequence,
                submission: submission.batch.digest,
                outcome,
            });
            last = (
                submission.sequence,
                submission.provisional_root,
                submission.batch.metadata.clone(),
            );
            shown.push((submission.sequence, submission.batch));
            waiting.push((submission.waiting, outcome));
        }
        let changes = self.writer.seal(version);
        let layer = Arc::new(Layer::new(version, applied.effects()));
        self.version = version;
        self.show(&layer, &shown);
        self.count(&applied.outcomes);
        let (last_sequence, provisional_root, metadata) = last;
        Ok(AppliedGroup {
            first_sequence,
            last_sequence,
            provisional_root,
            metadata,
            outcomes: applied.outcomes,
            changes,
            layer,
            waiting,
            slot: group.slot,
            sent_at: Instant::now(),
        })
    }

    fn apply_one(
        &mut self,
        submission: &mut Submission,
        version: u64,
        applied: &mut Applied,
    ) -> Result<Outcome, EngineFailure> {
        let changed = match self.writer.apply(&submission.batch, version) {
            Ok(changed) => changed,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let first = applied.effects.len();
        let mut unchanged = changed.unchanged.iter().peekable();
        let writes = &submission.batch.writes;
        for (place, (write, content)) in (0..).zip(writes.iter().zip(&submission.batch.contents)) {
            if unchanged
                .next_if(|unchanged| **unchanged == place)
                .is_some()
            {
                continue;
            }
            let (key, change) = content.clone();
            applied.effects.push(Effect {
                key_hash: write.key_hash,
                key,
                change,
            });
        }
        for key_hash in &changed.evicted {
            applied.effects.push(Effect {
                key_hash: *key_hash,
                key: self.evicted_key(key_hash, version, applied)?,
                change: None,
            });
        }
        if !changed.evicted.is_empty() {
            applied.effects[first..].sort_by_key(|effect| effect.key_hash);
        }
        applied.submissions_with_effects += 1;
        Ok(Outcome::Applied {
            evicted: changed.evicted.len() as u32,
        })
    }

    /// The tree knows an evicted key by its hash alone; the log wants the key.
    fn evicted_key(
        &self,
        key_hash: &Digest,
        version: u64,
        applied: &Applied,
    ) -> Result<Bytes, EngineFailure> {
        let mut own = applied.effects.iter().rev();
        if let Some(effect) = own.find(|effect| effect.key_hash == *key_hash) {
            return Ok(effect.key.clone());
        }
        let state = &self.shared.state;
        let leaf = state.reader.get(version - 1, key_hash);
        let leaf = leaf.ok_or(FetchError::Missing(*key_hash));
        let found = leaf.and_then(|leaf| state.values.fetch_present(&leaf));
        Ok(found
            .map_err(|error| EngineFailure::stage(Stage::Tree, error))?
            .0)
    }

    /// Lets readers of the present see the version: first the version, then no overlay above it.
    fn show(&self, layer: &Arc<Layer>, shown: &[(u64, trunkline_core::batch::PreparedBatch)]) {
        self.shared.state.values.push(layer.clone());
        self.shared.applied.store(layer.version, Ordering::SeqCst);
        for (sequence, batch) in shown {
            self.shared.overlay.hide(*sequence, batch);
        }
    }

    fn count(&self, outcomes: &[SubmissionOutcome]) {
        let (mut refused, mut evictions) = (0, 0);
        for outcome in outcomes {
            match outcome.outcome {
                Outcome::Applied { evicted } => evictions += u64::from(evicted),
                Outcome::Refused(_) => refused += 1,
            }
        }
        self.shared.metrics.group_applied(refused, evictions);
    }
}

/// What a group's submissions have come to so far.
#[derive(Default)]
struct Applied {
    outcomes: Vec<SubmissionOutcome>,
    effects: Vec<Effect>,
    submissions_with_effects: usize,
}

impl Applied {
    /// The effects of the whole version, ascending by key hash; of several on one key the last.
    fn effects(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        if self.submissions_with_effects > 1 {
            effects.reverse();
            effects.sort_by_key(|effect| effect.key_hash);
            effects.dedup_by_key(|effect| effect.key_hash);
        }
        effects
    }
}

impl Actor for TreeStage {
    type Context = Context<Self>;
}

impl Handler<SealedGroup> for TreeStage {
    type Result = ();

    fn handle(&mut self, group: SealedGroup, _: &mut Context<Self>) {
        let (shared, sent_at) = (self.shared.clone(), group.sent_at);
        if let Some(applied) = serve(&shared, Stage::Tree, sent_at, || self.apply(group)) {
            self.hash.do_send(applied);
        }
    }
}

impl Handler<Drain> for TreeStage {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) {
        self.hash.do_send(drain);
    }
}
