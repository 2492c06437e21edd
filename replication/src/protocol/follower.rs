//! A tree that follows the stream: it applies new versions, skips known ones, and stops on errors.

use bytes::Bytes;
use trunkline_core::store::log::LogPosition;

use super::reader::{self, Event, ReadError, Reader, Regime, Stray};
use super::{Link, Verifier};
use crate::carrier::{Carried, Ends};
use crate::wire::{Body, Message};

/// The message from which a follower can read on after a restart: a beginning, or its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Sequence number of the message.
    pub sequence: u64,
    /// The hash of the message.
    pub hash: [u8; 32],
}

impl Resume {
    pub(super) fn of(sequence: u64, bytes: &[u8]) -> Self {
        let hash = *blake3::hash(bytes).as_bytes();
        Self { sequence, hash }
    }

    /// Returns whether a message is this one.
    pub fn is(&self, found: &Carried) -> bool {
        Self::of(found.sequence, &found.bytes) == *self
    }
}

/// The action for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<F> {
    /// Apply the frame. Its parent is the last version that was applied.
    Apply(Link, F),
    /// Nothing: the tree has the version already.
    Known(u64),
    /// Nothing: an epoch began.
    Began,
    /// Nothing: the primary is alive. The value is its clock, in milliseconds since 1970.
    Beat(u64),
    /// Count and report it.
    Stray(Stray),
    /// The message was not taken: the follower refuses its epoch. See [`Follower::license`].
    Held,
}

/// The reason why a follower stops. Nothing in error was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The stream itself is at fault.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stream no longer has the next version.
    #[error(
        "the stream begins after version {oldest}, and the tree needs version {wanted}: fetch it from an archive, or bootstrap from a base"
    )]
    Gap {
        /// The next version.
        wanted: u64,
        /// The last version that the stream does not have.
        oldest: u64,
    },
    /// The stream ends before a version that came from it.
    #[error(
        "the tree has version {version} and the stream ends at version {tip}: the carrier lost its tail; promote the replica that has the highest version after a loss"
    )]
    Ahead {
        /// The version of the tree.
        version: u64,
        /// The last version of the stream.
        tip: u64,
    },
    /// The stream is not the one that was read earlier.
    #[error(
        "message {sequence} of the stream is not the one that was read earlier: the carrier lost its tail, or it is another stream; promote after a loss"
    )]
    Replaced {
        /// The message.
        sequence: u64,
    },
}

/// A tree that follows the stream.
#[derive(Clone, Debug)]
pub struct Follower<V> {
    reader: Reader<V>,
    first: u64,
    position: LogPosition,
    refuses_below: u64,
    licensed_until: u64,
    resume: Option<Resume>,
}

type Steps<V> = Vec<Step<<V as Verifier>::Frame>>;

impl<V: Verifier> Follower<V> {
    /// Returns a follower of a tree at a position, which reads from a message on.
    pub fn new(verifier: V, next: u64, position: LogPosition, refuses_below: u64) -> Self {
        Self {
            reader: Reader::new(verifier, next),
            first: next,
            position,
            refuses_below,
            licensed_until: 0,
            resume: None,
        }
    }

    /// Returns the position to read from after a restart, if the stream is the one that was read earlier.
    ///
    /// `found` has the messages read from that sequence number on.
    pub fn resume_from(
        resume: Option<Resume>,
        ends: Ends,
        found: &[Carried],
    ) -> Result<u64, FollowError> {
        let Ends { first, last } = ends;
        let Some(resume) = resume else {
            return Ok(first);
        };
        let sequence = resume.sequence;
        let is_trimmed = sequence < first && sequence <= last;
        let is_same = found.first().is_some_and(|found| resume.is(found));
        match (is_trimmed, is_same) {
            (true, _) => Ok(first),
            (false, true) => Ok(sequence),
            (false, false) => Err(FollowError::Replaced { sequence }),
        }
    }

    /// Returns the next sequence number to read.
    pub fn next(&self) -> u64 {
        self.reader.next()
    }

    /// Returns the last version that was to be applied.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// Returns the epoch of the stream, once a beginning was read.
    pub fn regime(&self) -> Option<&Regime> {
        self.reader.regime()
    }

    /// Returns the message from which it can read on after a restart, once the present position is synced.
    pub fn resume(&self) -> Option<Resume> {
        self.resume
    }

    /// Returns whether a second reader came to the same end. A message that was changed in transit once is not changed
    /// the same way twice.
    pub fn agrees_with(&self, reader: &Reader<V>) -> bool {
        self.reader.next() == reader.next() && self.reader.regime() == reader.regime()
    }

    /// Returns a reader that reads ahead from here.
    pub fn look_ahead(&self) -> Reader<V>
    where
        V: Clone,
    {
        self.reader.clone()
    }

    /// Returns the lowest epoch that it does not refuse.
    pub fn refuses_below(&self) -> u64 {
        self.refuses_below
    }

    /// Refuses all epochs below this one from now on. The caller stores that before it reports it.
    pub fn refuse_below(&mut self, epoch: u64) {
        self.refuses_below = self.refuses_below.max(epoch);
    }

    /// Applies versions of refused epochs up to a message: that message is the beginning of an epoch that is not
    /// refused, or the caller is about to append one there.
    pub fn license(&mut self, until: u64) {
        self.licensed_until = self.licensed_until.max(until);
    }

    /// Returns the message from which it began to read.
    pub fn first_read(&self) -> u64 {
        self.first
    }

    /// Reads the stream again from a message on, as a stream whose epoch is unknown.
    pub fn read_again_from(&mut self, sequence: u64)
    where
        V: Clone,
    {
        self.first = sequence;
        self.reader = Reader::new(self.reader.verifier().clone(), sequence);
    }

    /// Reads the stream again from the message with which it began.
    pub fn read_again(&mut self)
    where
        V: Clone,
    {
        self.read_again_from(self.first);
    }

    /// Forgets the stream, and reads another one.
    pub fn begin_anew(&mut self, sequence: u64, position: LogPosition)
    where
        V: Clone,
    {
        self.resume = None;
        self.position = position;
        self.read_again_from(sequence);
    }

    /// Advances to a version that came from an archive.
    pub fn moved_to(&mut self, position: LogPosition) {
        self.position = position;
    }

    /// Takes a message, and returns the actions.
    pub fn take(&mut self, sequence: u64, bytes: Bytes) -> Result<Steps<V>, FollowError> {
        let message = Message::decode(bytes.clone());
        let is_begin = matches!(&message, Ok(message) if matches!(message.body, Body::Begin(_)));
        if !is_begin && self.holds(sequence) {
            return Ok(vec![Step::Held]);
        }
        let events = self.reader.take(sequence, message)?;
        let steps: Result<Steps<V>, FollowError> =
            events.into_iter().map(|event| self.step(event)).collect();
        let steps = steps?;
        let is_clean = |step: &Step<_>| matches!(step, Step::Began | Step::Beat(_));
        if steps.iter().any(is_clean) {
            self.resume = Some(Resume::of(sequence, &bytes));
        }
        Ok(steps)
    }

    /// Returns whether it waits for an epoch that it does not refuse.
    pub fn is_held(&self) -> bool {
        self.holds(self.reader.next())
    }

    fn holds(&self, sequence: u64) -> bool {
        let regime = self.reader.regime();
        let is_refused = regime.is_some_and(|regime| regime.epoch < self.refuses_below);
        is_refused && sequence > self.licensed_until && sequence >= self.reader.next()
    }

    fn step(&mut self, event: Event<V::Frame>) -> Result<Step<V::Frame>, FollowError> {
        match event {
            Event::Began => self.check_tip().map(|()| Step::Began),
            Event::Beat(unix_ms) => Ok(Step::Beat(unix_ms)),
            Event::Stray(stray) => Ok(Step::Stray(stray)),
            Event::Frame(link, frame) => self.frame(link, frame),
        }
    }

    fn check_tip(&self) -> Result<(), FollowError> {
        let Some(regime) = self.reader.regime() else {
            return Ok(());
        };
        if regime.tip.version > self.position.version {
            return Err(FollowError::Gap {
                wanted: self.position.version + 1,
                oldest: regime.tip.version,
            });
        }
        self.check_same(&regime.tip)
    }

    /// Checks a version that comes from an archive: the tip of the stream must be the same there.
    pub fn check_tip_of(&self, archived: &LogPosition) -> Result<(), FollowError> {
        match self.regime().map(|regime| regime.tip) {
            Some(tip) if tip.version == archived.version && tip != *archived => {
                let (ours, theirs) = (&archived.commit_id, &tip.commit_id);
                Err(reader::diverged(tip.version, ours, theirs).into())
            }
            _ => Ok(()),
        }
    }

    fn check_same(&self, position: &LogPosition) -> Result<(), FollowError> {
        if position.version == self.position.version && *position != self.position {
            let (ours, theirs) = (&self.position.commit_id, &position.commit_id);
            return Err(reader::diverged(position.version, ours, theirs).into());
        }
        Ok(())
    }

    fn frame(&mut self, link: Link, frame: V::Frame) -> Result<Step<V::Frame>, FollowError> {
        let (version, own) = (link.position.version, self.position);
        if version <= own.version {
            self.check_same(&link.position)?;
            return Ok(Step::Known(version));
        }
        // The reader passes only the next version, and the one before was checked.
        if link.parent != own.commit_id {
            return Err(reader::diverged(own.version, &own.commit_id, &link.parent).into());
        }
        self.position = link.position;
        Ok(Step::Apply(link, frame))
    }

    /// Checks a stream that was read to its end.
    pub fn check_end(&self, last: u64) -> Result<(), FollowError> {
        if last + 1 < self.reader.next() {
            let sequence = self.reader.next() - 1;
            return Err(FollowError::Replaced { sequence });
        }
        let (version, regime) = (self.position.version, self.reader.regime());
        match regime {
            Some(regime) if self.reader.next() == last + 1 && regime.tip.version < version => {
                let tip = regime.tip.version;
                Err(FollowError::Ahead { version, tip })
            }
            _ => Ok(()),
        }
    }
}
