//! Messages between stages, in flow order. They carry batches, never single operations, and each owns the permits of
//! its submissions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::{Outcome, SubmissionOutcome};
use trunkline_core::record::CommitRecord;
use trunkline_core::tree::{ForkDigests, SealedChanges};

use crate::admission::Permit;
use crate::failure::EngineFailure;
use crate::in_flight::GroupSlot;
use crate::receipt::{Completion, GroupCompletion, RootCompletion};
use crate::state::layer::Layer;
use crate::state::versions::Version;

/// A message to ingest.
#[derive(Debug)]
pub enum IngestMessage {
    /// Submissions wait in the intake.
    Submitted,
    /// A group has left the pipeline.
    SlotFreed,
    /// A drain that follows everything submitted before it.
    Drain(Drain),
}

/// A message to tree or hash.
#[derive(Debug)]
pub enum StageMessage<T> {
    /// The next group or version.
    Work(T),
    /// A drain that follows all work before it.
    Drain(Drain),
}

/// A message to kzg.
#[derive(Debug)]
pub enum KzgMessage {
    /// The next version.
    Version(HashedVersion),
    /// A request for the KZG root of a version.
    RootWanted(u64, RootCompletion),
    /// A drain that follows all versions before it.
    Drain(Drain),
}

/// A message to persist.
#[derive(Debug)]
pub enum PersistMessage {
    /// The next version.
    Version(HashedVersion),
    /// A version has its KZG root now (commit mode `eager`).
    RootReady,
    /// A checkpoint is durable up to this version: the log may be trimmed.
    Checkpointed(u64),
    /// A drain that follows all versions before it.
    Drain(Drain),
}

/// A version as committed by its primary. A replica's result from its effects must be the same, or the replica fails.
#[derive(Debug)]
pub struct GivenVersion {
    /// Its commit record.
    pub record: CommitRecord,
    /// Its KZG root, if the primary stated it.
    pub kzg_root: Option<[u8; 48]>,
    /// Encoded outcomes of its submissions: those that the record names.
    pub outcomes: Bytes,
}

/// The known result of a submission that was resolved against the previous version, and becomes a version by itself.
/// Its writes are exactly its changes. The sequencer has accepted it directly after that version.
#[derive(Debug)]
pub struct Resolved {
    /// The outcome of the submission: it cannot be refused.
    pub outcome: Outcome,
    /// The state digest that must result from it.
    pub state_digest: Digest,
    /// The digests of the fork that it is the changes of.
    pub forked: Option<Forked>,
}

/// The digests that a fork has computed. They hold of the version that it becomes.
#[derive(Debug)]
pub struct Forked {
    /// Digests of the tree.
    pub digests: ForkDigests,
    /// The KZG root, if that was computed.
    pub kzg_root: Option<[u8; 48]>,
}

/// One caller's batch with its position in the order of submissions.
#[derive(Debug)]
pub struct Submission {
    /// Its sequence number.
    pub sequence: u64,
    /// The provisional root after it.
    pub provisional_root: Digest,
    /// Its hashed and sorted writes. On a replica, the effects of a whole version.
    pub batch: Arc<PreparedBatch>,
    /// On a replica, the version that must result from the effects.
    pub given: Option<Box<GivenVersion>>,
    /// The known result, for a submission that was already resolved.
    pub resolved: Option<Box<Resolved>>,
    /// The pipeline's end of its receipt.
    pub completion: Completion,
    /// The permits that it holds until it is durable.
    pub permit: Permit,
    /// The time at which it was accepted.
    pub accepted_at: Instant,
}

impl Submission {
    /// Returns whether the submission ends its group and does not wait for others.
    pub fn ends_group(&self) -> bool {
        self.given.is_some() || self.resolved.is_some() || !self.batch.metadata.is_empty()
    }
}

/// The waiters of a version's submissions, and the permits that they hold until they are durable.
#[derive(Debug)]
pub struct Pending {
    /// The pipeline's end of the receipts.
    pub completion: GroupCompletion,
    /// Permits of admission.
    pub _permits: Option<Permit>,
}

/// Submissions that form one version.
#[derive(Debug)]
pub struct SealedGroup {
    /// The submissions, in order.
    pub submissions: Vec<Submission>,
    /// The group's slot among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to tree.
    pub sent_at: Instant,
}

/// A version that is applied to the tree.
#[derive(Debug)]
pub struct AppliedGroup {
    /// Its submissions, in the form of the commit record.
    pub submissions: SubmissionRange,
    /// Outcomes of all submissions, in order; empty on a replica, where they are given.
    pub outcomes: Vec<SubmissionOutcome>,
    /// On a replica, the version that this must equal.
    pub given: Option<Box<GivenVersion>>,
    /// The known result, for a submission that was already resolved.
    pub resolved: Option<Box<Resolved>>,
    /// Cells and digests that the version changed.
    pub changes: SealedChanges,
    /// Pages that it brought back to memory, where they stay while the version before it can be read.
    pub pages_restored: u64,
    /// The version's effects.
    pub layer: Arc<Layer>,
    /// The waiters and permits of the submissions.
    pub pending: Pending,
    /// The group's slot among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to hash.
    pub sent_at: Instant,
}

/// The submissions of one version, in the form of its commit record.
#[derive(Debug, Default)]
pub struct SubmissionRange {
    /// Sequence number of the first submission.
    pub first_sequence: u64,
    /// Sequence number of the last submission.
    pub last_sequence: u64,
    /// The provisional root after the last submission.
    pub provisional_root: Digest,
    /// Metadata of the last submission.
    pub metadata: Bytes,
}

/// A version with digests and a commit id.
#[derive(Debug)]
pub struct HashedVersion {
    /// The version.
    pub version: Arc<Version>,
    /// Outcomes of its submissions, encoded.
    pub outcomes: Bytes,
    /// On a replica, the KZG root that the primary stated.
    pub given_root: Option<Box<[u8; 48]>>,
    /// The version's effects.
    pub layer: Arc<Layer>,
    /// The waiters and permits of the submissions.
    pub pending: Pending,
    /// The group's slot among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to its current stage.
    pub sent_at: Instant,
}

/// A drain: it passes through the pipeline after everything accepted before it, and the last stage answers.
#[derive(Debug)]
pub struct Drain {
    /// True if the log is closed then.
    pub close: bool,
    /// The result of the drain, with the failure of the engine if there is one.
    pub done: oneshot::Sender<Result<(), EngineFailure>>,
}
