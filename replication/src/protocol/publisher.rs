//! A primary's appends: one at a time, each after its own last message.
//!
//! The publisher treats a refused append and one with an unknown outcome alike: it reads the messages after its own
//! last one. If there is none, it appends the same message again at the same position. If the next one is its own, it
//! continues. If it is another one, it stops for good.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_core::store::log::LogPosition;

use super::Resume;
use crate::carrier::{Append, Carried, Ends};
use crate::wire::{
    Begin, Body, CHUNK_OVERHEAD_BYTES, CHUNKS_MAX, Chunk, Message, OVERHEAD_BYTES, Writer,
};

/// Number of times that a stream must be seen to end before an acknowledged message: a server that has just joined its
/// peers again may report too little.
const LOST_SIGHTINGS: u32 = 5;

/// A message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The message.
    pub bytes: Bytes,
    /// The sequence number after which it belongs.
    pub expected_last: u64,
    /// The last whole version once it is appended.
    tip: LogPosition,
    is_begin: bool,
}

/// The reason why a primary appends nothing more, ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Another process appended.
    #[error(
        "message {sequence} of the stream was written by another process{}: this primary is fenced; stop it, and let its directory rejoin as a replica",
        epoch.map(|epoch| format!(", which began epoch {epoch}")).unwrap_or_default()
    )]
    Fenced {
        /// The first message of the other process.
        sequence: u64,
        /// The epoch that this message claims to begin.
        epoch: Option<u64>,
    },
    /// The stream ends before an acknowledged message.
    #[error(
        "the stream acknowledged message {acknowledged} and ends at message {last}: the carrier lost its tail; begin again after a loss, which publishes the missing versions again"
    )]
    TailLost {
        /// The last message that it acknowledged.
        acknowledged: u64,
        /// The last message that it has.
        last: u64,
    },
    /// The carrier appended at the wrong position.
    #[error(
        "message {expected} was appended as message {found}: the carrier does not compare before it appends, so it must not be used"
    )]
    Misnumbered {
        /// The number that follows the expected one.
        expected: u64,
        /// The number that the message got.
        found: u64,
    },
}

#[derive(Debug)]
enum Item {
    /// A chunk, with the version that it completes.
    Chunk(Chunk, Option<LogPosition>),
    Beat(u64),
}

/// Publishes the frames of one epoch.
#[derive(Debug)]
pub struct Publisher {
    writer: Writer,
    epoch: u64,
    beginning: Bytes,
    message_bytes_max: usize,
    /// The last of its own messages that is in the stream.
    confirmed: u64,
    confirmed_tip: LogPosition,
    /// Its last beginning that is in the stream.
    last: Option<Resume>,
    resume: Option<Resume>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    sending: Option<Sending>,
    must_read: bool,
    sightings: u32,
    stopped: Option<Stopped>,
}

impl Publisher {
    /// Returns a publisher that appends its beginning after message `last`, which completes version `tip`.
    pub fn new(
        writer: Writer,
        epoch: u64,
        begin: Begin,
        last: u64,
        message_bytes_max: usize,
    ) -> Self {
        let tip = begin.tip;
        let beginning = begin.beginning.clone();
        let message = Message {
            writer,
            epoch,
            behind: last,
            body: Body::Begin(begin),
        };
        let sending = Sending {
            bytes: message.encode(),
            expected_last: last,
            tip,
            is_begin: true,
        };
        Self {
            writer,
            epoch,
            beginning,
            message_bytes_max,
            confirmed: last,
            confirmed_tip: tip,
            last: None,
            resume: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            sending: Some(sending),
            must_read: false,
            sightings: 0,
            stopped: None,
        }
    }

    /// Returns whether its epoch has begun. Before that, it may stop as fenced only because another process appended
    /// first: then read on and try again.
    pub fn has_begun(&self) -> bool {
        self.resume.is_some()
    }

    /// Returns its last beginning that is in the stream: a reader can resume from there.
    pub fn resume(&self) -> Option<Resume> {
        self.resume
    }

    /// Returns the epoch in which it writes.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the last version that the carrier has stored completely.
    pub fn replicated(&self) -> LogPosition {
        self.confirmed_tip
    }

    /// Returns the sequence number of its last message that is in the stream.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Returns the number of bytes of frames that wait to be appended.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Returns the reason why it stopped, if it did.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Queues the frame of the next version.
    pub fn publish(&mut self, position: LogPosition, mut frame: Bytes) {
        let most = self.message_bytes_max - OVERHEAD_BYTES - CHUNK_OVERHEAD_BYTES;
        let count = frame.len().div_ceil(most) as u32;
        self.queued_bytes += frame.len();
        for index in 0..count {
            let content = frame.split_to(most.min(frame.len()));
            let is_last = index + 1 == count;
            let chunk = Chunk {
                version: position.version,
                index,
                count,
                content,
            };
            let item = Item::Chunk(chunk, is_last.then_some(position));
            self.queue.push_back(item);
        }
    }

    /// Queues a sign of life, unless one is waiting.
    pub fn beat(&mut self, unix_ms: u64) {
        if !matches!(self.queue.back(), Some(Item::Beat(_))) {
            self.queue.push_back(Item::Beat(unix_ms));
        }
    }

    /// Returns the next message to append, if there is one. It stays the same until its outcome is known.
    pub fn next_append(&mut self) -> Option<Sending> {
        if self.must_read || self.stopped.is_some() {
            return None;
        }
        if self.sending.is_none() {
            self.sending = self.message();
        }
        self.sending.clone()
    }

    fn message(&mut self) -> Option<Sending> {
        let (body, tip) = match self.queue.front()? {
            Item::Beat(unix_ms) => {
                let body = self.begin(*unix_ms);
                self.queue.pop_front();
                (body, self.confirmed_tip)
            }
            Item::Chunk(..) => self.frames(),
        };
        let message = Message {
            writer: self.writer,
            epoch: self.epoch,
            behind: self.confirmed,
            body,
        };
        Some(Sending {
            bytes: message.encode(),
            expected_last: self.confirmed,
            tip,
            is_begin: matches!(message.body, Body::Begin(_)),
        })
    }

    fn begin(&self, unix_ms: u64) -> Body {
        Body::Begin(Begin {
            beginning: self.beginning.clone(),
            tip: self.confirmed_tip,
            unix_ms,
        })
    }

    /// Takes as many chunks from the queue as fit into a message.
    fn frames(&mut self) -> (Body, LogPosition) {
        let mut chunks = Vec::new();
        let mut tip = self.confirmed_tip;
        let mut room = self.message_bytes_max - OVERHEAD_BYTES;
        while let Some(Item::Chunk(chunk, _)) = self.queue.front() {
            let bytes = chunk.content.len() + CHUNK_OVERHEAD_BYTES;
            if bytes > room || chunks.len() == CHUNKS_MAX {
                break;
            }
            room -= bytes;
            if let Some(Item::Chunk(chunk, whole)) = self.queue.pop_front() {
                tip = whole.unwrap_or(tip);
                self.queued_bytes -= chunk.content.len();
                chunks.push(chunk);
            }
        }
        (Body::Frames(chunks), tip)
    }

    /// Takes the outcome of the append of [`Self::next_append`].
    pub fn outcome(&mut self, outcome: Append) -> Result<(), Stopped> {
        match outcome {
            Append::Refused | Append::Unknown(_) => self.must_read = true,
            Append::Appended(sequence) if sequence == self.confirmed + 1 => self.confirm(),
            Append::Appended(found) => {
                let expected = self.confirmed + 1;
                return Err(self.stop(Stopped::Misnumbered { expected, found }));
            }
        }
        Ok(())
    }

    /// Returns the sequence number from which the stream must be read before anything else is appended: that of its
    /// last message, if there is one.
    pub fn must_read(&self) -> Option<u64> {
        let is_due = self.must_read && self.stopped.is_none();
        is_due.then_some(self.confirmed.max(1))
    }

    /// Takes the end of the stream: its ends, and its messages from [`Self::must_read`] on, in any order.
    ///
    /// The ends must be requested before the messages are read.
    pub fn tail(&mut self, ends: Ends, messages: &[Carried]) -> Result<(), Stopped> {
        if ends.last < self.confirmed {
            return self.sight_loss(ends.last);
        }
        self.sightings = 0;
        let find = |sequence| messages.iter().find(|found| found.sequence == sequence);
        let is_replaced = |own: Resume| find(own.sequence).is_some_and(|found| !own.is(found));
        if self.last.is_some_and(is_replaced) {
            return Err(self.stop(fenced(messages, self.confirmed)));
        }
        let next = self.confirmed + 1;
        let is_own = |own: &Sending| find(next).map(|found| found.bytes == own.bytes);
        let last = messages.iter().map(|found| found.sequence).max();
        let last = last.unwrap_or(0).max(ends.last);
        match self.sending.as_ref().and_then(is_own) {
            Some(true) if last == next => {
                self.must_read = false;
                self.confirm();
            }
            // The ends promise more messages than were delivered.
            Some(true) if find(next + 1).is_none() => {}
            Some(true) => return Err(self.stop(fenced(messages, next + 1))),
            Some(false) => return Err(self.stop(fenced(messages, next))),
            None => self.must_read = last >= next,
        }
        Ok(())
    }

    fn sight_loss(&mut self, last: u64) -> Result<(), Stopped> {
        self.sightings += 1;
        if self.sightings < LOST_SIGHTINGS {
            return Ok(());
        }
        let acknowledged = self.confirmed;
        Err(self.stop(Stopped::TailLost { acknowledged, last }))
    }

    fn confirm(&mut self) {
        self.confirmed += 1;
        let Some(sending) = self.sending.take() else {
            return;
        };
        self.last = Some(Resume::of(self.confirmed, &sending.bytes));
        if sending.is_begin {
            self.resume = self.last;
        }
        self.confirmed_tip = sending.tip;
    }

    fn stop(&mut self, stopped: Stopped) -> Stopped {
        self.stopped.get_or_insert(stopped).clone()
    }
}

/// Identifies the writer of the messages from one on.
fn fenced(messages: &[Carried], from: u64) -> Stopped {
    let others = messages.iter().filter(|found| found.sequence >= from);
    let begun = others.filter_map(|found| {
        let message = Message::decode(found.bytes.clone()).ok()?;
        matches!(message.body, Body::Begin(_)).then_some(message.epoch)
    });
    Stopped::Fenced {
        sequence: from,
        epoch: begun.max(),
    }
}
