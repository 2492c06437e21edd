//! The messages of the stream, and the reports of replicas, in the wire form of
//! `replication/proto/trunkline/replication/v1/replication.proto`.
//!
//! Decoding checks form and bounds. `protocol` checks signatures, and the meaning of a message at its position.

use bytes::Bytes;
use prost::Message as _;
use trunkline_core::frame::{BEGINNING_BYTES_MAX, FRAME_BYTES_MAX};
use trunkline_core::hash::Digest;
use trunkline_core::params::FORMAT;
use trunkline_core::store::log::LogPosition;

/// The generated messages. They are private, so that no unchecked message leaves this module.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/trunkline.replication.v1.rs"));
}

/// Length of the longest message of the stream, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The lowest limit on messages that a carrier may have, in bytes: enough for a beginning, or for a chunk of useful
/// size.
pub const MESSAGE_BYTES_LEAST: usize = 4 << 10;
/// Length of the longest report or refusal, in bytes.
pub const REPORT_BYTES_MAX: usize = 512;
/// Most chunks of a message.
pub const CHUNKS_MAX: usize = 4096;
/// Most bytes of a message that are not the content of its only chunk.
pub(crate) const OVERHEAD_BYTES: usize = 96;
/// Most bytes of a chunk that are not its content.
pub(crate) const CHUNK_OVERHEAD_BYTES: usize = 32;

/// Random bytes that identify a process that writes to the stream.
pub type Writer = [u8; 16];

/// A message of the stream.
///
/// ```
/// use trunkline_core::store::log::LogPosition;
/// use trunkline_replication::wire::{Begin, Body, Message};
/// let tip = LogPosition { version: 3, commit_id: [7; 32] };
/// let begin = Begin { beginning: "signed".into(), tip, unix_ms: 5 };
/// let message = Message { writer: [1; 16], epoch: 2, behind: 7, body: Body::Begin(begin) };
/// assert_eq!(Message::decode(message.encode())?, message);
/// # Ok::<(), trunkline_replication::wire::DecodeMessageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The writing process.
    pub writer: Writer,
    /// The epoch in which it writes.
    pub epoch: u64,
    /// The sequence number of the message before it.
    pub behind: u64,
    /// The content.
    pub body: Body,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An epoch begins, or continues.
    Begin(Begin),
    /// Frames, or a chunk of one.
    Frames(Vec<Chunk>),
}

/// The statement that an epoch begins, or continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The signed beginning, encoded.
    pub beginning: Bytes,
    /// The version before the next frame.
    pub tip: LogPosition,
    /// The writer's clock, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// A part of a frame, or a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The version of the frame.
    pub version: u64,
    /// Index of the chunk, from 0.
    pub index: u32,
    /// Number of chunks of the frame.
    pub count: u32,
    /// A part of the encoded frame.
    pub content: Bytes,
}

/// A replica's report of the version that it has synced and the epochs that it refuses.
///
/// ```
/// use trunkline_core::store::log::LogPosition;
/// use trunkline_replication::wire::Report;
/// let synced = LogPosition { version: 3, commit_id: [7; 32] };
/// let report = Report { synced, written_in: 1, refuses_below: 0, epoch: 2, sequence: 9, unix_ms: 5 };
/// assert_eq!(Report::decode(&report.encode())?, report);
/// # Ok::<(), trunkline_replication::wire::DecodeMessageError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The version that it has synced.
    pub synced: LogPosition,
    /// The epoch in the record of that version.
    pub written_in: u64,
    /// The lowest epoch whose versions it applies.
    pub refuses_below: u64,
    /// The epoch of the stream at its read position, or 0.
    pub epoch: u64,
    /// The last sequence number of the stream that it has read.
    pub sequence: u64,
    /// The replica's clock, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// A request to refuse all epochs below that of a signed beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The signed beginning that is to be appended, encoded.
    pub beginning: Bytes,
}

/// The reason why bytes are not a message of a stream, a report or a refusal.
///
/// ```
/// use trunkline_replication::wire::{DecodeMessageError, Message};
/// assert_eq!(Message::decode(&[0x08, 0x03][..]), Err(DecodeMessageError::Format(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeMessageError {
    /// The message is too long.
    #[error("{found} bytes are more than {max}, the limit")]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The bytes are not valid protobuf.
    #[error("the bytes are not a valid protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The message has another format.
    #[error(
        "a message of format {0}; this build reads format {FORMAT}: use the build that wrote it"
    )]
    Format(u32),
    /// The message has another encoding: its fields are out of order or unknown, or default values are written.
    #[error("the bytes are not in canonical form")]
    NotCanonical,
    /// A field of fixed length has another length.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// Name of the field.
        what: &'static str,
        /// Length of the field.
        expected: usize,
        /// The actual length.
        found: usize,
    },
    /// The message has neither frames nor a beginning.
    #[error("the message is empty")]
    Empty,
    /// The number of chunks is not allowed.
    #[error("{0} chunks in one message; 1 to {CHUNKS_MAX} are allowed")]
    Chunks(usize),
    /// The index of a chunk is not below the number of chunks, its frame would be too long, or it is empty.
    #[error(
        "chunk {index} of {count} of the frame of version {version} is invalid: its index, length or number of chunks is out of bounds"
    )]
    Chunk {
        /// The version of the frame.
        version: u64,
        /// Index of the chunk.
        index: u32,
        /// Number of chunks of the frame.
        count: u32,
    },
}

type Decoded<T> = Result<T, DecodeMessageError>;

impl Message {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Bytes {
        let body = match &self.body {
            Body::Begin(begin) => proto::message::Body::Begin(proto::Begin {
                beginning: begin.beginning.clone(),
                tip_version: begin.tip.version,
                tip_commit_id: Bytes::copy_from_slice(&begin.tip.commit_id),
                unix_ms: begin.unix_ms,
            }),
            Body::Frames(chunks) => {
                let chunks = chunks.iter().map(Chunk::message).collect();
                proto::message::Body::Frames(proto::Frames { chunks })
            }
        };
        let message = proto::Message {
            format: u32::from(FORMAT),
            writer: Bytes::copy_from_slice(&self.writer),
            epoch: self.epoch,
            behind: self.behind,
            body: Some(body),
        };
        message.encode_to_vec().into()
    }

    /// Decodes a message. Only the bytes that [`Self::encode`] returns are accepted. Its chunks share the allocation.
    pub fn decode(bytes: impl Into<Bytes>) -> Decoded<Self> {
        let format = |message: &proto::Message| message.format;
        let message = decode_canonical(bytes.into(), MESSAGE_BYTES_MAX, format)?;
        let body = match message.body.ok_or(DecodeMessageError::Empty)? {
            proto::message::Body::Begin(begin) => Body::Begin(Begin::checked(begin)?),
            proto::message::Body::Frames(frames) => Body::Frames(checked_chunks(frames.chunks)?),
        };
        Ok(Self {
            writer: array(&message.writer, "a writer")?,
            epoch: message.epoch,
            behind: message.behind,
            body,
        })
    }
}

impl Begin {
    fn checked(begin: proto::Begin) -> Decoded<Self> {
        check_length(begin.beginning.len(), BEGINNING_BYTES_MAX)?;
        Ok(Self {
            beginning: begin.beginning,
            tip: position(begin.tip_version, &begin.tip_commit_id)?,
            unix_ms: begin.unix_ms,
        })
    }
}

impl Chunk {
    fn message(&self) -> proto::Chunk {
        proto::Chunk {
            version: self.version,
            index: self.index,
            count: self.count,
            content: self.content.clone(),
        }
    }
}

fn checked_chunks(chunks: Vec<proto::Chunk>) -> Decoded<Vec<Chunk>> {
    if !(1..=CHUNKS_MAX).contains(&chunks.len()) {
        return Err(DecodeMessageError::Chunks(chunks.len()));
    }
    chunks.into_iter().map(checked_chunk).collect()
}

fn checked_chunk(chunk: proto::Chunk) -> Decoded<Chunk> {
    let proto::Chunk {
        version,
        index,
        count,
        content,
    } = chunk;
    // Each chunk has at least one byte.
    let is_possible = index < count && count as usize <= FRAME_BYTES_MAX && !content.is_empty();
    match is_possible {
        true => Ok(Chunk {
            version,
            index,
            count,
            content,
        }),
        false => Err(DecodeMessageError::Chunk {
            version,
            index,
            count,
        }),
    }
}

impl Report {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Bytes {
        let message = proto::Report {
            format: u32::from(FORMAT),
            version: self.synced.version,
            commit_id: Bytes::copy_from_slice(&self.synced.commit_id),
            written_in: self.written_in,
            refuses_below: self.refuses_below,
            epoch: self.epoch,
            sequence: self.sequence,
            unix_ms: self.unix_ms,
        };
        message.encode_to_vec().into()
    }

    /// Decodes a report. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let format = |message: &proto::Report| message.format;
        let bytes = bounded_copy(bytes, REPORT_BYTES_MAX)?;
        let message = decode_canonical(bytes, REPORT_BYTES_MAX, format)?;
        Ok(Self {
            synced: position(message.version, &message.commit_id)?,
            written_in: message.written_in,
            refuses_below: message.refuses_below,
            epoch: message.epoch,
            sequence: message.sequence,
            unix_ms: message.unix_ms,
        })
    }
}

impl Refusal {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Bytes {
        let message = proto::Refusal {
            format: u32::from(FORMAT),
            beginning: self.beginning.clone(),
        };
        message.encode_to_vec().into()
    }

    /// Decodes a request. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let format = |message: &proto::Refusal| message.format;
        let bytes = bounded_copy(bytes, REPORT_BYTES_MAX)?;
        let message = decode_canonical(bytes, REPORT_BYTES_MAX, format)?;
        check_length(message.beginning.len(), BEGINNING_BYTES_MAX)?;
        Ok(Self {
            beginning: message.beginning,
        })
    }
}

fn bounded_copy(bytes: &[u8], max: usize) -> Decoded<Bytes> {
    check_length(bytes.len(), max)?;
    Ok(Bytes::copy_from_slice(bytes))
}

/// Decodes a message of this format if the bytes are its canonical encoding.
fn decode_canonical<M: prost::Message + Default>(
    bytes: Bytes,
    max: usize,
    format: impl FnOnce(&M) -> u32,
) -> Decoded<M> {
    check_length(bytes.len(), max)?;
    let message = M::decode(bytes.clone())?;
    // The format is checked before the form: another format may have other fields.
    match format(&message) {
        format if format == u32::from(FORMAT) => {}
        format => return Err(DecodeMessageError::Format(format)),
    }
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(DecodeMessageError::NotCanonical);
    }
    Ok(message)
}

fn check_length(found: usize, max: usize) -> Decoded<()> {
    match found > max {
        true => Err(DecodeMessageError::TooLong { found, max }),
        false => Ok(()),
    }
}

fn position(version: u64, commit_id: &[u8]) -> Decoded<LogPosition> {
    let commit_id: Digest = array(commit_id, "a commit id")?;
    Ok(LogPosition { version, commit_id })
}

fn array<const N: usize>(bytes: &[u8], what: &'static str) -> Decoded<[u8; N]> {
    bytes.try_into().map_err(|_| DecodeMessageError::Length {
        what,
        expected: N,
        found: bytes.len(),
    })
}
