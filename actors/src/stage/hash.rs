//! Hash: an applied version comes in; a version with digests, record and commit id goes out.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::outcome::encode_outcomes;
use trunkline_core::record::CommitRecord;
use trunkline_core::tree::{Roots, TreeHasher};

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::context::StageContext;
use crate::decisions::Work;
use crate::failure::Stage;
use crate::message::{AppliedGroup, HashedVersion, KzgMessage, StageMessage, SubmissionRange};
use crate::receipt::Hashed;
use crate::runtime::clock;
use crate::state::versions::{Submissions, Version, provisional_before};

/// The stage's state.
pub struct HashStage {
    context: Arc<StageContext>,
    kzg: Mailbox<KzgMessage>,
    hasher: TreeHasher,
    open_epoch: u64,
    parent: Arc<Version>,
    history: MountainRange,
}

impl HashStage {
    /// Creates the stage; the next version follows `parent`.
    pub fn new(
        context: Arc<StageContext>,
        kzg: Mailbox<KzgMessage>,
        hasher: TreeHasher,
        parent: Arc<Version>,
        open_epoch: u64,
    ) -> Self {
        Self {
            context,
            kzg,
            hasher,
            open_epoch,
            history: parent.history.clone(),
            parent,
        }
    }

    fn hash(&mut self, group: AppliedGroup) -> HashedVersion {
        let roots = self
            .hasher
            .hash(group.changes, self.context.cut(Work::Hash));
        let (outcomes, outcomes_digest) = encode_outcomes(&group.outcomes);
        let outcomes = Bytes::from(outcomes);
        let record = self.record(group.submissions, &roots, outcomes_digest);
        let version = self.version(record, roots, &outcomes, group.layer.replaced_bytes());
        for (pending, outcome) in &group.pending {
            pending.completion.hashed(Hashed {
                version: version.number(),
                commit_id: version.commit_id,
                state_digest: version.roots.state_digest,
                outcome: *outcome,
            });
        }
        HashedVersion {
            version,
            outcomes,
            layer: group.layer,
            pending: group.pending,
            slot: group.slot,
            sent_at: clock::now(),
        }
    }

    fn record(
        &self,
        submissions: SubmissionRange,
        roots: &Roots,
        outcomes_digest: [u8; 32],
    ) -> CommitRecord {
        CommitRecord {
            tree_id: self.parent.record.tree_id,
            version: roots.version,
            parent: self.parent.commit_id,
            open_epoch: self.open_epoch,
            first_sequence: submissions.first_sequence,
            last_sequence: submissions.last_sequence,
            provisional_root: submissions.provisional_root,
            outcomes_digest,
            state_digest: roots.state_digest,
            key_count: roots.key_count,
            history_digest: self.history.digest(&HISTORY),
            metadata: submissions.metadata.to_vec(),
        }
    }

    /// Adds the version to the history and makes it the next one's parent.
    fn version(
        &mut self,
        record: CommitRecord,
        roots: Roots,
        outcomes: &Bytes,
        replaced_bytes: usize,
    ) -> Arc<Version> {
        self.history.append(&HISTORY, &record.commit_id());
        let submissions = Submissions {
            provisional_before: provisional_before(&self.parent.record, &record),
            outcomes: outcomes.clone(),
        };
        let (history, submissions) = (self.history.clone(), Some(submissions));
        let version = Version::new(record, roots, history, submissions, replaced_bytes);
        let version = Arc::new(version);
        self.parent = version.clone();
        version
    }
}

impl Actor for HashStage {
    type Message = StageMessage<AppliedGroup>;

    fn handle(&mut self, message: Self::Message) {
        let group = match message {
            StageMessage::Work(group) => group,
            StageMessage::Drain(drain) => return self.kzg.send(KzgMessage::Drain(drain)),
        };
        let context = self.context.clone();
        let (sent_at, tag) = (group.sent_at, Some(group.slot.tag));
        let hashed = serve(&context, Stage::Hash, sent_at, tag, || Ok(self.hash(group)));
        if let Some(version) = hashed {
            self.kzg.send(KzgMessage::Version(version));
        }
    }
}
