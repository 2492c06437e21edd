//! The commit log: segmented files of checksummed frames, one for each version.
//!
//! [`CommitLog::append`] frames versions into a buffer, [`CommitLog::sync`] makes all of them
//! durable with one `fdatasync`. Opening reads the log from the checkpoint on, cuts a torn tail,
//! reports damage with its place, and makes the surviving commits durable before anything is served.
//!
//! A writer never truncates, never writes into a file that it did not create, and never trusts a
//! file again whose sync failed. (It does write over segments of its own that are dead: blocks that
//! are there already take half the time to sync.) So every open begins a new segment, in which recovery repeats the
//! commits that nothing shows as synced; it gets its name (and so supersedes the old tail) only when
//! they are durable in it. A crash at any point of that leaves the old log or the new one.
//!
//! After any error the log is poisoned: whether the last frames are on disk is not known, and every
//! later call says so. Not here: when to sync, threads, and what effects mean.
//!
//! Rules for reading a log:
//!
//! 1. *Order.* Segments are ordered by open epoch, then first version. A segment *supersedes* every
//!    earlier one from its first version on: of two commits of one version the one in the later
//!    segment holds. So what counts of a segment is its *range*: its first version up to the version
//!    before the lowest first version of all later segments. A segment with an empty range, and what
//!    stands in a file behind its range, is dead, whatever it holds.
//! 2. *Known synced.* A version is known to have been durable if the checkpoint is at or above it,
//!    if a later segment begins above it (a segment gets its name only when everything before it is
//!    durable), or if a valid frame of the last segment says so.
//! 3. *Damage.* Within the ranges of all segments but the last every version is known synced, so
//!    anything that is not the next valid frame is an error that names the place.
//! 4. *Torn tail.* In the last segment, an invalid frame at a version that nothing shows as synced
//!    is where the log ends; what follows is the torn tail, or what the file held before it was
//!    recycled. To know that nothing does, the rest of
//!    the file is searched for valid frames at every offset.
//! 5. A frame whose checksum is right was written as it is. If it does not follow from the one
//!    before it, or cannot be read, no crash did that: it is always an error.
//!
//! 6. *Last segment.* The file `LAST-SEGMENT` names the last segment, or the one before it after a crash. A log without the
//!    segment that it names, or with commits and without the file, has lost a part: that is an error.
//!
//! Limitation: damage to the versions that were synced last, with nothing written after them, looks like a
//! torn tail. A clean close leaves no such versions.

mod begin;
mod entry;
mod error;
mod examine;
mod follow;
mod frame;
mod last_segment;
mod open;
mod recover;
mod segment;
mod writer;

pub use entry::{EntryHead, LogEntry, LogPosition};
pub use error::{AppendError, Link, LogWriteError, OpenLogError, ReadLogError};
pub use examine::{Examined, LogEvent, LogFault};
pub use follow::{FollowError, LogFollower};
pub use frame::{
    BODY_BYTES_MAX, BodyError, CHECKSUM_BYTES, EFFECTS_BYTES_MAX, FRAME_HEADER_BYTES, FrameError,
    OUTCOMES_BYTES_MAX,
};
pub use last_segment::{LAST_SEGMENT_FILE, LastSegmentError, ProvenSegment, prove_last_segment};
pub use open::{FoundLog, Recovery, Survey};
pub use segment::{HeaderError, SEGMENT_HEADER_BYTES, SegmentName};
pub use writer::{CommitLog, Held, LogOptions};

/// Name of the log's directory below a tree's.
pub const LOG_DIRECTORY: &str = "log";
