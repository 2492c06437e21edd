//! The carrier: a stream of messages, which is both log and fence, and a few values by key.
//!
//! A carrier gives each message the next sequence number, and appends a message only after the sequence number that its
//! writer expects to be last. That decides which member is the primary; leases and clocks do not. A carrier is trusted
//! for nothing else. It may drop, repeat, reorder, withhold and forge messages: readers detect that, or it does no
//! harm.

use std::future::Future;

use bytes::Bytes;

/// The outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// The message has this sequence number, and is stored by the carrier.
    Appended(u64),
    /// Another message was last, so this call appended nothing.
    Refused,
    /// The outcome is unknown. The message may be in the stream, or be appended later.
    Unknown(String),
}

/// A message of the stream with its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The sequence number.
    pub sequence: u64,
    /// The content.
    pub bytes: Bytes,
}

/// The first and the last sequence number of the stream. If it is empty, the first is one above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first message that the stream still has.
    pub first: u64,
    /// The last message that was appended, or 0.
    pub last: u64,
}

/// A failure of a call to the carrier. Later calls may succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the carrier did not answer: {0}")]
pub struct CarrierError(pub String);

/// Moves messages between a primary and its replicas.
///
/// It also stores small values by key, of which only the last one counts. Replicas use them for reports. They may be
/// lost at any time.
pub trait Carrier: Send + Sync + 'static {
    /// Returns the longest message that it takes, in bytes; at least
    /// [`MESSAGE_BYTES_LEAST`](crate::wire::MESSAGE_BYTES_LEAST).
    fn message_bytes_max(&self) -> usize;

    /// Appends a message, if `expected_last` is the sequence number of the last one.
    fn append(&self, message: Bytes, expected_last: u64) -> impl Future<Output = Append> + Send;

    /// Returns the ends of the stream.
    fn ends(&self) -> impl Future<Output = Result<Ends, CarrierError>> + Send;

    /// Returns messages from a sequence number on: as many as the carrier chooses, at most `count`, and none if there
    /// is none yet. It may wait for the next message, but only briefly.
    fn read(
        &self,
        from: u64,
        count: usize,
    ) -> impl Future<Output = Result<Vec<Carried>, CarrierError>> + Send;

    /// Makes every append of an earlier connected writer fail, whatever sequence number it expects. Needed after a
    /// loss, since sequence numbers are then assigned again.
    fn renew(&self) -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Removes all messages. Sequence numbers continue.
    fn empty(&self) -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Replaces the value of a key.
    fn put(&self, key: &str, value: Bytes)
    -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Returns the value of a key.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, CarrierError>> + Send;
}
