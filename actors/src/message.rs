//! The nouns that pass from stage to stage, in flow order. Each owns its credit.
//!
//! Messages carry batches, never operations. Not here: what a stage does with them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::Message;
use bytes::Bytes;
use tokio::sync::oneshot;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::Digest;
use trunkline_core::outcome::{Outcome, SubmissionOutcome};
use trunkline_core::tree::SealedChanges;

use crate::admission::Credit;
use crate::failure::EngineFailure;
use crate::in_flight::GroupSlot;
use crate::receipt::{CommitPromise, Ticket};
use crate::state::layer::Layer;
use crate::state::versions::Version;

macro_rules! messages {
    ($($message:ty),* $(,)?) => {
        $(impl Message for $message {
            type Result = ();
        })*
    };
}

messages!(
    Submission,
    SealedGroup,
    AppliedGroup,
    HashedVersion,
    CommittedVersion,
    Demanded,
    Drain,
    Room,
    LingerOver,
    Flush,
    SyncDue,
    Checkpointed,
    Halt,
);

/// One caller's batch, its place fixed.
#[derive(Debug)]
pub struct Submission {
    pub sequence: u64,
    pub provisional_root: Digest,
    pub batch: Arc<PreparedBatch>,
    pub waiting: Waiting,
    pub sent_at: Instant,
}

/// Who waits for a submission, and what it holds up.
#[derive(Debug)]
pub struct Waiting {
    pub ticket: Ticket,
    pub _credit: Credit,
}

/// Submissions that become one version together.
#[derive(Debug)]
pub struct SealedGroup {
    pub submissions: VecDeque<Submission>,
    pub slot: GroupSlot,
    pub sent_at: Instant,
}

/// A version that is applied to the tree.
#[derive(Debug)]
pub struct AppliedGroup {
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub provisional_root: Digest,
    pub metadata: Bytes,
    pub outcomes: Vec<SubmissionOutcome>,
    pub changes: SealedChanges,
    pub layer: Arc<Layer>,
    pub waiting: Vec<(Waiting, Outcome)>,
    pub slot: GroupSlot,
    pub sent_at: Instant,
}

/// A version with digests and a commit id.
#[derive(Debug)]
pub struct HashedVersion {
    pub version: Arc<Version>,
    pub outcomes: Bytes,
    pub layer: Arc<Layer>,
    pub waiting: Vec<(Waiting, Outcome)>,
    pub slot: GroupSlot,
    pub sent_at: Instant,
}

/// A version with its KZG root, or passed on without one.
#[derive(Debug)]
pub struct CommittedVersion {
    pub hashed: HashedVersion,
    pub sent_at: Instant,
}

/// Somebody asks for the KZG root of a version.
#[derive(Debug)]
pub struct Demanded {
    pub version: u64,
    pub promise: CommitPromise,
}

/// Walks the pipeline behind everything accepted before it; the last stage answers.
#[derive(Debug)]
pub struct Drain {
    pub close: bool,
    pub done: oneshot::Sender<Result<(), EngineFailure>>,
}

/// A group has left the pipeline.
#[derive(Debug)]
pub struct Room;

/// The oldest pending submission has waited long enough.
#[derive(Debug)]
pub struct LingerOver;

/// Everything appended so far is to become durable.
#[derive(Debug)]
pub struct Flush;

/// The interval of durability mode `interval` is over.
#[derive(Debug)]
pub struct SyncDue;

/// A checkpoint is durable up to this version.
#[derive(Debug)]
pub struct Checkpointed(pub u64);

/// The engine has failed: drop what you hold.
#[derive(Debug)]
pub struct Halt;

/// What ended a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Nothing: no more waited, or what waited must not come behind metadata in the same group.
    Nothing,
    /// The cap of operations.
    Operations,
    /// The cap of bytes, that of operations not being reached.
    Bytes,
    /// Its share of what is inside, both caps being larger.
    Share,
}

/// What is known of a group from its sealing on.
#[derive(Clone, Copy, Debug)]
pub struct GroupTag {
    /// The version that it becomes.
    pub version: u64,
    pub operations: u64,
    /// The cap that it was sealed under.
    pub operations_max: u64,
    pub closed_by: ClosedBy,
    /// How long its operations had waited when it was sealed, all of them together, microseconds.
    pub operations_waited_us: u64,
    pub sealed_at: Instant,
}
