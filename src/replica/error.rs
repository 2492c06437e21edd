//! Errors of applying frames and of waiting for a version.

use trunkline_actors::failure::EngineFailure;
use trunkline_core::frame::SignatureError;
use trunkline_core::hash::{Digest, hex};
use trunkline_core::store::effect::EffectsError;
use trunkline_core::store::history_file::HistoryFileError;
use trunkline_core::store::reverts::OtherStateError;

/// The reason why a frame was not accepted. Nothing has changed.
///
/// ```
/// # use trunkline::core::frame::{Frame, SecretKey};
/// # use trunkline::{ApplyError, Config, Engine};
/// # let directory = tempfile::tempdir()?;
/// # let config = |name| Config::in_directory(directory.path().join(name));
/// # let key = SecretKey::generate([7; 32]);
/// # let primary = Engine::open_blocking(config("primary"))?;
/// # primary.put_blocking("alice", "10")?.durable_blocking()?;
/// # let replica = Engine::builder(config("replica"))
/// #     .params(&primary.params())
/// #     .open_replica_blocking(vec![key.public()])?;
/// let entry = primary.feed(1).next().expect("the engine runs")?;
/// let forged = Frame::sign(entry, &SecretKey::generate([8; 32]));
/// assert!(matches!(replica.apply_blocking(forged), Err(ApplyError::Signature(_))));
/// # replica.shutdown_blocking()?;
/// # primary.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No pinned key signed the frame.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The frame is of another tree.
    #[error("the frame is of another tree than this replica; check which primary it follows")]
    OtherTree,
    /// Versions in between are missing.
    #[error(
        "version {version} is not the next one, which is {next}; apply versions in order, without gaps"
    )]
    NotNext {
        /// The version of the frame.
        version: u64,
        /// The next version.
        next: u64,
    },
    /// The primary committed a different version under the number of a version that is here.
    #[error(
        "version {version} has commit id {} at the primary and {} here: one of them has other versions than were \
         replicated; find out which, and restore that one from a backup",
        hex(primary),
        hex(here)
    )]
    Diverged {
        /// The version.
        version: u64,
        /// Its commit id at the primary.
        primary: Digest,
        /// Its commit id here.
        here: Digest,
    },
    /// The frame belongs to an epoch that has ended.
    #[error(
        "version {version} was written in epoch {epoch}, and epoch {last} has begun; its primary was replaced and must \
         write no more"
    )]
    Epoch {
        /// The version of the frame.
        version: u64,
        /// Its epoch.
        epoch: u64,
        /// The epoch of the previous version.
        last: u64,
    },
    /// The outcomes cannot be read, or do not have the digest that the record names.
    #[error(
        "the outcomes of version {version} are not those that its record names: its primary signed what it did not commit; \
         check its directory with `trunkline check`"
    )]
    Outcomes {
        /// The version of the frame.
        version: u64,
    },
    /// The submissions do not follow those of the last version, or do not lead to the provisional root.
    #[error(
        "the submissions of version {version} do not lead from the version before it to the record: its primary signed what \
         it did not commit; check its directory with `trunkline check`"
    )]
    Submissions {
        /// The version of the frame.
        version: u64,
    },
    /// The version claims to restore the state of an older one, but has another state.
    #[error(
        "{0}: its primary signed what it did not commit; check its directory with `trunkline check`"
    )]
    Reverted(#[from] OtherStateError),
    /// The effects cannot be read.
    #[error(
        "the effects of version {version} cannot be read: its primary signed what it did not commit; check its directory \
         with `trunkline check`"
    )]
    Effects {
        /// The version of the frame.
        version: u64,
        /// The fault in them.
        source: EffectsError,
    },
    /// The commit id of an earlier version could not be read.
    #[error(transparent)]
    History(HistoryFileError),
    /// The replica has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

/// The reason why a wait for a version failed.
///
/// ```
/// let error = trunkline::WaitError::Timeout { version: 9, reached: 7 };
/// assert_eq!(error.to_string(), "version 9 was not synced here in time; the newest synced version is 7");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum WaitError {
    /// The version did not come in time.
    #[error(
        "version {version} was not synced here in time; the newest synced version is {reached}"
    )]
    Timeout {
        /// The version that was waited for.
        version: u64,
        /// The newest version that is synced here.
        reached: u64,
    },
    /// The replica has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}
