//! Rejoining: makes the directory of a fenced primary, or of a diverged replica, follow again.
//!
//! It may have versions that the stream does not have: its surplus, which was acknowledged as durable but never
//! replicated. The surplus is reported and written to a file, and the directory is rewound to the last version that it
//! has in common with the stream. Nothing is merged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline::{Config, FeedError, OpenError, Rewind, RewindError};
use trunkline_core::frame::{Compression, EncodeFrameError, Frame, SecretKey};
use trunkline_core::store::log::LogPosition;

use crate::carrier::{Carrier, CarrierError};
use crate::member::{MESSAGES_AT_ONCE, Options, StreamError};
use crate::memory::MemoryFile;
use crate::protocol::{Pinned, Reader};

/// The result of rejoining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejoined {
    /// The last version that the directory and the stream have in common, which is now the directory's last one.
    pub common: LogPosition,
    /// The first and the last version of the surplus, if there was one.
    pub surplus: Option<(u64, u64)>,
}

/// The reason why a directory did not rejoin. The directory is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RejoinError {
    /// The stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Stream and directory have no version in common.
    #[error(
        "the stream has no version in common with the directory, which can go back to version {oldest}: keep it as it is, and begin a new directory from an archive or a copy of another member"
    )]
    NothingInCommon {
        /// The oldest version to which the directory can be rewound.
        oldest: u64,
    },
    /// The directory cannot be rewound.
    #[error(transparent)]
    Rewind(#[from] RewindError),
    /// The surplus cannot be read.
    #[error("cannot read the surplus: {0}")]
    Read(#[from] FeedError),
    /// A version of the surplus is too long for a frame.
    #[error("cannot write the surplus: {0}")]
    Frame(#[from] EncodeFrameError),
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl From<CarrierError> for RejoinError {
    fn from(error: CarrierError) -> Self {
        Self::Stream(error.into())
    }
}

/// Prepares a directory to follow the stream, whatever its role was. No engine and no replica may have it open.
///
/// The surplus is written to `surplus_file`, which must not exist, as frames signed by this member. Each is preceded by
/// its length in four bytes, little-endian.
///
/// # Errors
///
/// Fails if the stream and the directory have no version in common, or if a file cannot be written.
pub async fn rejoin<C: Carrier>(
    config: Config,
    carrier: Arc<C>,
    options: Options,
    surplus_file: PathBuf,
) -> Result<Rejoined, RejoinError> {
    options.check().map_err(StreamError::from)?;
    let rewind = blocking(move || Rewind::begin(&config)).await?;
    let tree_id = rewind.params().tree_id();
    let verifier = Pinned {
        tree_id,
        keys: options.keys.clone(),
    };
    let stream = versions_of(&*carrier, verifier).await?;
    let is_common = |own: &&LogPosition| stream.get(&own.version) == Some(own);
    let Some(common) = rewind.positions().iter().rev().find(is_common).copied() else {
        let oldest = rewind.positions().first().map_or(0, |first| first.version);
        return Err(RejoinError::NothingInCommon { oldest });
    };
    let last = rewind.last().version;
    let surplus = (last > common.version).then_some((common.version + 1, last));
    let key = options.key.clone();
    let finish = move || {
        if surplus.is_some() {
            write_surplus(&rewind, common.version, &surplus_file, &key)?;
        }
        // Also without a surplus: the directory may be marked as a primary's.
        Ok::<_, RejoinError>(rewind.finish(common)?)
    };
    blocking(finish).await?;
    forget_stream(&MemoryFile::new(&options.memory_file, tree_id)).await?;
    Ok(Rejoined { common, surplus })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The task is never aborted.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Returns all versions of the stream.
async fn versions_of<C: Carrier>(
    carrier: &C,
    verifier: Pinned,
) -> Result<BTreeMap<u64, LogPosition>, StreamError> {
    let ends = carrier.ends().await?;
    let mut reader = Reader::new(verifier, ends.first);
    let mut versions = BTreeMap::new();
    while reader.next() <= ends.last {
        for carried in carrier.read(reader.next(), MESSAGES_AT_ONCE).await? {
            drop(reader.read(carried.sequence, carried.bytes)?);
            if let Some(regime) = reader.regime() {
                versions.insert(regime.tip.version, regime.tip);
            }
        }
    }
    Ok(versions)
}

fn write_surplus(
    rewind: &Rewind,
    common: u64,
    path: &Path,
    key: &SecretKey,
) -> Result<(), RejoinError> {
    let wrap = |source| RejoinError::Write {
        path: path.into(),
        source,
    };
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(wrap)?;
    for entry in rewind.entries_after(common) {
        let frame = Frame::sign(entry?, key).encode(Compression::Lz4)?;
        let length = (frame.len() as u32).to_le_bytes();
        let written = file
            .write_all(&length)
            .and_then(|()| file.write_all(&frame));
        written.map_err(wrap)?;
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new(".")));
    let synced = file.sync_all().and_then(|()| directory?.sync_all());
    synced.map_err(wrap)
}

/// Removes a member's memory of the stream, but keeps the epochs that it refuses.
async fn forget_stream(file: &MemoryFile) -> Result<(), StreamError> {
    let mut memory = file.read()?;
    memory.resume = None;
    file.write(memory).await.map_err(StreamError::WriteMemory)
}
