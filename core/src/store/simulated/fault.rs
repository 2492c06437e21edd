//! Faults: failing calls and their failures. Not here: the state after a failed call (`disk`).

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

/// The failure of a call.
///
/// ```
/// use trunkline_core::store::simulated::Failure;
/// assert_ne!(Failure::Error, Failure::PowerLoss);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An I/O error. The call may have had all, a part (an append) or none of its effect.
    Error,
    /// `StorageFull`; an append is cut short.
    NoSpace,
    /// The power fails during the call: this and every later call fails until
    /// [`SimulatedDisk::crash`](super::SimulatedDisk::crash).
    PowerLoss,
}

/// A fault: the failing call and its failure.
///
/// ```
/// use trunkline_core::store::simulated::{DiskCall, Failure, Fault};
/// let third_sync = Fault { call: Some(DiskCall::Sync), after: 2, failure: Failure::Error, lasting: false };
/// assert_eq!(third_sync.after, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of calls that are counted; `None` counts all that change the disk.
    pub call: Option<DiskCall>,
    /// The number of such calls that still succeed.
    pub after: u64,
    /// The failure of the next one.
    pub failure: Failure,
    /// True if all later calls fail too.
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
