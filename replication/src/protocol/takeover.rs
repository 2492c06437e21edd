//! Checks whether and where an epoch may begin, given the stream.

use trunkline_core::hash::Digest;
use trunkline_core::store::log::LogPosition;

use super::Regime;

/// The chain of the tree that is to write.
pub trait Chain {
    /// Returns the commit id of a version, if it is known.
    fn commit_id(&self, version: u64) -> Option<Digest>;

    /// Returns the epoch of a version that may be beyond the end of the stream, if the epoch is known.
    fn epoch(&self, version: u64) -> Option<u64>;
}

/// The reason why an epoch must not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeoverError {
    /// Another writer began the same epoch, or a later one.
    #[error(
        "epoch {own} is not above epoch {stream} of the stream: another primary took over; let this directory rejoin as a replica (if it is the primary, open it again: that gives a higher epoch)"
    )]
    EpochOver {
        /// The epoch of the tree.
        own: u64,
        /// The epoch of the stream.
        stream: u64,
    },
    /// The stream has versions that the tree lacks.
    #[error(
        "the stream has version {tip} and the tree version {own}: follow as a replica first, and promote it then"
    )]
    Behind {
        /// The version of the tree.
        own: u64,
        /// The last version of the stream.
        tip: u64,
    },
    /// The tree is not the one in the stream.
    #[error(
        "version {version} of the stream is not that of the tree: let this directory rejoin as a replica, which keeps its surplus in a file"
    )]
    Diverged {
        /// The version.
        version: u64,
    },
    /// The tree has versions that the stream's epoch excludes.
    #[error(
        "versions {from} to {to} of the tree were never in the stream, and epoch {stream} began without them: let this directory rejoin as a replica, which keeps them in a file"
    )]
    Surplus {
        /// The first of these versions.
        from: u64,
        /// The last of these versions.
        to: u64,
        /// The epoch of the stream.
        stream: u64,
    },
    /// The tree does not know enough of its own history.
    #[error(
        "the commit id of version {0} is not known here: let this directory rejoin as a replica"
    )]
    Unknown(u64),
}

/// Returns an error unless an epoch may begin after the stream, with a tree at a position.
///
/// Versions of the tree after the stream's tip are its surplus: they were durable here but never appended. They may be
/// published only if no other primary has begun without them.
pub fn check(
    regime: &Regime,
    epoch: u64,
    own: &LogPosition,
    chain: &impl Chain,
) -> Result<(), TakeoverError> {
    if epoch <= regime.epoch {
        return Err(TakeoverError::EpochOver {
            own: epoch,
            stream: regime.epoch,
        });
    }
    if regime.tip.version > own.version {
        return Err(TakeoverError::Behind {
            own: own.version,
            tip: regime.tip.version,
        });
    }
    check_same(own, &regime.tip, chain)?;
    if own.version == regime.tip.version {
        return Ok(());
    }
    if regime.at.version > own.version {
        // This is part of a surplus that another writer had begun to publish; this tree's own surplus may differ.
        return Err(TakeoverError::Diverged {
            version: own.version,
        });
    }
    check_same(own, &regime.at, chain)?;
    check_surplus(regime, own, chain)
}

fn check_same(
    own: &LogPosition,
    theirs: &LogPosition,
    chain: &impl Chain,
) -> Result<(), TakeoverError> {
    let version = theirs.version;
    let commit_id = match version == own.version {
        true => Some(own.commit_id),
        false => chain.commit_id(version),
    };
    match commit_id {
        None => Err(TakeoverError::Unknown(version)),
        Some(commit_id) if commit_id != theirs.commit_id => {
            Err(TakeoverError::Diverged { version })
        }
        Some(_) => Ok(()),
    }
}

fn check_surplus(
    regime: &Regime,
    own: &LogPosition,
    chain: &impl Chain,
) -> Result<(), TakeoverError> {
    // Epochs never decrease along a chain, so the first version decides for all.
    let from = regime.at.version.max(regime.tip.version) + 1;
    if from > own.version {
        return Ok(());
    }
    match chain.epoch(from) {
        None => Err(TakeoverError::Unknown(from)),
        Some(epoch) if epoch < regime.epoch => Err(TakeoverError::Surplus {
            from,
            to: own.version,
            stream: regime.epoch,
        }),
        Some(_) => Ok(()),
    }
}
