//! The carrier: a stream of messages that is log and fence in one, and a few values by key.
//!
//! A carrier gives each message the next sequence number, and appends one only behind the sequence number that its
//! writer expects to be last. That decides who is the primary: no lease and no clock does. Nothing else of a carrier is
//! trusted. It may drop, repeat, reorder, withhold and forge; readers find out, or take no harm.

use std::future::Future;

use bytes::Bytes;

/// The outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// The message has this sequence number, and the carrier keeps it.
    Appended(u64),
    /// Another message was last: nothing was appended by this call.
    Refused,
    /// Nobody knows. The message may be in the stream, or get there later.
    Unknown(String),
}

/// A message of the stream, with its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The sequence number.
    pub sequence: u64,
    /// The content.
    pub bytes: Bytes,
}

/// The first and the last sequence number of the stream. Of an empty one, the first is one above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first message that is still there.
    pub first: u64,
    /// The last message that was appended, or 0.
    pub last: u64,
}

/// The reason why a carrier did not answer. It may do so later.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the carrier did not answer: {0}")]
pub struct CarrierError(pub String);

/// Moves messages between a primary and its replicas.
///
/// Besides the stream it keeps small values by key, of which the last one counts: replicas report by them. They may be
/// lost at any time.
pub trait Carrier: Send + Sync + 'static {
    /// Returns the longest message that it takes, bytes; at least
    /// [`MESSAGE_BYTES_LEAST`](crate::wire::MESSAGE_BYTES_LEAST).
    fn message_bytes_max(&self) -> usize;

    /// Appends a message, if `expected_last` is the sequence number of the last one.
    fn append(&self, message: Bytes, expected_last: u64) -> impl Future<Output = Append> + Send;

    /// Returns the ends of the stream.
    fn ends(&self) -> impl Future<Output = Result<Ends, CarrierError>> + Send;

    /// Returns messages from a sequence number on, as many as the carrier likes and at most `count`; none if there is
    /// none yet. It may wait for the next message, but not for long.
    fn read(
        &self,
        from: u64,
        count: usize,
    ) -> impl Future<Output = Result<Vec<Carried>, CarrierError>> + Send;

    /// Makes every append of a writer fail that connected before, whatever sequence number it expects. Needed after a
    /// loss: sequence numbers are given out again then.
    fn renew(&self) -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Removes all messages. Sequence numbers continue.
    fn empty(&self) -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Replaces the value of a key.
    fn put(&self, key: &str, value: Bytes)
    -> impl Future<Output = Result<(), CarrierError>> + Send;

    /// Returns the value of a key.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, CarrierError>> + Send;
}
