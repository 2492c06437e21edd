//! Faults: which calls fail, and how. Not here: the state after a failed call (`disk`).

use std::io;

/// A call that changes the disk.
///
/// ```
/// use trunkline_core::store::simulated::DiskCall;
/// assert_ne!(DiskCall::Append, DiskCall::Sync);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// Creating a directory.
    CreateDirectory,
    /// Creating a file, or reusing one.
    Create,
    /// Appending to a file.
    Append,
    /// Syncing a file.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing a directory.
    SyncDirectory,
}

/// How a call fails.
///
/// ```
/// use trunkline_core::store::simulated::Failure;
/// assert_ne!(Failure::Error, Failure::PowerLoss);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An I/O error. The call may have had its effect, in part (an append) or whole, or none.
    Error,
    /// `StorageFull`; an append is cut short.
    NoSpace,
    /// The power fails during the call: this and every later call fails until
    /// [`SimulatedDisk::crash`](super::SimulatedDisk::crash).
    PowerLoss,
}

/// Which call fails, and how.
///
/// ```
/// use trunkline_core::store::simulated::{DiskCall, Failure, Fault};
/// let third_sync = Fault { call: Some(DiskCall::Sync), after: 2, failure: Failure::Error, lasting: false };
/// assert_eq!(third_sync.after, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Calls of this kind are counted; `None` counts all that change the disk.
    pub call: Option<DiskCall>,
    /// How many of them still succeed.
    pub after: u64,
    /// How it fails.
    pub failure: Failure,
    /// Whether all after it fail too.
    pub lasting: bool,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Error => io::Error::other("simulated I/O error"),
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::PowerLoss => no_power(),
        }
    }
}

pub(super) fn no_power() -> io::Error {
    io::Error::other("the simulated machine has no power, or lost it since the file was opened")
}
