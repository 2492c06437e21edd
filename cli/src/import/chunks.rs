//! Reads a file or standard input on its own thread, so that an import that waits for input notices other events.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::CommandError;
use crate::input::is_standard;

/// Maximum size of a chunk in bytes.
pub(super) const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Most chunks that are read ahead.
const AHEAD_MAX: usize = 4;

/// The next result of reading the input.
#[derive(Debug)]
pub(super) enum Chunk {
    Bytes(Vec<u8>),
    /// No input came within the time.
    Idle,
    End,
}

/// An input that is being read. After it is dropped, its thread may wait for input for ever; the process ends with the
/// command.
#[derive(Debug)]
pub(super) struct Chunks {
    opened: Receiver<io::Result<Option<u64>>>,
    chunks: Receiver<io::Result<Vec<u8>>>,
}

impl Chunks {
    /// Begins to read a file, or standard input (`-`).
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let (to_opened, opened) = sync_channel(1);
        let (to_chunks, chunks) = sync_channel(AHEAD_MAX);
        let path = path.to_owned();
        let thread = thread::Builder::new().name("import-read".to_owned());
        thread
            .spawn(move || match open(&path) {
                Err(error) => drop(to_opened.send(Err(error))),
                Ok((input, bytes)) => {
                    // Both fail only if the receiver is gone.
                    if to_opened.send(Ok(bytes)).is_ok() {
                        read_all(input, &to_chunks);
                    }
                }
            })
            .map_err(CommandError::Thread)?;
        Ok(Self { opened, chunks })
    }

    /// Waits until the input is open: a FIFO also needs a writer. Returns the size of the input if it is known, or
    /// nothing if the input is not open yet.
    pub(super) fn opened(&self, wait: Duration) -> io::Result<Option<Option<u64>>> {
        match self.opened.recv_timeout(wait) {
            Ok(opened) => opened.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ended_early()),
        }
    }

    /// Waits for the next chunk.
    pub(super) fn next(&self, wait: Duration) -> io::Result<Chunk> {
        match self.chunks.recv_timeout(wait) {
            Ok(chunk) => Ok(match chunk? {
                chunk if chunk.is_empty() => Chunk::End,
                chunk => Chunk::Bytes(chunk),
            }),
            Err(RecvTimeoutError::Timeout) => Ok(Chunk::Idle),
            Err(RecvTimeoutError::Disconnected) => Err(ended_early()),
        }
    }
}

fn ended_early() -> io::Error {
    io::Error::other("the thread that reads has ended early")
}

fn open(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if is_standard(path) {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), bytes))
}

/// Sends chunks as they are read, and an empty one at the end.
fn read_all(mut input: Box<dyn Read>, chunks: &SyncSender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; CHUNK_BYTES_MAX];
    loop {
        let read = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map(|count| buffer[..count].to_vec()),
        };
        let is_last = read.as_ref().map_or(true, Vec::is_empty);
        if chunks.send(read).is_err() || is_last {
            return;
        }
    }
}
