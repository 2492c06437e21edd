//! The wire form of frames and beginnings (`core/proto/trunkline/frame/v1/frame.proto`).
//!
//! Decoding checks form and bounds, but no signature. It allocates no more than the bytes can represent: outcomes and
//! effects that are not compressed share the allocation of the bytes.

use bytes::Bytes;
use prost::Message;

use super::{Beginning, Frame};
use crate::params::{FORMAT, TreeParams};
use crate::record::{CommitRecord, RECORD_BYTES_MAX};
use crate::store::log::{EFFECTS_BYTES_MAX, LogEntry, LogPosition, OUTCOMES_BYTES_MAX};
use crate::wire::{self, DecodeError, FormError};

/// The generated messages. They are private, so that no unchecked frame leaves this module.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/trunkline.frame.v1.rs"));
}

/// Length of the longest encoded frame in bytes.
pub const FRAME_BYTES_MAX: usize = RECORD_BYTES_MAX + 256 + OUTCOMES_BYTES_MAX + EFFECTS_BYTES_MAX;
/// Length of the longest encoded beginning in bytes.
pub const BEGINNING_BYTES_MAX: usize = 256;

const CODEC_NONE: u32 = 0;
const CODEC_LZ4: u32 = 1;
/// Most bytes that one byte of an LZ4 block can represent: a byte that extends a match.
const LZ4_RATIO_MAX: usize = 255;
/// Number of bytes of long effects that are compressed to see whether the rest should be.
const SAMPLE_BYTES: usize = 16 << 10;

const OUTCOMES: Part = Part {
    name: "outcomes",
    key: 8 << 3 | 2,
    bytes_max: OUTCOMES_BYTES_MAX,
};
const EFFECTS: Part = Part {
    name: "effects",
    key: 9 << 3 | 2,
    bytes_max: EFFECTS_BYTES_MAX,
};

/// A part of a frame that may be long.
struct Part {
    name: &'static str,
    /// The byte before its length: the number and kind of its field.
    key: u8,
    bytes_max: usize,
}

/// Compression of outcomes and effects on the wire. The signature covers them uncompressed.
///
/// ```
/// # use trunkline_core::frame::{Compression, Frame, SecretKey};
/// # use trunkline_core::record::CommitRecord;
/// # use trunkline_core::store::log::LogEntry;
/// # let record = CommitRecord { version: 1, ..CommitRecord::genesis([1; 32]) };
/// # let entry = LogEntry { record, kzg_root: None, outcomes: "".into(), effects: vec![0; 9000].into() };
/// # let key = SecretKey::generate([7; 32]);
/// let frame = Frame::sign(entry, &key);
/// let [plain, compressed] = [frame.encode(Compression::None)?, frame.encode(Compression::Lz4)?];
/// assert!(compressed.len() < plain.len());
/// assert_eq!(Frame::decode(&compressed.into())?, frame);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// A block of LZ4 each, if that makes the frame shorter.
    Lz4,
}

/// The part of a frame that an encoding cannot hold.
///
/// ```
/// use trunkline_core::frame::EncodeFrameError;
/// let error = EncodeFrameError::TooLong { part: "effects", found: 600, max: 500 };
/// assert_eq!(error.to_string(), "600 bytes of effects are more than 500, the limit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFrameError {
    /// The record has no encoding.
    #[error(transparent)]
    Record(#[from] FormError),
    /// Outcomes or effects are too long.
    #[error("{found} bytes of {part} are more than {max}, the limit")]
    TooLong {
        /// Name of the part.
        part: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The greatest length in bytes.
        max: usize,
    },
}

/// The reason why bytes are not a frame.
///
/// ```
/// use trunkline_core::frame::{DecodeFrameError, Frame};
/// use trunkline_core::wire::DecodeError;
/// let error = Frame::decode(&[0x08, 0x03][..].into()).unwrap_err();
/// assert_eq!(error, DecodeFrameError::Form(DecodeError::Format(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFrameError {
    /// The bytes are not the expected message.
    #[error(transparent)]
    Form(#[from] DecodeError),
    /// The codec is unknown.
    #[error("codec {0} is not known to this build; use the build that wrote the frame")]
    Codec(u32),
    /// Outcomes or effects are too long.
    #[error("{found} bytes of {part} are more than {max}, the limit")]
    TooLong {
        /// Name of the part.
        part: &'static str,
        /// Its length, or the declared one, in bytes.
        found: usize,
        /// The greatest length in bytes.
        max: usize,
    },
    /// The declared length is impossible for these bytes.
    #[error("{found} bytes of {part} cannot stand for {declared}; the frame is damaged")]
    Declared {
        /// Name of the part.
        part: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The declared length before compression, in bytes.
        declared: usize,
    },
    /// The compressed bytes are not a block of LZ4 of the declared length.
    #[error("the {part} are not a block of LZ4 of {declared} bytes; the frame is damaged")]
    Compressed {
        /// Name of the part.
        part: &'static str,
        /// The declared length before compression, in bytes.
        declared: usize,
    },
}

impl Frame {
    /// Returns an encoding, or the bound that the entry exceeds.
    pub fn encode(&self, compression: Compression) -> Result<Vec<u8>, EncodeFrameError> {
        let LogEntry {
            record,
            kzg_root,
            outcomes,
            effects,
        } = &self.entry;
        let plain = proto::Frame {
            format: u32::from(FORMAT),
            record: wire::record(record)?.into(),
            kzg_root: kzg_root.map(Bytes::from_owner).unwrap_or_default(),
            signature: Bytes::from_owner(self.signature),
            outcomes: OUTCOMES.checked(outcomes)?,
            effects: EFFECTS.checked(effects)?,
            ..Default::default()
        };
        let message = match compression {
            Compression::None => plain,
            Compression::Lz4 => compressed(plain),
        };
        Ok(message.encode_to_vec())
    }

    /// Decodes a frame. Only the bytes that [`Self::encode`] can return are accepted, except that LZ4 has many blocks
    /// for the same content. Outcomes and effects that are not compressed share the allocation of the bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeFrameError> {
        let format = |message: &proto::Frame| message.format;
        let message = wire::decode_format(bytes.clone(), FRAME_BYTES_MAX, format)?;
        if !is_canonical(&message, bytes) {
            return Err(DecodeError::NotCanonical.into());
        }
        let signature = wire::array(&message.signature, "a signature")?;
        let kzg_root = wire::optional(&message.kzg_root, |root| wire::array(root, "a KZG root"))?;
        let record = CommitRecord::decode(&message.record).map_err(DecodeError::from)?;
        let codec = message.codec;
        let (outcomes, effects) = (message.outcomes, message.effects);
        let outcomes = OUTCOMES.content(codec, outcomes, message.outcomes_bytes)?;
        let effects = EFFECTS.content(codec, effects, message.effects_bytes)?;
        let entry = LogEntry {
            record,
            kzg_root,
            outcomes,
            effects,
        };
        Ok(Self { entry, signature })
    }
}

/// Returns a message with its long parts compressed, or the same message if that does not make it shorter.
fn compressed(plain: proto::Frame) -> proto::Frame {
    if !seems_compressible(&plain.effects) {
        return plain;
    }
    let compressed = proto::Frame {
        codec: CODEC_LZ4,
        // Both were checked, and fit.
        outcomes_bytes: plain.outcomes.len() as u32,
        effects_bytes: plain.effects.len() as u32,
        outcomes: block(&plain.outcomes),
        effects: block(&plain.effects),
        ..plain.clone()
    };
    match compressed.encoded_len() < plain.encoded_len() {
        true => compressed,
        false => plain,
    }
}

/// Returns whether compressing may be worth its time: a sample of long effects becomes shorter by a sixteenth. Short ones
/// are tried as a whole.
fn seems_compressible(effects: &[u8]) -> bool {
    match effects.get(..SAMPLE_BYTES) {
        Some(sample) if effects.len() > 2 * SAMPLE_BYTES => {
            block(sample).len() < SAMPLE_BYTES - SAMPLE_BYTES / 16
        }
        _ => true,
    }
}

/// Returns a block of LZ4; empty for empty content.
fn block(content: &[u8]) -> Bytes {
    match content {
        [] => Bytes::new(),
        _ => lz4_flex::block::compress(content).into(),
    }
}

/// Returns whether bytes are the only encoding of the message that was decoded from them. Long parts come last and are
/// compared in place, so that they are not encoded again.
fn is_canonical(message: &proto::Frame, bytes: &[u8]) -> bool {
    let head = proto::Frame {
        outcomes: Bytes::new(),
        effects: Bytes::new(),
        ..message.clone()
    };
    let after_head = bytes.strip_prefix(&head.encode_to_vec()[..]);
    let after_outcomes = after_head.and_then(|rest| OUTCOMES.strip(rest, &message.outcomes));
    let rest = after_outcomes.and_then(|rest| EFFECTS.strip(rest, &message.effects));
    rest == Some(&[])
}

impl Part {
    /// Returns the rest after the canonical field of some content.
    fn strip<'a>(&self, bytes: &'a [u8], content: &[u8]) -> Option<&'a [u8]> {
        if content.is_empty() {
            return Some(bytes);
        }
        let mut field = vec![self.key];
        prost::encode_length_delimiter(content.len(), &mut field).ok()?;
        bytes.strip_prefix(&field[..])?.strip_prefix(content)
    }

    fn checked(&self, content: &Bytes) -> Result<Bytes, EncodeFrameError> {
        match content.len() > self.bytes_max {
            true => Err(EncodeFrameError::TooLong {
                part: self.name,
                found: content.len(),
                max: self.bytes_max,
            }),
            false => Ok(content.clone()),
        }
    }

    /// Returns the content that the bytes on the wire represent.
    fn content(&self, codec: u32, bytes: Bytes, declared: u32) -> Result<Bytes, DecodeFrameError> {
        let declared = declared as usize;
        match codec {
            CODEC_NONE if declared == 0 => self.check_length(bytes.len()).map(|()| bytes),
            CODEC_NONE => Err(self.wrong_length(&bytes, declared)),
            CODEC_LZ4 => self.decompress(&bytes, declared),
            codec => Err(DecodeFrameError::Codec(codec)),
        }
    }

    fn decompress(&self, block: &[u8], declared: usize) -> Result<Bytes, DecodeFrameError> {
        self.check_length(declared)?;
        let is_reachable = declared <= block.len().saturating_mul(LZ4_RATIO_MAX);
        if !is_reachable || block.is_empty() != (declared == 0) {
            return Err(self.wrong_length(block, declared));
        }
        if declared == 0 {
            return Ok(Bytes::new());
        }
        let mut content = vec![0; declared];
        match lz4_flex::block::decompress_into(block, &mut content) {
            Ok(written) if written == declared => Ok(content.into()),
            _ => Err(DecodeFrameError::Compressed {
                part: self.name,
                declared,
            }),
        }
    }

    fn check_length(&self, found: usize) -> Result<(), DecodeFrameError> {
        match found > self.bytes_max {
            true => Err(DecodeFrameError::TooLong {
                part: self.name,
                found,
                max: self.bytes_max,
            }),
            false => Ok(()),
        }
    }

    fn wrong_length(&self, bytes: &[u8], declared: usize) -> DecodeFrameError {
        DecodeFrameError::Declared {
            part: self.name,
            found: bytes.len(),
            declared,
        }
    }
}

impl Beginning {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let salt = self.params.salt.as_ref();
        let message = proto::Beginning {
            format: u32::from(FORMAT),
            nonce: Bytes::from_owner(self.params.nonce),
            salt: salt.map_or_else(Bytes::new, |salt| Bytes::from_owner(*salt.bytes())),
            collision: i32::from(self.params.collision as u8),
            epoch: self.epoch,
            version: self.at.version,
            commit_id: Bytes::from_owner(self.at.commit_id),
            signature: Bytes::from_owner(self.signature),
        };
        message.encode_to_vec()
    }

    /// Decodes a beginning. Only the bytes that [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let format = |message: &proto::Beginning| message.format;
        let message = wire::decode_canonical(bytes, BEGINNING_BYTES_MAX, format)?;
        let params = TreeParams {
            nonce: wire::array(&message.nonce, "a nonce")?,
            salt: wire::optional(&message.salt, wire::salt)?,
            collision: wire::collision(message.collision)
                .ok_or(DecodeError::Collision(message.collision))?,
        };
        let at = LogPosition {
            version: message.version,
            commit_id: wire::array(&message.commit_id, "a commit id")?,
        };
        Ok(Self {
            params,
            epoch: message.epoch,
            at,
            signature: wire::array(&message.signature, "a signature")?,
        })
    }
}
