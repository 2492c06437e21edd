//! The protocol of a primary and its replicas as plain state machines, without input or output, clocks or threads.
//!
//! * [`Reader`]: turns messages into epochs and frames, for primaries and replicas alike.
//! * [`Follower`]: a reader with a tree that follows.
//! * [`Publisher`]: a primary's appends, one at a time, and the meaning of their outcomes.
//! * [`takeover`]: checks whether and where an epoch may begin.
//! * [`Acknowledgements`]: computes which versions are `replicated`, and which are `followed(k)`.
//! * [`loss`]: promotion after a carrier lost acknowledged data.
//!
//! **The rule that fences.** Each message is appended after the one that its writer has read last. So the writer that
//! appends the beginning of an epoch has read everything before it, and the next append of the previous writer is
//! refused. The previous writer then reads what was appended instead. If that is not its own message, it stops for
//! good.
//!
//! **The rule of epochs.** A beginning names the version that its writer had reached, `at`. Versions up to `at` may
//! come from earlier epochs; all later ones are of this epoch. From then on, messages of any other writer are ignored.

mod acknowledgements;
mod follower;
pub mod loss;
mod publisher;
mod reader;
pub mod takeover;

pub use acknowledgements::Acknowledgements;
pub use follower::{FollowError, Follower, Resume, Step};
pub use publisher::{Publisher, Sending, Stopped};
pub use reader::{Event, ReadError, Reader, Regime, Stray};

use bytes::Bytes;
use trunkline_core::frame::{Beginning, Frame, PublicKey};
use trunkline_core::hash::Digest;
use trunkline_core::store::log::LogPosition;

/// The place of a frame in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The epoch in which the version was written.
    pub epoch: u64,
    /// Commit id of the previous version.
    pub parent: Digest,
    /// The version with its commit id.
    pub position: LogPosition,
}

/// The content of a signed beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The epoch that begins.
    pub epoch: u64,
    /// The version that its writer had reached.
    pub at: LogPosition,
}

/// The reason why bytes are not a frame or beginning of this tree signed by a pinned key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// Reads frames and beginnings, and passes only those that a pinned key signed for this tree.
pub trait Verifier {
    /// A verified frame.
    type Frame;

    /// Reads a beginning.
    fn beginning(&self, bytes: &[u8]) -> Result<Begun, Rejected>;

    /// Reads a frame.
    fn frame(&self, bytes: Bytes) -> Result<(Link, Self::Frame), Rejected>;
}

/// The tree that is followed, with the keys of the members that may write it.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Id of the tree.
    pub tree_id: Digest,
    /// The keys.
    pub keys: Vec<PublicKey>,
}

impl Pinned {
    fn check_tree(&self, tree_id: &Digest) -> Result<(), Rejected> {
        match *tree_id == self.tree_id {
            true => Ok(()),
            false => Err(Rejected("it belongs to another tree".into())),
        }
    }
}

impl Verifier for Pinned {
    type Frame = Frame;

    fn beginning(&self, bytes: &[u8]) -> Result<Begun, Rejected> {
        let beginning = Beginning::decode(bytes).map_err(rejected)?;
        beginning.verify(&self.keys).map_err(rejected)?;
        self.check_tree(&beginning.params.tree_id())?;
        Ok(Begun {
            epoch: beginning.epoch,
            at: beginning.at,
        })
    }

    fn frame(&self, bytes: Bytes) -> Result<(Link, Frame), Rejected> {
        let frame = Frame::decode(&bytes).map_err(rejected)?;
        frame.verify(&self.keys).map_err(rejected)?;
        let record = &frame.entry.record;
        self.check_tree(&record.tree_id)?;
        let link = Link {
            epoch: record.open_epoch,
            parent: record.parent,
            position: LogPosition::of(record),
        };
        Ok((link, frame))
    }
}

fn rejected(error: impl ToString) -> Rejected {
    Rejected(error.to_string())
}
