//! The messages of the stream, and what replicas report: the wire form of
//! `replication/proto/trunkline/replication/v1/replication.proto`.
//!
//! Reading checks form and bounds. Not here: signatures, and what a message means where it stands (`protocol`).

use bytes::Bytes;
use prost::Message as _;
use trunkline_core::frame::{BEGINNING_BYTES_MAX, FRAME_BYTES_MAX};
use trunkline_core::hash::Digest;
use trunkline_core::params::FORMAT;
use trunkline_core::store::log::LogPosition;

/// The generated messages: never handed out, so that no unchecked message is.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/trunkline.replication.v1.rs"));
}

/// Longest message of the stream, bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Shortest bound that a carrier may set, bytes: a beginning, or a chunk of useful size, fits.
pub const MESSAGE_BYTES_LEAST: usize = 4 << 10;
/// Longest report or refusal, bytes.
pub const REPORT_BYTES_MAX: usize = 512;
/// Most chunks of a message.
pub const CHUNKS_MAX: usize = 4096;
/// Bytes of a message that are not the content of its only chunk, at most.
pub(crate) const OVERHEAD_BYTES: usize = 96;
/// Bytes of a chunk that are not its content, at most.
pub(crate) const CHUNK_OVERHEAD_BYTES: usize = 32;

/// Random bytes that name a process which writes to the stream.
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
    /// The process that writes.
    pub writer: Writer,
    /// The epoch that it writes in.
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
    /// The version after which the next frame comes.
    pub tip: LogPosition,
    /// The writer's clock, milliseconds since 1970.
    pub unix_ms: u64,
}

/// A piece of a frame, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The version of the frame.
    pub version: u64,
    /// Place of the chunk, from 0.
    pub index: u32,
    /// Chunks of the frame.
    pub count: u32,
    /// A piece of the encoded frame.
    pub content: Bytes,
}

/// A replica's word: what it has synced, and what it refuses.
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
    /// It applies nothing that was written in an epoch below this one.
    pub refuses_below: u64,
    /// The epoch that the stream was in where it reads, or 0.
    pub epoch: u64,
    /// The last sequence number of the stream that it has read.
    pub sequence: u64,
    /// The replica's clock, milliseconds since 1970.
    pub unix_ms: u64,
}

/// A request to refuse all epochs below that of a signed beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The signed beginning that is to be appended, encoded.
    pub beginning: Bytes,
}

/// The reason why bytes are no message of a stream, and no report.
///
/// ```
/// use trunkline_replication::wire::{DecodeMessageError, Message};
/// assert_eq!(Message::decode(&[0x08, 0x03][..]), Err(DecodeMessageError::Format(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeMessageError {
    /// Longer than any.
    #[error("{found} bytes are more than {max}, the limit")]
    TooLong {
        /// Its bytes.
        found: usize,
        /// The most that it may have.
        max: usize,
    },
    /// The bytes are not the protobuf message.
    #[error("the bytes are not the protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Another format.
    #[error(
        "a message of format {0}; this build reads format {FORMAT}: use the build that wrote it"
    )]
    Format(u32),
    /// The message has another encoding: fields out of order or unknown, or defaults spelled out.
    #[error("the bytes are not in canonical form")]
    NotCanonical,
    /// Bytes that have a fixed length have another one.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// Name of the part.
        what: &'static str,
        /// Its length.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// The message has neither frames nor a beginning.
    #[error("the message is empty")]
    Empty,
    /// There are more chunks, or fewer, than a message may have.
    #[error("{0} chunks in one message; 1 to {CHUNKS_MAX} are allowed")]
    Chunks(usize),
    /// The place of a chunk is none, or its frame would be too long, or it is empty.
    #[error("chunk {index} of {count} of the frame of version {version} is impossible")]
    Chunk {
        /// The version of the frame.
        version: u64,
        /// Place of the chunk.
        index: u32,
        /// Chunks of the frame.
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

    /// Reads a message; only the bytes that [`Self::encode`] gives are accepted. Its chunks share the allocation.
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
    // Each chunk has a byte at least.
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

    /// Reads a report; only the bytes that [`Self::encode`] gives are accepted.
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

    /// Reads a request; only the bytes that [`Self::encode`] gives are accepted.
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

/// Reads a message, if it is of this format and the bytes are its canonical encoding.
fn decode_canonical<M: prost::Message + Default>(
    bytes: Bytes,
    max: usize,
    format: impl FnOnce(&M) -> u32,
) -> Decoded<M> {
    check_length(bytes.len(), max)?;
    let message = M::decode(bytes.clone())?;
    // Before the form: another format may have other fields.
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
