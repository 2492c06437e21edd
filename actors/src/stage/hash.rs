//! Hash: an applied version comes in; a version with digests, record and commit id goes out.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::hash::{Digest, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::outcome::encode_outcomes;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::{Roots, TreeHasher};

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::context::StageContext;
use crate::decisions::Work;
use crate::failure::{Divergence, EngineFailure, Stage};
use crate::message::{
    AppliedGroup, HashedVersion, KzgMessage, Resolved, StageMessage, SubmissionRange,
};
use crate::runtime::clock;
use crate::state::versions::{Submissions, Version, provisional_before};

/// About how many bytes a page of leaves takes in memory.
const PAGE_BYTES: usize = 4 << 10;

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

    fn hash(&mut self, group: AppliedGroup) -> Result<HashedVersion, EngineFailure> {
        let cut = self.context.cut(Work::Hash);
        let forked = group.resolved.as_ref();
        let forked = forked.and_then(|resolved| resolved.forked.as_ref());
        let roots = match forked {
            None => self.hasher.hash(group.changes, cut),
            Some(forked) => self.hasher.hash_forked(group.changes, &forked.digests, cut),
        };
        if let Some(resolved) = &group.resolved {
            check_resolved(resolved, &roots)?;
        }
        let given_root = group.given.as_ref().and_then(|given| given.kzg_root);
        let given_root = given_root.map(Box::new);
        let (record, outcomes) = match group.given {
            None => {
                let (outcomes, outcomes_digest) = encode_outcomes(&group.outcomes);
                let record = self.record(group.submissions, &roots, outcomes_digest);
                (record, Bytes::from(outcomes))
            }
            Some(given) => (self.same_record(&given.record, &roots)?, given.outcomes),
        };
        let pages_bytes = group.pages_restored as usize * PAGE_BYTES;
        let replaced_bytes = group.layer.replaced_bytes() + pages_bytes;
        let version = self.version(record, roots, &outcomes, replaced_bytes);
        if let Some(kzg_root) = forked.and_then(|forked| forked.kzg_root) {
            let _ = version.kzg_root.set(kzg_root);
        }
        let (number, state_digest) = (version.number(), version.roots.state_digest);
        let completion = &group.pending.completion;
        completion.hashed(number, version.commit_id, state_digest);
        Ok(HashedVersion {
            version,
            outcomes,
            given_root,
            layer: group.layer,
            pending: group.pending,
            slot: group.slot,
            sent_at: clock::now(),
        })
    }

    /// Returns the record of a version that a primary committed, if it follows from what is here.
    fn same_record(
        &self,
        given: &CommitRecord,
        roots: &Roots,
    ) -> Result<CommitRecord, EngineFailure> {
        let found = CommitRecord {
            version: roots.version,
            parent: self.parent.commit_id,
            state_digest: roots.state_digest,
            key_count: roots.key_count,
            history_digest: self.history.digest(&HISTORY),
            ..given.clone()
        };
        match found == *given {
            true => Ok(found),
            false => Err(EngineFailure::Diverged(Box::new(Divergence {
                primary: Root::of(given, None),
                replica: Root::of(&found, None),
            }))),
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

/// A submission led to another state than the one that it was resolved to. This is a bug in trunkline, or the memory of
/// the machine is faulty.
#[derive(Debug, thiserror::Error)]
#[error(
    "version {version} has the state digest {}, and was to have {}; check the memory of this machine, and the directory \
     with `trunkline check`",
    hex(found),
    hex(expected)
)]
struct OtherState {
    version: u64,
    found: Digest,
    expected: Digest,
}

/// Compares a version with the state that its submission was resolved to.
fn check_resolved(resolved: &Resolved, roots: &Roots) -> Result<(), EngineFailure> {
    let (found, expected) = (roots.state_digest, resolved.state_digest);
    if found == expected {
        return Ok(());
    }
    let version = roots.version;
    Err(EngineFailure::stage(
        Stage::Hash,
        OtherState {
            version,
            found,
            expected,
        },
    ))
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
        let hashed = serve(&context, Stage::Hash, sent_at, tag, || self.hash(group));
        if let Some(version) = hashed {
            self.kzg.send(KzgMessage::Version(version));
        }
    }
}
