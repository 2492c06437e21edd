//! Messages that pass from stage to stage, in flow order. They carry batches, never single operations, and each owns
//! the permits of its submissions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::SubmissionOutcome;
use trunkline_core::tree::SealedChanges;

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
    /// A drain behind everything submitted before.
    Drain(Drain),
}

/// A message to tree or hash.
#[derive(Debug)]
pub enum StageMessage<T> {
    /// The next group or version.
    Work(T),
    /// A drain behind all work before it.
    Drain(Drain),
}

/// A message to kzg.
#[derive(Debug)]
pub enum KzgMessage {
    /// The next version.
    Version(HashedVersion),
    /// Somebody asks for the KZG root of a version.
    RootWanted(u64, RootCompletion),
    /// A drain behind all versions before it.
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
    /// A drain behind all versions before it.
    Drain(Drain),
}

/// One caller's batch with its place in the order of submissions.
#[derive(Debug)]
pub struct Submission {
    /// Its sequence number.
    pub sequence: u64,
    /// The provisional root after it.
    pub provisional_root: Digest,
    /// Its hashed and sorted writes.
    pub batch: Arc<PreparedBatch>,
    /// The pipeline's end of its receipt.
    pub completion: Completion,
    /// The permits that it holds until it is durable.
    pub permit: Permit,
    /// The time at which it was accepted.
    pub accepted_at: Instant,
}

impl Submission {
    /// Returns whether the submission ends its group and does not wait for others.
    pub fn has_metadata(&self) -> bool {
        !self.batch.metadata.is_empty()
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

/// Submissions that become one version together.
#[derive(Debug)]
pub struct SealedGroup {
    /// The submissions, in order.
    pub submissions: Vec<Submission>,
    /// The group's place among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to tree.
    pub sent_at: Instant,
}

/// A version that is applied to the tree.
#[derive(Debug)]
pub struct AppliedGroup {
    /// Its submissions, in the terms of the commit record.
    pub submissions: SubmissionRange,
    /// Outcomes of all submissions, in order.
    pub outcomes: Vec<SubmissionOutcome>,
    /// Cells and digests that the version changed.
    pub changes: SealedChanges,
    /// The version's effects.
    pub layer: Arc<Layer>,
    /// The waiters and permits of the submissions.
    pub pending: Pending,
    /// The group's place among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to hash.
    pub sent_at: Instant,
}

/// The submissions of one version, in the terms of its commit record.
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
    /// The version's effects.
    pub layer: Arc<Layer>,
    /// The waiters and permits of the submissions.
    pub pending: Pending,
    /// The group's place among those in flight.
    pub slot: GroupSlot,
    /// The time at which it was sent to the stage that has it.
    pub sent_at: Instant,
}

/// Walks the pipeline behind everything accepted before it; the last stage answers.
#[derive(Debug)]
pub struct Drain {
    /// Whether the log is closed then.
    pub close: bool,
    /// Told the failure of the engine, if there is one.
    pub done: oneshot::Sender<Result<(), EngineFailure>>,
}
