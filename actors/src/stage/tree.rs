//! Tree: a group comes in; a version that is applied to the tree goes out, with the outcome of each
//! submission and the effects that the log will hold.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Instant;

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::{Outcome, SubmissionOutcome};
use trunkline_core::tree::TreeWriter;

use super::hash::HashStage;
use super::serve;
use crate::background::Chore;
use crate::failure::{EngineFailure, Stage};
use crate::message::{AppliedGroup, Drain, SealedGroup};
use crate::shared::Shared;
use crate::state::cold_leaves::{self, ScanError};
use crate::state::layer::{Evicted, Layer, Part};
use crate::state::values::FetchError;

pub struct TreeStage {
    shared: Arc<Shared>,
    hash: Addr<HashStage>,
    keeper: Sender<Chore>,
    writer: TreeWriter,
    version: u64,
    /// What the writer keeps in memory.
    hot_prefixes: Arc<[u16]>,
}

impl TreeStage {
    /// Goes on after `version`, the last one applied.
    pub fn new(
        shared: Arc<Shared>,
        hash: Addr<HashStage>,
        keeper: Sender<Chore>,
        writer: TreeWriter,
        version: u64,
    ) -> Self {
        Self {
            shared,
            hash,
            keeper,
            writer,
            version,
            hot_prefixes: Arc::from([]),
        }
    }

    fn apply(&mut self, group: SealedGroup) -> Result<AppliedGroup, EngineFailure> {
        let version = self.version + 1;
        let operations: usize = group.submissions.iter().map(|s| s.batch.operations).sum();
        let restored = self.restore(&group)?;
        let mut parts = Vec::with_capacity(group.submissions.len());
        let mut outcomes = Vec::with_capacity(group.submissions.len());
        let mut batches = Vec::with_capacity(group.submissions.len());
        let mut waiting = Vec::with_capacity(group.submissions.len());
        let first_sequence = group.submissions.front().map_or(0, |s| s.sequence);
        let mut last = (first_sequence, Digest::default(), Bytes::new());
        for submission in group.submissions {
            let outcome = self.apply_one(&submission.batch, version, &mut parts)?;
            outcomes.push(SubmissionOutcome {
                sequence: submission.sequence,
                submission: submission.batch.digest,
                outcome,
            });
            last = (
                submission.sequence,
                submission.provisional_root,
                submission.batch.metadata.clone(),
            );
            batches.push((submission.sequence, submission.batch));
            waiting.push((submission.waiting, outcome));
        }
        let changes = self.writer.seal(version);
        let layer = Arc::new(Layer::new(version, parts));
        self.version = version;
        self.show(&layer, &batches);
        self.count(&outcomes);
        self.evict(restored, operations);
        // Not here: what nobody else holds would be freed.
        let _ = self.keeper.send(Chore::Free(batches));
        let (last_sequence, provisional_root, metadata) = last;
        Ok(AppliedGroup {
            first_sequence,
            last_sequence,
            provisional_root,
            metadata,
            outcomes,
            changes,
            layer,
            waiting,
            slot: group.slot,
            sent_at: Instant::now(),
        })
    }

    /// Brings the leaves back into the tree that a group touches.
    fn restore(&mut self, group: &SealedGroup) -> Result<u64, EngineFailure> {
        if self.shared.config().memory.budget_bytes == 0 {
            return Ok(0);
        }
        let state = &self.shared.state;
        for submission in &group.submissions {
            let writes = submission.batch.writes.iter();
            state
                .access_sampler
                .touch_all(writes.map(|write| &write.key_hash));
        }
        // In this order: what is covered when leaves come back is covered by the view that they come from.
        let (covered, view) = (state.versions.covered(), state.values.store());
        let leaves = view.leaves();
        let leaves = leaves.map_err(|error| EngineFailure::stage(Stage::Tree, error))?;
        let batches = group.submissions.iter().map(|s| &*s.batch);
        let (params, pool) = (&state.params, &state.pool);
        cold_leaves::restore(&mut self.writer, batches, params, &*leaves, covered, pool).map_err(
            |error| match error {
                ScanError::Differ(error) => EngineFailure::stage(Stage::Tree, error),
                error => EngineFailure::stage(Stage::Tree, error),
            },
        )
    }

    /// Lets cold leaves go.
    fn evict(&mut self, restored: u64, operations: usize) {
        let covered = self.shared.state.versions.covered();
        self.writer
            .set_budget_bytes(self.shared.settings.tree_bytes_max());
        let hot = self.shared.settings.hot_prefixes();
        if hot != self.hot_prefixes {
            self.writer.keep_hot(&hot);
            self.hot_prefixes = hot;
        }
        let evicted = cold_leaves::evict(&mut self.writer, covered, operations);
        let memory = self.writer.memory();
        self.shared.metrics.tree(memory, evicted, restored);
    }

    fn apply_one(
        &mut self,
        batch: &Arc<PreparedBatch>,
        version: u64,
        parts: &mut Vec<Part>,
    ) -> Result<Outcome, EngineFailure> {
        let pool = (
            &self.shared.state.pool,
            self.shared.settings.tree_parallelism.get(),
        );
        let applied = match self.writer.apply_on(Some(pool), batch, version) {
            Ok(applied) => applied,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let evicted = applied
            .evicted
            .into_iter()
            .map(|key_hash| self.evicted(key_hash, version, batch, parts))
            .collect::<Result<Vec<_>, _>>()?;
        let outcome = Outcome::Applied {
            evicted: evicted.len() as u32,
        };
        parts.push(Part {
            batch: batch.clone(),
            unchanged: applied.unchanged,
            evicted,
        });
        Ok(outcome)
    }

    /// The tree knows an evicted key by its hash alone; the log wants the key.
    fn evicted(
        &self,
        key_hash: Digest,
        version: u64,
        batch: &PreparedBatch,
        parts: &[Part],
    ) -> Result<Evicted, EngineFailure> {
        let earlier = parts.iter().map(|part| &*part.batch);
        for batch in earlier.chain([batch]) {
            if let Some(write) = batch.find(&key_hash) {
                let key = Bytes::copy_from_slice(batch.key(write));
                return Ok(Evicted { key_hash, key });
            }
        }
        let state = &self.shared.state;
        let leaf = state.reader.get(version - 1, &key_hash);
        // What this version put out is in memory, as it was before.
        let leaf = leaf.ok().flatten().ok_or(FetchError::Missing(key_hash));
        match leaf.and_then(|leaf| state.values.key_and_value(&leaf, || state.values.store())) {
            Ok((key, _)) => Ok(Evicted { key_hash, key }),
            Err(error) => Err(EngineFailure::stage(Stage::Tree, error)),
        }
    }

    /// Lets readers of the present see the version: first the version, then no overlay above it.
    fn show(&self, layer: &Arc<Layer>, shown: &[(u64, Arc<PreparedBatch>)]) {
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

impl Actor for TreeStage {
    type Context = Context<Self>;
}

impl Handler<SealedGroup> for TreeStage {
    type Result = ();

    fn handle(&mut self, group: SealedGroup, _: &mut Context<Self>) {
        let (shared, sent_at) = (self.shared.clone(), group.sent_at);
        let begun_us = shared.metrics.uptime_us();
        if let Some(applied) = serve(&shared, Stage::Tree, sent_at, || self.apply(group)) {
            shared
                .metrics
                .span(Stage::Tree, &applied.slot.tag, begun_us);
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
