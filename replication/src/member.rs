//! The options of a member, and reading the stream: the common parts of primaries and replicas.

use std::path::PathBuf;
use std::time::Duration;

use trunkline_core::frame::{Compression, PublicKey, SecretKey};
use trunkline_core::store::disk::ReadFileError;

use crate::acknowledge::Acknowledge;
use crate::carrier::{Append, Carried, Carrier, CarrierError, Ends};
use crate::memory::MemoryError;
use crate::protocol::{
    FollowError, Follower, Pinned, Publisher, ReadError, Reader, Resume, Stopped,
};

/// Number of messages that are read at once.
pub(crate) const MESSAGES_AT_ONCE: usize = 64;
/// Number of messages before the end in which a beginning is looked for first.
const LOOK_BACK: u64 = 256;
/// The wait before a call is repeated.
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// The options of a member: a directory that may be a primary's or a replica's.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this member, of letters, digits, `-` and `_`.
    pub name: String,
    /// The names of all members, including this one.
    pub members: Vec<String>,
    /// The key that this member signs with as the primary.
    pub key: SecretKey,
    /// The keys of all members that may be the primary, including this one's.
    pub keys: Vec<PublicKey>,
    /// A small file that this member keeps outside its directory.
    pub memory_file: PathBuf,
    /// Compression of frames.
    pub compression: Compression,
    /// Time between signs of life of the primary.
    pub beat: Duration,
    /// Time between reports of a replica, and between a primary's reads of the reports while no caller waits for
    /// `followed`.
    pub report: Duration,
    /// Most bytes of frames that wait at the primary for the carrier. Further frames stay in the log.
    pub queue_bytes_max: usize,
    /// The level that [`Primary::acknowledged`](crate::Primary::acknowledged) waits for.
    pub acknowledge: Acknowledge,
}

impl Options {
    /// Returns options with the usual times.
    pub fn new(name: &str, members: &[&str], key: SecretKey, memory_file: PathBuf) -> Self {
        Self {
            name: name.into(),
            members: members.iter().map(|name| (*name).into()).collect(),
            keys: vec![key.public()],
            key,
            memory_file,
            compression: Compression::Lz4,
            beat: Duration::from_secs(1),
            report: Duration::from_millis(100),
            queue_bytes_max: 16 << 20,
            acknowledge: Acknowledge::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let is_name = |name: &String| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
        };
        if let Some(name) = self.members.iter().find(|name| !is_name(name)) {
            return Err(OptionsError::Name(name.clone()));
        }
        if !self.members.contains(&self.name) {
            return Err(OptionsError::NotAMember(self.name.clone()));
        }
        match self.keys.contains(&self.key.public()) {
            true => Ok(()),
            false => Err(OptionsError::Key),
        }
    }
}

/// The reason why options cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A name is too long, or has other characters.
    #[error("{0:?} cannot be the name of a member: use 1 to 64 letters, digits, - and _")]
    Name(String),
    /// The name is not among the members.
    #[error("{0} is not among the members; name all members that may be primary or replica")]
    NotAMember(String),
    /// The member's own key is not pinned.
    #[error("the key of this member is not among the pinned keys; pin it at all members")]
    Key,
}

/// The reason why a member cannot start to read or write the stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The options are wrong.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The carrier does not answer.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
    /// The stream cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stream does not fit the tree.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The memory file cannot be used.
    #[error(transparent)]
    Memory(#[from] ReadFileError<MemoryError>),
    /// The memory file cannot be written.
    #[error("cannot write the memory file: {0}")]
    WriteMemory(std::io::Error),
}

/// Returns the position to read from after a restart, and the ends of the stream.
pub(crate) async fn resume_point<C: Carrier>(
    carrier: &C,
    resume: Option<Resume>,
) -> Result<(u64, Ends), StreamError> {
    let ends = carrier.ends().await?;
    let found = match resume {
        Some(resume) if resume.sequence <= ends.last => carrier.read(resume.sequence, 1).await?,
        _ => Vec::new(),
    };
    let next = Follower::<Pinned>::resume_from(resume, ends, &found)?;
    Ok((next, ends))
}

/// Reads the stream to its end, starting at a message.
pub(crate) async fn read_from<C: Carrier>(
    carrier: &C,
    verifier: &Pinned,
    from: u64,
) -> Result<(Reader<Pinned>, Ends), StreamError> {
    let mut reader = Reader::new(verifier.clone(), from);
    let mut ends = carrier.ends().await?;
    while reader.next() <= ends.last {
        let next = reader.next();
        let read = read_all(&mut reader, carrier.read(next, MESSAGES_AT_ONCE).await?);
        if reader.next() > ends.last || read.is_err() {
            ends = carrier.ends().await?;
        }
        match read {
            // The messages arrived in another order: they are read again from there.
            Err(ReadError::Hole { .. }) if reader.next() >= ends.first => {
                tokio::time::sleep(RETRY).await;
            }
            read => read?,
        }
    }
    Ok((reader, ends))
}

fn read_all(reader: &mut Reader<Pinned>, messages: Vec<Carried>) -> Result<(), ReadError> {
    for carried in messages {
        reader.read(carried.sequence, carried.bytes)?;
    }
    Ok(())
}

/// Finds the epoch of the stream, reading as little of the stream as possible.
pub(crate) async fn read_end<C: Carrier>(
    carrier: &C,
    verifier: &Pinned,
    resume: Option<Resume>,
) -> Result<(Reader<Pinned>, Ends), StreamError> {
    let (resumed, ends) = resume_point(carrier, resume).await?;
    let from = match resume {
        Some(_) => resumed,
        None => ends.last.saturating_sub(LOOK_BACK).max(ends.first),
    };
    let read = read_from(carrier, verifier, from).await?;
    match read.0.regime() {
        None if from > ends.first => read_from(carrier, verifier, ends.first).await,
        _ => Ok(read),
    }
}

/// Performs the next step of a publisher with the carrier. Returns whether there was one.
pub(crate) async fn drive<C: Carrier>(
    carrier: &C,
    publisher: &mut Publisher,
) -> Result<bool, Stopped> {
    if let Some(from) = publisher.must_read() {
        read_tail(carrier, publisher, from).await?;
        if publisher.must_read().is_some() {
            tokio::time::sleep(RETRY).await;
        }
        return Ok(true);
    }
    let Some(sending) = publisher.next_append() else {
        return Ok(false);
    };
    let outcome = carrier.append(sending.bytes, sending.expected_last).await;
    if let Append::Unknown(_) = outcome {
        tokio::time::sleep(RETRY).await;
    }
    publisher.outcome(outcome).map(|()| true)
}

async fn read_tail<C: Carrier>(
    carrier: &C,
    publisher: &mut Publisher,
    from: u64,
) -> Result<(), Stopped> {
    // The ends are read first: the messages then reach at least as far.
    let Ok(ends) = carrier.ends().await else {
        return Ok(());
    };
    match carrier.read(from, 4).await {
        Ok(messages) => publisher.tail(ends, &messages),
        Err(_) => Ok(()),
    }
}
