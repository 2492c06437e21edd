//! Hash: an applied version comes in; a version with digests, record and commit id goes out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::outcome::encode_outcomes;
use trunkline_core::record::CommitRecord;
use trunkline_core::tree::TreeHasher;

use super::kzg::KzgStage;
use super::serve;
use crate::failure::{EngineFailure, Stage};
use crate::message::{AppliedGroup, Drain, HashedVersion};
use crate::receipt::Hashed;
use crate::shared::Shared;
use crate::state::evidence::{Submissions, provisional_before};
use crate::state::versions::Version;

pub struct HashStage {
    shared: Arc<Shared>,
    kzg: Addr<KzgStage>,
    hasher: TreeHasher,
    open_epoch: u64,
    parent: Arc<Version>,
    history: MountainRange,
}

impl HashStage {
    /// Goes on after `parent`.
    pub fn new(
        shared: Arc<Shared>,
        kzg: Addr<KzgStage>,
        hasher: TreeHasher,
        parent: Arc<Version>,
        open_epoch: u64,
    ) -> Self {
        Self {
            shared,
            kzg,
            hasher,
            open_epoch,
            history: parent.history.clone(),
            parent,
        }
    }

    fn hash(&mut self, group: AppliedGroup) -> Result<HashedVersion, EngineFailure> {
        let pool = (
            &self.shared.state.pool,
            self.shared.settings.hash_parallelism.get(),
        );
        let roots = self.hasher.hash(group.changes, Some(pool));
        let (outcomes, outcomes_digest) = encode_outcomes(&group.outcomes);
        let outcomes = Bytes::from(outcomes);
        let record = CommitRecord {
            tree_id: self.parent.record.tree_id,
            version: roots.version,
            parent: self.parent.commit_id,
            open_epoch: self.open_epoch,
            first_sequence: group.first_sequence,
            last_sequence: group.last_sequence,
            provisional_root: group.provisional_root,
            outcomes_digest,
            state_digest: roots.state_digest,
            key_count: roots.key_count,
            history_digest: self.history.digest(&HISTORY),
            metadata: group.metadata.to_vec(),
        };
        self.history.append(&HISTORY, &record.commit_id());
        let submissions = Submissions {
            provisional_before: provisional_before(&self.parent.record, &record),
            outcomes: outcomes.clone(),
        };
        let version = Version::new(
            record,
            roots,
            self.history.clone(),
            group.layer.replaced_bytes(),
        );
        let version = Arc::new(version.with_submissions(Some(submissions)));
        self.parent = version.clone();
        for (waiting, outcome) in &group.waiting {
            waiting.ticket.hashed(Hashed {
                version: version.number(),
                commit_id: version.commit_id,
                state_digest: version.roots.state_digest,
                outcome: *outcome,
            });
        }
        Ok(HashedVersion {
            version,
            outcomes,
            layer: group.layer,
            waiting: group.waiting,
            slot: group.slot,
            sent_at: Instant::now(),
        })
    }
}

impl Actor for HashStage {
    type Context = Context<Self>;
}

impl Handler<AppliedGroup> for HashStage {
    type Result = ();

    fn handle(&mut self, group: AppliedGroup, _: &mut Context<Self>) {
        let (shared, sent_at) = (self.shared.clone(), group.sent_at);
        let begun_us = shared.metrics.uptime_us();
        if let Some(hashed) = serve(&shared, Stage::Hash, sent_at, || self.hash(group)) {
            shared.metrics.span(Stage::Hash, &hashed.slot.tag, begun_us);
            self.shared.kzg_queue.fetch_add(1, Ordering::AcqRel);
            self.kzg.do_send(hashed);
        }
    }
}

impl Handler<Drain> for HashStage {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) {
        self.kzg.do_send(drain);
    }
}
