//! A group as the metrics see it.

use std::time::Instant;

/// The reason for which a group was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// No other submission waited, or the last one has metadata.
    Nothing,
    /// The cap of operations.
    Operations,
    /// The cap of bytes, while that of operations was not reached.
    Bytes,
    /// Its share of the operations in the pipeline, while neither cap was reached.
    Share,
}

/// Facts about a group, fixed when it is sealed.
#[derive(Clone, Copy, Debug)]
pub struct GroupTag {
    /// The version that the group becomes.
    pub version: u64,
    /// The number of its operations.
    pub operations: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// The cap of operations that was in force.
    pub operations_max: u64,
    /// The reason for which it was closed.
    pub closed_by: ClosedBy,
    /// The sum of the times that its operations had waited, microseconds.
    pub operations_waited_us: u64,
    /// The time at which it was sealed.
    pub sealed_at: Instant,
}
