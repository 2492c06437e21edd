//! Turns the messages of the stream, in order, into epochs and frames.
//!
//! Readers of the same messages, from the same beginning on, get the same result. `follower` applies the frames to a
//! tree.

use bytes::{Bytes, BytesMut};
use trunkline_core::frame::FRAME_BYTES_MAX;
use trunkline_core::store::log::LogPosition;

use super::{Begun, Link, Rejected, Verifier};
use crate::wire::{Begin, Body, Chunk, DecodeMessageError, Message, Writer};

/// The epoch of the stream, and its progress. Two regimes are equal if they allow the same versions.
#[derive(Clone, Copy, Debug)]
pub struct Regime {
    /// The epoch.
    pub epoch: u64,
    /// The process that writes in it.
    pub writer: Writer,
    /// The version that the writer had reached when the epoch began.
    pub at: LogPosition,
    /// The last version whose whole frame is in the stream.
    pub tip: LogPosition,
    /// The lowest epoch that a version up to `at` may have.
    floor: u64,
}

impl PartialEq for Regime {
    fn eq(&self, other: &Self) -> bool {
        // A reader that began later does not know the lowest epoch.
        let place = |regime: &Self| (regime.epoch, regime.writer, regime.at, regime.tip);
        place(self) == place(other)
    }
}

impl Eq for Regime {}

impl Regime {
    fn floor_from_here(&self) -> u64 {
        match self.at.version <= self.tip.version {
            true => self.epoch,
            false => self.floor,
        }
    }

    /// Returns whether a version may have been written in its epoch.
    fn allows(&self, link: &Link) -> bool {
        match link.position.version > self.at.version {
            true => link.epoch == self.epoch,
            false => (self.floor..self.epoch).contains(&link.epoch),
        }
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<F> {
    /// An epoch begins, or the reader has found the epoch of the stream.
    Began,
    /// The writer is alive. The value is its clock, in milliseconds since 1970.
    Beat(u64),
    /// The next frame of the chain.
    Frame(Link, F),
    /// A part that does not belong here; it is ignored.
    Stray(Stray),
}

/// The reason why a part of a message is ignored. An honest writer over an honest carrier never causes one, except for
/// [`Stray::BeforeBeginning`] and [`Stray::Writer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stray {
    /// The bytes are not a message.
    #[error("not a message: {0}")]
    Form(#[from] DecodeMessageError),
    /// A message that was written for another position.
    #[error("a message that was written to follow message {0}")]
    Moved(u64),
    /// A frame or a beginning that no pinned key signed.
    #[error("forged, or not of this tree: {0}")]
    Forged(#[from] Rejected),
    /// Frames before the first beginning that was read.
    #[error("frames before a beginning")]
    BeforeBeginning,
    /// A writer whose epoch has ended, or has never begun.
    #[error("a writer of epoch {epoch}, while epoch {current} is written by another one")]
    Writer {
        /// The epoch of the message.
        epoch: u64,
        /// The epoch of the stream.
        current: u64,
    },
    /// A beginning that contradicts itself.
    #[error("a beginning that contradicts itself")]
    Beginning,
    /// A chunk that does not continue the current frame, or that is repeated.
    #[error("chunk {index} of version {version} is out of place")]
    Chunk {
        /// The version of the frame.
        version: u64,
        /// Index of the chunk.
        index: u32,
    },
    /// A repeated frame.
    #[error("a repetition of version {0}")]
    Repeated(u64),
    /// A frame of an epoch that cannot have written it.
    #[error("version {version} of epoch {epoch}, which had ended")]
    Epoch {
        /// The version.
        version: u64,
        /// The epoch in its record.
        epoch: u64,
    },
}

/// The reason why reading a stream cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A message is missing.
    #[error(
        "message {expected} of the stream is missing, message {found} comes next: read again from there, or from the archive"
    )]
    Hole {
        /// The expected message.
        expected: u64,
        /// The message that came.
        found: u64,
    },
    /// A frame is missing.
    #[error(
        "the stream has version {found} after version {tip}: the carrier lost or changed frames; promote the replica that has the highest version after a loss"
    )]
    Missing {
        /// The version before the gap.
        tip: u64,
        /// The version that came.
        found: u64,
    },
    /// Two versions have the same number.
    #[error(
        "version {version} diverges: commit id {ours} was read before, and {theirs} contradicts it; compare both primaries before you promote one"
    )]
    Diverged {
        /// The version at which they differ.
        version: u64,
        /// The commit id that was expected, in hexadecimal.
        ours: String,
        /// The commit id that came.
        theirs: String,
    },
    /// Two processes claim to have begun the same epoch.
    #[error(
        "message {sequence} says that another process began epoch {epoch}: it was changed in transit, or two copies of a directory were opened for writing; follow again, and if the error remains, promote again"
    )]
    TwoWriters {
        /// The message.
        sequence: u64,
        /// The epoch.
        epoch: u64,
    },
    /// A beginning names another stream than this one.
    #[error(
        "message {sequence} says that the stream ends at version {named}, but it was read to version {read}: the carrier lost its tail, or it is another stream; promote after a loss"
    )]
    TailLost {
        /// The message.
        sequence: u64,
        /// The tip that was read.
        read: u64,
        /// The tip that the beginning names.
        named: u64,
    },
}

pub(super) fn diverged(version: u64, ours: &[u8; 32], theirs: &[u8; 32]) -> ReadError {
    ReadError::Diverged {
        version,
        ours: blake3::Hash::from_bytes(*ours).to_string(),
        theirs: blake3::Hash::from_bytes(*theirs).to_string(),
    }
}

/// A frame with missing chunks.
#[derive(Clone, Debug)]
struct Assembly {
    version: u64,
    next: u32,
    count: u32,
    content: BytesMut,
}

/// Reads the stream from a message on.
#[derive(Clone, Debug)]
pub struct Reader<V> {
    verifier: V,
    next: u64,
    regime: Option<Regime>,
    assembly: Option<Assembly>,
}

type Events<V> = Vec<Event<<V as Verifier>::Frame>>;

impl<V: Verifier> Reader<V> {
    /// Returns a reader that begins at a message.
    pub fn new(verifier: V, next: u64) -> Self {
        Self {
            verifier,
            next,
            regime: None,
            assembly: None,
        }
    }

    /// Returns the next sequence number to read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Returns the epoch of the stream, once a beginning was read.
    pub fn regime(&self) -> Option<&Regime> {
        self.regime.as_ref()
    }

    /// Returns the verifier of signatures.
    pub fn verifier(&self) -> &V {
        &self.verifier
    }

    /// Reads a message. A message that was read earlier has no events.
    pub fn read(&mut self, sequence: u64, bytes: Bytes) -> Result<Events<V>, ReadError> {
        self.take(sequence, Message::decode(bytes))
    }

    pub(super) fn take(
        &mut self,
        sequence: u64,
        message: Result<Message, DecodeMessageError>,
    ) -> Result<Events<V>, ReadError> {
        if sequence < self.next {
            return Ok(Vec::new());
        }
        if sequence > self.next {
            return Err(ReadError::Hole {
                expected: self.next,
                found: sequence,
            });
        }
        let events = match message {
            Err(error) => vec![Event::Stray(error.into())],
            Ok(message) if message.behind.checked_add(1) != Some(sequence) => {
                vec![Event::Stray(Stray::Moved(message.behind))]
            }
            Ok(message) => match message.body {
                Body::Begin(begin) => {
                    vec![self.begin(sequence, message.writer, message.epoch, &begin)?]
                }
                Body::Frames(chunks) => self.frames(message.writer, message.epoch, chunks)?,
            },
        };
        self.next = sequence + 1;
        Ok(events)
    }

    fn begin(
        &mut self,
        sequence: u64,
        writer: Writer,
        epoch: u64,
        begin: &Begin,
    ) -> Result<Event<V::Frame>, ReadError> {
        let begun = match self.verifier.beginning(&begin.beginning) {
            Ok(begun) => begun,
            Err(rejected) => return Ok(Event::Stray(rejected.into())),
        };
        if begun.epoch != epoch || !may_follow(&begun.at, &begin.tip) {
            return Ok(Event::Stray(Stray::Beginning));
        }
        let Some(regime) = self.regime else {
            self.enter(writer, begun, begin.tip, 0);
            return Ok(Event::Began);
        };
        let is_repeated = epoch == regime.epoch && writer == regime.writer;
        if !is_repeated && epoch == regime.epoch {
            return Err(ReadError::TwoWriters { sequence, epoch });
        }
        if epoch < regime.epoch {
            let current = regime.epoch;
            return Ok(Event::Stray(Stray::Writer { epoch, current }));
        }
        if begin.tip != regime.tip {
            return Err(ReadError::TailLost {
                sequence,
                read: regime.tip.version,
                named: begin.tip.version,
            });
        }
        // No other message of the same writer interrupts its frames or beginnings.
        self.assembly = None;
        if is_repeated {
            return Ok(Event::Beat(begin.unix_ms));
        }
        self.enter(writer, begun, begin.tip, regime.floor_from_here());
        Ok(Event::Began)
    }

    fn enter(&mut self, writer: Writer, begun: Begun, tip: LogPosition, floor: u64) {
        self.regime = Some(Regime {
            epoch: begun.epoch,
            writer,
            at: begun.at,
            tip,
            floor,
        });
    }

    fn frames(
        &mut self,
        writer: Writer,
        epoch: u64,
        chunks: Vec<Chunk>,
    ) -> Result<Events<V>, ReadError> {
        let stray = match &self.regime {
            None => Stray::BeforeBeginning,
            Some(regime) if (regime.epoch, regime.writer) != (epoch, writer) => Stray::Writer {
                epoch,
                current: regime.epoch,
            },
            Some(_) => {
                let events = chunks.into_iter().map(|chunk| self.chunk(chunk));
                return events.filter_map(Result::transpose).collect();
            }
        };
        Ok(vec![Event::Stray(stray)])
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<Option<Event<V::Frame>>, ReadError> {
        match self.assemble(chunk) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => self.frame(frame).map(Some),
            Err(stray) => Ok(Some(Event::Stray(stray))),
        }
    }

    /// Adds a chunk to the frame that it belongs to, and returns the frame when it is whole.
    fn assemble(&mut self, chunk: Chunk) -> Result<Option<Bytes>, Stray> {
        let (version, index) = (chunk.version, chunk.index);
        if chunk.count == 1 {
            return Ok(Some(chunk.content));
        }
        if index == 0 {
            self.assembly = Some(Assembly {
                version,
                next: 0,
                count: chunk.count,
                content: BytesMut::new(),
            });
        }
        let out_of_place = Stray::Chunk { version, index };
        let assembly = self.assembly.as_mut().ok_or(out_of_place.clone())?;
        let place = (assembly.version, assembly.next, assembly.count);
        if place != (version, index, chunk.count) {
            return Err(out_of_place);
        }
        if assembly.content.len() + chunk.content.len() > FRAME_BYTES_MAX {
            self.assembly = None;
            return Err(out_of_place);
        }
        assembly.content.extend_from_slice(&chunk.content);
        assembly.next += 1;
        if assembly.next < assembly.count {
            return Ok(None);
        }
        let whole = self.assembly.take();
        Ok(whole.map(|assembly| assembly.content.freeze()))
    }

    fn frame(&mut self, bytes: Bytes) -> Result<Event<V::Frame>, ReadError> {
        let (link, frame) = match self.verifier.frame(bytes) {
            Ok(verified) => verified,
            Err(rejected) => return Ok(Event::Stray(rejected.into())),
        };
        let Some(regime) = self.regime.as_mut() else {
            return Ok(Event::Stray(Stray::BeforeBeginning));
        };
        let (version, tip) = (link.position.version, regime.tip);
        if version <= tip.version {
            return Ok(Event::Stray(Stray::Repeated(version)));
        }
        if !regime.allows(&link) {
            let epoch = link.epoch;
            return Ok(Event::Stray(Stray::Epoch { version, epoch }));
        }
        if version - tip.version > 1 {
            return Err(ReadError::Missing {
                tip: tip.version,
                found: version,
            });
        }
        if link.parent != tip.commit_id {
            return Err(diverged(tip.version, &tip.commit_id, &link.parent));
        }
        if version == regime.at.version && link.position != regime.at {
            let theirs = &link.position.commit_id;
            return Err(diverged(version, &regime.at.commit_id, theirs));
        }
        regime.tip = link.position;
        if version == regime.at.version {
            regime.floor = regime.epoch;
        }
        Ok(Event::Frame(link, frame))
    }
}

/// Returns whether a chain through `at` can have `tip`. (A beginning is repeated, so the tip may be later.)
fn may_follow(at: &LogPosition, tip: &LogPosition) -> bool {
    at.version != tip.version || at.commit_id == tip.commit_id
}
