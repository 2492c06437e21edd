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

use crate::credit::Credit;
use crate::failure::EngineFailure;
use crate::in_flight::GroupSlot;
use crate::layer::Layer;
use crate::receipt::{CommitPromise, Ticket};
use crate::versions::Version;

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
pub(crate) struct Submission {
    pub(crate) sequence: u64,
    pub(crate) provisional_root: Digest,
    pub(crate) batch: Arc<PreparedBatch>,
    pub(crate) waiting: Waiting,
    pub(crate) sent_at: Instant,
}

/// Who waits for a submission, and what it holds up.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) _credit: Credit,
}

/// Submissions that become one version together.
#[derive(Debug)]
pub(crate) struct SealedGroup {
    pub(crate) submissions: VecDeque<Submission>,
    pub(crate) slot: GroupSlot,
    pub(crate) sent_at: Instant,
}

/// A version that is applied to the tree.
#[derive(Debug)]
pub(crate) struct AppliedGroup {
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) provisional_root: Digest,
    pub(crate) metadata: Bytes,
    pub(crate) outcomes: Vec<SubmissionOutcome>,
    pub(crate) changes: SealedChanges,
    pub(crate) layer: Arc<Layer>,
    pub(crate) waiting: Vec<(Waiting, Outcome)>,
    pub(crate) slot: GroupSlot,
    pub(crate) sent_at: Instant,
}

/// A version with digests and a commit id.
#[derive(Debug)]
pub(crate) struct HashedVersion {
    pub(crate) version: Arc<Version>,
    pub(crate) outcomes: Bytes,
    pub(crate) layer: Arc<Layer>,
    pub(crate) waiting: Vec<(Waiting, Outcome)>,
    pub(crate) slot: GroupSlot,
    pub(crate) sent_at: Instant,
}

/// A version with its KZG root, or passed on without one.
#[derive(Debug)]
pub(crate) struct CommittedVersion {
    pub(crate) hashed: HashedVersion,
    pub(crate) sent_at: Instant,
}

/// Somebody asks for the KZG root of a version.
#[derive(Debug)]
pub(crate) struct Demanded {
    pub(crate) version: u64,
    pub(crate) promise: CommitPromise,
}

/// Walks the pipeline behind everything accepted before it; the last stage answers.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) close: bool,
    pub(crate) done: oneshot::Sender<Result<(), EngineFailure>>,
}

/// A group has left the pipeline.
#[derive(Debug)]
pub(crate) struct Room;

/// The oldest pending submission has waited long enough.
#[derive(Debug)]
pub(crate) struct LingerOver;

/// Everything appended so far is to become durable.
#[derive(Debug)]
pub(crate) struct Flush;

/// The interval of durability mode `interval` is over.
#[derive(Debug)]
pub(crate) struct SyncDue;

/// A checkpoint is durable up to this version.
#[derive(Debug)]
pub(crate) struct Checkpointed(pub(crate) u64);

/// The engine has failed: drop what you hold.
#[derive(Debug)]
pub(crate) struct Halt;

/// What ended a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedBy {
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
pub(crate) struct GroupTag {
    /// The version that it becomes.
    pub(crate) version: u64,
    pub(crate) operations: u64,
    /// The cap that it was sealed under.
    pub(crate) operations_max: u64,
    pub(crate) closed_by: ClosedBy,
    /// How long its operations had waited when it was sealed, all of them together, microseconds.
    pub(crate) operations_waited_us: u64,
    pub(crate) sealed_at: Instant,
}
